/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections that hold bytes back for a time (stream_deadline()), earliest first: a
 * binary heap. Only those are in it, so a connection whose bytes come in order costs
 * nothing here, and the clock looks at one number.
 *
 * Of several that are due, the order is that of their times and then of their sessions'
 * first packets: it does not depend on how the table of connections is laid out.
 */
#ifndef SENSOR_HOLD_QUEUE_H
#define SENSOR_HOLD_QUEUE_H

#include "sensor/flow.h"

struct hold {
	int64_t due_ns; /* by the clock of the input */
	struct flow *flow;
};

struct hold_queue {
	struct budget *budget; /* borrowed */
	struct hold *heap;
	uint32_t count, room;
};

void hold_queue_init(struct hold_queue *queue, struct budget *budget);
void hold_queue_free(struct hold_queue *queue);

/*
 * The flow is due at due_ns, whatever was said before. INT64_MAX: it holds nothing. Where
 * the budget has no memory (which it counts), a later segment of the flow ends its hold.
 */
void hold_queue_set(struct hold_queue *queue, struct flow *flow, int64_t due_ns);

/* When a flow that is in the queue is due. */
int64_t hold_queue_due(const struct hold_queue *queue, const struct flow *flow);

/* The first that is due by now_ns, or NULL. It stays in the queue until it is set anew. */
static inline struct flow *hold_queue_first(const struct hold_queue *queue, int64_t now_ns)
{
	return queue->count > 0 && queue->heap[0].due_ns <= now_ns ? queue->heap[0].flow : NULL;
}

#endif
