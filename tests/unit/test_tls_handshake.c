/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tls_handshake.h"

#include "tls_samples.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUDGET = 1 << 20, FLIGHT_MAX = 4096, CHAIN_LEAF = 512 };

static const struct tls_view both_open = {true, true, false}, both_closed = {true, true, true};

static size_t from_hex(const char *hex, uint8_t *out, size_t size)
{
	size_t len = 0;
	for (; hex[2 * len] != '\0' && len < size; len++) {
		char digits[3] = {hex[2 * len], hex[2 * len + 1], '\0'};
		out[len] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return len;
}

/* What the steps of a conversation told. */
struct told {
	unsigned kinds[TLS_STEP_MALFORMED + 1];
	char server_name[64];
	size_t leaf_len, plaintext_len;
	uint64_t skipped;
};

static void tell(struct told *told, const struct tls_step *step)
{
	told->kinds[step->kind]++;
	if (step->kind == TLS_STEP_CLIENT_HELLO) {
		struct span name = span_head(step->hello.server_name, sizeof told->server_name - 1);
		if (name.len > 0)
			memcpy(told->server_name, name.ptr, name.len);
	}
	if (step->chain_len > 0)
		told->leaf_len = step->chain[0].len;
	if (step->kind == TLS_STEP_PLAINTEXT)
		told->plaintext_len += step->bytes.len;
}

/* Feeds from a heap block of the exact size, so that a read beyond it is found. */
static void feed(struct tls_conversation *conversation, struct budget *budget, enum side side,
		 const uint8_t *bytes, size_t len, struct told *told)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	memcpy(exact, bytes, len);
	struct span rest = span_of(exact, len);
	while (rest.len > 0) {
		struct tls_step step;
		tls_feed(conversation, budget, side, rest, &step);
		cr_assert_leq(step.consumed, rest.len);
		cr_assert(step.consumed > 0 || step.kind != TLS_STEP_NOTHING);
		tell(told, &step);
		rest = span_skip(rest, step.consumed);
	}
	free(exact);
}

/* Plays a sample in pieces of at most chunk bytes; lost is a flight that is a gap, or -1. */
static struct tls_facts play(const struct sample *sample, size_t chunk, int lost, bool skip,
			     struct told *told)
{
	struct tls_conversation conversation;
	struct budget budget;
	struct told ignored;
	uint8_t bytes[FLIGHT_MAX];
	budget_init(&budget, BUDGET);
	tls_conversation_init(&conversation);
	told = told != NULL ? told : &ignored;
	*told = (struct told){.leaf_len = 0};
	for (int i = 0; i < SAMPLE_FLIGHTS && sample->flights[i].hex != NULL; i++) {
		enum side side = sample->flights[i].side;
		size_t len = from_hex(sample->flights[i].hex, bytes, sizeof bytes);
		if (i == lost) {
			tls_gap(&conversation, &budget, side, len);
			continue;
		}
		for (size_t at = 0; at < len;) {
			uint64_t skippable = tls_skippable(&conversation, side);
			if (skip && skippable > 0) {
				size_t n = skippable < len - at ? (size_t)skippable : len - at;
				tls_skipped(&conversation, side, n);
				told->skipped += n;
				at += n;
				continue;
			}
			size_t n = chunk < len - at ? chunk : len - at;
			feed(&conversation, &budget, side, bytes + at, n, told);
			at += n;
		}
	}
	tls_conversation_free(&conversation, &budget);
	cr_expect_eq(budget.used, 0, "%s", sample->name);
	return conversation.facts;
}

