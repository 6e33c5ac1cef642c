/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/lookahead.h"

_Static_assert(LOOKAHEAD_SLOTS > FETCH_PLACE_AHEAD, "one is written while the others wait");

void lookahead_hold(struct lookahead *ahead, struct capture_window *window)
{
	capture_window_retain(window);
	if (ahead->window != NULL)
		capture_window_release(ahead->window);
	ahead->window = window;
}

static struct followed_packet *slot(struct lookahead *ahead, uint32_t number)
{
	return &ahead->slots[number % LOOKAHEAD_SLOTS];
}

void lookahead_add(struct lookahead *ahead, struct worker *worker)
{
	const struct pipeline *pipeline = worker->pipeline;
	const uint32_t last = ahead->end++, count = ahead->end - ahead->begin;

	pipeline_fetch_place(pipeline, slot(ahead, last));
	if (count > FETCH_PLACE_AHEAD - FETCH_AHEAD)
		pipeline_fetch(pipeline, slot(ahead, last - (FETCH_PLACE_AHEAD - FETCH_AHEAD)));
	if (count > FETCH_PLACE_AHEAD - FETCH_SESSION_AHEAD)
		pipeline_fetch_session(
		    pipeline, slot(ahead, last - (FETCH_PLACE_AHEAD - FETCH_SESSION_AHEAD)));
	if (count > FETCH_PLACE_AHEAD)
		worker_packet(worker, slot(ahead, ahead->begin++));
}

void lookahead_drain(struct lookahead *ahead, struct worker *worker)
{
	while (!lookahead_empty(ahead))
		worker_packet(worker, slot(ahead, ahead->begin++));
	lookahead_drop(ahead);
}

void lookahead_drop(struct lookahead *ahead)
{
	ahead->begin = ahead->end;
	if (ahead->window != NULL)
		capture_window_release(ahead->window);
	ahead->window = NULL;
}
