/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/pipeline_state.h"

#include "sensor/build_kind.h"
#include "sensor/shared_detector.h"
#include "sensor/view.h"

#include <stdlib.h>

#define NO_BEAT INT64_MAX

struct pipeline *pipeline_create(const struct pipeline_config *config)
{
	struct pipeline *p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	p->config = *config;
	p->beat_ns = NO_BEAT;
	budget_init(&p->budget, config->memory);
	p->budget.reserve = config->memory / LIMIT_WAKE_PART;
	budget_keep(&p->budget, FINDS_MISUSE ? 0 : LIMIT_KEPT_BLOCKS);
	stream_pool_init(&p->streams, &config->streams, &p->budget);
	if (config->evidence_ring > 0) {
		evidence_ring_init(&p->evidence, &p->budget, config->evidence_ring);
		p->evidence_out = budget_alloc(&p->budget, config->evidence_out);
	}
	flow_parts_init(&p->parts);
	p->flows = flow_table_create(&p->budget, &config->flows, &config->hash_key);
	hold_queue_init(&p->holds, &p->budget);
	p->certificates =
	    certificate_cache_create(&p->budget, config->anchors, config->certificates);
	p->owns_detector = config->detector == NULL;
	p->detector = p->owns_detector ? shared_detector_create() : config->detector;
	p->digester = digester_create();
	const struct digest_memo_limits ja3 = {.texts = LIMIT_JA3_TEXTS,
					       .text_len = LIMIT_JA3_TEXT};
	if (p->digester != NULL)
		p->ja3 = digest_memo_create(&p->budget, p->digester, DIGEST_MD5, &ja3);
	p->context = (struct smtp_context){
	    .budget = &p->budget,
	    .redaction = &p->config.redaction,
	    .found = &p->found,
	    .any_port = config->ports.all,
	    .caps_reached = &p->counters.caps_reached,
	};
	if (p->flows == NULL || p->certificates == NULL || p->detector == NULL || p->ja3 == NULL) {
		pipeline_destroy(p);
		return NULL;
	}
	return p;
}

void pipeline_destroy(struct pipeline *p)
{
	if (p == NULL)
		return;
	pipeline_session_destroy(p, p->spent);
	if (p->flows != NULL) {
		uint32_t position = 0;
		struct flow *flow;
		while ((flow = flow_next(p->flows, &position)) != NULL) {
			stream_free(&p->streams, &flow->stream);
			pipeline_session_destroy(p, flow->session);
			pipeline_session_forget(p, flow);
		}
		flow_table_destroy(p->flows);
	}
	hold_queue_free(&p->holds);
	if (p->certificates != NULL)
		certificate_cache_destroy(p->certificates);
	if (p->owns_detector)
		shared_detector_destroy(p->detector);
	digest_memo_destroy(p->ja3);
	digester_destroy(p->digester);
	for (unsigned i = 0; i < FLOW_PARTS; i++)
		dialogue_ring_free(&p->dialogues[i], &p->budget);
	evidence_ring_free(&p->evidence, &p->budget);
	budget_free(&p->budget, p->evidence_out, p->config.evidence_out);
	budget_release(&p->budget);
	free(p);
}

/* ---- who is who ---- */

/* The segment begins with a command that only a client says. */
static bool begins_with_command(struct span payload)
{
	size_t len = 0;
	while (len < payload.len && payload.ptr[len] != '\n')
		len++;
	struct smtp_command command = smtp_parse_command(span_head(payload, len));
	return smtp_command_is_certain(&command);
}

/* Whether the segment's sender is the client, by the handshake or else by the ports. */
static bool sender_is_client(const struct pipeline *p, const struct tcp_segment *segment)
{
	if (segment->flags & TCP_SYN)
		return (segment->flags & TCP_ACK) == 0;
	bool to_mail = mail_ports_has(&p->config.ports, segment->dst.port);
	bool from_mail = mail_ports_has(&p->config.ports, segment->src.port);
	if (to_mail != from_mail)
		return to_mail;
	/* Who replies or commands tells itself; otherwise the lower port is the server's. */
	const struct span begin = span_head(segment->payload, 64);
	struct smtp_reply_line reply;
	if (begin.len >= 4 && smtp_parse_reply_line(begin, &reply))
		return false;
	if (begins_with_command(begin))
		return true;
	return segment->dst.port <= segment->src.port;
}

