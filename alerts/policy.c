/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/policy.h"

#include "alerts/policy_state.h"
#include "alerts/sentence.h"
#include "decoders/tls_suites.h"

#include <stdlib.h>

void policy_close(struct policy *policy)
{
	if (policy == NULL)
		return;
	for (size_t i = 0; i < policy->count; i++) {
		free(policy->demands[i].name);
		patterns_free(&policy->demands[i].servers);
		patterns_free(&policy->demands[i].domains);
		patterns_free(&policy->demands[i].mx);
	}
	free(policy->demands);
	free(policy);
}

struct demand *policy_add_demand(struct policy *policy)
{
	if (policy->count == POLICY_DEMANDS)
		return NULL;
	struct demand *grown =
	    realloc(policy->demands, (policy->count + 1) * sizeof *policy->demands);
	if (grown == NULL)
		return NULL;
	policy->demands = grown;
	grown[policy->count] = (struct demand){.name = NULL};
	return &grown[policy->count++];
}

/* One question: by what is judged, and the names that the session's server has. */
struct view {
	const struct policy *policy;
	const struct dns_memory *dns;
	const struct observation *observation;
	unsigned name_count;
	struct span names[3 + DNS_MEMORY_NAMES]; /* that it gave, was asked by, has in DNS */
};

struct violation {
	const char *reason, *words;
	const char *policy; /* name of the demand; NULL: claim says what DNS holds of subject */
	const char *claim;
	struct span subject; /* domain or host; empty: this server */
	enum confidence confidence;
};

static struct view look(const struct policy *policy, const struct dns_memory *dns,
			const struct observation *observation)
{
	static const enum session_text_id texts[] = {TEXT_SERVER_NAME, TEXT_EHLO_NAME, TEXT_SNI};
	struct view view = {.policy = policy, .dns = dns, .observation = observation};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct span name = session_facts_text(&observation->facts, texts[i]);
		if (name.len > 0)
			view.names[view.name_count++] = name;
	}
	if (dns != NULL)
		view.name_count +=
		    dns_memory_names(dns, &observation->facts.server.addr, observation->time_ns,
				     &view.names[view.name_count]);
	return view;
}

static bool server_matches(const struct view *view, const struct pattern *pattern)
{
	const struct session_facts *facts = &view->observation->facts;
	if (pattern->port != 0 && pattern->port != facts->server.port)
		return false;
	if (pattern->kind == PATTERN_NETWORK)
		return network_covers(&pattern->network, &facts->server.addr);
	for (unsigned i = 0; i < view->name_count; i++)
		if (pattern_matches_name(pattern->name, view->names[i]))
			return true;
	return false;
}

static bool on_server(const struct view *view, const struct demand *demand)
{
	for (size_t i = 0; i < demand->servers.count; i++)
		if (server_matches(view, &demand->servers.items[i]))
			return true;
	return false;
}

static bool is_active(const struct demand *demand)
{
	return !demand->is_sts || demand->mode == STS_ENFORCE;
}

static bool names_domain(const struct demand *demand, struct span domain)
{
	for (size_t i = 0; i < demand->domains.count; i++)
		if (pattern_matches_name(demand->domains.items[i].name, domain))
			return true;
	return false;
}

/* Takes a word off a list with spaces between them. */
static struct span next_word(struct span *list)
{
	size_t end = 0;
	while (end < list->len && list->ptr[end] != ' ')
		end++;
	struct span word = span_head(*list, end);
	*list = span_skip(*list, end + 1);
	return word;
}

/* A domain of an accepted recipient in the clear that the demand names; empty: none. */
static struct span on_domain(const struct view *view, const struct demand *demand)
{
	struct span list = session_facts_text(&view->observation->facts, TEXT_RECIPIENT_DOMAINS);
	while (list.len > 0) {
		struct span domain = next_word(&list);
		if (names_domain(demand, domain))
			return domain;
	}
	return span_of(NULL, 0);
}

