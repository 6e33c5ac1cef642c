/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records and alerts against golden documents (tests/golden/documents/, also checked
 * against the schemas) and against hostile bytes. To write the golden
 * documents anew: STRIPWATCH_UPDATE_GOLDEN=1, then read the difference.
 */
#include "alerts/alert_format.h"
#include "alerts/untrusted.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define START INT64_C(1767323045678901234) /* 2026-01-02T03:04:05.678901234Z */

struct bench {
	struct budget budget;
	struct digester *digester;
	struct buffer out;
	struct record_origin origin;
	struct session_facts facts;
	struct certificate_info certificate;
	struct span names[2];
};

static struct bench *setup(void)
{
	struct bench *bench = calloc(1, sizeof *bench);
	cr_assert_not_null(bench);
	budget_init(&bench->budget, 1 << 20);
	bench->digester = digester_create();
	buffer_init(&bench->out, &bench->budget, ALERT_MAX);
	bench->origin = (struct record_origin){.sensor = "sensor-1", .version = "0.1.0"};
	struct session_facts *facts = &bench->facts;
	facts->client.port = 40001;
	facts->server.port = 25;
	cr_assert(ip_addr_parse("192.0.2.10", 10, &facts->client.addr));
	cr_assert(ip_addr_parse("198.51.100.25", 13, &facts->server.addr));
	facts->vlan_outer = VLAN_NONE;
	facts->vlan_inner = VLAN_NONE;
	facts->start_ns = START;
	facts->end_ns = START + 1500000000;
	return bench;
}

static void teardown(struct bench *bench)
{
	session_facts_free_text(&bench->facts, &bench->budget);
	buffer_free(&bench->out);
	digester_destroy(bench->digester);
	cr_expect_eq(bench->budget.used, 0);
	free(bench);
}

static void set(struct bench *bench, enum session_text_id id, const char *text)
{
	cr_assert(session_facts_set_text(&bench->facts, &bench->budget, id, span_str(text)));
}

/* An upgraded session with everything that can be seen. */
static void fill_upgraded(struct bench *bench)
{
	struct session_facts *facts = &bench->facts;
	facts->vlan_outer = 100;
	facts->vlan_inner = 7;
	facts->packets[0] = 12;
	facts->packets[1] = 11;
	facts->bytes[0] = 900;
	facts->bytes[1] = 3100;
	facts->outcome = OUTCOME_UPGRADED;
	facts->visibility = VISIBILITY_FULL;
	facts->closed_by = CLOSED_BY_FIN;
	facts->milestones =
	    MILESTONE_CLOSED | MILESTONE_TLS_UP | MILESTONE_SERVER_HELLO | MILESTONE_CERTIFICATE;
	facts->spoke_smtp = true;
	facts->greeting_code = 220;
	facts->offered = TRI_TRUE;
	facts->requested = TRI_TRUE;
	facts->starttls_code = 220;
	facts->commands_whole = facts->replies_whole = true;
	struct session_tls *tls = &facts->tls;
	tls->established = TRI_TRUE;
	tls->client_hello = tls->server_hello = true;
	tls->version = 0x0303;
	tls->suite = 0xc02f;
	tls->has_ja3 = tls->has_ja3s = true;
	memset(tls->ja3, 0xab, sizeof tls->ja3);
	memset(tls->ja3s, 0xcd, sizeof tls->ja3s);
	memset(tls->certificate_sha256, 0x5a, sizeof tls->certificate_sha256);
	tls->certificate_problems = CERTIFICATE_EXPIRED;
	tls->risks = 1;
	set(bench, TEXT_SERVER_NAME, "mx.example.org");
	set(bench, TEXT_CLIENT_NAME, "out.example.com");
	set(bench, TEXT_CAPABILITIES, "PIPELINING SIZE STARTTLS");
	set(bench, TEXT_SNI, "mx.example.org");
	bench->names[0] = span_str("mx.example.org");
	bench->names[1] = span_str("*.example.org");
	bench->certificate = (struct certificate_info){
	    .key = CERTIFICATE_KEY_RSA,
	    .key_bits = 2048,
	    .not_before = 1700000000,
	    .not_after = 1760000000,
	    .subject = span_str("CN=mx.example.org"),
	    .issuer = span_str("CN=Test CA,O=Example"),
	    .serial = span_str("0a1b"),
	    .names = bench->names,
	    .name_count = 2,
	};
}

