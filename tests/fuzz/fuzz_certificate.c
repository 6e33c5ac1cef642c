/* SPDX-License-Identifier: Apache-2.0 */
/* A server's certificate: the input twice, as leaf and as its issuer. */
#include "decoders/certificate.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct budget budget;
	uint8_t sha256[DIGEST_SHA256_SIZE];
	const struct span der = span_of(data, size);
	const struct span names[] = {span_of("mx.example", 10), span_head(der, 20)};
	const struct span chain[] = {der, der};

	budget_init(&budget, 1U << 22);
	struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 4);
	if (cache == NULL)
		return 0;
	const struct certificate_info *info = certificate_cache_get(cache, der, sha256);
	if (info != NULL) {
		(void)certificate_judge(info, 1700000000, names, 2);
		bool judged;
		(void)certificate_cache_judge_chain(cache, chain, 2, 1700000000, &judged);
		certificate_release(info);
	}
	certificate_cache_destroy(cache);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
