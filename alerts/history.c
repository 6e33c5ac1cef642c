/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/history.h"

#include "alerts/lru_table.h"
#include "alerts/sentence.h"
#include "alerts/tap_match.h"

#define NS_PER_S       INT64_C(1000000000)
#define SERVER_KEY     19 /* IP version, address, port */
#define FAILURE_KEY    36 /* client address, server */
#define SESSION_KEY    12 /* tap, id */
#define DOWNGRADE_SEEN 3  /* sessions from which a best TLS version counts as usual */

/* The last upgrade that failed between a client and a server. */
struct failure {
	int64_t time_ns, start_ns; /* of the failure, of its session's first packet */
	uint64_t session;
	bool refused; /* STARTTLS was; otherwise TLS did not come up */
};

/* A session that was not offered what its server is known to offer. */
struct stripped {
	bool some_clients;
	bool absorbed; /* into a path-downgrade */
	enum confidence confidence;
};

struct history {
	struct budget *budget;
	struct history_config config;
	struct lru_table *servers, *failures, *stripped;
	struct path_watch *paths;
	struct tap_match *taps; /* NULL: taps are not compared */
	uint64_t changes;       /* so often a server learnt */
	uint64_t raised_lost;   /* sessions behind the last path-downgrade */
	struct history_counts counts;
};

struct history_config history_config_default(struct history_limits limits)
{
	return (struct history_config){
	    .limits = limits,
	    .fallback_window_s = 3600,
	    .prefix_v4 = 24,
	    .prefix_v6 = 64,
	    .learn = true,
	};
}

struct history *history_create(struct budget *budget, const struct history_config *config)
{
	const struct history_limits *limits = &config->limits;
	struct history *history = budget_calloc(budget, 1, sizeof *history);
	if (history == NULL)
		return NULL;
	history->budget = budget;
	history->config = *config;
	history->servers = lru_table_create(budget, &config->key, SERVER_KEY,
					    sizeof(struct server_memory), limits->servers);
	history->failures = lru_table_create(budget, &config->key, FAILURE_KEY,
					     sizeof(struct failure), limits->failures);
	history->stripped = lru_table_create(budget, &config->key, SESSION_KEY,
					     sizeof(struct stripped), limits->sessions);
	history->paths = path_watch_create(budget, &config->key, limits->paths);
	if (config->compare_taps)
		history->taps = tap_match_create(budget, &config->key, limits->sessions);
	if (history->servers == NULL || history->failures == NULL || history->stripped == NULL ||
	    history->paths == NULL || (config->compare_taps && history->taps == NULL)) {
		history_destroy(history);
		return NULL;
	}
	return history;
}

void history_destroy(struct history *history)
{
	if (history == NULL)
		return;
	lru_table_destroy(history->servers);
	lru_table_destroy(history->failures);
	lru_table_destroy(history->stripped);
	path_watch_destroy(history->paths);
	tap_match_destroy(history->taps);
	budget_free(history->budget, history, sizeof *history);
}

struct history_counts history_counts(const struct history *history)
{
	struct history_counts counts = history->counts;
	counts.evicted_paths = path_watch_evicted(history->paths);
	if (history->taps != NULL)
		counts.evicted_sessions += tap_match_evicted(history->taps);
	return counts;
}

static void address_key(const struct ip_addr *address, uint8_t key[17])
{
	key[0] = address->version;
	memcpy(key + 1, address->bytes, sizeof address->bytes);
}

static void server_key(const struct endpoint *server, uint8_t key[SERVER_KEY])
{
	address_key(&server->addr, key);
	key[17] = (uint8_t)(server->port >> 8);
	key[18] = (uint8_t)(server->port & 0xff);
}

static void failure_key(const struct session_facts *facts, uint8_t key[FAILURE_KEY])
{
	address_key(&facts->client.addr, key);
	server_key(&facts->server, key + 17);
}

static void session_key(const struct session_facts *facts, uint8_t key[SESSION_KEY])
{
	memcpy(key, &facts->tap, sizeof facts->tap);
	memcpy(key + sizeof facts->tap, &facts->id, sizeof facts->id);
}

