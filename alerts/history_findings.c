/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of servers and clients, held against one session. */
#include "alerts/history_state.h"
#include "alerts/sentence.h"

#define DOWNGRADE_SEEN 3 /* sessions from which a best TLS version counts as usual */

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
	if (server->pinned)
		return CONFIDENCE_HIGH; /* a person said so */
	int points = (server->offers >= 10 ? 1 : 0) + (networks >= 2 ? 1 : 0) +
		     (server->offer_days >= 2 ? 1 : 0) + (some_clients ? 1 : 0) -
		     (server->returns > 0 ? 1 : 0);
	if (points <= 0)
		return CONFIDENCE_LOW;
	return points == 1 ? CONFIDENCE_MEDIUM : CONFIDENCE_HIGH;
}

static void decide_stripped(struct history *history, const struct observation *observation)
{
	const struct session_facts *facts = &observation->facts;
	if (!history_without_offer(facts) || history_stripped(history, facts) != NULL)
		return;
	struct server_memory sum;
	const struct server_memory *server = history_known(history, &facts->server, &sum);
	if (server == NULL)
		return;
	struct span name = session_facts_text(facts, TEXT_SERVER_NAME);
	if (!server_memory_member_offers(server, server_member_of(name)))
		return;
	struct stripped *stripped = history_add_stripped(history, facts);
	if (stripped == NULL)
		return;
	int64_t since_s = facts->start_ns / NS_PER_S - SERVER_RECENT_S;
	stripped->some_clients = server_memory_others(server, &facts->client.addr, since_s) != NULL;
	stripped->confidence = stripped_confidence(server, stripped->some_clients);
}

/* What nobody has seen for SERVER_AGE_S may have changed for good reasons. */
static void forget_aged(struct history *history, const struct observation *observation)
{
	const struct server_memory *server = history_server(history, &observation->facts.server);
	if (server == NULL ||
	    !server_memory_is_aged(server, observation->facts.start_ns / NS_PER_S))
		return;
	history_forget_server(history, &observation->facts.server);
	history->counts.aged++;
}

void history_context(struct history *history, const struct observation *observation,
		     struct verdict_context *context)
{
	const struct session_facts *facts = &observation->facts;
	if (history_news(observation, MILESTONE_EHLO_REPLY | MILESTONE_EHLO_REFUSED))
		forget_aged(history, observation);
	if (history_news(observation, MILESTONE_EHLO_REPLY))
		decide_stripped(history, observation);
	context->stripped = history_stripped(history, facts) != NULL;
	context->refuses_all = context->ehlo_accepted_before = false;
	if ((facts->starttls_code == 0 || facts->starttls_code == 220) && facts->ehlo_refused == 0)
		return;
	struct server_memory sum;
	const struct server_memory *server = history_known(history, &facts->server, &sum);
	context->refuses_all =
	    server != NULL && !server->pinned && server_memory_refuses_all(server);
	context->ehlo_accepted_before = server != NULL && server->ehlo_accepted > 0;
}

struct finding *history_raise(struct verdict *verdict, uint32_t already, enum rule rule)
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

static struct finding_basis basis_of_offers(const struct server_memory *server)
{
	return (struct finding_basis){
	    .known = "the server offers STARTTLS",
	    .seen = "a complete EHLO reply without STARTTLS",
	    .sessions = server->offers,
	    .networks = server->network_count,
	    .networks_more = server->networks_more,
	    .days = server->offer_days,
	    .first_s = server->offer_first_s,
	    .last_s = server->offer_last_s,
	    .pinned = server->pinned,
	};
}

static void say_known_offers(struct finding *finding, const struct server_memory *server)
{
	if (server->pinned)
		sentence_text(finding, "is pinned as offering it");
	if (server->offers == 0)
		return;
	if (server->pinned)
		sentence_text(finding, " and ");
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
	/* As decided with this observation: what was offered is not looked up. */
	if (!history_news(observation, MILESTONE_EHLO_REPLY) || !history_without_offer(facts))
		return;
	const struct stripped *stripped = history_stripped(history, facts);
	if (stripped == NULL)
		return;
	struct server_memory sum;
	const struct server_memory *server = history_known(history, &facts->server, &sum);
	if (server == NULL)
		return;
	struct finding *finding = history_raise(verdict, already, RULE_STARTTLS_STRIPPED);
	if (finding == NULL)
		return;
	finding->confidence = stripped->confidence;
	finding->reason = "not-offered";
	finding->basis = basis_of_offers(server);
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
	if (server->offers > 0) {
		sentence_text(finding, ", last at ");
		sentence_time(finding, server->offer_last_s);
	}
	sentence_text(finding, "; no other client was offered it in the last hour.");
}

