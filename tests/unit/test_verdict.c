/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/verdict.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct verdict_context NOTHING_KNOWN;

static struct session_facts facts_on(uint16_t port)
{
	return (struct session_facts){.server.port = port, .visibility = VISIBILITY_FULL};
}

static const struct finding *find(const struct verdict *verdict, enum rule rule)
{
	for (unsigned i = 0; i < verdict->count; i++)
		if (verdict->findings[i].rule == rule)
			return &verdict->findings[i];
	return NULL;
}

struct expectation {
	const char *name;
	struct session_facts facts;
	struct verdict_context context;
	enum rule rule;
	bool raised;
	enum severity severity;
	enum confidence confidence;
	const char *reason;
};

#define FULL .visibility = VISIBILITY_FULL

static const struct expectation expectations[] = {
    {"mail on 25",
     {FULL, .server.port = 25, .milestones = MILESTONE_MAIL, .mails = 1, .offered = TRI_FALSE},
     {0},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_LOW,
     CONFIDENCE_CERTAIN,
     "starttls-not-offered"},
    {"mail on 587",
     {FULL, .server.port = 587, .milestones = MILESTONE_MAIL, .mails = 1, .offered = TRI_TRUE,
      .requested = TRI_FALSE},
     {0},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "starttls-not-used"},
    {"mail, the request not seen",
     {FULL, .server.port = 25, .milestones = MILESTONE_MAIL, .mails = 1, .offered = TRI_TRUE},
     {0},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_LOW,
     CONFIDENCE_CERTAIN,
     "request-not-seen"},
    {"mail, the reply not seen",
     {FULL, .server.port = 25, .milestones = MILESTONE_MAIL, .mails = 1, .offered = TRI_TRUE,
      .requested = TRI_TRUE},
     {0},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_LOW,
     CONFIDENCE_CERTAIN,
     "reply-not-seen"},
    {"mail behind TLS",
     {FULL, .server.port = 25, .milestones = MILESTONE_MAIL | MILESTONE_TLS_UP, .mails = 1,
      .offered = TRI_TRUE, .requested = TRI_TRUE, .starttls_code = 220,
      .tls = {.established = TRI_TRUE}},
     {0},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_LOW,
     CONFIDENCE_CERTAIN,
     "behind-tls"},
    {"mail where TLS did not come up",
     {FULL, .server.port = 25, .milestones = MILESTONE_MAIL, .mails = 1, .offered = TRI_TRUE,
      .requested = TRI_TRUE, .starttls_code = 220, .tls = {.established = TRI_FALSE}},
     {0},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_LOW,
     CONFIDENCE_CERTAIN,
     "upgrade-failed"},
    {"mail under policy",
     {FULL, .server.port = 25, .milestones = MILESTONE_MAIL, .mails = 1},
     {.policy_demands_tls = true},
     RULE_PLAINTEXT_MAIL,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_CERTAIN,
     "offer-not-seen"},
    {"password",
     {FULL, .milestones = MILESTONE_CREDENTIALS, .credentials_in_clear = true},
     {0},
     RULE_PLAINTEXT_CREDENTIALS,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_CERTAIN,
     "password"},
    {"AUTH EXTERNAL",
     {FULL, .milestones = MILESTONE_CREDENTIALS, .credentials_in_clear = true,
      .auth_sends = SASL_SENDS_IDENTITY},
     {0},
     RULE_PLAINTEXT_CREDENTIALS,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "identity"},
    {"challenge",
     {FULL, .milestones = MILESTONE_CREDENTIALS, .credentials_in_clear = true,
      .auth_sends = SASL_SENDS_PROOF},
     {0},
     RULE_PLAINTEXT_CREDENTIALS,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "challenge-response"},
    {"AUTH without a credential",
     {FULL, .auth_in_clear = true, .auth_code = 538},
     {0},
     RULE_PLAINTEXT_CREDENTIALS,
     false,
     0,
     0,
     NULL},
    {"masked offer",
     {FULL, .milestones = MILESTONE_MASKED, .masked_offer = true, .masked_keywords = 1},
     {0},
     RULE_STARTTLS_MASKED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "offer"},
    {"masked banner too",
     {FULL, .milestones = MILESTONE_MASKED, .masked_offer = true, .greeting_masked = true},
     {0},
     RULE_STARTTLS_MASKED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_CERTAIN,
     "offer"},
    {"masked command",
     {FULL, .milestones = MILESTONE_MASKED, .masked_command = true},
     {0},
     RULE_STARTTLS_MASKED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "command"},
    {"other masked keywords alone",
     {FULL, .masked_keywords = 3, .greeting_masked = true},
     {0},
     RULE_STARTTLS_MASKED,
     false,
     0,
     0,
     NULL},
    {"refused 454",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .offered = TRI_TRUE, .requested = TRI_TRUE,
      .starttls_code = 454},
     {0},
     RULE_STARTTLS_REFUSED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_MEDIUM,
     "temporary"},
    {"refused 454 to all",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .offered = TRI_TRUE, .requested = TRI_TRUE,
      .starttls_code = 454},
     {.refuses_all = true},
     RULE_STARTTLS_REFUSED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_MEDIUM,
     "temporary"},
    {"refused 502 to all",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .offered = TRI_TRUE, .requested = TRI_TRUE,
      .starttls_code = 502},
     {.refuses_all = true},
     RULE_STARTTLS_REFUSED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "permanent"},
    {"200 instead of 220",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .offered = TRI_TRUE, .requested = TRI_TRUE,
      .starttls_code = 200, .refused_then_tls = true},
     {0},
     RULE_STARTTLS_REFUSED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "not-220"},
    {"refused, never offered",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .offered = TRI_FALSE, .requested = TRI_TRUE,
      .starttls_code = 502},
     {0},
     RULE_STARTTLS_REFUSED,
     false,
     0,
     0,
     NULL},
    {"220 is no refusal",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .offered = TRI_TRUE, .requested = TRI_TRUE,
      .starttls_code = 220},
     {0},
     RULE_STARTTLS_REFUSED,
     false,
     0,
     0,
     NULL},
    {"ignored, mail",
     {FULL, .milestones = MILESTONE_CLOSED, .offered = TRI_TRUE, .requested = TRI_FALSE, .mails = 1,
      .mails_2xx = 1},
     {0},
     RULE_STARTTLS_IGNORED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "mail"},
    {"ignored, credentials",
     {FULL, .milestones = MILESTONE_CLOSED, .offered = TRI_TRUE, .requested = TRI_FALSE,
      .credentials_in_clear = true},
     {0},
     RULE_STARTTLS_IGNORED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "credentials"},
    {"mail refused (530)",
     {FULL, .milestones = MILESTONE_CLOSED, .offered = TRI_TRUE, .requested = TRI_FALSE,
      .mails = 1},
     {0},
     RULE_STARTTLS_IGNORED,
     false,
     0,
     0,
     NULL},
    {"not over yet",
     {FULL, .milestones = MILESTONE_MAIL_ACCEPTED, .offered = TRI_TRUE, .requested = TRI_FALSE,
      .mails = 1, .mails_2xx = 1},
     {0},
     RULE_STARTTLS_IGNORED,
     false,
     0,
     0,
     NULL},
    {"request not seen",
     {.visibility = VISIBILITY_GAPS,
      .milestones = MILESTONE_CLOSED,
      .offered = TRI_TRUE,
      .mails_2xx = 1},
     {0},
     RULE_STARTTLS_IGNORED,
     false,
     0,
     0,
     NULL},
    {"handshake broken off",
     {FULL, .milestones = MILESTONE_TLS_FAILED, .starttls_code = 220,
      .tls_failure = TLS_FAILURE_NO_CLIENT_HELLO},
     {0},
     RULE_TLS_HANDSHAKE_FAILED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_HIGH,
     "no-client-hello"},
    {"1.3 client rejects",
     {FULL, .milestones = MILESTONE_TLS_FAILED, .starttls_code = 220,
      .tls_failure = TLS_FAILURE_CLIENT_REJECTED},
     {0},
     RULE_TLS_HANDSHAKE_FAILED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_MEDIUM,
     "client-rejected"},
    {"no reply at all",
     {FULL, .milestones = MILESTONE_TLS_FAILED, .tls_failure = TLS_FAILURE_NO_REPLY},
     {0},
     RULE_TLS_HANDSHAKE_FAILED,
     false,
     0,
     0,
     NULL},
    {"fallback after refusal",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .starttls_code = 454, .mails_after_failure = 1},
     {0},
     RULE_PLAINTEXT_FALLBACK,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_CERTAIN,
     "refused"},
    {"fallback covered",
     {FULL, .milestones = MILESTONE_STARTTLS_REPLY, .starttls_code = 454, .mails_after_failure = 1},
     {.stripped = true},
     RULE_PLAINTEXT_FALLBACK,
     false,
     0,
     0,
     NULL},
    {"EHLO refused",
     {FULL, .milestones = MILESTONE_EHLO_REFUSED, .ehlo_refused = 1, .ehlo_refused_code = 502,
      .helo_accepted = 1},
     {0},
     RULE_EHLO_REFUSED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_MEDIUM,
     "permanent"},
    {"EHLO answered with 421",
     {FULL, .milestones = MILESTONE_EHLO_REFUSED, .ehlo_refused = 1, .ehlo_refused_code = 421,
      .helo_accepted = 1},
     {0},
     RULE_EHLO_REFUSED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_MEDIUM,
     "temporary"},
    {"EHLO answered with 200",
     {FULL, .milestones = MILESTONE_EHLO_REFUSED, .ehlo_refused = 1, .ehlo_refused_code = 200,
      .helo_accepted = 1},
     {0},
     RULE_EHLO_REFUSED,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_MEDIUM,
     "not-250"},
    {"EHLO refused by one that knows it",
     {FULL, .milestones = MILESTONE_EHLO_REFUSED, .ehlo_refused = 1, .ehlo_refused_code = 502},
     {.ehlo_accepted_before = true},
     RULE_EHLO_REFUSED,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "permanent"},
    {"HELO by itself",
     {FULL, .helo_sent = 1, .helo_accepted = 1, .milestones = MILESTONE_CLOSED},
     {0},
     RULE_EHLO_REFUSED,
     false,
     0,
     0,
     NULL},
    {"command injection",
     {FULL, .milestones = MILESTONE_INJECTION, .injection = INJECTION_CLIENT_PIPELINED},
     {0},
     RULE_STARTTLS_INJECTION,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "client"},
    {"response injection",
     {FULL, .milestones = MILESTONE_INJECTION, .injection = INJECTION_SERVER_PIPELINED},
     {0},
     RULE_STARTTLS_INJECTION,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "server"},
    {"ServerHello replaced",
     {FULL, .milestones = MILESTONE_PLAINTEXT_IN_TLS, .plaintext_in_tls_side = SIDE_SERVER,
      .plaintext_in_tls_reply = true},
     {0},
     RULE_PLAINTEXT_IN_TLS,
     true,
     SEVERITY_CRITICAL,
     CONFIDENCE_CERTAIN,
     "server-reply"},
    {"conflict",
     {FULL, .milestones = MILESTONE_CONFLICT, .conflicts = 2, .conflict_side = SIDE_SERVER},
     {0},
     RULE_TCP_INJECTION,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "server"},
    {"a reset behind which both go on",
     {FULL, .milestones = MILESTONE_CONFLICT, .reset_forged = true},
     {0},
     RULE_TCP_INJECTION,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_HIGH,
     "reset"},
    {"sentinel",
     {FULL, .milestones = MILESTONE_SERVER_HELLO, .tls = {.sentinel = true, .offered_more = true}},
     {0},
     RULE_TLS_DOWNGRADE,
     true,
     SEVERITY_CRITICAL,
     CONFIDENCE_HIGH,
     "sentinel"},
    {"sentinel to an old client",
     {FULL, .milestones = MILESTONE_SERVER_HELLO, .tls = {.sentinel = true}},
     {0},
     RULE_TLS_DOWNGRADE,
     false,
     0,
     0,
     NULL},
    {"inappropriate_fallback",
     {FULL, .milestones = MILESTONE_TLS_ALERT,
      .tls = {.alert_level = {0, 2}, .alert_description = {0, 86}}},
     {0},
     RULE_TLS_DOWNGRADE,
     true,
     SEVERITY_CRITICAL,
     CONFIDENCE_HIGH,
     "inappropriate-fallback"},
    {"TLS 1.0",
     {FULL, .milestones = MILESTONE_SERVER_HELLO | MILESTONE_TLS_UP,
      .tls = {.established = TRI_TRUE, .version = 0x0301, .suite = 0xc014}},
     {0},
     RULE_TLS_WEAK,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "tls-1.0"},
    {"RC4 in TLS 1.2",
     {FULL, .milestones = MILESTONE_SERVER_HELLO | MILESTONE_TLS_UP,
      .tls = {.established = TRI_TRUE, .version = 0x0303, .suite = 0x0005}},
     {0},
     RULE_TLS_WEAK,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "rc4"},
    {"anonymous in TLS 1.0",
     {FULL, .milestones = MILESTONE_SERVER_HELLO | MILESTONE_TLS_UP,
      .tls = {.established = TRI_TRUE, .version = 0x0301, .suite = 0x0034}},
     {0},
     RULE_TLS_WEAK,
     true,
     SEVERITY_MEDIUM,
     CONFIDENCE_CERTAIN,
     "anonymous"},
    {"TLS 1.3",
     {FULL, .milestones = MILESTONE_SERVER_HELLO | MILESTONE_TLS_UP,
      .tls = {.established = TRI_TRUE, .version = 0x0304, .suite = 0x1302}},
     {0},
     RULE_TLS_WEAK,
     false,
     0,
     0,
     NULL},
    {"TLS 1.0 turned down",
     {FULL, .milestones = MILESTONE_SERVER_HELLO | MILESTONE_TLS_FAILED,
      .tls = {.established = TRI_FALSE, .version = 0x0301, .suite = 0xc014}},
     {0},
     RULE_TLS_WEAK,
     false,
     0,
     0,
     NULL},
    {"expired on 25",
     {FULL, .server.port = 25, .milestones = MILESTONE_CERTIFICATE | MILESTONE_TLS_UP,
      .tls = {.certificate_problems = CERTIFICATE_EXPIRED | CERTIFICATE_SHA1_SIGNATURE}},
     {0},
     RULE_CERTIFICATE_INVALID,
     true,
     SEVERITY_LOW,
     CONFIDENCE_CERTAIN,
     "expired"},
    {"expired on 587",
     {FULL, .server.port = 587, .milestones = MILESTONE_CERTIFICATE | MILESTONE_TLS_UP,
      .tls = {.certificate_problems = CERTIFICATE_EXPIRED}},
     {0},
     RULE_CERTIFICATE_INVALID,
     true,
     SEVERITY_HIGH,
     CONFIDENCE_CERTAIN,
     "expired"},
    {"sound certificate",
     {FULL, .server.port = 25, .milestones = MILESTONE_CERTIFICATE | MILESTONE_TLS_UP},
     {0},
     RULE_CERTIFICATE_INVALID,
     false,
     0,
     0,
     NULL},
};

