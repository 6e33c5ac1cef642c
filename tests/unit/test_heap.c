/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/heap.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether the mapping that the address lies in is marked for huge pages (VmFlags hg, proc(5)). */
static bool is_marked(const void *address)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[512];
	bool inside = false, marked = false;
	cr_assert_not_null(maps);
	while (fgets(line, sizeof line, maps) != NULL) {
		unsigned long begin, end;
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			marked = strstr(line, " hg") != NULL;
	}
	(void)fclose(maps);
	return marked;
}

Test(heap, its_first_stretch_is_of_huge_pages)
{
#if defined(__SANITIZE_ADDRESS__)
	cr_skip("this build has a heap of its own");
#endif
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) != 0)
		cr_skip("this system has no huge pages to ask for");
	heap_reserve((size_t)12 << 20);
	/* As small as those of a session; the first ones lie before the first huge page. */
	void *block = NULL;
	for (size_t taken = 0; taken < (size_t)4 << 20; taken += 1000) {
		block = malloc(1000);
		cr_assert_not_null(block);
	}
	cr_expect(is_marked(block));
}

Test(heap, a_table_that_is_larger_lies_elsewhere)
{
#if defined(__SANITIZE_ADDRESS__)
	cr_skip("this build has a heap of its own");
#endif
	heap_reserve((size_t)12 << 20);
	const struct mallinfo2 before = mallinfo2();
	void *table = calloc(1, (size_t)36 << 20);
	cr_assert_not_null(table);
	cr_expect_eq(mallinfo2().hblks, before.hblks + 1, "a mapping of its own");
	free(table);
}

Test(heap, too_little_is_not_reserved)
{
	heap_reserve(0);
	heap_reserve((size_t)5 << 20);
	void *block = malloc(1000);
	cr_assert_not_null(block);
	cr_expect_not(is_marked(block));
	free(block);
}
