/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where malloc() gets its memory from.
 *
 * What a sensor knows of some thousand connections lies in many small blocks, and every packet
 * asks for others of them: with pages of 4 KiB the processor looks up for most where they are. So
 * the heap's first stretch is one of huge pages, where the system gives them to who asks
 * (/sys/kernel/mm/transparent_hugepage/enabled: madvise or always) and the C library is glibc.
 * Elsewhere nothing happens. A huge page is there once a part of it is used: at most one more
 * than the heap needs, 2 MiB on x86.
 */
#ifndef SENSOR_HEAP_H
#define SENSOR_HEAP_H

#include <stddef.h>

/*
 * Reserves size bytes of addresses at the end of the heap, none of them used yet: 6 MiB at least,
 * 2 GiB at most. To be called once, before much of the heap is used and before there are threads,
 * which share it from then on: a heap of a thread's own would be of small pages. The heap is no
 * longer given back to the system below that size.
 */
void heap_reserve(size_t size);

#endif
