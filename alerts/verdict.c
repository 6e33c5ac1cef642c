/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/verdict.h"

#include "decoders/tls_handshake.h"
#include "decoders/tls_suites.h"

/* What one judging looks at, and the finding it writes. */
struct judging {
	const struct session_facts *facts;
	const struct certificate_info *certificate;
	const struct verdict_context *context;
	enum port_class port;
};

static enum port_class port_class_of(uint16_t server_port)
{
	return server_port == 587 || server_port == 465 ? PORT_SUBMISSION : PORT_RELAY;
}

static bool reached(const struct session_facts *facts, uint32_t milestones)
{
	return (facts->milestones & milestones) != 0;
}

/* Adds to the sentence; what does not fit is cut. */
static void say(struct finding *finding, const char *text)
{
	size_t at = strlen(finding->message), len = strlen(text);
	size_t room = sizeof finding->message - 1 - at;
	if (len > room)
		len = room;
	memcpy(finding->message + at, text, len);
	finding->message[at + len] = '\0';
}

static void say_number(struct finding *finding, unsigned number)
{
	char digits[11];
	size_t at = sizeof digits - 1;
	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	say(finding, digits + at);
}

/* The code of a reply, in a sentence that says what was answered with it. */
static void say_code(struct finding *finding, uint16_t code)
{
	if (code == REPLY_WITHOUT_CODE)
		say(finding, "a line that is no SMTP reply");
	else
		say_number(finding, code);
}

static bool raise(struct finding *finding, enum severity severity, enum confidence confidence,
		  const char *reason)
{
	finding->severity = severity;
	finding->confidence = confidence;
	finding->reason = reason;
	return true;
}

/* What was seen and needs no interpretation; less so where bytes are missing. */
static enum confidence as_seen(const struct session_facts *facts)
{
	return facts->visibility == VISIBILITY_FULL ? CONFIDENCE_CERTAIN : CONFIDENCE_HIGH;
}

static bool refused(const struct session_facts *facts)
{
	return reached(facts, MILESTONE_STARTTLS_REPLY) && facts->starttls_code != 0 &&
	       facts->starttls_code != 220;
}

static bool judge_plaintext_mail(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->mails == 0)
		return false;

	const char *reason, *why;
	if (facts->tls.established == TRI_TRUE) {
		/* At the first MAIL in the clear: TLS came up before it. */
		reason = "behind-tls";
		why = "it came in the clear on a connection on which TLS was up";
	} else if (facts->masked_offer || facts->masked_command) {
		reason = "starttls-masked";
		why = "STARTTLS was overwritten on the path";
	} else if (refused(facts)) {
		reason = "starttls-refused";
		why = "the server refused STARTTLS";
	} else if (facts->starttls_code == 220) {
		reason = "upgrade-failed";
		why = "TLS did not come up after STARTTLS";
	} else if (facts->requested == TRI_TRUE) {
		reason = "reply-not-seen";
		why = "the client asked for STARTTLS, and what it was answered was not seen";
	} else if (facts->offered == TRI_TRUE && facts->requested == TRI_UNKNOWN) {
		reason = "request-not-seen";
		why = "the server offers STARTTLS, and whether the client asked for it was not "
		      "seen";
	} else if (facts->offered == TRI_TRUE) {
		reason = "starttls-not-used";
		why = "the server offers STARTTLS and the client did not ask for it";
	} else if (facts->offered == TRI_FALSE) {
		reason = "starttls-not-offered";
		why = "the server did not offer STARTTLS";
	} else if (facts->helo_accepted > 0) {
		reason = "helo-only";
		why = "the client got no further than HELO";
	} else {
		reason = "offer-not-seen";
		why = "whether STARTTLS was offered was not seen";
	}
	enum severity severity = SEVERITY_LOW;
	if (judging->context->policy_demands_tls)
		severity = SEVERITY_HIGH;
	else if (judging->port == PORT_SUBMISSION)
		severity = SEVERITY_MEDIUM;
	say(finding, "Mail was sent without TLS: ");
	say(finding, why);
	say(finding, ".");
	return raise(finding, severity, CONFIDENCE_CERTAIN, reason);
}

static bool judge_plaintext_credentials(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (!facts->credentials_in_clear)
		return false;
	if (facts->auth_sends == SASL_SENDS_IDENTITY) {
		say(finding, "The client said without TLS who it is (AUTH EXTERNAL): whoever can "
			     "take its place on the path can say the same.");
		return raise(finding, SEVERITY_MEDIUM, CONFIDENCE_CERTAIN, "identity");
	}
	if (facts->auth_sends == SASL_SENDS_PROOF) {
		say(finding, "The client authenticated without TLS by challenge and response: the "
			     "password can be guessed offline from what was sent.");
		return raise(finding, SEVERITY_MEDIUM, CONFIDENCE_CERTAIN, "challenge-response");
	}
	say(finding, "The client sent its password or token without TLS: change it, and make the "
		     "client and the server require TLS.");
	return raise(finding, SEVERITY_HIGH, CONFIDENCE_CERTAIN, "password");
}

