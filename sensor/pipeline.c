/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/pipeline.h"

#include "alerts/verdict.h"

#include "sensor/hold_queue.h"
#include "sensor/view.h"

#include <stdlib.h>

/* What pipeline_next() goes on with. */
enum pipeline_stage {
	STAGE_IDLE,
	STAGE_TIME, /* holds and connections whose time is over, before the packet is looked at */
	STAGE_SEGMENT, /* the packet's segment is to be pushed */
	STAGE_COPY,    /* ... and into another view of its connection */
	STAGE_PULL,    /* its events */
	STAGE_FINISH,  /* the input is over: each connection in turn */
};

/* An answer of nDPI that was given before. */
struct risk_answer {
	uint64_t key;
	uint32_t risks;
	bool known;
};

#define RISK_ANSWERS 4096U

struct pipeline {
	struct pipeline_config config;
	struct budget budget;
	struct stream_pool streams;
	struct flow_table *flows;
	struct hold_queue holds;
	struct dialogue_ring dialogues;
	struct evidence_ring evidence;
	uint8_t *evidence_out;
	struct smtp_found found;
	struct smtp_context context;
	struct digester *digester;
	struct certificate_cache *certificates;
	struct application_detector *applications; /* made when first asked */
	bool applications_failed;
	struct risk_answer risks[RISK_ANSWERS];
	struct pipeline_counters counters;

	int64_t clock_ns;
	int64_t beat;
	bool clock_started;
	struct observation_place place; /* of what is told next; its step is where the clock is */
	int64_t time_ns;                /* of what is under hand: the packet, or the event */
	uint64_t ordinal;

	enum pipeline_stage stage;
	const struct followed_packet
	    *packet;       /* the one given last; NULL: the clock alone went on */
	struct flow *flow; /* under hand */
	enum side side;
	bool closing; /* its stream is being finished */
	enum session_closed_by closed_by;
	bool remove;                /* it leaves the table once it is closed */
	enum pipeline_stage resume; /* after the pull or the close */
	int64_t lag_ns;             /* by which its packets are older than the clock */

	struct smtp_session *spent; /* session of a last observation, freed at the next call */
	uint8_t dialogue[DIALOGUE_LINES_MAX * (DIALOGUE_LINE_MAX + 4)];
};

struct pipeline *pipeline_create(const struct pipeline_config *config)
{
	struct pipeline *p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	p->config = *config;
	budget_init(&p->budget, config->memory);
	p->budget.reserve = config->memory / LIMIT_WAKE_PART;
	stream_pool_init(&p->streams, &config->streams, &p->budget);
	if (config->evidence_ring > 0) {
		evidence_ring_init(&p->evidence, &p->budget, config->evidence_ring);
		p->evidence_out = budget_alloc(&p->budget, config->evidence_out);
	}
	dialogue_ring_init(&p->dialogues, &p->budget, config->dialogue_ring);
	p->flows = flow_table_create(&p->budget, &config->flows, &config->hash_key);
	hold_queue_init(&p->holds, &p->budget);
	p->certificates =
	    certificate_cache_create(&p->budget, config->anchors, config->certificates);
	p->digester = digester_create();
	p->context = (struct smtp_context){
	    .budget = &p->budget,
	    .dialogues = &p->dialogues,
	    .redaction = &p->config.redaction,
	    .found = &p->found,
	    .any_port = config->ports.all,
	};
	if (p->flows == NULL || p->certificates == NULL || p->digester == NULL) {
		pipeline_destroy(p);
		return NULL;
	}
	return p;
}

static void session_destroy(struct pipeline *p, struct smtp_session *session)
{
	if (session == NULL)
		return;
	certificate_release(session->certificate);
	smtp_session_free(session, &p->context);
	budget_free(&p->budget, session, sizeof *session);
}

/* Gives back a session that was put away, without a word of it. */
static void flow_forget(struct pipeline *p, struct flow *flow)
{
	if (flow->follows)
		certificate_release(smtp_followed_free(flow->followed, &p->context));
	flow->follows = false;
}

