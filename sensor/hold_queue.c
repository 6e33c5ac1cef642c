/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/hold_queue.h"

/* flow->hold is the place in the heap and one, so that 0 says that it is in none. */

void hold_queue_init(struct hold_queue *queue, struct budget *budget)
{
	*queue = (struct hold_queue){.budget = budget};
}

void hold_queue_free(struct hold_queue *queue)
{
	budget_free(queue->budget, queue->heap, queue->room * sizeof *queue->heap);
	queue->heap = NULL;
	queue->count = queue->room = 0;
}

static bool comes_before(const struct hold *a, const struct hold *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->flow->first_ordinal < b->flow->first_ordinal;
}

static void put(struct hold_queue *queue, uint32_t place, struct hold hold)
{
	queue->heap[place] = hold;
	hold.flow->hold = place + 1;
}

/* Puts a hold where it belongs, starting from a place that is free. */
static void sift(struct hold_queue *queue, uint32_t place, struct hold hold)
{
	while (place > 0) {
		uint32_t parent = (place - 1) / 2;
		if (!comes_before(&hold, &queue->heap[parent]))
			break;
		put(queue, place, queue->heap[parent]);
		place = parent;
	}
	for (;;) {
		uint32_t child = 2 * place + 1;
		if (child >= queue->count)
			break;
		if (child + 1 < queue->count &&
		    comes_before(&queue->heap[child + 1], &queue->heap[child]))
			child++;
		if (!comes_before(&queue->heap[child], &hold))
			break;
		put(queue, place, queue->heap[child]);
		place = child;
	}
	put(queue, place, hold);
}

static void drop(struct hold_queue *queue, struct flow *flow)
{
	uint32_t place = flow->hold - 1;
	flow->hold = 0;
	queue->count--;
	if (place < queue->count)
		sift(queue, place, queue->heap[queue->count]);
}

static bool make_room(struct hold_queue *queue)
{
	if (queue->count < queue->room)
		return true;
	uint32_t room = queue->room == 0 ? 64 : queue->room * 2;
	struct hold *heap =
	    budget_resize(queue->budget, queue->heap, queue->room * sizeof *queue->heap,
			  room * sizeof *queue->heap);
	if (heap == NULL)
		return false;
	queue->heap = heap;
	queue->room = room;
	return true;
}

void hold_queue_set(struct hold_queue *queue, struct flow *flow, int64_t due_ns)
{
	if (due_ns == INT64_MAX) {
		if (flow->hold != 0)
			drop(queue, flow);
		return;
	}
	const struct hold hold = {.due_ns = due_ns, .flow = flow};
	if (flow->hold != 0) {
		sift(queue, flow->hold - 1, hold);
		return;
	}
	if (make_room(queue))
		sift(queue, queue->count++, hold);
}

int64_t hold_queue_due(const struct hold_queue *queue, const struct flow *flow)
{
	return queue->heap[flow->hold - 1].due_ns;
}
