/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/history.h"

#include <criterion/criterion.h>

/* In the tables below what is left out is zero, and that is the point of them. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define S   INT64_C(1000000000)
#define DAY 86400

/* What a session does, each shown to the history as a worker would. */
enum deed {
	OFFERED,      /* EHLO reply with STARTTLS, then QUIT */
	MISSING,      /* EHLO reply without it */
	MISSING_MAIL, /* ... and mail was accepted in the clear */
	MASKED,
	UPGRADED,
	REFUSED,      /* 454 */
	REFUSED_MAIL, /* 454, and mail in the same session */
	FAILED,       /* 220, and no TLS */
	HELO_MAIL,    /* no EHLO at all, mail in the clear */
	ONE_SIDED,    /* an offer of which only the server's bytes were seen */
	IGNORED_MAIL, /* offered, not asked for, mail */
};

/* One session: client 10.0.<net>.<host>, server 192.0.2.<server>, at second at. */
struct step {
	enum deed deed;
	unsigned net, host, server;
	int64_t at;
	const char *rules; /* expected of history alone, "-" for none */
	const char *scope;
	uint8_t certificate; /* 0: none */
	bool anchored;       /* a given CA vouches for it */
};

struct show {
	struct budget budget;
	struct history *history;
	uint64_t sessions;
	unsigned tap;
	struct verdict_context context;
	bool absorbed;
	uint32_t already;                  /* raised by the present session */
	char message[FINDING_MESSAGE_MAX]; /* of the last finding */
	const char *scope, *reason;
	struct finding_basis basis;
	enum confidence confidence;
	enum severity severity;
	char raised[200];
};

static const struct history_limits roomy = {
    .servers = 1000, .failures = 1000, .sessions = 1000, .paths = 100, .clients = 100};

static void show_begin(struct show *show, const struct history_config *config)
{
	memset(show, 0, sizeof *show);
	budget_init(&show->budget, 64 << 20);
	struct history_config standard = history_config_default(roomy);
	show->history = history_create(&show->budget, config == NULL ? &standard : config);
	cr_assert_not_null(show->history);
}

static void show_end(struct show *show)
{
	history_destroy(show->history);
	cr_expect_eq(show->budget.used, 0);
}

static void observe(struct show *show, struct observation *observation, uint32_t milestones)
{
	static struct verdict verdict;
	observation->new_milestones = milestones & ~observation->facts.milestones;
	observation->facts.milestones |= milestones;
	observation->ordinal++;
	observation->time_ns += S / 1000;
	observation->facts.end_ns = observation->time_ns;
	show->context = (struct verdict_context){0};
	history_context(show->history, observation, &show->context);
	verdict.count = 0;
	history_findings(show->history, observation, show->already, &verdict);
	show->absorbed |= history_absorbs(show->history, observation);
	for (unsigned i = 0; i < verdict.count; i++) {
		const struct finding *finding = &verdict.findings[i];
		show->already |= 1U << finding->rule;
		if (show->raised[0] != '\0')
			strncat(show->raised, " ", sizeof show->raised - strlen(show->raised) - 1);
		strncat(show->raised, rule_info(finding->rule)->id,
			sizeof show->raised - strlen(show->raised) - 1);
		memcpy(show->message, finding->message, sizeof show->message);
		show->scope = finding->scope;
		show->basis = finding->basis;
		show->reason = finding->reason;
		show->confidence = finding->confidence;
		show->severity = finding->severity;
	}
	history_learn(show->history, observation);
}

static struct certificate_info certificate_of(uint8_t number, int64_t at);

