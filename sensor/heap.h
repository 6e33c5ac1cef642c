/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where malloc() gets its memory from.
 *
 * What a sensor knows of its connections lies in many small blocks, and every packet asks for
 * others of them: with pages of 4 KiB the processor has to look up for most of them where they
 * are. So the heap is of huge pages, where the system gives them to who asks
 * (/sys/kernel/mm/transparent_hugepage/enabled: madvise or always) and the C library is glibc.
 * Elsewhere nothing happens. A huge page is there once a part of it is used: at most one more
 * than the heap needs, 2 MiB on x86.
 */
#ifndef SENSOR_HEAP_H
#define SENSOR_HEAP_H

#include <stddef.h>

/* How far the heap reached when it was last looked at; zeroed before the first time. */
struct heap_reach {
	char *end;
};

/*
 * From now on the heap grows by step bytes of addresses at least, none of them used yet, and what
 * it grows by here is of huge pages. It is given back to the system when more than twice as much
 * is free at its end. step: some huge pages, less than 1 GiB. To be called once, before much of the
 * heap is used and before there are threads, which share it from then on: a heap of a thread's own
 * would be of small pages.
 */
void heap_begin(size_t step);

/*
 * What the heap has grown by since reach was last looked at is of huge pages as well, but for
 * pages that were used meanwhile. To be called every now and then, of any thread: it is a
 * comparison as long as nothing has grown.
 */
void heap_follow(struct heap_reach *reach);

#endif
