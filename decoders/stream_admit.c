/* SPDX-License-Identifier: Apache-2.0 */
/* What a segment means to its connection before its bytes are placed. */
#include "decoders/stream_internal.h"

#include <stdlib.h>

/* No sender has more than this in flight; the largest window of common stacks is below. */
#define FLIGHT_MAX (UINT32_C(1) << 24)
/* The largest scaled window (RFC 7323 2.3): an acknowledgement further ahead is none. */
#define ACK_AHEAD_MAX (INT32_C(1) << 30)
/* Segments in a row that must continue each other far from the window to be believed. */
#define RESYNC_SEGMENTS 4

/* Another SYN of the side, which has said nothing, would start it at this sequence number. */
static bool is_rival(const struct stream *s, enum side x, uint32_t seq)
{
	const struct half *h = half_of(s, x);
	return h != NULL && h->has_rival && seq == h->rival && stream_said_nothing(s, x);
}

/*
 * Of two SYNs of a side one starts it; where the other one would is kept, as long as the side has
 * not said much. The first that is kept stays: who forges them has seen the true one before.
 */
static void keep_rival(struct stream_pool *pool, struct stream *s, enum side x, uint32_t start)
{
	struct half *h = stream_half(pool, s, x);
	if (h == NULL || h->has_rival)
		return;
	h->has_rival = true;
	h->rival = start;
}

/* What a SYN means to a stream that exists. */
enum syn stream_judge_syn(struct stream_pool *pool, struct stream *s, enum side x,
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
	if (is_reply && has_flag(s, x, STREAM_SYN_SEEN) && is_rival(s, o, segment->ack))
		return SYN_NEW; /* each of two SYNs was answered: both connections are followed */
	bool idle =
	    s->side[x].offset == 0 && (!has_flag(s, o, STREAM_KNOWN) || s->side[o].offset == 0);
	if (!has_flag(s, x, STREAM_KNOWN)) {
		if (is_reply || idle || has_flag(s, o, STREAM_SYN_SEEN))
			return SYN_OPENS;
		return SYN_NEW; /* the other side was in the middle of something else */
	}
	if (idle && is_reply) {
		bool answers = !has_flag(s, o, STREAM_SYN_SEEN) ||
			       segment->ack == start_seq(s, o) || is_rival(s, o, segment->ack);
		if (!answers || s->side[x].edge != s->side[x].next)
			return SYN_IGNORED;
		if (!has_flag(s, x, STREAM_SYN_SEEN) || !has_flag(s, o, STREAM_TRUSTED))
			return SYN_OPENS;
		/* The client has taken up the one that was seen before (RFC 9293 3.10.7.3). */
		keep_rival(pool, s, x, start);
		return SYN_IGNORED;
	}
	if (idle && !has_flag(s, o, STREAM_SEEN))
		return SYN_OPENS;
	if (!has_flag(s, o, STREAM_SEEN))
		return SYN_NEW; /* nobody will be seen to answer */
	if (!is_reply) {
		/* A forged SYN must not end a session: wait for the answer. */
		struct half *h = stream_half(pool, s, x);
		if (h != NULL) {
			h->has_syn = true;
			h->syn = segment->seq;
		}
	}
	return SYN_IGNORED;
}

uint32_t stream_distance(const struct stream *s, enum side x, const struct tcp_segment *segment)
{
	enum side o = side_other(x);
	const bool acks = (segment->flags & TCP_ACK) != 0 && has_flag(s, o, STREAM_KNOWN);
	int64_t away = 0;

	if (!has_flag(s, x, STREAM_KNOWN) && !acks)
		return UINT32_MAX;
	if (has_flag(s, x, STREAM_KNOWN))
		away += llabs((int64_t)seq_diff(segment->seq, s->side[x].next));
	if (acks)
		away += llabs((int64_t)seq_diff(segment->ack, s->side[o].next));
	return away < UINT32_MAX ? (uint32_t)away : UINT32_MAX;
}

bool stream_takes_up(const struct stream *s, enum side x, const struct tcp_segment *segment)
{
	enum side o = side_other(x);
	if (has_flag(s, x, STREAM_SYN_SEEN) && segment->seq + 1 == start_seq(s, x))
		return false;
	return has_flag(s, o, STREAM_SYN_SEEN) &&
	       (segment->ack == start_seq(s, o) || is_rival(s, o, segment->ack));
}

/*
 * Whether the first bytes behind the other one of two SYNs come, after the side has spoken behind
 * one of them: there are two connections, or somebody forged one of them.
 */
