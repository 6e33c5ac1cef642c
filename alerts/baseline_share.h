/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One baseline for several sensors, through Redis.
 *
 *   <prefix>baseline:server:<addr>:<port>   hash: one field for each sensor, by its name, with
 *                                           what that sensor has learnt (baseline_wire.h)
 *   <prefix>baseline:changes:<time>         hash: which of them changed in these ten seconds of
 *                                           the server's clock, by "addr:port sensor"
 *
 * A sensor only ever writes its own field, and always all that it knows: writing twice changes
 * nothing, and the order in which sensors write does not matter. Reading adds up the fields of
 * the others, sorted by name. Both keys expire, what nobody saw for SERVER_AGE_S does not count.
 * Two sensors of one name would take each other's field away.
 *
 * A thread does all of it. Whoever judges puts copies in and takes copies out, and never waits;
 * while Redis is away it goes on with what it knows. Nothing but the keys above is sent.
 */
#ifndef ALERTS_BASELINE_SHARE_H
#define ALERTS_BASELINE_SHARE_H

#include "alerts/notices.h"
#include "alerts/redis_topology.h"
#include "alerts/server_memory.h"

struct baseline_share_config {
	const struct redis_url *url; /* with the password; borrowed */
	struct redis_topology_config topology;
	const char *prefix, *sensor; /* borrowed */
	bool write;                  /* otherwise it only reads */
	bool adopt;                  /* its own field, too: what it knew in an earlier run */
	uint32_t servers;            /* read at the start at most */
	uint32_t queue;              /* that may wait in each direction */
	unsigned exchange_ms;        /* between two exchanges, and after a failure */
};

struct baseline_share_counts {
	uint64_t written, read; /* servers */
	uint64_t failures;      /* exchanges that broke off */
	uint64_t malformed;     /* fields that could not be read */
	uint64_t left_out;      /* servers beyond the cap at the start */
};

/* What comes back: what the others know of a server together. */
struct baseline_shared {
	struct server_memory others;
	bool own; /* it is what this sensor itself knew in an earlier run */
};

struct baseline_share;

/* Starts the thread. NULL: no memory or no thread. */
struct baseline_share *baseline_share_new(const struct baseline_share_config *config,
					  struct notices *notices);

/* A copy of what is known of a server, to be written. False: the queue is full, ask again later. */
bool baseline_share_put(struct baseline_share *share, const struct server_memory *server);

/*
 * Waits at most wait_ms until something can be put, or has to be taken first: writing begins at
 * once. False: the time is over.
 */
bool baseline_share_wait_room(struct baseline_share *share, unsigned wait_ms);

/* The next that was read. False: none. */
bool baseline_share_take(struct baseline_share *share, struct baseline_shared *shared);

/*
 * Waits until something can be taken, or all that Redis had at the start was: *complete. False:
 * the time is over.
 */
bool baseline_share_wait(struct baseline_share *share, unsigned wait_ms, bool *complete);

struct baseline_share_counts baseline_share_counts(struct baseline_share *share);

/* Goes on for at most drain_ms to write what waits. Returns how many servers were not written. */
uint64_t baseline_share_close(struct baseline_share *share, unsigned drain_ms);

#endif
