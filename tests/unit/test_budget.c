/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/budget.h"

#include <criterion/criterion.h>
#include <string.h>

Test(budget, counts_what_is_out)
{
	struct budget b;
	budget_init(&b, 100);
	void *first = budget_alloc(&b, 60);
	cr_assert_not_null(first);
	cr_expect_null(budget_alloc(&b, 41), "beyond the cap");
	void *second = budget_alloc(&b, 40);
	cr_assert_not_null(second);
	cr_expect_eq(b.used, 100);
	cr_expect_eq(b.refused, 1);
	budget_free(&b, first, 60);
	cr_expect_eq(b.used, 40);
	cr_expect_eq(b.peak, 100);
	budget_free(&b, second, 40);
	budget_free(&b, NULL, 40);
	cr_expect_eq(b.used, 0);
}

Test(budget, nothing_of_nothing)
{
	struct budget b;
	budget_init(&b, 100);
	cr_expect_null(budget_alloc(&b, 0));
	cr_expect_null(budget_calloc(&b, 0, 8));
	cr_expect_eq(b.refused, 0);
}

Test(budget, products_that_overflow)
{
	struct budget b;
	budget_init(&b, SIZE_MAX);
	cr_expect_null(budget_calloc(&b, SIZE_MAX / 2, 3));
	cr_expect_eq(b.refused, 1);
	cr_expect_eq(b.used, 0);
}

Test(budget, calloc_is_zero)
{
	struct budget b;
	budget_init(&b, 1000);
	unsigned char *block = budget_calloc(&b, 10, 10);
	cr_assert_not_null(block);
	for (size_t i = 0; i < 100; i++)
		cr_expect_eq(block[i], 0);
	budget_free(&b, block, 100);
}

Test(budget, resize)
{
	struct budget b;
	budget_init(&b, 100);
	char *block = budget_resize(&b, NULL, 0, 10);
	cr_assert_not_null(block);
	memcpy(block, "123456789", 10);
	cr_expect_null(budget_resize(&b, block, 10, 101));
	cr_expect_eq(b.used, 10, "refused: as before");
	cr_expect_str_eq(block, "123456789");
	block = budget_resize(&b, block, 10, 100);
	cr_assert_not_null(block);
	cr_expect_str_eq(block, "123456789");
	cr_expect_eq(b.used, 100);
	block = budget_resize(&b, block, 100, 20);
	cr_assert_not_null(block);
	cr_expect_eq(b.used, 20);
	budget_free(&b, block, 20);
	cr_expect_eq(b.used, 0);
}

Test(budget, injected_fault)
{
	struct budget b;
	budget_init(&b, 100);
	b.fail_at = 2;
	void *first = budget_alloc(&b, 1);
	cr_expect_not_null(first);
	cr_expect_null(budget_alloc(&b, 1));
	void *third = budget_alloc(&b, 1);
	cr_expect_not_null(third, "only that one");
	cr_expect_eq(b.refused, 1);
	budget_free(&b, first, 1);
	budget_free(&b, third, 1);
}

Test(budget, reserve)
{
	struct budget b;
	budget_init(&b, 100);
	b.reserve = 30;
	cr_expect_null(budget_alloc(&b, 71));
	budget_reserve_open(&b, true);
	void *block = budget_alloc(&b, 90);
	cr_assert_not_null(block);
	budget_reserve_open(&b, false);
	cr_expect_null(budget_alloc(&b, 1), "beyond what is not in reserve");
	budget_free(&b, block, 90);
	block = budget_alloc(&b, 70);
	cr_expect_not_null(block);
	budget_free(&b, block, 70);
}