static unsigned client_prefix(const struct history *history, const struct session_facts *facts)
{
	return facts->client.addr.version == 4 ? history->config.prefix_v4
					       : history->config.prefix_v6;
}

static struct ip_addr client_network(const struct history *history,
				     const struct session_facts *facts)
{
	return ip_addr_network(&facts->client.addr, client_prefix(history, facts));
}

static struct server_memory *find_server(const struct history *history,
					 const struct endpoint *endpoint)
{
	uint8_t key[SERVER_KEY];
	server_key(endpoint, key);
	return lru_table_find(history->servers, key);
}

/* Room for a server: the least recently seen one that is not pinned goes. */
static bool make_server_room(struct history *history)
{
	if (!lru_table_full(history->servers))
		return true;
	struct server_memory *server = lru_table_oldest(history->servers);
	while (server != NULL && server->pinned)
		server = lru_table_newer(history->servers, server);
	if (server == NULL)
		return false;
	lru_table_remove(history->servers, server);
	history->counts.evicted_servers++;
	return true;
}

struct server_memory *history_restore_server(struct history *history,
					     const struct endpoint *endpoint)
{
	uint8_t key[SERVER_KEY];
	server_key(endpoint, key);
	struct server_memory *server = lru_table_find(history->servers, key);
	if (server != NULL) {
		lru_table_touch(history->servers, server);
		return server;
	}
	if (make_server_room(history))
		server = lru_table_add(history->servers, key);
	if (server == NULL) {
		history->counts.no_memory++;
		return NULL;
	}
	server->endpoint = *endpoint;
	return server;
}

const struct server_memory *history_next_server(const struct history *history,
						const struct server_memory *after)
{
	return after == NULL ? lru_table_oldest(history->servers)
			     : lru_table_newer(history->servers, after);
}

static bool news(const struct observation *observation, uint32_t milestones)
{
	return (observation->new_milestones & milestones) != 0;
}

/* Both sides spoke and were seen from the beginning: nobody off the path can do that. */
static bool may_teach(const struct session_facts *facts)
{
	return facts->bytes[SIDE_CLIENT] > 0 && facts->bytes[SIDE_SERVER] > 0 &&
	       (facts->visibility == VISIBILITY_FULL || facts->visibility == VISIBILITY_GAPS);
}

/* Whether the session was not offered STARTTLS. What is masked is told as that. */
static bool without_offer(const struct session_facts *facts)
{
	return facts->offered == TRI_FALSE && !facts->masked_offer && !facts->masked_command &&
	       facts->ehlo_accepted > 0 && !facts->implicit_tls &&
	       facts->tls.established != TRI_TRUE;
}

/*
 * One point for each: ten sessions, two client networks, two days; one more
 * when others are offered it at this very time, one less when the offer has
 * come and gone before.
 */
static enum confidence stripped_confidence(const struct server_memory *server, bool some_clients)
{
	unsigned networks = 0;
	for (unsigned i = 0; i < server->network_count; i++)
		networks += server->networks[i].offers > 0 ? 1 : 0;
	int points = (server->offers >= 10 ? 1 : 0) + (networks >= 2 ? 1 : 0) +
		     (server->offer_days >= 2 ? 1 : 0) + (some_clients ? 1 : 0) -
		     (server->returns > 0 ? 1 : 0);
	if (points <= 0)
		return CONFIDENCE_LOW;
	return points == 1 ? CONFIDENCE_MEDIUM : CONFIDENCE_HIGH;
}

static struct stripped *find_stripped(const struct history *history,
				      const struct session_facts *facts)
{
	uint8_t key[SESSION_KEY];
	session_key(facts, key);
	return lru_table_find(history->stripped, key);
}

static void decide_stripped(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	const struct server_memory *server = find_server(history, &facts->server);
	if (server == NULL || !without_offer(facts) || !server_memory_offers(server) ||
	    find_stripped(history, facts) != NULL)
		return;
	if (lru_table_full(history->stripped)) {
		lru_table_remove(history->stripped, lru_table_oldest(history->stripped));
		history->counts.evicted_sessions++;
	}
	uint8_t key[SESSION_KEY];
	session_key(facts, key);
	struct stripped *stripped = lru_table_add(history->stripped, key);
	if (stripped == NULL) {
		history->counts.no_memory++;
		return;
	}
	int64_t since_s = facts->start_ns / NS_PER_S - SERVER_RECENT_S;
	stripped->some_clients = server_memory_others(server, &facts->client.addr, since_s) != NULL;
	stripped->confidence = stripped_confidence(server, stripped->some_clients);
}

