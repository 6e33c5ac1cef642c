/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/intake.h"

#include "sensor/limits.h"

#include <stdlib.h>

#define PORT_WORDS (65536U / 64U)

struct intake {
	uint64_t ports[PORT_WORDS]; /* bit per port: connections with it are followed */
	struct budget budget;
	struct packet_decoder packets;
	struct flow_hash flow_hash;
	struct intake_counters counters;
	int64_t clock_ns;
	bool want_dns;
	struct dns_answers dns; /* of the last frame */
};

struct intake *intake_create(const struct intake_config *config)
{
	struct intake *intake = calloc(1, sizeof *intake);
	if (intake == NULL)
		return NULL;
	if (config->ports.all)
		memset(intake->ports, 0xff, sizeof intake->ports);
	for (size_t i = 0; i < config->ports.count; i++)
		intake->ports[config->ports.port[i] / 64] |= UINT64_C(1)
							     << config->ports.port[i] % 64;
	intake->want_dns = config->packets.want_dns;
	flow_hash_init(&intake->flow_hash, &config->hash_key);
	budget_init(&intake->budget, config->memory);
	if (!packet_decoder_init(&intake->packets, &config->packets, &config->hash_key,
				 &intake->budget)) {
		free(intake);
		return NULL;
	}
	return intake;
}

void intake_destroy(struct intake *intake)
{
	if (intake == NULL)
		return;
	packet_decoder_free(&intake->packets);
	free(intake);
}

void intake_time(struct intake *intake, int64_t time_ns)
{
	if (time_ns >= intake->clock_ns) {
		intake->clock_ns = time_ns;
		return;
	}
	/* Unsigned: times from a hostile file may lie further apart than an int64_t. */
	const uint64_t back_ns = (uint64_t)intake->clock_ns - (uint64_t)time_ns;
	intake->counters.time_backwards++;
	intake->counters.time_far_back += back_ns > LIMIT_HALF_OPEN_NS;
}

/* A datagram, or a segment of TCP that holds one whole message behind its length (RFC 7766 8). */
static void read_dns(struct intake *intake, enum packet_outcome outcome,
		     const struct tcp_segment *segment)
{
	struct span message = segment->payload;
	if (segment->src.port != DNS_PORT)
		return;
	if (outcome == PACKET_TCP) {
		if (message.len < 2 || bytes_u16(message.ptr) != message.len - 2)
			return;
		message = span_skip(message, 2);
	}
	(void)dns_read(message, &intake->dns);
	intake->counters.dns_facts_dropped += intake->dns.dropped;
}

const struct dns_answers *intake_dns(const struct intake *intake)
{
	return intake->dns.count > 0 ? &intake->dns : NULL;
}

static uint64_t port_bit(const struct intake *intake, uint16_t port)
{
	return intake->ports[port / 64] >> port % 64 & 1;
}

bool intake_packet(struct intake *intake, const struct capture_packet *captured,
		   struct followed_packet *packet)
{
	intake->counters.frames++;
	intake->counters.frame_bytes += captured->len;
	intake_time(intake, captured->time_ns);
	const uint32_t place = (uint32_t)captured->tap << 16 | captured->interface;
	enum packet_outcome outcome =
	    packet_decode(&intake->packets, captured->link_type, captured->fcs_len, place,
			  captured->time_ns, captured->frame, captured->len, &packet->segment);
	intake->dns.count = 0;
	if (intake->want_dns && (outcome == PACKET_DNS || outcome == PACKET_TCP))
		read_dns(intake, outcome, &packet->segment);
	if (outcome != PACKET_TCP)
		return false;
	intake->counters.segments++;
	/* Both are asked: which one is the server's, nobody foresees. */
	if ((port_bit(intake, packet->segment.src.port) |
	     port_bit(intake, packet->segment.dst.port)) == 0)
		return false;
	intake->counters.mail_segments++;
	packet->src_end = flow_key_of(&packet->segment, captured->tap, &packet->key);
	packet->flow_hash = flow_key_hash(&intake->flow_hash, &packet->key);
	packet->seen = NULL;
	packet->frame = captured->frame;
	packet->wire_len = captured->len;
	packet->link_type = captured->link_type;
	packet->time_ns = captured->time_ns;
	packet->clock_ns = intake->clock_ns;
	packet->ordinal = captured->ordinal;
	packet->tap = captured->tap;
	packet->interface = captured->interface;
	return true;
}

int64_t intake_clock(const struct intake *intake)
{
	return intake->clock_ns;
}

const struct intake_counters *intake_counters(const struct intake *intake)
{
	return &intake->counters;
}

const struct packet_counters *intake_packet_counters(const struct intake *intake)
{
	return &intake->packets.counters;
}

const struct frag_counters *intake_frag_counters(const struct intake *intake)
{
	return &intake->packets.frag.counters;
}

const struct budget *intake_budget(const struct intake *intake)
{
	return &intake->budget;
}
