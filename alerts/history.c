/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/history_state.h"

#define CLIENT_KEY  17 /* IP version, address */
#define SERVER_KEY  19 /* ... and port */
#define FAILURE_KEY 36 /* client address, server */
#define SESSION_KEY 12 /* tap, id */

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
					     sizeof(struct failures), limits->failures);
	history->stripped = lru_table_create(budget, &config->key, SESSION_KEY,
					     sizeof(struct stripped), limits->sessions);
	history->clients = lru_table_create(budget, &config->key, CLIENT_KEY,
					    sizeof(struct client_exposure), limits->clients);
	if (config->share)
		history->shared = lru_table_create(budget, &config->key, SERVER_KEY,
						   sizeof(struct server_memory), limits->servers);
	history->paths = path_watch_create(budget, &config->key, limits->paths);
	if (config->compare_taps)
		history->taps = tap_match_create(budget, &config->key, limits->sessions);
	if (history->servers == NULL || history->failures == NULL || history->stripped == NULL ||
	    history->clients == NULL || history->paths == NULL ||
	    (config->compare_taps && history->taps == NULL) ||
	    (config->share && history->shared == NULL)) {
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
	lru_table_destroy(history->clients);
	lru_table_destroy(history->shared);
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

unsigned history_client_prefix(const struct history *history, const struct session_facts *facts)
{
	return facts->client.addr.version == 4 ? history->config.prefix_v4
					       : history->config.prefix_v6;
}

struct ip_addr history_client_network(const struct history *history,
				      const struct session_facts *facts)
{
	return ip_addr_network(&facts->client.addr, history_client_prefix(history, facts));
}

struct server_memory *history_server(const struct history *history, const struct endpoint *endpoint)
{
	uint8_t key[SERVER_KEY];
	server_key(endpoint, key);
	return lru_table_find(history->servers, key);
}

const struct server_memory *history_known(const struct history *history,
					  const struct endpoint *endpoint,
					  struct server_memory *sum)
{
	const struct server_memory *server = history_server(history, endpoint);
	if (history->shared == NULL)
		return server;
	uint8_t key[SERVER_KEY];
	server_key(endpoint, key);
	const struct server_memory *others = lru_table_find(history->shared, key);
	if (others == NULL)
		return server;
	if (server == NULL)
		return others;
	*sum = *server;
	server_memory_merge(sum, others);
	return sum;
}

void history_share(struct history *history, const struct server_memory *others)
{
	uint8_t key[SERVER_KEY];
	server_key(&others->endpoint, key);
	if (history->shared == NULL)
		return;
	struct server_memory *known = lru_table_find(history->shared, key);
	if (known == NULL && lru_table_full(history->shared)) {
		lru_table_remove(history->shared, lru_table_oldest(history->shared));
		history->counts.evicted_shared++;
	}
	if (known == NULL)
		known = lru_table_add(history->shared, key);
	else
		lru_table_touch(history->shared, known);
	if (known == NULL)
		history->counts.no_memory++;
	else
		*known = *others;
}

void history_adopt(struct history *history, const struct server_memory *own)
{
	struct server_memory *server = history_restore_server(history, &own->endpoint);
	if (server == NULL)
		return;
	server_memory_merge(server, own);
	server->changed = ++history->changes;
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

struct server_memory *history_changed_server(const struct history *history, uint64_t since)
{
	struct server_memory *first = NULL;
	/* What learns becomes the newest, so the order of use is that of the changes. */
	struct server_memory *server = lru_table_newest(history->servers);
	while (server != NULL && server->changed > since) {
		first = server;
		server = lru_table_older(history->servers, server);
	}
	return first;
}

struct server_memory *history_changed_next(const struct history *history,
					   const struct server_memory *server)
{
	return lru_table_newer(history->servers, server);
}

struct client_exposure *history_changed_client(const struct history *history, uint64_t since)
{
	struct client_exposure *first = NULL;
	struct client_exposure *client = lru_table_newest(history->clients);
	while (client != NULL && client->changed > since) {
		first = client;
		client = lru_table_older(history->clients, client);
	}
	return first;
}

struct client_exposure *history_changed_next_client(const struct history *history,
						    const struct client_exposure *client)
{
	return lru_table_newer(history->clients, client);
}

const struct client_exposure *history_next_client(const struct history *history,
						  const struct client_exposure *after)
{
	return after == NULL ? lru_table_oldest(history->clients)
			     : lru_table_newer(history->clients, after);
}

struct client_exposure *history_restore_client(struct history *history,
					       const struct ip_addr *client)
{
	uint8_t key[CLIENT_KEY];
	address_key(client, key);
	struct client_exposure *exposure = lru_table_find(history->clients, key);
	if (exposure != NULL) {
		lru_table_touch(history->clients, exposure);
		return exposure;
	}
	if (lru_table_full(history->clients)) {
		lru_table_remove(history->clients, lru_table_oldest(history->clients));
		history->counts.evicted_clients++;
	}
	exposure = lru_table_add(history->clients, key);
	if (exposure == NULL) {
		history->counts.no_memory++;
		return NULL;
	}
	exposure->client = *client;
	return exposure;
}

void history_forget_server(struct history *history, const struct endpoint *endpoint)
{
	struct server_memory *server = history_server(history, endpoint);
	if (server != NULL)
		lru_table_remove(history->servers, server);
}

void history_pin_server(struct history *history, const struct endpoint *endpoint)
{
	struct server_memory *server = history_restore_server(history, endpoint);
	if (server == NULL)
		return;
	server->pinned = true;
	server->changed = ++history->changes;
}

void history_unpin_all(struct history *history)
{
	struct server_memory *server = lru_table_oldest(history->servers);
	for (; server != NULL; server = lru_table_newer(history->servers, server))
		server->pinned = false;
}

uint32_t history_server_cap(const struct history *history)
{
	return history->config.limits.servers;
}

uint32_t history_client_cap(const struct history *history)
{
	return history->config.limits.clients;
}

bool history_due_day(struct history *history, int64_t now_ns, bool finish, int64_t *day)
{
	if (history->exposed_day == 0 ||
	    (!finish && now_ns / NS_PER_S / EXPOSURE_DAY_S <= history->exposed_day))
		return false;
	*day = history->told_day = history->exposed_day;
	history->exposed_day = 0;
	return true;
}

bool history_news(const struct observation *observation, uint32_t milestones)
{
	return (observation->new_milestones & milestones) != 0;
}

bool history_may_teach(const struct session_facts *facts)
{
	return !facts->handshake_missing && facts->bytes[SIDE_CLIENT] > 0 &&
	       facts->bytes[SIDE_SERVER] > 0 &&
	       (facts->visibility == VISIBILITY_FULL || facts->visibility == VISIBILITY_GAPS);
}

bool history_without_offer(const struct session_facts *facts)
{
	return facts->offered == TRI_FALSE && !facts->masked_offer && !facts->masked_command &&
	       facts->ehlo_accepted > 0 && !facts->implicit_tls &&
	       facts->tls.established != TRI_TRUE;
}
struct stripped *history_stripped(const struct history *history, const struct session_facts *facts)
{
	uint8_t key[SESSION_KEY];
	session_key(facts, key);
	return lru_table_find(history->stripped, key);
}

const struct failure *history_failure(const struct history *history,
				      const struct session_facts *facts)
{
	uint8_t key[FAILURE_KEY];
	failure_key(facts, key);
	const struct failures *failures = lru_table_find(history->failures, key);
	if (failures == NULL)
		return NULL;
	const struct failure *newest = &failures->newest, *older = &failures->older;
	if (newest->session != facts->id && newest->start_ns <= facts->start_ns)
		return newest;
	/* Over before this session began: of two that run side by side none is the other's cause.
	 */
	bool before = older->start_ns != 0 && older->session != facts->id &&
		      older->time_ns <= facts->start_ns;
	return before ? older : NULL;
}

struct stripped *history_add_stripped(struct history *history, const struct session_facts *facts)
{
	if (lru_table_full(history->stripped)) {
		lru_table_remove(history->stripped, lru_table_oldest(history->stripped));
		history->counts.evicted_sessions++;
	}
	uint8_t key[SESSION_KEY];
	session_key(facts, key);
	struct stripped *stripped = lru_table_add(history->stripped, key);
	if (stripped == NULL)
		history->counts.no_memory++;
	return stripped;
}

bool history_absorbs(const struct history *history, const struct observation *observation)
{
	const struct stripped *stripped = history_stripped(history, &observation->facts);
	return stripped != NULL && stripped->absorbed;
}

static bool in_fallback_window(const struct history *history, const struct failure *failure,
			       int64_t time_ns)
{
	return failure->start_ns != 0 &&
	       (time_ns - failure->time_ns) / NS_PER_S <= history->config.fallback_window_s;
}

static void remember_failure(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	bool refused = history_news(observation, MILESTONE_STARTTLS_REPLY) &&
		       facts->starttls_code != 0 && facts->starttls_code != 220 &&
		       !facts->refused_then_tls;
	if (!refused && !history_news(observation, MILESTONE_TLS_FAILED))
		return;
	uint8_t key[FAILURE_KEY];
	failure_key(facts, key);
	struct failures *failures = lru_table_find(history->failures, key);
	if (failures != NULL) {
		lru_table_touch(history->failures, failures);
	} else {
		if (lru_table_full(history->failures)) {
			lru_table_remove(history->failures, lru_table_oldest(history->failures));
			history->counts.evicted_failures++;
		}
		failures = lru_table_add(history->failures, key);
	}
	if (failures == NULL) {
		history->counts.no_memory++;
		return;
	}
	if (failures->newest.session != facts->id &&
	    !in_fallback_window(history, &failures->older, observation->time_ns))
		failures->older = failures->newest;
	failures->newest = (struct failure){
	    .time_ns = observation->time_ns,
	    .start_ns = facts->start_ns,
	    .session = facts->id,
	    .client_port = facts->client.port,
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
	if (history_news(observation, MILESTONE_EHLO_REPLY) &&
	    (facts->offered == TRI_TRUE || history_without_offer(facts))) {
		struct ip_addr network = history_client_network(history, facts);
		server_memory_learn_offer(
		    server, client, &network,
		    server_member_of(session_facts_text(facts, TEXT_SERVER_NAME)),
		    facts->offered == TRI_TRUE, time_s);
	}
	if (history_news(observation, MILESTONE_EHLO_REPLY) && facts->ehlo_accepted > 0) {
		server->ehlo_accepted++;
		server->ehlo_last_s = time_s;
	}
	if (history_news(observation, MILESTONE_STARTTLS_REPLY) && facts->starttls_code != 0)
		server_memory_learn_reply(server, client, facts->starttls_code);
	if (history_news(observation, MILESTONE_TLS_UP)) {
		server->entered++;
		server_memory_learn_version(server, facts->tls.version, time_s);
	}
	if (history_news(observation, MILESTONE_TLS_FAILED))
		server->failed++;
	if (history_news(observation, MILESTONE_CERTIFICATE) && observation->certificate != NULL) {
		const struct certificate_info *info = observation->certificate;
		const bool anchored = facts->tls.certificate_anchored;
		if (!server_memory_count_certificate(server, info->sha256, anchored, time_s)) {
			struct server_certificate seen = server_certificate_of(info);
			seen.anchored = anchored;
			server_memory_learn_certificate(server, &seen, time_s);
		}
	}
	if (history_news(observation, MILESTONE_CLOSED))
		learn_close(server, observation);
}

/* Whether the server's memory changes with this observation. */
static bool teaches(const struct observation *observation)
{
	return history_news(observation, MILESTONE_EHLO_REPLY | MILESTONE_STARTTLS_REPLY |
					     MILESTONE_TLS_UP | MILESTONE_TLS_FAILED |
					     MILESTONE_CERTIFICATE | MILESTONE_CLOSED);
}

static void learn_server(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	bool spoke = facts->spoke_smtp || facts->implicit_tls;
	if (history_news(observation, MILESTONE_CLOSED) && (!history_may_teach(facts) || !spoke))
		history->counts.untrusted++;
	if (!teaches(observation) || !history_may_teach(facts) || !spoke)
		return;
	struct server_memory *server = history_restore_server(history, &facts->server);
	if (server == NULL)
		return;
	if (history->config.learn) {
		learn_steps(history, server, observation);
		server->changed = ++history->changes;
		history->counts.taught += history_news(observation, MILESTONE_CLOSED) ? 1 : 0;
	} else if (history_news(observation, MILESTONE_EHLO_REPLY)) {
		server_memory_note_recent(server, &facts->client.addr, facts->offered == TRI_TRUE,
					  observation->time_ns / NS_PER_S);
	}
}

/* A client whose credentials went in the clear. The same session counts once. */
static void learn_exposure(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	if (!history_news(observation, MILESTONE_CREDENTIALS) || !history_may_teach(facts))
		return;
	struct client_exposure *exposure = history_restore_client(history, &facts->client.addr);
	if (exposure == NULL)
		return;
	int64_t time_s = observation->time_ns / NS_PER_S;
	int64_t day = time_s / EXPOSURE_DAY_S;
	exposure_learn(exposure, facts, time_s);
	exposure->changed = ++history->changes;
	if (history->exposed_day == 0 && day > history->told_day)
		history->exposed_day = day;
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
	learn_exposure(history, observation);
	if (!history_news(observation, MILESTONE_CLOSED))
		return;
	struct stripped *stripped = history_stripped(history, &observation->facts);
	if (stripped != NULL)
		lru_table_remove(history->stripped, stripped);
}
