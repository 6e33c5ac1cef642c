/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/hold_queue.h"

#include <criterion/criterion.h>

#define FLOWS 300U

static void fill(struct flow *flows)
{
	memset(flows, 0, FLOWS * sizeof *flows);
	for (uint32_t i = 0; i < FLOWS; i++)
		flows[i].first_ordinal =
		    1000 - i; /* the later in memory, the earlier its session */
}

/* The one that has to come first, found the slow way; NULL: none. */
static struct flow *slow_first(struct flow *flows, const int64_t *due, int64_t now)
{
	struct flow *first = NULL;
	for (uint32_t i = 0; i < FLOWS; i++) {
		if (due[i] > now || due[i] == INT64_MAX)
			continue;
		if (first == NULL || due[i] < due[first - flows] ||
		    (due[i] == due[first - flows] && flows[i].first_ordinal < first->first_ordinal))
			first = &flows[i];
	}
	return first;
}

Test(hold_queue, is_empty_at_first)
{
	struct budget budget;
	struct hold_queue queue;
	budget_init(&budget, 1U << 20);
	hold_queue_init(&queue, &budget);
	cr_assert_null(hold_queue_first(&queue, INT64_MAX));
	hold_queue_free(&queue);
	cr_assert_eq(budget.used, 0);
}

Test(hold_queue, gives_the_earliest_and_of_equals_the_older_session)
{
	static struct flow flows[FLOWS];
	struct budget budget;
	struct hold_queue queue;
	fill(flows);
	budget_init(&budget, 1U << 20);
	hold_queue_init(&queue, &budget);
	hold_queue_set(&queue, &flows[1], 50);
	hold_queue_set(&queue, &flows[2], 50);
	hold_queue_set(&queue, &flows[3], 40);
	cr_assert_null(hold_queue_first(&queue, 39));
	cr_assert_eq(hold_queue_first(&queue, 40), &flows[3]);
	hold_queue_set(&queue, &flows[3], 60);
	cr_assert_eq(hold_queue_first(&queue, 60), &flows[2]);
	cr_assert_eq(hold_queue_due(&queue, &flows[2]), 50);
	hold_queue_set(&queue, &flows[2], INT64_MAX);
	cr_assert_eq(hold_queue_first(&queue, 60), &flows[1]);
	hold_queue_set(&queue, &flows[1], INT64_MAX);
	hold_queue_set(&queue, &flows[1], INT64_MAX);
	cr_assert_eq(hold_queue_first(&queue, 60), &flows[3]);
	hold_queue_free(&queue);
	cr_assert_eq(budget.used, 0);
}

/* Set anew, taken out and asked in any order: always what a search through all would say. */
Test(hold_queue, agrees_with_a_search)
{
	static struct flow flows[FLOWS];
	static int64_t due[FLOWS];
	struct budget budget;
	struct hold_queue queue;
	uint32_t random = 1;
	fill(flows);
	for (uint32_t i = 0; i < FLOWS; i++)
		due[i] = INT64_MAX;
	budget_init(&budget, 1U << 20);
	hold_queue_init(&queue, &budget);
	for (uint32_t step = 0; step < 20000; step++) {
		random = random * 1664525U + 1013904223U;
		uint32_t i = (random >> 8) % FLOWS;
		due[i] = (random >> 28) < 4 ? INT64_MAX : (int64_t)((random >> 16) % 97);
		hold_queue_set(&queue, &flows[i], due[i]);
		cr_assert_eq(hold_queue_first(&queue, 50), slow_first(flows, due, 50));
		cr_assert_eq(hold_queue_first(&queue, 1000), slow_first(flows, due, 1000));
	}
	hold_queue_free(&queue);
	cr_assert_eq(budget.used, 0);
}

Test(hold_queue, does_without_memory)
{
	static struct flow flows[FLOWS];
	struct budget budget;
	struct hold_queue queue;
	fill(flows);
	budget_init(&budget, 64 * sizeof(struct hold));
	hold_queue_init(&queue, &budget);
	for (uint32_t i = 0; i < 65; i++)
		hold_queue_set(&queue, &flows[i], i);
	cr_assert_eq(budget.refused, 1);
	cr_assert_eq(flows[64].hold, 0);
	cr_assert_eq(hold_queue_first(&queue, 100), &flows[0]);
	hold_queue_free(&queue);
}
