/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/tap_match.h"

#include "alerts/lru_table.h"

#define SESSION_KEY    12 /* tap, session id */
#define CONNECTION_KEY 38 /* two endpoints */
#define NAMES_KEY      8  /* hash of client name and greeting */
#define CANDIDATES     8  /* sessions under one key that may still find their counterpart */

struct tap_session {
	struct tap_view view;
	int64_t start_ns;
	bool announced; /* stands among the candidates of its names */
	bool told;      /* its difference was reported, here or there */
	bool matched, proxied;
	bool ambiguous; /* another could have been the counterpart as well */
	struct endpoint client, server;
	uint32_t peer_tap;
	uint64_t peer;
};

struct candidate {
	uint32_t tap;
	uint64_t session;
	int64_t start_ns;
};

/* Ring of the latest sessions under a key. */
struct candidates {
	uint32_t next, count;
	struct candidate ring[CANDIDATES];
};

struct tap_match {
	struct budget *budget;
	struct siphash_key key;
	struct lru_table *sessions, *connections, *names;
	uint64_t evicted;
};

struct tap_match *tap_match_create(struct budget *budget, const struct siphash_key *key,
				   uint32_t cap)
{
	struct tap_match *match = budget_calloc(budget, 1, sizeof *match);
	if (match == NULL)
		return NULL;
	match->budget = budget;
	match->key = *key;
	match->sessions =
	    lru_table_create(budget, key, SESSION_KEY, sizeof(struct tap_session), cap);
	match->connections =
	    lru_table_create(budget, key, CONNECTION_KEY, sizeof(struct candidates), cap);
	match->names = lru_table_create(budget, key, NAMES_KEY, sizeof(struct candidates), cap);
	if (match->sessions == NULL || match->connections == NULL || match->names == NULL) {
		tap_match_destroy(match);
		return NULL;
	}
	return match;
}

void tap_match_destroy(struct tap_match *match)
{
	if (match == NULL)
		return;
	lru_table_destroy(match->sessions);
	lru_table_destroy(match->connections);
	lru_table_destroy(match->names);
	budget_free(match->budget, match, sizeof *match);
}

uint64_t tap_match_evicted(const struct tap_match *match)
{
	return match->evicted;
}

static void session_key(uint32_t tap, uint64_t session, uint8_t key[SESSION_KEY])
{
	memcpy(key, &tap, sizeof tap);
	memcpy(key + sizeof tap, &session, sizeof session);
}

static void endpoint_key(const struct endpoint *endpoint, uint8_t key[19])
{
	key[0] = endpoint->addr.version;
	memcpy(key + 1, endpoint->addr.bytes, sizeof endpoint->addr.bytes);
	key[17] = (uint8_t)(endpoint->port >> 8);
	key[18] = (uint8_t)(endpoint->port & 0xff);
}

static struct tap_session *find(const struct tap_match *match, uint32_t tap, uint64_t session)
{
	uint8_t key[SESSION_KEY];
	session_key(tap, session, key);
	return lru_table_find(match->sessions, key);
}

/* How much speaks for two sessions being the same: 0, nothing but what they are found by. */
static unsigned kinship(const struct tap_session *a, const struct tap_session *b)
{
	unsigned points = 0;
	if (ip_addr_equal(&a->server.addr, &b->server.addr) && a->server.port == b->server.port)
		points += 2;
	if (ip_addr_equal(&a->client.addr, &b->client.addr))
		points++;
	return points;
}

/* The best, then oldest, session of another tap under these candidates that is free. */
static struct tap_session *counterpart(const struct tap_match *match,
				       const struct candidates *candidates,
				       struct tap_session *session, int64_t window_ns)
{
	struct tap_session *best = NULL;
	unsigned found = 0;
	for (uint32_t i = candidates->count; i > 0; i--) {
		uint32_t at = (candidates->next + CANDIDATES - i) % CANDIDATES;
		const struct candidate *candidate = &candidates->ring[at];
		int64_t apart = candidate->start_ns - session->start_ns;
		if (candidate->tap == session->view.tap || apart > window_ns || apart < -window_ns)
			continue;
		struct tap_session *other = find(match, candidate->tap, candidate->session);
		if (other == NULL || other->matched)
			continue;
		found++;
		if (best == NULL || kinship(session, other) > kinship(session, best))
			best = other;
	}
	session->ambiguous = found > 1;
	return best;
}