Test(verdict, rules)
{
	static struct verdict verdict;
	for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
		const struct expectation *want = &expectations[i];
		verdict_judge(&want->facts, NULL, &want->context, 0, &verdict);
		const struct finding *finding = find(&verdict, want->rule);
		cr_expect_eq(finding != NULL, want->raised, "%s", want->name);
		if (finding == NULL || !want->raised)
			continue;
		cr_expect_eq(finding->severity, want->severity, "%s: severity %s", want->name,
			     severity_word(finding->severity));
		cr_expect_eq(finding->confidence, want->confidence, "%s: confidence %s", want->name,
			     confidence_word(finding->confidence));
		cr_expect_str_eq(finding->reason, want->reason, "%s", want->name);
		size_t len = strlen(finding->message);
		cr_expect_gt(len, 20, "%s", want->name);
		cr_expect_eq(finding->message[len - 1], '.', "%s: cut: %s", want->name,
			     finding->message);
	}
}

/* Whatever raises a rule is no routine, also where the rest of the session is as it should be. */
Test(verdict, routine)
{
	static struct verdict verdict;
	for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
		struct session_facts facts = expectations[i].facts;
		for (unsigned round = 0; round < 2; round++) {
			verdict_judge(&facts, NULL, &expectations[i].context, 0, &verdict);
			cr_expect(verdict.count == 0 || !verdict_is_routine(&facts, 0), "%s",
				  expectations[i].name);
			facts.offered = facts.requested = TRI_TRUE;
			if (facts.starttls_code == 0)
				facts.starttls_code = 220;
			if (facts.tls.suite == 0)
				facts.tls.suite = 0xc02f; /* ECDHE_RSA_WITH_AES_128_GCM_SHA256 */
		}
	}

	struct session_facts good = {
	    .milestones = MILESTONE_EHLO_REPLY,
	    .offered = TRI_TRUE,
	};
	cr_expect(verdict_is_routine(&good, MILESTONE_EHLO_REPLY));
	good.requested = TRI_TRUE;
	good.starttls_code = 220;
	good.tls = (struct session_tls){.server_hello = true, .version = 0x0303, .suite = 0xc02f};
	good.milestones |= MILESTONE_STARTTLS_REPLY | MILESTONE_SERVER_HELLO;
	cr_expect(verdict_is_routine(&good, MILESTONE_SERVER_HELLO));
	good.milestones |= MILESTONE_CERTIFICATE;
	cr_expect(!verdict_is_routine(&good, MILESTONE_CERTIFICATE));
	good.milestones |= MILESTONE_TLS_UP | MILESTONE_CLOSED;
	cr_expect(verdict_is_routine(&good, MILESTONE_TLS_UP | MILESTONE_CLOSED));
	good.tls.certificate_problems = CERTIFICATE_EXPIRED;
	cr_expect(!verdict_is_routine(&good, MILESTONE_CLOSED));
}