/*
 * Whether a SYN shows that the client of a connection is the other end. The first packet said who
 * it is, and anybody can have sent that: a forged SYN of the server before the client's own must
 * not turn the session around. A SYN between a mail port and another port is the client's if it
 * goes to the mail port; between others, who takes up a SYN is not the one that sent it.
 */
static bool roles_turn(const struct pipeline *p, const struct flow *flow, uint8_t src_end,
		       const struct tcp_segment *segment)
{
	if (flow->session != NULL || flow->follows || stream_handshake_seen(&flow->stream))
		return false;
	bool to_mail = mail_ports_has(&p->config.ports, segment->dst.port);
	bool from_mail = mail_ports_has(&p->config.ports, segment->src.port);
	enum side side = side_of(flow, src_end);
	if ((segment->flags & TCP_ACK) == 0)
		return side == SIDE_SERVER && to_mail && !from_mail;
	return side == SIDE_CLIENT && (!to_mail || from_mail) &&
	       stream_takes_up(&flow->stream, side, segment);
}

/* ---- closing ---- */

/* What is told from now on has this cause. Due: of what the clock causes, else 0. */
static void set_place(struct pipeline *p, enum observation_cause cause, int64_t due_ns,
		      const struct flow *flow)
{
	p->place.cause = cause;
	p->place.due_ns = due_ns;
	p->place.session = flow->first_ordinal;
}

/* Finishes the stream; its last events and the record come by pipeline_next(). */
static void close_begin(struct pipeline *p, struct flow *flow, enum session_closed_by closed_by,
			bool remove, enum pipeline_stage resume)
{
	p->flow = flow;
	p->closing = true;
	p->closed_by = closed_by;
	p->remove = remove;
	p->resume = resume;
	p->stage = STAGE_PULL;
	if (closed_by != CLOSED_BY_FIN) {
		/* The clock ends it: what was under hand before is none of its packets. */
		p->time_ns = p->clock_ns;
		p->ordinal = p->place.step;
	}
	if (!flow->over)
		stream_finish(&p->streams, &flow->stream, p->clock_ns, p->ordinal);
}

/* The stream gave its last event: the record, if there is one. */
static bool close_end(struct pipeline *p, struct observation *o)
{
	struct flow *flow = p->flow;
	bool told = false;

	p->closing = false;
	p->stage = p->resume;
	if (flow->follows)
		(void)pipeline_session_begin(p, flow); /* refused: counted */
	if (!flow->over && flow->session != NULL)
		told = pipeline_session_close(p, flow, o);
	stream_free(&p->streams, &flow->stream);
	hold_queue_set(&p->holds, flow, INT64_MAX);
	flow->over = true;
	if (p->remove)
		flow_remove(p->flows, flow);
	p->flow = NULL;
	return told;
}

/* ---- the way of a segment ---- */

static struct flow *flow_for_segment(struct pipeline *p, const struct tcp_segment *segment,
				     const struct flow_key *key, uint8_t src_end)
{
	struct flow *flow = flow_add(p->flows, key, p->packet->time_ns, p->clock_ns);
	if (flow == NULL) {
		struct flow *oldest = flow_oldest(p->flows);
		if (oldest == NULL)
			return NULL;
		close_begin(p, oldest, CLOSED_BY_EVICTED, true, STAGE_SEGMENT);
		return NULL;
	}
	bool client_sends = sender_is_client(p, segment);
	flow->client_end = (client_sends ? src_end : 1U - src_end) & 1U;
	/* By the packet's key: another view's is of the same part. */
	flow->part = flow_part(&p->parts, &p->packet->key) % FLOW_PARTS;
	flow->first_ordinal = p->packet->ordinal;
	flow->vlan_outer = segment->vlan_outer;
	flow->vlan_inner = segment->vlan_inner;
	return flow;
}

