/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline from within: pipeline.c brings segments to their connections, and what comes of
 * them to the sessions; pipeline_session.c has what a connection knows of its session;
 * pipeline_fetch.c fetches what both will need.
 */
#ifndef SENSOR_PIPELINE_STATE_H
#define SENSOR_PIPELINE_STATE_H

#include "sensor/hold_queue.h"
#include "sensor/pipeline.h"

/* What pipeline_next() goes on with. */
enum pipeline_stage {
	STAGE_IDLE,
	STAGE_TIME,  /* holds and connections whose time is over, before the packet is looked at */
	STAGE_EVENT, /* the packet is an event of its stream and nothing else */
	STAGE_SEGMENT, /* the packet's segment is to be pushed */
	STAGE_COPY,    /* ... and into another view of its connection */
	STAGE_PULL,    /* its events */
	STAGE_FINISH,  /* the input is over: each connection in turn */
};

/* An answer of nDPI that was given before. */
struct risk_answer {
	uint64_t key;
	uint32_t risks;
	bool known;
};

#define RISK_ANSWERS 4096U

struct pipeline {
	struct pipeline_config config;
	struct budget budget;
	struct stream_pool streams;
	struct flow_table *flows;
	struct hold_queue holds;
	struct flow_hash parts;
	struct dialogue_ring dialogues[FLOW_PARTS]; /* each made when its first session begins */
	struct evidence_ring evidence;
	uint8_t *evidence_out;
	struct smtp_found found;
	struct smtp_context context;
	struct digester *digester;
	struct digest_memo *ja3; /* of JA3 and JA3S strings */
	struct certificate_cache *certificates;
	struct shared_detector *detector;
	bool owns_detector;
	struct risk_answer risks[RISK_ANSWERS];
	struct pipeline_counters counters;

	int64_t clock_ns;
	int64_t beat, beat_ns; /* and when it began, where that is after 1970 */
	bool clock_started;
	struct observation_place place; /* of what is told next; its step is where the clock is */
	int64_t time_ns;                /* of what is under hand: the packet, or the event */
	uint64_t ordinal;

	enum pipeline_stage stage;
	const struct followed_packet
	    *packet;        /* the one given last; NULL: the clock alone went on */
	struct flow *shown; /* the packet's, if it was looked up already, and */
	bool looked_up;
	bool begins;      /* its segment opens another connection than the one it looks like */
	bool out_of_line; /* stream_fast() and stream_in_order() refused the packet already */
	struct stream_event event; /* of the packet, in STAGE_EVENT */
	struct flow *flow;         /* under hand */
	enum side side;
	bool closing; /* its stream is being finished */
	enum session_closed_by closed_by;
	bool remove;                /* it leaves the table once it is closed */
	enum pipeline_stage resume; /* after the pull or the close */
	int64_t lag_ns;             /* by which its packets are older than the clock */

	struct smtp_session *spent;      /* session of a last observation, freed at the next call */
	const struct smtp_session *told; /* of the observation given last; until the next call */
	uint8_t dialogue[DIALOGUE_LINES_MAX * (DIALOGUE_LINE_MAX + 4)];
};

static inline enum side side_of(const struct flow *flow, uint8_t src_end)
{
	return src_end == flow->client_end ? SIDE_CLIENT : SIDE_SERVER;
}

/* Fetches what a connection leads to, as far as the next event asks for it first. */
void pipeline_fetch_behind(const struct flow *flow);

/*
 * Makes the session of a connection that has none, or takes up the one that was put away.
 * False, and counted, when out of memory; one that was put away is then given up.
 */
bool pipeline_session_begin(struct pipeline *p, struct flow *flow);

/* Gives back a session that was put away, without a word of it. */
void pipeline_session_forget(struct pipeline *p, struct flow *flow);

/*
 * One event of the connection's stream, for its session: begins that, takes it up or puts it away
 * as the event asks for. What it has reached then is told by pipeline_session_observe().
 */
void pipeline_session_event(struct pipeline *pipeline, struct flow *flow,
			    const struct stream_event *event);

/* Gives out an observation, if the session has a record. It has reached something new. */
bool pipeline_session_observe(struct pipeline *p, struct flow *flow, struct observation *o);

/* The connection is over: the last observation, if the session has a record. */
bool pipeline_session_close(struct pipeline *p, struct flow *flow, struct observation *o);

/* NULL is allowed. */
void pipeline_session_destroy(struct pipeline *p, struct smtp_session *session);

#endif