void history_context(struct history *history, const struct observation *observation,
		     struct verdict_context *context)
{
	const struct session_facts *facts = &observation->facts;
	if (news(observation, MILESTONE_EHLO_REPLY))
		decide_stripped(history, observation);
	context->stripped = find_stripped(history, facts) != NULL;
	const struct server_memory *server = find_server(history, &facts->server);
	context->refuses_all = server != NULL && server_memory_refuses_all(server);
	context->ehlo_accepted_before = server != NULL && server->ehlo_accepted > 0;
}

/* A finding of the rule in its place, with an empty message; NULL when it may not be raised. */
static struct finding *raise(struct verdict *verdict, uint32_t already, enum rule rule)
{
	if ((already >> rule & 1) != 0)
		return NULL;
	unsigned at = 0;
	while (at < verdict->count && verdict->findings[at].rule < rule)
		at++;
	if (at < verdict->count && verdict->findings[at].rule == rule)
		return NULL;
	if (verdict->count == RULE_COUNT)
		return NULL;
	memmove(&verdict->findings[at + 1], &verdict->findings[at],
		(verdict->count - at) * sizeof verdict->findings[0]);
	verdict->count++;
	struct finding *finding = &verdict->findings[at];
	*finding = (struct finding){.rule = rule};
	return finding;
}

static void say_known_offers(struct finding *finding, const struct server_memory *server)
{
	if (server->offers == 0) {
		sentence_text(finding, "is pinned as offering it");
		return;
	}
	sentence_text(finding, "offered it in ");
	sentence_count(finding, server->offers, "session");
	if (server->network_count > 1) {
		sentence_text(finding, " to ");
		sentence_text(finding, server->networks_more ? "more than " : "");
		sentence_count(finding, server->network_count, "client network");
	}
	sentence_text(finding, " since ");
	sentence_time(finding, server->offer_first_s);
}

static void find_starttls_stripped(const struct history *history,
				   const struct observation *observation, uint32_t already,
				   struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	const struct stripped *stripped = find_stripped(history, facts);
	const struct server_memory *server = find_server(history, &facts->server);
	if (!news(observation, MILESTONE_EHLO_REPLY) || stripped == NULL || server == NULL)
		return;
	struct finding *finding = raise(verdict, already, RULE_STARTTLS_STRIPPED);
	if (finding == NULL)
		return;
	finding->confidence = stripped->confidence;
	finding->reason = "not-offered";
	sentence_text(finding, "This client was not offered STARTTLS; the server ");
	say_known_offers(finding, server);
	int64_t since_s = facts->start_ns / NS_PER_S - SERVER_RECENT_S;
	const struct server_recent *other =
	    server_memory_others(server, &facts->client.addr, since_s);
	if (stripped->some_clients && other != NULL) {
		finding->scope = "some-clients";
		finding->severity = SEVERITY_CRITICAL;
		sentence_text(finding, ", and to ");
		sentence_address(finding, &other->client);
		sentence_text(finding, " at ");
		sentence_time(finding, other->offered_s);
		sentence_text(finding, ": it is removed on this client's path.");
		return;
	}
	finding->scope = "all-clients";
	finding->severity = SEVERITY_HIGH;
	sentence_text(finding, ", last at ");
	sentence_time(finding, server->offer_last_s);
	sentence_text(finding, "; no other client was offered it in the last hour.");
}