static bool rival_speaks(const struct stream *s, enum side x, const struct tcp_segment *segment)
{
	const struct half *h = half_of(s, x);
	if (h == NULL || !h->has_rival || segment->seq != h->rival || segment->payload_len == 0 ||
	    stream_said_nothing(s, x))
		return false;
	return seq_diff(h->rival, start_seq(s, x)) < 0 ||
	       seq_diff(h->rival, s->side[x].next) > (int32_t)FLIGHT_MIN;
}

/*
 * Whether a side that has ended goes on somewhere else, where no window of its own reaches: the
 * endpoints have opened another connection, whose SYN was not captured. Where both sides are seen
 * this takes as much as to go on elsewhere without an end.
 */
bool stream_another_begins(const struct stream *s, enum side x, const struct tcp_segment *segment)
{
	if (rival_speaks(s, x, segment))
		return true;
	int32_t ahead = seq_diff(segment->seq, s->side[x].next);
	if (!has_flag(s, x, STREAM_FIN_SEEN) || segment->payload_len == 0 ||
	    (ahead >= -(int32_t)FLIGHT_MAX && ahead <= (int32_t)FLIGHT_MIN))
		return false;
	if (!has_flag(s, side_other(x), STREAM_SEEN))
		return true;
	const struct half *h = half_of(s, x);
	return h != NULL && h->far_segments == RESYNC_SEGMENTS - 1 &&
	       segment->seq - h->far_next <= FLIGHT_MIN;
}

void stream_rival_leaves(struct stream *s, enum side x)
{
	struct half *h = half_of(s, x);
	if (h != NULL)
		h->has_rival = false;
}

bool stream_syn_comes_again(const struct stream *s, enum side x, const struct tcp_segment *segment)
{
	bool silent = stream_said_nothing(s, SIDE_CLIENT) && stream_said_nothing(s, SIDE_SERVER);
	return !silent && has_flag(s, x, STREAM_SYN_SEEN) && segment->seq + 1 == start_seq(s, x);
}

bool stream_under_way(const struct stream *s)
{
	const unsigned both = s->flags[0] & s->flags[1], any = s->flags[0] | s->flags[1];
	return ((both & STREAM_SEEN) != 0 || (any & STREAM_DELIVERED) != 0) &&
	       (any & (STREAM_FIN_SEEN | STREAM_RST_SEEN)) == 0;
}

/* The other one of two SYNs was taken after all. What is stored stands behind the wrong one. */
static void take_rival(struct stream_pool *pool, struct stream *s, enum side x)
{
	struct half *h = half_of(s, x);
	uint32_t start = start_seq(s, x);
	while (head_of(h) != NULL)
		stream_chunk_drop(pool, h);
	h->fin.set = false;
	h->rst.set = false;
	h->hole.kind = HOLE_NONE;
	h->stood_ahead = false;
	h->far_segments = 0;
	start_at(s, x, h->rival);
	h->rival = start;
}

static void open_side(struct stream_pool *pool, struct stream *s, enum side x,
		      const struct tcp_segment *segment)
{
	if (has_flag(s, x, STREAM_SYN_SEEN)) {
		stream_forget_needs(s, x); /* they were the other one's */
		if (is_rival(s, x, segment->seq + 1)) {
			take_rival(pool, s, x);
			return;
		}
		keep_rival(pool, s, x, start_seq(s, x));
	}
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
	else /* a keep-alive's byte (RFC 9293 3.8.4) stands before what comes next */
		start_at(s, x, segment->seq + (segment->payload_len == 1 ? 1U : 0U));
	clear_flag(s, x, STREAM_EXPECTED);
	set_flag(s, x, STREAM_KNOWN);
	if (!believed)
		set_flag(s, x, STREAM_SOFT);
}

/*
 * Whether a side says new bytes, or its end, and acknowledges less than before, where it
 * stood no further in its own stream. No receiver takes back what it has (RFC 9293
 * 3.10.7.4): the acknowledgement that was ahead was not its own.
 */
static bool ack_falls_back(const struct stream *s, enum side x, const struct half *other_half,
			   const struct tcp_segment *segment)
{
	const struct stream_side *other = &s->side[side_other(x)];
	bool says_more = segment->payload_len > 0 || (segment->flags & TCP_FIN) != 0;
	return other_half->hole.kind == HOLE_ACKED && says_more &&
	       segment->seq == s->side[x].next && seq_diff(segment->ack, other->edge) < 0 &&
	       seq_diff(segment->seq, other_half->acked_from) >= 0;
}

