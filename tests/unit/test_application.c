/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/application.h"

#include "tls_samples.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct application_flow flow_of(const char *client, const char *server, bool server_first)
{
	return (struct application_flow){
	    .client = span_str(client), .server = span_str(server), .server_first = server_first};
}

#define SMTP_SERVER "220 mail.example.org ESMTP ready\r\n250-mail.example.org\r\n250 STARTTLS\r\n"
#define SMTP_CLIENT "EHLO client.example.net\r\nMAIL FROM:<a@example.net>\r\n"

static const struct {
	const char *client, *server;
	bool server_first;
	const char *name; /* "": not recognised */
} flows[] = {
    {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", true, "ssh"},
    {"GET / HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/7.88\r\n\r\n",
     "HTTP/1.1 400 Bad Request\r\nServer: test\r\nContent-Length: 0\r\n\r\n", false, "http"},
    {SMTP_CLIENT, SMTP_SERVER, true, "smtp"},
    {"zxcvbnm,./asdfghjkl;'qwertyuiop", "0123456789", false, ""},
    {"", "", false, ""},
};

Test(application, loaded_library_fits)
{
	char error[256] = "";
	cr_expect(application_abi_ok(error, sizeof error), "%s", error);
}

Test(application, names)
{
	struct application_detector *detector = application_detector_create();
	cr_assert_not_null(detector);
	/* Twice: an answer must not depend on those before it. */
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof flows / sizeof flows[0]; i++) {
			struct application_flow flow =
			    flow_of(flows[i].client, flows[i].server, flows[i].server_first);
			char name[APPLICATION_NAME_MAX];
			bool named = application_name(detector, &flow, name);
			cr_expect_str_eq(name, flows[i].name, "%zu: %s", i, name);
			cr_expect_eq(named, flows[i].name[0] != '\0');
			cr_expect_eq(application_is_smtp(detector, &flow),
				     strcmp(flows[i].name, "smtp") == 0, "%zu", i);
		}
	}
	application_detector_destroy(detector);
}

/* What begins alike and is not: a reply code alone proves nothing. */
Test(application, not_every_220_is_smtp)
{
	struct application_detector *detector = application_detector_create();
	struct application_flow flow =
	    flow_of("USER anonymous\r\n", "220 ftp.example.org FTP\r\n331 Password\r\n", true);
	cr_expect_not(application_is_smtp(detector, &flow));
	flow = flow_of("nothing\r\n", "of the kind\r\n", true);
	cr_expect_not(application_is_smtp(detector, &flow));
	application_detector_destroy(detector);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t len = 0;
	for (; hex[2 * len] != '\0'; len++) {
		char digits[3] = {hex[2 * len], hex[2 * len + 1], '\0'};
		out[len] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return len;
}

/* The sample's certificate is self-signed and valid from November 2026 for ten years. */
Test(application, tls_risks)
{
	static uint8_t client[4096], server[4096];
	const struct sample *sample = &samples[SAMPLE_TLS12_FULL];
	struct application_detector *detector = application_detector_create();
	struct application_flow flow = flow_of("", "", false);
	flow.client = span_of(client, from_hex(sample->flights[0].hex, client));
	flow.server = span_of(server, from_hex(sample->flights[1].hex, server));

	uint32_t risks = application_tls_risks(detector, &flow, 1830000000);
	cr_expect(risks & APPLICATION_RISK_SELF_SIGNED, "%x", risks);
	cr_expect_not(risks & APPLICATION_RISK_CERTIFICATE_EXPIRED, "%x", risks);
	cr_expect_not(risks & APPLICATION_RISK_OBSOLETE_VERSION, "%x", risks);
	risks = application_tls_risks(detector, &flow, 2600000000);
	cr_expect(risks & APPLICATION_RISK_CERTIFICATE_EXPIRED, "%x", risks);
	application_detector_destroy(detector);
}

/* The first record of a flight. */
static struct span first_record(const char *hex, uint8_t *room)
{
	struct span flight = span_of(room, from_hex(hex, room));
	return span_head(flight, 5U + bytes_u16(flight.ptr + 3));
}

/* Puts a name into a client's hello that asks for one of the same length. */
static void ask_for(uint8_t *hello, size_t len, const char *name)
{
	static const char sampled[] = "mail.example.org";
	for (size_t i = 0; i + sizeof sampled - 1 <= len; i++)
		if (memcmp(hello + i, sampled, sizeof sampled - 1) == 0)
			memcpy(hello + i, name, sizeof sampled - 1);
}

/*
 * The pipeline asks once for each pair of hellos and once for each name: the name is suspicious
 * by itself, and all else has nothing to do with it.
 */
Test(application, the_name_asked_for_is_judged_apart)
{
	static const char *const names[] = {"mail.example.org", "mx-7.example.com",
					    "xkqzvbwjqpfh.com", "a.b.c.d.e.f.g.hi"};
	static const struct {
		enum sample_id sample;
		uint8_t client_minor; /* TLS 1.0 is 1 (RFC 8446 D); 0: as recorded */
		uint16_t suite;       /* that the server chooses; 0: as recorded */
	} hellos[] = {{SAMPLE_TLS12_FULL, 0, 0},
		      {SAMPLE_TLS13_FULL, 0, 0},
		      {SAMPLE_TLS12_FULL, 1, 0xc013},
		      {SAMPLE_TLS12_FULL, 0, 0xc012}};
	enum { NAMES = sizeof names / sizeof names[0], HELLOS = sizeof hellos / sizeof hellos[0] };
	uint32_t risks[HELLOS][NAMES], all = 0;
	struct application_detector *detector = application_detector_create();

	for (unsigned h = 0; h < HELLOS; h++) {
		const struct sample *sample = &samples[hellos[h].sample];
		for (unsigned n = 0; n < NAMES; n++) {
			static uint8_t client[4096], server[4096];
			struct application_flow flow = flow_of("", "", false);
			flow.client = first_record(sample->flights[0].hex, client);
			flow.server = first_record(sample->flights[1].hex, server);
			ask_for(client, flow.client.len, names[n]);
			if (hellos[h].client_minor != 0)
				client[10] = hellos[h].client_minor;
			if (hellos[h].suite != 0) {
				const size_t suite = 44U + server[43]; /* behind the session's id */
				server[suite] = (uint8_t)(hellos[h].suite >> 8);
				server[suite + 1] = (uint8_t)hellos[h].suite;
			}
			risks[h][n] = application_tls_risks(detector, &flow, 1830000000);
			all |= risks[h][n];
		}
	}
	const uint32_t name_risk = APPLICATION_RISK_SUSPICIOUS_NAME;
	for (unsigned h = 0; h < HELLOS; h++)
		for (unsigned n = 0; n < NAMES; n++)
			cr_expect_eq(risks[h][n],
				     (risks[h][0] & ~name_risk) | (risks[0][n] & name_risk),
				     "hellos %u, %s: %x", h, names[n], risks[h][n]);
	cr_expect(all & name_risk, "%x", all);
	cr_expect(all & APPLICATION_RISK_OBSOLETE_VERSION, "%x", all);
	cr_expect(all & APPLICATION_RISK_WEAK_CIPHER, "%x", all);
	application_detector_destroy(detector);
}

Test(application, risk_words_are_distinct)
{
	for (unsigned i = 0; i < APPLICATION_RISK_COUNT; i++)
		for (unsigned j = 0; j < i; j++)
			cr_expect_str_neq(application_risk_word(i), application_risk_word(j));
	cr_expect_str_eq(application_risk_word(APPLICATION_RISK_COUNT), "");
}