static const struct {
	enum sample_id sample;
	uint16_t offered, version, suite, group;
	bool certificate, resumed, retry, scsv;
	enum tls_sentinel sentinel;
	bool rolled_back;
	uint8_t alert_side, alert;
	enum tri closed, open;
} expected[] = {
    {SAMPLE_TLS12_FULL, 0x0303, 0x0303, 0xc02c, 29, true, false, false, false, TLS_SENTINEL_NONE,
     false, 0, 0, TRI_TRUE, TRI_TRUE},
    {SAMPLE_TLS12_RESUMED, 0x0303, 0x0303, 0xc02c, 0, false, true, false, false, TLS_SENTINEL_NONE,
     false, 0, 0, TRI_TRUE, TRI_TRUE},
    {SAMPLE_TLS13_FULL, 0x0304, 0x0304, 0x1302, 29, false, false, false, false, TLS_SENTINEL_NONE,
     false, 0, 0, TRI_TRUE, TRI_TRUE},
    {SAMPLE_TLS13_RESUMED, 0x0304, 0x0304, 0x1302, 29, false, true, false, false, TLS_SENTINEL_NONE,
     false, 0, 0, TRI_TRUE, TRI_TRUE},
    {SAMPLE_TLS13_RETRY, 0x0304, 0x0304, 0x1302, 24, false, false, true, false, TLS_SENTINEL_NONE,
     false, 0, 0, TRI_TRUE, TRI_TRUE},
    {SAMPLE_TLS13_REJECTED, 0x0304, 0x0304, 0x1302, 29, false, false, false, false,
     TLS_SENTINEL_NONE, false, SIDE_CLIENT, 48, TRI_FALSE, TRI_FALSE},
    {SAMPLE_VERSION_REFUSED, 0x0303, 0, 0, 0, false, false, false, false, TLS_SENTINEL_NONE, false,
     SIDE_SERVER, 70, TRI_FALSE, TRI_FALSE},
    {SAMPLE_FALLBACK_REFUSED, 0x0303, 0, 0, 0, false, false, false, true, TLS_SENTINEL_NONE, true,
     SIDE_SERVER, 86, TRI_FALSE, TRI_FALSE},
    {SAMPLE_TLS12_BY_SERVER, 0x0304, 0x0303, 0xc02c, 29, true, false, false, false,
     TLS_SENTINEL_NONE, false, 0, 0, TRI_TRUE, TRI_TRUE},
};

Test(tls_handshake, recorded_conversations)
{
	static const size_t chunks[] = {FLIGHT_MAX, 1, 2, 3, 5, 7, 64, 100, 333};
	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
		const struct sample *sample = &samples[expected[i].sample];
		struct tls_facts whole = {0};
		for (size_t c = 0; c < 2 * sizeof chunks / sizeof chunks[0]; c++) {
			struct told told;
			size_t chunk = chunks[c / 2];
			struct tls_facts facts = play(sample, chunk, -1, c % 2 == 1, &told);
			if (c == 0)
				whole = facts;
			cr_expect_arr_eq(&facts, &whole, sizeof facts, "%s in pieces of %zu",
					 sample->name, chunk);
			cr_expect_str_eq(told.server_name, "mail.example.org", "%s", sample->name);
			cr_expect_eq(told.leaf_len > 0, expected[i].certificate, "%s",
				     sample->name);
			cr_expect_eq(told.kinds[TLS_STEP_MALFORMED], 0);
			cr_expect_eq(told.kinds[TLS_STEP_PLAINTEXT], 0);
			cr_expect_eq(told.kinds[TLS_STEP_CLIENT_HELLO], expected[i].retry ? 2 : 1);
			cr_expect_eq(told.kinds[TLS_STEP_HELLO_RETRY], expected[i].retry ? 1 : 0);
			cr_expect_eq(told.kinds[TLS_STEP_SERVER_HELLO], expected[i].version != 0);
		}
		cr_expect_eq(whole.offered_version, expected[i].offered, "%s", sample->name);
		cr_expect_eq(whole.version, expected[i].version, "%s", sample->name);
		cr_expect_eq(whole.suite, expected[i].suite, "%s: %04x", sample->name, whole.suite);
		cr_expect_eq(whole.group, expected[i].group, "%s: %u", sample->name, whole.group);
		cr_expect_eq(whole.certificate, expected[i].certificate, "%s", sample->name);
		cr_expect_eq(whole.resumed, expected[i].resumed, "%s", sample->name);
		cr_expect_eq(whole.hello_retry, expected[i].retry, "%s", sample->name);
		cr_expect_eq(whole.fallback_scsv, expected[i].scsv, "%s", sample->name);
		cr_expect_eq(whole.sentinel, expected[i].sentinel, "%s", sample->name);
		cr_expect_eq(tls_rolled_back(&whole), expected[i].rolled_back, "%s", sample->name);
		cr_expect_eq(whole.alert_description[expected[i].alert_side], expected[i].alert,
			     "%s", sample->name);
		cr_expect_eq(tls_established(&whole, &both_closed), expected[i].closed, "%s",
			     sample->name);
		cr_expect_eq(tls_established(&whole, &both_open), expected[i].open, "%s",
			     sample->name);
		cr_expect(!whole.lost[0] && !whole.lost[1] && !whole.malformed[0] &&
			  !whole.malformed[1]);
	}
}