static void announce(struct candidates *candidates, const struct tap_session *session)
{
	candidates->ring[candidates->next] = (struct candidate){
	    .tap = session->view.tap,
	    .session = session->view.session,
	    .start_ns = session->start_ns,
	};
	candidates->next = (candidates->next + 1) % CANDIDATES;
	if (candidates->count < CANDIDATES)
		candidates->count++;
}

static void marry(struct tap_session *one, struct tap_session *other, bool proxied)
{
	one->matched = other->matched = true;
	one->proxied = other->proxied = proxied;
	one->ambiguous |= other->ambiguous;
	other->ambiguous = one->ambiguous;
	one->peer_tap = other->view.tap;
	one->peer = other->view.session;
	other->peer_tap = one->view.tap;
	other->peer = one->view.session;
}

static void match_connection(struct tap_match *match, struct tap_session *session,
			     const struct session_facts *facts)
{
	uint8_t key[CONNECTION_KEY];
	endpoint_key(&facts->client, key);
	endpoint_key(&facts->server, key + 19);
	struct candidates *candidates = lru_table_get(match->connections, key, &match->evicted);
	if (candidates == NULL)
		return;
	struct tap_session *other = counterpart(match, candidates, session, TAP_CONNECTION_NS);
	if (other != NULL)
		marry(session, other, false);
	else
		announce(candidates, session);
}

static void match_names(struct tap_match *match, struct tap_session *session,
			const struct session_facts *facts)
{
	struct span client = session_facts_text(facts, TEXT_CLIENT_NAME);
	struct span server = session_facts_text(facts, TEXT_SERVER_NAME);
	if (session->matched || session->announced || client.len == 0 || server.len == 0)
		return;
	session->announced = true;
	uint64_t hash = siphash(&match->key, client) * 31 + siphash(&match->key, server);
	uint8_t key[NAMES_KEY];
	memcpy(key, &hash, sizeof hash);
	struct candidates *candidates = lru_table_get(match->names, key, &match->evicted);
	if (candidates == NULL)
		return;
	struct tap_session *other = counterpart(match, candidates, session, TAP_MATCH_NS);
	if (other != NULL)
		marry(session, other, true);
	else
		announce(candidates, session);
}

static void look_at_capabilities(const struct tap_match *match, struct tap_view *view,
				 const struct session_facts *facts)
{
	struct span text = session_facts_text(facts, TEXT_CAPABILITIES);
	view->capabilities_hash = siphash(&match->key, text);
	text = span_head(text, sizeof view->capabilities);
	view->capabilities_len = (uint8_t)text.len;
	if (text.len > 0)
		memcpy(view->capabilities, text.ptr, text.len);
}

static void look(const struct tap_match *match, struct tap_view *view,
		 const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	if ((observation->new_milestones & MILESTONE_EHLO_REPLY) != 0) {
		view->offered = facts->offered;
		look_at_capabilities(match, view, facts);
	}
	if ((facts->milestones & MILESTONE_STARTTLS_REPLY) != 0)
		view->starttls_code = facts->starttls_code;
	if ((facts->milestones & MILESTONE_CERTIFICATE) != 0) {
		view->has_certificate = true;
		memcpy(view->certificate_sha256, facts->tls.certificate_sha256,
		       sizeof view->certificate_sha256);
	}
	if (facts->tls.has_ja3 && facts->tls.has_ja3s) {
		view->has_hellos = true;
		view->version = facts->tls.version;
		view->offered_version = facts->tls.offered_version;
		memcpy(view->hello_random, facts->tls.hello_random, sizeof view->hello_random);
		memcpy(view->ja3, facts->tls.ja3, sizeof view->ja3);
		memcpy(view->ja3s, facts->tls.ja3s, sizeof view->ja3s);
	}
	view->injection = facts->injection;
	view->greeting_masked = facts->greeting_masked;
	view->masked_command = facts->masked_command;
	view->closed = (facts->milestones & MILESTONE_CLOSED) != 0 &&
		       (facts->concluded || facts->client_quit) &&
		       facts->visibility == VISIBILITY_FULL;
	view->requested = facts->requested;
	view->ehlo_sent = facts->ehlo_sent;
	view->ehlo_refused = facts->ehlo_refused;
}

