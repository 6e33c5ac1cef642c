/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery to Redis: a thread that takes alerts out of the outbox and makes
 * them entries of a stream, in the order of raising.
 *
 * A batch is one MULTI/EXEC, so that an error in its middle cannot let later
 * alerts overtake, and an XTRIM behind it (why: alerts/redis_batch.h). An alert is acknowledged in
 * the outbox only when EXEC was answered (and, with wait_replicas, WAIT): what was sent when a
 * connection broke is sent again, and recognised by its id.
 *
 *   <prefix>alerts         stream: id, rule, severity, sensor, json
 *   <prefix>alerts         channel: the document, when publish is set
 *   <prefix>sessions       stream: sensor, json, when sink_redis_session() is used
 *   <prefix>sensor:<name>  hash: the heartbeat, which expires
 *
 * Trouble never reaches whoever raises alerts. It is counted, said through
 * notices, and retried after a pause of 0.2 s that doubles up to 30 s, with jitter.
 */
#ifndef ALERTS_SINK_REDIS_H
#define ALERTS_SINK_REDIS_H

#include "alerts/heartbeat.h"
#include "alerts/notices.h"
#include "alerts/outbox.h"
#include "alerts/redis_topology.h"

struct sink_redis_config {
	const struct redis_url *url; /* with the password; borrowed */
	struct redis_topology_config topology;
	const char *prefix;         /* of every key; "{tag}:" puts all keys on one cluster slot */
	const char *sensor;         /* name in the heartbeat's key and in sessions */
	uint64_t max_entries;       /* of a stream, trimmed approximately */
	bool publish;               /* PUBLISH each alert, too */
	unsigned wait_replicas;     /* WAIT for so many before an alert counts as delivered */
	unsigned wait_ms;           /* how long one WAIT takes at most; it is repeated */
	size_t batch_alerts;        /* alerts of one MULTI/EXEC */
	size_t batch_bytes;         /* their bytes together; at least the longest alert */
	size_t session_queue_bytes; /* session records that wait; the oldest gives way, counted */
	unsigned pause_min_ms;      /* after the first failure */
	unsigned pause_max_ms;
	unsigned heartbeat_s; /* between heartbeats; 0: none. They expire after three. */
};

enum sink_redis_state {
	SINK_REDIS_CONNECTING, /* nothing was heard of Redis yet */
	SINK_REDIS_DELIVERING,
	SINK_REDIS_RETRYING,      /* Redis is away, or does not take alerts at the moment */
	SINK_REDIS_MISCONFIGURED, /* it will not take any until somebody changes a setting */
};

struct sink_redis_stats {
	enum sink_redis_state state;
	uint64_t delivered; /* alerts acknowledged by Redis */
	uint64_t batches;
	uint64_t failures;        /* attempts that did not succeed, for any reason */
	uint64_t redirects;       /* MOVED and ASK */
	uint64_t dead_letters;    /* alerts that Redis will never take */
	uint64_t wait_shortfalls; /* WAITs that came back with too few replicas */
	uint64_t sessions_delivered;
	uint64_t sessions_dropped;
	uint64_t heartbeats;
	uint64_t connections; /* made to Redis, sentinels not counted */
	char last_error[200]; /* of the last failure, for logs */
};

struct sink_redis;

/* Starts the thread. outbox and notices are borrowed. NULL: no memory or no thread. */
struct sink_redis *sink_redis_new(const struct sink_redis_config *config, struct outbox *outbox,
				  struct notices *notices);

/*
 * Goes on for at most drain_ms to deliver what waits, then ends the thread.
 * Returns how many alerts and session records were not delivered; last has what was counted,
 * and why the last attempt failed.
 */
uint64_t sink_redis_close(struct sink_redis *sink, unsigned drain_ms,
			  struct sink_redis_stats *last);

/* Hands a session record over by copy. Never waits. False: it, or an older one, was dropped. */
bool sink_redis_session(struct sink_redis *sink, struct span json);

/*
 * What the next heartbeats say, besides what the sink itself knows: version,
 * counters, capture drops. Copied. There is no heartbeat before the first call.
 */
void sink_redis_set_heartbeat(struct sink_redis *sink, const struct heartbeat *told);

struct sink_redis_stats sink_redis_stats(struct sink_redis *sink);

#endif