/* Only what is behind the headers is skipped, and a session that is up skips nearly all. */
Test(tls_handshake, protected_records_need_no_look)
{
	struct told told;
	(void)play(&samples[SAMPLE_TLS12_FULL], FLIGHT_MAX, -1, true, &told);
	cr_expect_eq(told.skipped, 0, "whole flights are fed at once");
	(void)play(&samples[SAMPLE_TLS12_FULL], 1, -1, true, &told);
	/* Both Finished (40 each) and three records of application data or alert. */
	cr_expect_eq(told.skipped, 40 + 40 + 30 + 26 + 26, "%llu",
		     (unsigned long long)told.skipped);
}

/* The verdict of a conversation of which one direction was captured. */
Test(tls_handshake, one_direction)
{
	static const struct {
		enum sample_id sample;
		enum side visible;
		enum tri closed, open;
	} table[] = {
	    {SAMPLE_TLS12_FULL, SIDE_CLIENT, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS12_FULL, SIDE_SERVER, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS12_RESUMED, SIDE_CLIENT, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS13_FULL, SIDE_CLIENT, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS13_FULL, SIDE_SERVER, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS13_RETRY, SIDE_CLIENT, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS13_RETRY, SIDE_SERVER, TRI_TRUE, TRI_TRUE},
	    {SAMPLE_TLS13_REJECTED, SIDE_CLIENT, TRI_FALSE, TRI_FALSE},
	    {SAMPLE_VERSION_REFUSED, SIDE_CLIENT, TRI_FALSE, TRI_UNKNOWN},
	    {SAMPLE_VERSION_REFUSED, SIDE_SERVER, TRI_FALSE, TRI_FALSE},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sample one = samples[table[i].sample];
		struct sample half = {.name = one.name};
		unsigned n = 0;
		for (unsigned f = 0; f < SAMPLE_FLIGHTS && one.flights[f].hex != NULL; f++)
			if (one.flights[f].side == table[i].visible)
				half.flights[n++] = one.flights[f];
		struct tls_facts facts = play(&half, FLIGHT_MAX, -1, false, NULL);
		struct tls_view view = {table[i].visible == SIDE_CLIENT,
					table[i].visible == SIDE_SERVER, true};
		cr_expect_eq(tls_established(&facts, &view), table[i].closed, "%zu: %s", i,
			     one.name);
		view.closed = false;
		cr_expect_eq(tls_established(&facts, &view), table[i].open, "%zu: %s", i, one.name);
		cr_expect(!facts.malformed[table[i].visible], "%zu: %s", i, one.name);
	}
}

/* Whatever flight is missing: no denial of what was established, no invented plaintext. */
Test(tls_handshake, any_lost_flight_is_no_claim)
{
	static const size_t chunks[] = {FLIGHT_MAX, 1, 50};
	for (unsigned s = 0; s < SAMPLE_COUNT; s++) {
		for (int lost = 0; lost < SAMPLE_FLIGHTS && samples[s].flights[lost].hex != NULL;
		     lost++) {
			for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
				struct tls_facts facts =
				    play(&samples[s], chunks[c], lost, false, NULL);
				enum tri truth = expected[s].closed;
				enum tri claim = tls_established(&facts, &both_closed);
				cr_expect(claim == truth || claim == TRI_UNKNOWN,
					  "%s without flight %d: %d", samples[s].name, lost, claim);
				cr_expect(!facts.plaintext[0] && !facts.plaintext[1] &&
					      !facts.malformed[0] && !facts.malformed[1],
					  "%s without flight %d", samples[s].name, lost);
			}
		}
	}
}

/* ---- made by hand ---- */

struct script {
	struct tls_conversation conversation;
	struct budget budget;
	struct told told;
};

static void script_begin(struct script *script)
{
	tls_conversation_init(&script->conversation);
	budget_init(&script->budget, BUDGET);
	script->told = (struct told){.leaf_len = 0};
}

