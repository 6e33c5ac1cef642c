/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/dns_memory.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define S INT64_C(1000000000)

static struct budget budget;

static struct dns_memory *make(uint32_t cap)
{
	const struct siphash_key key = {1, 2};
	const struct dns_memory_limits limits = {cap, cap, cap};
	budget_init(&budget, 1U << 22);
	struct dns_memory *memory = dns_memory_create(&budget, &key, &limits);
	cr_assert_not_null(memory);
	return memory;
}

static struct dns_answers one(enum dns_fact_kind kind, uint32_t ttl, const char *name,
			      const char *target)
{
	struct dns_answers answers = {.count = 1};
	struct dns_fact *fact = &answers.facts[0];
	fact->kind = kind;
	fact->ttl = ttl;
	(void)snprintf(fact->name, sizeof fact->name, "%s", name);
	(void)snprintf(fact->target, sizeof fact->target, "%s", target);
	fact->address = (struct ip_addr){.version = 4, .bytes = {192, 0, 2, 1}};
	fact->port = 25;
	fact->usage = 3;
	return answers;
}

Test(dns_memory, an_address_has_its_names_until_their_time_is_over)
{
	struct dns_memory *memory = make(8);
	struct span names[DNS_MEMORY_NAMES];
	struct dns_answers answers = one(DNS_FACT_ADDRESS, 300, "mx.example", "mail.example");
	const struct ip_addr address = answers.facts[0].address;
	dns_memory_learn(memory, &answers, 0);
	cr_assert_eq(dns_memory_names(memory, &address, 299 * S, names), 2);
	cr_expect(span_equal(names[0], span_str("mx.example")));
	cr_expect(span_equal(names[1], span_str("mail.example")));
	cr_expect_eq(dns_memory_names(memory, &address, 300 * S, names), 0);
	/* A name that is still in use lives on; a TTL of 0 is worth a minute. */
	answers = one(DNS_FACT_ADDRESS, 0, "mx.example", "");
	dns_memory_learn(memory, &answers, 299 * S);
	cr_expect_eq(dns_memory_names(memory, &address, 350 * S, names), 1);
	dns_memory_destroy(memory);
	cr_expect_eq(budget.used, 0);
}

Test(dns_memory, counts_what_it_gave_up)
{
	struct dns_memory *memory = make(4);
	for (uint8_t i = 0; i < 7; i++) {
		struct dns_answers answers = one(DNS_FACT_ADDRESS, 300, "a.example", "");
		answers.facts[0].address.bytes[3] = i;
		dns_memory_learn(memory, &answers, 0);
	}
	cr_expect_eq(dns_memory_evicted(memory), 3);
	dns_memory_destroy(memory);
}

Test(dns_memory, tlsa_belongs_to_host_and_port)
{
	struct dns_memory *memory = make(8);
	struct dns_tlsa tlsa;
	struct dns_answers answers = one(DNS_FACT_TLSA, 300, "mx.example", "");
	answers.trust = DNS_TRUST_AUTHENTICATED;
	dns_memory_learn(memory, &answers, S);
	dns_memory_learn(memory, &answers, S); /* a copy of the packet */
	cr_expect(dns_memory_tlsa(memory, span_str("MX.example."), 25, 2 * S, &tlsa));
	cr_expect_eq(tlsa.count, 1);
	cr_expect_not(dns_memory_tlsa(memory, span_str("mx.example"), 587, 2 * S, &tlsa));
	cr_expect_not(dns_memory_tlsa(memory, span_str("m.example"), 25, 2 * S, &tlsa));
	/* What nobody vouches for replaces nothing that was vouched for. */
	answers.trust = DNS_TRUST_NONE;
	answers.facts[0].usage = 0;
	dns_memory_learn(memory, &answers, 3 * S);
	cr_expect(dns_memory_tlsa(memory, span_str("mx.example"), 25, 4 * S, &tlsa));
	cr_expect_eq(tlsa.trust, DNS_TRUST_AUTHENTICATED);
	cr_expect_eq(tlsa.records[0].usage, 3);
	answers.facts[0].port = 26; /* nor does it by being about another port */
	dns_memory_learn(memory, &answers, 4 * S);
	cr_expect(dns_memory_tlsa(memory, span_str("mx.example"), 25, 5 * S, &tlsa));
	dns_memory_destroy(memory);
}

Test(dns_memory, a_host_takes_mail_for_domains)
{
	struct dns_memory *memory = make(8);
	struct span domains[DNS_MEMORY_NAMES];
	bool more;
	static const char *const names[] = {"a.example", "b.example", "c.example", "d.example",
					    "e.example"};
	for (size_t i = 0; i < 5; i++) {
		struct dns_answers answers = one(DNS_FACT_MX, 300, names[i], "mx.example");
		dns_memory_learn(memory, &answers, 0);
		unsigned count =
		    dns_memory_domains(memory, span_str("mx.example"), S, domains, &more);
		cr_expect_eq(count, i < 4 ? i + 1 : 4);
		cr_expect_eq(more, i == 4, "the fifth pushed one out");
	}
	dns_memory_destroy(memory);
}

Test(dns_memory, a_domain_announces_mta_sts)
{
	struct dns_memory *memory = make(8);
	struct dns_answers answers = one(DNS_FACT_STS, 3600, "example.org", "");
	dns_memory_learn(memory, &answers, 0);
	cr_expect(dns_memory_announces_sts(memory, span_str("Example.org"), 3599 * S));
	cr_expect_not(dns_memory_announces_sts(memory, span_str("example.org"), 3600 * S));
	cr_expect_not(dns_memory_announces_sts(memory, span_str("sub.example.org"), S));
	dns_memory_destroy(memory);
}