static void play(struct show *show, const struct step *step)
{
	show->raised[0] = '\0';
	show->message[0] = '\0';
	show->scope = show->reason = NULL;
	show->absorbed = false;
	show->already = 0;
	struct observation observation = {.time_ns = step->at * S};
	struct session_facts *facts = &observation.facts;
	facts->id = ++show->sessions;
	facts->tap = show->tap;
	facts->client.addr = (struct ip_addr){
	    .bytes = {10, 0, (uint8_t)step->net, (uint8_t)step->host}, .version = 4};
	facts->client.port = (uint16_t)(1024 + show->sessions % 60000);
	facts->server.addr =
	    (struct ip_addr){.bytes = {192, (uint8_t)(step->server >> 16),
				       (uint8_t)(step->server >> 8), (uint8_t)step->server},
			     .version = 4};
	facts->server.port = 25;
	facts->start_ns = observation.time_ns;
	facts->bytes[SIDE_CLIENT] = facts->bytes[SIDE_SERVER] = 100;
	facts->visibility = VISIBILITY_FULL;
	facts->spoke_smtp = true;
	facts->tls_failure = TLS_FAILURE_NONE;
	cr_assert(session_facts_set_text(facts, &show->budget, TEXT_CLIENT_NAME,
					 span_str("client.example.net")));
	cr_assert(session_facts_set_text(facts, &show->budget, TEXT_SERVER_NAME,
					 span_str("mx.example.org")));

	if (step->deed == HELO_MAIL) {
		facts->helo_sent = facts->helo_accepted = 1;
	} else {
		facts->ehlo_sent = facts->ehlo_accepted = 1;
		facts->offered =
		    step->deed == MISSING || step->deed == MISSING_MAIL || step->deed == MASKED
			? TRI_FALSE
			: TRI_TRUE;
		facts->masked_offer = step->deed == MASKED;
		if (step->deed == ONE_SIDED) {
			facts->bytes[SIDE_CLIENT] = 0;
			facts->visibility = VISIBILITY_SERVER_ONLY;
		}
		observe(show, &observation,
			MILESTONE_EHLO_REPLY | (step->deed == MASKED ? MILESTONE_MASKED : 0));
	}
	struct certificate_info certificate = certificate_of(step->certificate, step->at);
	switch (step->deed) {
	case UPGRADED:
		facts->requested = TRI_TRUE;
		facts->starttls_code = 220;
		observe(show, &observation, MILESTONE_STARTTLS_REPLY);
		facts->tls.version = 0x0303;
		facts->tls.certificate_anchored = step->anchored;
		observation.certificate = step->certificate == 0 ? NULL : &certificate;
		observe(show, &observation,
			MILESTONE_SERVER_HELLO |
			    (step->certificate == 0 ? 0 : MILESTONE_CERTIFICATE));
		facts->tls.established = TRI_TRUE;
		observe(show, &observation, MILESTONE_TLS_UP);
		break;
	case REFUSED:
	case REFUSED_MAIL:
		facts->requested = TRI_TRUE;
		facts->starttls_code = 454;
		observe(show, &observation, MILESTONE_STARTTLS_REPLY);
		break;
	case FAILED:
		facts->requested = TRI_TRUE;
		facts->starttls_code = 220;
		observe(show, &observation, MILESTONE_STARTTLS_REPLY);
		facts->tls_failure = TLS_FAILURE_ALERT;
		observe(show, &observation, MILESTONE_TLS_FAILED);
		break;
	default:
		break;
	}
	if (step->deed == MISSING_MAIL || step->deed == REFUSED_MAIL || step->deed == HELO_MAIL ||
	    step->deed == IGNORED_MAIL) {
		facts->mails = facts->mails_2xx = 1;
		observe(show, &observation, MILESTONE_MAIL | MILESTONE_MAIL_ACCEPTED);
	}
	facts->concluded = true;
	observe(show, &observation, MILESTONE_CLOSED);
	session_facts_free_text(facts, &show->budget);
}

/*
 * 1: from CA A for mx.example.org, 90 days. 2: its renewal with a new key. 3: another CA's.
 * 4: self-signed. 5: another self-signed, dated within the first's life. 6: A's, another name.
 * 7: A's for a sibling host.
 */
static struct certificate_info certificate_of(uint8_t number, int64_t at)
{
	static const struct span names[] = {
	    {.ptr = (const uint8_t *)"mx.example.org", .len = 14},
	    {.ptr = (const uint8_t *)"mail.attacker.test", .len = 18},
	    {.ptr = (const uint8_t *)"mx2.example.org", .len = 15},
	};
	bool self_signed = number == 4 || number == 5;
	struct certificate_info info = {
	    .sha256 = {number},
	    .key_sha256 = {number},
	    .not_before = at / (90 * DAY) * (90 * DAY),
	    .not_after = at / (90 * DAY) * (90 * DAY) + 120 * DAY,
	    .self_signed = self_signed,
	    .issuer = span_str(self_signed   ? "CN=mx.example.org"
			       : number == 3 ? "CN=CA B"
					     : "CN=CA A"),
	    .name_count = 1,
	    .names = &names[number == 6   ? 1
			    : number == 7 ? 2
					  : 0],
	};
	return info;
}

#define STEPS(...)                                                                                 \
	(const struct step[])                                                                      \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			.rules = NULL                                                              \
		}                                                                                  \
	}