Test(verdict, each_rule_once)
{
	static struct verdict verdict;
	struct session_facts facts = facts_on(25);
	facts.milestones = MILESTONE_MAIL;
	facts.mails = 1;
	verdict_judge(&facts, NULL, &NOTHING_KNOWN, 0, &verdict);
	cr_assert_eq(verdict.count, 1);
	verdict_judge(&facts, NULL, &NOTHING_KNOWN, 1U << RULE_PLAINTEXT_MAIL, &verdict);
	cr_assert_eq(verdict.count, 0);
}

Test(verdict, policy_rejects_self_signed_without_ca)
{
	static struct verdict verdict;
	struct session_facts facts = facts_on(25);
	struct certificate_info certificate = {.self_signed = true};
	struct verdict_context context = {.policy_demands_valid = true};
	facts.milestones = MILESTONE_CERTIFICATE | MILESTONE_TLS_UP;
	verdict_judge(&facts, &certificate, &NOTHING_KNOWN, 0, &verdict);
	cr_assert_eq(verdict.count, 0);
	verdict_judge(&facts, &certificate, &context, 0, &verdict);
	cr_assert_eq(verdict.count, 1);
	cr_expect_str_eq(verdict.findings[0].reason, "self-signed");
	cr_expect_eq(verdict.findings[0].severity, SEVERITY_HIGH);
}

