/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker that the reader does itself, and packets that wait a moment in front of it, until what
 * they need is near: where their connection stands, it, its session and the payload are fetched one
 * after the other, a few packets ahead. Without it each of them is a wait for memory.
 *
 * All that wait lie in the same window, which is held meanwhile.
 */
#ifndef SENSOR_LOOKAHEAD_H
#define SENSOR_LOOKAHEAD_H

#include "sensor/capture_window.h"
#include "sensor/memory_fetch.h"
#include "sensor/worker.h"

#define LOOKAHEAD_SLOTS 16U /* more than wait, a power of two */

struct lookahead {
	_Alignas(MEMORY_LINE) struct followed_packet slots[LOOKAHEAD_SLOTS];
	uint32_t begin, end; /* of those that wait; they count on and wrap around */
	struct capture_window *window;
	struct worker *worker; /* borrowed */
	uint32_t near_flows;   /* connections up to which no packet waits for others */
};

/* NULL when out of memory. The worker has no thread. */
struct lookahead *lookahead_create(struct worker *worker, uint32_t near_flows);

/* Nobody works on what waits. NULL is allowed. */
void lookahead_destroy(struct lookahead *ahead);

/* Where the next packet is to be written; nothing is added yet. */
static inline struct followed_packet *lookahead_place(struct lookahead *ahead)
{
	return &ahead->slots[ahead->end % LOOKAHEAD_SLOTS];
}

/* The packet that was written there goes to work, or waits and another one goes. */
void lookahead_packet(struct lookahead *ahead, const struct capture_packet *captured);

/* The common clock, at a frame of which no packet is this worker's. */
void lookahead_clock(struct lookahead *ahead, int64_t clock_ns, uint64_t ordinal);

/* All that wait go to work, and their window is let go. */
void lookahead_drain(struct lookahead *ahead);

#endif
