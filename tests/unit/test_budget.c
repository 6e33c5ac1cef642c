/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/budget.h"

#include <criterion/criterion.h>
#include <malloc.h>
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

Test(budget, keeps_what_is_given_back)
{
	struct budget b;
	budget_init(&b, 100000);
	budget_keep(&b, 2);
	void *blocks[3];
	for (size_t i = 0; i < 3; i++)
		blocks[i] = budget_alloc(&b, 40);
	for (size_t i = 0; i < 3; i++)
		budget_free(&b, blocks[i], 40);
	cr_expect_eq(b.used, 0, "what is kept is not out");
	/* The latest that there was room for comes first; a request is rounded up to 40. */
	cr_expect_eq(budget_alloc(&b, 25), blocks[1]);
	cr_expect_eq(budget_alloc(&b, 40), blocks[0]);
	cr_expect_eq(b.used, 65);
	budget_free(&b, blocks[0], 40);
	budget_free(&b, blocks[1], 25);
	budget_release(&b);
	cr_expect_eq(b.used, 0);
}

Test(budget, a_block_of_each_size_is_large_enough)
{
	struct budget b;
	budget_init(&b, 1U << 20);
	budget_keep(&b, 4);
	/* The smaller request first: its block serves the larger one only if that fits. */
	for (size_t size = 1; size < 1100; size++) {
		void *first = budget_alloc(&b, size);
		cr_assert_not_null(first);
		memset(first, 0xee, size);
		budget_free(&b, first, size);
		unsigned char *second = budget_alloc(&b, size + 1);
		cr_assert_not_null(second);
		cr_assert_geq(malloc_usable_size(second), size + 1, "%zu", size + 1);
		budget_free(&b, second, size + 1);
	}
	cr_expect_eq(b.used, 0);
	budget_release(&b);
}

Test(budget, resize_of_what_is_kept)
{
	struct budget b;
	budget_init(&b, 4000);
	budget_keep(&b, 4);
	size_t size = 7;
	unsigned char *block = budget_alloc(&b, size);
	cr_assert_not_null(block);
	memset(block, 1, size);
	static const size_t sizes[] = {8, 9, 24, 25, 1016, 1017, 3000, 1016, 30, 3};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		unsigned char *moved = budget_resize(&b, block, size, sizes[i]);
		cr_assert_not_null(moved, "%zu", sizes[i]);
		block = moved;
		for (size_t at = 0; at < size && at < sizes[i] && at < 3; at++)
			cr_expect_eq(block[at], 1);
		size = sizes[i];
		cr_expect_eq(b.used, size);
	}
	cr_expect_null(budget_resize(&b, block, size, 4001), "beyond the cap");
	cr_expect_eq(b.used, size);
	budget_free(&b, block, size);
	cr_expect_eq(b.used, 0);
	budget_release(&b);
}
