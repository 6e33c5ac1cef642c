/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of connections of one worker: found by their two endpoints, closed
 * when they were idle for too long, given up oldest first when the table is full.
 *
 * The hash is keyed with a random number of the run, so that nobody outside can
 * make connections collide. Time is packet time and only goes forward.
 */
#ifndef SENSOR_FLOW_H
#define SENSOR_FLOW_H

#include "decoders/smtp_followed.h"
#include "decoders/stream.h"
#include "sensor/evidence.h"
#include "sensor/flow_key.h"

/*
 * In the order of use: what the lookup compares and the clock needs; the stream, which is all
 * that a segment changes that needs no look; what is counted; the rest. A table of a million
 * connections is larger than any cache, so each line that a packet touches is a wait for
 * memory: three lines of 64 bytes, of which it touches the first two and the counts.
 */
struct flow {
	uint32_t chain; /* next in its bucket */
	struct flow_key key;
	uint8_t client_end : 1; /* which of the key's two endpoints is the client */
	uint8_t part : 6;       /* flow_part() */
	bool over : 1;          /* its record is written; it stays to swallow what comes late */
	bool follows : 1;       /* its session is put away: nothing but its records is looked at */
	bool quiet : 1;   /* another view tells the same: nothing is told of this one (view.h) */
	bool resumed : 1; /* goes on behind a reset that was told as the end of another session */
	uint8_t history_off : 2; /* bit per side: stream_history() was told */
	uint8_t settled : 2;     /* bit per side, while follows: smtp_followed_next.settled */
	uint16_t slot : 15;      /* of the timer wheel */
	uint16_t beside : 1;     /* another of the same endpoints may be set aside */
	int64_t last_ns;
	struct smtp_session *session; /* from the first payload on; NULL while follows */

	struct stream stream;

	uint32_t packets[2]; /* by enum side; saturating */
	uint64_t bytes[2];
	union {
		int64_t start_ns;               /* until it has a session, which knows it */
		struct smtp_followed *followed; /* while follows */
	};
	uint64_t first_ordinal;
	uint16_t vlan_outer, vlan_inner; /* VLAN_NONE when untagged */
	uint32_t later, earlier;         /* its neighbours in the timer slot, or among those due */
	uint32_t hold;                   /* its place in the hold queue; 0: it is not in it */
	uint16_t shown_by[2]; /* which interface shows what each end of the key sends; 0: none */
	uint32_t lag_ms;      /* by which its first packet was older than the clock; saturating */
};

_Static_assert(sizeof(struct flow) == 192, "whole lines of a cache");

#define FLOW_NONE       UINT32_MAX

#define FLOW_VIEW_ASIDE 65534U /* flow_key.view of one that was set aside; of no interface */

struct flow_table;

struct flow_limits {
	uint32_t max_flows;
	int64_t idle_ns;      /* of an established connection */
	int64_t half_open_ns; /* of one without payload, and of one that is over */
	bool trails;          /* evidence is kept: each connection has a trail */
};

struct flow_counters {
	uint64_t created, timed_out, evicted;
	uint64_t peak; /* flows at once */
};

/* NULL when out of memory. */
struct flow_table *flow_table_create(struct budget *budget, const struct flow_limits *limits,
				     const struct siphash_key *key);

/* Flows must have been closed (flow_remove) before. */
void flow_table_destroy(struct flow_table *table);

/* Connections that are in it. */
uint32_t flow_count(const struct flow_table *table);

const struct flow_counters *flow_table_counters(const struct flow_table *table);

/*
 * Fetches what flow_find_hashed() will look at: first where the connection's place is written,
 * then, once that is near, the connection.
 */
void flow_fetch_bucket(const struct flow_table *table, uint32_t hash);
void flow_fetch(const struct flow_table *table, uint32_t hash);

/* The connection, or NULL. hash: flow_key_hash() of the key, by the table's secret. */
struct flow *flow_find_hashed(const struct flow_table *table, const struct flow_key *key,
			      uint32_t hash);

/*
 * The same, where a while ago it was at seen (or nowhere: NULL). What was removed since then is
 * not found there.
 */
static inline struct flow *flow_find_seen(const struct flow_table *table, struct flow *seen,
					  const struct flow_key *key, uint32_t hash)
{
	if (seen != NULL && flow_key_equal(&seen->key, key))
		return seen;
	return flow_find_hashed(table, key, hash);
}

/* The same, where the hash is not at hand. */
struct flow *flow_find(const struct flow_table *table, const struct flow_key *key);

/*
 * A new one, zeroed but for its key and the time of its first packet, which may be older than
 * the clock where an input is not in the order of time. NULL when the table is full: call
 * flow_oldest(), close that one, flow_remove() it and try again.
 */
struct flow *flow_add(struct flow_table *table, const struct flow_key *key, int64_t time_ns,
		      int64_t clock_ns);

/* The connection's packets that are kept as evidence; only where the limits asked for trails. */
struct evidence_trail *flow_trail(const struct flow_table *table, const struct flow *flow);

/* A connection that was idle for about the longest time of all, or NULL when there is none. */
struct flow *flow_oldest(struct flow_table *table);

void flow_remove(struct flow_table *table, struct flow *flow);

/*
 * Its endpoints have opened another connection, and this one may go on all the same: from now on
 * it is found by flow_aside() alone. False: nothing happened, another one of them is aside.
 */
bool flow_set_aside(struct flow_table *table, struct flow *flow);

/* The one of these endpoints that was set aside, or NULL. */
struct flow *flow_aside(const struct flow_table *table, const struct flow_key *key);

/*
 * The clock went on to now_ns. Gives out the connections whose time is over, one at a time,
 * until NULL; each has to be closed and removed before the next call. They come by the time at
 * which they were over, then by their first packet: how connections are spread over tables
 * changes nothing of that order.
 */
struct flow *flow_expired(struct flow_table *table, int64_t now_ns);

/* When a connection is over if nothing more comes. */
int64_t flow_due(const struct flow_table *table, const struct flow *flow);

/* The end of input: flow_expired() gives out all connections, by their first packet. */
void flow_finish(struct flow_table *table);

/* Walks all connections: *position starts at 0. NULL at the end. */
struct flow *flow_next(struct flow_table *table, uint32_t *position);

#endif