static void script_say(struct script *script, enum side side, const void *bytes, size_t len)
{
	feed(&script->conversation, &script->budget, side, bytes, len, &script->told);
}

static void script_hex(struct script *script, enum side side, const char *hex)
{
	uint8_t bytes[FLIGHT_MAX];
	script_say(script, side, bytes, from_hex(hex, bytes, sizeof bytes));
}

static void script_sample(struct script *script, enum sample_id id, unsigned flights)
{
	for (unsigned i = 0; i < flights; i++)
		script_hex(script, samples[id].flights[i].side, samples[id].flights[i].hex);
}

static enum tri script_established(const struct script *script, bool closed)
{
	struct tls_view view = {true, true, closed};
	return tls_established(&script->conversation.facts, &view);
}

static void script_end(struct script *script)
{
	tls_conversation_free(&script->conversation, &script->budget);
	cr_expect_eq(script->budget.used, 0);
}

Test(tls_handshake, plaintext_is_told_from_its_first_byte)
{
	static const char reply[] = "454 TLS not available\r\n";
	struct script script;
	/* flights before it, and what was established by then */
	static const struct {
		unsigned flights;
		enum side side;
		enum tri established;
	} table[] = {
	    {0, SIDE_CLIENT, TRI_FALSE}, {1, SIDE_SERVER, TRI_FALSE}, {2, SIDE_CLIENT, TRI_FALSE},
	    {3, SIDE_SERVER, TRI_FALSE}, {4, SIDE_SERVER, TRI_TRUE},  {5, SIDE_CLIENT, TRI_TRUE},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		script_begin(&script);
		script_sample(&script, SAMPLE_TLS12_FULL, table[i].flights);
		script_say(&script, table[i].side, reply, 1);
		cr_expect_eq(script.told.kinds[TLS_STEP_PLAINTEXT], 1, "%zu", i);
		script_say(&script, table[i].side, reply + 1, sizeof reply - 2);
		cr_expect_eq(script.told.plaintext_len, sizeof reply - 1, "%zu", i);
		cr_expect(script.conversation.facts.plaintext[table[i].side]);
		cr_expect_eq(script_established(&script, false), table[i].established, "%zu", i);
		script_end(&script);
	}
}

Test(tls_handshake, broken_records_and_messages)
{
	static const struct {
		const char *what, *hex;
	} table[] = {
	    {"version", "160500"},
	    {"version of the future, and no hello", "170305"},
	    {"version of the future, behind the hello's record", "1603010004000000001603ff"},
	    {"empty handshake record", "1603010000"},
	    {"record above 2^14 + 2048", "1603014801"},
	    {"change cipher spec of two bytes", "14030100020101"},
	    {"change cipher spec of another value", "140301000102"},
	    {"alert and a half that is none", "1503010003020000"},
	    {"alert of no level", "15030100020302"},
	    {"more alerts than anyone sends", "1503010014"},
	    {"hello without suites",
	     "160301002b0100002703030000000000000000000000000000000000000000"
	     "00000000000000000000000000000000010000"},
	    {"alert inside a message", "160301000401000050150301000202"},
	    {"SSL 2.0 of no known message", "802e020002"},
	    {"SSL 2.0 hello too short", "8005010002"},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct script script;
		script_begin(&script);
		script_hex(&script, SIDE_CLIENT, table[i].hex);
		script_say(&script, SIDE_CLIENT, "more", 4);
		cr_expect_gt(script.told.kinds[TLS_STEP_MALFORMED], 0, "%s", table[i].what);
		cr_expect(script.conversation.facts.malformed[SIDE_CLIENT], "%s", table[i].what);
		cr_expect_eq(script_established(&script, true), TRI_FALSE, "%s", table[i].what);
		script_end(&script);
	}
}