static const struct sequence {
	const char *name;
	const struct step *steps;
} sequences[] = {
    {"never offered: a server without TLS",
     STEPS({MISSING_MAIL, 1, 1, 1, 100, "-"}, {MISSING_MAIL, 1, 1, 1, 200, "-"},
	   {MISSING_MAIL, 2, 1, 1, 300, "-"}, {MISSING_MAIL, 1, 2, 1, 400, "-"})},
    {"two offers are not enough",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {MISSING, 1, 1, 1, 300, "-"})},
    {"three offers, then none to the only client",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {OFFERED, 1, 1, 1, 300, "-"},
	   {MISSING, 1, 1, 1, 400, "starttls-stripped", "all-clients"})},
    {"another client is offered it at the time",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 2, 1, 200, "-"},
	   {UPGRADED, 2, 1, 1, 300, "-"},
	   {MISSING_MAIL, 3, 1, 1, 400, "starttls-stripped", "some-clients"})},
    {"the others were offered it an hour ago and more",
     STEPS({UPGRADED, 2, 1, 1, 100, "-"}, {UPGRADED, 2, 2, 1, 200, "-"},
	   {UPGRADED, 2, 1, 1, 300, "-"},
	   {MISSING, 1, 1, 1, 3901, "starttls-stripped", "all-clients"})},
    {"another client of the same network counts as another",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {UPGRADED, 1, 1, 1, 300, "-"},
	   {MISSING, 1, 2, 1, 400, "starttls-stripped", "some-clients"})},
    {"another server's offers say nothing",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {UPGRADED, 1, 1, 1, 300, "-"}, {MISSING, 1, 1, 2, 400, "-"})},
    {"HELO alone is no stripping",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {UPGRADED, 1, 1, 1, 300, "-"}, {HELO_MAIL, 1, 1, 1, 400, "-"})},
    {"what is masked is told as masked",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {UPGRADED, 1, 1, 1, 300, "-"}, {MASKED, 1, 1, 1, 400, "-"})},
    {"a one-sided session teaches nothing",
     STEPS({ONE_SIDED, 1, 1, 1, 100, "-"}, {ONE_SIDED, 1, 1, 1, 200, "-"},
	   {ONE_SIDED, 1, 1, 1, 300, "-"}, {MISSING, 1, 1, 1, 400, "-"})},
    {"a pool is learnt: its offer comes and goes",
     STEPS({OFFERED, 1, 1, 1, 100, "-"}, {MISSING, 1, 1, 1, 110, "-"}, {OFFERED, 1, 1, 1, 120, "-"},
	   {MISSING, 1, 1, 1, 130, "-"}, {OFFERED, 1, 1, 1, 140, "-"},
	   {MISSING, 1, 1, 1, 150, "starttls-stripped", "all-clients"},
	   {OFFERED, 1, 1, 1, 160, "-"}, {MISSING, 1, 1, 1, 170, "-"},
	   {MISSING, 2, 1, 1, 180, "-"})},
    {"fallback in a later session",
     STEPS({FAILED, 1, 1, 1, 100, "-"}, {IGNORED_MAIL, 1, 1, 1, 500, "plaintext-fallback"})},
    {"fallback after a refusal, through HELO",
     STEPS({REFUSED, 1, 1, 1, 100, "-"}, {HELO_MAIL, 1, 1, 1, 3600, "plaintext-fallback"})},
    {"too late for a fallback",
     STEPS({FAILED, 1, 1, 1, 100, "-"}, {IGNORED_MAIL, 1, 1, 1, 3702, "-"})},
    {"another client's failure is no fallback",
     STEPS({FAILED, 1, 1, 1, 100, "-"}, {IGNORED_MAIL, 1, 2, 1, 200, "-"})},
    {"another server's failure is no fallback",
     STEPS({FAILED, 1, 1, 1, 100, "-"}, {IGNORED_MAIL, 1, 1, 2, 200, "-"})},
    {"a later session with TLS is no fallback",
     STEPS({FAILED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"})},
    {"mail before any failure is no fallback",
     STEPS({IGNORED_MAIL, 1, 1, 1, 50, "-"}, {FAILED, 1, 1, 1, 100, "-"})},
    {"the same session is judged elsewhere", STEPS({REFUSED_MAIL, 1, 1, 1, 100, "-"})},
    {"stripping covers the fallback",
     STEPS({UPGRADED, 1, 1, 1, 100, "-"}, {UPGRADED, 1, 1, 1, 200, "-"},
	   {FAILED, 1, 1, 1, 300, "-"},
	   {MISSING_MAIL, 1, 1, 1, 400, "starttls-stripped", "all-clients"})},
    {"a certificate replaced",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 400, "certificate-changed", .certificate = 3},
	   {UPGRADED, 1, 1, 1, 500, "-", .certificate = 3},
	   {UPGRADED, 1, 1, 1, 600, "-", .certificate = 1})},
    {"a certificate renewed with a new key",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 80 * DAY, "-", .certificate = 2})},
    {"the same CA, another name",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 400, "certificate-changed", .certificate = 6})},
    {"a renewal that the CA did not sign",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1, .anchored = true},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1, .anchored = true},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1, .anchored = true},
	   {UPGRADED, 1, 1, 1, 80 * DAY, "certificate-changed", .certificate = 2})},
    {"a renewal that it signed",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1, .anchored = true},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1, .anchored = true},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1, .anchored = true},
	   {UPGRADED, 1, 1, 1, 80 * DAY, "-", .certificate = 2, .anchored = true})},
    {"a renewal by a CA that was never given",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 80 * DAY, "-", .certificate = 2})},
    {"the same CA, a sibling: a pool", STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1},
					     {UPGRADED, 1, 1, 1, 200, "-", .certificate = 1},
					     {UPGRADED, 1, 1, 1, 300, "-", .certificate = 1},
					     {UPGRADED, 1, 1, 1, 400, "-", .certificate = 7})},
    {"self-signed replaced early in its life",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 4},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 4},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 4},
	   {UPGRADED, 1, 1, 1, 400, "certificate-changed", .certificate = 5})},
    {"self-signed renewed near its end",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 4},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 4},
	   {UPGRADED, 1, 1, 1, 300, "-", .certificate = 4},
	   {UPGRADED, 1, 1, 1, 85 * DAY, "-", .certificate = 5})},
    {"too little is known of the certificate",
     STEPS({UPGRADED, 1, 1, 1, 100, "-", .certificate = 1},
	   {UPGRADED, 1, 1, 1, 200, "-", .certificate = 3})},
};