static void find_plaintext_fallback(const struct history *history,
				    const struct observation *observation, uint32_t already,
				    struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	if (!news(observation, MILESTONE_MAIL_ACCEPTED | MILESTONE_CLOSED) ||
	    facts->mails_2xx == 0 || find_stripped(history, facts) != NULL)
		return;
	uint8_t key[FAILURE_KEY];
	failure_key(facts, key);
	const struct failure *failure = lru_table_find(history->failures, key);
	if (failure == NULL || failure->session == facts->id || failure->start_ns > facts->start_ns)
		return;
	int64_t age_ns = facts->start_ns - failure->time_ns;
	if (age_ns / NS_PER_S > history->config.fallback_window_s)
		return;
	struct finding *finding = raise(verdict, already, RULE_PLAINTEXT_FALLBACK);
	if (finding == NULL)
		return;
	finding->severity = SEVERITY_HIGH;
	finding->confidence = CONFIDENCE_HIGH;
	finding->reason = failure->refused ? "later-session-refused" : "later-session-failed";
	sentence_text(finding, failure->refused ? "STARTTLS was refused to this client at "
						: "TLS did not come up for this client at ");
	sentence_time(finding, failure->time_ns / NS_PER_S);
	sentence_text(finding, " and ");
	sentence_count(finding, age_ns < 0 ? 0 : (uint64_t)(age_ns / NS_PER_S), "second");
	sentence_text(finding, " later it delivered to the same server without TLS: whoever breaks "
			       "the upgrade gets the mail.");
}

static void find_certificate_changed(const struct history *history,
				     const struct observation *observation, uint32_t already,
				     struct verdict *verdict)
{
	if (!news(observation, MILESTONE_CERTIFICATE) || observation->certificate == NULL)
		return;
	const struct server_memory *server = find_server(history, &observation->facts.server);
	if (server == NULL)
		return;
	struct server_certificate seen = server_certificate_of(observation->certificate);
	const struct server_certificate *previous;
	if (server_memory_compare(server, &seen, &previous, observation->time_ns / NS_PER_S) !=
		CERTIFICATE_REPLACED ||
	    previous == NULL)
		return;
	struct finding *finding = raise(verdict, already, RULE_CERTIFICATE_CHANGED);
	if (finding == NULL)
		return;
	bool issuer = previous->issuer != seen.issuer || previous->self_signed != seen.self_signed;
	finding->severity = SEVERITY_MEDIUM;
	finding->confidence = previous->sessions >= 10 && server->offer_days >= 2
				  ? CONFIDENCE_HIGH
				  : CONFIDENCE_MEDIUM;
	finding->reason = issuer ? "issuer" : "key";
	sentence_text(finding, "The server shows a key that was never seen there, ");
	sentence_text(finding, issuer ? "from another issuer"
				      : "and neither names nor dates make it a renewal");
	sentence_text(finding, "; until ");
	sentence_time(finding, previous->last_s);
	sentence_text(finding, " it had shown another in ");
	sentence_count(finding, previous->sessions, "session");
	sentence_text(finding, " since ");
	sentence_time(finding, previous->first_s);
	sentence_text(finding, ".");
}

/* TLS versions as people write them. */
static const char *version_words(uint16_t version)
{
	switch (version) {
	case 0x0304:
		return "TLS 1.3";
	case 0x0303:
		return "TLS 1.2";
	case 0x0302:
		return "TLS 1.1";
	case 0x0301:
		return "TLS 1.0";
	default:
		return "SSL";
	}
}

/* Weak TLS where better was usual: said in the finding that there is. */
static void note_version_regression(const struct history *history,
				    const struct observation *observation, struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	const struct server_memory *server = find_server(history, &facts->server);
	if (server == NULL || server->best_sessions < DOWNGRADE_SEEN ||
	    server->best_version < 0x0303 || facts->tls.version >= server->best_version)
		return;
	for (unsigned i = 0; i < verdict->count; i++) {
		struct finding *finding = &verdict->findings[i];
		if (finding->rule != RULE_TLS_WEAK)
			continue;
		sentence_text(finding, " This server negotiated ");
		sentence_text(finding, version_words(server->best_version));
		sentence_text(finding, " in ");
		sentence_count(finding, server->best_sessions, "session");
		sentence_text(finding, " since ");
		sentence_time(finding, server->best_first_s);
		sentence_text(finding, ".");
	}
}

