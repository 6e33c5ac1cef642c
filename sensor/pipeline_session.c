/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/verdict.h"
#include "decoders/certificate_chain.h"
#include "sensor/pipeline_state.h"
#include "sensor/shared_detector.h"
#include "sensor/view.h"

/* Both sides said something. */
static bool flow_is_dialogue(const struct flow *flow)
{
	return (flow->stream.flags[0] & flow->stream.flags[1] & STREAM_DELIVERED) != 0;
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

/* The flow's part is the one under hand: its sessions' dialogues are kept together. */
static void use_dialogues(struct pipeline *p, const struct flow *flow)
{
	struct dialogue_ring *ring = &p->dialogues[flow->part];

	if (ring->size == 0)
		dialogue_ring_init(ring, &p->budget, p->config.dialogue_ring);
	p->context.dialogues = ring;
}

void pipeline_session_destroy(struct pipeline *p, struct smtp_session *session)
{
	if (session == NULL)
		return;
	certificate_release(session->certificate);
	smtp_session_free(session, &p->context);
	budget_free(&p->budget, session, sizeof *session);
}

void pipeline_session_forget(struct pipeline *p, struct flow *flow)
{
	if (flow->follows)
		certificate_release(smtp_followed_free(flow->followed, &p->context));
	flow->follows = false;
}

static struct endpoint flow_endpoint(const struct flow *flow, unsigned end)
{
	struct endpoint endpoint = {.port = flow->key.port[end]};
	endpoint.addr.version = flow->key.version;
	memcpy(endpoint.addr.bytes, flow->key.addr[end], 16);
	return endpoint;
}

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
		pipeline_session_forget(p, flow);
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
static void session_follow(struct pipeline *p, struct flow *flow)
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
	flow->settled = 0;
}

bool pipeline_session_begin(struct pipeline *p, struct flow *flow)
{
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

/* Asks nDPI about the two hellos that were found. */
static uint32_t ask_for_risks(struct pipeline *p)
{
	const struct smtp_found *found = &p->found;
	const struct application_flow flow = {
	    .client = span_of(found->hello[SIDE_CLIENT], found->hello_len[SIDE_CLIENT]),
	    .server = span_of(found->hello[SIDE_SERVER], found->hello_len[SIDE_SERVER]),
	};
	struct application_detector *detector = shared_detector_take(p->detector);
	if (detector == NULL)
		return 0;
	const uint32_t risks = application_tls_risks(detector, &flow, p->time_ns / 1000000000);
	shared_detector_give(p->detector);
	return risks;
}

/* A name in which nothing but the name itself can be found fault with. */
static bool is_plain_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		const uint8_t c = ascii_upper(name.ptr[i]);
		if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-')
			return false;
	}
	return name.len > 0;
}

static struct risk_answer *risk_answer(struct pipeline *p, struct span asked, uint64_t *key)
{
	*key = siphash(&p->config.hash_key, asked);
	return &p->risks[*key % RISK_ANSWERS];
}

/*
 * What nDPI holds against the two hellos. A question costs it some 10 us, and most sessions show
 * the same hellos but for their random bytes: what decides is the key of a small table of
 * answers. That is JA3 and JA3S, and the name asked for: apart where it is plain, as then it is
 * suspicious by itself and changes nothing else (tests/unit/test_application.c), so that few
 * hellos and few names need few questions.
 */
static uint32_t risks_of(struct pipeline *p, const struct session_facts *facts)
{
	const struct session_tls *tls = &facts->tls;
	const struct span name = session_facts_text(facts, TEXT_SNI);
	const bool apart = is_plain_name(name);
	const uint32_t name_risk = APPLICATION_RISK_SUSPICIOUS_NAME;
	uint8_t asked[32 + TEXT_MAX];
	size_t len = 32;
	uint64_t key, name_key;

	if (!tls->has_ja3 || !tls->has_ja3s)
		return ask_for_risks(p); /* a key would say too little */
	memcpy(asked, tls->ja3, 16);
	memcpy(asked + 16, tls->ja3s, 16);
	if (!apart && name.len > 0) {
		memcpy(asked + len, name.ptr, name.len);
		len += name.len;
	}
	struct risk_answer *hellos = risk_answer(p, span_of(asked, len), &key);
	const bool hellos_known = hellos->known && hellos->key == key;
	if (!apart) {
		if (!hellos_known)
			*hellos = (struct risk_answer){key, ask_for_risks(p), true};
		return hellos->risks;
	}
	struct risk_answer *named = risk_answer(p, name, &name_key);
	if (!hellos_known || !named->known || named->key != name_key) {
		const uint32_t risks = ask_for_risks(p);
		*hellos = (struct risk_answer){key, risks & ~name_risk, true};
		*named = (struct risk_answer){name_key, risks & name_risk, true};
		return risks;
	}
	return hellos->risks | named->risks;
}