static bool judge_starttls_masked(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (!facts->masked_offer && !facts->masked_command)
		return false;
	/* A device that masks usually masks more than this one word. */
	bool more = facts->greeting_masked || facts->masked_keywords > 1 ||
		    (facts->masked_offer && facts->masked_command);
	enum confidence confidence = more ? CONFIDENCE_CERTAIN : CONFIDENCE_HIGH;
	if (facts->masked_offer) {
		say(finding,
		    "A device on the path overwrote the server's STARTTLS offer at its own "
		    "length, so the client could not see it.");
		return raise(finding, SEVERITY_HIGH, confidence, "offer");
	}
	say(finding, "A device on the path overwrote the client's STARTTLS command, so the server "
		     "never got it.");
	return raise(finding, SEVERITY_HIGH, confidence, "command");
}

static bool judge_starttls_refused(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (!refused(facts) || facts->offered != TRI_TRUE || facts->requested != TRI_TRUE)
		return false;
	say(finding, "The server offered STARTTLS and answered the request with ");
	say_code(finding, facts->starttls_code);
	if (facts->starttls_code / 100 == 4) {
		say(finding, ": TLS is broken there, or the reply was forged on the path.");
		return raise(finding,
			     judging->context->refuses_all ? SEVERITY_MEDIUM : SEVERITY_HIGH,
			     CONFIDENCE_MEDIUM, "temporary");
	}
	if (facts->starttls_code / 100 == 5) {
		say(finding,
		    ": no server offers what it does not have; suspect a device on the path.");
		return raise(finding, SEVERITY_HIGH, CONFIDENCE_HIGH, "permanent");
	}
	say(finding, ", which no server gives to STARTTLS: suspect a device on the path.");
	return raise(finding, SEVERITY_HIGH, CONFIDENCE_HIGH, "not-220");
}

/* Waits for the end: STARTTLS may still come, even after mail. */
static bool judge_starttls_ignored(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->offered != TRI_TRUE || facts->requested != TRI_FALSE || facts->masked_command ||
	    facts->tls.established == TRI_TRUE)
		return false;
	if (facts->credentials_in_clear) {
		say(finding, "The server offered STARTTLS and the client sent credentials without "
			     "asking for it: the client is not set up for TLS.");
		return raise(finding, SEVERITY_MEDIUM, as_seen(facts), "credentials");
	}
	if (facts->mails_2xx == 0)
		return false;
	say(finding, "The server offered STARTTLS and the client sent mail without asking for it: "
		     "the client is not set up for TLS, or did not see the offer.");
	return raise(finding, SEVERITY_MEDIUM, as_seen(facts), "mail");
}

struct failure_words {
	const char *reason, *message;
	enum confidence confidence;
};

static bool judge_tls_handshake_failed(const struct judging *judging, struct finding *finding)
{
	static const struct failure_words words[] = {
	    [TLS_FAILURE_NO_CLIENT_HELLO] = {"no-client-hello",
					     "the connection ended without a ClientHello",
					     CONFIDENCE_HIGH},
	    [TLS_FAILURE_CLIENT_PLAINTEXT] = {"client-plaintext", "the client went on in the clear",
					      CONFIDENCE_CERTAIN},
	    [TLS_FAILURE_SERVER_PLAINTEXT] = {"server-plaintext",
					      "the ClientHello was answered in the clear",
					      CONFIDENCE_CERTAIN},
	    [TLS_FAILURE_NO_SERVER_HELLO] = {"no-server-hello",
					     "the connection ended without a ServerHello",
					     CONFIDENCE_HIGH},
	    [TLS_FAILURE_ALERT] = {"tls-alert", "a TLS alert ended the handshake",
				   CONFIDENCE_CERTAIN},
	    [TLS_FAILURE_UNFINISHED] = {"unfinished",
					"the connection ended before both sides were protected",
					CONFIDENCE_HIGH},
	    [TLS_FAILURE_CLIENT_REJECTED] = {"client-rejected",
					     "the client seems to have rejected the server, "
					     "probably its certificate",
					     CONFIDENCE_MEDIUM},
	    [TLS_FAILURE_MALFORMED] = {"malformed", "what followed was neither TLS nor SMTP",
				       CONFIDENCE_HIGH},
	};
	const struct session_facts *facts = judging->facts;
	size_t failure = (size_t)facts->tls_failure;
	if (facts->starttls_code != 220 || failure >= sizeof words / sizeof words[0] ||
	    words[failure].reason == NULL)
		return false;
	say(finding, "The server agreed to STARTTLS, but TLS did not come up: ");
	say(finding, words[failure].message);
	say(finding, ".");
	return raise(finding, SEVERITY_MEDIUM, words[failure].confidence, words[failure].reason);
}