static void say_path(struct finding *finding, const struct path_state *path)
{
	sentence_text(finding, "Sessions ");
	if (path->network.version == 0) {
		sentence_text(finding, "of ");
		sentence_count(finding, path->networks, "client network");
	} else {
		sentence_text(finding, "from ");
		sentence_address(finding, &path->network);
		sentence_text(finding, "/");
		sentence_number(finding, path->prefix);
	}
	sentence_text(finding, " lose TLS: since ");
	sentence_time(finding, path->since_ns / NS_PER_S);
	sentence_text(finding, " ");
	sentence_number(finding, path->lost);
	sentence_text(finding, " of ");
	sentence_number(finding, path->lost + path->upgraded);
	sentence_text(finding, " to ");
	sentence_count(finding, path->servers, "server");
	sentence_text(finding, " known to offer it, usually below ");
	sentence_number(finding, path->quiet_percent);
	sentence_text(finding, " %: something on this path breaks it.");
}

void history_path_finding(const struct path_state *path, struct finding *finding)
{
	*finding = (struct finding){
	    .rule = RULE_PATH_DOWNGRADE,
	    .severity = SEVERITY_CRITICAL,
	    .confidence = CONFIDENCE_HIGH,
	    .reason = path->network.version == 0 ? "all-networks" : "client-network",
	};
	say_path(finding, path);
}

enum severity history_scope_severity(const char *scope)
{
	return strcmp(scope, "some-clients") == 0 ? SEVERITY_CRITICAL : SEVERITY_HIGH;
}

/* Whether this observation decides that the session lost, or got, its upgrade. */
static bool is_trial(const struct history *history, const struct observation *observation,
		     bool *lost)
{
	const struct session_facts *facts = &observation->facts;
	if (news(observation, MILESTONE_TLS_UP)) {
		*lost = false;
		return facts->starttls_code == 220;
	}
	*lost = true;
	if (news(observation, MILESTONE_EHLO_REPLY) && find_stripped(history, facts) != NULL)
		return true;
	if (news(observation, MILESTONE_STARTTLS_REPLY) && facts->starttls_code != 220 &&
	    facts->starttls_code != 0)
		return true;
	return news(observation, MILESTONE_MASKED | MILESTONE_TLS_FAILED | MILESTONE_EHLO_REFUSED);
}

static void find_path_downgrade(struct history *history, const struct observation *observation,
				uint32_t already, struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	const struct server_memory *server = find_server(history, &facts->server);
	struct path_trial trial = {
	    .session = session_identity_of(facts),
	    .network = client_network(history, facts),
	    .prefix = client_prefix(history, facts),
	    .time_ns = observation->time_ns,
	};
	if (server == NULL || !may_teach(facts) || !server_memory_offers(server) ||
	    !is_trial(history, observation, &trial.lost))
		return;
	struct path_state raised;
	if (path_watch_trial(history->paths, &trial, &raised)) {
		history->raised_lost = raised.lost;
		struct finding *finding = raise(verdict, already, RULE_PATH_DOWNGRADE);
		if (finding != NULL)
			history_path_finding(&raised, finding);
	}
	struct stripped *stripped = find_stripped(history, facts);
	if (stripped != NULL && !stripped->absorbed)
		stripped->absorbed = path_watch_absorb(history->paths, facts->tap, &trial.network);
}

static const char *offer_words(enum tri offered)
{
	return offered == TRI_TRUE ? "STARTTLS offered" : "STARTTLS not offered";
}

static void say_view(const struct history *history, struct finding *finding,
		     const struct tap_divergence *divergence, const struct tap_view *view)
{
	if (history->config.tap_names != NULL && view->tap < history->config.tap_count) {
		sentence_wire(finding, span_str(history->config.tap_names[view->tap]));
	} else {
		sentence_text(finding, "tap ");
		sentence_number(finding, view->tap);
	}
	sentence_text(finding, " saw ");
	switch (divergence->difference) {
	case TAP_DIFFERS_OFFER:
		sentence_text(finding, offer_words(view->offered));
		break;
	case TAP_DIFFERS_REPLY:
		sentence_text(finding, "STARTTLS answered with ");
		sentence_number(finding, view->starttls_code);
		break;
	case TAP_DIFFERS_CERTIFICATE: {
		static const char digits[] = "0123456789abcdef";
		char hex[17] = {0};
		for (unsigned i = 0; i < 8; i++) {
			hex[2 * i] = digits[view->certificate_sha256[i] >> 4];
			hex[2 * i + 1] = digits[view->certificate_sha256[i] & 15];
		}
		sentence_text(finding, "certificate ");
		sentence_text(finding, hex);
		break;
	}
	case TAP_DIFFERS_REQUEST:
		sentence_text(finding, view->requested == TRI_TRUE ? "STARTTLS requested"
								   : "STARTTLS not requested");
		break;
	case TAP_SAME:
		break;
	}
}