/* Plaintext mail from a client that ignored the offer. */
static void fill_plaintext(struct bench *bench)
{
	struct session_facts *facts = &bench->facts;
	facts->outcome = OUTCOME_NOT_USED;
	facts->visibility = VISIBILITY_FULL;
	facts->closed_by = CLOSED_BY_RST;
	facts->milestones = MILESTONE_MAIL | MILESTONE_CREDENTIALS;
	facts->spoke_smtp = true;
	facts->offered = TRI_TRUE;
	facts->requested = TRI_FALSE;
	facts->tls.established = TRI_FALSE;
	facts->commands_whole = facts->replies_whole = true;
	facts->mails = 2;
	facts->accepted = 1;
	facts->recipients = 3;
	facts->auth_in_clear = facts->credentials_in_clear = true;
	facts->auth_code = 235;
	facts->gaps[1] = 1;
	facts->gap_bytes[1] = 1448;
	set(bench, TEXT_AUTH_MECHANISM, "PLAIN");
	set(bench, TEXT_RECIPIENT_DOMAINS, "example.net example.org");
	set(bench, TEXT_SENDER_DOMAIN, "example.com");
}

static void expect_golden(const struct buffer *out, const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "%s/tests/golden/documents/%s.json", STRIPWATCH_SOURCE_DIR,
		 name);
	if (getenv("STRIPWATCH_UPDATE_GOLDEN") != NULL) {
		FILE *file = fopen(path, "w");
		cr_assert_not_null(file, "%s", path);
		cr_assert_eq(fwrite(out->bytes, 1, out->len, file), out->len);
		fputc('\n', file);
		cr_assert_eq(fclose(file), 0);
	}
	FILE *file = fopen(path, "r");
	cr_assert_not_null(file, "%s", path);
	static char golden[ALERT_MAX];
	size_t len = fread(golden, 1, sizeof golden, file);
	fclose(file);
	cr_expect(len == out->len + 1 && memcmp(golden, out->bytes, out->len) == 0,
		  "%s differs:\n%.*s", name, (int)out->len, out->bytes);
}

Test(record, golden_upgraded)
{
	struct bench *bench = setup();
	static const char *const taps[] = {"inside", "outside"};
	fill_upgraded(bench);
	bench->origin.taps = taps;
	bench->origin.tap_count = 2;
	bench->origin.interface = "not this one";
	bench->facts.tap = 1;
	cr_assert(record_write(&bench->origin, bench->digester, &bench->facts, &bench->certificate,
			       1U << RULE_CERTIFICATE_INVALID, &bench->out));
	expect_golden(&bench->out, "session_upgraded");
	teardown(bench);
}

/* What could not be read has a hash; what is wrong with it cannot be told. */
Test(record, unreadable_certificate)
{
	struct bench *bench = setup();
	fill_upgraded(bench);
	bench->facts.tls.certificate_problems = 0;
	cr_assert(
	    record_write(&bench->origin, bench->digester, &bench->facts, NULL, 0, &bench->out));
	buffer_add_char(&bench->out, '\0');
	cr_expect_not_null(strstr(bench->out.bytes, "\"hash\""));
	cr_expect_null(strstr(bench->out.bytes, "\"problems\""));
	teardown(bench);
}

Test(record, golden_plaintext)
{
	struct bench *bench = setup();
	fill_plaintext(bench);
	bench->facts.milestones |= MILESTONE_CLOSED;
	bench->origin.input = "captures/one.pcap";
	bench->origin.interface = "eth0";
	cr_assert(record_write(&bench->origin, bench->digester, &bench->facts, NULL,
			       1U << RULE_PLAINTEXT_MAIL | 1U << RULE_STARTTLS_IGNORED,
			       &bench->out));
	expect_golden(&bench->out, "session_plaintext");
	teardown(bench);
}

/* Nothing was seen but a connection: all that cannot be told is null. */
Test(record, golden_unknown)
{
	struct bench *bench = setup();
	bench->facts.milestones = MILESTONE_CLOSED;
	bench->facts.visibility = VISIBILITY_SERVER_ONLY;
	cr_assert(ip_addr_parse("2001:db8::1", 11, &bench->facts.client.addr));
	cr_assert(ip_addr_parse("2001:db8::25", 12, &bench->facts.server.addr));
	cr_assert(
	    record_write(&bench->origin, bench->digester, &bench->facts, NULL, 0, &bench->out));
	expect_golden(&bench->out, "session_unknown");
	teardown(bench);
}