static bool judge_plaintext_fallback(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->mails_after_failure == 0 || judging->context->stripped)
		return false;
	if (refused(facts)) {
		say(finding, "STARTTLS was refused and the client sent its mail without TLS in the "
			     "same session: whoever refuses gets the mail.");
		return raise(finding, SEVERITY_HIGH, as_seen(facts), "refused");
	}
	say(finding, "TLS did not come up and the client sent its mail without it in the same "
		     "session: whoever breaks the handshake gets the mail.");
	return raise(finding, SEVERITY_HIGH, as_seen(facts), "failed");
}

static bool judge_ehlo_refused(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->ehlo_refused == 0)
		return false;
	bool known = judging->context->ehlo_accepted_before;
	say(finding, "EHLO was refused");
	if (facts->ehlo_refused_code != 0) {
		say(finding, " with ");
		say_code(finding, facts->ehlo_refused_code);
	}
	say(finding, known ? ", which this server accepts otherwise, and HELO took its place: "
			     "suspect a device on the path."
			   : " and HELO took its place, which has no STARTTLS.");
	unsigned kind = facts->ehlo_refused_code / 100;
	return raise(finding, known ? SEVERITY_HIGH : SEVERITY_MEDIUM,
		     known ? CONFIDENCE_HIGH : CONFIDENCE_MEDIUM,
		     kind == 4   ? "temporary"
		     : kind == 5 ? "permanent"
				 : "not-250");
}

static bool judge_starttls_injection(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->injection == 0)
		return false;
	if ((facts->injection & INJECTION_CLIENT_PIPELINED) != 0) {
		say(finding, "Plaintext followed STARTTLS before the server's reply: commands are "
			     "being smuggled into the TLS session of a careless server.");
		return raise(finding, SEVERITY_HIGH, CONFIDENCE_HIGH, "client");
	}
	say(finding, "Plaintext followed the server's 220 before the handshake: replies are being "
		     "smuggled into the TLS session of a careless client.");
	return raise(finding, SEVERITY_HIGH, CONFIDENCE_HIGH, "server");
}

static bool judge_plaintext_in_tls(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->plaintext_in_tls_side == SIDE_CLIENT) {
		say(finding, "The client's side of a TLS connection carried bytes that are no TLS "
			     "record.");
		return raise(finding, SEVERITY_CRITICAL, CONFIDENCE_MEDIUM, "client");
	}
	if (facts->plaintext_in_tls_reply) {
		say(finding, "A plaintext SMTP reply stood in place of the server's TLS record: an "
			     "attacker on the path is breaking TLS to provoke plaintext.");
		return raise(finding, SEVERITY_CRITICAL, as_seen(facts), "server-reply");
	}
	say(finding, "The server's side of a TLS connection carried bytes that are no TLS record.");
	return raise(finding, SEVERITY_CRITICAL, CONFIDENCE_MEDIUM, "server");
}

static bool judge_tcp_injection(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (facts->conflicts == 0) {
		say(finding, "One side seemed to reset the connection and both went on: the reset "
			     "was forged, by someone who wants to break or to hide the session.");
		return raise(finding, SEVERITY_HIGH, CONFIDENCE_HIGH, "reset");
	}
	bool client = facts->conflict_side == SIDE_CLIENT;
	say(finding, client ? "The client's" : "The server's");
	say(finding, " plaintext bytes were sent a second time with different content: someone "
		     "else is writing into the connection.");
	return raise(finding, SEVERITY_HIGH, CONFIDENCE_HIGH, client ? "client" : "server");
}

