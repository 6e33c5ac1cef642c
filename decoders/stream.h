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
 * A side whose acknowledgements contradict what the other side sends (captures
 * made by hand) is taken in the order of the capture instead.
 *
 * A consumer that does not need the next n bytes of a side says so with
 * stream_skip(): they are accounted for, never buffered, never delivered.
 *
 * Of several SYNs of a side the one counts that the other side acknowledges, as long as nothing
 * was said: others are forged, or of an attempt that was given up. If the first bytes behind
 * another one follow later on, they open another connection.
 *
 * What a receiver would do with tampered bytes is not guessed: the version that
 * was seen first is delivered, every other one is a STREAM_CONFLICT.
 *
 * Not thread-safe. Streams of one worker share one struct stream_pool.
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
	STREAM_CONFLICT, /* a second version of plaintext bytes; the first is kept. Without bytes:
			    the IP fragments of the segment to come contradicted each other */
	STREAM_FIN,      /* the side's FIN is in order: nothing more from it */
	STREAM_RST,      /* the side reset the connection, with an acceptable sequence number */
};

/*
 * What happened next. time_ns and ordinal are those of the packet that supplied
 * the bytes, which may be earlier than one whose event came before: they do not
 * always grow. A gap's packet is the one that showed that bytes are missing.
 *
 * After STREAM_RST the stream goes on if segments do: resets can be forged.
 * After STREAM_FIN bytes at or behind the FIN are a STREAM_CONFLICT; those that stand where
 * the FIN stood are delivered all the same.
 * Bytes that were declared a gap and come after all are dropped, with one
 * exception: when they are the very next ones and nothing behind the gap was
 * seen, the acknowledgement was wrong, and they are delivered after the gap.
 */
struct stream_event {
	enum stream_event_kind kind;
	enum side side;
	struct span
	    bytes;        /* DATA: valid until the next push or pull; CONFLICT: the refused bytes */
	uint64_t offset;  /* of the first byte in its side's stream; 0 is the byte after the SYN */
	uint64_t gap_len; /* GAP: bytes missing; 0 when the number is not known */
	bool in_skip;     /* GAP: it lies wholly inside bytes that were skipped */
	int64_t time_ns;
	uint64_t ordinal;
};

/* Caps, each from sensor/limits.h. */
struct stream_limits {
	uint32_t max_out_of_order; /* bytes of one side buffered beyond a hole */
	uint32_t max_held;         /* bytes of one side's segments held for causal order */
	uint32_t max_chunks;       /* pieces of one side that those bytes may be in */
	uint32_t hold_segments;    /* a hole is a gap after this many further segments */
	int64_t hold_ns;           /* ... or after this much packet time */
	int64_t loss_ns;           /* a hole that nobody acknowledged is a gap after this much */
	uint32_t history;          /* delivered plaintext bytes of one side kept for comparison;
				      rounded down to a power of two */
	size_t history_total;      /* bytes of memory for that, over all sides of a pool */
};

/* What was reached or refused, over all streams of a pool. */
struct stream_counters {
	uint64_t gaps;            /* gap events */
	uint64_t gap_bytes;       /* and their bytes, as far as the number is known */
	uint64_t hold_timeouts;   /* holes declared a gap because a hold was over */
	uint64_t cap_reached;     /* holes declared a gap because a cap or the budget was reached */
	uint64_t history_refused; /* times that history_total left no room for comparison */
	uint64_t duplicate_bytes; /* bytes that came again */
	uint64_t conflicts;       /* conflict events */
	uint64_t conflict_bytes;  /* and their bytes */
	uint64_t bad_checksum;    /* contradicting or ending segments refused for theirs */
	uint64_t checksum_offload; /* sides whose first data had a bad checksum, too */
	uint64_t bad_sequence;     /* segments far outside the window */
	uint64_t rst_ignored;      /* resets with a sequence number that no receiver would take */
	uint64_t syn_ignored;      /* SYNs that contradict an open connection */
	uint64_t urgent;           /* segments with urgent data, which is delivered in line */
	uint64_t acks_distrusted;  /* sides whose acknowledgements contradicted the other side */
	uint64_t reopened;         /* gaps whose bytes came after all */
};

