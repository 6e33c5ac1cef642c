/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded queue in memory between whoever raises alerts and the thread
 * that writes them; without a directory it is the whole outbox.
 *
 * One list per severity, merged by sequence when read. When there is no room
 * the oldest alert of the lowest severity gives way, but never to an alert of
 * a lower severity than its own.
 *
 * Not thread-safe: the outbox holds its lock around every call.
 */
#ifndef ALERTS_OUTBOX_QUEUE_H
#define ALERTS_OUTBOX_QUEUE_H

#include "alerts/outbox_record.h"

struct outbox_item {
	struct outbox_item *next;
	uint64_t sequence;
	int64_t raised_ns;
	unsigned severity;
	size_t size;     /* bytes of the encoded record */
	uint8_t bytes[]; /* the encoded record */
};

struct outbox_queue {
	struct outbox_item *first[OUTBOX_SEVERITIES];
	struct outbox_item *last[OUTBOX_SEVERITIES];
	const struct outbox_item *busy; /* being written: stays where it is; or NULL */
	size_t max_bytes;               /* of items, with what they cost to keep */
	size_t bytes;
	uint64_t count;
	uint64_t dropped[OUTBOX_SEVERITIES]; /* gave way, or found no room */
};

/* Walks through the queue by sequence without changing it. */
struct outbox_queue_walk {
	const struct outbox_item *next[OUTBOX_SEVERITIES];
};

void outbox_queue_init(struct outbox_queue *queue, size_t max_bytes);
void outbox_queue_clear(struct outbox_queue *queue);

/*
 * Copies record, whose encoded size must not be 0, to the end of its list.
 * False when it found no room (counted), or memory ran out (counted as well).
 */
bool outbox_queue_push(struct outbox_queue *queue, const struct outbox_record *record);

/* Would outbox_queue_push() find room without dropping anything? */
bool outbox_queue_has_room(const struct outbox_queue *queue, const struct outbox_record *record);

/* The item with the lowest sequence, or NULL. */
const struct outbox_item *outbox_queue_first(const struct outbox_queue *queue);

/* Takes the item with the lowest sequence out, to be freed with free(); NULL when empty. */
struct outbox_item *outbox_queue_take_first(struct outbox_queue *queue);

/* Removes and frees the item with the lowest sequence. */
void outbox_queue_remove_first(struct outbox_queue *queue);

/* The walk starts at the item with the lowest sequence; NULL at the end. */
struct outbox_queue_walk outbox_queue_walk(const struct outbox_queue *queue);
const struct outbox_item *outbox_queue_next(struct outbox_queue_walk *walk);

#endif
