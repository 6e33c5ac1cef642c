/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/allow.h"
#include "alerts/throttle.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000)

static struct endpoint at(const char *text, uint16_t port)
{
	struct endpoint endpoint = {.port = port};
	cr_assert(ip_addr_parse(text, strlen(text), &endpoint.addr));
	return endpoint;
}

static struct alert alert_from(const char *client, enum rule rule, const char *reason, int64_t time)
{
	return (struct alert){
	    .finding = {.rule = rule, .severity = SEVERITY_LOW, .reason = reason},
	    .time_ns = time,
	    .session = {.client = at(client, 40000), .server = at("192.0.2.25", 25)},
	    .count = 1,
	};
}

static struct throttle *throttle_of(struct budget *budget, uint32_t capacity)
{
	struct throttle_options options = {.window_ns = 300 * SECOND,
					   .capacity = capacity,
					   .prefix_ipv4 = 24,
					   .prefix_ipv6 = 64,
					   .key = {1, 2}};
	budget_init(budget, 1 << 20);
	struct throttle *throttle = throttle_create(budget, &options);
	cr_assert_not_null(throttle);
	return throttle;
}

static bool offer(struct throttle *throttle, struct alert alert)
{
	struct alert summary;
	bool evicted;
	bool out = throttle_offer(throttle, &alert, &summary, &evicted);
	cr_expect_not(evicted);
	return out;
}

Test(throttle, first_goes_out_and_the_rest_is_counted)
{
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, 8);
	struct alert summary;
	cr_expect(offer(throttle, alert_from("10.0.0.1", RULE_TLS_WEAK, "rc4", 1 * SECOND)));
	cr_expect_not(offer(throttle, alert_from("10.0.0.200", RULE_TLS_WEAK, "rc4", 2 * SECOND)));
	struct alert grave = alert_from("10.0.0.7", RULE_TLS_WEAK, "rc4", 9 * SECOND);
	grave.finding.severity = SEVERITY_HIGH;
	grave.finding.scope = "all-clients";
	cr_expect_not(offer(throttle, grave));
	/* Another network, rule or reason is another kind. */
	cr_expect(offer(throttle, alert_from("10.0.1.1", RULE_TLS_WEAK, "rc4", 9 * SECOND)));
	cr_expect(offer(throttle, alert_from("10.0.0.1", RULE_TCP_INJECTION, "rc4", 9 * SECOND)));
	cr_expect(offer(throttle, alert_from("10.0.0.1", RULE_TLS_WEAK, "des", 9 * SECOND)));

	cr_expect_not(throttle_close(throttle, 301 * SECOND - 1, &summary));
	cr_assert(throttle_close(throttle, 301 * SECOND, &summary));
	cr_expect_eq(summary.count, 3);
	cr_expect_eq(summary.summary, 1);
	cr_expect_eq(summary.first_ns, 1 * SECOND);
	cr_expect_eq(summary.last_ns, 9 * SECOND);
	cr_expect_eq(summary.finding.severity, SEVERITY_HIGH);
	cr_expect_str_eq(summary.finding.scope, "all-clients");
	cr_expect_eq(summary.session.start_ns, 0);
	cr_expect_not(throttle_close(throttle, INT64_MAX, &summary), "nothing else was folded");

	/* A new window begins with an alert of its own. */
	cr_expect(offer(throttle, alert_from("10.0.0.1", RULE_TLS_WEAK, "rc4", 400 * SECOND)));
	throttle_destroy(throttle);
	cr_expect_eq(budget.used, 0);
}

Test(throttle, ipv6_clients_are_one_network_by_64_bits)
{
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, 8);
	cr_expect(offer(throttle, alert_from("2001:db8::1", RULE_TLS_WEAK, "rc4", 0)));
	cr_expect_not(offer(throttle, alert_from("2001:db8::ffff:1", RULE_TLS_WEAK, "rc4", 1)));
	cr_expect(offer(throttle, alert_from("2001:db8:0:1::1", RULE_TLS_WEAK, "rc4", 1)));
	throttle_destroy(throttle);
}

