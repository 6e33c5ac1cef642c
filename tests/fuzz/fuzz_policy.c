/* SPDX-License-Identifier: Apache-2.0 */
/* A policy file, or with a first byte of 'M' a domain's MTA-STS policy in a folder that one names.
 */
#include "alerts/policy.h"

#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char naming[] = "mta-sts: sts\n";
	struct span input = span_of(data, size);
	char path[300], folder[300], error[POLICY_ERROR_MAX] = "";
	const char *directory = scratch_directory("policy");

	snprintf(path, sizeof path, "%s/policy.yaml", directory);
	if (size > 0 && data[0] == 'M') {
		scratch_write(path, span_str(naming));
		snprintf(folder, sizeof folder, "%s/sts", directory);
		(void)mkdir(folder, 0700);
		snprintf(folder, sizeof folder, "%s/sts/example.org.txt", directory);
		scratch_write(folder, span_skip(input, 1));
	} else {
		scratch_write(path, input);
	}
	struct policy *policy = policy_open(path, error);
	FUZZ_REQUIRE(policy != NULL || error[0] != '\0');
	policy_close(policy);
	return 0;
}
