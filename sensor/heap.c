/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/heap.h"

#include <stdlib.h>

#ifdef __GLIBC__

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* From here on a block is mapped on its own: it may be a table of which little is used. */
#define MAPPED (24 << 20)

void heap_follow(struct heap_reach *reach)
{
	char *end = sbrk(0);
	if (end == reach->end)
		return;
	if (reach->end != NULL && end > reach->end) {
		/* Its pages begin where the end was, or around it. */
		const uintptr_t past = (uintptr_t)reach->end % (uintptr_t)sysconf(_SC_PAGESIZE);
		char *begin = reach->end - past;
		(void)madvise(begin, (size_t)(end - begin), MADV_HUGEPAGE);
	}
	reach->end = end;
}

void heap_begin(size_t step)
{
	if (step > INT32_MAX / 2 || mallopt(M_TOP_PAD, (int)step) == 0)
		return;
	(void)mallopt(M_TRIM_THRESHOLD, 2 * (int)step);
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED);
	(void)mallopt(M_ARENA_MAX, 1);
	/* More than is left of the 132 KiB that the heap began with: it grows. */
	char *first = malloc(step / 32);
	struct heap_reach reach = {.end = first};
	heap_follow(&reach);
	free(first);
}

#else

void heap_follow(struct heap_reach *reach)
{
	(void)reach;
}

void heap_begin(size_t step)
{
	(void)step;
}

#endif