/* Keeps the packet under hand as evidence, unless it holds a message or comes after the upgrade. */
static void evidence_note(struct pipeline *p, struct flow *flow, enum side side)
{
	const struct smtp_session *session = flow->session;

	if (p->evidence.size == 0 || flow->follows)
		return;
	if (session != NULL && (session->upgrade_over || session->state == SMTP_STATE_MESSAGE ||
				session->state == SMTP_STATE_CHUNK))
		return;
	bool tls = session != NULL && session->framing[side] == SMTP_FRAMING_TLS;
	struct evidence_packet packet = {
	    .frame = p->packet->frame,
	    .wire_len = p->packet->wire_len,
	    .link_type = p->packet->link_type,
	    .time_ns = p->packet->time_ns,
	    .segment = &p->packet->segment,
	    .side = side,
	    .payload = tls ? EVIDENCE_TLS : EVIDENCE_TEXT,
	};
	evidence_keep(&p->evidence, flow_trail(p->flows, flow), &packet);
}

static void count_segment(struct flow *flow, enum side side, const struct tcp_segment *segment)
{
	flow->packets[side] += flow->packets[side] != UINT32_MAX;
	flow->bytes[side] += segment->payload_len;
}

/*
 * Whether a connection that ended by a reset goes on all the same: the side that sent it says
 * something new. What follows is another session, of which the beginning was told already.
 */
static bool goes_on(const struct flow *flow, uint8_t src_end, const struct tcp_segment *segment)
{
	enum side side = side_of(flow, src_end);
	return (flow->stream.flags[side] & STREAM_RST_SEEN) != 0 &&
	       (segment->flags & (TCP_RST | TCP_SYN)) == 0 && segment->payload_len > 0 &&
	       segment->seq == flow->stream.side[side].next;
}

/*
 * The endpoints have opened another connection while this one was under way. They have forgotten
 * this one, or it goes on: the other one is that of a proxy that stands between them and uses the
 * client's address and port, or was forged so that this one is lost from sight. So it is set aside:
 * NULL. Or one has to be closed first, which is returned: one that was aside before gives way to
 * this one, unless nothing was said in this one.
 */
static struct flow *set_aside(struct pipeline *p, struct flow *flow)
{
	if (p->packet->interface != 0 || flow->key.view != 0 || !stream_under_way(&flow->stream))
		return flow;
	if (flow_set_aside(p->flows, flow))
		return NULL;
	struct flow *before = flow_aside(p->flows, &flow->key);
	const bool said = flow->session != NULL || flow->follows;
	return said || before->over ? before : flow;
}

/* The segment under hand opens another connection than this one of the same endpoints. */
static void opens_another(struct pipeline *p, struct flow *flow)
{
	struct flow *gives_way = set_aside(p, flow);
	p->stage = STAGE_SEGMENT;
	p->begins = true;
	if (gives_way != NULL)
		close_begin(p, gives_way, CLOSED_BY_TIMEOUT, true, STAGE_SEGMENT);
}

static uint32_t distance(const struct flow *flow, const struct tcp_segment *segment,
			 uint8_t src_end)
{
	enum side side = side_of(flow, src_end);
	return stream_distance(&flow->stream, side, segment);
}

/*
 * Which of two connections of the same endpoints a segment is of: the one it stands closer to; of
 * the one set aside where that is not to be told, as the other one may be forged to look like it.
 * Either may be NULL.
 */
static struct flow *nearer(struct flow *flow, struct flow *aside, const struct tcp_segment *segment,
			   uint8_t src_end)
{
	if (aside == NULL)
		return flow;
	uint32_t away = distance(aside, segment, src_end);
	if (away > LIMIT_ASIDE_BYTES)
		return flow;
	return flow == NULL || away <= distance(flow, segment, src_end) ? aside : flow;
}

/*
 * Pushes the segment under hand into a connection; then the stage goes on with resume.
 * True: *event is all that comes of it.
 */
static bool flow_push(struct pipeline *p, struct flow *flow, uint8_t src_end,
		      enum pipeline_stage resume, struct stream_event *event)
{
	const struct tcp_segment *segment = &p->packet->segment;
	enum side side = side_of(flow, src_end);

