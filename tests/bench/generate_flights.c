/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/generate.h"

#include <inttypes.h>
#include <string.h>

static enum kind kind_of(const struct generator *g, uint64_t number)
{
	uint64_t value = mix(number ^ 0x51 ^ g->settings.seed) % 1000;
	if (value < 10 * g->settings.upgraded)
		return mix(number ^ 0x13) % 100 < g->settings.tls13 ? KIND_TLS13 : KIND_TLS12;
	return value < 940 ? KIND_PLAIN : value < 990 ? KIND_NOT_USED : KIND_STRIPPED;
}

static void say(struct writer *w, const char *text)
{
	put(w, text, (uint32_t)strlen(text));
}

/* Flights of a session sent in the clear, from step on. */
static bool flight_mail(struct generator *g, const struct session *s, unsigned step,
			struct writer *w, struct flight *flight)
{
	char line[128];

	flight->from_server = step % 2 == 1;
	switch (step) {
	case 0:
		(void)snprintf(line, sizeof line, "MAIL FROM:<sender%" PRIu64 "@example.com>\r\n",
			       s->number);
		say(w, line);
		return true;
	case 2:
		say(w, "RCPT TO:<someone@example.net>\r\n");
		return true;
	case 4:
		say(w, "DATA\r\n");
		return true;
	case 1:
	case 3:
		say(w, "250 2.1.0 Ok\r\n");
		return true;
	case 5:
		say(w, "354 End data with <CR><LF>.<CR><LF>\r\n");
		return true;
	case 6:
		flight->bytes = g->text;
		flight->len = s->body - s->body % 78;
		flight->repeats = true;
		return true;
	case 7:
		flight->from_server = false;
		say(w, ".\r\n");
		return true;
	case 8:
		flight->from_server = true;
		say(w, "250 2.0.0 Ok: queued\r\n");
		return true;
	case 9:
		flight->from_server = false;
		say(w, "QUIT\r\n");
		return true;
	case 10:
		flight->from_server = true;
		say(w, "221 2.0.0 Bye\r\n");
		return true;
	default:
		return false;
	}
}

static bool flight_tls(struct generator *g, const struct session *s, bool tls13, unsigned step,
		       struct writer *w, struct flight *flight)
{
	char host[64];
	uint64_t seed = mix(s->number ^ g->settings.seed);
	(void)snprintf(host, sizeof host, "mx%u.example.net", host_of(g, s->number));

	flight->from_server = step % 2 == 1;
	switch (step) {
	case 0:
		say(w, "STARTTLS\r\n");
		return true;
	case 1:
		say(w, "220 2.0.0 Ready to start TLS\r\n");
		return true;
	case 2:
		client_hello(w, tls13, host, seed);
		return true;
	case 3:
		server_hello(w, tls13, seed);
		if (tls13) {
			change_cipher_spec(w);
			record_random(w, 23, 27, seed);
			record_random(w, 23, 2800, seed);
			record_random(w, 23, 281, seed);
			record_random(w, 23, 69, seed);
		} else {
			server_chain(g, w, s->number);
		}
		return true;
	case 4:
		if (!tls13) {
			uint32_t record = record_begin(w, 22, 0x0303);
			put_number(w, 16, 1); /* ClientKeyExchange */
			put_number(w, 33, 3);
			put_number(w, 32, 1);
			put_random(w, 32, seed);
			put_end(w, record, 2);
		}
		change_cipher_spec(w);
		record_random(w, tls13 ? 23 : 22, tls13 ? 69 : 40, seed);
		return true;
	case 5:
		if (!tls13)
			change_cipher_spec(w);
		record_random(w, tls13 ? 23 : 22, tls13 ? 250 : 40, seed);
		return true;
	case 6:
	case 8:
	case 10:
	case 12:
		record_random(w, 23, 60, seed + step);
		return true;
	case 7:
	case 9:
	case 11:
	case 13:
		record_random(w, 23, step == 7 ? 190 : 45, seed + step);
		return true;
	case 14:
		flight->bytes = g->record;
		flight->len = s->body / RECORD_FRAME * RECORD_FRAME;
		flight->repeats = true;
		return true;
	case 15:
		flight->from_server = false;
		record_random(w, 23, 1024 + (uint32_t)(seed % 3000), seed);
		return true;
	case 16:
		flight->from_server = true;
		record_random(w, 23, 60, seed);
		return true;
	case 17:
		flight->from_server = false;
		record_random(w, 23, 27, seed);
		return true;
	case 18:
		flight->from_server = true;
		record_random(w, 23, 40, seed);
		return true;
	default:
		return false;
	}
}

bool flight_make(struct generator *g, const struct session *s, unsigned step, struct flight *flight)
{
	struct writer w = {.bytes = g->flight};
	enum kind kind = kind_of(g, s->number);
	char line[128];
	bool more = true;

	*flight = (struct flight){.bytes = g->flight};
	switch (step) {
	case 0:
	case 2:
		flight->from_server = true;
		(void)snprintf(line, sizeof line,
			       step == 0 ? "220 mx%u.example.net ESMTP Postfix\r\n"
					 : "250-mx%u.example.net\r\n",
			       host_of(g, s->number));
		say(&w, line);
		if (step == 0)
			break;
		say(&w, "250-PIPELINING\r\n250-SIZE 52428800\r\n250-VRFY\r\n250-ETRN\r\n");
		if (kind != KIND_PLAIN)
			say(&w, kind == KIND_STRIPPED ? "250-XXXXXXXX\r\n" : "250-STARTTLS\r\n");
		say(&w, "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n");
		break;
	case 1:
		(void)snprintf(line, sizeof line, "EHLO relay%u.example.com\r\n",
			       (unsigned)(s->number % 4096));
		say(&w, line);
		break;
	default:
		more = kind == KIND_TLS12 || kind == KIND_TLS13
			   ? flight_tls(g, s, kind == KIND_TLS13, step - 3, &w, flight)
			   : flight_mail(g, s, step - 3, &w, flight);
	}
	if (flight->len == 0)
		flight->len = w.len;
	return more;
}
