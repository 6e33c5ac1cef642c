/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: every byte is either placed at once (it is next, and what its
 * segment acknowledged has been seen) or stored as a chunk of its side. Chunks
 * wait for one of two things: a hole before them in their own side, or bytes of
 * the other side that they acknowledge. When neither side can go on and the hold
 * is over, the hole that blocks is declared a gap, and things go on from there.
 *
 * Sequence numbers are compared by the sign of their 32-bit difference (RFC 9293
 * 3.4), so all of it may wrap around.
 */
#include "decoders/stream.h"

/* No sender has more than this in flight; the largest window of common stacks is below. */
#define FLIGHT_MAX (UINT32_C(1) << 24)
/* The largest unscaled window: always plausible. */
#define FLIGHT_MIN (UINT32_C(1) << 16)
/* The largest scaled window (RFC 7323 2.3): an acknowledgement further ahead is none. */
#define ACK_AHEAD_MAX (INT32_C(1) << 30)
/* Segments in a row that must continue each other far from the window to be believed. */
#define RESYNC_SEGMENTS 4
/* First sizes of what grows by doubling. */
#define CHUNKS_FIRST  4U
#define HISTORY_FIRST 256U
/* Room that a chunk of a few bytes gets for its neighbours when chunks become scarce. */
#define CHUNK_ROOM 64U

/* Bytes of a side that wait. */
struct chunk {
	uint8_t *block; /* NULL: sent, but not kept (skipped, or cut off by the capture) */
	uint32_t block_size;
	uint32_t start; /* of the bytes in the block */
	uint32_t len;
	uint32_t seq;
	uint32_t need; /* with has_need: wait for the other side to get there */
	bool has_need;
	int64_t time_ns;
	uint64_t ordinal;
};