Test(history, sequences_of_sessions)
{
	for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
		struct show show;
		show_begin(&show, NULL);
		for (unsigned n = 0; sequences[i].steps[n].rules != NULL; n++) {
			const struct step *step = &sequences[i].steps[n];
			play(&show, step);
			cr_expect_str_eq(show.raised[0] == '\0' ? "-" : show.raised, step->rules,
					 "%s: session %u raised '%s'", sequences[i].name, n + 1,
					 show.raised);
			if (step->scope != NULL && show.scope != NULL)
				cr_expect_str_eq(show.scope, step->scope, "%s: session %u",
						 sequences[i].name, n + 1);
			size_t length = strlen(show.message);
			cr_expect(length == 0 || show.message[length - 1] == '.', "%s: cut: %s",
				  sequences[i].name, show.message);
		}
		show_end(&show);
	}
}

static void repeat(struct show *show, enum deed deed, unsigned net, unsigned server, int64_t at,
		   unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		play(show, &(struct step){deed, net, 1, server, at + i});
}

Test(history, messages_say_what_was_known_since_when_and_from_how_many)
{
	struct show show;
	show_begin(&show, NULL);
	repeat(&show, UPGRADED, 1, 1, 1767225600, 5); /* 2026-01-01 */
	repeat(&show, UPGRADED, 2, 1, 1767226200, 2);
	play(&show, &(struct step){MISSING, 3, 1, 1, 1767226800});
	cr_expect_str_eq(show.message,
			 "This client was not offered STARTTLS; the server offered it in 7 "
			 "sessions to 2 client networks since 2026-01-01 00:00 UTC, and to "
			 "10.0.2.1 at 2026-01-01 00:10 UTC: it is removed on this client's path.");
	cr_assert_not_null(show.basis.known);
	cr_assert_not_null(show.basis.seen);
	cr_expect_eq(show.basis.sessions, 7);
	cr_expect_eq(show.basis.networks, 2);
	cr_expect_eq(show.basis.days, 1);
	cr_expect_eq(show.basis.first_s, 1767225600);
	cr_expect_eq(show.basis.last_s, 1767226201);
	show_end(&show);
}