static void find_plaintext_fallback(const struct history *history,
				    const struct observation *observation, uint32_t already,
				    struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	if (!history_news(observation, MILESTONE_MAIL_ACCEPTED | MILESTONE_CLOSED) ||
	    facts->mails_2xx == 0 || history_stripped(history, facts) != NULL)
		return;
	const struct failure *failure = history_failure(history, facts);
	if (failure == NULL)
		return;
	int64_t age_ns = facts->start_ns - failure->time_ns;
	/* The same session, seen on the other side of a proxy: it was refused and goes on there. */
	if (age_ns < 0 && failure->client_port == facts->client.port)
		return;
	if (age_ns / NS_PER_S > history->config.fallback_window_s)
		return;
	struct finding *finding = history_raise(verdict, already, RULE_PLAINTEXT_FALLBACK);
	if (finding == NULL)
		return;
	finding->severity = SEVERITY_HIGH;
	finding->confidence = CONFIDENCE_HIGH;
	finding->reason = failure->refused ? "later-session-refused" : "later-session-failed";
	finding->basis = (struct finding_basis){
	    .known = failure->refused ? "STARTTLS was refused to this client by this server"
				      : "TLS did not come up between this client and this server",
	    .seen = "mail accepted without TLS",
	    .sessions = 1,
	    .first_s = failure->start_ns / NS_PER_S,
	    .last_s = failure->time_ns / NS_PER_S,
	};
	sentence_text(finding, failure->refused ? "STARTTLS was refused to this client at "
						: "TLS did not come up for this client at ");
	sentence_time(finding, failure->time_ns / NS_PER_S);
	sentence_text(finding, " and ");
	sentence_count(finding, age_ns < 0 ? 0 : (uint64_t)(age_ns / NS_PER_S), "second");
	sentence_text(finding, " later it delivered to the same server without TLS: whoever breaks "
			       "the upgrade gets the mail.");
}

static struct finding_basis basis_of_certificate(const struct server_memory *server,
						 const struct server_certificate *previous,
						 const char *seen)
{
	struct finding_basis basis = {
	    .known = "the server shows another certificate",
	    .seen = seen,
	    .sessions = previous->sessions,
	    .networks = server->network_count,
	    .networks_more = server->networks_more,
	    .first_s = previous->first_s,
	    .last_s = previous->last_s,
	    .has_certificate = true,
	};
	memcpy(basis.certificate, previous->sha256, sizeof basis.certificate);
	return basis;
}

static void find_certificate_changed(const struct history *history,
				     const struct observation *observation, uint32_t already,
				     struct verdict *verdict)
{
	if (!history_news(observation, MILESTONE_CERTIFICATE) || observation->certificate == NULL)
		return;
	struct server_memory sum;
	const struct server_memory *server =
	    history_known(history, &observation->facts.server, &sum);
	if (server == NULL || server_memory_knows_key(server, observation->certificate->key_sha256))
		return;
	struct server_certificate seen = server_certificate_of(observation->certificate);
	seen.anchored = observation->facts.tls.certificate_anchored;
	const struct server_certificate *previous;
	if (server_memory_compare(server, &seen, &previous, observation->time_ns / NS_PER_S) !=
		CERTIFICATE_REPLACED ||
	    previous == NULL)
		return;
	struct finding *finding = history_raise(verdict, already, RULE_CERTIFICATE_CHANGED);
	if (finding == NULL)
		return;
	bool issuer = previous->issuer != seen.issuer || previous->self_signed != seen.self_signed;
	finding->severity = SEVERITY_MEDIUM;
	finding->confidence = previous->sessions >= 10 && server->offer_days >= 2
				  ? CONFIDENCE_HIGH
				  : CONFIDENCE_MEDIUM;
	bool unsigned_now = !issuer && previous->anchored && !seen.anchored;
	finding->reason = issuer ? "issuer" : unsigned_now ? "not-anchored" : "key";
	finding->basis = basis_of_certificate(
	    server, previous,
	    issuer         ? "a new key from another issuer"
	    : unsigned_now ? "a new key in the same issuer's name that no given CA vouches for"
			   : "a new key that neither names nor dates explain as a renewal");
	sentence_text(finding, "The server shows a key that was never seen there, ");
	sentence_text(finding, issuer ? "from another issuer"
			       : unsigned_now
				   ? "in the same issuer's name, and no given CA vouches "
				     "for it as one did for the old"
				   : "and neither names nor dates make it a renewal");
	sentence_text(finding, "; until ");
	sentence_time(finding, previous->last_s);
	sentence_text(finding, " it had shown another in ");
	sentence_count(finding, previous->sessions, "session");
	sentence_text(finding, " since ");
	sentence_time(finding, previous->first_s);
	sentence_text(finding, ".");
}

