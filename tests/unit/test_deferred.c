/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/deferred.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define S INT64_C(1000000000)

static bool add(struct deferred *deferred, uint64_t id, int64_t due_ns)
{
	/* Everything borrowed is gone when this returns. */
	char dialogue[32], detail[32];
	(void)snprintf(dialogue, sizeof dialogue, "C: EHLO %d", (int)id);
	(void)snprintf(detail, sizeof detail, "tap %d", (int)id);
	struct budget budget;
	budget_init(&budget, 4096);
	struct observation observation = {.facts = {.id = id}, .dialogue = span_str(dialogue)};
	cr_assert(session_facts_set_text(&observation.facts, &budget, TEXT_CLIENT_NAME,
					 span_str("client.example")));
	const struct finding finding = {.rule = RULE_TAP_DIVERGENCE, .reason = "offer"};
	struct alert alert = alert_of(&finding, &observation);
	const struct alert_detail details[] = {{.name = "tap_a", .text = span_str(detail)},
					       {.name = "tap_a_starttls_reply", .number = 454}};
	alert.details = details;
	alert.detail_count = 2;
	/* As it comes out of a worker's queue: there is nothing behind the texts. */
	struct session_text *text = &observation.facts.text;
	char *grown = text->bytes, *exact = malloc(text->len);
	cr_assert_not_null(exact);
	memcpy(exact, grown, text->len);
	cr_assert_gt(text->cap, text->len);
	text->bytes = exact;
	bool added = deferred_add(deferred, &alert, due_ns);
	free(exact);
	text->bytes = grown;
	memset(dialogue, 'x', sizeof dialogue);
	memset(detail, 'x', sizeof detail);
	session_facts_free_text(&observation.facts, &budget);
	return added;
}

Test(deferred, alerts_leave_when_their_time_has_come_with_all_they_had)
{
	struct budget budget;
	budget_init(&budget, 1 << 20);
	struct deferred *deferred = deferred_create(&budget, 2);
	cr_assert_not_null(deferred);
	for (uint64_t round = 0; round < 3; round++) {
		int64_t base = (int64_t)round * 100 * S;
		cr_assert(add(deferred, 2 * round, base + 5 * S));
		cr_assert(add(deferred, 2 * round + 1, base + 6 * S));
		cr_assert_not(add(deferred, 99, base + 7 * S), "there is no room");
		cr_assert_null(deferred_next(deferred, base + 5 * S - 1));
		for (uint64_t i = 0; i < 2; i++) {
			struct alert *alert = deferred_next(deferred, base + 6 * S);
			char wanted[32];
			cr_assert_not_null(alert);
			(void)snprintf(wanted, sizeof wanted, "C: EHLO %d", (int)(2 * round + i));
			cr_expect(span_equal(alert->observation->dialogue, span_str(wanted)));
			cr_expect(span_equal(
			    session_facts_text(&alert->observation->facts, TEXT_CLIENT_NAME),
			    span_str("client.example")));
			(void)snprintf(wanted, sizeof wanted, "tap %d", (int)(2 * round + i));
			cr_assert_eq(alert->detail_count, 2);
			cr_expect(span_equal(alert->details[0].text, span_str(wanted)));
			cr_expect_eq(alert->details[1].number, 454);
		}
		cr_assert_null(deferred_next(deferred, base + 6 * S));
	}
	cr_assert(add(deferred, 7, 1000 * S));
	deferred_destroy(deferred);
	cr_expect_eq(budget.used, 0);
}