static struct observation observe(struct bench *bench, const char *dialogue)
{
	return (struct observation){
	    .ordinal = 17,
	    .time_ns = START + 700000000,
	    .facts = bench->facts,
	    .dialogue = span_str(dialogue),
	};
}

static struct finding finding_of(enum rule rule)
{
	return (struct finding){.rule = rule,
				.severity = SEVERITY_HIGH,
				.confidence = CONFIDENCE_CERTAIN,
				.reason = "password",
				.message = "The client sent its password without TLS."};
}

Test(alert, golden)
{
	struct bench *bench = setup();
	fill_plaintext(bench);
	struct observation observation =
	    observe(bench, "S: 220 mx.example.org ESMTP\nC: EHLO out\nC: AUTH PLAIN [redacted]\n"
			   "C: MAIL FROM:<bob@example.com>");
	struct finding finding = finding_of(RULE_PLAINTEXT_CREDENTIALS);
	struct alert alert = alert_of(&finding, &observation);
	struct alert_detail details[] = {{.name = "sessions_before", .number = 12},
					 {.name = "known_since", .text = span_str("2026-01-01")}};
	alert.details = details;
	alert.detail_count = 2;
	alert.pcap.path = "evidence/1.pcap";
	cr_assert(alert_identify(&alert, &bench->origin, bench->digester));
	cr_assert(alert_write(&alert, &bench->origin, bench->digester, &bench->out));
	expect_golden(&bench->out, "alert_credentials");
	buffer_clear(&bench->out);
	alert_line(&alert, false, &bench->out);
	buffer_add_char(&bench->out, '\0');
	cr_expect_str_eq(bench->out.bytes,
			 "2026-01-02 03:04:06 HIGH     192.0.2.10 -> 198.51.100.25:25 "
			 "plaintext-credentials: The client sent its password without TLS.");
	teardown(bench);
}

Test(alert, golden_summary)
{
	struct bench *bench = setup();
	fill_plaintext(bench);
	struct observation observation = observe(bench, "");
	struct finding finding = finding_of(RULE_PLAINTEXT_CREDENTIALS);
	struct alert alert = alert_of(&finding, &observation);
	alert.observation = NULL;
	alert.summary = 1;
	alert.count = 41;
	alert.last_ns = START + INT64_C(200) * 1000000000;
	cr_assert(alert_identify(&alert, &bench->origin, bench->digester));
	cr_assert(alert_write(&alert, &bench->origin, bench->digester, &bench->out));
	expect_golden(&bench->out, "alert_summary");
	teardown(bench);
}

/* A whole path: no session at all. */
Test(alert, golden_path)
{
	struct bench *bench = setup();
	struct finding finding = finding_of(RULE_PATH_DOWNGRADE);
	struct alert alert = {.finding = finding, .time_ns = START, .count = 900};
	alert.finding.scope = "all-clients";
	cr_assert(alert_identify(&alert, &bench->origin, bench->digester));
	cr_assert(alert_write(&alert, &bench->origin, bench->digester, &bench->out));
	expect_golden(&bench->out, "alert_path");
	teardown(bench);
}

Test(alert, id_depends_on_what_it_is_about)
{
	struct bench *bench = setup();
	struct observation observation = observe(bench, "");
	struct finding finding = finding_of(RULE_PLAINTEXT_CREDENTIALS);
	struct alert alert = alert_of(&finding, &observation);
	cr_assert(alert_identify(&alert, &bench->origin, bench->digester));
	/* printf of the bytes that alert.h documents | sha256sum | cut -c1-32 */
	cr_expect_eq(strlen(alert.id), 32);
	struct alert other = alert;
	other.time_ns++; /* the deciding packet is no part of it */
	cr_assert(alert_identify(&other, &bench->origin, bench->digester));
	cr_expect_str_eq(other.id, alert.id);
	other.summary = 1;
	cr_assert(alert_identify(&other, &bench->origin, bench->digester));
	cr_expect_str_neq(other.id, alert.id);
	other = alert;
	other.finding.reason = "challenge-response";
	cr_assert(alert_identify(&other, &bench->origin, bench->digester));
	cr_expect_str_neq(other.id, alert.id);
	bench->origin.sensor = "sensor-2";
	cr_assert(alert_identify(&other, &bench->origin, bench->digester));
	cr_expect_str_neq(other.id, alert.id);
	teardown(bench);
}

