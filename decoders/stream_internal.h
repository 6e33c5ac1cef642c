/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the reassembly share with one another and with nobody else: stream.c
 * (steps, and what comes in order), stream_admit.c (what a segment means before its bytes
 * are placed), stream_place.c (placing them), stream_order.c (what may go on, what blocks,
 * when a hold is over), stream_kept.c (the bytes that are kept).
 *
 * How it works: every byte is either placed at once (it is next, and what its
 * segment acknowledged has been seen) or stored as a chunk of its side. Chunks
 * wait for one of two things: a hole before them in their own side, or bytes of
 * the other side that they acknowledge. When neither side can go on and the hold
 * is over, the hole that blocks is declared a gap, and things go on from there.
 *
 * Sequence numbers are compared by the sign of their 32-bit difference (RFC 9293
 * 3.4), so all of it may wrap around.
 */
#ifndef DECODERS_STREAM_INTERNAL_H
#define DECODERS_STREAM_INTERNAL_H

#include "decoders/stream.h"

/* The largest unscaled window: always plausible. */
#define FLIGHT_MIN (UINT32_C(1) << 16)

/* Bytes of a side that wait. */
struct chunk {
	uint8_t *block; /* NULL: sent, but not kept (skipped, or cut off by the capture) */
	uint32_t block_size;
	uint32_t start; /* of the bytes in the block */
	uint32_t len;
	uint32_t seq;
	uint32_t need; /* with has_need: wait for the other side to get there */
	bool has_need;
	bool doubtful; /* one byte that the peer has: a keep-alive's garbage, if it is not missed */
	int64_t time_ns;
	uint64_t ordinal;
};

/* A FIN or RST that waits. */
struct mark {
	bool set;
	bool has_need;
	bool doubted; /* RST: its sender went on, though not yet as far as where it stands */
	uint32_t seq;
	uint32_t need;
	int64_t time_ns;
	uint64_t ordinal;
};

enum hole_kind {
	HOLE_NONE,
	HOLE_ACKED, /* the peer has the bytes: they are a gap when the hold is over */
	HOLE_SILENT /* nobody says so: the sender will repeat them, if it lives */
};

/* Bytes of a side that are missing, and since when. */
struct hole {
	enum hole_kind kind;
	uint32_t at;
	uint32_t end;      /* as known after the last segment */
	uint32_t segments; /* of the connection since */
	int64_t since_ns;
	uint64_t ordinal; /* of the packet that showed it */
};

/* What is out of order on a side. */
struct half {
	struct chunk *chunks; /* by sequence number, without overlap */
	uint32_t first;       /* index of the lowest */
	uint32_t count;
	uint32_t chunk_cap;
	uint32_t stored; /* bytes in blocks */
	struct mark fin, rst;
	struct hole hole;
	/* the last gap, while nothing behind it was seen */
	bool can_reopen;
	uint32_t reopen_at;
	uint32_t reopen_len; /* as it was counted */
	uint64_t reopen_skip;
	/* where the peer stood in its own stream when it acknowledged what was not seen (edge) */
	uint32_t acked_from;
	/* where the side itself stood ahead of what was seen, in a segment without payload */
	bool stood_ahead;
	uint32_t stood_at;
	/* segments far outside the window */
	uint32_t far_segments;
	uint32_t far_next;
	/* a SYN that contradicts this connection, until a SYN-ACK answers it */
	bool has_syn;
	uint32_t syn;
	/* where another SYN would start the side: one of the two is forged or given up, and what
	   the peer acknowledges tells which, or what the side says first */
	bool has_rival;
	uint32_t rival;
};

/* Delivered bytes of a side, to be compared with what comes again. */
struct history {
	uint8_t *bytes; /* byte seq is at [seq mod cap]; NULL: nothing is kept */
	uint32_t cap;   /* a power of two */
	uint32_t len;
	uint32_t end; /* sequence number behind the newest */
};

/* What only a connection needs that has something to keep. */
struct stream_cold {
	struct history history[2];
	struct half *half; /* of both sides; NULL while all is in order */
};

/* The part of fresh from its first to its last byte that differs from kept; empty: none. */
struct difference {
	uint32_t from, to;
};

enum syn { SYN_OPENS, SYN_REPEATS, SYN_IGNORED, SYN_NEW };

static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint8_t side_bit(enum side x)
{
	return (uint8_t)(1U << x);
}

static inline bool has_flag(const struct stream *s, enum side x, unsigned flag)
{
	return (s->flags[x] & flag) != 0;
}

static inline void set_flag(struct stream *s, enum side x, unsigned flag)
{
	s->flags[x] = (uint16_t)(s->flags[x] | flag);
}

static inline void clear_flag(struct stream *s, enum side x, unsigned flag)
{
	s->flags[x] = (uint16_t)(s->flags[x] & ~flag);
}

static inline bool is_excused(const struct stream *s, enum side x)
{
	return (s->excused & side_bit(x)) != 0;
}

static inline void clear_excuse(struct stream *s, enum side x)
{
	s->excused = (uint8_t)(s->excused & ~side_bit(x));
}

