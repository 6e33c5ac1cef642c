/* SPDX-License-Identifier: Apache-2.0 */
/* Placing the segment under hand: delivered, stored, or compared with what came before. */
#include "decoders/stream_internal.h"

void stream_step_consume(struct stream_step *step, uint32_t n)
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
		return stream_declare_gap(pool, s, x, first, true, event);
	}
	const struct chunk *oc = head_of(half_of(s, o));
	if (oc != NULL && oc->seq != s->side[o].next) {
		pool->counters.cap_reached++;
		return stream_declare_gap(pool, s, o, oc->seq, true, event);
	}
	if (oc == NULL && s->side[o].edge != s->side[o].next) {
		pool->counters.cap_reached++;
		return stream_declare_gap(pool, s, o, s->side[o].edge, false, event);
	}
	stream_distrust(pool, s, x);
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
	pool->counters.duplicate_bytes += n;
	if (conflict) {
		uint32_t len = diff.to - diff.from;
		stream_event_init(event, STREAM_CONFLICT, s, x, step->time_ns, step->ordinal);
		event->bytes = span_of(step->left.ptr + diff.from, len);
		event->offset = offset_of(s, x, step->seq + diff.from);
		pool->counters.conflicts++;
		pool->counters.conflict_bytes += len;
	}
	stream_step_consume(step, n);
	return conflict;
}

/*
 * Bytes at or behind the side's FIN: one of the two is not the sender's. Those at the FIN
 * are read on: a forged FIN must not make deaf.
 */
static bool place_after_fin(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	struct stream_side *side = &s->side[x];
	uint32_t n = (uint32_t)step->left.len;
	bool plain = !has_flag(s, x, STREAM_NO_HISTORY);

	if (step->seq != side->next - 1) {
		struct difference all = {0, n};
		bool conflict = place_again(pool, s, n, all, event);
		step_refuse(step);
		return conflict;
	}
	if (plain) {
		stream_event_init(event, STREAM_CONFLICT, s, x, step->time_ns, step->ordinal);
		event->bytes = step->left;
		pool->counters.conflicts++;
		pool->counters.conflict_bytes += n;
	}
	clear_flag(s, x, STREAM_FIN_SEEN);
	side->next--;
	side->edge = side->next;
	return plain;
}

/*
 * One byte behind a hole that the peer has acknowledged: a keep-alive looks like that, whose byte
 * may be garbage (RFC 9293 3.8.4), and so does a late segment.
 */
static bool may_be_probe(const struct stream *s, const struct stream_step *step)
{
	enum side x = step->side;
	return step->segment->payload_len == 1 && has_flag(s, side_other(x), STREAM_TRUSTED) &&
	       seq_diff(step->seq, s->side[x].next) > 0 && seq_diff(step->seq, s->side[x].edge) < 0;
}

/* The segment under hand holds the byte that may be garbage, and more: it knows it. */
static void settle_doubt(const struct stream_step *step, struct chunk *c)
{
	if (c == NULL || !c->doubtful || step->segment->payload_len <= 1)
		return;
	uint32_t at = c->seq - step->seq;
	if (at >= step->left.len)
		return;
	c->block[c->start] = step->left.ptr[at];
	c->doubtful = false;
}

/* Bytes that cannot go on yet. True: an event, because there was no room. */
static bool place_later(struct stream_pool *pool, struct stream *s, uint32_t n,
			struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	uint32_t ahead = step->seq - s->side[x].next;
	struct half *h = stream_half(pool, s, x);
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
		stored = stream_store_range(pool, h, &chunk);
	} else if (h != NULL) {
		const struct chunk *c = head_of(h);
		bool hole = ahead > 0 && (c == NULL || c->seq != s->side[x].next);
		uint32_t cap = hole ? pool->limits.max_out_of_order : pool->limits.max_held;
		chunk.len = n;
		chunk.doubtful = may_be_probe(s, step);
		stored = h->stored <= cap && n <= cap - h->stored &&
			 stream_store_bytes(pool, h, &chunk, step->left.ptr);
	}
	if (!stored)
		return make_way(pool, s, x, step->seq, event);
	h->can_reopen = false;
	stream_step_consume(step, chunk.len);
	return false;
}