static bool judge_tls_downgrade(const struct judging *judging, struct finding *finding)
{
	const struct session_tls *tls = &judging->facts->tls;
	if (reached(judging->facts, MILESTONE_SERVER_HELLO) && tls->sentinel && tls->offered_more) {
		say(finding,
		    "The server marked its hello as downgraded although the client offered "
		    "a higher TLS version: the ClientHello was changed on the path.");
		return raise(finding, SEVERITY_CRITICAL, CONFIDENCE_HIGH, "sentinel");
	}
	if (!reached(judging->facts, MILESTONE_TLS_ALERT))
		return false;
	for (unsigned side = 0; side < 2; side++) {
		if (tls->alert_level[side] == 0 ||
		    tls->alert_description[side] != TLS_ALERT_INAPPROPRIATE_FALLBACK)
			continue;
		say(finding, "The server rejected a repeated handshake at a lower TLS version "
			     "(inappropriate_fallback): an earlier attempt was broken off on the "
			     "path.");
		return raise(finding, SEVERITY_CRITICAL, CONFIDENCE_HIGH, "inappropriate-fallback");
	}
	return false;
}

/* The end of the handshake, one way or the other. */
static bool handshake_over(const struct session_facts *facts)
{
	return reached(facts, MILESTONE_TLS_UP | MILESTONE_TLS_FAILED | MILESTONE_CLOSED);
}

static const char *weak_version(uint16_t version)
{
	switch (version) {
	case 0x0002:
		return "ssl-2.0";
	case 0x0300:
		return "ssl-3.0";
	case 0x0301:
		return "tls-1.0";
	case 0x0302:
		return "tls-1.1";
	default:
		return NULL;
	}
}

static bool judge_tls_weak(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	/* What failed was not negotiated: the peer may have declined just this. */
	if (!handshake_over(facts) || facts->tls.established == TRI_FALSE ||
	    facts->tls.version == 0)
		return false;
	const struct tls_suite *suite = tls_suite_find(facts->tls.version, facts->tls.suite);
	enum tls_weakness weakness = suite == NULL ? TLS_WEAKNESS_NONE : suite->weakness;
	const char *version = weak_version(facts->tls.version);
	/* A suite that protects nothing is worse than any version, a version worse than old
	 * ciphers. */
	bool void_suite = weakness == TLS_WEAKNESS_NULL || weakness == TLS_WEAKNESS_EXPORT ||
			  weakness == TLS_WEAKNESS_ANONYMOUS;
	const char *reason = version;
	if (void_suite || (version == NULL && weakness != TLS_WEAKNESS_NONE))
		reason = tls_weakness_word(weakness);
	if (reason == NULL)
		return false;
	say(finding, "The session is protected by weak TLS only: ");
	say(finding, reason);
	if (suite != NULL && reason != version) {
		say(finding, " (");
		say(finding, suite->name);
		say(finding, ")");
	}
	say(finding, void_suite ? "; anyone on the path can read or change it."
				: "; it no longer resists a determined attacker.");
	return raise(finding, SEVERITY_MEDIUM, CONFIDENCE_CERTAIN, reason);
}

static bool judge_certificate_invalid(const struct judging *judging, struct finding *finding)
{
	const struct session_facts *facts = judging->facts;
	if (!handshake_over(facts))
		return false;
	uint32_t problems = facts->tls.certificate_problems;
	if (judging->context->policy_demands_valid && judging->certificate != NULL &&
	    judging->certificate->self_signed)
		problems |= CERTIFICATE_SELF_SIGNED;
	unsigned worst = 0;
	while (worst < CERTIFICATE_PROBLEM_COUNT && (problems >> worst & 1) == 0)
		worst++;
	if (worst == CERTIFICATE_PROBLEM_COUNT)
		return false;
	bool grave = judging->port == PORT_SUBMISSION || judging->context->policy_demands_tls ||
		     judging->context->policy_demands_valid;
	say(finding, "The server's certificate is not valid: ");
	say(finding, certificate_problem_meaning(worst));
	say(finding, grave ? "; clients must not accept it."
			   : "; on port 25 most clients accept it all the same.");
	return raise(finding, grave ? SEVERITY_HIGH : SEVERITY_LOW, CONFIDENCE_CERTAIN,
		     certificate_problem_word(worst));
}

/* What a session must have reached, one of these, before the rule has anything to look at. */
static const uint32_t occasions[RULE_COUNT] = {
    [RULE_PLAINTEXT_MAIL] = MILESTONE_MAIL,
    [RULE_PLAINTEXT_CREDENTIALS] = MILESTONE_CREDENTIALS,
    [RULE_STARTTLS_MASKED] = MILESTONE_MASKED,
    [RULE_STARTTLS_REFUSED] = MILESTONE_STARTTLS_REPLY,
    [RULE_STARTTLS_IGNORED] = MILESTONE_CLOSED,
    [RULE_TLS_HANDSHAKE_FAILED] = MILESTONE_TLS_FAILED,
    [RULE_PLAINTEXT_FALLBACK] = UINT32_MAX, /* counted without a milestone of its own */
    [RULE_EHLO_REFUSED] = MILESTONE_EHLO_REFUSED,
    [RULE_STARTTLS_INJECTION] = MILESTONE_INJECTION,
    [RULE_PLAINTEXT_IN_TLS] = MILESTONE_PLAINTEXT_IN_TLS,
    [RULE_TCP_INJECTION] = MILESTONE_CONFLICT,
    [RULE_TLS_DOWNGRADE] = MILESTONE_SERVER_HELLO | MILESTONE_TLS_ALERT,
    [RULE_TLS_WEAK] = MILESTONE_SERVER_HELLO,
    [RULE_CERTIFICATE_INVALID] = MILESTONE_CERTIFICATE,
};

