/* SPDX-License-Identifier: Apache-2.0 */
/* What DNS answers demand: TLSA records, announced MTA-STS policies, and the hosts of a domain. */
#include "alerts/policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW (INT64_C(1700000000) * 1000000000)

static struct budget budget;
static struct dns_memory *dns;
static struct observation observation;

static void start(void)
{
	const struct siphash_key key = {1, 2};
	const struct dns_memory_limits limits = {8, 8, 8};
	budget_init(&budget, 1U << 22);
	dns = dns_memory_create(&budget, &key, &limits);
	cr_assert_not_null(dns);
	observation = (struct observation){
	    .time_ns = NOW,
	    .facts = {.server = {.addr = {.version = 4, .bytes = {192, 0, 2, 1}}, .port = 25},
		      .spoke_smtp = true},
	};
}

static void stop(void)
{
	session_facts_free_text(&observation.facts, &budget);
	dns_memory_destroy(dns);
	cr_expect_eq(budget.used, 0);
}

static struct dns_fact fact(enum dns_fact_kind kind, const char *name, const char *target)
{
	struct dns_fact one = {
	    .kind = kind, .ttl = 3600, .port = 25, .usage = 3, .selector = 1, .matching = 1};
	(void)snprintf(one.name, sizeof one.name, "%s", name);
	(void)snprintf(one.target, sizeof one.target, "%s", target);
	one.address = observation.facts.server.addr;
	return one;
}

static void know(struct dns_fact one, enum dns_trust trust)
{
	struct dns_answers answers = {.trust = trust, .count = 1, .facts = {one}};
	dns_memory_learn(dns, &answers, NOW);
}

static void text(enum session_text_id id, const char *words)
{
	cr_assert(session_facts_set_text(&observation.facts, &budget, id, span_str(words)));
}

static void mail_in_clear(void)
{
	observation.facts.mails = observation.facts.mails_2xx = observation.facts.accepted = 1;
	observation.facts.recipients = 1;
	observation.facts.commands_whole = observation.facts.replies_whole = true;
	observation.new_milestones = observation.facts.milestones |=
	    MILESTONE_MAIL | MILESTONE_MAIL_ACCEPTED | MILESTONE_DELIVERED | MILESTONE_CLOSED;
}

static void upgraded(uint16_t version)
{
	observation.facts.tls = (struct session_tls){.established = TRI_TRUE,
						     .client_hello = true,
						     .server_hello = true,
						     .version = version};
	observation.facts.milestones |= MILESTONE_TLS_UP | MILESTONE_CERTIFICATE;
	observation.new_milestones = observation.facts.milestones;
	observation.facts.outcome = OUTCOME_UPGRADED;
}

static const struct finding *judge(const struct policy *policy)
{
	static struct verdict verdict;
	verdict.count = 0;
	policy_findings(policy, dns, &observation, 0, &verdict);
	return verdict.count > 0 ? &verdict.findings[0] : NULL;
}

Test(policy_dns, tlsa_records_demand_tls, .init = start, .fini = stop)
{
	static const struct {
		enum dns_trust trust;
		enum confidence confidence;
	} rows[] = {{DNS_TRUST_NONE, CONFIDENCE_LOW},
		    {DNS_TRUST_SIGNED, CONFIDENCE_MEDIUM},
		    {DNS_TRUST_AUTHENTICATED, CONFIDENCE_HIGH}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		dns_memory_destroy(dns);
		start();
		know(fact(DNS_FACT_ADDRESS, "mx.example", ""), DNS_TRUST_NONE);
		mail_in_clear();
		cr_expect_null(judge(NULL), "a host without records");
		know(fact(DNS_FACT_TLSA, "mx.example", ""), rows[i].trust);
		const struct finding *finding = judge(NULL);
		cr_assert_not_null(finding);
		cr_expect_str_eq(finding->reason, "dane-plaintext");
		cr_expect_eq(finding->confidence, rows[i].confidence);
		cr_expect_eq(finding->severity, SEVERITY_CRITICAL);
		cr_expect_not_null(strstr(finding->message, "mx.example has TLSA records"), "%s",
				   finding->message);
	}
}