Test(throttle, full_table_closes_the_oldest_with_its_summary)
{
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, 2);
	struct alert summary;
	bool evicted;
	cr_expect(offer(throttle, alert_from("10.0.0.1", RULE_TLS_WEAK, "rc4", 0)));
	cr_expect_not(offer(throttle, alert_from("10.0.0.1", RULE_TLS_WEAK, "rc4", 1)));
	cr_expect(offer(throttle, alert_from("10.0.1.1", RULE_TLS_WEAK, "rc4", 2)));
	struct alert third = alert_from("10.0.2.1", RULE_TLS_WEAK, "rc4", 3);
	cr_expect(throttle_offer(throttle, &third, &summary, &evicted));
	cr_assert(evicted);
	cr_expect_eq(summary.count, 2);
	third = alert_from("10.0.3.1", RULE_TLS_WEAK, "rc4", 3);
	cr_expect(throttle_offer(throttle, &third, &summary, &evicted));
	cr_expect_not(evicted, "a window of one alert needs no summary");
	cr_expect_eq(throttle_counts(throttle)->evicted, 2);
	/* Evicted kinds start anew; the others are still open. */
	cr_expect_not(offer(throttle, alert_from("10.0.2.9", RULE_TLS_WEAK, "rc4", 4)));
	throttle_destroy(throttle);
}

/* 100,000 kinds through a table for 1,000: each goes out at once, nothing is lost in the sums. */
/* The nth alert of a kind of its own: the network tells. */
static struct alert alert_of_network(uint32_t n, int64_t time)
{
	char client[32];
	(void)snprintf(client, sizeof client, "10.%u.%u.1", n / 256, n % 256);
	return alert_from(client, RULE_TLS_WEAK, "rc4", time);
}

Test(throttle, grows_with_its_windows)
{
	enum { COUNT = 1000 };
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, COUNT);
	struct alert summary;
	const size_t empty = budget.used;
	/* So that the oldest is in the middle of the ring when that grows. */
	for (uint32_t n = 0; n < 40; n++)
		cr_expect(offer(throttle, alert_of_network(2000 + n, 0)));
	cr_expect_not(throttle_close(throttle, 300 * SECOND, &summary), "nothing was folded");
	cr_expect_eq(budget.used, empty, "few windows take no more");
	for (uint32_t n = 0; n < COUNT; n++)
		cr_expect(offer(throttle, alert_of_network(n, 300 * SECOND + n)));
	cr_expect_gt(budget.used, 10 * empty);
	for (uint32_t n = 0; n < COUNT; n++)
		cr_expect_not(offer(throttle, alert_of_network(n, 400 * SECOND + n)));
	cr_expect_eq(throttle_counts(throttle)->evicted, 0);
	for (uint32_t n = 0; n < COUNT; n++) {
		cr_assert(throttle_close(throttle, INT64_MAX, &summary));
		cr_expect_eq(summary.first_ns, 300 * SECOND + n);
		cr_expect_eq(summary.count, 2);
	}
	cr_expect_not(throttle_close(throttle, INT64_MAX, &summary));
	throttle_destroy(throttle);
	cr_expect_eq(budget.used, 0);
}

Test(throttle, closes_the_oldest_where_there_is_no_memory_to_grow)
{
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, 1000);
	struct alert summary;
	bool evicted;
	uint32_t n = 0;
	budget.cap = budget.used;
	while (throttle_counts(throttle)->evicted == 0) {
		struct alert alert = alert_of_network(n++, SECOND);
		cr_assert(throttle_offer(throttle, &alert, &summary, &evicted));
		struct alert again = alert_of_network(0, SECOND);
		if (n < 3)
			cr_expect_not(throttle_offer(throttle, &again, &summary, &evicted));
	}
	cr_expect(evicted, "the first of all had folded two");
	cr_expect_eq(summary.count, 3);
	cr_expect_geq(n, 16);
	cr_expect_lt(n, 1000);
	throttle_destroy(throttle);
	cr_expect_eq(budget.used, 0);
}

Test(throttle, hides_the_first_alert_of_no_kind)
{
	enum { KINDS = 100000, ROUNDS = 2 };
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, 1000);
	struct alert summary;
	bool evicted;
	uint64_t stood_for = 0;
	for (unsigned i = 0; i < KINDS * ROUNDS; i++) {
		unsigned kind = i / ROUNDS; /* twice each: one goes out, one is folded */
		char server[16];
		(void)snprintf(server, sizeof server, "10.%u.%u.%u", kind >> 16, kind >> 8 & 255,
			       kind & 255);
		struct alert alert = alert_from("192.0.2.1", RULE_TLS_WEAK, "rc4", SECOND);
		alert.session.server = at(server, 25);
		bool out = throttle_offer(throttle, &alert, &summary, &evicted);
		cr_assert_eq(out, i % ROUNDS == 0, "alert %u", i);
		if (evicted)
			stood_for += summary.count;
	}
	while (throttle_close(throttle, INT64_MAX, &summary))
		stood_for += summary.count;
	cr_expect_eq(stood_for, KINDS * ROUNDS);
	cr_expect_eq(throttle_counts(throttle)->passed, KINDS);
	cr_expect_eq(throttle_counts(throttle)->evicted, KINDS - 1000);
	throttle_destroy(throttle);
}