Test(history, confidence_grows_with_sessions_networks_and_days)
{
	static const struct {
		unsigned sessions, networks, days;
		enum confidence confidence;
	} cases[] = {
	    {3, 1, 1, CONFIDENCE_LOW},    {10, 1, 1, CONFIDENCE_MEDIUM},
	    {4, 2, 1, CONFIDENCE_MEDIUM}, {4, 1, 2, CONFIDENCE_MEDIUM},
	    {12, 3, 3, CONFIDENCE_HIGH},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct show show;
		show_begin(&show, NULL);
		for (unsigned n = 0; n < cases[i].sessions; n++)
			play(&show, &(struct step){UPGRADED, 1 + n % cases[i].networks, 1, 1,
						   n % cases[i].days * DAY + n});
		play(&show, &(struct step){MISSING, 1, 1, 1, 10 * DAY});
		cr_expect_eq(show.confidence, cases[i].confidence, "case %zu: %d", i,
			     show.confidence);
		cr_expect_eq(show.severity, SEVERITY_HIGH);
		show_end(&show);
	}
}

static const char *scope_of(const struct history *history, const struct endpoint *server,
			    const struct ip_addr *client, int64_t now_ns)
{
	struct finding finding = {.rule = RULE_STARTTLS_STRIPPED, .scope = "some-clients"};
	history_restate_stripped(history, server, client, now_ns, &finding);
	cr_expect_eq(finding.severity, strcmp(finding.scope, "some-clients") == 0
					   ? SEVERITY_CRITICAL
					   : SEVERITY_HIGH);
	return finding.scope;
}

Test(history, the_scope_of_a_summary_follows_the_others)
{
	struct show show;
	show_begin(&show, NULL);
	repeat(&show, UPGRADED, 1, 1, 100, 5);
	play(&show, &(struct step){MISSING, 2, 1, 1, 200});
	cr_expect_str_eq(show.scope, "some-clients");
	struct endpoint server = {.addr = {.bytes = {192, 0, 0, 1}, .version = 4}, .port = 25};
	struct ip_addr client = {.bytes = {10, 0, 2, 1}, .version = 4};
	cr_expect_str_eq(scope_of(show.history, &server, &client, 250 * S), "some-clients");
	play(&show, &(struct step){MISSING, 1, 1, 1, 260});
	cr_expect_str_eq(scope_of(show.history, &server, &client, 300 * S), "all-clients");
	cr_expect_str_eq(scope_of(show.history, &server, &client, 9000 * S), "all-clients");
	show_end(&show);
}

Test(history, context_knows_refusers_and_speakers_of_ehlo)
{
	struct show show;
	show_begin(&show, NULL);
	play(&show, &(struct step){REFUSED, 1, 1, 1, 100});
	cr_expect_not(show.context.refuses_all);
	repeat(&show, REFUSED, 1, 1, 200, 3);
	cr_expect_not(show.context.refuses_all, "one client alone may be under attack");
	play(&show, &(struct step){REFUSED, 2, 1, 1, 300});
	play(&show, &(struct step){REFUSED, 3, 1, 1, 400});
	cr_expect(show.context.refuses_all);
	cr_expect(show.context.ehlo_accepted_before);
	play(&show, &(struct step){UPGRADED, 3, 1, 1, 500});
	cr_expect_not(show.context.refuses_all, "a 220 ends it");
	play(&show, &(struct step){HELO_MAIL, 3, 1, 2, 600});
	cr_expect_not(show.context.ehlo_accepted_before);
	show_end(&show);
}

Test(history, without_learning_only_what_was_loaded_counts)
{
	struct history_config config = history_config_default(roomy);
	config.learn = false;
	struct show show;
	show_begin(&show, &config);
	repeat(&show, UPGRADED, 1, 1, 100, 5);
	play(&show, &(struct step){MISSING, 2, 1, 1, 200});
	cr_expect_str_empty(show.raised);
	struct endpoint endpoint = {.addr = {.bytes = {192, 0, 0, 1}, .version = 4}, .port = 25};
	struct server_memory *server = history_restore_server(show.history, &endpoint);
	server->offers = 50;
	server->offer_days = 4;
	server->offer_first_s = server->offer_last_s = 50;
	play(&show, &(struct step){MISSING, 2, 1, 1, 200});
	cr_expect_str_eq(show.raised, "starttls-stripped");
	cr_expect_str_eq(show.scope, "some-clients");
	cr_expect_eq(server->offers, 50);
	cr_expect_eq(server->missing, 0);
	show_end(&show);
}