/* A FIN or RST that waits. */
struct mark {
	bool set;
	bool has_need;
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

struct half {
	struct chunk *chunks; /* by sequence number, without overlap */
	uint32_t first;       /* index of the lowest */
	uint32_t count;
	uint32_t chunk_cap;
	uint32_t stored; /* bytes in blocks */
	struct mark fin, rst;
	struct hole hole;
	uint8_t *history; /* byte seq is at [seq mod history_cap] */
	uint32_t history_cap;
	uint32_t history_len;
	uint32_t history_end; /* sequence number behind the newest */
	/* the last gap, while nothing behind it was seen */
	bool can_reopen;
	uint32_t reopen_at;
	uint32_t reopen_len; /* as it was counted */
	uint64_t reopen_skip;
	/* segments far outside the window */
	uint32_t far_segments;
	uint32_t far_next;
	/* a SYN that contradicts this connection, until a SYN-ACK answers it */
	bool has_syn;
	uint32_t syn;
};

/* What only a connection needs that has something to keep. */
struct stream_cold {
	struct half half[2];
};

static int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void add_saturating(uint32_t *sum, uint32_t n)
{
	*sum = n > UINT32_MAX - *sum ? UINT32_MAX : *sum + n;
}

static uint8_t side_bit(enum side x)
{
	return (uint8_t)(1U << x);
}

static bool has_flag(const struct stream *s, enum side x, unsigned flag)
{
	return (s->flags[x] & flag) != 0;
}

static void set_flag(struct stream *s, enum side x, unsigned flag)
{
	s->flags[x] = (uint16_t)(s->flags[x] | flag);
}

static void clear_flag(struct stream *s, enum side x, unsigned flag)
{
	s->flags[x] = (uint16_t)(s->flags[x] & ~flag);
}

static bool is_excused(const struct stream *s, enum side x)
{
	return (s->excused & side_bit(x)) != 0;
}

static void clear_excuse(struct stream *s, enum side x)
{
	s->excused = (uint8_t)(s->excused & ~side_bit(x));
}

/* Sequence numbers between the stream's bytes that are none of them: a FIN, an excused byte. */
static uint32_t unnumbered(const struct stream *s, enum side x)
{
	return (has_flag(s, x, STREAM_FIN_SEEN) ? 1U : 0U) + (is_excused(s, x) ? 1U : 0U);
}

/* Sequence number of the first byte of the side's stream. */
static uint32_t start_seq(const struct stream *s, enum side x)
{
	return s->side[x].next - (uint32_t)s->side[x].offset - unnumbered(s, x);
}

/* Where in its side's stream a byte near next stands. */
static uint64_t offset_of(const struct stream *s, enum side x, uint32_t seq)
{
	int64_t away = (int64_t)seq_diff(seq, s->side[x].next) + unnumbered(s, x);
	return s->side[x].offset + (uint64_t)away;
}

static struct half *half_of(const struct stream *s, enum side x)
{
	return s->cold != NULL ? &s->cold->half[x] : NULL;
}

static struct chunk *head_of(const struct half *h)
{
	return h != NULL && h->count > 0 ? &h->chunks[h->first] : NULL;
}

/* The side's half, from the budget if need be; NULL when that has nothing left. */
static struct half *half_get(struct stream_pool *pool, struct stream *s, enum side x)
{
	if (s->cold == NULL)
		s->cold = budget_calloc(pool->budget, 1, sizeof(*s->cold));
	return half_of(s, x);
}

/* Moves the side on over n bytes. */
static void advance(struct stream *s, enum side x, uint32_t n)
{
	struct stream_side *side = &s->side[x];
	side->next += n;
	side->offset += n;
	side->skip -= min_u64(side->skip, n);
	if (seq_diff(side->next, side->edge) > 0)
		side->edge = side->next;
}

/* Starts the side, or starts it again, with the byte seq. */
static void start_at(struct stream *s, enum side x, uint32_t seq)
{
	s->side[x].next = seq;
	s->side[x].edge = seq;
}

/* --- history: what was delivered, for comparison --- */

static void history_drop(struct stream_pool *pool, struct half *h)
{
	budget_free(pool->budget, h->history, h->history_cap);
	h->history = NULL;
	h->history_cap = 0;
	h->history_len = 0;
}

/* Copies n bytes into a ring of cap bytes (a power of two) where seq belongs. */
static void ring_put(uint8_t *ring, uint32_t cap, uint32_t seq, const uint8_t *bytes, uint32_t n)
{
	uint32_t at = seq & (cap - 1);
	uint32_t head = min_u32(n, cap - at);
	memcpy(ring + at, bytes, head);
	memcpy(ring, bytes + head, n - head);
}

static void history_grow(struct stream_pool *pool, struct half *h, uint64_t want)
{
	uint32_t cap = h->history_cap != 0 ? h->history_cap : HISTORY_FIRST;
	while (cap < want && cap < pool->limits.history)
		cap *= 2;
	cap = min_u32(cap, pool->limits.history);
	if (cap <= h->history_cap)
		return;
	uint8_t *grown = budget_alloc(pool->budget, cap);
	if (grown == NULL) {
		pool->counters.history_refused++;
		return;
	}
	uint32_t seq = h->history_end - h->history_len;
	for (uint32_t left = h->history_len; left > 0;) {
		uint32_t at = seq & (h->history_cap - 1);
		uint32_t run = min_u32(left, h->history_cap - at);
		ring_put(grown, cap, seq, h->history + at, run);
		seq += run;
		left -= run;
	}
	budget_free(pool->budget, h->history, h->history_cap);
	h->history = grown;
	h->history_cap = cap;
}

/* Keeps bytes that are delivered now, at the side's next. */
static void history_add(struct stream_pool *pool, struct stream *s, enum side x, struct span bytes)
{
	if (has_flag(s, x, STREAM_NO_HISTORY) || pool->limits.history == 0)
		return;
	struct half *h = half_get(pool, s, x);
	if (h == NULL) {
		pool->counters.history_refused++;
		return;
	}
	uint32_t seq = s->side[x].next;
	if (h->history_end != seq)
		h->history_len = 0; /* what lies before a gap or a skip is too far away */
	if ((uint64_t)h->history_len + bytes.len > h->history_cap)
		history_grow(pool, h, (uint64_t)h->history_len + bytes.len);
	if (h->history_cap == 0)
		return;
	uint32_t len = (uint32_t)bytes.len;
	uint32_t kept = min_u32(len, h->history_cap);
	ring_put(h->history, h->history_cap, seq + len - kept, bytes.ptr + (len - kept), kept);
	h->history_end = seq + len;
	h->history_len = min_u32(h->history_len + kept, h->history_cap);
}

/* The part of fresh from its first to its last byte that differs from kept; empty: none. */
struct difference {
	uint32_t from, to;
};

static void difference_add(struct difference *diff, const uint8_t *kept, const uint8_t *fresh,
			   uint32_t at, uint32_t n)
{
	if (memcmp(kept, fresh, n) == 0)
		return;
	uint32_t first = 0;
	while (kept[first] == fresh[first])
		first++;
	uint32_t last = n;
	while (kept[last - 1] == fresh[last - 1])
		last--;
	if (diff->to == 0)
		diff->from = at + first;
	diff->to = at + last;
}

/* How bytes at seq differ from the history, as far as that reaches. */
static struct difference history_compare(const struct half *h, uint32_t seq, struct span bytes)
{
	struct difference diff = {0, 0};
	if (h == NULL || h->history_len == 0)
		return diff;
	uint32_t begin = h->history_end - h->history_len;
	uint32_t at = seq_diff(begin, seq) > 0 ? begin - seq : 0;
	uint32_t end = (uint32_t)bytes.len;
	if (seq_diff(seq + end, h->history_end) > 0) {
		if (seq_diff(seq, h->history_end) >= 0)
			return diff;
		end = h->history_end - seq;
	}
	while (at < end) {
		uint32_t in_ring = (seq + at) & (h->history_cap - 1);
		uint32_t run = min_u32(end - at, h->history_cap - in_ring);
		difference_add(&diff, h->history + in_ring, bytes.ptr + at, at, run);
		at += run;
	}
	return diff;
}

/* --- chunks --- */

/* Drops the lowest chunk; there is one. */
static void chunk_drop(struct stream_pool *pool, struct half *h)
{
	struct chunk *c = &h->chunks[h->first];
	if (c->block != NULL) {
		h->stored -= c->len;
		budget_free(pool->budget, c->block, c->block_size);
	}
	h->count--;
	h->first = h->count > 0 ? h->first + 1 : 0;
}

/* Cuts n bytes, fewer than it has, off the front of the lowest chunk. */
static void chunk_trim(struct half *h, uint32_t n)
{
	struct chunk *c = &h->chunks[h->first];
	c->seq += n;
	c->start += n;
	c->len -= n;
	if (c->block != NULL)
		h->stored -= n;
}

/* Index, from first on, of the first chunk that ends behind seq; count when there is none. */
static uint32_t chunk_find(const struct half *h, uint32_t seq)
{
	uint32_t low = 0;
	uint32_t high = h->count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct chunk *c = &h->chunks[h->first + mid];
		if (seq_diff(c->seq + c->len, seq) > 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Room for one chunk more behind the last; false when the budget has none. */
static bool chunk_room(struct stream_pool *pool, struct half *h)
{
	if (h->first + h->count < h->chunk_cap)
		return true;
	if (h->first > 0) {
		memmove(h->chunks, h->chunks + h->first, h->count * sizeof(*h->chunks));
		h->first = 0;
		return true;
	}
	uint32_t cap = h->chunk_cap == 0 ? CHUNKS_FIRST : h->chunk_cap * 2;
	cap = min_u32(cap, pool->limits.max_chunks);
	struct chunk *grown = budget_resize(
	    pool->budget, h->chunks, h->chunk_cap * sizeof(*h->chunks), cap * sizeof(*h->chunks));
	if (grown == NULL)
		return false;
	h->chunks = grown;
	h->chunk_cap = cap;
	return true;
}

/* Stores bytes that are not kept: neighbours become one range. */
static bool store_range(struct stream_pool *pool, struct half *h, const struct chunk *range)
{
	uint32_t at = chunk_find(h, range->seq);
	struct chunk *before = at > 0 ? &h->chunks[h->first + at - 1] : NULL;
	struct chunk *behind = at < h->count ? &h->chunks[h->first + at] : NULL;
	bool joins =
	    behind != NULL && behind->block == NULL && behind->seq == range->seq + range->len;

	if (before != NULL && before->block == NULL && before->seq + before->len == range->seq) {
		before->len += range->len;
		if (joins) {
			before->len += behind->len;
			memmove(behind, behind + 1, (h->count - at - 1) * sizeof(*behind));
			h->count--;
		}
		return true;
	}
	if (joins) {
		behind->seq = range->seq;
		behind->len += range->len;
		return true;
	}
	if (h->count >= pool->limits.max_chunks || !chunk_room(pool, h))
		return false;
	struct chunk *slot = &h->chunks[h->first + at];
	memmove(slot + 1, slot, (h->count - at) * sizeof(*slot));
	*slot = *range;
	h->count++;
	return true;
}

/* Stores a copy of bytes. The caller has checked the cap on bytes. */
static bool store_bytes(struct stream_pool *pool, struct half *h, const struct chunk *like,
			const uint8_t *bytes)
{
	uint32_t at = chunk_find(h, like->seq);
	bool scarce = h->count >= pool->limits.max_chunks / 2;
	if (scarce && at > 0) {
		/* Many small pieces: they join, and stand on the packet of the last one. */
		struct chunk *before = &h->chunks[h->first + at - 1];
		uint32_t end = before->start + before->len;
		if (before->block != NULL && before->seq + before->len == like->seq &&
		    before->has_need == like->has_need && before->need == like->need &&
		    before->block_size - end >= like->len) {
			memcpy(before->block + end, bytes, like->len);
			before->len += like->len;
			before->time_ns = like->time_ns;
			before->ordinal = like->ordinal;
			h->stored += like->len;
			return true;
		}
	}
	if (h->count >= pool->limits.max_chunks || !chunk_room(pool, h))
		return false;
	struct chunk fresh = *like;
	fresh.block_size = scarce && like->len < CHUNK_ROOM ? CHUNK_ROOM : like->len;
	fresh.block = budget_alloc(pool->budget, fresh.block_size);
	if (fresh.block == NULL)
		return false;
	memcpy(fresh.block, bytes, like->len);
	struct chunk *slot = &h->chunks[h->first + at];
	memmove(slot + 1, slot, (h->count - at) * sizeof(*slot));
	*slot = fresh;
	h->count++;
	h->stored += like->len;
	return true;
}

/* --- what may go on, and what blocks --- */

/* What the side acknowledged does not count any more, in what is stored neither. */
static void forget_needs(struct stream *s, enum side x)
{
	struct half *h = half_of(s, x);
	struct stream_side *other = &s->side[side_other(x)];
	clear_flag(s, x, STREAM_TRUSTED);
	other->edge = other->next;
	if (h == NULL)
		return;
	for (uint32_t i = 0; i < h->count; i++)
		h->chunks[h->first + i].has_need = false;
	h->fin.has_need = false;
}

/* The side's acknowledgements are no guide, until one is exact again. */
static void distrust(struct stream_pool *pool, struct stream *s, enum side x)
{
	pool->counters.acks_distrusted++;
	pool->step.has_need = pool->step.has_need && pool->step.side != x;
	forget_needs(s, x);
}

/* Whether all bytes that the side x acknowledged with need were seen (or need no look). */
static bool need_met(const struct stream *s, enum side x, bool has_need, uint32_t need)
{
	if (!has_need || !has_flag(s, x, STREAM_TRUSTED))
		return true;
	const struct stream_side *other = &s->side[side_other(x)];
	int32_t missing = seq_diff(need, other->next);
	return missing <= 0 || (uint32_t)missing <= other->skip;
}

enum ready {
	READY_NOTHING, /* nothing waits, or a hole comes first */
	READY_BLOCKED, /* only bytes of the other side are missing */
	READY_CHUNK,
	READY_FIN,
	READY_RST
};

/* What of the side's waiting things is next, and the ordinal of its packet. */
static enum ready side_ready(struct stream_pool *pool, struct stream *s, enum side x,
			     uint64_t *ordinal)
{
	struct half *h = half_of(s, x);
	if (h == NULL)
		return READY_NOTHING;
	const struct stream_side *side = &s->side[x];

	struct chunk *c;
	while ((c = head_of(h)) != NULL && seq_diff(side->next, c->seq) > 0) {
		uint32_t passed = side->next - c->seq;
		if (passed >= c->len)
			chunk_drop(pool, h);
		else
			chunk_trim(h, passed);
	}
	if (c != NULL && c->seq == side->next) {
		*ordinal = c->ordinal;
		if (c->block == NULL || side->skip > 0 || need_met(s, x, c->has_need, c->need))
			return READY_CHUNK;
		return READY_BLOCKED;
	}
	if (h->fin.set && seq_diff(side->next, h->fin.seq) > 0)
		h->fin.set = false; /* bytes behind it: it was none */
	if (h->fin.set && h->fin.seq == side->next) {
		*ordinal = h->fin.ordinal;
		return need_met(s, x, h->fin.has_need, h->fin.need) ? READY_FIN : READY_BLOCKED;
	}
	if (h->rst.set && seq_diff(side->next, h->rst.seq) >= 0) {
		*ordinal = h->rst.ordinal;
		return READY_RST;
	}
	return READY_NOTHING;
}

/* The hole that the side waits for, and where it ends. */
static enum hole_kind side_hole(const struct stream *s, enum side x, bool finishing, uint32_t *end)
{
	const struct stream_side *side = &s->side[x];
	if (!has_flag(s, x, STREAM_KNOWN))
		return HOLE_NONE;
	const struct half *h = half_of(s, x);
	const struct chunk *c = head_of(h);
	bool own = false;
	if (c != NULL) {
		own = true;
		*end = c->seq;
	}
	if (h != NULL && h->fin.set && (!own || seq_diff(h->fin.seq, *end) < 0)) {
		own = true;
		*end = h->fin.seq;
	}
	if (h != NULL && h->rst.set && !own) {
		own = true;
		*end = h->rst.seq;
	}
	if (own && *end == side->next)
		return HOLE_NONE; /* no hole of this side: it waits for the other */
	uint32_t acked = side->edge - side->next;
	if (acked > 0 && has_flag(s, side_other(x), STREAM_TRUSTED) &&
	    (own || finishing || acked > side->skip)) {
		if (!own || seq_diff(side->edge, *end) < 0)
			*end = side->edge;
		return HOLE_ACKED;
	}
	return own ? HOLE_SILENT : HOLE_NONE;
}

/* --- events --- */

static void event_init(struct stream_event *event, enum stream_event_kind kind,
		       const struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal)
{
	*event = (struct stream_event){
	    .kind = kind,
	    .side = x,
	    .offset = s->side[x].offset,
	    .time_ns = time_ns,
	    .ordinal = ordinal,
	};
}

static void emit_data(struct stream_pool *pool, struct stream *s, enum side x, struct span bytes,
		      int64_t time_ns, uint64_t ordinal, struct stream_event *event)
{
	event_init(event, STREAM_DATA, s, x, time_ns, ordinal);
	event->bytes = bytes;
	history_add(pool, s, x, bytes);
	s->count[x].delivered += bytes.len;
	advance(s, x, (uint32_t)bytes.len);
}

static void emit_gap(struct stream_pool *pool, struct stream *s, enum side x, uint32_t len,
		     int64_t time_ns, uint64_t ordinal, struct stream_event *event)
{
	event_init(event, STREAM_GAP, s, x, time_ns, ordinal);
	event->gap_len = len;
	event->in_skip = len > 0 && len <= s->side[x].skip;
	s->count[x].gap += len;
	set_flag(s, x, STREAM_GAPS);
	pool->counters.gaps++;
	pool->counters.gap_bytes += len;
	advance(s, x, len);
}

static void emit_fin(struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event)
{
	event_init(event, STREAM_FIN, s, x, time_ns, ordinal);
	struct stream_side *side = &s->side[x];
	set_flag(s, x, STREAM_FIN_SEEN);
	side->next++;
	if (seq_diff(side->next, side->edge) > 0)
		side->edge = side->next;
}

static void emit_rst(struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event)
{
	event_init(event, STREAM_RST, s, x, time_ns, ordinal);
	set_flag(s, x, STREAM_RST_SEEN);
}

/* The byte that might have been a FIN was none: data or a FIN follow it. */
static void emit_excused(struct stream_pool *pool, struct stream *s, enum side x,
			 struct stream_event *event)
{
	const struct stream_step *step = &pool->step;
	clear_excuse(s, x);
	s->side[x].next--;
	if (s->cold != NULL)
		s->cold->half[x].can_reopen = false;
	emit_gap(pool, s, x, 1, step->clock_ns, step->clock_ordinal, event);
}

/*
 * Declares the side's bytes up to end a gap. behind: something behind it was seen.
 * One byte that was acknowledged with nothing behind it may be a FIN that was not
 * captured: it is passed without an event (false) until more comes.
 */
static bool declare_gap(struct stream_pool *pool, struct stream *s, enum side x, uint32_t end,
			bool behind, struct stream_event *event)
{
	struct stream_side *side = &s->side[x];
	struct half *h = half_of(s, x);
	if (is_excused(s, x)) {
		emit_excused(pool, s, x, event);
		return true;
	}
	int64_t time_ns = pool->step.clock_ns;
	uint64_t ordinal = pool->step.clock_ordinal;
	uint32_t len = end - side->next;
	if (h != NULL) {
		if (h->hole.kind != HOLE_NONE && h->hole.at == side->next) {
			time_ns = h->hole.since_ns;
			ordinal = h->hole.ordinal;
		}
		h->hole.kind = HOLE_NONE;
		h->can_reopen = !behind;
		h->reopen_at = side->next;
		h->reopen_len = len;
		h->reopen_skip = side->skip;
		if (!behind && len == 1 && side->skip == 0 && !has_flag(s, x, STREAM_FIN_SEEN)) {
			h->reopen_len = 0;
			s->excused |= side_bit(x);
			side->next++;
			return false;
		}
	}
	emit_gap(pool, s, x, len, time_ns, ordinal, event);
	return true;
}

/* Takes what is ready on a side. True: an event. */
static bool take_ready(struct stream_pool *pool, struct stream *s, enum side x, enum ready ready,
		       struct stream_event *event)
{
	struct half *h = half_of(s, x);
	struct stream_side *side = &s->side[x];

	if (is_excused(s, x) && ready != READY_RST) {
		emit_excused(pool, s, x, event);
		return true;
	}
	if (ready == READY_RST) {
		h->rst.set = false;
		emit_rst(s, x, h->rst.time_ns, h->rst.ordinal, event);
		return true;
	}
	if (ready == READY_FIN) {
		h->fin.set = false;
		emit_fin(s, x, h->fin.time_ns, h->fin.ordinal, event);
		return true;
	}
	h->can_reopen = false;
	struct chunk *c = head_of(h);
	if (side->skip > 0) {
		uint32_t n = (uint32_t)min_u64(side->skip, c->len);
		if (n == c->len)
			chunk_drop(pool, h);
		else
			chunk_trim(h, n);
		advance(s, x, n);
		return false;
	}
	struct chunk taken = *c;
	if (c->block != NULL) {
		/* The event borrows the block: it goes back with the next call. */
		h->stored -= c->len;
		pool->step.spent = c->block;
		pool->step.spent_size = c->block_size;
		c->block = NULL;
	}
	chunk_drop(pool, h);
	if (taken.block == NULL)
		emit_gap(pool, s, x, taken.len, taken.time_ns, taken.ordinal, event);
	else
		emit_data(pool, s, x, span_of(taken.block + taken.start, taken.len), taken.time_ns,
			  taken.ordinal, event);
	return true;
}

/* Whatever waited and can go on, in the order of arrival. True: an event. */
static bool drain(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	while (s->cold != NULL) {
		uint64_t ordinal[2] = {0, 0};
		enum ready client = side_ready(pool, s, SIDE_CLIENT, &ordinal[0]);
		enum ready server = side_ready(pool, s, SIDE_SERVER, &ordinal[1]);
		enum side older = ordinal[0] <= ordinal[1] ? SIDE_CLIENT : SIDE_SERVER;
		enum side x;
		if (client >= READY_CHUNK && server >= READY_CHUNK) {
			x = older;
		} else if (client >= READY_CHUNK) {
			x = SIDE_CLIENT;
		} else if (server >= READY_CHUNK) {
			x = SIDE_SERVER;
		} else if (client == READY_BLOCKED && server == READY_BLOCKED) {
			/* Each acknowledges the other and nothing is missing: that cannot be. */
			distrust(pool, s, SIDE_CLIENT);
			distrust(pool, s, SIDE_SERVER);
			continue;
		} else {
			return false;
		}
		if (take_ready(pool, s, x, x == SIDE_CLIENT ? client : server, event))
			return true;
	}
	return false;
}

/* --- placing the segment under hand --- */

static void step_consume(struct stream_step *step, uint32_t n)
{
	uint32_t captured = min_u32(n, (uint32_t)step->left.len);
	step->left = span_skip(step->left, captured);
	step->cut -= n - captured;
	step->seq += n;
}

static void step_refuse(struct stream_step *step)
{
	step->left = (struct span){.ptr = NULL, .len = 0};
	step->cut = 0;
	step->flags = 0;
}

/* There is no room for the segment at seq: gives up the hole that blocks. True: an event. */
static bool make_way(struct stream_pool *pool, struct stream *s, enum side x, uint32_t seq,
		     struct stream_event *event)
{
	const struct chunk *c = head_of(half_of(s, x));
	enum side o = side_other(x);
	uint32_t first = c != NULL && seq_diff(c->seq, seq) < 0 ? c->seq : seq;

	if (first != s->side[x].next) {
		pool->counters.cap_reached++;
		return declare_gap(pool, s, x, first, true, event);
	}
	const struct chunk *oc = head_of(half_of(s, o));
	if (oc != NULL && oc->seq != s->side[o].next) {
		pool->counters.cap_reached++;
		return declare_gap(pool, s, o, oc->seq, true, event);
	}
	if (oc == NULL && s->side[o].edge != s->side[o].next) {
		pool->counters.cap_reached++;
		return declare_gap(pool, s, o, s->side[o].edge, false, event);
	}
	distrust(pool, s, x);
	return false;
}

/* Bytes that came before, against kept ones. True: an event. */
static bool place_again(struct stream_pool *pool, struct stream *s, uint32_t n,
			struct difference diff, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	bool conflict = diff.to > diff.from && !has_flag(s, x, STREAM_NO_HISTORY);

	if (conflict && !has_flag(s, x, STREAM_OFFLOAD) && step->segment->checked.len > 0 &&
	    !tcp_checksum_ok(step->segment)) {
		pool->counters.bad_checksum++;
		step_refuse(step);
		return false;
	}
	add_saturating(&s->count[x].duplicate, n);
	pool->counters.duplicate_bytes += n;
	if (conflict) {
		uint32_t len = diff.to - diff.from;
		event_init(event, STREAM_CONFLICT, s, x, step->time_ns, step->ordinal);
		event->bytes = span_of(step->left.ptr + diff.from, len);
		event->offset = offset_of(s, x, step->seq + diff.from);
		add_saturating(&s->count[x].conflict, len);
		pool->counters.conflicts++;
		pool->counters.conflict_bytes += len;
	}
	step_consume(step, n);
	return conflict;
}

/* Bytes at or behind the side's FIN: one of the two is not the sender's. */
static bool place_after_fin(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	uint32_t n = (uint32_t)pool->step.left.len;
	struct difference all = {0, n};
	bool conflict = place_again(pool, s, n, all, event);
	step_refuse(&pool->step);
	return conflict;
}

/* Bytes that cannot go on yet. True: an event, because there was no room. */
static bool place_later(struct stream_pool *pool, struct stream *s, uint32_t n,
			struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	uint32_t ahead = step->seq - s->side[x].next;
	struct half *h = half_get(pool, s, x);
	struct chunk chunk = {
	    .seq = step->seq,
	    .need = step->has_need ? step->need : 0,
	    .has_need = step->has_need,
	    .time_ns = step->time_ns,
	    .ordinal = step->ordinal,
	};
	bool stored = false;
	if (ahead < s->side[x].skip)
		chunk.len = (uint32_t)min_u64(n, s->side[x].skip - ahead);
	else if (step->left.len == 0)
		chunk.len = n;
	if (h != NULL && chunk.len > 0) {
		stored = store_range(pool, h, &chunk);
	} else if (h != NULL) {
		const struct chunk *c = head_of(h);
		bool hole = ahead > 0 && (c == NULL || c->seq != s->side[x].next);
		uint32_t cap = hole ? pool->limits.max_out_of_order : pool->limits.max_held;
		chunk.len = n;
		stored = h->stored <= cap && n <= cap - h->stored &&
			 store_bytes(pool, h, &chunk, step->left.ptr);
	}
	if (!stored)
		return make_way(pool, s, x, step->seq, event);
	h->can_reopen = false;
	step_consume(step, chunk.len);
	return false;
}

/* The side goes on elsewhere: what lies between is a gap of known or unknown size. */
static void place_jump(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	struct half *h = half_of(s, x);
	while (head_of(h) != NULL)
		chunk_drop(pool, h);
	if (h != NULL) {
		h->fin.set = false;
		h->rst.set = false;
		h->can_reopen = false;
		h->hole.kind = HOLE_NONE;
	}
	clear_excuse(s, x);
	forget_needs(s, SIDE_CLIENT);
	forget_needs(s, SIDE_SERVER);
	int32_t ahead = seq_diff(step->seq, s->side[x].next);
	emit_gap(pool, s, x, ahead > 0 ? (uint32_t)ahead : 0, step->time_ns, step->ordinal, event);
	start_at(s, x, step->seq);
	step->jump = false;
}

/* The FIN or RST of the segment, once its payload is placed. True: an event. */
static bool place_flags(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	int32_t ahead = seq_diff(step->seq, s->side[x].next);
	struct mark mark = {
	    .set = true,
	    .has_need = step->has_need,
	    .seq = step->seq,
	    .need = step->need,
	    .time_ns = step->time_ns,
	    .ordinal = step->ordinal,
	};
	if ((step->flags & TCP_RST) != 0) {
		step->flags = 0;
		if (ahead <= 0) {
			emit_rst(s, x, step->time_ns, step->ordinal, event);
			return true;
		}
		struct half *h = half_get(pool, s, x);
		if (h != NULL)
			h->rst = mark;
		else
			pool->counters.rst_ignored++;
		return false;
	}
	if ((step->flags & TCP_FIN) == 0 || has_flag(s, x, STREAM_FIN_SEEN) || ahead < 0) {
		step->flags = 0;
		return false;
	}
	if (ahead == 0 && is_excused(s, x)) {
		emit_excused(pool, s, x, event);
		return true;
	}
	if (ahead == 0 && need_met(s, x, step->has_need, step->need)) {
		step->flags = 0;
		emit_fin(s, x, step->time_ns, step->ordinal, event);
		return true;
	}
	struct half *h = half_get(pool, s, x);
	if (h == NULL)
		return make_way(pool, s, x, step->seq, event);
	step->flags = 0;
	h->can_reopen = false;
	if (!h->fin.set)
		h->fin = mark;
	return false;
}

/* The next piece of the segment under hand. True: an event. */
static bool place(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	struct stream_side *side = &s->side[x];

	if (step->jump) {
		place_jump(pool, s, event);
		return true;
	}
	uint32_t len = (uint32_t)step->left.len + step->cut;
	if (len == 0) {
		if (step->flags != 0)
			return place_flags(pool, s, event);
		step->active = false;
		return false;
	}
	struct half *h = half_of(s, x);
	uint32_t n = step->left.len > 0 ? (uint32_t)step->left.len : step->cut;
	uint32_t limit = has_flag(s, x, STREAM_FIN_SEEN) ? side->next - 1 : side->next;
	int32_t ahead = seq_diff(step->seq, limit);
	struct difference none = {0, 0};
	if (ahead < 0) {
		n = min_u32(n, limit - step->seq);
		if (step->left.len == 0)
			return place_again(pool, s, n, none, event);
		return place_again(pool, s, n,
				   history_compare(h, step->seq, span_head(step->left, n)), event);
	}
	if (has_flag(s, x, STREAM_FIN_SEEN))
		return place_after_fin(pool, s, event);
	if (is_excused(s, x)) {
		emit_excused(pool, s, x, event);
		return true;
	}
	if (h != NULL && h->count > 0) {
		uint32_t at = chunk_find(h, step->seq);
		const struct chunk *c = at < h->count ? &h->chunks[h->first + at] : NULL;
		if (c != NULL && seq_diff(c->seq, step->seq) <= 0) {
			uint32_t passed = step->seq - c->seq;
			struct difference diff = none;
			n = min_u32(n, c->len - passed);
			if (c->block != NULL && step->left.len > 0)
				difference_add(&diff, c->block + c->start + passed, step->left.ptr,
					       0, n);
			return place_again(pool, s, n, diff, event);
		}
		if (c != NULL)
			n = min_u32(n, c->seq - step->seq);
	}
	if (ahead > 0)
		return place_later(pool, s, n, event);
	if (side->skip > 0) {
		n = (uint32_t)min_u64(n, side->skip);
	} else if (step->left.len > 0 && !need_met(s, x, step->has_need, step->need)) {
		return place_later(pool, s, n, event);
	}
	if (h != NULL)
		h->can_reopen = false;
	if (side->skip > 0) {
		advance(s, x, n);
		step_consume(step, n);
		return false;
	}
	if (step->left.len > 0)
		emit_data(pool, s, x, span_head(step->left, n), step->time_ns, step->ordinal,
			  event);
	else
		emit_gap(pool, s, x, n, step->time_ns, step->ordinal, event);
	step_consume(step, n);
	return true;
}

/* --- holds --- */

static int64_t hole_deadline(const struct stream_pool *pool, const struct hole *hole)
{
	int64_t hold = hole->kind == HOLE_ACKED ? pool->limits.hold_ns : pool->limits.loss_ns;
	return hole->since_ns > INT64_MAX - hold ? INT64_MAX : hole->since_ns + hold;
}

/* Starts the clock of holes that are new. True: an event, because there is no clock to be had. */
static bool watch_holes(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	const struct stream_step *step = &pool->step;
	for (unsigned i = 0; i < 2; i++) {
		enum side x = (enum side)i;
		uint32_t end = 0;
		enum hole_kind kind = side_hole(s, x, step->finishing, &end);
		if (kind == HOLE_NONE) {
			if (s->cold != NULL)
				s->cold->half[x].hole.kind = HOLE_NONE;
			continue;
		}
		struct half *h = half_get(pool, s, x);
		if (h == NULL) {
			pool->counters.cap_reached++;
			return declare_gap(pool, s, x, end, false, event);
		}
		if (h->hole.kind == kind && h->hole.at == s->side[x].next) {
			h->hole.end = end;
			continue;
		}
		h->hole = (struct hole){
		    .kind = kind,
		    .at = s->side[x].next,
		    .end = end,
		    .since_ns = step->clock_ns,
		    .ordinal = step->clock_ordinal,
		};
	}
	return false;
}

/* Declares the hole whose hold ended first, if one has. *declared: one was; true: an event. */
static bool end_hold(struct stream_pool *pool, struct stream *s, bool *declared,
		     struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	const struct hole *over = NULL;
	enum side side = SIDE_CLIENT;
	*declared = false;
	for (unsigned i = 0; s->cold != NULL && i < 2; i++) {
		const struct hole *hole = &s->cold->half[i].hole;
		if (hole->kind == HOLE_NONE || hole->at != s->side[i].next)
			continue;
		bool ended = step->finishing || step->time_ns >= hole_deadline(pool, hole) ||
			     (!step->active && hole->kind == HOLE_ACKED &&
			      hole->segments >= pool->limits.hold_segments);
		if (!ended)
			continue;
		int64_t deadline = hole_deadline(pool, hole);
		if (over == NULL || deadline < hole_deadline(pool, over)) {
			over = hole;
			side = (enum side)i;
		}
	}
	if (over == NULL)
		return false;
	uint32_t end = 0;
	if (side_hole(s, side, step->finishing, &end) == HOLE_NONE) {
		s->cold->half[side].hole.kind = HOLE_NONE;
		return false;
	}
	const struct half *h = half_of(s, side);
	bool behind = h->count > 0 || h->fin.set || h->rst.set;
	*declared = true;
	pool->counters.hold_timeouts++;
	/* As if a tick had come exactly then: when ticks come must not change what is told. */
	if (step->time_ns >= hole_deadline(pool, over)) {
		step->clock_ns = hole_deadline(pool, over);
		step->ended = true;
	}
	step->clock_ordinal = over->ordinal;
	end = over->end;
	return declare_gap(pool, s, side, end, behind, event);
}

/* --- the end of a step --- */

static void spent_release(struct stream_pool *pool)
{
	budget_free(pool->budget, pool->step.spent, pool->step.spent_size);
	pool->step.spent = NULL;
	pool->step.spent_size = 0;
}

/* Something but history is kept of the side. */
static bool half_busy(const struct half *h)
{
	return h->count > 0 || h->fin.set || h->rst.set || h->hole.kind != HOLE_NONE ||
	       h->can_reopen || h->far_segments > 0 || h->has_syn;
}

static void half_free(struct stream_pool *pool, struct half *h)
{
	while (head_of(h) != NULL)
		chunk_drop(pool, h);
	budget_free(pool->budget, h->chunks, h->chunk_cap * sizeof(*h->chunks));
	h->chunks = NULL;
	h->chunk_cap = 0;
	history_drop(pool, h);
}

static void cold_free(struct stream_pool *pool, struct stream *s)
{
	if (s->cold == NULL)
		return;
	half_free(pool, &s->cold->half[0]);
	half_free(pool, &s->cold->half[1]);
	budget_free(pool->budget, s->cold, sizeof(*s->cold));
	s->cold = NULL;
}

/* Gives back what is not needed, and says which sides the fast path may take. */
static void settle(struct stream_pool *pool, struct stream *s)
{
	bool busy = false;
	if (s->cold != NULL) {
		const struct half *a = &s->cold->half[0];
		const struct half *b = &s->cold->half[1];
		busy = half_busy(a) || half_busy(b);
		if (!busy && a->history == NULL && b->history == NULL)
			cold_free(pool, s);
	}
	s->fast = 0;
	for (unsigned i = 0; i < 2 && !busy; i++) {
		enum side x = (enum side)i;
		if (has_flag(s, x, STREAM_KNOWN) && !has_flag(s, x, STREAM_SOFT) &&
		    (has_flag(s, x, STREAM_TRUSTED) || has_flag(s, side_other(x), STREAM_EXPECTED)))
			s->fast |= side_bit(x);
	}
}

/* --- push: what a segment means before its bytes are placed --- */

enum syn { SYN_OPENS, SYN_REPEATS, SYN_IGNORED, SYN_NEW };

/* What a SYN means to a stream that exists. */
static enum syn judge_syn(struct stream_pool *pool, struct stream *s, enum side x,
			  const struct tcp_segment *segment)
{
	enum side o = side_other(x);
	bool is_reply = (segment->flags & TCP_ACK) != 0;
	uint32_t start = segment->seq + 1;

	if (has_flag(s, x, STREAM_KNOWN) && start == start_seq(s, x))
		return SYN_REPEATS;
	if (stream_closed(s) || has_flag(s, x, STREAM_FIN_SEEN) || has_flag(s, o, STREAM_FIN_SEEN))
		return SYN_NEW;
	struct half *oh = half_of(s, o);
	if (is_reply && oh != NULL && oh->has_syn && segment->ack == oh->syn + 1)
		return SYN_NEW; /* the server took up the SYN that contradicted this connection */
	bool idle =
	    s->side[x].offset == 0 && (!has_flag(s, o, STREAM_KNOWN) || s->side[o].offset == 0);
	if (!has_flag(s, x, STREAM_KNOWN)) {
		if (is_reply || idle || has_flag(s, o, STREAM_SYN_SEEN))
			return SYN_OPENS;
		return SYN_NEW; /* the other side was in the middle of something else */
	}
	if (idle && is_reply)
		return s->side[x].edge == s->side[x].next ? SYN_OPENS : SYN_IGNORED;
	if (idle && !has_flag(s, o, STREAM_SEEN))
		return SYN_OPENS;
	if (!is_reply && !has_flag(s, o, STREAM_SEEN))
		return SYN_NEW; /* nobody will be seen to answer */
	if (!is_reply) {
		/* A forged SYN must not end a session: wait for the answer. */
		struct half *h = half_get(pool, s, x);
		if (h != NULL) {
			h->has_syn = true;
			h->syn = segment->seq;
		}
	}
	return SYN_IGNORED;
}

static void open_side(struct stream *s, enum side x, const struct tcp_segment *segment)
{
	start_at(s, x, segment->seq + 1);
	clear_flag(s, x, STREAM_EXPECTED | STREAM_SOFT);
	set_flag(s, x, STREAM_KNOWN);
}

/*
 * The first segment of a side whose SYN was not seen. Where it starts is where the
 * peer's acknowledgements say, if they are believable, else at this segment.
 */
static void start_side(struct stream *s, enum side x, const struct tcp_segment *segment)
{
	enum side o = side_other(x);
	struct stream_side *side = &s->side[x];
	bool believed = false;
	if (has_flag(s, x, STREAM_EXPECTED)) {
		int32_t ahead = seq_diff(segment->seq, side->next);
		bool sane = has_flag(s, o, STREAM_SYN_SEEN) ||
			    ((segment->flags & TCP_ACK) != 0 && has_flag(s, o, STREAM_KNOWN) &&
			     segment->ack == s->side[o].next);
		if (ahead == 0)
			believed = true;
		else if (ahead > 0)
			believed =
			    sane && (uint32_t)ahead <= FLIGHT_MIN + (side->edge - side->next);
		else if (ahead == -1 && segment->payload_len <= 1)
			believed = true; /* a keep-alive */
		else
			believed = has_flag(s, o, STREAM_SYN_SEEN) && ahead >= -(int32_t)FLIGHT_MIN;
	}
	if (believed)
		set_flag(s, o, STREAM_TRUSTED);
	else
		start_at(s, x, segment->seq);
	clear_flag(s, x, STREAM_EXPECTED);
	set_flag(s, x, STREAM_KNOWN);
	if (!believed)
		set_flag(s, x, STREAM_SOFT);
}

/* Learns from an acknowledgement, and says in the step what the segment has to wait for. */
static void take_ack(struct stream *s, struct stream_step *step, const struct tcp_segment *segment)
{
	enum side x = step->side;
	enum side o = side_other(x);
	struct stream_side *other = &s->side[o];
	if ((segment->flags & TCP_ACK) == 0)
		return;
	if (!has_flag(s, o, STREAM_KNOWN)) {
		if (segment->ack == 0)
			return; /* hand-made captures leave it zero */
		int32_t ahead = seq_diff(segment->ack, other->edge);
		if (!has_flag(s, o, STREAM_EXPECTED)) {
			start_at(s, o, segment->ack);
			set_flag(s, o, STREAM_EXPECTED);
		} else if (ahead > 0 && ahead <= ACK_AHEAD_MAX) {
			other->edge = segment->ack;
			set_flag(s, o, STREAM_ACKED_UNSEEN);
		}
		return;
	}
	int32_t ahead = seq_diff(segment->ack, other->next);
	if (ahead == 0)
		set_flag(s, x, STREAM_TRUSTED);
	if (ahead <= 0 || ahead > ACK_AHEAD_MAX || !has_flag(s, x, STREAM_TRUSTED))
		return;
	if (seq_diff(segment->ack, other->edge) > 0)
		other->edge = segment->ack;
	step->has_need = true;
	step->need = segment->ack;
}

/* Whether a segment lies so far away that no window covers it; *jump: it is to be believed. */
static bool is_far(struct stream_pool *pool, struct stream *s, enum side x, uint32_t seq,
		   uint32_t len, bool *jump)
{
	const struct stream_side *side = &s->side[x];
	uint32_t flight = pool->limits.max_out_of_order;
	if (flight < FLIGHT_MIN)
		flight = FLIGHT_MIN;
	flight = min_u32(flight, FLIGHT_MAX) + (uint32_t)min_u64(side->skip, FLIGHT_MAX);
	*jump = false;
	struct half *h = half_of(s, x);
	if (seq_diff(seq + len, side->next) >= -(int32_t)FLIGHT_MAX &&
	    seq_diff(seq, side->edge) <= (int32_t)flight) {
		if (h != NULL)
			h->far_segments = 0;
		return false;
	}
	pool->counters.bad_sequence++;
	h = half_get(pool, s, x);
	if (h == NULL)
		return true;
	uint32_t step = seq - h->far_next;
	h->far_segments = h->far_segments > 0 && step <= FLIGHT_MIN ? h->far_segments + 1 : 1;
	h->far_next = seq + len;
	if (h->far_segments < RESYNC_SEGMENTS)
		return true;
	h->far_segments = 0;
	*jump = true;
	return false;
}

/* The bytes of the last gap come after all, and nothing behind it did: it was none. */
static void reopen(struct stream_pool *pool, struct stream *s, enum side x, struct half *h)
{
	struct stream_side *side = &s->side[x];
	uint64_t skip_left = h->reopen_skip - min_u64(h->reopen_skip, h->reopen_len);
	h->can_reopen = false;
	pool->counters.reopened++;
	clear_excuse(s, x);
	side->next = h->reopen_at;
	side->offset -= h->reopen_len;
	s->count[x].gap -= h->reopen_len;
	if (side->skip == skip_left)
		side->skip = h->reopen_skip;
	side->edge = side->next;
	if (h->reopen_len > 0)
		distrust(pool, s, side_other(x));
}

/* Whether a receiver would take the RST, or may have; *seq is where it stands. */
static bool accept_rst(const struct stream *s, enum side x, const struct tcp_segment *segment,
		       uint32_t *seq)
{
	enum side o = side_other(x);
	const struct stream_side *side = &s->side[x];
	*seq = side->next;
	if (!has_flag(s, x, STREAM_KNOWN)) {
		bool expected = has_flag(s, x, STREAM_EXPECTED);
		if (expected && (segment->seq == side->next || segment->seq == side->edge))
			return true;
		if ((segment->flags & TCP_ACK) == 0 || !has_flag(s, o, STREAM_KNOWN))
			return !expected && !has_flag(s, o, STREAM_KNOWN);
		int32_t off = seq_diff(segment->ack, s->side[o].next);
		return off >= -(int32_t)FLIGHT_MIN && off <= (int32_t)FLIGHT_MIN;
	}
	int32_t ahead = seq_diff(segment->seq, side->next);
	if (ahead < -1 || ahead > (int32_t)FLIGHT_MIN + seq_diff(side->edge, side->next))
		return false;
	/* Its FIN may not have counted for the one that resets: next - 1 will do. Ahead of
	 * next it waits until the bytes before it are there, or the sender stays silent. */
	if (ahead > 0)
		*seq = segment->seq;
	return true;
}

static void step_begin(struct stream_pool *pool, int64_t time_ns, uint64_t ordinal)
{
	spent_release(pool);
	pool->step = (struct stream_step){
	    .time_ns = time_ns,
	    .ordinal = ordinal,
	    .clock_ns = time_ns,
	    .clock_ordinal = ordinal,
	};
}

/*
 * What the segment under hand means, before its bytes are placed. Not before the
 * holds that were over have ended: so it does not matter when ticks come.
 */
static void admit(struct stream_pool *pool, struct stream *s)
{
	struct stream_step *step = &pool->step;
	const struct tcp_segment *segment = step->segment;
	enum side from = step->side;
	bool is_rst = (segment->flags & TCP_RST) != 0;
	bool is_syn = (segment->flags & TCP_SYN) != 0 && !is_rst;
	enum syn syn = is_syn ? judge_syn(pool, s, from, segment) : SYN_REPEATS;

	step->admitted = true;
	set_flag(s, from, STREAM_SEEN);
	for (unsigned i = 0; s->cold != NULL && i < 2; i++)
		if (s->cold->half[i].hole.kind != HOLE_NONE)
			s->cold->half[i].hole.segments++;
	if ((segment->flags & TCP_URG) != 0)
		pool->counters.urgent++;

	if (is_rst) {
		if (!accept_rst(s, from, segment, &step->seq)) {
			pool->counters.rst_ignored++;
			return;
		}
		/* What it acknowledges was received, so it was said before the end. */
		if (has_flag(s, side_other(from), STREAM_KNOWN))
			take_ack(s, step, segment);
		step->flags = TCP_RST;
		return;
	}
	if (syn == SYN_IGNORED || syn == SYN_NEW) {
		pool->counters.syn_ignored++;
		return;
	}
	uint32_t seq = segment->seq + (is_syn ? 1U : 0U);
	uint32_t len = segment->payload_len;
	if (syn == SYN_OPENS)
		open_side(s, from, segment);
	else if (!has_flag(s, from, STREAM_KNOWN))
		start_side(s, from, segment);
	if (is_syn)
		set_flag(s, from,
			 STREAM_SYN_SEEN |
			     ((segment->flags & TCP_ACK) != 0 ? STREAM_SYNACK_SEEN : 0U));
	if (has_flag(s, from, STREAM_SOFT) && len > 0) {
		/* What came without payload may have been a keep-alive: start here after all. */
		if (!has_flag(s, side_other(from), STREAM_TRUSTED))
			start_at(s, from, seq);
		clear_flag(s, from, STREAM_SOFT);
	}
	if (is_far(pool, s, from, seq, len, &step->jump))
		return;
	if (!step->jump)
		take_ack(s, step, segment);

	struct half *h = half_of(s, from);
	step->seq = seq;
	step->left = span_head(segment->payload, len);
	step->cut = len - (uint32_t)step->left.len;
	step->flags = is_syn ? 0 : segment->flags & TCP_FIN;
	if (h != NULL && h->rst.set && seq_diff(seq + len, h->rst.seq) > 0) {
		h->rst.set = false; /* whoever reset the connection would not go on */
		pool->counters.rst_ignored++;
	}
	if (h != NULL && h->can_reopen && !step->jump) {
		uint32_t end = seq + len + (step->flags != 0 ? 1U : 0U);
		if (seq_diff(seq, h->reopen_at) <= 0 && seq_diff(end, h->reopen_at) > 0)
			reopen(pool, s, from, h);
		else if (len > 0 && seq_diff(seq, h->reopen_at) > 0)
			h->can_reopen = false;
	}
	if (len <= 1 && seq == s->side[from].next - 1 && !step->jump)
		step_consume(step, len); /* a keep-alive (RFC 9293 3.8.4), its byte is garbage */
	if (s->count[from].delivered == 0 && step->left.len > 0 && segment->checked.len > 0 &&
	    !has_flag(s, from, STREAM_NO_HISTORY | STREAM_OFFLOAD) && !tcp_checksum_ok(segment)) {
		set_flag(s, from, STREAM_OFFLOAD);
		pool->counters.checksum_offload++;
	}
}

bool stream_pull(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	spent_release(pool);
	for (;;) {
		if (drain(pool, s, event))
			return true;
		/* Holes that were revealed by an ended hold start where that ended. */
		if ((!step->active || step->ended) && watch_holes(pool, s, event))
			return true;
		bool declared;
		if (end_hold(pool, s, &declared, event))
			return true;
		if (declared)
			continue;
		if (!step->active)
			break;
		step->ended = false;
		step->clock_ns = step->time_ns;
		step->clock_ordinal = step->ordinal;
		if (!step->admitted)
			admit(pool, s);
		if (place(pool, s, event))
			return true;
	}
	step->finishing = false;
	step->segment = NULL;
	settle(pool, s);
	return false;
}

enum stream_verdict stream_push(struct stream_pool *pool, struct stream *s, enum side from,
				const struct tcp_segment *segment, int64_t time_ns,
				uint64_t ordinal)
{
	if ((segment->flags & (TCP_SYN | TCP_RST)) == TCP_SYN &&
	    judge_syn(pool, s, from, segment) == SYN_NEW)
		return STREAM_NEW_CONNECTION;
	step_begin(pool, time_ns, ordinal);
	pool->step.segment = segment;
	pool->step.side = from;
	pool->step.active = true;
	s->fast = 0;
	return STREAM_TAKEN;
}

void stream_tick(struct stream_pool *pool, struct stream *s, int64_t now_ns)
{
	step_begin(pool, now_ns, 0);
	(void)s;
}

void stream_finish(struct stream_pool *pool, struct stream *s, int64_t now_ns, uint64_t ordinal)
{
	step_begin(pool, now_ns, ordinal);
	pool->step.finishing = true;
	(void)s;
}

int64_t stream_deadline(const struct stream_pool *pool, const struct stream *s)
{
	int64_t deadline = INT64_MAX;
	for (unsigned i = 0; s->cold != NULL && i < 2; i++) {
		const struct hole *hole = &s->cold->half[i].hole;
		if (hole->kind != HOLE_NONE && hole_deadline(pool, hole) < deadline)
			deadline = hole_deadline(pool, hole);
	}
	return deadline;
}

void stream_skip(struct stream *s, enum side side, uint64_t n)
{
	s->side[side].skip = n;
}

void stream_history(struct stream_pool *pool, struct stream *s, enum side side, bool keep)
{
	if (keep) {
		clear_flag(s, side, STREAM_NO_HISTORY);
		return;
	}
	set_flag(s, side, STREAM_NO_HISTORY);
	if (s->cold != NULL)
		history_drop(pool, &s->cold->half[side]);
}

void stream_pool_init(struct stream_pool *pool, const struct stream_limits *limits,
		      struct budget *budget)
{
	*pool = (struct stream_pool){.limits = *limits, .budget = budget};
	while ((pool->limits.history & (pool->limits.history - 1)) != 0)
		pool->limits.history &= pool->limits.history - 1;
}

void stream_init(struct stream *s)
{
	*s = (struct stream){.cold = NULL};
}

void stream_free(struct stream_pool *pool, struct stream *s)
{
	spent_release(pool);
	cold_free(pool, s);
}
