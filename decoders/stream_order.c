/* SPDX-License-Identifier: Apache-2.0 */
/* What of the waiting things may go on, what blocks, and when a hold is over. */
#include "decoders/stream_internal.h"

enum ready {
	READY_NOTHING, /* nothing waits, or a hole comes first */
	READY_BLOCKED, /* only bytes of the other side are missing */
	READY_CHUNK,
	READY_FIN,
	READY_RST
};

/* What the side acknowledged does not count any more, in what is stored neither. */
void stream_forget_needs(struct stream *s, enum side x)
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
void stream_distrust(struct stream_pool *pool, struct stream *s, enum side x)
{
	pool->counters.acks_distrusted++;
	pool->step.has_need = pool->step.has_need && pool->step.side != x;
	stream_forget_needs(s, x);
}

/* Whether all bytes that the side x acknowledged with need were seen (or need no look). */
bool stream_need_met(const struct stream *s, enum side x, bool has_need, uint32_t need)
{
	if (!has_need || !has_flag(s, x, STREAM_TRUSTED))
		return true;
	const struct stream_side *other = &s->side[side_other(x)];
	int32_t missing = seq_diff(need, other->next);
	return missing <= 0 || (uint32_t)missing <= other->skip;
}

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
			stream_chunk_drop(pool, h);
		else
			stream_chunk_trim(h, passed);
	}
	if (c != NULL && c->seq == side->next) {
		*ordinal = c->ordinal;
		if (c->block == NULL || side->skip > 0 ||
		    stream_need_met(s, x, c->has_need, c->need))
			return READY_CHUNK;
		return READY_BLOCKED;
	}
	if (h->fin.set && seq_diff(side->next, h->fin.seq) > 0)
		h->fin.set = false; /* bytes behind it: it was none */
	if (h->fin.set && h->fin.seq == side->next) {
		*ordinal = h->fin.ordinal;
		return stream_need_met(s, x, h->fin.has_need, h->fin.need) ? READY_FIN
									   : READY_BLOCKED;
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
	if (h != NULL && h->rst.set && !h->rst.doubted && !own) {
		own = true;
		*end = h->rst.seq;
	}
	/* Only at the end: until then what it shows may just be late. */
	if (!own && finishing && h != NULL && h->stood_ahead &&
	    seq_diff(h->stood_at, side->next) > 0) {
		own = true;
		*end = h->stood_at;
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

void stream_event_init(struct stream_event *event, enum stream_event_kind kind,
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

void stream_emit_data(struct stream_pool *pool, struct stream *s, enum side x, struct span bytes,
		      int64_t time_ns, uint64_t ordinal, struct stream_event *event)
{
	stream_event_init(event, STREAM_DATA, s, x, time_ns, ordinal);
	event->bytes = bytes;
	stream_history_add(pool, s, x, bytes);
	set_flag(s, x, STREAM_DELIVERED);
	advance(s, x, (uint32_t)bytes.len);
}

void stream_emit_gap(struct stream_pool *pool, struct stream *s, enum side x, uint32_t len,
		     int64_t time_ns, uint64_t ordinal, struct stream_event *event)
{
	stream_event_init(event, STREAM_GAP, s, x, time_ns, ordinal);
	event->gap_len = len;
	event->in_skip = len > 0 && len <= s->side[x].skip;
	set_flag(s, x, STREAM_GAPS);
	pool->counters.gaps++;
	pool->counters.gap_bytes += len;
	advance(s, x, len);
}

void stream_emit_fin(struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event)
{
	stream_event_init(event, STREAM_FIN, s, x, time_ns, ordinal);
	struct stream_side *side = &s->side[x];
	set_flag(s, x, STREAM_FIN_SEEN);
	side->next++;
	if (seq_diff(side->next, side->edge) > 0)
		side->edge = side->next;
}

void stream_emit_rst(struct stream *s, enum side x, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event)
{
	stream_event_init(event, STREAM_RST, s, x, time_ns, ordinal);
	set_flag(s, x, STREAM_RST_SEEN);
}

/* The byte that might have been a FIN was none: data or a FIN follow it. */
void stream_emit_excused(struct stream_pool *pool, struct stream *s, enum side x,
			 struct stream_event *event)
{
	const struct stream_step *step = &pool->step;
	clear_excuse(s, x);
	s->side[x].next--;
	struct half *h = half_of(s, x);
	if (h != NULL)
		h->can_reopen = false;
	stream_emit_gap(pool, s, x, 1, step->clock_ns, step->clock_ordinal, event);
}

/*
 * Declares the side's bytes up to end a gap. behind: something behind it was seen.
 * One byte that was acknowledged with nothing behind it may be a FIN that was not
 * captured: it is passed without an event (false) until more comes.
 */
bool stream_declare_gap(struct stream_pool *pool, struct stream *s, enum side x, uint32_t end,
			bool behind, struct stream_event *event)
{
	struct stream_side *side = &s->side[x];
	struct half *h = half_of(s, x);
	if (is_excused(s, x)) {
		stream_emit_excused(pool, s, x, event);
		return true;
	}
	int64_t time_ns = pool->step.clock_ns;
	uint64_t ordinal = pool->step.clock_ordinal;
	const struct chunk *c = head_of(h);
	if (c != NULL && c->doubtful && c->seq == end && end - side->next > side->skip) {
		end++; /* a late segment would have come by now */
		stream_chunk_drop(pool, h);
		behind = h->count > 0 || h->fin.set || h->rst.set;
	}
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
	stream_emit_gap(pool, s, x, len, time_ns, ordinal, event);
	return true;
}

/* Takes what is ready on a side. True: an event. */
static bool take_ready(struct stream_pool *pool, struct stream *s, enum side x, enum ready ready,
		       struct stream_event *event)
{
	struct half *h = half_of(s, x);
	struct stream_side *side = &s->side[x];

	if (is_excused(s, x) && ready != READY_RST) {
		stream_emit_excused(pool, s, x, event);
		return true;
	}
	if (ready == READY_RST) {
		h->rst.set = false;
		stream_emit_rst(s, x, h->rst.time_ns, h->rst.ordinal, event);
		return true;
	}
	if (ready == READY_FIN) {
		h->fin.set = false;
		stream_emit_fin(s, x, h->fin.time_ns, h->fin.ordinal, event);
		return true;
	}
	h->can_reopen = false;
	struct chunk *c = head_of(h);
	if (side->skip > 0) {
		uint32_t n = (uint32_t)min_u64(side->skip, c->len);
		if (n == c->len)
			stream_chunk_drop(pool, h);
		else
			stream_chunk_trim(h, n);
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
	stream_chunk_drop(pool, h);
	if (taken.block == NULL)
		stream_emit_gap(pool, s, x, taken.len, taken.time_ns, taken.ordinal, event);
	else
		stream_emit_data(pool, s, x, span_of(taken.block + taken.start, taken.len),
				 taken.time_ns, taken.ordinal, event);
	return true;
}

/* Whatever waited and can go on, in the order of arrival. True: an event. */
bool stream_drain(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	while (half_of(s, SIDE_CLIENT) != NULL) {
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
			stream_distrust(pool, s, SIDE_CLIENT);
			stream_distrust(pool, s, SIDE_SERVER);
			continue;
		} else {
			return false;
		}
		if (take_ready(pool, s, x, x == SIDE_CLIENT ? client : server, event))
			return true;
	}
	return false;
}

/* ---- holds ---- */

int64_t stream_hole_deadline(const struct stream_pool *pool, const struct hole *hole)
{
	int64_t hold = hole->kind == HOLE_ACKED ? pool->limits.hold_ns : pool->limits.loss_ns;
	return hole->since_ns > INT64_MAX - hold ? INT64_MAX : hole->since_ns + hold;
}

/* Starts the clock of holes that are new. True: an event, because there is no clock to be had. */
bool stream_watch_holes(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	const struct stream_step *step = &pool->step;
	for (unsigned i = 0; i < 2; i++) {
		enum side x = (enum side)i;
		uint32_t end = 0;
		enum hole_kind kind = side_hole(s, x, step->finishing, &end);
		if (kind == HOLE_NONE) {
			struct half *settled = half_of(s, x);
			if (settled != NULL)
				settled->hole.kind = HOLE_NONE;
			continue;
		}
		struct half *h = stream_half(pool, s, x);
		if (h == NULL) {
			pool->counters.cap_reached++;
			return stream_declare_gap(pool, s, x, end, false, event);
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
bool stream_end_hold(struct stream_pool *pool, struct stream *s, bool *declared,
		     struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	struct half *halves = half_of(s, SIDE_CLIENT);
	struct hole *over = NULL;
	enum side side = SIDE_CLIENT;
	*declared = false;
	if (halves == NULL)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		struct hole *hole = &halves[i].hole;
		if (hole->kind == HOLE_NONE || hole->at != s->side[i].next)
			continue;
		bool ended = step->finishing || step->time_ns >= stream_hole_deadline(pool, hole) ||
			     (!step->active && hole->kind == HOLE_ACKED &&
			      hole->segments >= pool->limits.hold_segments);
		if (!ended)
			continue;
		int64_t deadline = stream_hole_deadline(pool, hole);
		if (over == NULL || deadline < stream_hole_deadline(pool, over)) {
			over = hole;
			side = (enum side)i;
		}
	}
	if (over == NULL)
		return false;
	uint32_t end = 0;
	if (side_hole(s, side, step->finishing, &end) == HOLE_NONE) {
		over->kind = HOLE_NONE;
		return false;
	}
	const struct half *h = &halves[side];
	bool behind = h->count > 0 || h->fin.set || h->rst.set;
	*declared = true;
	pool->counters.hold_timeouts++;
	/* As if a tick had come exactly then: when ticks come must not change what is told. */
	if (step->time_ns >= stream_hole_deadline(pool, over)) {
		step->clock_ns = stream_hole_deadline(pool, over);
		step->ended = true;
	}
	step->clock_ordinal = over->ordinal;
	end = over->end;
	return stream_declare_gap(pool, s, side, end, behind, event);
}
