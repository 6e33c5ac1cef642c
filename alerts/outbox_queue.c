/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/outbox_queue.h"

#include <stdlib.h>

void outbox_queue_init(struct outbox_queue *queue, size_t max_bytes)
{
	*queue = (struct outbox_queue){.max_bytes = max_bytes};
}

static size_t cost(size_t size)
{
	return sizeof(struct outbox_item) + size;
}

/* Unlinks the oldest item of a severity, of which there must be one. */
static struct outbox_item *take_oldest(struct outbox_queue *queue, unsigned severity)
{
	struct outbox_item *item = queue->first[severity];

	queue->first[severity] = item->next;
	if (item->next == NULL)
		queue->last[severity] = NULL;
	queue->bytes -= cost(item->size);
	queue->count--;
	return item;
}

static void remove_oldest(struct outbox_queue *queue, unsigned severity)
{
	free(take_oldest(queue, severity));
}

void outbox_queue_clear(struct outbox_queue *queue)
{
	for (unsigned severity = 0; severity < OUTBOX_SEVERITIES; severity++)
		while (queue->first[severity] != NULL)
			remove_oldest(queue, severity);
}

/* Drops the oldest of a severity that is not being written; false when there is none. */
static bool drop_oldest(struct outbox_queue *queue, unsigned severity)
{
	struct outbox_item *item = queue->first[severity];

	if (item == NULL)
		return false;
	if (item != queue->busy) {
		remove_oldest(queue, severity);
	} else {
		struct outbox_item *second = item->next;
		if (second == NULL)
			return false;
		item->next = second->next;
		if (second->next == NULL)
			queue->last[severity] = item;
		queue->bytes -= cost(second->size);
		queue->count--;
		free(second);
	}
	queue->dropped[severity]++;
	return true;
}

static bool fits(const struct outbox_queue *queue, size_t size)
{
	return cost(size) <= queue->max_bytes && queue->bytes <= queue->max_bytes - cost(size);
}

bool outbox_queue_has_room(const struct outbox_queue *queue, const struct outbox_record *record)
{
	return fits(queue, outbox_record_size(record));
}

bool outbox_queue_push(struct outbox_queue *queue, const struct outbox_record *record)
{
	size_t size = outbox_record_size(record);
	unsigned victim = 0;

	while (!fits(queue, size) && victim <= record->severity)
		if (!drop_oldest(queue, victim))
			victim++;
	struct outbox_item *item = fits(queue, size) ? malloc(cost(size)) : NULL;
	if (item == NULL) {
		queue->dropped[record->severity]++;
		return false;
	}
	item->next = NULL;
	item->sequence = record->sequence;
	item->raised_ns = record->raised_ns;
	item->severity = record->severity;
	item->size = outbox_record_encode(record, item->bytes);
	if (queue->last[record->severity] != NULL)
		queue->last[record->severity]->next = item;
	else
		queue->first[record->severity] = item;
	queue->last[record->severity] = item;
	queue->bytes += cost(size);
	queue->count++;
	return true;
}

static unsigned lowest(const struct outbox_item *const heads[OUTBOX_SEVERITIES])
{
	unsigned best = OUTBOX_SEVERITIES;

	for (unsigned i = 0; i < OUTBOX_SEVERITIES; i++)
		if (heads[i] != NULL &&
		    (best == OUTBOX_SEVERITIES || heads[i]->sequence < heads[best]->sequence))
			best = i;
	return best;
}

const struct outbox_item *outbox_queue_first(const struct outbox_queue *queue)
{
	struct outbox_queue_walk walk = outbox_queue_walk(queue);

	return outbox_queue_next(&walk);
}

struct outbox_item *outbox_queue_take_first(struct outbox_queue *queue)
{
	const struct outbox_item *item = outbox_queue_first(queue);

	return item == NULL ? NULL : take_oldest(queue, item->severity);
}

void outbox_queue_remove_first(struct outbox_queue *queue)
{
	free(outbox_queue_take_first(queue));
}

struct outbox_queue_walk outbox_queue_walk(const struct outbox_queue *queue)
{
	struct outbox_queue_walk walk;

	for (unsigned i = 0; i < OUTBOX_SEVERITIES; i++)
		walk.next[i] = queue->first[i];
	return walk;
}

const struct outbox_item *outbox_queue_next(struct outbox_queue_walk *walk)
{
	unsigned best = lowest(walk->next);

	if (best == OUTBOX_SEVERITIES)
		return NULL;
	const struct outbox_item *item = walk->next[best];
	walk->next[best] = item->next;
	return item;
}