Test(history, full_tables_forget_the_oldest_but_never_a_pinned_server)
{
	struct history_config config = history_config_default((struct history_limits){
	    .servers = 4, .failures = 4, .sessions = 4, .paths = 4, .clients = 4});
	struct show show;
	show_begin(&show, &config);
	repeat(&show, UPGRADED, 1, 1, 100, 3);
	repeat(&show, UPGRADED, 1, 2, 100, 3);
	struct endpoint endpoint = {.addr = {.bytes = {192, 0, 0, 1}, .version = 4}, .port = 25};
	history_restore_server(show.history, &endpoint)->pinned = true;
	for (unsigned server = 3; server < 9; server++)
		play(&show, &(struct step){UPGRADED, 1, 1, server, 200});
	cr_expect_eq(history_counts(show.history).evicted_servers, 4);
	play(&show, &(struct step){MISSING, 1, 1, 2, 300});
	cr_expect_str_empty(show.raised, "forgotten");
	play(&show, &(struct step){MISSING, 1, 1, 1, 300});
	cr_expect_str_eq(show.raised, "starttls-stripped");
	show_end(&show);
}

/* Many servers, all known, all in use from two networks. */
static void teach_servers(struct show *show, unsigned servers)
{
	for (unsigned server = 1; server <= servers; server++)
		for (unsigned n = 0; n < 4; n++)
			play(show, &(struct step){UPGRADED, 1 + n % 2, 1, server, 1000 + n});
}

Test(history, a_stripped_network_is_one_alert)
{
	struct show show;
	show_begin(&show, NULL);
	teach_servers(&show, 60);
	unsigned singles = 0, paths = 0, absorbed = 0;
	for (unsigned server = 1; server <= 60; server++) {
		play(&show, &(struct step){MISSING, 1, 1, server, 2000 + server});
		paths += strstr(show.raised, "path-downgrade") != NULL ? 1 : 0;
		singles += strstr(show.raised, "starttls-stripped") != NULL && !show.absorbed;
		absorbed += show.absorbed;
		if (strstr(show.raised, "path-downgrade") != NULL)
			cr_expect_eq(strncmp(show.message,
					     "Sessions from 10.0.1.0/24 lose TLS: since 1970-01-01 "
					     "00:33 UTC 6 of 6 to 6 servers ",
					     80),
				     0, "%s", show.message);
		play(&show, &(struct step){UPGRADED, 2, 1, server, 2000 + server});
		cr_expect_str_empty(show.raised);
	}
	cr_expect_eq(paths, 1);
	cr_expect_eq(singles, 5);
	cr_expect_eq(absorbed, 55);
	struct path_state path;
	cr_assert(history_next_path(show.history, 2400 * S, 300 * S, false, &path));
	cr_expect_eq(path.lost, 60);
	cr_expect_eq(path.absorbed, 55);
	cr_expect_eq(path.network.bytes[2], 1);
	cr_expect_not(history_next_path(show.history, 2400 * S, 300 * S, false, &path));
	repeat(&show, UPGRADED, 1, 1, 2500, 30);
	play(&show, &(struct step){MISSING, 1, 1, 1, 2600});
	cr_expect_str_eq(show.raised, "starttls-stripped");
	cr_expect_not(show.absorbed, "the path has recovered");
	show_end(&show);
}

Test(history, all_networks_stripped_is_one_alert_too)
{
	struct show show;
	show_begin(&show, NULL);
	for (unsigned server = 1; server <= 40; server++)
		for (unsigned n = 0; n < 4; n++)
			play(&show, &(struct step){UPGRADED, server, 1, server, 1000 + n});
	unsigned paths = 0;
	for (unsigned server = 1; server <= 40; server++) {
		play(&show, &(struct step){MISSING, server, 1, server, 2000 + server});
		paths += strstr(show.raised, "path-downgrade") != NULL ? 1 : 0;
		if (strstr(show.raised, "path-downgrade") != NULL)
			cr_expect_eq(strncmp(show.message, "Sessions of 6 client networks", 29), 0,
				     "%s", show.message);
	}
	cr_expect_eq(paths, 1);
	show_end(&show);
}

Test(history, a_server_that_gives_up_tls_is_no_path)
{
	struct show show;
	show_begin(&show, NULL);
	teach_servers(&show, 20);
	for (unsigned n = 0; n < 90; n++) {
		play(&show, &(struct step){MISSING, 1 + n % 2, 1, 7, 2000 + n});
		cr_expect_null(strstr(show.raised, "path-downgrade"));
	}
	show_end(&show);
}