/* A MAIL that a server turns down (530, RFC 3207 4) is no mail that went in the clear. */
static bool mailed_in_clear(const struct session_facts *facts)
{
	return facts->mails_2xx > 0 ||
	       (facts->mails > 0 && facts->visibility == VISIBILITY_CLIENT_ONLY);
}

static bool tls_is_up(const struct session_facts *facts)
{
	return (facts->milestones & MILESTONE_TLS_UP) != 0;
}

/*
 * Why no certificate can vouch for the server; NULL: one may. That none was seen proves nothing:
 * TLS 1.3 hides it, a resumption sends none, and it may lie in what was missed.
 */
static const char *shows_none(const struct session_tls *tls)
{
	const struct tls_suite *suite =
	    tls->server_hello ? tls_suite_find(tls->version, tls->suite) : NULL;
	if (suite != NULL && suite->key_exchange == TLS_KEY_EXCHANGE_ANONYMOUS)
		return "the cipher suite is an anonymous one, which authenticates no server";
	if (tls->certificate_unreadable)
		return "the server showed no certificate that can be read";
	return NULL;
}

/* Whether TLS came up and is not what the demand takes. */
static bool unacceptable(const struct view *view, const struct demand *demand,
			 struct violation *violation)
{
	const struct session_facts *facts = &view->observation->facts;
	const struct certificate_info *certificate = view->observation->certificate;
	if (!tls_is_up(facts))
		return false;
	if (facts->tls.version != 0 && facts->tls.version < demand->min_version) {
		violation->reason = "version";
		violation->words = "the TLS version is below the minimum";
		return true;
	}
	if (demand->valid_certificate && certificate != NULL &&
	    (facts->tls.certificate_problems != 0 || certificate->self_signed)) {
		violation->reason = "certificate";
		violation->words = "the certificate is not valid";
		return true;
	}
	if (demand->valid_certificate && shows_none(&facts->tls) != NULL) {
		violation->reason = "certificate";
		violation->words = shows_none(&facts->tls);
		return true;
	}
	return false;
}

static bool in_clear(const struct session_facts *facts, struct violation *violation)
{
	violation->reason = "plaintext";
	violation->words =
	    mailed_in_clear(facts) ? "mail went in the clear" : "credentials went in the clear";
	return mailed_in_clear(facts) || facts->credentials_in_clear;
}

static bool violates(const struct view *view, const struct demand *demand,
		     struct violation *violation)
{
	const struct session_facts *facts = &view->observation->facts;
	if (!is_active(demand))
		return false;
	*violation = (struct violation){.policy = demand->name, .confidence = CONFIDENCE_CERTAIN};
	violation->subject = on_domain(view, demand);
	if (violation->subject.len > 0 && facts->recipients > 0)
		return in_clear(facts, violation);
	violation->subject = span_of(NULL, 0);
	return on_server(view, demand) &&
	       (in_clear(facts, violation) || unacceptable(view, demand, violation));
}

/* ---- what DNS ties together ---- */

static const struct demand *sts_of_domain(const struct view *view, struct span domain)
{
	for (size_t i = 0; view->policy != NULL && i < view->policy->count; i++) {
		const struct demand *demand = &view->policy->demands[i];
		if (demand->is_sts && names_domain(demand, domain))
			return demand;
	}
	return NULL;
}

static bool takes_mail(const struct demand *demand, struct span host)
{
	for (size_t i = 0; i < demand->mx.count; i++)
		if (pattern_matches_host(demand->mx.items[i].name, host))
			return true;
	return false;
}

/*
 * Inside TLS no recipient is visible. When every domain that a host takes mail
 * for enforces MTA-STS, what the mail was for does not matter; one that names
 * the host in its policy is enough to explain the connection.
 */
