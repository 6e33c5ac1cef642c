/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that wait a moment in front of the worker that the reader does itself, until what they
 * need is near: where their connection stands, it, its session and the payload are fetched one
 * after the other, a few packets ahead. Without it each of them is a wait for memory.
 *
 * All of one queue lie in the same window, which it holds.
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
};

static inline bool lookahead_empty(const struct lookahead *ahead)
{
	return ahead->begin == ahead->end;
}

/* The packet that was added last, of those that wait. */
static inline const struct followed_packet *lookahead_last(const struct lookahead *ahead)
{
	return &ahead->slots[(ahead->end - 1) % LOOKAHEAD_SLOTS];
}

/* Where the next packet is to be written; nothing is added yet. */
static inline struct followed_packet *lookahead_place(struct lookahead *ahead)
{
	return &ahead->slots[ahead->end % LOOKAHEAD_SLOTS];
}

/*
 * From now on packets lie in this window. Those that wait have to be from it, too, or done
 * (lookahead_drain()).
 */
void lookahead_hold(struct lookahead *ahead, struct capture_window *window);

/* Adds the packet that was written there; the one that has waited long enough goes to work. */
void lookahead_add(struct lookahead *ahead, struct worker *worker);

/* All of them go to work, and the window is let go. */
void lookahead_drain(struct lookahead *ahead, struct worker *worker);

/* Nobody works on what waits: the window is let go. */
void lookahead_drop(struct lookahead *ahead);

#endif