void pipeline_destroy(struct pipeline *p)
{
	if (p == NULL)
		return;
	session_destroy(p, p->spent);
	if (p->flows != NULL) {
		uint32_t position = 0;
		struct flow *flow;
		while ((flow = flow_next(p->flows, &position)) != NULL) {
			stream_free(&p->streams, &flow->stream);
			session_destroy(p, flow->session);
			flow_forget(p, flow);
		}
		flow_table_destroy(p->flows);
	}
	hold_queue_free(&p->holds);
	if (p->certificates != NULL)
		certificate_cache_destroy(p->certificates);
	application_detector_destroy(p->applications);
	digester_destroy(p->digester);
	dialogue_ring_free(&p->dialogues, &p->budget);
	evidence_ring_free(&p->evidence, &p->budget);
	budget_free(&p->budget, p->evidence_out, p->config.evidence_out);
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

static struct endpoint flow_endpoint(const struct flow *flow, unsigned end)
{
	struct endpoint endpoint = {.port = flow->key.port[end]};
	endpoint.addr.version = flow->key.version;
	memcpy(endpoint.addr.bytes, flow->key.addr[end], 16);
	return endpoint;
}

/* ---- sessions ---- */

/* What the connection knows for its session. */
static void session_identify(const struct flow *flow, struct session_facts *facts)
{
	facts->client = flow_endpoint(flow, flow->client_end);
	facts->server = flow_endpoint(flow, 1U - flow->client_end);
	facts->id = flow->first_ordinal;
	facts->vlan_outer = flow->vlan_outer;
	facts->vlan_inner = flow->vlan_inner;
}

/*
 * Takes up the session that was put away. False: it found no memory. Then it is given up, as
 * what comes now would be missing from what it reads.
 */
static bool flow_wake(struct pipeline *p, struct flow *flow)
{
	struct smtp_session *session = smtp_followed_wake(flow->followed, &p->context);
	if (session == NULL) {
		p->counters.refused++;
		flow_forget(p, flow);
		flow->over = true;
		return false;
	}
	struct session_facts *facts = &session->facts;
	session_identify(flow, facts);
	if (session->certificate != NULL)
		memcpy(facts->tls.certificate_sha256, session->certificate->sha256,
		       sizeof facts->tls.certificate_sha256);
	flow->session = session;
	flow->follows = false;
	return true;
}

/*
 * Puts the session away when nothing is left to do but to follow its records and all that it
 * came to was told. What the connection or the certificate knows as well is not kept twice.
 */
static void flow_follow(struct pipeline *p, struct flow *flow)
{
	struct smtp_session *session = flow->session;
	if (p->closing || session->facts.milestones != session->observed ||
	    !smtp_session_may_be_followed(session))
		return;
	struct session_facts *facts = &session->facts;
	const struct session_facts whole = *facts;
	facts->client = facts->server = (struct endpoint){.port = 0};
	facts->id = 0;
	facts->vlan_outer = facts->vlan_inner = 0;
	/* session_refresh() tells these anew. */
	facts->end_ns = 0;
	memset(facts->packets, 0, sizeof facts->packets);
	memset(facts->bytes, 0, sizeof facts->bytes);
	if (session->certificate != NULL)
		memset(facts->tls.certificate_sha256, 0, sizeof facts->tls.certificate_sha256);
	struct smtp_followed *followed = smtp_followed_begin(session, &p->context);
	if (followed == NULL) {
		*facts = whole;
		return;
	}
	flow->session = NULL;
	flow->followed = followed;
	flow->follows = true;
}

static bool flow_session(struct pipeline *p, struct flow *flow)
{
	if (flow->session != NULL)
		return true;
	if (flow->follows)
		return flow_wake(p, flow);
	struct smtp_session *session = budget_alloc(&p->budget, sizeof *session);
	if (session == NULL || !smtp_session_init(session, &p->context)) {
		budget_free(&p->budget, session, sizeof *session);
		p->counters.refused++;
		return false;
	}
	struct session_facts *facts = &session->facts;
	session_identify(flow, facts);
	facts->tap = view_tap(flow);
	facts->start_ns = flow->start_ns;
	flow->session = session;
	return true;
}

/* What TCP knows of the two sides, for what is to be told of the next event. */
static void session_sides(struct flow *flow)
{
	for (unsigned side = 0; side < 2; side++) {
		bool seen = (flow->stream.flags[side] & STREAM_SEEN) != 0;
		bool syn = (flow->stream.flags[side] & STREAM_SYN_SEEN) != 0;
		smtp_session_side(flow->session, (enum side)side, seen, syn);
	}
}

/* All that the connection knows of its session, for an observation. */
static void session_refresh(struct flow *flow)
{
	struct session_facts *facts = &flow->session->facts;
	facts->end_ns = flow->last_ns;
	facts->handshake_missing = !stream_handshake_seen(&flow->stream);
	for (unsigned side = 0; side < 2; side++) {
		facts->packets[side] = flow->packets[side];
		facts->bytes[side] = flow->bytes[side];
	}
	session_sides(flow);
}

static struct application_detector *detector(struct pipeline *p)
{
	if (p->applications == NULL && !p->applications_failed) {
		p->applications = application_detector_create();
		p->applications_failed = p->applications == NULL;
	}
	return p->applications;
}

/*
 * What nDPI holds against the two hellos. A question costs it some 10 us, and
 * most sessions show the same hellos but for their random bytes: what decides
 * (JA3, JA3S, the name asked for) is the key of a small table of answers.
 */
static void ask_for_risks(struct pipeline *p, struct smtp_session *session)
{
	struct smtp_found *found = &p->found;
	struct session_tls *tls = &session->facts.tls;
	struct span sni = session_facts_text(&session->facts, TEXT_SNI);
	uint8_t key_bytes[32 + TEXT_MAX];
	size_t len = 32;

	if (found->hello_len[SIDE_SERVER] == 0)
		return;
	memcpy(key_bytes, tls->ja3, 16);
	memcpy(key_bytes + 16, tls->ja3s, 16);
	if (sni.len > 0)
		memcpy(key_bytes + len, sni.ptr, sni.len);
	len += sni.len;
	uint64_t key = siphash(&p->config.hash_key, span_of(key_bytes, len));
	struct risk_answer *answer = &p->risks[key % RISK_ANSWERS];

	if (!answer->known || answer->key != key) {
		struct application_flow flow = {
		    .client = span_of(found->hello[SIDE_CLIENT], found->hello_len[SIDE_CLIENT]),
		    .server = span_of(found->hello[SIDE_SERVER], found->hello_len[SIDE_SERVER]),
		};
		*answer = (struct risk_answer){.key = key, .known = true};
		if (detector(p) != NULL)
			answer->risks =
			    application_tls_risks(p->applications, &flow, p->time_ns / 1000000000);
	}
	tls->risks = answer->risks;
	found->hello_len[SIDE_CLIENT] = found->hello_len[SIDE_SERVER] = 0;
}

/* What an event brought to light and a library has to read. */
static void session_found(struct pipeline *p, struct smtp_session *session)
{
	struct smtp_found *found = &p->found;
	struct session_tls *tls = &session->facts.tls;

	if (found->ja3_len > 0) {
		tls->has_ja3 = digest_bytes(p->digester, DIGEST_MD5,
					    span_of(found->ja3, found->ja3_len), tls->ja3);
		found->ja3_len = 0;
	}
	if (found->ja3s_len > 0) {
		tls->has_ja3s = digest_bytes(p->digester, DIGEST_MD5,
					     span_of(found->ja3s, found->ja3s_len), tls->ja3s);
		found->ja3s_len = 0;
	}
	ask_for_risks(p, session);
	if (found->chain_len == 0)
		return;
	struct span chain[SMTP_CHAIN_MAX];
	size_t at = 0;
	for (unsigned i = 0; i < found->chain_len; i++) {
		chain[i] = span_of(found->chain + at, found->lengths[i]);
		at += found->lengths[i];
	}
	int64_t time_s = p->time_ns / 1000000000;
	const struct certificate_info *info =
	    certificate_cache_get(p->certificates, chain[0], tls->certificate_sha256);
	tls->chain_len = (uint8_t)found->chain_len;
	if (info != NULL) {
		struct span names[2];
		size_t names_len = 0;
		struct span sni = session_facts_text(&session->facts, TEXT_SNI);
		struct span host = session_facts_text(&session->facts, TEXT_SERVER_NAME);
		struct span ehlo = session_facts_text(&session->facts, TEXT_EHLO_NAME);
		struct ip_addr literal;
		/* A literal address is no SNI (RFC 6066 3), whatever a client sends. */
		if (sni.len > 0 && !ip_addr_parse((const char *)sni.ptr, sni.len, &literal)) {
			names[names_len++] = sni;
		} else {
			if (host.len > 0)
				names[names_len++] = host;
			if (ehlo.len > 0)
				names[names_len++] = ehlo;
		}
		tls->certificate_id = info->id;
		tls->certificate_problems =
		    certificate_judge(info, time_s, names, names_len) |
		    certificate_cache_judge_chain(p->certificates, chain, found->chain_len, time_s);
		certificate_release(session->certificate);
		session->certificate = info;
	}
	budget_free(&p->budget, found->chain, found->chain_size);
	found->chain = NULL;
	found->chain_len = 0;
	smtp_reach(session, MILESTONE_CERTIFICATE);
}

static void name_application(struct pipeline *p, struct smtp_session *session)
{
	char name[APPLICATION_NAME_MAX];

	if (session->facts.outcome != OUTCOME_NOT_SMTP || detector(p) == NULL)
		return;
	struct application_flow flow = {
	    .client = smtp_session_first_bytes(session, SIDE_CLIENT),
	    .server = smtp_session_first_bytes(session, SIDE_SERVER),
	    .server_first = smtp_session_server_first(session),
	};
	if (application_name(p->applications, &flow, name))
		(void)session_facts_set_text(&session->facts, &p->budget, TEXT_APPLICATION,
					     span_str(name));
}

/* Both sides said something. */
static bool is_dialogue(const struct flow *flow)
{
	return (flow->stream.flags[0] & flow->stream.flags[1] & STREAM_DELIVERED) != 0;
}

/* Whether the flow's session has a record: what is not SMTP counts on a mail port only. */
static bool session_is_of_interest(const struct pipeline *p, const struct flow *flow)
{
	if (flow->session == NULL)
		return false;
	/* Behind a reset, what one side alone still said was on its way when it was sent. */
	if (flow->resumed && !is_dialogue(flow))
		return false;
	if (mail_ports_has(&p->config.ports, flow->session->facts.server.port))
		return true;
	return p->config.ports.all && smtp_session_is_smtp(flow->session);
}

/*
 * On another port: whether nDPI takes for SMTP what our own tracker was not sure of, a
 * greeting with 220 that does not name the protocol and a client that never said hello.
 */
static bool is_smtp_to_ndpi(struct pipeline *p, const struct smtp_session *session)
{
	if (!p->config.ports.all || session->server_foreign ||
	    session->facts.greeting_code != 220 || detector(p) == NULL)
		return false;
	struct application_flow flow = {
	    .client = smtp_session_first_bytes(session, SIDE_CLIENT),
	    .server = smtp_session_first_bytes(session, SIDE_SERVER),
	    .server_first = smtp_session_server_first(session),
	};
	return application_is_smtp(p->applications, &flow);
}

static void observe(struct pipeline *p, struct flow *flow, struct observation *o)
{
	struct smtp_session *session = flow->session;

	session_refresh(flow);
	smtp_session_settle(session);
	*o = (struct observation){
	    .place = p->place,
	    .ordinal = p->ordinal,
	    .time_ns = p->time_ns,
	    .new_milestones = session->facts.milestones & ~session->observed,
	    .facts = session->facts,
	    .certificate = session->certificate,
	};
	if (p->config.always_dialogue || !verdict_is_routine(&session->facts, o->new_milestones)) {
		size_t len = dialogue_collect(&p->dialogues, &session->dialogue, p->dialogue,
					      sizeof p->dialogue, &o->dialogue_evicted);
		o->dialogue = span_of(p->dialogue, len);
		if (p->evidence_out != NULL) {
			uint64_t evicted = p->evidence.evicted;
			size_t packets =
			    evidence_collect(&p->evidence, flow_trail(p->flows, flow), o->dialogue,
					     p->evidence_out, p->config.evidence_out);
			o->packets = span_of(p->evidence_out, packets);
			o->packets_evicted = p->evidence.evicted > evicted;
		}
	}
	session->observed = session->facts.milestones;
}

/* Gives out an observation if the session has reached something new. */
static bool observe_progress(struct pipeline *p, struct flow *flow, struct observation *o)
{
	struct smtp_session *session = flow->session;
	if (session == NULL || flow->over || flow->quiet ||
	    session->facts.milestones == session->observed)
		return false;
	if (!session_is_of_interest(p, flow))
		return false;
	observe(p, flow, o);
	return true;
}

/* ---- closing ---- */

/* How a connection ended: what was held may have been its FIN or RST. */
static enum session_closed_by ending_of(const struct flow *flow, enum session_closed_by otherwise)
{
	unsigned flags = flow->stream.flags[0] | flow->stream.flags[1];
	/* A reset behind a FIN only answers what came too late: the end was orderly. */
	if (flags & STREAM_FIN_SEEN)
		return CLOSED_BY_FIN;
	if (flags & STREAM_RST_SEEN)
		return CLOSED_BY_RST;
	return otherwise;
}

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
		(void)flow_wake(p, flow); /* refused: counted */
	if (!flow->over && flow->session != NULL) {
		session_refresh(flow);
		smtp_session_close(flow->session, &p->context, ending_of(flow, p->closed_by));
		if (!flow->quiet &&
		    (session_is_of_interest(p, flow) || is_smtp_to_ndpi(p, flow->session))) {
			name_application(p, flow->session);
			observe(p, flow, o);
			p->counters.sessions++;
			told = true;
		}
		session_destroy(p, p->spent); /* of an earlier one that was not told */
		p->spent = flow->session;
		flow->session = NULL;
	}
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
	flow->client_end = client_sends ? src_end : (uint8_t)(1U - src_end);
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
	enum side side = src_end == flow->client_end ? SIDE_CLIENT : SIDE_SERVER;
	return (flow->stream.flags[side] & STREAM_RST_SEEN) != 0 &&
	       (segment->flags & (TCP_RST | TCP_SYN)) == 0 && segment->payload_len > 0 &&
	       segment->seq == flow->stream.side[side].next;
}