	const bool in_line = !p->out_of_line;
	p->out_of_line = false; /* what is done with the packet may change it */
	p->flow = flow;
	p->stage = resume;
	const bool fast = in_line && stream_fast(&flow->stream, side, segment);
	const bool whole = in_line && !fast &&
			   stream_in_order(&p->streams, &flow->stream, side, segment, p->time_ns,
					   p->ordinal, event);
	const bool done = fast || whole;
	if (!done && stream_push(&p->streams, &flow->stream, side, segment, p->time_ns,
				 p->ordinal) == STREAM_NEW_CONNECTION) {
		opens_another(p, flow);
		return false;
	}
	if (p->time_ns > flow->last_ns)
		flow->last_ns = p->time_ns;
	evidence_note(p, flow, side);
	count_segment(flow, side, segment);
	if (!done) {
		p->side = side;
		p->lag_ns = p->clock_ns - p->time_ns;
		p->resume = resume;
		p->stage = STAGE_PULL;
	}
	return whole;
}

/* The connection of the packet under hand, or NULL. */
static struct flow *find_shown(struct pipeline *p)
{
	bool looked_up = p->looked_up;
	p->looked_up = false; /* what is done with the packet may remove it */
	return looked_up ? p->shown
			 : flow_find_hashed(p->flows, &p->packet->key, p->packet->flow_hash);
}

/* Finds the connection of the segment under hand, or makes it. */
static bool segment_push(struct pipeline *p, struct stream_event *event)
{
	const struct tcp_segment *segment = &p->packet->segment;
	const uint16_t interface = p->packet->interface;
	const bool opens = (segment->flags & (TCP_SYN | TCP_RST)) == TCP_SYN;
	const uint8_t src_end = p->packet->src_end;
	struct view_choice choice = {.flow = NULL, .key = p->packet->key};
	const bool begins = p->begins || opens;

	p->begins = false;
	p->stage = STAGE_IDLE;
	p->place.cause = CAUSE_PACKET;
	p->place.due_ns = 0;
	p->place.session = 0; /* all views of a connection have the same worker */
	p->time_ns = p->packet->time_ns;
	p->ordinal = p->packet->ordinal;
	if (interface == 0)
		choice.flow = find_shown(p);
	else
		choice = view_choose(p->flows, &choice.key, src_end, interface, opens);
	struct flow *flow = choice.flow, *aside = NULL;
	if (interface == 0 && (flow == NULL || flow->beside)) {
		aside = flow_aside(p->flows, &choice.key);
		if (flow != NULL && aside == NULL)
			flow->beside = 0;
		/* What opens a connection is not of one that is over. */
		if (!begins || (flow != NULL && aside != NULL && !aside->over))
			flow = nearer(flow, aside, segment, src_end);
		if (flow != NULL)
			choice.key = flow->key;
	}
	const bool beside = aside != NULL && flow != aside;
	const bool resumed = flow != NULL && flow->over && goes_on(flow, src_end, segment);
	const unsigned client_end = flow != NULL ? flow->client_end : 0;
	if (flow != NULL && flow->over) {
		if (!resumed && (!opens || stream_syn_comes_again(&flow->stream,
								  side_of(flow, src_end), segment)))
			return false; /* late: nothing that could change what was told */
		flow_remove(p->flows, flow);
		flow = NULL;
	}
	if (opens && flow != NULL && roles_turn(p, flow, src_end, segment)) {
		opens_another(p, flow);
		return false;
	}
	if (flow == NULL) {
		if ((segment->flags & TCP_RST) != 0 && segment->payload_len == 0)
			return false;
		flow = flow_for_segment(p, segment, &choice.key, src_end);
		if (flow == NULL)
			return false;
		flow->quiet = choice.quiet;
		flow->beside = beside;
		if (interface != 0)
			view_note(flow, src_end, interface);
		if (choice.first != NULL)
			flow->client_end = choice.first->client_end;
		flow->resumed = resumed;
		if (resumed)
			flow->client_end = client_end & 1U;
	}
	return flow_push(p, flow, src_end, choice.first != NULL ? STAGE_COPY : STAGE_IDLE, event);
}

/* The segment of a view that is quiet goes into the connection's first view as well. */
static bool copy_push(struct pipeline *p, struct stream_event *event)
{
	const uint8_t src_end = p->packet->src_end;
	struct flow *first = flow_find_hashed(p->flows, &p->packet->key, p->packet->flow_hash);

	p->stage = STAGE_IDLE;
	p->time_ns = p->packet->time_ns;
	p->ordinal = p->packet->ordinal;
	return first != NULL && !first->over && flow_push(p, first, src_end, STAGE_IDLE, event);
}

