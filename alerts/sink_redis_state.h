/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Redis sink share; nobody else includes this. */
#ifndef ALERTS_SINK_REDIS_STATE_H
#define ALERTS_SINK_REDIS_STATE_H

#include "alerts/backoff.h"
#include "alerts/outbox_queue.h"
#include "alerts/redis_batch.h"
#include "alerts/redis_sessions.h"
#include "alerts/sink_redis.h"

#include <pthread.h>

#define KEY_SIZE    320
#define NUMBER_SIZE 24

struct sink_redis {
	struct sink_redis_config config;
	struct outbox *outbox;
	struct notices *notices;
	struct redis_topology *topology;
	struct redis_batch_form alert_form;
	struct redis_session_form session_form;
	struct outbox_batch batch; /* the oldest alerts */
	struct redis_link *queued; /* where batch is queued at the server already, or NULL */
	struct outbox_batch next;  /* the alerts behind batch, read ahead */
	struct redis_link *ahead;  /* where next is queued, or NULL: next holds nothing */
	size_t batch_limit;        /* shrinks to isolate an alert that Redis does not take */
	char alerts_key[KEY_SIZE];
	char sessions_key[KEY_SIZE];
	char sensor_key[KEY_SIZE];
	char max_entries[NUMBER_SIZE];
	struct backoff backoff;
	unsigned dead_in_a_row;
	bool untrimmed; /* Redis refused to trim the stream, which was said */
	int64_t next_heartbeat_ms;
	int64_t next_check_ms;
	int64_t next_due_ms; /* the sooner of the two */
	struct redis_sessions flight;

	pthread_t thread;
	int wake_fd;   /* sessions came, or the end */
	int cancel_fd; /* stop waiting for Redis at once */

	pthread_mutex_t lock; /* for everything below; never held over I/O */
	pthread_cond_t finished;
	bool closing;
	bool ended;
	int64_t drain_until_ms;
	struct outbox_queue sessions;
	uint64_t next_session;
	struct sink_redis_stats stats;
	struct heartbeat told; /* what the caller wants the heartbeat to say */
};

/* It was asked to end, and the time that it was given is over. */
bool sink_redis_is_over_time(struct sink_redis *sink);

/* Notes the state, counts a failure, and says so when the state changed. */
void sink_redis_set_state(struct sink_redis *sink, enum sink_redis_state state, const char *text);

/* One batch of alerts. False when there was none. */
bool sink_redis_deliver_alerts(struct sink_redis *sink);

/* One pipeline of session records. False when there were none. */
bool sink_redis_deliver_sessions(struct sink_redis *sink);

#endif