static bool violates_sts_by_mx(const struct view *view, struct violation *violation)
{
	if (!tls_is_up(&view->observation->facts))
		return false;
	for (unsigned i = 0; i < view->name_count; i++) {
		struct span domains[DNS_MEMORY_NAMES];
		const struct demand *demand = NULL;
		bool more, named = false;
		unsigned count = dns_memory_domains(view->dns, view->names[i],
						    view->observation->time_ns, domains, &more);
		bool all = count > 0 && !more;
		for (unsigned j = 0; all && j < count; j++) {
			demand = sts_of_domain(view, domains[j]);
			all = demand != NULL && is_active(demand);
			named = named || (all && takes_mail(demand, view->names[i]));
		}
		if (!all)
			continue;
		if (!unacceptable(view, demand, violation)) {
			if (named)
				continue;
			/* An answer that a sender which honours the policy turns down (RFC 8461 5).
			 */
			violation->reason = "mta-sts-mx";
			violation->words = "the host that DNS names is none of the policy's";
		}
		violation->policy = demand->name;
		violation->subject = domains[count - 1];
		violation->confidence = CONFIDENCE_MEDIUM;
		return true;
	}
	return false;
}

static enum confidence dns_confidence(enum dns_trust trust)
{
	switch (trust) {
	case DNS_TRUST_AUTHENTICATED:
		return CONFIDENCE_HIGH;
	case DNS_TRUST_SIGNED:
		return CONFIDENCE_MEDIUM;
	case DNS_TRUST_NONE:
		break;
	}
	return CONFIDENCE_LOW;
}

/*
 * Whether the certificate is none of those that the records name, as is one that is not
 * shown. Told only when each of them names one certificate or key by its SHA-256 (3 0 1, 3 1 1);
 * others need the chain, or bytes that are not kept.
 */
static bool certificate_contradicts(const struct dns_tlsa *tlsa,
				    const struct observation *observation)
{
	const struct certificate_info *certificate = observation->certificate;
	if ((certificate == NULL && shows_none(&observation->facts.tls) == NULL) || tlsa->more)
		return false;
	for (unsigned i = 0; i < tlsa->count; i++) {
		const struct dns_tlsa_record *record = &tlsa->records[i];
		if (record->usage != 3 || record->selector > 1 || !record->has_data)
			return false;
		const uint8_t *seen = observation->facts.tls.certificate_sha256;
		if (certificate != NULL)
			seen =
			    record->selector == 1 ? certificate->key_sha256 : certificate->sha256;
		else if (record->selector == 1)
			continue; /* what is no certificate has no key */
		if (memcmp(seen, record->data, sizeof record->data) == 0)
			return false;
	}
	return tlsa->count > 0;
}

/* RFC 7672 2.2: TLSA records make TLS mandatory, usable ones say with which key. */
static bool violates_dane(const struct view *view, struct violation *violation)
{
	const struct session_facts *facts = &view->observation->facts;
	for (unsigned i = 0; i < view->name_count; i++) {
		struct dns_tlsa tlsa;
		if (!dns_memory_tlsa(view->dns, view->names[i], facts->server.port,
				     view->observation->time_ns, &tlsa))
			continue;
		*violation = (struct violation){
		    .claim = " has TLSA records in DNS, which demand TLS (RFC 7672): ",
		    .subject = view->names[i],
		    .confidence = dns_confidence(tlsa.trust),
		};
		if (in_clear(facts, violation)) {
			violation->reason = "dane-plaintext";
			return true;
		}
		if (tls_is_up(facts) && certificate_contradicts(&tlsa, view->observation)) {
			const char *none = shows_none(&facts->tls);
			violation->reason = "dane-certificate";
			violation->words =
			    none != NULL ? none : "the certificate is none of those it names";
			return true;
		}
	}
	return false;
}

