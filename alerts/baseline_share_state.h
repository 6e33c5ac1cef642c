/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared baseline from within: baseline_share.c has the thread and what the judge
 * calls, baseline_exchange.c what is said to Redis.
 */
#ifndef ALERTS_BASELINE_SHARE_STATE_H
#define ALERTS_BASELINE_SHARE_STATE_H

#include "alerts/baseline_share.h"
#include "alerts/buffer.h"

#include <pthread.h>

#define SENSORS_MAX 64 /* whose fields of one server are added up */

/* Places in a circle. */
struct ring {
	struct server_memory *servers;
	bool *own;
	uint32_t size, first, count;
};

struct baseline_share {
	struct baseline_share_config config;
	struct notices *notices;
	struct redis_topology *topology;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved; /* a ring has room, the first reading is over, asked, or the end */
	int cancel_fd;
	struct ring out, in; /* under lock */
	bool ready;          /* the first reading is over */
	bool asked;          /* to exchange now */
	bool closing, ended;
	int64_t drain_until_ms;
	struct baseline_share_counts counts;
	/* The thread's own. */
	bool scanned, failing;
	unsigned retry_ms; /* 0: the last exchange succeeded */
	int64_t scanned_s; /* by the server's clock */
	int64_t read_to;   /* number of the last hash of changes that was read */
	struct budget budget;
	struct buffer text;
	struct server_memory *contributions; /* SENSORS_MAX */
};

/* One reading of what others wrote, one writing of what is to be told. False: error says why not.
 */
bool baseline_exchange(struct baseline_share *share, struct redis_error *error);

/* Whether the end was asked for. */
bool baseline_share_is_closing(struct baseline_share *share);

/* Hands over what was read. Waits for room: the judge takes at every opportunity. */
void baseline_share_hand_over(struct baseline_share *share, const struct server_memory *server,
			      bool own);

/* One more of something: count is a member of the counts that others read. */
void baseline_share_count(struct baseline_share *share, uint64_t *count);

/* The first reading is over. */
void baseline_share_set_ready(struct baseline_share *share);

/* The first servers that are to be told; they leave the ring when they were written. */
size_t baseline_share_copy_out(struct baseline_share *share, struct server_memory *batch,
			       size_t size);
void baseline_share_written(struct baseline_share *share, size_t count);

#endif