/* What is kept of a server's alerts, byte by byte too; RFC 5246 6.2.1. */
Test(tls_handshake, alerts_in_records)
{
	static const struct {
		const char *hex;
		unsigned told;
		uint8_t level, description;
	} table[] = {
	    {"15030100020228", 1, 2, 40},
	    {"15030100020170", 1, 1, 112},
	    {"15030100020170"
	     "15030100020256",
	     2, 2, 86},
	    {"150301000401700256", 2, 2, 86},
	    {"150301000102"
	     "150301000156",
	     1, 2, 86},
	    {"1503010003017002"
	     "150301000156",
	     2, 2, 86},
	    {"15030100020228"
	     "15030100020256",
	     2, 2, 40},
	    {"15030100020156"
	     "15030100020228",
	     2, 1, 86},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		for (unsigned bytewise = 0; bytewise < 2; bytewise++) {
			struct script script;
			uint8_t bytes[32];
			const size_t len = from_hex(table[i].hex, bytes, sizeof bytes);
			script_begin(&script);
			script_sample(&script, SAMPLE_TLS12_FULL, 1);
			for (size_t at = 0; at < len; at += bytewise ? 1 : len)
				script_say(&script, SIDE_SERVER, bytes + at, bytewise ? 1 : len);
			const struct tls_facts *facts = &script.conversation.facts;
			cr_expect_eq(script.told.kinds[TLS_STEP_ALERT], table[i].told, "%zu", i);
			cr_expect_eq(facts->alert_level[SIDE_SERVER], table[i].level, "%zu", i);
			cr_expect_eq(facts->alert_description[SIDE_SERVER], table[i].description,
				     "%zu", i);
			cr_expect(!facts->malformed[SIDE_SERVER], "%zu", i);
			script_end(&script);
		}
	}
}

/* A record of a type and a length whose content does not matter. */
static void say_record(struct script *script, enum side side, uint8_t type, uint16_t len)
{
	uint8_t record[5 + 512] = {type, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};
	memset(record + 5, 0xa5, len);
	script_say(script, side, record, 5U + len);
}

Test(tls_handshake, alert_sized_record_of_tls13)
{
	struct script script;
	script_begin(&script);
	script_sample(&script, SAMPLE_TLS13_FULL, 2);
	cr_expect_eq(script_established(&script, false), TRI_UNKNOWN);
	say_record(&script, SIDE_CLIENT, 23, TLS_ALERT_RECORD_LEN);
	cr_expect(tls_client_rejected(&script.conversation.facts));
	cr_expect_eq(script_established(&script, false), TRI_UNKNOWN, "an end of capture");
	cr_expect_eq(script_established(&script, true), TRI_FALSE, "closed");
	say_record(&script, SIDE_CLIENT, 23, TLS_ALERT_RECORD_LEN);
	cr_expect_eq(script_established(&script, true), TRI_TRUE, "it was no alert");
	script_end(&script);

	script_begin(&script);
	script_sample(&script, SAMPLE_TLS13_FULL, 2);
	say_record(&script, SIDE_CLIENT, 23, TLS_ALERT_RECORD_LEN + 1);
	cr_expect_eq(script_established(&script, true), TRI_TRUE, "larger than an alert");
	script_end(&script);
}

Test(tls_handshake, both_change_cipher_specs_are_needed)
{
	struct script script;
	script_begin(&script);
	script_sample(&script, SAMPLE_TLS12_FULL, 3);
	cr_expect_eq(script_established(&script, false), TRI_UNKNOWN);
	cr_expect_eq(script_established(&script, true), TRI_FALSE, "the server never answered");
	say_record(&script, SIDE_SERVER, 23, 40);
	cr_expect_eq(script_established(&script, true), TRI_FALSE, "no ChangeCipherSpec before it");
	script_end(&script);
}

/* The sentinel in place of the random's end; the client of the sample offered TLS 1.3. */
Test(tls_handshake, sentinel_is_proof_only_against_a_better_offer)
{
	static const struct {
		enum sample_id client, server;
		uint8_t last;
		bool proof;
	} table[] = {
	    {SAMPLE_TLS12_BY_SERVER, SAMPLE_TLS12_FULL, 1, true},
	    {SAMPLE_TLS12_FULL, SAMPLE_TLS12_FULL, 1, false},
	    {SAMPLE_TLS12_BY_SERVER, SAMPLE_TLS12_FULL, 2, false},
	    {SAMPLE_TLS12_BY_SERVER, SAMPLE_TLS12_FULL, 0, false},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct script script;
		uint8_t bytes[FLIGHT_MAX];
		script_begin(&script);
		script_sample(&script, table[i].client, 1);
		size_t len = from_hex(samples[table[i].server].flights[1].hex, bytes, sizeof bytes);
		memcpy(bytes + 5 + 4 + 2 + 24, "DOWNGRD", 7);
		bytes[5 + 4 + 2 + 31] = table[i].last;
		script_say(&script, SIDE_SERVER, bytes, len);
		cr_expect_eq(tls_rolled_back(&script.conversation.facts), table[i].proof, "%zu", i);
		script_end(&script);
	}
}