/* Sequence numbers between the stream's bytes that are none of them: a FIN, an excused byte. */
static inline uint32_t unnumbered(const struct stream *s, enum side x)
{
	return (has_flag(s, x, STREAM_FIN_SEEN) ? 1U : 0U) + (is_excused(s, x) ? 1U : 0U);
}

/* Sequence number of the first byte of the side's stream. */
static inline uint32_t start_seq(const struct stream *s, enum side x)
{
	return s->side[x].next - (uint32_t)s->side[x].offset - unnumbered(s, x);
}

/* Nothing of the side's stream was delivered or passed over: where it starts may yet be corrected.
 */
static inline bool stream_said_nothing(const struct stream *s, enum side x)
{
	return s->side[x].offset == 0 && unnumbered(s, x) == 0;
}

/* Where in its side's stream a byte near next stands. */
static inline uint64_t offset_of(const struct stream *s, enum side x, uint32_t seq)
{
	int64_t away = (int64_t)seq_diff(seq, s->side[x].next) + unnumbered(s, x);
	return s->side[x].offset + (uint64_t)away;
}

static inline struct half *half_of(const struct stream *s, enum side x)
{
	return s->cold != NULL && s->cold->half != NULL ? &s->cold->half[x] : NULL;
}

static inline struct chunk *head_of(const struct half *h)
{
	return h != NULL && h->count > 0 ? &h->chunks[h->first] : NULL;
}

/* Moves the side on over n bytes. */
static inline void advance(struct stream *s, enum side x, uint32_t n)
{
	struct stream_side *side = &s->side[x];
	side->next += n;
	side->offset += n;
	side->skip -= min_u64(side->skip, n);
	side->edge = seq_diff(side->next, side->edge) > 0 ? side->next : side->edge;
}

/* Starts the side, or starts it again, with the byte seq. */
static inline void start_at(struct stream *s, enum side x, uint32_t seq)
{
	s->side[x].next = seq;
	s->side[x].edge = seq;
}

/* What follows is explained where it is defined. */

/* ---- stream_kept.c ---- */

struct half *stream_half(struct stream_pool *pool, struct stream *s, enum side x);
void stream_history_drop(struct stream_pool *pool, struct stream *s, enum side x);
void stream_history_add(struct stream_pool *pool, struct stream *s, enum side x, struct span bytes);
void stream_difference_add(struct difference *diff, const uint8_t *kept, const uint8_t *fresh,
			   uint32_t at, uint32_t n);
struct difference stream_history_compare(const struct stream *s, enum side x, uint32_t seq,
					 struct span bytes);
void stream_chunk_drop(struct stream_pool *pool, struct half *h);
void stream_chunk_trim(struct half *h, uint32_t n);
uint32_t stream_chunk_find(const struct half *h, uint32_t seq);
bool stream_store_range(struct stream_pool *pool, struct half *h, const struct chunk *range);
bool stream_store_bytes(struct stream_pool *pool, struct half *h, const struct chunk *like,
			const uint8_t *bytes);
bool stream_half_busy(const struct half *h);
void stream_halves_free(struct stream_pool *pool, struct stream *s);
void stream_cold_free(struct stream_pool *pool, struct stream *s);

/* ---- stream_order.c ---- */

void stream_forget_needs(struct stream *s, enum side x);
void stream_distrust(struct stream_pool *pool, struct stream *s, enum side x);
bool stream_need_met(const struct stream *s, enum side x, bool has_need, uint32_t need);
void stream_event_init(struct stream_event *event, enum stream_event_kind kind,
		       const struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal);
void stream_emit_data(struct stream_pool *pool, struct stream *s, enum side x, struct span bytes,
		      int64_t time_ns, uint64_t ordinal, struct stream_event *event);
void stream_emit_gap(struct stream_pool *pool, struct stream *s, enum side x, uint32_t len,
		     int64_t time_ns, uint64_t ordinal, struct stream_event *event);
void stream_emit_fin(struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event);
void stream_emit_rst(struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event);
void stream_emit_excused(struct stream_pool *pool, struct stream *s, enum side x,
			 struct stream_event *event);
bool stream_declare_gap(struct stream_pool *pool, struct stream *s, enum side x, uint32_t end,
			bool behind, struct stream_event *event);
bool stream_drain(struct stream_pool *pool, struct stream *s, struct stream_event *event);
int64_t stream_hole_deadline(const struct stream_pool *pool, const struct hole *hole);
bool stream_watch_holes(struct stream_pool *pool, struct stream *s, struct stream_event *event);
bool stream_end_hold(struct stream_pool *pool, struct stream *s, bool *declared,
		     struct stream_event *event);

/* ---- stream_place.c ---- */

void stream_step_consume(struct stream_step *step, uint32_t n);
bool stream_place(struct stream_pool *pool, struct stream *s, struct stream_event *event);

/* ---- stream_admit.c ---- */

enum syn stream_judge_syn(struct stream_pool *pool, struct stream *s, enum side x,
			  const struct tcp_segment *segment);
bool stream_another_begins(const struct stream *s, enum side x, const struct tcp_segment *segment);
/* The other one of two SYNs is that of a connection of its own now. */
void stream_rival_leaves(struct stream *s, enum side x);
void stream_admit(struct stream_pool *pool, struct stream *s);

#endif
