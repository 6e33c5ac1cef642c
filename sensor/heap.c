/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/heap.h"

#include <stdlib.h>

#ifdef __GLIBC__

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((uintptr_t)2 << 20) /* with pages of 4 KiB; a larger one has no room */

/* As it is without heap_reserve(), but no longer raised when a larger block is freed. */
#define MMAP_THRESHOLD (128 * 1024)

void heap_reserve(size_t size)
{
	if (size < 3 * HUGE_PAGE || size > INT32_MAX || mallopt(M_TRIM_THRESHOLD, (int)size) == 0)
		return;
	/* A block that comes from the heap's end, and leaves its place there for others. */
	(void)mallopt(M_MMAP_THRESHOLD, (int)size);
	char *stretch = malloc(size - HUGE_PAGE);
	const uintptr_t past = (uintptr_t)stretch % HUGE_PAGE;
	if (stretch != NULL)
		(void)madvise(stretch + (past == 0 ? 0 : HUGE_PAGE - past), size - 2 * HUGE_PAGE,
			      MADV_HUGEPAGE);
	free(stretch);
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	(void)mallopt(M_ARENA_MAX, 1);
}

#else

void heap_reserve(size_t size)
{
	(void)size;
}

#endif