/* Bytes of every kind in every text: valid UTF-8, no control character, same length rules. */
Test(record, hostile_bytes)
{
	struct bench *bench = setup();
	uint32_t random = 7;
	for (int round = 0; round < 300; round++) {
		fill_plaintext(bench);
		for (unsigned id = 0; id < TEXT_COUNT; id++) {
			uint8_t bytes[200];
			for (size_t i = 0; i < sizeof bytes; i++) {
				random = random * 1664525 + 1013904223;
				bytes[i] = (uint8_t)(random >> 24);
			}
			cr_assert(session_facts_set_text(&bench->facts, &bench->budget,
							 (enum session_text_id)id,
							 span_of(bytes, random % sizeof bytes)));
		}
		struct observation observation =
		    observe(bench, "C: \x1b[2J\xff\nS: \xe2\x80\xae 250\r");
		struct finding finding = finding_of(RULE_PLAINTEXT_CREDENTIALS);
		struct alert alert = alert_of(&finding, &observation);
		buffer_clear(&bench->out);
		cr_assert(alert_write(&alert, &bench->origin, bench->digester, &bench->out));
		alert_line(&alert, false, &bench->out);
		struct cursor in = cursor_of(buffer_span(&bench->out));
		while (in.left > 0) {
			struct span rest = span_of(in.ptr, in.left);
			uint32_t character = utf8_next(&in);
			cr_assert_not(character_is_hostile(character));
			cr_assert(character != UTF8_REPLACEMENT ||
				  memcmp(rest.ptr, "\xef\xbf\xbd", 3) == 0);
		}
	}
	teardown(bench);
}

Test(record, no_room_leaves_the_buffer_as_it_was)
{
	struct bench *bench = setup();
	fill_upgraded(bench);
	for (size_t max = 6; max < 1500; max += 13) {
		struct buffer out;
		buffer_init(&out, &bench->budget, max);
		buffer_add_text(&out, "before");
		cr_expect_not(record_write(&bench->origin, bench->digester, &bench->facts,
					   &bench->certificate, 0, &out));
		cr_expect_eq(out.len, 6);
		cr_expect_not(out.failed);
		buffer_free(&out);
	}
	teardown(bench);
}

Test(record, addresses)
{
	struct {
		const char *in, *out;
	} cases[] = {
	    {"bob@example.org", "[redacted]@example.org"},
	    {"MAIL FROM:<bob@example.org> SIZE=1", "MAIL FROM:<[redacted]@example.org> SIZE=1"},
	    {"<\"a b\"@x> <c+d=e@y>", "<[redacted]@x> <[redacted]@y>"},
	    {"[redacted]@x", "[redacted]@x"},
	    {"@x and @", "@x and @"},
	    {"a@b@c", "[redacted]@[redacted]@c"},
	    {"no address", "no address"},
	    {"", ""},
	};
	struct bench *bench = setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct json json = json_into(&bench->out, false);
		char want[128];
		snprintf(want, sizeof want, "\"%s\"", cases[i].out);
		buffer_clear(&bench->out);
		json_wire(&json, NULL, span_str(cases[i].in));
		buffer_add_char(&bench->out, '\0');
		cr_expect_str_eq(bench->out.bytes, want);
		buffer_clear(&bench->out);
		json = json_into(&bench->out, true);
		json_text(&json, NULL, span_str("bob@example.org"));
		buffer_add_char(&bench->out, '\0');
		cr_expect_str_eq(bench->out.bytes, "\"bob@example.org\"");
	}
	teardown(bench);
}

