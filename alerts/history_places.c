/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and taps: where on the network sessions lose what they were offered. */
#include "alerts/history_state.h"
#include "alerts/sentence.h"

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
	    .basis = {.known = "the servers offer STARTTLS, and sessions with them are upgraded",
		      .seen = "sessions of one path lose it",
		      .servers = path->servers,
		      .networks = path->networks,
		      .usual_percent = path->quiet_percent,
		      .first_s = path->since_ns / NS_PER_S,
		      .last_s = path->until_ns / NS_PER_S},
	};
	say_path(finding, path);
}

/* Whether this observation decides that the session lost, or got, its upgrade. */
static bool is_trial(const struct history *history, const struct observation *observation,
		     enum change_point_trial *outcome)
{
	const struct session_facts *facts = &observation->facts;
	if (history_news(observation, MILESTONE_TLS_UP)) {
		*outcome = TRIAL_UPGRADED;
		return facts->starttls_code == 220;
	}
	if (history_news(observation, MILESTONE_TLS_FAILED)) {
		*outcome = TRIAL_FAILED;
		return true;
	}
	*outcome = TRIAL_STRIPPED;
	if (history_news(observation, MILESTONE_EHLO_REPLY) &&
	    history_stripped(history, facts) != NULL)
		return true;
	if (history_news(observation, MILESTONE_STARTTLS_REPLY) && facts->starttls_code != 220 &&
	    facts->starttls_code != 0)
		return true;
	return history_news(observation, MILESTONE_MASKED | MILESTONE_EHLO_REFUSED);
}

void history_find_path_downgrade(struct history *history, const struct observation *observation,
				 uint32_t already, struct verdict *verdict)
{
	const struct session_facts *facts = &observation->facts;
	enum change_point_trial outcome;
	if (!is_trial(history, observation, &outcome) || !history_may_teach(facts))
		return;
	struct server_memory sum;
	const struct server_memory *server = history_known(history, &facts->server, &sum);
	if (server == NULL || !server_memory_offers(server))
		return;
	const struct path_trial trial = {
	    .session = session_identity_of(facts),
	    .network = history_client_network(history, facts),
	    .prefix = history_client_prefix(history, facts),
	    .time_ns = observation->time_ns,
	    .outcome = outcome,
	};
	struct path_state raised;
	if (path_watch_trial(history->paths, &trial, &raised)) {
		history->raised_lost = raised.lost;
		struct finding *finding = history_raise(verdict, already, RULE_PATH_DOWNGRADE);
		if (finding != NULL)
			history_path_finding(&raised, finding);
	}
	struct stripped *stripped = history_stripped(history, facts);
	if (stripped != NULL && !stripped->absorbed)
		stripped->absorbed = path_watch_absorb(history->paths, facts->tap, &trial.network);
}

static const char *offer_words(enum tri offered)
{
	return offered == TRI_TRUE ? "STARTTLS offered" : "STARTTLS not offered";
}

static void say_reply(struct finding *finding, const struct tap_view *view)
{
	if (view->starttls_code == 0) {
		sentence_text(finding, view->ehlo_refused > 0 ? "EHLO refused" : "EHLO accepted");
		return;
	}
	sentence_text(finding, "STARTTLS answered with ");
	if (view->starttls_code == REPLY_WITHOUT_CODE)
		sentence_text(finding, "a line that is no SMTP reply");
	else
		sentence_number(finding, view->starttls_code);
}

static void say_command(struct finding *finding, const struct tap_view *view)
{
	if (view->masked_command)
		sentence_text(finding, "the command overwritten");
	else if (view->ehlo_sent == 0)
		sentence_text(finding, "HELO alone");
	else
		sentence_text(finding, view->requested == TRI_TRUE ? "STARTTLS requested"
								   : "STARTTLS not requested");
}

