/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/report.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct desk {
	struct budget budget;
	struct report *report;
	struct buffer page;
	struct observation observation;
	struct finding finding;
};

static struct desk *setup(uint32_t alerts, uint32_t hosts)
{
	struct desk *desk = calloc(1, sizeof *desk);
	struct report_options options = {.sensor = "sensor-1",
					 .version = "0.1.0",
					 .max_alerts = alerts,
					 .max_hosts = hosts,
					 .max_inputs = 2,
					 .key = {3, 4}};
	cr_assert_not_null(desk);
	budget_init(&desk->budget, 8 << 20);
	desk->report = report_create(&desk->budget, &options);
	cr_assert_not_null(desk->report);
	buffer_init(&desk->page, &desk->budget, 4 << 20);
	desk->finding = (struct finding){.rule = RULE_STARTTLS_MASKED,
					 .severity = SEVERITY_HIGH,
					 .reason = "offer",
					 .message = "A device overwrote the offer."};
	struct session_facts *facts = &desk->observation.facts;
	cr_assert(ip_addr_parse("192.0.2.1", 9, &facts->client.addr));
	cr_assert(ip_addr_parse("2001:db8::25", 12, &facts->server.addr));
	facts->server.port = 25;
	facts->vlan_outer = facts->vlan_inner = VLAN_NONE;
	return desk;
}

static void teardown(struct desk *desk)
{
	session_facts_free_text(&desk->observation.facts, &desk->budget);
	buffer_free(&desk->page);
	report_destroy(desk->report);
	cr_expect_eq(desk->budget.used, 0);
	free(desk);
}

static void alert(struct desk *desk, enum severity severity, const char *message)
{
	desk->finding.severity = severity;
	desk->finding.message[0] = '\0';
	strncat(desk->finding.message, message, sizeof desk->finding.message - 1);
	struct alert raised = alert_of(&desk->finding, &desk->observation);
	report_add_alert(desk->report, &raised);
}

/* The page as a string. */
static const char *page_of(struct desk *desk)
{
	buffer_clear(&desk->page);
	cr_assert(report_write(desk->report, &desk->page));
	buffer_add_char(&desk->page, '\0');
	return desk->page.bytes;
}

Test(report, hostile_bytes_stay_text)
{
	struct desk *desk = setup(10, 10);
	struct session_facts *facts = &desk->observation.facts;
	const char *attack = "<script>alert('x')</script>\"><img src=x onerror=y>&\x1b[2J";
	cr_assert(session_facts_set_text(facts, &desk->budget, TEXT_SERVER_NAME, span_str(attack)));
	cr_assert(session_facts_set_text(facts, &desk->budget, TEXT_CLIENT_NAME, span_str(attack)));
	desk->observation.dialogue =
	    span_str("C: EHLO <b>\nC: MAIL FROM:<bob@example.com>\nS: \xff</pre>");
	alert(desk, SEVERITY_HIGH, attack);
	report_add_session(desk->report, facts, 0);
	report_add_input(desk->report,
			 &(struct report_input){.path = "<x>.pcap", .fault = "<cut>"});
	const char *page = page_of(desk);
	cr_expect_null(strstr(page, "<script"));
	cr_expect_null(strstr(page, "<img"));
	cr_expect_null(strstr(page, "<b>alert"));
	cr_expect_null(strchr(page, 0x1b));
	cr_expect_null(strstr(page, "bob@"));
	cr_expect_not_null(strstr(page, "[redacted]@example.com"));
	cr_expect_not_null(strstr(page, "EHLO &lt;b&gt;"));
	cr_expect_not_null(strstr(page, "&lt;script&gt;alert(&#39;x&#39;)"));
	cr_expect_not_null(strstr(page, "default-src 'none'"));
	cr_expect_null(strstr(page, "://"), "nothing points outside");
	teardown(desk);
}