/* Fetches what the next event of a session is asked first, while the stream is looked at. */
static void session_fetch(const struct smtp_session *session)
{
	if (session == NULL)
		return;
	__builtin_prefetch(&session->facts);
	__builtin_prefetch(&session->facts.milestones);
	__builtin_prefetch(&session->clear);
	__builtin_prefetch(&session->state);
	__builtin_prefetch(&session->side_seen);
}

/*
 * Pushes the segment under hand into a connection; then the stage goes on with resume.
 * True: *event is all that comes of it.
 */
static bool flow_push(struct pipeline *p, struct flow *flow, uint8_t src_end,
		      enum pipeline_stage resume, struct stream_event *event)
{
	const struct tcp_segment *segment = &p->packet->segment;
	enum side side = src_end == flow->client_end ? SIDE_CLIENT : SIDE_SERVER;

	p->stage = resume;
	if (p->time_ns > flow->last_ns)
		flow->last_ns = p->time_ns;
	evidence_note(p, flow, side);
	if (stream_fast(&flow->stream, side, segment)) {
		count_segment(flow, side, segment);
		return false;
	}
	p->flow = flow;
	session_fetch(flow->session);
	if (stream_in_order(&p->streams, &flow->stream, side, segment, p->time_ns, p->ordinal,
			    event)) {
		count_segment(flow, side, segment);
		return true;
	}
	if (stream_push(&p->streams, &flow->stream, side, segment, p->time_ns, p->ordinal) ==
	    STREAM_NEW_CONNECTION) {
		close_begin(p, flow, CLOSED_BY_TIMEOUT, true, STAGE_SEGMENT);
		return false;
	}
	count_segment(flow, side, segment);
	p->side = side;
	p->lag_ns = p->clock_ns - p->time_ns;
	p->resume = resume;
	p->stage = STAGE_PULL;
	return false;
}

