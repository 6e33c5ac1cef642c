/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a side: delivered bytes for comparison, and bytes that wait. */
#include "decoders/stream_internal.h"

/* First sizes of what grows by doubling. */
#define CHUNKS_FIRST     4U
#define HISTORY_FIRST    128U
#define HISTORY_DIALOGUE 1024U /* bytes of a side that hardly any exchange of commands exceeds */
/* Room that a chunk of a few bytes gets for its neighbours when chunks become scarce. */
#define CHUNK_ROOM 64U

static struct stream_cold *cold_get(struct stream_pool *pool, struct stream *s)
{
	if (s->cold == NULL)
		s->cold = budget_calloc(pool->budget, 1, sizeof(*s->cold));
	return s->cold;
}

/* The side's half, from the budget if need be; NULL when that has nothing left. */
struct half *stream_half(struct stream_pool *pool, struct stream *s, enum side x)
{
	struct stream_cold *cold = cold_get(pool, s);
	if (cold != NULL && cold->half == NULL)
		cold->half = budget_calloc(pool->budget, 2, sizeof(*cold->half));
	return half_of(s, x);
}

/* ---- history: what was delivered, for comparison ---- */

static void history_free(struct stream_pool *pool, struct history *history)
{
	pool->history_bytes -= history->cap;
	budget_free(pool->budget, history->bytes, history->cap);
	*history = (struct history){.bytes = NULL};
}

void stream_history_drop(struct stream_pool *pool, struct stream *s, enum side x)
{
	if (s->cold != NULL)
		history_free(pool, &s->cold->history[x]);
}

/* Copies n bytes into a ring of cap bytes (a power of two) where seq belongs. */
static void ring_put(uint8_t *ring, uint32_t cap, uint32_t seq, const uint8_t *bytes, uint32_t n)
{
	uint32_t at = seq & (cap - 1);
	uint32_t head = min_u32(n, cap - at);
	memcpy(ring + at, bytes, head);
	memcpy(ring, bytes + head, n - head);
}

/* Whether so many bytes more may be kept for comparison; what is not is counted. */
static bool history_fits(struct stream_pool *pool, size_t size)
{
	if (size <= pool->limits.history_total - pool->history_bytes)
		return true;
	pool->counters.history_refused++;
	return false;
}

/* Room for want bytes, or for as many as the limits and the budget allow. */
static void history_grow(struct stream_pool *pool, struct history *history, uint64_t want)
{
	uint32_t cap = history->bytes != NULL ? history->cap : HISTORY_FIRST;
	while (cap < want && cap < pool->limits.history)
		cap *= 2;
	/* Who sends more than a dialogue takes sends a message, which fills it. */
	if (want > HISTORY_DIALOGUE)
		cap = pool->limits.history;
	cap = min_u32(cap, pool->limits.history);
	if (history->bytes != NULL && cap <= history->cap)
		return;
	if (!history_fits(pool, cap))
		return;
	uint8_t *bytes = budget_alloc(pool->budget, cap);
	if (bytes == NULL)
		return;
	struct history old = *history;
	uint32_t seq = old.end - old.len;
	for (uint32_t left = old.len; left > 0;) {
		uint32_t at = seq & (old.cap - 1);
		uint32_t run = min_u32(left, old.cap - at);
		ring_put(bytes, cap, seq, old.bytes + at, run);
		seq += run;
		left -= run;
	}
	history_free(pool, history);
	pool->history_bytes += cap;
	*history = (struct history){.bytes = bytes, .cap = cap, .len = old.len, .end = old.end};
}

/* Keeps bytes that are delivered now, at the side's next. */
void stream_history_add(struct stream_pool *pool, struct stream *s, enum side x, struct span bytes)
{
	if (has_flag(s, x, STREAM_NO_HISTORY) || pool->limits.history == 0)
		return;
	/* Without room, nothing is begun that would only stand empty. */
	if (s->cold == NULL && !history_fits(pool, HISTORY_FIRST))
		return;
	struct stream_cold *cold = cold_get(pool, s);
	if (cold == NULL)
		return;
	struct history *history = &cold->history[x];
	uint32_t seq = s->side[x].next;
	if (history->end != seq)
		history->len = 0; /* what lies before a gap or a skip is too far away */
	uint64_t want = history->len + (uint64_t)bytes.len;
	if (want > history->cap)
		history_grow(pool, history, want);
	if (history->bytes == NULL)
		return;
	uint32_t len = (uint32_t)bytes.len;
	uint32_t kept = min_u32(len, history->cap);
	ring_put(history->bytes, history->cap, seq + len - kept, bytes.ptr + (len - kept), kept);
	history->end = seq + len;
	history->len = min_u32(history->len + kept, history->cap);
}