/* Learns from an acknowledgement, and says in the step what the segment has to wait for. */
static void take_ack(struct stream_pool *pool, struct stream *s, const struct tcp_segment *segment)
{
	struct stream_step *step = &pool->step;
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
	if (is_rival(s, o, segment->ack))
		take_rival(pool, s, o);
	int32_t ahead = seq_diff(segment->ack, other->next);
	struct half *oh = half_of(s, o);
	if (oh != NULL && ack_falls_back(s, x, oh, segment)) {
		pool->counters.acks_distrusted++;
		other->edge = ahead > 0 ? segment->ack : other->next;
		oh->hole.kind = HOLE_NONE;
	}
	/*
	 * Exact once, it is a guide. Or close ahead of a SYN that was seen, where all between the
	 * two is missing: by chance that is one in 65,536.
	 */
	if (ahead == 0 || (ahead > 0 && ahead <= (int32_t)FLIGHT_MIN && other->offset == 0 &&
			   has_flag(s, o, STREAM_SYN_SEEN)))
		set_flag(s, x, STREAM_TRUSTED);
	if (ahead <= 0 || ahead > ACK_AHEAD_MAX || !has_flag(s, x, STREAM_TRUSTED))
		return;
	if (seq_diff(segment->ack, other->edge) > 0) {
		other->edge = segment->ack;
		oh = stream_half(pool, s, o);
		if (oh != NULL)
			oh->acked_from = segment->seq;
	}
	step->has_need = true;
	step->need = segment->ack;
}

/* Bytes before the SYN of their side: an old connection's, or it was not the true one. */
static bool is_before_syn(const struct stream *s, enum side x, uint32_t seq, uint32_t len)
{
	return len > 0 && has_flag(s, x, STREAM_SYN_SEEN) && s->side[x].offset < FLIGHT_MAX &&
	       seq_diff(seq + len, start_seq(s, x)) < 0;
}

/* Whether a segment lies so far away that no window covers it; *jump: it is to be believed. */
static bool is_far(struct stream_pool *pool, struct stream *s, enum side x, uint32_t seq,
		   uint32_t len, bool *jump)
{
	const struct stream_side *side = &s->side[x];
	uint32_t flight = pool->limits.max_out_of_order;
	if (flight < FLIGHT_MIN)
		flight = FLIGHT_MIN;
	/* Nobody is seen to acknowledge what was lost: more than is kept may be. */
	if (!has_flag(s, side_other(x), STREAM_SEEN))
		flight = FLIGHT_MAX;
	flight = min_u32(flight, FLIGHT_MAX) + (uint32_t)min_u64(side->skip, FLIGHT_MAX);
	*jump = false;
	struct half *h = half_of(s, x);
	if (!is_before_syn(s, x, seq, len) &&
	    seq_diff(seq + len, side->next) >= -(int32_t)FLIGHT_MAX &&
	    seq_diff(seq, side->edge) <= (int32_t)flight) {
		if (h != NULL)
			h->far_segments = 0;
		return false;
	}
	pool->counters.bad_sequence++;
	h = stream_half(pool, s, x);
	if (h == NULL)
		return true;
	if (h->has_rival && len > 0 && stream_said_nothing(s, x) &&
	    !has_flag(s, side_other(x), STREAM_TRUSTED)) {
		*jump = true; /* of several SYNs none that is known was the one that was taken */
		return false;
	}
	uint32_t step = seq - h->far_next;
	h->far_segments = h->far_segments > 0 && step <= FLIGHT_MIN ? h->far_segments + 1 : 1;
	h->far_next = seq + len;
	if (h->far_segments < RESYNC_SEGMENTS || has_flag(s, x, STREAM_FIN_SEEN))
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
	if (side->skip == skip_left)
		side->skip = h->reopen_skip;
	side->edge = side->next;
	if (h->reopen_len > 0)
		stream_distrust(pool, s, side_other(x));
}

