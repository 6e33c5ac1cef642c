/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/lru_table.h"

#include <criterion/criterion.h>

#define MANY 5000U /* more than buckets at first, and than a chunk holds */

static const struct siphash_key hash_key = {.k0 = 1, .k1 = 2};

static void key_of(uint32_t number, uint8_t key[4])
{
	memcpy(key, &number, 4);
}

static uint32_t *find(struct lru_table *table, uint32_t number)
{
	uint8_t key[4];
	key_of(number, key);
	return lru_table_find(table, key);
}

static uint32_t *add(struct lru_table *table, uint32_t number)
{
	uint8_t key[4];
	key_of(number, key);
	uint32_t *value = lru_table_add(table, key);
	if (value != NULL)
		*value = number;
	return value;
}

/* Whatever comes and goes while the table grows, each key leads to its value, in the order of use.
 */
Test(lru_table, values_are_found_while_it_grows)
{
	struct budget budget;
	budget_init(&budget, 1U << 24);
	struct lru_table *table = lru_table_create(&budget, &hash_key, 4, sizeof(uint32_t), MANY);
	cr_assert_not_null(table);
	for (uint32_t i = 0; i < MANY; i++) {
		cr_assert_not_null(add(table, i));
		if (i % 7 == 3)
			lru_table_remove(table, find(table, i - 2));
	}
	uint32_t expected = 0;
	for (uint32_t *value = lru_table_oldest(table); value != NULL;
	     value = lru_table_newer(table, value), expected++) {
		while (expected % 7 == 1 && expected + 2 < MANY)
			expected++;
		cr_assert_eq(*value, expected);
	}
	cr_expect_eq(expected, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		const uint32_t *value = find(table, i);
		if (i % 7 == 1 && i + 2 < MANY)
			cr_assert_null(value, "%u was taken out", i);
		else
			cr_assert(value != NULL && *value == i, "%u", i);
	}
	lru_table_destroy(table);
	cr_expect_eq(budget.used, 0);
}

/* Where there is no memory for more buckets the chains get longer: nothing is lost. */
Test(lru_table, grows_without_memory_for_buckets)
{
	struct budget budget;
	budget_init(&budget, 1U << 24);
	struct lru_table *table = lru_table_create(&budget, &hash_key, 4, sizeof(uint32_t), MANY);
	for (uint32_t i = 0; i < 64; i++)
		cr_assert_not_null(add(table, i));
	budget.cap = budget.used;
	for (uint32_t i = 64; i < 256; i++) /* what the first chunk still holds */
		cr_assert_not_null(add(table, i));
	for (uint32_t i = 0; i < 256; i++) {
		const uint32_t *value = find(table, i);
		cr_assert(value != NULL && *value == i, "%u", i);
	}
	lru_table_destroy(table);
	cr_expect_eq(budget.used, 0);
}
