/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching memory before it is needed. It changes nothing but the time that a later access
 * takes; on a machine that has no instruction for it nothing happens.
 */
#ifndef SENSOR_MEMORY_FETCH_H
#define SENSOR_MEMORY_FETCH_H

#include <stddef.h>
#include <stdint.h>

#define MEMORY_LINE 64U /* bytes that come together; elsewhere than on x86 and ARM a guess */

/* To be read soon. */
static inline void memory_fetch(const void *memory, size_t size)
{
	for (size_t at = 0; at < size; at += MEMORY_LINE)
		__builtin_prefetch((const char *)memory + at, 0);
}

/* The same for bytes that begin anywhere: every line that one of them lies in. */
static inline void memory_fetch_bytes(const uint8_t *bytes, size_t len)
{
	const uint8_t *line = bytes - (uintptr_t)bytes % MEMORY_LINE;
	for (const uint8_t *end = bytes + len; line < end; line += MEMORY_LINE)
		__builtin_prefetch(line, 0);
}

/* To be written soon: what another core has of it is taken from there now. */
static inline void memory_fetch_to_write(const void *memory, size_t size)
{
	for (size_t at = 0; at < size; at += MEMORY_LINE)
		__builtin_prefetch((const char *)memory + at, 1);
}

#endif