/* A segment without payload that lies ahead: what is before it was sent, and is missed or late. */
static void stand_ahead(struct stream_pool *pool, struct stream *s, enum side x, uint32_t seq)
{
	struct half *h = stream_half(pool, s, x);
	if (h == NULL || (h->stood_ahead && seq_diff(seq, h->stood_at) <= 0))
		return;
	h->stood_ahead = true;
	h->stood_at = seq;
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

/* What the checksum of a side's SYN, or of its first bytes, says of all that follow. */
static void learn_checksums(struct stream_pool *pool, struct stream *s, enum side x,
			    const struct tcp_segment *segment)
{
	if (segment->checked.len == 0 ||
	    has_flag(s, x, STREAM_NO_HISTORY | STREAM_OFFLOAD | STREAM_SUMS_GOOD))
		return;
	if (tcp_checksum_ok(segment)) {
		set_flag(s, x, STREAM_SUMS_GOOD);
		return;
	}
	set_flag(s, x, STREAM_OFFLOAD);
	pool->counters.checksum_offload++;
}

/* A FIN or RST that no receiver would take: its checksum is bad where others' are good. */
static bool ending_is_broken(struct stream_pool *pool, const struct stream *s, enum side x,
			     const struct tcp_segment *segment)
{
	if ((segment->flags & (TCP_FIN | TCP_RST)) == 0 || !has_flag(s, x, STREAM_SUMS_GOOD) ||
	    segment->checked.len == 0 || tcp_checksum_ok(segment))
		return false;
	pool->counters.bad_checksum++;
	return true;
}

/*
 * What the segment under hand means, before its bytes are placed. Not before the
 * holds that were over have ended: so it does not matter when ticks come.
 */
void stream_admit(struct stream_pool *pool, struct stream *s)
{
	struct stream_step *step = &pool->step;
	const struct tcp_segment *segment = step->segment;
	enum side from = step->side;
	bool is_rst = (segment->flags & TCP_RST) != 0;
	bool is_syn = (segment->flags & TCP_SYN) != 0 && !is_rst;
	enum syn syn = is_syn ? stream_judge_syn(pool, s, from, segment) : SYN_REPEATS;

	step->admitted = true;
	set_flag(s, from, STREAM_SEEN);
	struct half *halves = half_of(s, SIDE_CLIENT);
	for (unsigned i = 0; halves != NULL && i < 2; i++)
		if (halves[i].hole.kind != HOLE_NONE)
			halves[i].hole.segments++;
	if ((segment->flags & TCP_URG) != 0)
		pool->counters.urgent++;

	if (ending_is_broken(pool, s, from, segment))
		return;
	if (is_rst) {
		if (!accept_rst(s, from, segment, &step->seq)) {
			pool->counters.rst_ignored++;
			return;
		}
		/* What it acknowledges was received, so it was said before the end. */
		if (has_flag(s, side_other(from), STREAM_KNOWN))
			take_ack(pool, s, segment);
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
		open_side(pool, s, from, segment);
	else if (!has_flag(s, from, STREAM_KNOWN))
		start_side(s, from, segment);
	if (is_syn) {
		set_flag(s, from,
			 STREAM_SYN_SEEN |
			     ((segment->flags & TCP_ACK) != 0 ? STREAM_SYNACK_SEEN : 0U));
		learn_checksums(pool, s, from, segment);
	}
	bool may_be_probe = len == 1 && seq == s->side[from].next - 1;
	if (has_flag(s, from, STREAM_SOFT) && len > 0 && !may_be_probe) {
		/* What came without payload may have been a keep-alive: start here after all. */
		if (!has_flag(s, side_other(from), STREAM_TRUSTED))
			start_at(s, from, seq);
		clear_flag(s, from, STREAM_SOFT);
	}
	if (!is_syn && is_rival(s, from, seq))
		take_rival(pool, s, from);
	if (is_far(pool, s, from, seq, len, &step->jump))
		return;
	if (!step->jump)
		take_ack(pool, s, segment);
	int32_t ahead = seq_diff(seq, s->side[from].next);
	bool of_another = has_flag(s, from, STREAM_FIN_SEEN) && ahead > (int32_t)FLIGHT_MIN;
	if (len == 0 && !step->jump && ahead > 0 && !of_another)
		stand_ahead(pool, s, from, seq);

	struct half *h = half_of(s, from);
	step->seq = seq;
	step->left = span_head(segment->payload, len);
	step->cut = len - (uint32_t)step->left.len;
	step->flags = is_syn ? 0 : segment->flags & TCP_FIN;
	if (h != NULL && h->rst.set && seq_diff(seq + len, h->rst.seq) > 0) {
		h->rst.set = false; /* whoever reset the connection would not go on */
		pool->counters.rst_ignored++;
	} else if (h != NULL && h->rst.set &&
		   (seq_diff(seq + len, s->side[from].next) > 0 || step->flags != 0)) {
		h->rst.doubted = true;
	}
	step->tampered = segment->fragments_conflict && len > 0;
	if (h != NULL && h->can_reopen && !step->jump) {
		uint32_t end = seq + len + (step->flags != 0 ? 1U : 0U);
		if (seq_diff(seq, h->reopen_at) <= 0 && seq_diff(end, h->reopen_at) > 0)
			reopen(pool, s, from, h);
		else if (len > 0 && seq_diff(seq, h->reopen_at) > 0)
			h->can_reopen = false;
	}
	if (len <= 1 && seq == s->side[from].next - 1 && !step->jump)
		stream_step_consume(step,
				    len); /* a keep-alive (RFC 9293 3.8.4), its byte is garbage */
	if (!has_flag(s, from, STREAM_DELIVERED) && step->left.len > 0)
		learn_checksums(pool, s, from, segment);
}