/* A ClientHello of a legacy_version, with supported_versions (hex, its type and lengths too). */
static void say_client_hello(struct script *script, const char *version, const char *extension)
{
	char hex[256];
	const size_t extensions = strlen(extension) / 2, body = 2 + 32 + 1 + 4 + 2 + 2 + extensions;
	(void)snprintf(hex, sizeof hex, "160301%04zx01%06zx%s%064d00%s0100%04zx%s", 4 + body, body,
		       version, 0, "0002c02f", extensions, extension);
	script_hex(script, SIDE_CLIENT, hex);
}

/*
 * Only a server that understood an offer of TLS 1.3 can have been kept from taking it: not
 * what legacy_version says (RFC 8446 4.2.1), and no draft, which a server may not speak.
 */
Test(tls_handshake, what_counts_as_an_offer_of_tls13)
{
	static const struct {
		const char *version, *extension;
		uint16_t offered;
	} table[] = {
	    {"0303", "002b0003020304", TLS_VERSION_1_3},
	    {"0303", "002b0005040a0a0304", TLS_VERSION_1_3},
	    {"0303", "002b0005047f1c0304", TLS_VERSION_1_3},
	    {"0303", "002b0005047f1c0303", TLS_VERSION_1_2},
	    {"0303", "002b0003027f1c", TLS_VERSION_1_2},
	    {"0303", "002b00050403050303", TLS_VERSION_1_2},
	    {"0303", "", TLS_VERSION_1_2},
	    {"0304", "", TLS_VERSION_1_2},
	    {"03ff", "", TLS_VERSION_1_2},
	    {"0302", "", TLS_VERSION_1_1},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct script script;
		uint8_t bytes[FLIGHT_MAX];
		script_begin(&script);
		say_client_hello(&script, table[i].version, table[i].extension);
		cr_expect_eq(script.told.kinds[TLS_STEP_CLIENT_HELLO], 1, "%zu", i);
		cr_expect_eq(script.conversation.facts.offered_version, table[i].offered, "%zu", i);
		const size_t len =
		    from_hex(samples[SAMPLE_TLS12_FULL].flights[1].hex, bytes, sizeof bytes);
		memcpy(bytes + 5 + 4 + 2 + 24, "DOWNGRD\x01", 8);
		script_say(&script, SIDE_SERVER, bytes, len);
		cr_expect_eq(tls_rolled_back(&script.conversation.facts),
			     table[i].offered == TLS_VERSION_1_3, "%zu", i);
		script_end(&script);
	}
}

/* A draft that the server chose as well was an offer, and all of TLS 1.3's rules hold. */
Test(tls_handshake, draft_of_tls13_that_is_chosen)
{
	struct script script;
	script_begin(&script);
	say_client_hello(&script, "0303", "002b0005047f1c0303");
	script_hex(&script, SIDE_SERVER,
		   "160303003202"
		   "00002e0303"
		   "0000000000000000000000000000000000000000000000000000000000000000"
		   "00130100"
		   "0006002b00027f1c");
	cr_expect_eq(script.conversation.facts.version, TLS_VERSION_1_3);
	cr_expect_eq(script.conversation.facts.offered_version, TLS_VERSION_1_3);
	say_record(&script, SIDE_SERVER, 23, 40);
	say_record(&script, SIDE_CLIENT, 23, 40);
	cr_expect_eq(script_established(&script, false), TRI_TRUE);
	script_end(&script);

	/* The ServerHello was missed: it may have been one of TLS 1.3. */
	script_begin(&script);
	say_client_hello(&script, "0303", "002b0005047f1c0303");
	tls_gap(&script.conversation, &script.budget, SIDE_SERVER, 0);
	script_hex(&script, SIDE_CLIENT, "140303000101");
	say_record(&script, SIDE_CLIENT, 23, TLS_ALERT_RECORD_LEN);
	cr_expect_eq(script_established(&script, true), TRI_UNKNOWN);
	script_end(&script);
}