/* One event of the stream under hand. True: the session has reached something new, *o tells. */
static bool event_done(struct pipeline *p, const struct stream_event *event, struct observation *o)
{
	struct flow *flow = p->flow;
	pipeline_session_event(p, flow, event);
	const struct smtp_session *session = flow->session;
	if (session == NULL || flow->over || flow->quiet)
		return false;
	const struct session_facts *facts = &session->facts;
	if (facts->milestones == session->observed &&
	    (!p->config.tell_recipients ||
	     facts->text.size[TEXT_RECIPIENT_DOMAINS] == facts->domains_told))
		return false;
	return pipeline_session_observe(p, flow, o);
}

/* What shunt() did with a packet. */
enum shunted { SHUNT_DONE, SHUNT_EVENT, SHUNT_NO };

/* The clock is at a frame. True: in another beat than before, so holds may end and connections time
 * out. */
static bool clock_step(struct pipeline *p, int64_t clock_ns, uint64_t ordinal)
{
	p->clock_ns = clock_ns;
	p->place = (struct observation_place){.step = ordinal};
	/* As most often; without a division. */
	if (clock_ns >= p->beat_ns && clock_ns - p->beat_ns < LIMIT_BEAT_NS)
		return false;
	const int64_t beat = pipeline_beat(clock_ns);
	const bool begins = !p->clock_started || beat != p->beat;
	p->clock_started = true;
	p->beat = beat;
	p->beat_ns = beat > 0 ? beat * LIMIT_BEAT_NS : NO_BEAT;
	return begins;
}

bool pipeline_clock(struct pipeline *p, int64_t clock_ns, uint64_t ordinal)
{
	p->packet = NULL;
	if (!clock_step(p, clock_ns, ordinal))
		return false;
	p->stage = STAGE_TIME;
	return true;
}

/*
 * What becomes of most packets: the segment is the next of a connection that is under way. What
 * it holds needs no look, or is more of a message: done. Or it is an event: p->event is set.
 * SHUNT_NO: it is to be pushed.
 */
static enum shunted shunt(struct pipeline *p, const struct followed_packet *packet)
{
	if (packet->interface != 0)
		return SHUNT_NO;
	struct flow *flow = flow_find_seen(p->flows, packet->seen, &packet->key, packet->flow_hash);
	p->shown = flow;
	p->looked_up = true;
	if (flow == NULL || flow->over || flow->beside || (p->evidence.size > 0 && !flow->follows))
		return SHUNT_NO;
	const struct tcp_segment *segment = &packet->segment;
	const enum side side = side_of(flow, packet->src_end);
	enum shunted shunted = SHUNT_DONE;
	if (!stream_fast(&flow->stream, side, segment)) {
		pipeline_fetch_behind(flow);
		p->out_of_line = !stream_in_order(&p->streams, &flow->stream, side, segment,
						  packet->time_ns, packet->ordinal, &p->event);
		if (p->out_of_line)
			return SHUNT_NO;
		if (flow->session == NULL || flow->resumed ||
		    !smtp_session_message(flow->session, &p->event)) {
			p->flow = flow;
			shunted = SHUNT_EVENT;
		}
	}
	if (packet->time_ns > flow->last_ns)
		flow->last_ns = packet->time_ns;
	count_segment(flow, side, segment);
	return shunted;
}

bool pipeline_packet(struct pipeline *p, const struct followed_packet *packet)
{
	p->packet = packet;
	p->looked_up = false;
	p->begins = false;
	p->out_of_line = false;
	if (clock_step(p, packet->clock_ns, packet->ordinal)) {
		p->stage = STAGE_TIME;
		return true;
	}
	switch (shunt(p, packet)) {
	case SHUNT_DONE:
		p->stage = STAGE_IDLE;
		return false;
	case SHUNT_EVENT:
		p->stage = STAGE_EVENT;
		return true;
	case SHUNT_NO:
		break;
	}
	p->stage = STAGE_SEGMENT;
	return true;
}

void pipeline_finish(struct pipeline *p, int64_t clock_ns, uint64_t ordinal)
{
	(void)clock_step(p, clock_ns, ordinal);
	p->packet = NULL;
	flow_finish(p->flows);
	p->stage = STAGE_FINISH;
}