/* Finds the connection of the segment under hand, or makes it. */
static bool segment_push(struct pipeline *p, struct stream_event *event)
{
	const struct tcp_segment *segment = &p->packet->segment;
	const uint16_t interface = p->packet->interface;
	const bool opens = (segment->flags & (TCP_SYN | TCP_RST)) == TCP_SYN;
	struct view_choice choice = {.flow = NULL};
	const uint8_t src_end = flow_key_of(segment, p->packet->tap, &choice.key);

	p->stage = STAGE_IDLE;
	p->place.cause = CAUSE_PACKET;
	p->place.due_ns = 0;
	p->place.session = 0; /* all views of a connection have the same worker */
	p->time_ns = p->packet->time_ns;
	p->ordinal = p->packet->ordinal;
	if (interface == 0)
		choice.flow = flow_find(p->flows, &choice.key);
	else
		choice = view_choose(p->flows, &choice.key, src_end, interface, opens);
	struct flow *flow = choice.flow;
	const bool resumed = flow != NULL && flow->over && goes_on(flow, src_end, segment);
	const uint8_t client_end = flow != NULL ? flow->client_end : 0;
	if (flow != NULL && flow->over) {
		if (!opens && !resumed)
			return false; /* late: nothing that could change what was told */
		flow_remove(p->flows, flow);
		flow = NULL;
	}
	if (flow == NULL) {
		if ((segment->flags & TCP_RST) != 0 && segment->payload_len == 0)
			return false;
		flow = flow_for_segment(p, segment, &choice.key, src_end);
		if (flow == NULL)
			return false;
		flow->quiet = choice.quiet;
		if (interface != 0)
			view_note(flow, src_end, interface);
		if (choice.first != NULL)
			flow->client_end = choice.first->client_end;
		flow->resumed = resumed;
		if (resumed)
			flow->client_end = client_end;
	}
	return flow_push(p, flow, src_end, choice.first != NULL ? STAGE_COPY : STAGE_IDLE, event);
}