Test(tls_handshake, sslv2_hellos)
{
	struct script script;
	/* A hello in the old form that offers TLS 1.0 and the fallback signal. */
	script_begin(&script);
	script_hex(&script, SIDE_CLIENT,
		   "8022010301000900000010"
		   "00002f"
		   "005600"
		   "010080"
		   "000102030405060708090a0b0c0d0e0f");
	cr_expect_eq(script.told.kinds[TLS_STEP_CLIENT_HELLO], 1);
	cr_expect_eq(script.conversation.facts.offered_version, TLS_VERSION_1_0);
	cr_expect(script.conversation.facts.fallback_scsv);
	script_hex(&script, SIDE_SERVER, "15030100020246");
	cr_expect_eq(script_established(&script, true), TRI_FALSE);
	script_end(&script);

	/* SSL 2.0 to the end: known, and not followed. */
	script_begin(&script);
	script_hex(&script, SIDE_CLIENT,
		   "801c010002000300000010"
		   "010080"
		   "000102030405060708090a0b0c0d0e0f");
	script_hex(&script, SIDE_SERVER,
		   "8020040001000200020003"
		   "0010"
		   "3000"
		   "010080"
		   "000102030405060708090a0b0c0d0e0f");
	cr_expect_eq(script.conversation.facts.version, TLS_VERSION_SSL2);
	cr_expect_eq(script.conversation.facts.suite, 1);
	cr_expect_eq(script.told.leaf_len, 2);
	cr_expect_eq(tls_skippable(&script.conversation, SIDE_CLIENT), UINT64_MAX);
	cr_expect_eq(script_established(&script, true), TRI_UNKNOWN);
	script_end(&script);
}

/* The prime's size, and a group of 2^n + 1 bits in a record of leading zeroes. */
Test(tls_handshake, key_exchange_sizes)
{
	static const struct {
		size_t prime_len;
		uint8_t top;
		unsigned bits;
	} table[] = {{64, 0x80, 512}, {128, 0xff, 1024}, {128, 0x00, 1016}, {96, 0x01, 761}};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct script script;
		uint8_t message[512] = {0};
		size_t p = table[i].prime_len, body = 2 + p + 2 + 1 + 2 + 4 + 4;
		uint8_t header[9] = {22, 3, 3, 0, 0, 12, 0, 0, (uint8_t)body};
		header[3] = (uint8_t)((body + 4) >> 8);
		header[4] = (uint8_t)(body + 4);
		memcpy(message, header, sizeof header);
		message[9 + 1] = (uint8_t)p;
		memset(message + 11, 0xa5, p);
		message[11] = table[i].top;
		message[11 + p + 1] = 1;
		message[11 + p + 2] = 2;
		message[11 + p + 4] = 4;
		script_begin(&script);
		script_say(&script, SIDE_SERVER, message, 9 + body);
		cr_expect_eq(script.conversation.facts.dh_bits, table[i].bits, "%zu: %u", i,
			     script.conversation.facts.dh_bits);
		script_end(&script);
	}
}

/* Gaps inside bytes that need no look, and gaps that end at an unknown place. */
Test(tls_handshake, gaps_after_the_upgrade)
{
	struct script script;
	uint8_t header[5] = {23, 3, 3, 1, 0};
	script_begin(&script);
	script_sample(&script, SAMPLE_TLS12_FULL, 5);

	script_say(&script, SIDE_CLIENT, header, 5);
	tls_gap(&script.conversation, &script.budget, SIDE_CLIENT, 256);
	cr_expect(!script.conversation.facts.lost[SIDE_CLIENT], "a gap in a protected record");
	say_record(&script, SIDE_CLIENT, 23, 100);

	tls_gap(&script.conversation, &script.budget, SIDE_CLIENT, 0);
	cr_expect(!script.conversation.facts.lost[SIDE_CLIENT], "nothing of it counts any more");
	script_say(&script, SIDE_CLIENT, "the middle of a record", 22);
	say_record(&script, SIDE_CLIENT, 23, 100);
	script_say(&script, SIDE_CLIENT, "x", 1);
	cr_expect(!script.conversation.facts.plaintext[SIDE_CLIENT], "one header may be chance");
	for (unsigned i = 0; i < 4; i++)
		say_record(&script, SIDE_CLIENT, 23, 100);
	script_say(&script, SIDE_CLIENT, "QUIT\r\n", 6);
	cr_expect(script.conversation.facts.plaintext[SIDE_CLIENT], "four in a row are not");
	cr_expect_eq(script_established(&script, true), TRI_TRUE);
	script_end(&script);
}

