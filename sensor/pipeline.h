/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's whole way from a segment to observations: find the connection, reassemble,
 * track the session. Shares nothing with another one.
 *
 * Observations come out by pipeline_next(): drive it as
 *
 *     if (pipeline_packet(p, &packet))
 *             while (pipeline_next(p, &observation))
 *                     judge_observe(judge, &observation);
 *
 * or, with dialogue_on_request, as
 *
 *                     if (judge_examine(judge, &observation))
 *                             pipeline_dialogue(p, &observation);
 *                     judge_conclude(judge, &observation);
 */
#ifndef SENSOR_PIPELINE_H
#define SENSOR_PIPELINE_H

#include "alerts/observation.h"
#include "decoders/application.h"
#include "decoders/digest_memo.h"
#include "sensor/flow.h"
#include "sensor/intake.h"
#include "sensor/limits.h"

struct shared_detector;

struct pipeline_config {
	struct mail_ports ports;
	struct redaction redaction;
	const struct certificate_anchors *anchors; /* NULL: none given */
	struct flow_limits flows;
	struct stream_limits streams;
	size_t memory;            /* cap of all of a worker's buffers, bytes */
	size_t dialogue_ring;     /* of each part of the connections, bytes */
	size_t evidence_ring;     /* bytes; 0: no packets are kept */
	size_t evidence_out;      /* bytes of one observation's packets */
	size_t certificates;      /* distinct ones that are remembered */
	bool tell_recipients;     /* whenever a recipient of another domain was accepted */
	bool always_dialogue;     /* with every observation; otherwise where an alert may want it */
	bool dialogue_on_request; /* by pipeline_dialogue() alone; not with evidence */
	struct shared_detector *detector; /* nDPI, borrowed; NULL: one of its own */
	/* Random per run: the same as the intake's. Nothing visible depends on it. */
	struct siphash_key hash_key;
};

struct pipeline_counters {
	uint64_t sessions;     /* records given out */
	uint64_t refused;      /* sessions that found no memory */
	uint64_t caps_reached; /* what sessions gave up: commands that wait, domains */
};

struct pipeline;

/* NULL when out of memory. The config is copied; what it points to is borrowed. */
struct pipeline *pipeline_create(const struct pipeline_config *config);
void pipeline_destroy(struct pipeline *pipeline);

/*
 * One segment. Earlier observations must have been taken. False: that was all, as for most.
 * Otherwise pipeline_next() goes on, and the packet stays where it is until that says false.
 */
bool pipeline_packet(struct pipeline *pipeline, const struct followed_packet *packet);

/*
 * What a packet that is known ahead will need, by its flow_hash, may be fetched ahead: first
 * where the connection's place is written; some packets later the connection;
 * then what the connection leads to and, where it will be looked at, the payload. Packets from the
 * one at work to the one that is fetched:
 */
#define FETCH_PLACE_AHEAD   6U
#define FETCH_AHEAD         4U
#define FETCH_SESSION_AHEAD 2U
void pipeline_fetch_place(const struct pipeline *pipeline, const struct followed_packet *packet);
void pipeline_fetch(const struct pipeline *pipeline, const struct followed_packet *packet);
void pipeline_fetch_session(const struct pipeline *pipeline, struct followed_packet *packet);

/*
 * The common clock, where a packet went to another worker or to nobody. What the clock causes
 * (connections that time out) happens in beats of LIMIT_BEAT_NS: at the first packet, of
 * whichever worker, with which the clock is in another beat. A call within the same beat
 * changes nothing and may be left out. False: so it was.
 */
static inline int64_t pipeline_beat(int64_t clock_ns)
{
	return clock_ns / LIMIT_BEAT_NS;
}

bool pipeline_clock(struct pipeline *pipeline, int64_t clock_ns, uint64_t ordinal);

/*
 * The end of input: everything that is open is closed (closed_by eof), in the order of the
 * sessions' first packets.
 */
void pipeline_finish(struct pipeline *pipeline, int64_t clock_ns, uint64_t ordinal);

/*
 * The next observation; false when there is none. What it borrows (texts,
 * dialogue) is valid until the next call of any function here.
 */
bool pipeline_next(struct pipeline *pipeline, struct observation *observation);

/*
 * Adds the dialogue to the observation that pipeline_next() gave last, where it did not come with
 * one. To collect it costs more than most observations, of which few are told to anybody.
 */
void pipeline_dialogue(struct pipeline *pipeline, struct observation *observation);

/* Connections that are followed now, those that are over included. */
uint32_t pipeline_connections(const struct pipeline *pipeline);

const struct pipeline_counters *pipeline_counters(const struct pipeline *pipeline);
const struct stream_counters *pipeline_stream_counters(const struct pipeline *pipeline);
const struct flow_counters *pipeline_flow_counters(const struct pipeline *pipeline);
const struct budget *pipeline_budget(const struct pipeline *pipeline);

#endif
