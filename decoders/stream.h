/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP reassembly of one connection: segments in, the two byte streams out
 * (RFC 9293 3.4, 3.10).
 *
 * Push a segment, then pull events until there are none. In-order bytes come
 * straight out of the packet, without a copy; memory is taken from the budget
 * only while something is out of order, held, or kept to be compared with a
 * retransmission.
 *
 * Events of the two sides come in causal order: bytes are not delivered before
 * the bytes of the other side that their segment acknowledged. So a command
 * that the capture shows after its reply (two queues, a span port) still comes
 * first. Bytes that were acknowledged but never captured are a gap: it is
 * declared when the hold (segments or time, struct stream_limits) is over.
 *
 * A consumer that does not need the next n bytes of a side says so with
 * stream_skip(): they are accounted for, never buffered, never delivered.
 */
#ifndef DECODERS_STREAM_H
#define DECODERS_STREAM_H

#include "decoders/budget.h"
#include "decoders/tcp.h"

enum side { SIDE_CLIENT = 0, SIDE_SERVER = 1 };

static inline enum side side_other(enum side side)
{
	return side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
}

enum stream_event_kind {
	STREAM_DATA,     /* the next bytes of a side */
	STREAM_GAP,      /* bytes of a side that were sent and never captured */
	STREAM_CONFLICT, /* a second version of plaintext bytes; the first is kept */
	STREAM_FIN,      /* the side's FIN is in order: nothing more from it */
	STREAM_RST,      /* the side reset the connection, with an acceptable sequence number */
};

struct stream_event {
	enum stream_event_kind kind;
	enum side side;
	struct span bytes;   /* DATA: valid until the next push or pull; CONFLICT: the refused bytes */
	uint64_t gap_len;    /* GAP: bytes missing; 0 when the number is not known */
	bool in_skip;        /* GAP: it lies wholly inside bytes that were skipped */
	int64_t time_ns;     /* packet time and */
	uint64_t ordinal;    /* ordinal of the packet that the event stands on */
};

/* Caps, each from sensor/limits.h. */
struct stream_limits {
	uint32_t max_out_of_order; /* bytes of one side buffered beyond a hole */
	uint32_t max_held;         /* bytes of segments held for causal order */
	uint32_t hold_segments;    /* a hole is a gap after this many further segments */
	int64_t hold_ns;           /* ... or after this much packet time */
	uint32_t history;          /* delivered plaintext bytes of one side kept for comparison */
};

#endif
