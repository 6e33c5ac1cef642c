/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS message off the wire. */
#include "decoders/dns.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_answers answers;
	enum parse_result result = dns_read(span_of(data, size), &answers);

	FUZZ_REQUIRE(answers.count <= DNS_FACTS_MAX);
	FUZZ_REQUIRE(result != PARSE_MALFORMED || answers.count == 0);
	for (uint32_t i = 0; i < answers.count; i++) {
		const struct dns_fact *fact = &answers.facts[i];
		FUZZ_REQUIRE(memchr(fact->name, '\0', sizeof fact->name) != NULL);
		FUZZ_REQUIRE(memchr(fact->target, '\0', sizeof fact->target) != NULL);
		FUZZ_REQUIRE(fact->ttl <= INT32_MAX);
	}
	return 0;
}
