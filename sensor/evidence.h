/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latest packets of each session, kept as evidence for an alert.
 *
 * All sessions of a worker share one ring of bytes; a packet that a busy worker
 * no longer has room for gives way, oldest first. What is given out is redacted,
 * and blank unless it is known to be harmless: a line of text stays only as far
 * as the session's redacted dialogue shows the same bytes, of TLS the handshake,
 * alert and ChangeCipherSpec records stay. Everything else of a payload becomes 'x',
 * and the TCP checksum is corrected for it (RFC 1624), so that a wrong one stays wrong and
 * a right one right. Outer checksums over a tunnel's content are left as they were.
 */
#ifndef SENSOR_EVIDENCE_H
#define SENSOR_EVIDENCE_H

#include "decoders/budget.h"
#include "decoders/stream.h"

struct evidence_ring {
	uint8_t *bytes;
	size_t size;      /* 0: keeps nothing */
	uint64_t written; /* bytes ever written: the position of the next packet */
	uint64_t evicted; /* times that earlier packets were asked for and gone */
};

/* TLS records of one side as they follow each other in the sequence numbers. */
struct evidence_records {
	uint32_t next_seq; /* of the byte behind what was seen */
	uint32_t left;     /* bytes from there on that end the present record */
	bool shown;        /* the present record is one that may be shown */
};

/* The packets of one session in the ring. Zero-initialised: none. */
struct evidence_trail {
	uint64_t last; /* position + 1 of the latest packet; 0: none */
	struct evidence_records records[2];
};

enum evidence_payload {
	EVIDENCE_TEXT, /* lines, or nothing */
	EVIDENCE_TLS,  /* the session reads this side as TLS */
};

/* A packet as it was captured, with the segment that was found in it. */
struct evidence_packet {
	struct span frame;
	uint32_t wire_len;
	uint32_t link_type; /* LINKTYPE_ number */
	int64_t time_ns;
	const struct tcp_segment *segment;
	enum side side;
	enum evidence_payload payload;
};

/* Takes size bytes from the budget; with none to be had the ring keeps nothing. */
void evidence_ring_init(struct evidence_ring *ring, struct budget *budget, size_t size);
void evidence_ring_free(struct evidence_ring *ring, struct budget *budget);

/*
 * Keeps a packet. One whose segment lies elsewhere (reassembled from fragments) or whose
 * headers are longer than LIMIT_EVIDENCE_HEADERS is not kept. Packets of a message body
 * need not be given.
 */
void evidence_keep(struct evidence_ring *ring, struct evidence_trail *trail,
		   const struct evidence_packet *packet);

/* What evidence_collect() writes in front of each frame; unaligned, to be copied out. */
struct evidence_frame {
	int64_t time_ns;
	uint32_t link_type;
	uint32_t captured_len; /* bytes that follow */
	uint32_t wire_len;
	uint32_t reserved;
};

/*
 * Writes the session's latest packets, at most LIMIT_EVIDENCE_PACKETS, redacted, in the order in
 * which they were kept. dialogue: its redacted lines, "C: text" or "S: text", '\n' between them.
 * Returns the bytes written, at most cap: the oldest packets give way.
 */
size_t evidence_collect(struct evidence_ring *ring, const struct evidence_trail *trail,
			struct span dialogue, uint8_t *out, size_t cap);

#endif