static void find_tap_divergence(struct history *history, const struct observation *observation,
				uint32_t already, struct verdict *verdict)
{
	static const char *const reasons[] = {
	    [TAP_DIFFERS_OFFER] = "offer",
	    [TAP_DIFFERS_REPLY] = "reply",
	    [TAP_DIFFERS_CERTIFICATE] = "certificate",
	    [TAP_DIFFERS_REQUEST] = "request",
	};
	struct tap_divergence divergence;
	if (history->taps == NULL || !tap_match_compare(history->taps, observation, &divergence))
		return;
	struct finding *finding = raise(verdict, already, RULE_TAP_DIVERGENCE);
	if (finding == NULL)
		return;
	finding->severity = SEVERITY_CRITICAL;
	finding->confidence = divergence.proxied ? CONFIDENCE_HIGH : CONFIDENCE_CERTAIN;
	finding->reason = reasons[divergence.difference];
	sentence_text(finding, "The same session looked different at two taps: ");
	say_view(history, finding, &divergence, &divergence.here);
	sentence_text(finding, ", ");
	say_view(history, finding, &divergence, &divergence.there);
	sentence_text(finding, divergence.proxied
				   ? ". It was changed between them, by something that opens a "
				     "connection of its own."
				   : ". It was changed between them.");
}

void history_findings(struct history *history, const struct observation *observation,
		      uint32_t already, struct verdict *verdict)
{
	note_version_regression(history, observation, verdict);
	find_starttls_stripped(history, observation, already, verdict);
	find_plaintext_fallback(history, observation, already, verdict);
	find_certificate_changed(history, observation, already, verdict);
	find_path_downgrade(history, observation, already, verdict);
	find_tap_divergence(history, observation, already, verdict);
}

bool history_absorbs(const struct history *history, const struct observation *observation)
{
	const struct stripped *stripped = find_stripped(history, &observation->facts);
	return stripped != NULL && stripped->absorbed;
}

static void remember_failure(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	bool refused = news(observation, MILESTONE_STARTTLS_REPLY) && facts->starttls_code != 0 &&
		       facts->starttls_code != 220 && !facts->refused_then_tls;
	if (!refused && !news(observation, MILESTONE_TLS_FAILED))
		return;
	uint8_t key[FAILURE_KEY];
	failure_key(facts, key);
	struct failure *failure = lru_table_find(history->failures, key);
	if (failure != NULL) {
		lru_table_touch(history->failures, failure);
	} else {
		if (lru_table_full(history->failures)) {
			lru_table_remove(history->failures, lru_table_oldest(history->failures));
			history->counts.evicted_failures++;
		}
		failure = lru_table_add(history->failures, key);
	}
	if (failure == NULL) {
		history->counts.no_memory++;
		return;
	}
	*failure = (struct failure){
	    .time_ns = observation->time_ns,
	    .start_ns = facts->start_ns,
	    .session = facts->id,
	    .refused = refused,
	};
}

static void learn_name(struct server_memory *server, const struct session_facts *facts)
{
	struct span name = session_facts_text(facts, TEXT_SERVER_NAME);
	if (name.len == 0)
		return;
	name = span_head(name, SERVER_NAME_MAX);
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];
		server->name[i] = c > ' ' && c < 0x7f && c != '"' && c != '\\' ? (char)c : '?';
	}
	server->name[name.len] = '\0';
}

/* What the end of a session adds. */
static void learn_close(struct server_memory *server, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	int64_t time_s = observation->time_ns / NS_PER_S;
	server->sessions++;
	if (server->first_s == 0 || facts->start_ns / NS_PER_S < server->first_s)
		server->first_s = facts->start_ns / NS_PER_S;
	if (server->last_s < time_s)
		server->last_s = time_s;
	learn_name(server, facts);
}