/* The segment of a view that is quiet goes into the connection's first view as well. */
static bool copy_push(struct pipeline *p, struct stream_event *event)
{
	struct flow_key key;
	const uint8_t src_end = flow_key_of(&p->packet->segment, p->packet->tap, &key);
	struct flow *first = flow_find(p->flows, &key);

	p->stage = STAGE_IDLE;
	p->time_ns = p->packet->time_ns;
	p->ordinal = p->packet->ordinal;
	return first != NULL && !first->over && flow_push(p, first, src_end, STAGE_IDLE, event);
}

/* Behind an event: what needs no look is not to be delivered. */
static void skip_on(struct flow *flow, const struct stream_event *event)
{
	if (event->kind != STREAM_DATA && event->kind != STREAM_GAP)
		return;
	uint64_t skip = flow->follows ? smtp_followed_skippable(flow->followed, event->side)
				      : smtp_session_skippable(flow->session, event->side);
	if (skip > 0)
		stream_skip(&flow->stream, event->side, skip);
}

/* One event of the stream under hand. */
static void event_take(struct pipeline *p, struct flow *flow, const struct stream_event *event)
{
	if (flow->over)
		return; /* given up at an event before this one */
	if (flow->follows && smtp_followed_event(flow->followed, &p->context, event)) {
		p->time_ns = event->time_ns;
		p->ordinal = event->ordinal;
		skip_on(flow, event);
		return;
	}
	if (event->kind != STREAM_FIN && event->kind != STREAM_RST && !flow_session(p, flow))
		return;
	if (flow->session == NULL)
		return;
	p->time_ns = event->time_ns;
	p->ordinal = event->ordinal;
	session_sides(flow);
	if (flow->resumed && event->kind == STREAM_DATA && is_dialogue(flow))
		smtp_session_reset_forged(flow->session);
	smtp_session_event(flow->session, &p->context, event);
	session_found(p, flow->session);
	if (event->kind == STREAM_CONFLICT)
		return;
	for (unsigned i = 0; i < 2; i++) {
		enum side side = (enum side)i;
		if (flow->session->framing[side] == SMTP_FRAMING_TLS &&
		    (flow->history_off & 1U << i) == 0) {
			flow->history_off = (flow->history_off | 1U << i) & 3U;
			stream_history(&p->streams, &flow->stream, side, false);
		}
	}
	skip_on(flow, event);
	flow_follow(p, flow);
}