Test(json, texts)
{
	struct {
		struct span in;
		const char *out;
	} cases[] = {
	    {span_str("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
	    {span_str("\n\r\t\x01\x7f"), "\"\\n\\r\\t\\u0001\\u007f\""},
	    {span_str("\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7"),
	     "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7\""},
	    {span_str("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
	    {span_str("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
	    {span_str("\xe2\x82"), "\"\xef\xbf\xbd\""},                             /* cut short */
	    {span_str("\xe2\x80\xae\xc2\x9b"), "\"\\u202e\\u009b\""},
	    {span_str("\xf3\xa0\x80\x81"), "\"\\udb40\\udc01\""},
	    {span_of("a\0b", 3), "\"a\\u0000b\""},
	};
	struct bench *bench = setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct json json = json_into(&bench->out, false);
		buffer_clear(&bench->out);
		json_text(&json, NULL, cases[i].in);
		buffer_add_char(&bench->out, '\0');
		cr_expect_str_eq(bench->out.bytes, cases[i].out, "case %zu: %s", i,
				 bench->out.bytes);
	}
	teardown(bench);
}

Test(buffer, times_agree_with_the_c_library)
{
	struct bench *bench = setup();
	for (int64_t seconds = -5000000000; seconds < 20000000000; seconds += 86399 * 37) {
		time_t when = (time_t)seconds;
		struct tm tm;
		char want[40];
		cr_assert_not_null(gmtime_r(&when, &tm));
		strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
		buffer_clear(&bench->out);
		buffer_add_seconds(&bench->out, seconds);
		buffer_add_char(&bench->out, '\0');
		cr_assert_str_eq(bench->out.bytes, want);
	}
	buffer_clear(&bench->out);
	buffer_add_time(&bench->out, -1);
	buffer_add_char(&bench->out, '\0');
	cr_expect_str_eq(bench->out.bytes, "1969-12-31T23:59:59.999999Z");
	buffer_clear(&bench->out);
	buffer_add_i64(&bench->out, INT64_MIN);
	buffer_add_char(&bench->out, '\0');
	cr_expect_str_eq(bench->out.bytes, "-9223372036854775808");
	teardown(bench);
}

/* The vectors of https://github.com/corelight/community-id-spec, baseline_deflt.json. */
Test(community_id, vectors)
{
	struct {
		const char *a, *b;
		uint16_t a_port, b_port;
		const char *id;
	} vectors[] = {
	    {"128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	    {"66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	};
	struct bench *bench = setup();
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		struct endpoint a = {.port = vectors[i].a_port}, b = {.port = vectors[i].b_port};
		char text[COMMUNITY_ID_TEXT];
		cr_assert(ip_addr_parse(vectors[i].a, strlen(vectors[i].a), &a.addr));
		cr_assert(ip_addr_parse(vectors[i].b, strlen(vectors[i].b), &b.addr));
		cr_assert(community_id_text(bench->digester, &a, &b, text));
		cr_expect_str_eq(text, vectors[i].id);
	}
	teardown(bench);
}

Test(rules, catalogue)
{
	for (unsigned i = 0; i < RULE_COUNT; i++) {
		const struct rule_info *info = rule_info((enum rule)i);
		enum rule rule;
		cr_assert(rule_by_id(span_str(info->id), &rule));
		cr_expect_eq(rule, i, "%s is there twice", info->id);
		cr_expect_neq(info->techniques, 0);
		cr_expect_neq(info->compliance, 0);
		cr_expect_eq(strncmp(info->references, "https://", 8), 0);
		cr_expect_neq(info->meaning[strlen(info->meaning) - 1], '.');
	}
	cr_expect_eq(RULE_COUNT, 19);
	for (unsigned i = 0; i < SEVERITY_COUNT; i++) {
		enum severity severity;
		cr_assert(severity_by_word(span_str(severity_word((enum severity)i)), &severity));
		cr_expect_eq(severity, i);
	}
}

Test(alert, golden_other_formats)
{
	static const struct {
		enum alert_format format;
		const char *name;
	} formats[] = {{ALERT_FORMAT_EVE, "../formats/alert_eve"},
		       {ALERT_FORMAT_OCSF, "../formats/alert_ocsf"}};
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
		struct bench *bench = setup();
		fill_upgraded(bench);
		struct observation observation = observe(bench, "");
		struct finding finding = finding_of(RULE_STARTTLS_STRIPPED);
		finding.scope = "some-clients";
		struct alert alert = alert_of(&finding, &observation);
		cr_assert(alert_identify(&alert, &bench->origin, bench->digester));
		cr_assert(alert_write_as(formats[i].format, &alert, &bench->origin, bench->digester,
					 &bench->out));
		expect_golden(&bench->out, formats[i].name);
		/* No room at any length: the buffer stays as it was. */
		for (size_t max = 1; max < bench->out.len; max += 7) {
			struct buffer small;
			buffer_init(&small, &bench->budget, max);
			cr_expect_not(alert_write_as(formats[i].format, &alert, &bench->origin,
						     bench->digester, &small));
			cr_expect_eq(small.len, 0);
			buffer_free(&small);
		}
		teardown(bench);
	}
}
