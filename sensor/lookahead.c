/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/lookahead.h"

#include <stdlib.h>

_Static_assert(LOOKAHEAD_SLOTS > FETCH_PLACE_AHEAD, "one is written while the others wait");

struct lookahead *lookahead_create(struct worker *worker, uint32_t near_flows)
{
	struct lookahead *ahead = aligned_alloc(MEMORY_LINE, sizeof *ahead);
	if (ahead != NULL)
		*ahead = (struct lookahead){.worker = worker, .near_flows = near_flows};
	return ahead;
}

/* None waits, and no window is held. */
static void let_go(struct lookahead *ahead)
{
	ahead->begin = ahead->end;
	if (ahead->window != NULL)
		capture_window_release(ahead->window);
	ahead->window = NULL;
}

void lookahead_destroy(struct lookahead *ahead)
{
	if (ahead != NULL)
		let_go(ahead);
	free(ahead);
}

static struct followed_packet *slot(struct lookahead *ahead, uint32_t number)
{
	return &ahead->slots[number % LOOKAHEAD_SLOTS];
}

void lookahead_drain(struct lookahead *ahead)
{
	while (ahead->begin != ahead->end)
		worker_packet(ahead->worker, slot(ahead, ahead->begin++));
	let_go(ahead);
}

/* The packet that was written to the next place waits; the one that has waited long enough goes. */
static void add(struct lookahead *ahead)
{
	const struct pipeline *pipeline = ahead->worker->pipeline;
	const uint32_t last = ahead->end++, count = ahead->end - ahead->begin;

	pipeline_fetch_place(pipeline, slot(ahead, last));
	if (count > FETCH_PLACE_AHEAD - FETCH_AHEAD)
		pipeline_fetch(pipeline, slot(ahead, last - (FETCH_PLACE_AHEAD - FETCH_AHEAD)));
	if (count > FETCH_PLACE_AHEAD - FETCH_SESSION_AHEAD)
		pipeline_fetch_session(
		    pipeline, slot(ahead, last - (FETCH_PLACE_AHEAD - FETCH_SESSION_AHEAD)));
	if (count > FETCH_PLACE_AHEAD)
		worker_packet(ahead->worker, slot(ahead, ahead->begin++));
}

/*
 * Whether a frame's packet waits until memory is near: a file's pages that nobody has read yet are
 * not, nor are so many connections. What lies in no window does not last so long.
 */
static bool may_wait(const struct lookahead *ahead, const struct capture_packet *captured)
{
	return captured->window != NULL &&
	       (captured->window->mapped ||
		pipeline_connections(ahead->worker->pipeline) > ahead->near_flows);
}

void lookahead_packet(struct lookahead *ahead, const struct capture_packet *captured)
{
	const struct followed_packet *packet = lookahead_place(ahead);

	if (!may_wait(ahead, captured)) {
		lookahead_drain(ahead);
		worker_packet(ahead->worker, packet);
		return;
	}
	if (captured->window != ahead->window) {
		lookahead_drain(ahead);
		capture_window_retain(captured->window);
		ahead->window = captured->window;
	}
	const bool lasts = followed_packet_in_frame(packet);
	add(ahead);
	if (!lasts)
		lookahead_drain(ahead);
}

void lookahead_clock(struct lookahead *ahead, int64_t clock_ns, uint64_t ordinal)
{
	/* What waits has an older one. */
	if (ahead->begin != ahead->end) {
		const int64_t last_ns = slot(ahead, ahead->end - 1)->clock_ns;
		if (pipeline_beat(clock_ns) == pipeline_beat(last_ns))
			return;
		lookahead_drain(ahead);
	}
	worker_clock(ahead->worker, clock_ns, ordinal);
}