static uint32_t set_of(const struct verdict *verdict)
{
	uint32_t set = 0;
	for (unsigned i = 0; i < verdict->count; i++)
		set |= 1U << verdict->findings[i].rule;
	return set;
}

/* One thing that a session may come to know, on top of all it knew before. */
static void step(struct session_facts *facts, unsigned what)
{
	switch (what) {
	case 0:
		facts->milestones |= MILESTONE_EHLO_REPLY;
		if (facts->offered == TRI_UNKNOWN)
			facts->offered = TRI_FALSE;
		break;
	case 1:
		facts->milestones |= MILESTONE_EHLO_REPLY;
		facts->offered = TRI_TRUE;
		break;
	case 2:
		facts->milestones |= MILESTONE_MASKED;
		facts->masked_offer = true;
		break;
	case 3:
		if (facts->requested == TRI_TRUE)
			break;
		facts->requested = TRI_TRUE;
		facts->milestones |= MILESTONE_STARTTLS_REPLY;
		facts->starttls_code = 454;
		break;
	case 4:
		if (facts->requested == TRI_TRUE)
			break;
		facts->requested = TRI_TRUE;
		facts->milestones |= MILESTONE_STARTTLS_REPLY;
		facts->starttls_code = 220;
		break;
	case 5:
		facts->milestones |= MILESTONE_MAIL | MILESTONE_MAIL_ACCEPTED;
		facts->mails++;
		facts->mails_2xx++;
		facts->mails_after_failure += facts->starttls_code == 454;
		break;
	case 6:
		facts->milestones |= MILESTONE_CREDENTIALS;
		facts->credentials_in_clear = true;
		break;
	case 7:
		facts->milestones |= MILESTONE_SERVER_HELLO | MILESTONE_CERTIFICATE;
		facts->tls.version = 0x0301;
		facts->tls.certificate_problems = CERTIFICATE_EXPIRED;
		break;
	case 8:
		if (facts->starttls_code != 220 || facts->tls.established != TRI_UNKNOWN)
			break;
		facts->milestones |= MILESTONE_TLS_UP;
		facts->tls.established = TRI_TRUE;
		break;
	case 9:
		if (facts->starttls_code != 220 || facts->tls.established != TRI_UNKNOWN)
			break;
		facts->milestones |= MILESTONE_TLS_FAILED;
		facts->tls.established = TRI_FALSE;
		facts->tls_failure = TLS_FAILURE_ALERT;
		break;
	case 10:
		facts->milestones |= MILESTONE_EHLO_REFUSED;
		facts->ehlo_refused = 1;
		facts->helo_accepted = 1;
		break;
	case 11:
		facts->visibility = VISIBILITY_GAPS;
		break;
	case 12:
		facts->milestones |=
		    MILESTONE_CONFLICT | MILESTONE_INJECTION | MILESTONE_PLAINTEXT_IN_TLS;
		facts->conflicts = 1;
		facts->injection |= INJECTION_CLIENT_PIPELINED;
		break;
	default:
		break;
	}
}