Test(policy_dns, a_certificate_that_no_record_names, .init = start, .fini = stop)
{
	struct certificate_info certificate = {.key_sha256 = {1}, .sha256 = {2}};
	struct dns_fact record = fact(DNS_FACT_TLSA, "mx.example", "");
	know(fact(DNS_FACT_ADDRESS, "mx.example", ""), DNS_TRUST_NONE);
	upgraded(0x0303);
	observation.certificate = &certificate;
	record.data_len = 32;
	record.data[0] = 9;
	know(record, DNS_TRUST_AUTHENTICATED);
	const struct finding *finding = judge(NULL);
	cr_assert_not_null(finding);
	cr_expect_str_eq(finding->reason, "dane-certificate");
	record.data[0] = 1; /* the key; now one of two records fits */
	know(record, DNS_TRUST_AUTHENTICATED);
	cr_expect_null(judge(NULL));
}

/* Who authenticates with no certificate at all cannot be what the records name (RFC 7672 2.2). */
Test(policy_dns, a_server_that_shows_no_certificate, .init = start, .fini = stop)
{
	struct dns_fact record = fact(DNS_FACT_TLSA, "mx.example", "");
	know(fact(DNS_FACT_ADDRESS, "mx.example", ""), DNS_TRUST_NONE);
	upgraded(0x0303);
	record.data_len = 32;
	record.data[0] = 9;
	know(record, DNS_TRUST_AUTHENTICATED);
	cr_expect_null(judge(NULL), "perhaps it was not seen");
	observation.facts.tls.server_hello = true;
	observation.facts.tls.suite = 0xc018; /* ECDH_anon */
	const struct finding *finding = judge(NULL);
	cr_assert_not_null(finding);
	cr_expect_str_eq(finding->reason, "dane-certificate");
	observation.facts.tls.suite = 0xc02f;
	cr_expect_null(judge(NULL));
	observation.facts.tls.certificate_unreadable = true;
	cr_assert_not_null(judge(NULL));
	record.usage = 2; /* a CA: what the chain would show is not judged */
	know(record, DNS_TRUST_AUTHENTICATED);
	cr_expect_null(judge(NULL));
}

Test(policy_dns, records_that_cannot_be_compared_claim_nothing, .init = start, .fini = stop)
{
	struct certificate_info certificate = {.key_sha256 = {1}};
	struct dns_fact record = fact(DNS_FACT_TLSA, "mx.example", "");
	know(fact(DNS_FACT_ADDRESS, "mx.example", ""), DNS_TRUST_NONE);
	upgraded(0x0303);
	observation.certificate = &certificate;
	record.usage = 2; /* names a CA: that needs the chain */
	record.data_len = 32;
	know(record, DNS_TRUST_AUTHENTICATED);
	cr_expect_null(judge(NULL));
}

Test(policy_dns, no_certificate_claims_nothing, .init = start, .fini = stop)
{
	struct dns_fact record = fact(DNS_FACT_TLSA, "mx.example", "");
	record.data_len = 32;
	know(fact(DNS_FACT_ADDRESS, "mx.example", ""), DNS_TRUST_NONE);
	know(record, DNS_TRUST_AUTHENTICATED);
	upgraded(0x0304);
	cr_expect_null(judge(NULL));
}

Test(policy_dns, an_announced_policy_demands_with_low_confidence, .init = start, .fini = stop)
{
	know(fact(DNS_FACT_STS, "example.org", ""), DNS_TRUST_NONE);
	text(TEXT_RECIPIENT_DOMAINS, "other.example example.org");
	mail_in_clear();
	const struct finding *finding = judge(NULL);
	cr_assert_not_null(finding);
	cr_expect_str_eq(finding->reason, "mta-sts-announced");
	cr_expect_eq(finding->confidence, CONFIDENCE_LOW);
	observation.facts.recipients = 0;
	cr_expect_null(judge(NULL), "nobody took mail for it");
}