Test(report, keeps_the_gravest)
{
	struct desk *desk = setup(3, 10);
	alert(desk, SEVERITY_LOW, "minor-1");
	alert(desk, SEVERITY_CRITICAL, "critical-1");
	alert(desk, SEVERITY_LOW, "minor-2");
	alert(desk, SEVERITY_HIGH, "high-1");
	alert(desk, SEVERITY_LOW, "minor-3");
	alert(desk, SEVERITY_HIGH, "high-2");
	alert(desk, SEVERITY_CRITICAL, "critical-2");
	const char *page = page_of(desk);
	cr_expect_null(strstr(page, "minor-"));
	cr_expect_null(strstr(page, "high-2"));
	const char *first = strstr(page, "critical-1"), *second = strstr(page, "critical-2"),
		   *third = strstr(page, "high-1");
	cr_assert(first != NULL && second != NULL && third != NULL);
	cr_expect(first < second && second < third, "gravest first, then by time");
	cr_expect_not_null(strstr(page, "4 more alerts"));
	teardown(desk);
}

Test(report, summary_updates_its_alert)
{
	struct desk *desk = setup(3, 10);
	alert(desk, SEVERITY_HIGH, "once");
	struct alert summary = alert_of(&desk->finding, &desk->observation);
	summary.summary = 1;
	summary.count = 1234;
	report_add_alert(desk->report, &summary);
	const char *page = page_of(desk);
	const char *row = strstr(page, "once");
	cr_assert_not_null(row);
	cr_expect_null(strstr(row + 1, "once"));
	cr_expect_not_null(strstr(page, "&times;&#8239;1&#8239;234"));
	teardown(desk);
}

Test(report, full_host_table_is_told)
{
	struct desk *desk = setup(3, 4);
	struct session_facts *facts = &desk->observation.facts;
	for (unsigned i = 0; i < 100; i++) {
		facts->client.addr.bytes[3] = (uint8_t)i;
		facts->mails = i;
		facts->start_ns = facts->end_ns = (int64_t)i * 3600 * 1000000000;
		facts->outcome = (enum session_outcome)(i % OUTCOME_COUNT);
		report_add_session(desk->report, facts, 0);
	}
	const char *page = page_of(desk);
	cr_expect_not_null(strstr(page, "192.0.2.3<"));
	cr_expect_null(strstr(page, "192.0.2.4<"));
	cr_expect_not_null(strstr(page, "96 more sessions"));
	cr_expect(strstr(page, "192.0.2.3<") < strstr(page, "192.0.2.2<"), "worst first");
	teardown(desk);
}

/* A capture that was written with the time 0 squeezes no chart. */
Test(report, sessions_long_before_are_left_out_of_the_chart)
{
	struct desk *desk = setup(3, 4);
	struct session_facts *facts = &desk->observation.facts;
	report_add_session(desk->report, facts, 0);
	for (int64_t i = 0; i < 10; i++) {
		facts->start_ns = facts->end_ns = (INT64_C(1767323045) + i) * 1000000000;
		report_add_session(desk->report, facts, 0);
	}
	const char *page = page_of(desk);
	cr_expect_not_null(strstr(page, "each bar 1 second, the highest 1 session;"));
	cr_expect_not_null(strstr(page, "<span>2026-01-02 03:04:05</span>"));
	cr_expect_not_null(strstr(page, "<span>2026-01-02 03:04:15</span>"));
	cr_expect_not_null(strstr(page, "Not in this chart: 1 session that began long before"));
	teardown(desk);
}

Test(report, empty_and_without_memory)
{
	struct desk *desk = setup(1, 1);
	cr_expect_not_null(strstr(page_of(desk), "Nothing was found."));
	teardown(desk);
	struct report_options options = {
	    .sensor = "s", .version = "v", .max_alerts = 4, .max_hosts = 4};
	for (uint64_t fail = 1; fail <= 5; fail++) {
		struct budget budget;
		budget_init(&budget, 1 << 20);
		budget.fail_at = fail;
		cr_expect_null(report_create(&budget, &options));
		cr_expect_eq(budget.used, 0);
	}
}