/* The record says that there is a policy, not which; where its text is known, that counts. */
static bool violates_announced_sts(const struct view *view, struct violation *violation)
{
	const struct session_facts *facts = &view->observation->facts;
	struct span list = session_facts_text(facts, TEXT_RECIPIENT_DOMAINS);
	while (list.len > 0 && facts->recipients > 0) {
		struct span domain = next_word(&list);
		if (!dns_memory_announces_sts(view->dns, domain, view->observation->time_ns) ||
		    sts_of_domain(view, domain) != NULL)
			continue;
		*violation = (struct violation){
		    .claim = " announces an MTA-STS policy in DNS, whose text is not known here: ",
		    .subject = domain,
		    .confidence = CONFIDENCE_LOW,
		};
		if (in_clear(facts, violation)) {
			violation->reason = "mta-sts-announced";
			return true;
		}
	}
	return false;
}

/* ---- findings ---- */

void policy_context(const struct policy *policy, const struct dns_memory *dns,
		    const struct observation *observation, struct verdict_context *context)
{
	struct view view = look(policy, dns, observation);
	struct violation violation;
	for (size_t i = 0; policy != NULL && i < policy->count; i++) {
		const struct demand *demand = &policy->demands[i];
		if (!is_active(demand) ||
		    (!on_server(&view, demand) && on_domain(&view, demand).len == 0))
			continue;
		context->policy_demands_tls = true;
		context->policy_demands_valid |= demand->valid_certificate;
	}
	if (dns != NULL && violates_dane(&view, &violation) &&
	    violation.confidence != CONFIDENCE_LOW)
		context->policy_demands_tls = true;
}

static bool find_violation(const struct view *view, struct violation *violation)
{
	for (size_t i = 0; view->policy != NULL && i < view->policy->count; i++)
		if (violates(view, &view->policy->demands[i], violation))
			return true;
	return view->dns != NULL &&
	       (violates_sts_by_mx(view, violation) || violates_dane(view, violation) ||
		violates_announced_sts(view, violation));
}

/* A finding of the rule in its place; NULL when there is one already. */
static struct finding *raise(struct verdict *verdict)
{
	unsigned at = 0;
	while (at < verdict->count && verdict->findings[at].rule < RULE_POLICY_VIOLATION)
		at++;
	if (verdict->count == RULE_COUNT ||
	    (at < verdict->count && verdict->findings[at].rule == RULE_POLICY_VIOLATION))
		return NULL;
	memmove(&verdict->findings[at + 1], &verdict->findings[at],
		(verdict->count - at) * sizeof verdict->findings[0]);
	verdict->count++;
	verdict->findings[at] = (struct finding){.rule = RULE_POLICY_VIOLATION};
	return &verdict->findings[at];
}

void policy_findings(const struct policy *policy, const struct dns_memory *dns,
		     const struct observation *observation, uint32_t already,
		     struct verdict *verdict)
{
	struct violation violation;
	if ((already >> RULE_POLICY_VIOLATION & 1) != 0)
		return;
	struct view view = look(policy, dns, observation);
	if (!find_violation(&view, &violation))
		return;
	struct finding *finding = raise(verdict);
	if (finding == NULL)
		return;
	finding->severity = SEVERITY_CRITICAL;
	finding->confidence = violation.confidence;
	finding->reason = violation.reason;
	finding->basis = (struct finding_basis){
	    .known = violation.policy != NULL ? "a stated policy demands TLS"
					      : "DNS answers that were seen demand TLS",
	    .seen = violation.words,
	};
	if (violation.policy != NULL) {
		sentence_text(finding, "The policy ");
		sentence_wire(finding, span_head(span_str(violation.policy), 60));
		sentence_text(finding, " demands TLS ");
		sentence_text(finding,
			      violation.subject.len > 0 ? "for mail to " : "of this server");
	}
	sentence_wire(finding, span_head(violation.subject, 80));
	sentence_text(finding, violation.policy != NULL ? ": " : violation.claim);
	sentence_text(finding, violation.words);
	sentence_text(finding, ".");
}
