/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/stream_internal.h"

static void spent_release(struct stream_pool *pool)
{
	budget_free(pool->budget, pool->step.spent, pool->step.spent_size);
	pool->step.spent = NULL;
	pool->step.spent_size = 0;
}

/* Gives back what is not needed, and says which sides the fast path may take. */
static void settle(struct stream_pool *pool, struct stream *s)
{
	bool busy = false, ahead = false;
	struct half *halves = half_of(s, SIDE_CLIENT);
	for (unsigned i = 0; halves != NULL && i < 2; i++) {
		struct half *h = &halves[i];
		h->stood_ahead = h->stood_ahead && seq_diff(h->stood_at, s->side[i].next) > 0;
		h->has_rival = h->has_rival && s->side[i].offset < FLIGHT_MIN;
		ahead = ahead || h->stood_ahead;
		busy = busy || stream_half_busy(h);
	}
	if (s->cold != NULL && !busy && !ahead) {
		/* Where unseen bytes were acknowledged from is wanted as long as bytes are
		 * compared. */
		if (s->cold->history[0].bytes == NULL && s->cold->history[1].bytes == NULL)
			stream_cold_free(pool, s);
		else if (s->side[0].edge == s->side[0].next && s->side[1].edge == s->side[1].next)
			stream_halves_free(pool, s);
	}
	s->fast = 0;
	for (unsigned i = 0; i < 2 && !busy; i++) {
		enum side x = (enum side)i;
		if (has_flag(s, x, STREAM_KNOWN) && !has_flag(s, x, STREAM_SOFT) &&
		    (has_flag(s, x, STREAM_TRUSTED) || has_flag(s, side_other(x), STREAM_EXPECTED)))
			s->fast |= side_bit(x);
	}
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

bool stream_pull(struct stream_pool *pool, struct stream *s, struct stream_event *event)
{
	struct stream_step *step = &pool->step;
	spent_release(pool);
	for (;;) {
		if (stream_drain(pool, s, event))
			return true;
		/* Holes that were revealed by an ended hold start where that ended. */
		if ((!step->active || step->ended) && stream_watch_holes(pool, s, event))
			return true;
		bool declared;
		if (stream_end_hold(pool, s, &declared, event))
			return true;
		if (declared)
			continue;
		if (!step->active)
			break;
		step->ended = false;
		step->clock_ns = step->time_ns;
		step->clock_ordinal = step->ordinal;
		if (!step->admitted)
			stream_admit(pool, s);
		if (stream_place(pool, s, event))
			return true;
	}
	step->finishing = false;
	step->segment = NULL;
	settle(pool, s);
	return false;
}

bool stream_in_order(struct stream_pool *pool, struct stream *s, enum side from,
		     const struct tcp_segment *segment, int64_t time_ns, uint64_t ordinal,
		     struct stream_event *event)
{
	const struct stream_side *side = &s->side[from];
	const struct stream_side *other = &s->side[side_other(from)];
	const unsigned known = s->flags[side_other(from)] & (STREAM_KNOWN | STREAM_EXPECTED);
	const uint32_t len = segment->payload_len;

	if ((s->fast & side_bit(from)) == 0 || segment->seq != side->next || len <= side->skip ||
	    segment->payload.len != len || segment->fragments_conflict ||
	    (segment->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_URG | TCP_ACK)) != TCP_ACK)
		return false;
	/* A FIN or an excused byte stands in front of it; the first bytes' checksum is looked at.
	 */
	if (has_flag(s, from, STREAM_FIN_SEEN) || is_excused(s, from) ||
	    !has_flag(s, from, STREAM_DELIVERED))
		return false;
	/* What it acknowledges is there: no bytes to wait for, and nothing to learn from it. */
	bool is_known = (known & STREAM_KNOWN) != 0;
	int32_t ahead = seq_diff(segment->ack, is_known ? other->next : other->edge);
	if (known == 0 || ahead > 0)
		return false;
	if (is_known && ahead == 0)
		set_flag(s, from, STREAM_TRUSTED);
	uint32_t skipped = (uint32_t)side->skip;
	advance(s, from, skipped);
	stream_emit_data(pool, s, from, span_skip(segment->payload, skipped), time_ns, ordinal,
			 event);
	return true;
}

enum stream_verdict stream_push(struct stream_pool *pool, struct stream *s, enum side from,
				const struct tcp_segment *segment, int64_t time_ns,
				uint64_t ordinal)
{
	if ((segment->flags & (TCP_SYN | TCP_RST)) == TCP_SYN &&
	    stream_judge_syn(pool, s, from, segment) == SYN_NEW)
		return STREAM_NEW_CONNECTION;
	if ((segment->flags & (TCP_SYN | TCP_RST)) == 0 &&
	    stream_another_begins(s, from, segment)) {
		stream_rival_leaves(s, from);
		return STREAM_NEW_CONNECTION;
	}
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
	const struct half *halves = half_of(s, SIDE_CLIENT);
	for (unsigned i = 0; halves != NULL && i < 2; i++) {
		const struct hole *hole = &halves[i].hole;
		if (hole->kind != HOLE_NONE && stream_hole_deadline(pool, hole) < deadline)
			deadline = stream_hole_deadline(pool, hole);
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
	stream_history_drop(pool, s, side);
	if (s->cold != NULL && s->cold->half == NULL && s->cold->history[0].bytes == NULL &&
	    s->cold->history[1].bytes == NULL)
		stream_cold_free(pool, s);
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
	stream_cold_free(pool, s);
}
