/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/exposure.h"

#include "alerts/verdict.h"

#include <criterion/criterion.h>
#include <string.h>

static struct ip_addr address(uint8_t last)
{
	return (struct ip_addr){.version = 4, .bytes = {192, 0, 2, last}};
}

static struct endpoint server(uint8_t last)
{
	return (struct endpoint){.addr = address(last), .port = 25};
}

static void learn(struct client_exposure *exposure, uint8_t to, int64_t time_s)
{
	struct session_facts facts = {.client = {.addr = address(1)}, .server = server(to)};
	exposure_learn(exposure, &facts, time_s);
}

Test(exposure, counts_the_sessions_of_a_day_and_of_all)
{
	struct client_exposure exposure = {.first_s = 0};
	learn(&exposure, 2, 3 * EXPOSURE_DAY_S + 5);
	learn(&exposure, 2, 3 * EXPOSURE_DAY_S + 9);
	learn(&exposure, 3, 4 * EXPOSURE_DAY_S);
	cr_expect_eq(exposure.sessions, 3);
	cr_expect_eq(exposure.day, 4);
	cr_expect_eq(exposure.day_sessions, 1);
	cr_expect_eq(exposure.day_first_s, 4 * EXPOSURE_DAY_S);
	cr_expect_eq(exposure.first_s, 3 * EXPOSURE_DAY_S + 5);
	cr_expect_eq(exposure.last_s, 4 * EXPOSURE_DAY_S);
	cr_expect_eq(exposure.server_count, 2, "the same server counts once");
	/* What is late belongs to an earlier day, and is not counted into this one's past. */
	learn(&exposure, 3, 2 * EXPOSURE_DAY_S);
	cr_expect_eq(exposure.day, 4);
	cr_expect_eq(exposure.day_sessions, 1);
	cr_expect_eq(exposure.day_first_s, 4 * EXPOSURE_DAY_S);
	cr_expect_eq(exposure.first_s, 2 * EXPOSURE_DAY_S);
}

Test(exposure, lists_stay_within_their_room)
{
	struct client_exposure exposure = {.first_s = 0};
	for (uint8_t i = 0; i <= EXPOSURE_SERVERS; i++) {
		const struct endpoint one = server(i);
		exposure_add_server(&exposure, &one);
	}
	cr_expect_eq(exposure.server_count, EXPOSURE_SERVERS);
	cr_expect(exposure.servers_more);

	static const struct {
		const char *word, *list;
	} steps[] = {{"PLAIN", "PLAIN"},
		     {"LOGIN", "PLAIN LOGIN"},
		     {"PLAIN", "PLAIN LOGIN"},
		     {"", "PLAIN LOGIN"},
		     {"A B\"\\\x7f\x01", "PLAIN LOGIN A?B????"},
		     {"PLAI", "PLAIN LOGIN A?B???? PLAI"},
		     {"0123456789", "PLAIN LOGIN A?B???? PLAI"}};
	char list[30] = "";
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		exposure_add_word(list, sizeof list, span_str(steps[i].word));
		cr_expect_str_eq(list, steps[i].list);
	}
}

Test(exposure, merges_what_another_saw_of_the_same_client)
{
	struct client_exposure here = {.first_s = 0}, there = {.first_s = 0};
	learn(&here, 2, 1000);
	learn(&there, 3, 500);
	learn(&there, 2, 2000);
	exposure_add_word(here.mechanisms, sizeof here.mechanisms, span_str("PLAIN"));
	exposure_add_word(there.mechanisms, sizeof there.mechanisms, span_str("LOGIN"));
	exposure_add_word(there.mechanisms, sizeof there.mechanisms, span_str("PLAIN"));
	exposure_add_word(there.accounts, sizeof there.accounts, span_str("me"));
	exposure_merge(&here, &there);
	cr_expect_eq(here.sessions, 3);
	cr_expect_eq(here.first_s, 500);
	cr_expect_eq(here.last_s, 2000);
	cr_expect_eq(here.server_count, 2);
	cr_expect_str_eq(here.mechanisms, "PLAIN LOGIN");
	cr_expect_str_eq(here.accounts, "me");
	there.sessions = UINT32_MAX;
	exposure_merge(&here, &there);
	cr_expect_eq(here.sessions, UINT32_MAX, "a count stays at its end");
}

static struct client_exposure of_client(uint8_t last, uint32_t sessions, int64_t last_s)
{
	return (struct client_exposure){.client = address(last),
					.day_sessions = sessions,
					.day_first_s = last_s - 50,
					.last_s = last_s,
					.day = 20000};
}

Test(exposure, a_day_names_the_worst_clients)
{
	struct exposure_day day = {.day = 20000};
	for (uint8_t i = 1; i <= EXPOSURE_DAY_ROWS + 3; i++) {
		struct client_exposure one = of_client(i, i % 4, 100 + i);
		exposure_day_add(&day, &one);
	}
	cr_expect_eq(day.clients, EXPOSURE_DAY_ROWS + 3);
	cr_expect_eq(day.row_count, EXPOSURE_DAY_ROWS);
	cr_expect_eq(day.first_s, 51);
	cr_expect_eq(day.last_s, 100 + EXPOSURE_DAY_ROWS + 3);
	for (unsigned i = 1; i < day.row_count; i++) {
		const struct client_exposure *a = &day.rows[i - 1], *b = &day.rows[i];
		cr_expect(a->day_sessions > b->day_sessions ||
			  (a->day_sessions == b->day_sessions &&
			   ip_addr_compare(&a->client, &b->client) < 0));
	}
	cr_expect_eq(day.rows[0].day_sessions, 3);
	cr_expect_eq(day.rows[0].client.bytes[3], 3);
}

Test(exposure, a_day_in_one_sentence)
{
	struct exposure_day day = {.day = 20000};
	struct client_exposure one = of_client(7, 2, 100);
	struct finding finding;
	exposure_add_word(one.mechanisms, sizeof one.mechanisms, span_str("PLAIN"));
	exposure_add_word(one.mechanisms, sizeof one.mechanisms, span_str("LOGIN"));
	exposure_day_add(&day, &one);
	exposure_day_finding(&day, &finding);
	cr_expect_eq(finding.rule, RULE_PLAINTEXT_CREDENTIALS);
	cr_expect_str_eq(finding.reason, "daily-summary");
	cr_expect_not_null(
	    strstr(finding.message, "1 client sent credentials without TLS in 2 sessions"), "%s",
	    finding.message);
	cr_expect_not_null(strstr(finding.message, ": 192.0.2.7 (2 sessions with PLAIN, LOGIN)."),
			   "%s", finding.message);
	one = of_client(8, 1, 100);
	exposure_day_add(&day, &one);
	exposure_day_finding(&day, &finding);
	cr_expect_not_null(strstr(finding.message, "2 clients"), "%s", finding.message);
	cr_expect_not_null(strstr(finding.message, ", most often 192.0.2.7"), "%s",
			   finding.message);
}