/* A connection of its own may be another session of that client: random bytes then tell nothing. */
static bool hellos_differ(const struct tap_view *a, const struct tap_view *b, bool proxied)
{
	if (!proxied && memcmp(a->hello_random, b->hello_random, sizeof a->hello_random) != 0)
		return true;
	return a->offered_version != b->offered_version || a->version != b->version ||
	       memcmp(a->ja3, b->ja3, sizeof a->ja3) != 0 ||
	       memcmp(a->ja3s, b->ja3s, sizeof a->ja3s) != 0;
}

/* What became of the commands is known at the end. */
static enum tap_difference differ_at_end(const struct tap_view *a, const struct tap_view *b)
{
	if (a->ehlo_sent > 0 && b->ehlo_sent > 0 && (a->ehlo_refused > 0) != (b->ehlo_refused > 0))
		return TAP_DIFFERS_REPLY;
	if (a->injection != b->injection)
		return TAP_DIFFERS_INJECTION;
	if (a->greeting_masked != b->greeting_masked)
		return TAP_DIFFERS_GREETING;
	if ((a->ehlo_sent > 0) != (b->ehlo_sent > 0) || a->masked_command != b->masked_command)
		return TAP_DIFFERS_COMMAND;
	if (a->requested != TRI_UNKNOWN && b->requested != TRI_UNKNOWN &&
	    a->requested != b->requested)
		return TAP_DIFFERS_COMMAND;
	return TAP_SAME;
}

static enum tap_difference differ(const struct tap_session *one, const struct tap_session *other)
{
	const struct tap_view *a = &one->view, *b = &other->view;
	bool replied = a->offered != TRI_UNKNOWN && b->offered != TRI_UNKNOWN;
	if (replied && a->offered != b->offered)
		return TAP_DIFFERS_OFFER;
	if (a->starttls_code != 0 && b->starttls_code != 0 && a->starttls_code != b->starttls_code)
		return TAP_DIFFERS_REPLY;
	if (a->has_certificate && b->has_certificate &&
	    memcmp(a->certificate_sha256, b->certificate_sha256, sizeof a->certificate_sha256) != 0)
		return TAP_DIFFERS_CERTIFICATE;
	/* One client may say hello in several ways: only where there is no doubt who is who. */
	if (a->has_hellos && b->has_hellos && !one->ambiguous && hellos_differ(a, b, one->proxied))
		return TAP_DIFFERS_HELLO;
	if (replied && a->capabilities_hash != b->capabilities_hash)
		return TAP_DIFFERS_CAPABILITIES;
	return a->closed && b->closed ? differ_at_end(a, b) : TAP_SAME;
}

bool tap_match_compare(struct tap_match *match, const struct observation *observation,
		       struct tap_divergence *divergence)
{
	const struct session_facts *facts = &observation->facts;
	uint8_t key[SESSION_KEY];
	session_key(facts->tap, facts->id, key);
	bool first = lru_table_find(match->sessions, key) == NULL;
	struct tap_session *session = lru_table_get(match->sessions, key, &match->evicted);
	if (session == NULL)
		return false;
	if (first) {
		session->view.tap = facts->tap;
		session->view.session = facts->id;
		session->start_ns = facts->start_ns;
		session->client = facts->client;
		session->server = facts->server;
		match_connection(match, session, facts);
	}
	look(match, &session->view, observation);
	match_names(match, session, facts);
	if (!session->matched || session->told)
		return false;
	struct tap_session *other = find(match, session->peer_tap, session->peer);
	if (other == NULL)
		return false;
	divergence->difference = differ(session, other);
	if (divergence->difference == TAP_SAME)
		return false;
	session->told = other->told = true;
	divergence->proxied = session->proxied;
	divergence->here = session->view;
	divergence->there = other->view;
	return true;
}