void stream_difference_add(struct difference *diff, const uint8_t *kept, const uint8_t *fresh,
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
struct difference stream_history_compare(const struct stream *s, enum side x, uint32_t seq,
					 struct span bytes)
{
	struct difference diff = {0, 0};
	if (s->cold == NULL || s->cold->history[x].len == 0)
		return diff;
	const struct history *history = &s->cold->history[x];
	uint32_t begin = history->end - history->len;
	uint32_t at = seq_diff(begin, seq) > 0 ? begin - seq : 0;
	uint32_t end = (uint32_t)bytes.len;
	if (seq_diff(seq + end, history->end) > 0) {
		if (seq_diff(seq, history->end) >= 0)
			return diff;
		end = history->end - seq;
	}
	while (at < end) {
		uint32_t in_ring = (seq + at) & (history->cap - 1);
		uint32_t run = min_u32(end - at, history->cap - in_ring);
		stream_difference_add(&diff, history->bytes + in_ring, bytes.ptr + at, at, run);
		at += run;
	}
	return diff;
}

/* ---- chunks ---- */

/* Drops the lowest chunk; there is one. */
void stream_chunk_drop(struct stream_pool *pool, struct half *h)
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
void stream_chunk_trim(struct half *h, uint32_t n)
{
	struct chunk *c = &h->chunks[h->first];
	c->seq += n;
	c->start += n;
	c->len -= n;
	if (c->block != NULL)
		h->stored -= n;
}

/* Index, from first on, of the first chunk that ends behind seq; count when there is none. */
uint32_t stream_chunk_find(const struct half *h, uint32_t seq)
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
bool stream_store_range(struct stream_pool *pool, struct half *h, const struct chunk *range)
{
	uint32_t at = stream_chunk_find(h, range->seq);
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
bool stream_store_bytes(struct stream_pool *pool, struct half *h, const struct chunk *like,
			const uint8_t *bytes)
{
	uint32_t at = stream_chunk_find(h, like->seq);
	bool scarce = h->count >= pool->limits.max_chunks / 2;
	if (scarce && at > 0 && !like->doubtful) {
		/* Many small pieces: they join, and stand on the packet of the last one. */
		struct chunk *before = &h->chunks[h->first + at - 1];
		uint32_t end = before->start + before->len;
		if (before->block != NULL && !before->doubtful &&
		    before->seq + before->len == like->seq && before->has_need == like->has_need &&
		    before->need == like->need && before->block_size - end >= like->len) {
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

/* ---- the end ---- */

/* Something but history is kept of the side. */
bool stream_half_busy(const struct half *h)
{
	return h->count > 0 || h->fin.set || h->rst.set || h->hole.kind != HOLE_NONE ||
	       h->can_reopen || h->far_segments > 0 || h->has_syn || h->has_rival;
}

static void half_free(struct stream_pool *pool, struct half *h)
{
	while (head_of(h) != NULL)
		stream_chunk_drop(pool, h);
	budget_free(pool->budget, h->chunks, h->chunk_cap * sizeof(*h->chunks));
	h->chunks = NULL;
	h->chunk_cap = 0;
}

void stream_halves_free(struct stream_pool *pool, struct stream *s)
{
	if (s->cold == NULL || s->cold->half == NULL)
		return;
	half_free(pool, &s->cold->half[0]);
	half_free(pool, &s->cold->half[1]);
	budget_free(pool->budget, s->cold->half, 2 * sizeof(*s->cold->half));
	s->cold->half = NULL;
}

void stream_cold_free(struct stream_pool *pool, struct stream *s)
{
	if (s->cold == NULL)
		return;
	stream_halves_free(pool, s);
	stream_history_drop(pool, s, SIDE_CLIENT);
	stream_history_drop(pool, s, SIDE_SERVER);
	budget_free(pool->budget, s->cold, sizeof(*s->cold));
	s->cold = NULL;
}