/* The first bytes of a digest: enough to tell two apart by eye. */
static void say_hex(struct finding *finding, const uint8_t *digest)
{
	static const char digits[] = "0123456789abcdef";
	char hex[17] = {0};
	for (unsigned i = 0; i < 8; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	sentence_text(finding, hex);
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

static void say_view(const struct history *history, struct finding *finding,
		     const struct tap_divergence *divergence, const struct tap_view *view)
{
	if (history->config.tap_names != NULL && view->tap < history->config.tap_count &&
	    history->config.tap_names[view->tap] != NULL) {
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
		say_reply(finding, view);
		break;
	case TAP_DIFFERS_CERTIFICATE:
		sentence_text(finding, "certificate ");
		say_hex(finding, view->certificate_sha256);
		break;
	case TAP_DIFFERS_HELLO:
		sentence_text(finding, version_words(view->version));
		sentence_text(finding, " of ");
		sentence_text(finding, version_words(view->offered_version));
		sentence_text(finding, " offered, hellos ");
		say_hex(finding, view->hello_random[SIDE_CLIENT]);
		sentence_text(finding, " and ");
		say_hex(finding, view->hello_random[SIDE_SERVER]);
		break;
	case TAP_DIFFERS_GREETING:
		sentence_text(finding, view->greeting_masked ? "a greeting of asterisks"
							     : "the server's greeting");
		break;
	case TAP_DIFFERS_INJECTION:
		sentence_text(finding, view->injection != 0 ? "plaintext at the beginning of TLS"
							    : "no plaintext there");
		break;
	case TAP_DIFFERS_CAPABILITIES:
		sentence_text(finding, "another list of extensions");
		break;
	case TAP_DIFFERS_COMMAND:
		say_command(finding, view);
		break;
	case TAP_SAME:
	case TAP_DIFFERENCES:
		break;
	}
}

void history_find_tap_divergence(struct history *history, const struct observation *observation,
				 uint32_t already, struct verdict *verdict)
{
	static const char *const reasons[] = {
	    [TAP_DIFFERS_OFFER] = "offer",
	    [TAP_DIFFERS_REPLY] = "reply",
	    [TAP_DIFFERS_CERTIFICATE] = "certificate",
	    [TAP_DIFFERS_HELLO] = "tls-hello",
	    [TAP_DIFFERS_GREETING] = "greeting",
	    [TAP_DIFFERS_INJECTION] = "injection",
	    [TAP_DIFFERS_CAPABILITIES] = "capabilities",
	    [TAP_DIFFERS_COMMAND] = "command",
	};
	static const char *const seen[] = {
	    [TAP_DIFFERS_OFFER] = "STARTTLS is offered at one tap and not at the other",
	    [TAP_DIFFERS_REPLY] = "STARTTLS is answered differently at the two taps",
	    [TAP_DIFFERS_CERTIFICATE] = "the certificates at the two taps differ",
	    [TAP_DIFFERS_HELLO] = "the hellos of TLS differ: it ends between the taps",
	    [TAP_DIFFERS_GREETING] = "the greeting is overwritten at one tap alone",
	    [TAP_DIFFERS_INJECTION] = "plaintext stands at the beginning of TLS at one tap alone",
	    [TAP_DIFFERS_CAPABILITIES] = "the lists of extensions differ",
	    [TAP_DIFFERS_COMMAND] = "a command arrives at one tap and not at the other",
	};
	struct tap_divergence *found = &history->divergence;
	if (history->taps == NULL && observation->facts.tap != 0)
		history->taps = tap_match_create(history->budget, &history->config.key,
						 history->config.limits.sessions);
	if (history->taps == NULL || !tap_match_compare(history->taps, observation, found))
		return;
	struct finding *finding = history_raise(verdict, already, RULE_TAP_DIVERGENCE);
	if (finding == NULL)
		return;
	finding->severity = SEVERITY_CRITICAL;
	finding->confidence = found->proxied ? CONFIDENCE_HIGH : CONFIDENCE_CERTAIN;
	finding->reason = reasons[found->difference];
	finding->basis = (struct finding_basis){
	    .known = "the same session was seen at another tap",
	    .seen = seen[found->difference],
	    .sessions = 1,
	};
	sentence_text(finding, "The same session looked different at two taps: ");
	say_view(history, finding, found, &found->here);
	sentence_text(finding, ", ");
	say_view(history, finding, found, &found->there);
	sentence_text(finding, found->proxied
				   ? ". It was changed between them, by something that opens a "
				     "connection of its own."
				   : ". It was changed between them.");
}

const struct tap_divergence *history_divergence(const struct history *history)
{
	return &history->divergence;
}

bool history_next_path(struct history *history, int64_t now_ns, int64_t window_ns, bool finish,
		       struct path_state *path)
{
	return path_watch_next(history->paths, now_ns, window_ns, finish, path);
}