_Static_assert(TLS_CHAIN_MAX <= CERTIFICATE_CHAIN_MAX, "all that was kept is judged");

/* The certificates that the server showed, one at least: what they are and what is against them. */
static void read_chain(struct pipeline *p, struct smtp_session *session)
{
	struct smtp_found *found = &p->found;
	struct session_tls *tls = &session->facts.tls;
	struct span chain[TLS_CHAIN_MAX];
	size_t at = 0;
	for (unsigned i = 0; i < found->chain_len; i++) {
		chain[i] = span_of(found->chain + at, found->lengths[i]);
		at += found->lengths[i];
	}
	int64_t time_s = p->time_ns / 1000000000;
	const struct certificate_cache_counts *counts = certificate_cache_counts(p->certificates);
	const uint64_t malformed = counts->malformed;
	const struct certificate_info *info =
	    certificate_cache_get(p->certificates, chain[0], tls->certificate_sha256);
	tls->chain_len = (uint8_t)found->chain_len;
	/* Not where the cache had no room for it. */
	tls->certificate_unreadable = counts->malformed > malformed;
	if (info != NULL) {
		struct span names[3];
		size_t names_len = 0;
		struct span sni = session_facts_text(&session->facts, TEXT_SNI);
		struct span host = session_facts_text(&session->facts, TEXT_SERVER_NAME);
		struct span ehlo = session_facts_text(&session->facts, TEXT_EHLO_NAME);
		struct ip_addr literal;
		if (sni.len > 0)
			names[names_len++] = sni;
		/*
		 * A literal address is no SNI (RFC 6066 3), whatever a client sends: it does not
		 * take the place of the names that the server gave.
		 */
		if (sni.len == 0 ||
		    ip_addr_parse_literal((const char *)sni.ptr, sni.len, &literal)) {
			if (host.len > 0)
				names[names_len++] = host;
			if (ehlo.len > 0)
				names[names_len++] = ehlo;
		}
		tls->certificate_id = info->id;
		bool judged;
		tls->certificate_problems =
		    certificate_judge(info, time_s, names, names_len) |
		    certificate_cache_judge_chain(p->certificates, chain, found->chain_len, time_s,
						  &judged);
		tls->certificate_anchored =
		    judged && (tls->certificate_problems &
			       (CERTIFICATE_SELF_SIGNED | CERTIFICATE_NOT_ANCHORED)) == 0;
		certificate_release(session->certificate);
		session->certificate = info;
	}
	budget_free(&p->budget, found->chain, found->chain_size);
	found->chain = NULL;
	found->chain_len = 0;
	smtp_reach(session, MILESTONE_CERTIFICATE);
}

/* What an event brought to light and a library has to read. */
static void session_found(struct pipeline *p, struct smtp_session *session)
{
	struct smtp_found *found = &p->found;
	struct session_tls *tls = &session->facts.tls;

	if (found->ja3_len > 0) {
		tls->has_ja3 =
		    digest_memo_bytes(p->ja3, span_of(found->ja3, found->ja3_len), tls->ja3);
		found->ja3_len = 0;
	}
	if (found->ja3s_len > 0) {
		tls->has_ja3s =
		    digest_memo_bytes(p->ja3, span_of(found->ja3s, found->ja3s_len), tls->ja3s);
		found->ja3s_len = 0;
	}
	if (found->hello_len[SIDE_SERVER] != 0) {
		tls->risks = risks_of(p, &session->facts);
		found->hello_len[SIDE_CLIENT] = found->hello_len[SIDE_SERVER] = 0;
	}
	if (found->chain_len > 0)
		read_chain(p, session);
}

/* ---- events ---- */

/* Behind an event: what needs no look is not to be delivered. */
static void skip_on(struct flow *flow, const struct stream_event *event)
{
	if (event->kind != STREAM_DATA && event->kind != STREAM_GAP)
		return;
	uint64_t skip = smtp_session_skippable(flow->session, event->side);
	if (skip > 0)
		stream_skip(&flow->stream, event->side, skip);
}

/* Takes an event that tells nothing of a session that is put away. False: it has to be woken. */
static bool follow_event(struct pipeline *p, struct flow *flow, const struct stream_event *event)
{
	const unsigned side = 1U << event->side;
	struct smtp_followed_next next;

	if ((flow->settled & side) == 0 || event->kind != STREAM_DATA ||
	    !tls_application_data(event->bytes, &next.skip)) {
		if (!smtp_followed_event(flow->followed, &p->context, event, &next))
			return false;
		const unsigned others = flow->settled & ~side;
		flow->settled = (others | (next.settled ? side : 0)) & 3U;
	}
	p->time_ns = event->time_ns;
	p->ordinal = event->ordinal;
	if (next.skip > 0)
		stream_skip(&flow->stream, event->side, next.skip);
	return true;
}

