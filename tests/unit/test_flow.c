/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which connections end does not depend on how the table came about. */
#include "sensor/flow.h"

#include <criterion/criterion.h>

#define SECOND INT64_C(1000000000)
#define FLOWS  500U

static const struct flow_limits limits = {
    .max_flows = 10000, .idle_ns = 3600 * SECOND, .half_open_ns = 300 * SECOND};

static struct flow_key key_of(uint32_t number)
{
	struct flow_key key = {.port = {25, (uint16_t)(1024 + number)}, .version = 4};
	key.addr[0][0] = 192;
	key.addr[1][3] = (uint8_t)(number >> 8);
	return key;
}

static uint32_t number_of(const struct flow *flow)
{
	return flow->key.port[1] - 1024U;
}

/* When connection number was used last: several share a time, and it does not follow the number. */
static int64_t last_of(uint32_t number)
{
	return (1000 + (int64_t)(number * 7919U % 97U)) * SECOND / 10;
}

/*
 * Those of part modulo parts, in an order that the seed shuffles; some come and go in between,
 * so that places in the table are used again.
 */
static struct flow_table *fill(struct budget *budget, uint32_t part, uint32_t parts, uint32_t seed)
{
	const struct siphash_key secret = {.k0 = seed, .k1 = 1};
	struct flow_table *table = flow_table_create(budget, &limits, &secret);
	cr_assert_not_null(table);
	cr_assert_null(flow_expired(table, 90 * SECOND));
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint32_t number = (i * 211U + seed) % FLOWS;
		if (number % parts != part)
			continue;
		struct flow_key passing = key_of(number + FLOWS), key = key_of(number);
		struct flow *gone = flow_add(table, &passing, 90 * SECOND, 90 * SECOND);
		struct flow *flow = flow_add(table, &key, 90 * SECOND, 90 * SECOND);
		cr_assert_not_null(gone);
		cr_assert_not_null(flow);
		flow->first_ordinal = number;
		flow->last_ns = last_of(number);
		if ((number + seed) % 3 == 0)
			flow_remove(table, flow_find(table, &passing));
		else
			gone->over = true;
	}
	return table;
}

/* The next that is one of ours; the others go. */
static struct flow *next_of(struct flow_table *table, int64_t now_ns)
{
	struct flow *flow;
	while ((flow = flow_expired(table, now_ns)) != NULL && number_of(flow) >= FLOWS)
		flow_remove(table, flow);
	return flow;
}

static bool comes_before(uint32_t a, uint32_t b, bool by_time)
{
	if (by_time && last_of(a) != last_of(b))
		return last_of(a) < last_of(b);
	return a < b;
}

static void check_order(uint32_t parts, uint32_t seed, bool finish)
{
	struct budget budget;
	budget_init(&budget, 16U << 20);
	for (uint32_t part = 0; part < parts; part++) {
		struct flow_table *table = fill(&budget, part, parts, seed);
		uint32_t count = 0, before = 0;
		if (finish)
			flow_finish(table);
		for (struct flow *flow; (flow = next_of(table, 900 * SECOND)) != NULL; count++) {
			uint32_t number = number_of(flow);
			cr_assert(count == 0 || comes_before(before, number, !finish),
				  "%u came before %u", before, number);
			before = number;
			flow_remove(table, flow);
		}
		cr_assert_eq(count, FLOWS / parts);
		flow_table_destroy(table);
	}
	cr_assert_eq(budget.used, 0);
}

Test(flow, connections_time_out_by_their_time_then_by_their_first_packet)
{
	for (uint32_t seed = 0; seed < 5; seed++) {
		check_order(1, seed, false);
		check_order(4, seed, false);
	}
}

Test(flow, at_the_end_of_input_they_come_by_their_first_packet)
{
	for (uint32_t seed = 0; seed < 5; seed++) {
		check_order(1, seed, true);
		check_order(4, seed, true);
	}
}

Test(flow, what_is_used_meanwhile_stays)
{
	struct budget budget;
	budget_init(&budget, 16U << 20);
	struct flow_table *table = fill(&budget, 0, 1, 3);
	struct flow_key key = key_of(17);
	flow_find(table, &key)->last_ns = 700 * SECOND;
	uint32_t count = 0;
	for (struct flow *flow; (flow = next_of(table, 900 * SECOND)) != NULL; count++) {
		cr_assert_neq(number_of(flow), 17);
		flow_remove(table, flow);
	}
	cr_assert_eq(count, FLOWS - 1);
	cr_assert_null(flow_expired(table, 999 * SECOND));
	struct flow *flow = next_of(table, 1001 * SECOND);
	cr_assert_not_null(flow);
	cr_assert_eq(number_of(flow), 17);
	flow_remove(table, flow);
	flow_table_destroy(table);
}

/* ---- parts of all connections ---- */

Test(flow, parts_are_of_one_size_and_the_same_in_every_run)
{
	struct flow_hash parts;
	unsigned counts[FLOW_PARTS] = {0};

	flow_parts_init(&parts);
	for (uint32_t i = 0; i < FLOW_PARTS * 100; i++) {
		const struct flow_key key = key_of(i);
		const unsigned part = flow_part(&parts, &key);
		cr_assert_lt(part, FLOW_PARTS);
		counts[part]++;
	}
	for (unsigned i = 0; i < FLOW_PARTS; i++)
		cr_expect(counts[i] >= 50 && counts[i] <= 150, "part %u: %u of 6400", i, counts[i]);
	/* Which one it is decides what gives way where there is no room: nothing but the key may.
	 */
	const struct flow_key first = key_of(1), second = key_of(2);
	cr_expect_eq(flow_part(&parts, &first), 1);
	cr_expect_eq(flow_part(&parts, &second), 8);
}

/* ---- endpoints that open another connection ---- */

Test(flow, one_that_is_set_aside_is_found_as_such)
{
	const struct siphash_key secret = {.k0 = 3, .k1 = 4};
	struct budget budget;
	budget_init(&budget, 64 << 20);
	struct flow_table *table = flow_table_create(&budget, &limits, &secret);
	const struct flow_key key = key_of(1), other = key_of(2);
	struct smtp_session *session = (void *)&budget; /* alive: not looked at */
	cr_assert_null(flow_expired(table, 0));

	struct flow *first = flow_add(table, &key, 0, 0);
	first->session = session;
	cr_assert_not_null(flow_add(table, &other, 0, 0));
	cr_expect_null(flow_aside(table, &key));
	cr_assert(flow_set_aside(table, first));
	cr_expect_null(flow_find(table, &key));
	cr_expect_eq(flow_aside(table, &key), first);
	cr_expect_null(flow_aside(table, &other));
	cr_expect_not(flow_set_aside(table, first), "it is");

	struct flow *second = flow_add(table, &key, 0, 0);
	cr_expect_eq(flow_find(table, &key), second);
	cr_expect_not(flow_set_aside(table, second), "there is one already");
	cr_expect_eq(flow_find(table, &key), second);

	flow_remove(table, first);
	cr_expect_null(flow_aside(table, &key));
	cr_expect_eq(flow_find(table, &key), second);
	flow_remove(table, second);
	flow_remove(table, flow_find(table, &other));
	flow_table_destroy(table);
	cr_expect_eq(budget.used, 0);
}
