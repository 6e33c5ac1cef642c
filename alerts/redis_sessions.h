/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session records on their way into their stream: a pipeline without a transaction.
 * Unlike alerts they are kept in memory only, and may be lost, counted.
 */
#ifndef ALERTS_REDIS_SESSIONS_H
#define ALERTS_REDIS_SESSIONS_H

#include "alerts/outbox_queue.h"
#include "alerts/redis_batch.h"

#define REDIS_SESSIONS_BATCH 128 /* records of one pipeline */

/* How a record becomes an entry. Borrowed texts. */
struct redis_session_form {
	const char *key;
	const char *max_entries; /* decimal */
	const char *sensor;
};

/* Records that were taken from the queue and not acknowledged; owned. */
struct redis_sessions {
	struct outbox_item *items[REDIS_SESSIONS_BATCH];
	size_t count;
};

/* Takes records out of the queue until there are as many as one pipeline holds. */
void redis_sessions_take(struct redis_sessions *sessions, struct outbox_queue *queue);

/* Sends them all and reads the replies. outcome.done: how many are through. */
struct redis_outcome redis_sessions_send(const struct redis_sessions *sessions,
					 const struct redis_session_form *form,
					 struct redis_link *link);

/* Forgets the first count records. */
void redis_sessions_forget(struct redis_sessions *sessions, size_t count);

#endif