/*
 * The stream gave its last event: says until when it holds what it still holds. A hold is
 * as long by the clock as by the stream's packets: those of an input that is not in the
 * order of time may be older than the clock, and what is missing may yet come behind them.
 */
static void hold_note(struct pipeline *p, struct flow *flow)
{
	int64_t due_ns = stream_deadline(&p->streams, &flow->stream);
	if (due_ns != INT64_MAX)
		due_ns = due_ns > INT64_MAX - p->lag_ns ? INT64_MAX : due_ns + p->lag_ns;
	hold_queue_set(&p->holds, flow, due_ns);
}

/* The hold of a connection is over: what waited behind it comes by pulling. */
static void hold_end(struct pipeline *p, struct flow *flow)
{
	p->flow = flow;
	p->lag_ns = hold_queue_due(&p->holds, flow) - stream_deadline(&p->streams, &flow->stream);
	p->resume = STAGE_TIME;
	p->stage = STAGE_PULL;
	stream_tick(&p->streams, &flow->stream, p->clock_ns - p->lag_ns);
}

/* What the clock brings with it, one connection at a time; then the packet, if one waits. */
static void time_pass(struct pipeline *p)
{
	p->time_ns = p->clock_ns;
	p->ordinal = p->place.step;
	struct flow *flow = hold_queue_first(&p->holds, p->clock_ns);
	if (flow != NULL) {
		set_place(p, CAUSE_HOLD, hold_queue_due(&p->holds, flow), flow);
		hold_end(p, flow);
		return;
	}
	flow = flow_expired(p->flows, p->clock_ns);
	if (flow != NULL) {
		set_place(p, CAUSE_TIMEOUT, flow_due(p->flows, flow), flow);
		close_begin(p, flow, CLOSED_BY_TIMEOUT, true, STAGE_TIME);
		return;
	}
	p->stage = p->packet != NULL ? STAGE_SEGMENT : STAGE_IDLE;
}

bool pipeline_next(struct pipeline *p, struct observation *o)
{
	struct stream_event event;

	if (p->spent != NULL) {
		pipeline_session_destroy(p, p->spent);
		p->spent = NULL;
	}
	for (;;) {
		switch (p->stage) {
		case STAGE_IDLE:
			return false;
		case STAGE_TIME:
			time_pass(p);
			break;
		case STAGE_EVENT:
			p->stage = STAGE_IDLE;
			p->place.cause = CAUSE_PACKET;
			return event_done(p, &p->event, o);
		case STAGE_SEGMENT:
		case STAGE_COPY:
			if (!(p->stage == STAGE_SEGMENT ? segment_push(p, &event)
							: copy_push(p, &event)))
				break;
			if (event_done(p, &event, o))
				return true;
			break;
		case STAGE_PULL:
			if (stream_pull(&p->streams, &p->flow->stream, &event)) {
				if (event_done(p, &event, o))
					return true;
				break;
			}
			if (p->closing) {
				if (close_end(p, o))
					return true;
				break;
			}
			if (stream_closed(&p->flow->stream)) {
				close_begin(p, p->flow, CLOSED_BY_FIN, false, p->resume);
				break;
			}
			hold_note(p, p->flow);
			p->stage = p->resume;
			break;
		case STAGE_FINISH: {
			struct flow *flow = flow_expired(p->flows, p->clock_ns);
			if (flow == NULL) {
				p->stage = STAGE_IDLE;
				break;
			}
			set_place(p, CAUSE_END, 0, flow);
			close_begin(p, flow, CLOSED_BY_EOF, true, STAGE_FINISH);
			break;
		}
		}
	}
}

uint32_t pipeline_connections(const struct pipeline *p)
{
	return flow_count(p->flows);
}

const struct pipeline_counters *pipeline_counters(const struct pipeline *p)
{
	return &p->counters;
}

const struct stream_counters *pipeline_stream_counters(const struct pipeline *p)
{
	return &p->streams.counters;
}

const struct flow_counters *pipeline_flow_counters(const struct pipeline *p)
{
	return flow_table_counters(p->flows);
}

const struct budget *pipeline_budget(const struct pipeline *p)
{
	return &p->budget;
}