static struct policy *sts_policy(const char *mode, const char *mx)
{
	char folder[] = "/tmp/policy-dns-XXXXXX", path[128], error[POLICY_ERROR_MAX] = "";
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/example.org.txt", folder);
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	fprintf(file, "version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: 86400\r\n", mode, mx);
	cr_assert_eq(fclose(file), 0);
	char stated[] = "/tmp/policy-dns-file-XXXXXX";
	int descriptor = mkstemp(stated);
	cr_assert_geq(descriptor, 0);
	file = fdopen(descriptor, "w");
	cr_assert_not_null(file);
	fprintf(file, "mta-sts: %s\n", folder);
	cr_assert_eq(fclose(file), 0);
	struct policy *policy = policy_open(stated, error);
	cr_assert_not_null(policy, "%s", error);
	(void)unlink(stated);
	(void)unlink(path);
	(void)rmdir(folder);
	return policy;
}

Test(policy_dns, inside_tls_all_domains_of_a_host_decide, .init = start, .fini = stop)
{
	struct policy *policy = sts_policy("enforce", "mx.example");
	know(fact(DNS_FACT_ADDRESS, "mx.example", ""), DNS_TRUST_NONE);
	upgraded(0x0301); /* MTA-STS demands TLS 1.2 at least */
	cr_expect_null(judge(policy), "whose mail it takes is not known");
	know(fact(DNS_FACT_MX, "example.org", "mx.example"), DNS_TRUST_NONE);
	const struct finding *finding = judge(policy);
	cr_assert_not_null(finding);
	cr_expect_eq(finding->confidence, CONFIDENCE_MEDIUM);
	cr_expect_not_null(strstr(finding->message, "example.org"), "%s", finding->message);
	/* Of another domain nothing is demanded: the mail may have been for that one. */
	know(fact(DNS_FACT_MX, "other.example", "mx.example"), DNS_TRUST_NONE);
	cr_expect_null(judge(policy));
	policy_close(policy);
}

Test(policy_dns, a_policy_that_is_known_counts_instead_of_its_announcement, .init = start,
     .fini = stop)
{
	struct policy *policy = sts_policy("testing", "mx.example");
	know(fact(DNS_FACT_STS, "example.org", ""), DNS_TRUST_NONE);
	text(TEXT_RECIPIENT_DOMAINS, "example.org");
	mail_in_clear();
	cr_expect_null(judge(policy), "its text says testing");
	policy_close(policy);
}

Test(policy_dns, a_host_of_dns_that_the_policy_does_not_name, .init = start, .fini = stop)
{
	static const struct {
		const char *mx, *host;
		bool violates;
	} rows[] = {
	    {"mx.example", "mx.example", false}, {"mx.example", "MX.Example", false},
	    {"*.example", "mx.example", false},  {"mx.example", "mx.attacker.test", true},
	    {"*.example", "a.b.example", true}, /* one label (RFC 8461 4.1) */
	    {"*.example", "example", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct policy *policy = sts_policy("enforce", rows[i].mx);
		know(fact(DNS_FACT_ADDRESS, rows[i].host, ""), DNS_TRUST_NONE);
		upgraded(0x0304);
		cr_expect_null(judge(policy), "row %zu: whose mail it takes is not known", i);
		know(fact(DNS_FACT_MX, "example.org", rows[i].host), DNS_TRUST_NONE);
		const struct finding *finding = judge(policy);
		cr_expect_eq(finding != NULL, rows[i].violates, "row %zu", i);
		if (finding != NULL)
			cr_expect_str_eq(finding->reason, "mta-sts-mx");
		/* Mail for another domain explains the connection. */
		know(fact(DNS_FACT_MX, "other.example", rows[i].host), DNS_TRUST_NONE);
		cr_expect_null(judge(policy), "row %zu", i);
		policy_close(policy);
		stop();
		start();
	}
	struct policy *policy = sts_policy("testing", "mx.example");
	know(fact(DNS_FACT_ADDRESS, "mx.attacker.test", ""), DNS_TRUST_NONE);
	know(fact(DNS_FACT_MX, "example.org", "mx.attacker.test"), DNS_TRUST_NONE);
	upgraded(0x0304);
	cr_expect_null(judge(policy), "testing demands nothing");
	policy_close(policy);
}