/* What a server negotiates, as a phrase. */
static const char *version_fact(uint16_t version)
{
	return version >= 0x0304 ? "the server negotiates TLS 1.3"
				 : "the server negotiates TLS 1.2";
}

/*
 * Weak TLS where better was usual. When the client offered what is usual and the server chose
 * less, something changed at the server or in between: graver than a client that knows no better,
 * and told apart from it by its reason. That it was lowered on the way is proved by
 * tls-downgrade alone. From TLS 1.3 to 1.2 is no weakness and no alert.
 */
static void judge_version_regression(const struct history *history,
				     const struct observation *observation, struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	struct finding *finding = NULL;
	for (unsigned i = 0; i < verdict->count && finding == NULL; i++)
		if (verdict->findings[i].rule == RULE_TLS_WEAK)
			finding = &verdict->findings[i];
	if (finding == NULL)
		return;
	struct server_memory sum;
	const struct server_memory *server = history_known(history, &facts->server, &sum);
	if (server == NULL || server->best_sessions < DOWNGRADE_SEEN ||
	    server->best_version < 0x0303 || facts->tls.version >= 0x0303)
		return;
	bool offered = facts->tls.offered_version >= server->best_version;
	if (offered) {
		finding->reason = "version-regression";
		finding->severity = SEVERITY_HIGH;
	}
	finding->basis = (struct finding_basis){
	    .known = version_fact(server->best_version),
	    .seen = offered ? "a lower version chosen by the server although the client offered it"
			    : "a lower version, the highest that the client offered",
	    .sessions = server->best_sessions,
	    .networks = server->network_count,
	    .networks_more = server->networks_more,
	    .first_s = server->best_first_s,
	    .last_s = server->last_s,
	};
	sentence_text(finding, server->best_version >= 0x0304
				   ? " This server negotiated TLS 1.3 in "
				   : " This server negotiated TLS 1.2 in ");
	sentence_count(finding, server->best_sessions, "session");
	sentence_text(finding, " since ");
	sentence_time(finding, server->best_first_s);
	sentence_text(finding, offered ? ", and this client offered it." : ".");
}

void history_findings(struct history *history, const struct observation *observation,
		      uint32_t already, struct verdict *verdict)
{
	judge_version_regression(history, observation, verdict);
	find_starttls_stripped(history, observation, already, verdict);
	find_plaintext_fallback(history, observation, already, verdict);
	find_certificate_changed(history, observation, already, verdict);
	history_find_path_downgrade(history, observation, already, verdict);
	history_find_tap_divergence(history, observation, already, verdict);
}

/* A client that was offered it since then, and not refused the offer later. */
static const struct server_recent *still_offered(const struct server_memory *server,
						 const struct ip_addr *client, int64_t since_s)
{
	for (unsigned i = 0; i < server->recent_count; i++) {
		const struct server_recent *recent = &server->recent[i];
		if (recent->offered_s >= since_s && recent->offered_s > recent->missing_s &&
		    !ip_addr_equal(&recent->client, client))
			return recent;
	}
	return NULL;
}

void history_restate_stripped(const struct history *history, const struct endpoint *server,
			      const struct ip_addr *client, int64_t now_ns, struct finding *finding)
{
	struct server_memory sum;
	const struct server_memory *memory = history_known(history, server, &sum);
	bool some = memory != NULL &&
		    still_offered(memory, client, now_ns / NS_PER_S - SERVER_RECENT_S) != NULL;
	bool was_some = finding->scope != NULL && strcmp(finding->scope, "some-clients") == 0;
	finding->scope = some ? "some-clients" : "all-clients";
	finding->severity = some ? SEVERITY_CRITICAL : SEVERITY_HIGH;
	if (memory == NULL || some == was_some)
		return;
	finding->message[0] = '\0';
	sentence_text(finding, "This client was not offered STARTTLS; the server ");
	say_known_offers(finding, memory);
	sentence_text(finding, some ? ", and others are offered it again."
				    : "; by now the other clients are not offered it either.");
}