/* A gap that ends where a record ends: the next byte is a header, nothing is in doubt. */
Test(tls_handshake, gap_to_the_end_of_a_record)
{
	struct script script;
	uint8_t header[5] = {23, 3, 3, 1, 0};
	script_begin(&script);
	script_sample(&script, SAMPLE_TLS12_FULL, 5);
	script_say(&script, SIDE_CLIENT, header, 5);
	tls_gap(&script.conversation, &script.budget, SIDE_CLIENT, 256);
	script_say(&script, SIDE_CLIENT, "QUIT\r\n", 6);
	cr_expect(script.conversation.facts.plaintext[SIDE_CLIENT]);
	script_end(&script);
}

/* RFC 8446 4.2.10: what the client sends before the ServerHello says nothing of the server. */
Test(tls_handshake, early_data_proves_nothing)
{
	static const uint8_t ticket[4] = {0, 35, 0, 0};
	struct script script;
	uint8_t hello[FLIGHT_MAX];
	size_t len = from_hex(samples[SAMPLE_TLS13_FULL].flights[0].hex, hello, sizeof hello);
	size_t at = 0;
	while (at + 4 < len && memcmp(hello + at, ticket, 4) != 0)
		at++;
	cr_assert_lt(at + 4, len, "the sample has an empty session_ticket extension");
	hello[at + 1] = 42; /* early_data */

	script_begin(&script);
	script_say(&script, SIDE_CLIENT, hello, len);
	cr_expect(script.conversation.facts.early_data);
	say_record(&script, SIDE_CLIENT, 23, 100);
	say_record(&script, SIDE_CLIENT, 23, 100);
	script_hex(&script, SIDE_SERVER, samples[SAMPLE_TLS13_FULL].flights[1].hex);
	cr_expect_eq(script_established(&script, true), TRI_FALSE, "no Finished of the client");
	struct tls_view client_only = {true, false, false};
	cr_expect_neq(tls_established(&script.conversation.facts, &client_only), TRI_TRUE);
	say_record(&script, SIDE_CLIENT, 23, 100);
	cr_expect_eq(script_established(&script, true), TRI_TRUE);
	script_end(&script);
}

/* Every allocation refused in turn: never a crash, never a denial. */
Test(tls_handshake, refused_memory_is_a_loss)
{
	for (uint64_t fail = 1; fail < 12; fail++) {
		struct script script;
		script_begin(&script);
		script.budget.fail_at = fail;
		const struct sample *sample = &samples[SAMPLE_TLS12_FULL];
		for (unsigned f = 0; f < SAMPLE_FLIGHTS && sample->flights[f].hex != NULL; f++) {
			uint8_t bytes[FLIGHT_MAX];
			size_t len = from_hex(sample->flights[f].hex, bytes, sizeof bytes);
			for (size_t i = 0; i < len; i++)
				script_say(&script, sample->flights[f].side, bytes + i, 1);
		}
		cr_expect_neq(script_established(&script, true), TRI_FALSE, "%u", (unsigned)fail);
		script_end(&script);
	}
}

/* An announced size alone costs nothing. */
Test(tls_handshake, memory_follows_the_bytes)
{
	struct script script;
	script_begin(&script);
	script_hex(&script, SIDE_CLIENT, "16030140000100fff0");
	cr_expect_leq(script.budget.peak, 1024);
	script_end(&script);

	script_begin(&script);
	script_hex(&script, SIDE_CLIENT, "160301400001010000");
	cr_expect(script.conversation.facts.lost[SIDE_CLIENT], "above TLS_MESSAGE_MAX");
	script_end(&script);
}

Test(tls_handshake, grease)
{
	cr_expect(tls_is_grease(0x0a0a) && tls_is_grease(0xfafa));
	cr_expect(!tls_is_grease(0x0a1a) && !tls_is_grease(0x1301) && !tls_is_grease(0x0a0b));
}