static const char *const tap_names[] = {"inside", "outside"};

static void see_at(struct show *show, struct observation *observation, unsigned tap, uint64_t id,
		   uint16_t client_port, enum tri offered)
{
	show->raised[0] = '\0';
	show->already = 0;
	*observation = (struct observation){.time_ns = 100 * S + (int64_t)id};
	struct session_facts *facts = &observation->facts;
	facts->tap = tap;
	facts->id = id;
	facts->start_ns = observation->time_ns;
	facts->client =
	    (struct endpoint){.addr = {.bytes = {10, 0, 0, 1}, .version = 4}, .port = client_port};
	facts->server =
	    (struct endpoint){.addr = {.bytes = {192, 0, 2, 1}, .version = 4}, .port = 25};
	facts->bytes[0] = facts->bytes[1] = 10;
	facts->visibility = VISIBILITY_FULL;
	facts->spoke_smtp = true;
	facts->ehlo_accepted = 1;
	facts->offered = offered;
	cr_assert(session_facts_set_text(facts, &show->budget, TEXT_CLIENT_NAME,
					 span_str("client.example.net")));
	cr_assert(session_facts_set_text(facts, &show->budget, TEXT_SERVER_NAME,
					 span_str("mx.example.org")));
	observe(show, observation, MILESTONE_EHLO_REPLY);
	session_facts_free_text(facts, &show->budget);
}

Test(history, taps_are_compared)
{
	static const struct {
		const char *name;
		unsigned tap;
		uint16_t port;
		enum tri offered;
		const char *raised;
	} cases[] = {
	    {"equal", 1, 4000, TRI_TRUE, ""},
	    {"the same tap", 0, 4000, TRI_FALSE, ""},
	    {"same connection, other offer", 1, 4000, TRI_FALSE, "tap-divergence"},
	    {"proxied, other offer", 1, 5000, TRI_FALSE, "tap-divergence"},
	    {"not told", 1, 4000, TRI_UNKNOWN, ""},
	};
	struct history_config config = history_config_default(roomy);
	config.compare_taps = true;
	config.tap_names = tap_names;
	config.tap_count = 2;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct show show;
		struct observation inside, outside;
		show_begin(&show, &config);
		see_at(&show, &inside, 0, 1, 4000, TRI_TRUE);
		see_at(&show, &outside, cases[i].tap, 2, cases[i].port, cases[i].offered);
		cr_expect_str_eq(show.raised, cases[i].raised, "%s: %s", cases[i].name,
				 show.raised);
		if (show.raised[0] != '\0')
			cr_expect_not_null(strstr(show.message, "outside saw STARTTLS not offered, "
								"inside saw STARTTLS offered."),
					   "%s", show.message);
		show_end(&show);
	}
}

/* Two closed sessions of the same connection, each at a tap of its own. */
static void compare_facts(struct show *show, const struct session_facts *inside,
			  const struct session_facts *outside)
{
	const struct session_facts *both[] = {inside, outside};
	for (unsigned tap = 0; tap < 2; tap++) {
		struct observation observation = {.time_ns = 100 * S + tap, .facts = *both[tap]};
		struct session_facts *facts = &observation.facts;
		show->raised[0] = '\0';
		show->already = 0;
		facts->tap = tap;
		facts->id = 1 + tap;
		facts->start_ns = observation.time_ns;
		facts->client =
		    (struct endpoint){.addr = {.bytes = {10, 0, 0, 1}, .version = 4}, .port = 4000};
		facts->server =
		    (struct endpoint){.addr = {.bytes = {192, 0, 2, 1}, .version = 4}, .port = 25};
		facts->visibility = VISIBILITY_FULL;
		facts->spoke_smtp = facts->concluded = true;
		facts->bytes[0] = facts->bytes[1] = 10;
		observe(show, &observation, facts->milestones | MILESTONE_CLOSED);
		session_facts_free_text(facts, &show->budget);
	}
}