/* The clock is at a frame. True: in another beat than before, so holds may end and connections time
 * out. */
static bool clock_step(struct pipeline *p, int64_t clock_ns, uint64_t ordinal)
{
	int64_t beat = pipeline_beat(clock_ns);
	bool begins = !p->clock_started || beat != p->beat;
	p->clock_started = true;
	p->beat = beat;
	p->clock_ns = clock_ns;
	p->place = (struct observation_place){.step = ordinal};
	return begins;
}

void pipeline_clock(struct pipeline *p, int64_t clock_ns, uint64_t ordinal)
{
	p->packet = NULL;
	if (clock_step(p, clock_ns, ordinal))
		p->stage = STAGE_TIME;
}

void pipeline_packet(struct pipeline *p, const struct followed_packet *packet)
{
	p->packet = packet;
	p->stage = clock_step(p, packet->clock_ns, packet->ordinal) ? STAGE_TIME : STAGE_SEGMENT;
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
		session_destroy(p, p->spent);
		p->spent = NULL;
	}
	for (;;) {
		switch (p->stage) {
		case STAGE_IDLE:
			return false;
		case STAGE_TIME:
			time_pass(p);
			break;
		case STAGE_SEGMENT:
		case STAGE_COPY:
			if (!(p->stage == STAGE_SEGMENT ? segment_push(p, &event)
							: copy_push(p, &event)))
				break;
			event_take(p, p->flow, &event);
			if (observe_progress(p, p->flow, o))
				return true;
			break;
		case STAGE_PULL:
			if (stream_pull(&p->streams, &p->flow->stream, &event)) {
				event_take(p, p->flow, &event);
				if (observe_progress(p, p->flow, o))
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
