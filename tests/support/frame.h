/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests, written down as the list of their layers. */
#ifndef TESTS_SUPPORT_FRAME_H
#define TESTS_SUPPORT_FRAME_H

#include "decoders/packet.h"

#define FRAME_ROOM 1024

struct frame {
	uint8_t bytes[FRAME_ROOM];
	size_t len;
};

/*
 * Layers from the outermost to the innermost, ended by NULL. Each is hex, in
 * which blanks do not count, or a header whose length fields follow from what
 * is inside it:
 *   "ip4 PROTOCOL"  192.0.2.1 > 198.51.100.2, TTL 64
 *   "ip6 PROTOCOL"  2001:db8::1 > 2001:db8::2, hop limit 64
 *   "udp PORT"      from port 1111
 *   "len2 EXTRA"    two bytes: the length of what follows, and EXTRA
 *   "tcp"           40000 > 25, seq 0x01020304, ack 0x05060708, PSH and ACK,
 *                   no options, payload "EHLO a\r\n"
 */
#define FRAME_LAYERS 10
void frame_build(struct frame *frame, const char *const layers[FRAME_LAYERS]);

struct frame_row {
	const char *name;
	uint32_t link_type;
	const char *layers[FRAME_LAYERS];
	uint16_t vlan_outer, vlan_inner; /* 0 stands for VLAN_NONE */
};

/*
 * Decodes the frame whole, cut by the capture at every byte, and as a shorter
 * frame of every length; always right in front of a page that may not be read.
 * NULL, or what was wrong (a static text).
 */
const char *frame_row_check(const struct frame_row *row);

/* A copy of bytes that ends where an unreadable page begins; 4096 bytes at most. */
const uint8_t *guarded_copy(struct span bytes);

/* Limits for a decoder in a test. */
struct packet_limits frame_limits(void);

#endif