Test(history, each_difference_of_two_taps_has_its_reason_and_its_words)
{
	static const struct session_tls tls12 = {
	    .has_ja3 = true, .has_ja3s = true, .version = 0x0303, .offered_version = 0x0304};
	static const struct session_tls tls10 = {
	    .has_ja3 = true, .has_ja3s = true, .version = 0x0301, .offered_version = 0x0302};
	static const struct session_tls tls13 = {
	    .has_ja3 = true, .has_ja3s = true, .version = 0x0304, .hello_random = {{0xab}}};
	static const struct session_tls ssl = {
	    .has_ja3 = true, .has_ja3s = true, .version = 0x0300};
	const uint32_t answered = MILESTONE_STARTTLS_REPLY, shown = MILESTONE_CERTIFICATE;
	const struct {
		struct session_facts inside, outside;
		const char *reason, *words;
	} cases[] = {
	    {{.starttls_code = 220, .milestones = answered},
	     {.starttls_code = 454, .milestones = answered},
	     "reply",
	     "outside saw STARTTLS answered with 454, inside saw STARTTLS answered with 220"},
	    {{.ehlo_sent = 1, .ehlo_accepted = 1},
	     {.ehlo_sent = 1, .ehlo_refused = 1},
	     "reply",
	     "outside saw EHLO refused, inside saw EHLO accepted"},
	    {{.tls = {.certificate_sha256 = {0x12, 0x34}}, .milestones = shown},
	     {.tls = {.certificate_sha256 = {0xfe}}, .milestones = shown},
	     "certificate",
	     "outside saw certificate fe00000000000000, inside saw certificate 1234"},
	    {{.tls = tls12}, {.tls = tls10}, "tls-hello", "outside saw TLS 1.0 of TLS 1.1 offered"},
	    {{.tls = tls13},
	     {.tls = ssl},
	     "tls-hello",
	     "inside saw TLS 1.3 of SSL offered, hellos ab"},
	    {{.injection = INJECTION_SERVER_PIPELINED},
	     {.injection = 0},
	     "injection",
	     "outside saw no plaintext there, inside saw plaintext at the beginning of TLS"},
	    {{.greeting_masked = false},
	     {.greeting_masked = true},
	     "greeting",
	     "outside saw a greeting of asterisks, inside saw the server's greeting"},
	    {{.ehlo_sent = 1, .requested = TRI_TRUE},
	     {.ehlo_sent = 1, .requested = TRI_FALSE},
	     "command",
	     "outside saw STARTTLS not requested, inside saw STARTTLS requested"},
	    {{.ehlo_sent = 1, .masked_command = true},
	     {.ehlo_sent = 0},
	     "command",
	     "outside saw HELO alone, inside saw the command overwritten"},
	    {{.ehlo_sent = 1, .requested = TRI_TRUE},
	     {.ehlo_sent = 1, .requested = TRI_TRUE},
	     NULL,
	     NULL},
	    {{.ehlo_sent = 1, .requested = TRI_TRUE}, {.ehlo_sent = 1}, NULL, NULL},
	};
	struct history_config config = history_config_default(roomy);
	config.compare_taps = true;
	config.tap_names = tap_names;
	config.tap_count = 2;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct show show;
		show_begin(&show, &config);
		compare_facts(&show, &cases[i].inside, &cases[i].outside);
		cr_expect_str_eq(show.raised, cases[i].reason != NULL ? "tap-divergence" : "",
				 "case %zu: %s", i, show.raised);
		if (cases[i].reason != NULL) {
			cr_expect_str_eq(show.reason, cases[i].reason);
			cr_expect_not_null(strstr(show.message, cases[i].words), "case %zu: %s", i,
					   show.message);
		}
		show_end(&show);
	}
}

Test(history, out_of_memory_is_counted_and_harmless)
{
	struct history_config config = history_config_default(roomy);
	config.compare_taps = true;
	struct budget budget;
	for (uint64_t fail_at = 1; fail_at < 20; fail_at++) {
		budget_init(&budget, 64 << 20);
		budget.fail_at = fail_at;
		struct history *history = history_create(&budget, &config);
		history_destroy(history);
		cr_expect_eq(budget.used, 0);
	}
	struct show show;
	show_begin(&show, NULL);
	size_t cap = show.budget.cap;
	show.budget.cap =
	    show.budget.used + 4096; /* the session's own texts, no chunk of a table */
	repeat(&show, UPGRADED, 1, 1, 100, 3);
	cr_expect_gt(history_counts(show.history).no_memory, 0);
	show.budget.cap = cap;
	repeat(&show, UPGRADED, 1, 1, 100, 3);
	play(&show, &(struct step){MISSING, 1, 1, 1, 300});
	cr_expect_str_eq(show.raised, "starttls-stripped");
	show_end(&show);
}