void pipeline_session_event(struct pipeline *p, struct flow *flow, const struct stream_event *event)
{
	if (flow->over)
		return; /* given up at an event before this one */
	if (flow->follows && follow_event(p, flow, event))
		return;
	if (event->kind != STREAM_FIN && event->kind != STREAM_RST && flow->session == NULL &&
	    !pipeline_session_begin(p, flow))
		return;
	if (flow->session == NULL)
		return;
	p->time_ns = event->time_ns;
	p->ordinal = event->ordinal;
	use_dialogues(p, flow);
	session_sides(flow);
	if (flow->resumed && event->kind == STREAM_DATA && flow_is_dialogue(flow))
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
	session_follow(p, flow);
}

/* ---- observations ---- */

static void name_application(struct pipeline *p, struct smtp_session *session)
{
	char name[APPLICATION_NAME_MAX];

	if (session->facts.outcome != OUTCOME_NOT_SMTP)
		return;
	struct application_flow flow = {
	    .client = smtp_session_first_bytes(session, SIDE_CLIENT),
	    .server = smtp_session_first_bytes(session, SIDE_SERVER),
	    .server_first = smtp_session_server_first(session),
	};
	struct application_detector *detector = shared_detector_take(p->detector);
	if (detector == NULL)
		return;
	const bool is_named = application_name(detector, &flow, name);
	shared_detector_give(p->detector);
	if (is_named)
		(void)session_facts_set_text(&session->facts, &p->budget, TEXT_APPLICATION,
					     span_str(name));
}

/* Whether the flow's session has a record: what is not SMTP counts on a mail port only. */
static bool session_is_of_interest(const struct pipeline *p, const struct flow *flow)
{
	if (flow->session == NULL)
		return false;
	/* Behind a reset, what one side alone still said was on its way when it was sent. */
	if (flow->resumed && !flow_is_dialogue(flow))
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
	if (!p->config.ports.all || session->server_foreign || session->facts.greeting_code != 220)
		return false;
	struct application_flow flow = {
	    .client = smtp_session_first_bytes(session, SIDE_CLIENT),
	    .server = smtp_session_first_bytes(session, SIDE_SERVER),
	    .server_first = smtp_session_server_first(session),
	};
	struct application_detector *detector = shared_detector_take(p->detector);
	if (detector == NULL)
		return false;
	const bool is_smtp = application_is_smtp(detector, &flow);
	shared_detector_give(p->detector);
	return is_smtp;
}

static void add_dialogue(struct pipeline *p, const struct smtp_session *session,
			 struct observation *o)
{
	size_t len = dialogue_collect(p->context.dialogues, &session->dialogue, p->dialogue,
				      sizeof p->dialogue, &o->dialogue_evicted);
	o->dialogue = span_of(p->dialogue, len);
}

void pipeline_dialogue(struct pipeline *p, struct observation *o)
{
	if (p->config.dialogue_on_request)
		add_dialogue(p, p->told, o);
}

static void observe(struct pipeline *p, struct flow *flow, struct observation *o)
{
	struct smtp_session *session = flow->session;

	session_refresh(flow);
	smtp_session_settle(session);
	session->facts.domains_told = session->facts.text.size[TEXT_RECIPIENT_DOMAINS];
	/* One by one: a whole one, most of it facts, would be put together elsewhere and copied. */
	o->place = p->place;
	o->ordinal = p->ordinal;
	o->time_ns = p->time_ns;
	o->new_milestones = session->facts.milestones & ~session->observed;
	o->facts = session->facts;
	o->certificate = session->certificate;
	o->dialogue = span_of(NULL, 0);
	o->dialogue_evicted = false;
	o->packets = span_of(NULL, 0);
	o->packets_evicted = false;
	p->told = session;
	if (!p->config.dialogue_on_request &&
	    (p->config.always_dialogue ||
	     !verdict_is_routine(&session->facts, o->new_milestones))) {
		add_dialogue(p, session, o);
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

bool pipeline_session_observe(struct pipeline *p, struct flow *flow, struct observation *o)
{
	if (!session_is_of_interest(p, flow))
		return false;
	observe(p, flow, o);
	return true;
}

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

bool pipeline_session_close(struct pipeline *p, struct flow *flow, struct observation *o)
{
	bool told = false;

	session_refresh(flow);
	use_dialogues(p, flow);
	smtp_session_close(flow->session, &p->context, ending_of(flow, p->closed_by));
	if (!flow->quiet &&
	    (session_is_of_interest(p, flow) || is_smtp_to_ndpi(p, flow->session))) {
		name_application(p, flow->session);
		observe(p, flow, o);
		p->counters.sessions++;
		told = true;
	}
	pipeline_session_destroy(p, p->spent); /* of an earlier one that was not told */
	p->spent = flow->session;
	flow->session = NULL;
	return told;
}