/* What is known of a side; bits of stream.flags[side]. */
enum stream_flag {
	STREAM_SEEN = 1U << 0,         /* at least one segment of this side was seen */
	STREAM_SYN_SEEN = 1U << 1,     /* its SYN (or SYN-ACK) */
	STREAM_SYNACK_SEEN = 1U << 2,  /* its SYN carried an ACK */
	STREAM_FIN_SEEN = 1U << 3,     /* its FIN, in order */
	STREAM_RST_SEEN = 1U << 4,     /* its RST, accepted */
	STREAM_ACKED_UNSEEN = 1U << 5, /* the peer acknowledged bytes before any of it was seen */
	STREAM_GAPS = 1U << 6,         /* at least one gap */
	STREAM_KNOWN = 1U << 7,        /* private from here: its next sequence number is known */
	STREAM_EXPECTED = 1U << 8,     /* ... but only from the peer's acknowledgement */
	STREAM_SOFT = 1U << 9,         /* ... but only from segments without payload */
	STREAM_TRUSTED = 1U << 10,     /* its acknowledgements have been exact */
	STREAM_NO_HISTORY = 1U << 11,  /* retransmissions are not compared */
	STREAM_OFFLOAD = 1U << 12,     /* its checksums prove nothing */
	STREAM_SUMS_GOOD = 1U << 13,   /* its checksums are right */
	STREAM_DELIVERED = 1U << 14,   /* a DATA event was given */
};

/* One side; private but for what the functions below tell. */
struct stream_side {
	uint64_t skip;   /* bytes from next on that need no look */
	uint64_t offset; /* bytes before next: delivered, skipped and missing */
	uint32_t next;   /* sequence number expected next */
	uint32_t edge;   /* the end of what is known to have been sent: next, or, when the
			    peer acknowledged bytes that were not seen, beyond it */
};

struct stream_cold;

/* Embedded in the flow: one cache line. */
struct stream {
	struct stream_cold *cold; /* from the budget, while there is something to keep */
	struct stream_side side[2];
	uint16_t flags[2]; /* enum stream_flag */
	uint8_t fast;      /* bit per side: stream_fast() may decide */
	uint8_t excused;   /* bit per side: next counts one acknowledged byte that may be a FIN */
};

/* The segment or the tick under hand between push and the last pull. Private. */
struct stream_step {
	const struct tcp_segment *segment; /* NULL: a tick or the end */
	enum side side;
	bool active;      /* the segment is still to be placed */
	bool admitted;    /* what it means was looked at */
	bool finishing;   /* everything is to be released */
	bool ended;       /* a hold ended before this time: what it revealed starts there */
	bool jump;        /* the side goes on at seq, whatever was expected */
	bool tampered;    /* the segment's datagram came in two versions */
	bool has_need;    /* need is meaningful */
	uint8_t flags;    /* TCP_FIN or TCP_RST, when still to be acted on */
	uint32_t need;    /* the other side's bytes that were acknowledged */
	uint32_t seq;     /* of the first byte still to be placed */
	uint32_t cut;     /* bytes behind left that the capture cut off */
	struct span left; /* captured bytes still to be placed */
	int64_t time_ns;
	uint64_t ordinal;
	int64_t clock_ns; /* when what happens now happens: at a deadline or at time_ns */
	uint64_t clock_ordinal;
	uint8_t *spent; /* block of the DATA event that was pulled last */
	uint32_t spent_size;
};

/* What the streams of one worker share: caps, memory, counters, the step under hand. */
struct stream_pool {
	struct stream_limits limits;
	struct budget *budget; /* borrowed */
	struct stream_counters counters;
	size_t history_bytes; /* of history_total, in use */
	struct stream_step step;
};

enum stream_verdict {
	STREAM_TAKEN,          /* pull the events */
	STREAM_NEW_CONNECTION, /* not taken: it opens another connection between the same
				  endpoints. Finish this stream, init, push again. */
};

void stream_pool_init(struct stream_pool *pool, const struct stream_limits *limits,
		      struct budget *budget);

void stream_init(struct stream *stream);

/* Gives back all memory, without events. */
void stream_free(struct stream_pool *pool, struct stream *stream);

/*
 * Takes a segment of a side. The segment and its payload must stay valid until
 * stream_pull() said false; that must have happened before the pool's next push,
 * tick or finish, of whichever stream.
 */
enum stream_verdict stream_push(struct stream_pool *pool, struct stream *stream, enum side from,
				const struct tcp_segment *segment, int64_t time_ns,
				uint64_t ordinal);

/*
 * The next event, or false when there is none until the next push, tick or
 * finish. stream_skip() and stream_history() may be called between pulls.
 */
