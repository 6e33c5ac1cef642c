/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's whole way from a captured frame to observations: decode, find the
 * connection, reassemble, track the session. Shares nothing with another one.
 *
 * Observations come out by pipeline_next(): drive it as
 *
 *     pipeline_packet(p, &packet, ordinal);
 *     while (pipeline_next(p, &observation))
 *             judge_observe(judge, &observation);
 */
#ifndef SENSOR_PIPELINE_H
#define SENSOR_PIPELINE_H

#include "alerts/observation.h"
#include "decoders/application.h"
#include "decoders/packet.h"
#include "sensor/flow.h"

struct pipeline_config {
	bool all_ports;
	const uint16_t *ports; /* mail ports, ascending */
	size_t port_count;
	struct redaction redaction;
	const struct certificate_anchors *anchors; /* NULL: none given */
	struct flow_limits flows;
	struct stream_limits streams;
	struct packet_limits packets;
	size_t memory;               /* cap of all of a worker's buffers, bytes */
	size_t dialogue_ring;        /* bytes */
	size_t evidence_ring;        /* bytes; 0: no packets are kept */
	size_t evidence_out;         /* bytes of one observation's packets */
	size_t certificates;         /* distinct ones that are remembered */
	struct siphash_key hash_key; /* random per run; nothing visible depends on it */
};

/* One captured frame. */
struct pipeline_frame {
	struct span bytes;
	uint32_t wire_len;
	uint32_t link_type; /* LINKTYPE_ number */
	unsigned fcs_len;   /* bytes of frame check sequence at its end */
	int64_t time_ns;
	uint64_t ordinal; /* position in the merged input, from 0 */
	uint8_t tap;
};

struct pipeline_counters {
	uint64_t frames, frame_bytes;
	uint64_t segments;       /* TCP, of any port */
	uint64_t mail_segments;  /* of the ports that are followed */
	uint64_t sessions;       /* records given out */
	uint64_t refused;        /* sessions that found no memory */
	uint64_t time_backwards; /* frames older than the clock */
};

struct pipeline;

/* NULL when out of memory. The config is copied; what it points to is borrowed. */
struct pipeline *pipeline_create(const struct pipeline_config *config);
void pipeline_destroy(struct pipeline *pipeline);

/* One frame. Earlier observations must have been taken. */
void pipeline_packet(struct pipeline *pipeline, const struct pipeline_frame *frame);

/* The common clock, where a packet went to another worker. */
void pipeline_clock(struct pipeline *pipeline, int64_t time_ns, uint64_t ordinal);

/* The end of input: everything that is open is closed (closed_by eof), oldest first. */
void pipeline_finish(struct pipeline *pipeline, uint64_t ordinal);

/*
 * The next observation; false when there is none. What it borrows (texts,
 * dialogue) is valid until the next call of any function here.
 */
bool pipeline_next(struct pipeline *pipeline, struct observation *observation);

const struct pipeline_counters *pipeline_counters(const struct pipeline *pipeline);
const struct packet_counters *pipeline_packet_counters(const struct pipeline *pipeline);
const struct stream_counters *pipeline_stream_counters(const struct pipeline *pipeline);
const struct flow_counters *pipeline_flow_counters(const struct pipeline *pipeline);
const struct budget *pipeline_budget(const struct pipeline *pipeline);

#endif