#define STEPS 13

/* Every order of up to DEPTH steps, then the end: what was raised once stays raised. */
static void walk(struct session_facts facts, uint32_t raised, unsigned depth, unsigned *walked)
{
	static struct verdict verdict;
	verdict_judge(&facts, NULL, &NOTHING_KNOWN, 0, &verdict);
	uint32_t now = set_of(&verdict);
	cr_assert_eq(raised & ~now, 0, "withdrawn: rules %x", raised & ~now);
	(*walked)++;
	if (depth == 0) {
		facts.milestones |= MILESTONE_CLOSED;
		if (facts.requested == TRI_UNKNOWN)
			facts.requested = TRI_FALSE;
		if (facts.tls.established == TRI_UNKNOWN)
			facts.tls.established = TRI_FALSE;
		verdict_judge(&facts, NULL, &NOTHING_KNOWN, 0, &verdict);
		cr_assert_eq(now & ~set_of(&verdict), 0, "withdrawn at the end: rules %x",
			     now & ~set_of(&verdict));
		return;
	}
	for (unsigned what = 0; what < STEPS; what++) {
		struct session_facts next = facts;
		step(&next, what);
		walk(next, now, depth - 1, walked);
	}
}

Test(verdict, findings_are_never_withdrawn)
{
	unsigned walked = 0;
	walk(facts_on(25), 0, 4, &walked);
	cr_expect_eq(walked, 1 + 13 + 169 + 2197 + 28561);
}