Test(throttle, survives_without_memory)
{
	struct throttle_options options = {.window_ns = 1, .capacity = 64};
	for (uint64_t fail = 1; fail <= 3; fail++) {
		struct budget budget;
		budget_init(&budget, 1 << 20);
		budget.fail_at = fail;
		cr_expect_null(throttle_create(&budget, &options));
		cr_expect_eq(budget.used, 0);
	}
}

/* Against a plain list: the same alerts go out, none is lost from the counts. */
Test(throttle, counts_add_up_on_random_input)
{
	struct budget budget;
	struct throttle *throttle = throttle_of(&budget, 16);
	uint32_t random = 12345;
	uint64_t offered = 0, told = 0, alone = 0;
	struct alert summary;
	bool evicted;
	for (int i = 0; i < 20000; i++) {
		random = random * 1664525 + 1013904223;
		char client[] = "10.0.00.1";
		client[5] = (char)('0' + (random >> 28) % 2);
		client[6] = (char)('0' + (random >> 20) % 10);
		if (client[5] == '0') {
			client[5] = client[6];
			memmove(client + 6, client + 7, 3);
		}
		struct alert alert =
		    alert_from(client, (enum rule)((random >> 10) % 3), "x", (int64_t)i * SECOND);
		while (throttle_close(throttle, alert.time_ns, &summary))
			told += summary.count - 1;
		offered++;
		if (throttle_offer(throttle, &alert, &summary, &evicted))
			alone++;
		if (evicted)
			told += summary.count - 1;
	}
	while (throttle_close(throttle, INT64_MAX, &summary))
		told += summary.count - 1;
	cr_expect_eq(offered, told + alone);
	throttle_destroy(throttle);
}

Test(allow, parses_and_covers)
{
	struct allow_entry entry;
	char error[128];
	struct alert alert = alert_from("10.0.0.1", RULE_TLS_WEAK, "rc4", 0);
	struct {
		const char *text;
		bool parsed, covers;
	} cases[] = {
	    {"rule=tls-weak", true, true},
	    {"rule=plaintext-mail", true, false},
	    {"rule=plaintext-mail rule=tls-weak", true, true},
	    {"client=10.0.0.0/8, port=25", true, true},
	    {"client=10.0.0.2", true, false},
	    {"server=192.0.2.0/24 client=10.0.0.1", true, true},
	    {"server=2001:db8::/32", true, false},
	    {"name=mx.example.org", true, false},
	    {"", false, false},
	    {"   ", false, false},
	    {"rule=nonsense", false, false},
	    {"client=10.0.0.0/33", false, false},
	    {"client=10.0.0.0/", false, false},
	    {"port=0", false, false},
	    {"port=65536", false, false},
	    {"tls-weak", false, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool parsed = allow_parse(span_str(cases[i].text), &entry, error, sizeof error);
		cr_expect_eq(parsed, cases[i].parsed, "%s", cases[i].text);
		if (parsed)
			cr_expect_eq(allow_covers(&entry, 1, &alert), cases[i].covers, "%s",
				     cases[i].text);
	}
	cr_expect_not(allow_parse(span_of("a\x1b[2J", 5), &entry, error, sizeof error));
	cr_expect_null(strchr(error, 0x1b));
}

Test(allow, names_below_a_domain)
{
	struct budget budget;
	budget_init(&budget, 4096);
	struct observation observation = {.ordinal = 1};
	struct alert alert = alert_from("10.0.0.1", RULE_TLS_WEAK, "rc4", 0);
	alert.observation = &observation;
	struct allow_entry entry;
	char error[64];
	cr_assert(session_facts_set_text(&observation.facts, &budget, TEXT_SERVER_NAME,
					 span_str("MX1.Example.org")));
	cr_assert(allow_parse(span_str("name=.example.org"), &entry, error, sizeof error));
	cr_expect(allow_covers(&entry, 1, &alert));
	cr_assert(allow_parse(span_str("name=example.org"), &entry, error, sizeof error));
	cr_expect_not(allow_covers(&entry, 1, &alert));
	session_facts_free_text(&observation.facts, &budget);
}
