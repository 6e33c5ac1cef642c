/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP segment as it was found in a packet (RFC 9293 3.1), addresses and VLAN
 * tags of the innermost layer included. It borrows: the spans are valid as
 * long as the packet is, or, for a reassembled datagram, until the decoder's
 * next call.
 */
#ifndef DECODERS_TCP_H
#define DECODERS_TCP_H

#include "decoders/addr.h"
#include "decoders/parse.h"
#include "decoders/span.h"

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
};

#define VLAN_NONE 0xffffU /* no tag; VLAN ids end at 4095 */

struct tcp_segment {
	/* What a segment is asked for that needs no look comes first. */
	uint32_t seq, ack;
	uint32_t
	    payload_len; /* the bytes that were sent; more than payload.len when cut by snaplen */
	uint8_t flags;   /* enum tcp_flag, the low eight bits of the header's field */
	uint8_t ttl;     /* IPv4 TTL or IPv6 hop limit */
	uint16_t window; /* as sent, unscaled */
	uint16_t urgent; /* urgent pointer, meaningful with TCP_URG */
	bool has_timestamp;      /* RFC 7323 option was there */
	uint32_t timestamp;      /* its TSval */
	uint16_t vlan_outer;     /* VLAN_NONE when untagged */
	uint16_t vlan_inner;     /* VLAN_NONE unless there were two tags */
	bool fragments_conflict; /* fragments of its datagram disagreed; the first bytes are kept */
	struct span payload;     /* the bytes that were captured */
	struct span checked;     /* TCP header and payload, for tcp_checksum_ok() */
	struct endpoint src, dst;
};

/*
 * Reads the segment in the payload of an IP datagram. src/dst addresses, ttl,
 * VLAN ids and fragments_conflict are the caller's; everything else is set here. wire_len is the
 * length of the IP payload by the IP header (>= ip_payload.len when cut).
 */
enum parse_result tcp_parse(struct span ip_payload, uint32_t wire_len, struct tcp_segment *segment);

/*
 * Whether the checksum is right. True as well when it cannot be told (the
 * segment was cut by the capture). Costs a pass over the payload: call it only
 * where bytes are parsed or in conflict. Offload makes wrong ones normal on
 * the sending host.
 */
bool tcp_checksum_ok(const struct tcp_segment *segment);

#endif