bool stream_pull(struct stream_pool *pool, struct stream *stream, struct stream_event *event);

/*
 * Takes a segment whose bytes are the very next ones and have nothing to wait for, as
 * nearly all do: *event is its STREAM_DATA, and nothing is to be pulled. False: nothing
 * happened, push it.
 */
bool stream_in_order(struct stream_pool *pool, struct stream *stream, enum side from,
		     const struct tcp_segment *segment, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event);

/* "The rest", for stream_skip() */
#define STREAM_FOREVER UINT64_MAX

/*
 * The n bytes of the side that follow those delivered so far need no look. All
 * bytes of a DATA event count as delivered, however many of them the consumer
 * used: one that finds in it the header of a record that reaches beyond the event
 * skips what lies beyond. Replaces the skip that was there; 0 ends it (bytes that
 * came out of order while it lasted are then a gap).
 */
void stream_skip(struct stream *stream, enum side side, uint64_t n);

/* Time went on to now_ns: ends holds that are over. Then pull. */
void stream_tick(struct stream_pool *pool, struct stream *stream, int64_t now_ns);

/* When a hold will be over, for stream_tick(); INT64_MAX: nothing is held. */
int64_t stream_deadline(const struct stream_pool *pool, const struct stream *stream);

/*
 * The end of input, or the flow gives way to others: releases everything that is
 * held, with the gaps that this takes. Pull until false, then stream_free().
 */
void stream_finish(struct stream_pool *pool, struct stream *stream, int64_t now_ns,
		   uint64_t ordinal);

/*
 * Whether the side's retransmissions are compared with what was delivered (from
 * the start they are). Off inside TLS, where records tell; frees what was kept.
 */
void stream_history(struct stream_pool *pool, struct stream *stream, enum side side, bool keep);

/*
 * How far a segment stands from where its side goes on, and what it acknowledges from where the
 * other side does, in bytes either way, together; UINT32_MAX when nothing is known of either.
 */
uint32_t stream_distance(const struct stream *stream, enum side from,
			 const struct tcp_segment *segment);

/*
 * Whether a side's SYN-ACK takes up a SYN that was seen of the other side. One that the side
 * repeats does not: both have opened at once (RFC 9293 3.5).
 */
bool stream_takes_up(const struct stream *stream, enum side from,
		     const struct tcp_segment *segment);

/*
 * Whether a SYN is the one that was seen of its side, in a connection in which something was said:
 * no other connection chooses the same number again (RFC 6528), so it is a copy.
 */
bool stream_syn_comes_again(const struct stream *stream, enum side from,
			    const struct tcp_segment *segment);

/* Both sides were seen, or one has spoken, and none of them has begun to end it. */
bool stream_under_way(const struct stream *stream);

/* Both FINs or a RST were seen. */
static inline bool stream_closed(const struct stream *stream)
{
	return ((stream->flags[0] | stream->flags[1]) & STREAM_RST_SEEN) != 0 ||
	       (stream->flags[0] & stream->flags[1] & STREAM_FIN_SEEN) != 0;
}

/*
 * The handshake was seen, and each side acknowledged exactly what the other sent: whoever does
 * not see what a side sends cannot have played the other one (RFC 9293 3.4.1, RFC 6528).
 */
static inline bool stream_handshake_seen(const struct stream *stream)
{
	const uint32_t both = STREAM_SYN_SEEN | STREAM_TRUSTED;
	return (stream->flags[0] & stream->flags[1] & both) == both;
}

/*
 * Accounts for a segment that needs no look: in order, wholly inside skipped
 * bytes (or without any), no flag but ACK and PSH, nothing held. True: done,
 * nothing to pull. False: nothing happened, push it.
 */
static inline bool stream_fast(struct stream *stream, enum side from,
			       const struct tcp_segment *segment)
{
	struct stream_side *side = &stream->side[from];
	const struct stream_side *other = &stream->side[side_other(from)];
	const uint32_t len = segment->payload_len;

	if ((stream->fast & 1U << from) == 0 || segment->seq != side->next || len > side->skip ||
	    (segment->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_URG | TCP_ACK)) != TCP_ACK ||
	    (int32_t)(segment->ack - other->edge) > 0)
		return false;
	side->next += len;
	side->skip -= len;
	side->offset += len;
	/* Written in any case: whether a segment has bytes, nobody foresees. */
	side->edge = (int32_t)(side->next - side->edge) > 0 ? side->next : side->edge;
	return true;
}

#endif