/* The side goes on elsewhere: what lies between is a gap of known or unknown size. */
static void place_jump(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	struct half *h = half_of(s, x);
	while (head_of(h) != NULL)
		stream_chunk_drop(pool, h);
	if (h != NULL) {
		h->fin.set = false;
		h->rst.set = false;
		h->can_reopen = false;
		h->hole.kind = HOLE_NONE;
	}
	clear_excuse(s, x);
	stream_forget_needs(s, SIDE_CLIENT);
	stream_forget_needs(s, SIDE_SERVER);
	int32_t ahead = seq_diff(step->seq, s->side[x].next);
	stream_emit_gap(pool, s, x, ahead > 0 ? (uint32_t)ahead : 0, step->time_ns, step->ordinal,
			event);
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
			stream_emit_rst(s, x, step->time_ns, step->ordinal, event);
			return true;
		}
		struct half *h = stream_half(pool, s, x);
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
		stream_emit_excused(pool, s, x, event);
		return true;
	}
	if (ahead == 0 && stream_need_met(s, x, step->has_need, step->need)) {
		step->flags = 0;
		stream_emit_fin(s, x, step->time_ns, step->ordinal, event);
		return true;
	}
	struct half *h = stream_half(pool, s, x);
	if (h == NULL)
		return make_way(pool, s, x, step->seq, event);
	step->flags = 0;
	h->can_reopen = false;
	if (!h->fin.set)
		h->fin = mark;
	return false;
}

/* The next piece of the segment under hand. True: an event. */
bool stream_place(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	enum side x = step->side;
	struct stream_side *side = &s->side[x];

	if (step->jump) {
		place_jump(pool, s, event);
		return true;
	}
	if (step->tampered) {
		/* Its datagram came in two versions, of which the first is read. */
		step->tampered = false;
		stream_event_init(event, STREAM_CONFLICT, s, x, step->time_ns, step->ordinal);
		pool->counters.conflicts++;
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
		return place_again(
		    pool, s, n, stream_history_compare(s, x, step->seq, span_head(step->left, n)),
		    event);
	}
	if (has_flag(s, x, STREAM_FIN_SEEN))
		return place_after_fin(pool, s, event);
	if (is_excused(s, x)) {
		stream_emit_excused(pool, s, x, event);
		return true;
	}
	if (h != NULL && h->count > 0) {
		uint32_t at = stream_chunk_find(h, step->seq);
		struct chunk *c = at < h->count ? &h->chunks[h->first + at] : NULL;
		settle_doubt(step, c);
		if (c != NULL && seq_diff(c->seq, step->seq) <= 0) {
			uint32_t passed = step->seq - c->seq;
			struct difference diff = none;
			n = min_u32(n, c->len - passed);
			if (c->block != NULL && step->left.len > 0)
				stream_difference_add(&diff, c->block + c->start + passed,
						      step->left.ptr, 0, n);
			return place_again(pool, s, n, diff, event);
		}
		if (c != NULL)
			n = min_u32(n, c->seq - step->seq);
	}
	if (ahead > 0)
		return place_later(pool, s, n, event);
	if (side->skip > 0) {
		n = (uint32_t)min_u64(n, side->skip);
	} else if (step->left.len > 0 && !stream_need_met(s, x, step->has_need, step->need)) {
		return place_later(pool, s, n, event);
	}
	if (h != NULL)
		h->can_reopen = false;
	if (side->skip > 0) {
		advance(s, x, n);
		stream_step_consume(step, n);
		return false;
	}
	if (step->left.len > 0)
		stream_emit_data(pool, s, x, span_head(step->left, n), step->time_ns, step->ordinal,
				 event);
	else
		stream_emit_gap(pool, s, x, n, step->time_ns, step->ordinal, event);
	stream_step_consume(step, n);
	return true;
}
