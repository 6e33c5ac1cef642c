/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of all frames before workers part: decode down to the TCP segment (tunnels and
 * fragments decide whose it is), keep the common clock, tell what is followed.
 *
 * One thread, one intake for the whole input.
 */
#ifndef SENSOR_INTAKE_H
#define SENSOR_INTAKE_H

#include "decoders/dns.h"
#include "decoders/packet.h"
#include "sensor/capture_packet.h"
#include "sensor/flow_key.h"
#include "sensor/mail_ports.h"

struct flow;

/* A segment that is followed, with the frame that it came in. It borrows as the segment does. */
struct followed_packet {
	/* What a packet of a shunted connection is asked for stands in the first 128 bytes. */
	int64_t time_ns;
	int64_t clock_ns; /* the common clock: the latest time of any frame so far */
	uint64_t ordinal;
	struct flow_key key;
	uint32_t flow_hash; /* flow_key_hash() of key, by the run's secret */
	uint8_t src_end;    /* which of the key's endpoints sent it */
	uint8_t tap;
	uint16_t interface; /* all of a connection, whatever interface, is for the same worker */
	struct flow *seen;  /* the pipeline's: its connection, when that was fetched ahead */
	struct tcp_segment segment;
	struct span frame;
	uint32_t wire_len;
	uint32_t link_type;
};

/* Whether its bytes lie in the frame: those of a datagram that came in fragments do not. */
static inline bool followed_packet_in_frame(const struct followed_packet *packet)
{
	const struct span part = packet->segment.checked, whole = packet->frame;
	uintptr_t at = (uintptr_t)part.ptr, begin = (uintptr_t)whole.ptr;
	return part.len == 0 ||
	       (at >= begin && at - begin <= whole.len && part.len <= whole.len - (at - begin));
}

struct intake_config {
	struct mail_ports ports;
	struct packet_limits packets;
	size_t memory;               /* cap of what fragments take, bytes */
	struct siphash_key hash_key; /* random per run: the same as the pipelines' */
};

struct intake_counters {
	uint64_t frames, frame_bytes;
	uint64_t segments;          /* TCP, of any port */
	uint64_t mail_segments;     /* of those that are followed */
	uint64_t time_backwards;    /* frames older than the clock */
	uint64_t time_far_back;     /* of those, by more than LIMIT_HALF_OPEN_NS */
	uint64_t dns_facts_dropped; /* beyond DNS_FACTS_MAX in one answer */
};

struct intake;

/* NULL when out of memory. The ports are borrowed. */
struct intake *intake_create(const struct intake_config *config);
void intake_destroy(struct intake *intake);

/* One frame; true: *packet is set. The clock went on in any case. */
bool intake_packet(struct intake *intake, const struct capture_packet *captured,
		   struct followed_packet *packet);

/* DNS answers that the last frame held; NULL: none, or packets.want_dns is off. */
const struct dns_answers *intake_dns(const struct intake *intake);

/* Time went on without a frame (live). */
void intake_time(struct intake *intake, int64_t time_ns);

/* The common clock: the latest time so far, ns since 1970-01-01 UTC; before any frame 0. */
int64_t intake_clock(const struct intake *intake);

const struct intake_counters *intake_counters(const struct intake *intake);
const struct packet_counters *intake_packet_counters(const struct intake *intake);
const struct frag_counters *intake_frag_counters(const struct intake *intake);
const struct budget *intake_budget(const struct intake *intake);

#endif