static void learn_steps(struct history *history, struct server_memory *server,
			const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	const struct ip_addr *client = &facts->client.addr;
	int64_t time_s = observation->time_ns / NS_PER_S;
	if (news(observation, MILESTONE_EHLO_REPLY) &&
	    (facts->offered == TRI_TRUE || without_offer(facts))) {
		struct ip_addr network = client_network(history, facts);
		server_memory_learn_offer(server, client, &network, facts->offered == TRI_TRUE,
					  time_s);
	}
	if (news(observation, MILESTONE_EHLO_REPLY) && facts->ehlo_accepted > 0) {
		server->ehlo_accepted++;
		server->ehlo_last_s = time_s;
	}
	if (news(observation, MILESTONE_STARTTLS_REPLY) && facts->starttls_code != 0)
		server_memory_learn_reply(server, client, facts->starttls_code);
	if (news(observation, MILESTONE_TLS_UP)) {
		server->entered++;
		server_memory_learn_version(server, facts->tls.version, time_s);
	}
	if (news(observation, MILESTONE_TLS_FAILED))
		server->failed++;
	if (news(observation, MILESTONE_CERTIFICATE) && observation->certificate != NULL) {
		struct server_certificate seen = server_certificate_of(observation->certificate);
		server_memory_learn_certificate(server, &seen, time_s);
	}
	if (news(observation, MILESTONE_CLOSED))
		learn_close(server, observation);
}

/* Whether the server's memory changes with this observation. */
static bool teaches(const struct observation *observation)
{
	return news(observation, MILESTONE_EHLO_REPLY | MILESTONE_STARTTLS_REPLY |
				     MILESTONE_TLS_UP | MILESTONE_TLS_FAILED |
				     MILESTONE_CERTIFICATE | MILESTONE_CLOSED);
}

static void learn_server(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	bool spoke = facts->spoke_smtp || facts->implicit_tls;
	if (news(observation, MILESTONE_CLOSED) && (!may_teach(facts) || !spoke))
		history->counts.untrusted++;
	if (!teaches(observation) || !may_teach(facts) || !spoke)
		return;
	struct server_memory *server = history_restore_server(history, &facts->server);
	if (server == NULL)
		return;
	if (history->config.learn) {
		learn_steps(history, server, observation);
		server->changed = ++history->changes;
		history->counts.taught += news(observation, MILESTONE_CLOSED) ? 1 : 0;
	} else if (news(observation, MILESTONE_EHLO_REPLY)) {
		server_memory_note_recent(server, &facts->client.addr, facts->offered == TRI_TRUE,
					  observation->time_ns / NS_PER_S);
	}
}

uint64_t history_changes(const struct history *history)
{
	return history->changes;
}

uint64_t history_raised_lost(const struct history *history)
{
	return history->raised_lost;
}

void history_learn(struct history *history, const struct observation *observation)
{
	remember_failure(history, observation);
	learn_server(history, observation);
	if (!news(observation, MILESTONE_CLOSED))
		return;
	struct stripped *stripped = find_stripped(history, &observation->facts);
	if (stripped != NULL)
		lru_table_remove(history->stripped, stripped);
}

const char *history_scope(const struct history *history, const struct endpoint *server,
			  const struct ip_addr *client, int64_t now_ns)
{
	const struct server_memory *memory = find_server(history, server);
	int64_t since_s = now_ns / NS_PER_S - SERVER_RECENT_S;
	for (unsigned i = 0; memory != NULL && i < memory->recent_count; i++) {
		const struct server_recent *recent = &memory->recent[i];
		if (recent->offered_s >= since_s && recent->offered_s > recent->missing_s &&
		    !ip_addr_equal(&recent->client, client))
			return "some-clients";
	}
	return "all-clients";
}

bool history_next_path(struct history *history, int64_t now_ns, int64_t window_ns, bool finish,
		       struct path_state *path)
{
	return path_watch_next(history->paths, now_ns, window_ns, finish, path);
}