static bool judge_rule(enum rule rule, const struct judging *judging, struct finding *finding)
{
	switch (rule) {
	case RULE_PLAINTEXT_MAIL:
		return judge_plaintext_mail(judging, finding);
	case RULE_PLAINTEXT_CREDENTIALS:
		return judge_plaintext_credentials(judging, finding);
	case RULE_STARTTLS_MASKED:
		return judge_starttls_masked(judging, finding);
	case RULE_STARTTLS_REFUSED:
		return judge_starttls_refused(judging, finding);
	case RULE_STARTTLS_IGNORED:
		return judge_starttls_ignored(judging, finding);
	case RULE_TLS_HANDSHAKE_FAILED:
		return judge_tls_handshake_failed(judging, finding);
	case RULE_PLAINTEXT_FALLBACK:
		return judge_plaintext_fallback(judging, finding);
	case RULE_EHLO_REFUSED:
		return judge_ehlo_refused(judging, finding);
	case RULE_STARTTLS_INJECTION:
		return judge_starttls_injection(judging, finding);
	case RULE_PLAINTEXT_IN_TLS:
		return judge_plaintext_in_tls(judging, finding);
	case RULE_TCP_INJECTION:
		return judge_tcp_injection(judging, finding);
	case RULE_TLS_DOWNGRADE:
		return judge_tls_downgrade(judging, finding);
	case RULE_TLS_WEAK:
		return judge_tls_weak(judging, finding);
	case RULE_CERTIFICATE_INVALID:
		return judge_certificate_invalid(judging, finding);
	case RULE_STARTTLS_STRIPPED:
	case RULE_CERTIFICATE_CHANGED:
	case RULE_POLICY_VIOLATION:
	case RULE_PATH_DOWNGRADE:
	case RULE_TAP_DIVERGENCE:
	case RULE_COUNT:
		break; /* not from one session alone */
	}
	return false;
}

void verdict_judge(const struct session_facts *facts, const struct certificate_info *certificate,
		   const struct verdict_context *context, uint32_t already, struct verdict *verdict)
{
	const struct judging judging = {
	    .facts = facts,
	    .certificate = certificate,
	    .context = context,
	    .port = port_class_of(facts->server.port),
	};
	verdict->count = 0;
	for (unsigned rule = 0; rule < RULE_COUNT; rule++) {
		if ((already >> rule & 1) != 0 || !reached(facts, occasions[rule]))
			continue;
		struct finding *finding = &verdict->findings[verdict->count];
		finding->rule = (enum rule)rule;
		finding->scope = NULL;
		finding->basis.known = NULL;
		finding->message[0] = '\0';
		if (judge_rule((enum rule)rule, &judging, finding))
			verdict->count++;
	}
}

bool verdict_is_routine(const struct session_facts *facts, uint32_t new_milestones)
{
	const uint32_t usual = MILESTONE_EHLO_REPLY | MILESTONE_STARTTLS_REPLY |
			       MILESTONE_SERVER_HELLO | MILESTONE_CERTIFICATE | MILESTONE_TLS_UP |
			       MILESTONE_CLOSED;
	/* A new certificate may be another one than the server had. */
	if ((facts->milestones & ~usual) != 0 || (new_milestones & MILESTONE_CERTIFICATE) != 0 ||
	    facts->offered != TRI_TRUE || facts->requested == TRI_FALSE ||
	    (facts->starttls_code != 0 && facts->starttls_code != 220))
		return false;
	const struct session_tls *tls = &facts->tls;
	if (tls->sentinel || tls->rolled_back || tls->certificate_problems != 0)
		return false;
	if (!reached(facts, MILESTONE_SERVER_HELLO))
		return !reached(facts, MILESTONE_CLOSED);
	const struct tls_suite *suite = tls_suite_find(tls->version, tls->suite);
	return weak_version(tls->version) == NULL && suite != NULL &&
	       suite->weakness == TLS_WEAKNESS_NONE;
}
