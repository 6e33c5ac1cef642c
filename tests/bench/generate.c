/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a capture of synthetic mail traffic, the same bytes for the same options.
 *
 * Seven sessions of ten are upgraded by STARTTLS and carry handshakes of the right shape and
 * length with real certificates, then random bytes in records of 16 KiB; the others are sent
 * in the clear, one of thirty of them with a stripped offer. With --span that is a twentieth
 * of the bytes, the rest being TCP and UDP of other ports. The defaults give about 1 GB of
 * 1.36 million packets in 17,000 sessions.
 */
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <pcap/pcap.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSS          1448U
#define HEADERS      (14U + 20U + 32U) /* Ethernet, IPv4, TCP with the timestamps option */
#define RECORD       16384U
#define RECORD_FRAME (RECORD + 5U)
#define FLIGHT_MAX   16384U
#define HOSTS        512U /* names and addresses of servers */

enum kind { KIND_TLS12, KIND_TLS13, KIND_PLAIN, KIND_NOT_USED, KIND_STRIPPED };

struct settings {
	uint64_t sessions;
	uint32_t concurrent, certificates;
	uint32_t body;               /* mean bytes of a message */
	unsigned upgraded;           /* percent of the sessions */
	unsigned tls13;              /* percent of the upgraded sessions */
	unsigned loss, reorder;      /* of 10,000 packets */
	uint64_t span_bytes;         /* other bytes for one byte of mail; 0: mail only */
	bool settled;                /* the first ones wait for one another once TLS is up */
	uint64_t packet_interval_ns; /* between two packets of the capture */
	uint64_t seed;
};

struct flight {
	bool from_server;
	const uint8_t *bytes;
	uint32_t len;
	bool repeats; /* bytes is one TLS record that is sent until len is over */
};

/* One connection: what it says follows from its number, so that little is kept. */
struct session {
	uint64_t number;
	uint32_t seq[2]; /* next, by direction: 0 from the client, 1 from the server */
	uint32_t at;     /* bytes of the flight that are sent */
	uint32_t unacked;
	uint16_t stage; /* 0..2: the handshake of TCP; then flights; then the two FIN */
	bool swap;      /* the segment before the one that was sent last is still to come */
	uint32_t body;
};

struct der {
	uint8_t *bytes;
	uint32_t len;
};

struct generator {
	struct settings settings;
	FILE *out;
	uint64_t random;
	uint64_t clock_ns, packets, bytes, mail_bytes;
	struct der issuer;
	struct der *leaves;
	uint8_t record[RECORD_FRAME];
	uint8_t text[RECORD];
	uint8_t flight[FLIGHT_MAX]; /* the one that was written last */
};

static void fail(const char *what)
{
	fprintf(stderr, "generate: %s\n", what);
	exit(1);
}

/* splitmix64: Steele, Lea, Flood 2014. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t draw(struct generator *g)
{
	return g->random = mix(g->random);
}

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			seed = mix(seed);
		bytes[i] = (uint8_t)(seed >> 8 * (i % 8));
	}
}

/* ---- certificates: Ed25519, whose signatures are deterministic (RFC 8032) ---- */

static EVP_PKEY *key_of(uint64_t seed)
{
	uint8_t secret[32];
	fill(secret, sizeof secret, seed);
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof secret);
	if (key == NULL)
		fail("no Ed25519 in this OpenSSL");
	return key;
}

static void certificate_extend(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (extension == NULL || X509_add_ext(certificate, extension, -1) != 1)
		fail("a certificate extension was refused");
	X509_EXTENSION_free(extension);
}

static struct der certificate_make(const char *subject, const char *names, long serial,
				   EVP_PKEY *key, EVP_PKEY *issuer_key)
{
	struct der der = {.bytes = NULL};
	X509 *certificate = X509_new();
	X509_NAME *name = X509_NAME_new();
	if (certificate == NULL || name == NULL)
		fail("out of memory");
	(void)X509_set_version(certificate, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
	(void)ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20250101000000Z");
	(void)ASN1_TIME_set_string(X509_getm_notAfter(certificate), "20290101000000Z");
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"Bench CA", -1,
					 -1, 0);
	(void)X509_set_issuer_name(certificate, name);
	X509_NAME_free(name);
	name = X509_NAME_new();
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)subject, -1, -1,
					 0);
	(void)X509_set_subject_name(certificate, name);
	X509_NAME_free(name);
	(void)X509_set_pubkey(certificate, key);
	if (names != NULL)
		certificate_extend(certificate, NID_subject_alt_name, names);
	certificate_extend(certificate, NID_basic_constraints,
			   names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (X509_sign(certificate, issuer_key, NULL) <= 0)
		fail("a certificate could not be signed");
	int len = i2d_X509(certificate, &der.bytes);
	if (len <= 0)
		fail("a certificate could not be written");
	der.len = (uint32_t)len;
	X509_free(certificate);
	return der;
}

static void certificates_make(struct generator *g)
{
	EVP_PKEY *issuer = key_of(1), *leaf = key_of(2);
	g->issuer = certificate_make("Bench CA", NULL, 1, issuer, issuer);
	g->leaves = calloc(g->settings.certificates, sizeof *g->leaves);
	if (g->leaves == NULL)
		fail("out of memory");
	for (uint32_t i = 0; i < g->settings.certificates; i++) {
		char subject[64], names[512];
		(void)snprintf(subject, sizeof subject, "mx%u.example.net", i % HOSTS);
		(void)snprintf(names, sizeof names,
			       "DNS:mx%u.example.net,DNS:imap%u.mail.example.net,"
			       "DNS:submission%u.mail.example.net,DNS:webmail%u.example.net,"
			       "DNS:autoconfig.customer-%u.example.org,"
			       "DNS:autodiscover.customer-%u.example.org",
			       i % HOSTS, i, i, i, i, i);
		g->leaves[i] = certificate_make(subject, names, (long)i + 2, leaf, issuer);
	}
	EVP_PKEY_free(issuer);
	EVP_PKEY_free(leaf);
}

/* ---- TLS ---- */

struct writer {
	uint8_t *bytes;
	uint32_t len;
};

static void put(struct writer *w, const void *bytes, uint32_t len)
{
	if (len > FLIGHT_MAX - w->len)
		fail("a flight is too long");
	memcpy(w->bytes + w->len, bytes, len);
	w->len += len;
}

static void put_number(struct writer *w, uint32_t value, unsigned bytes)
{
	uint8_t encoded[4];
	for (unsigned i = 0; i < bytes; i++)
		encoded[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
	put(w, encoded, bytes);
}

static void put_random(struct writer *w, uint32_t len, uint64_t seed)
{
	uint8_t bytes[4096];
	if (len > sizeof bytes)
		fail("too many random bytes");
	fill(bytes, len, seed);
	put(w, bytes, len);
}

/* Leaves room for a length of size bytes; put_end() fills it in. */
static uint32_t put_begin(struct writer *w, unsigned size)
{
	put_number(w, 0, size);
	return w->len;
}

static void put_end(struct writer *w, uint32_t begin, unsigned size)
{
	uint32_t len = w->len - begin;
	for (unsigned i = 0; i < size; i++)
		w->bytes[begin - size + i] = (uint8_t)(len >> 8 * (size - 1 - i));
}

static uint32_t record_begin(struct writer *w, uint8_t type, uint32_t version)
{
	put_number(w, type, 1);
	put_number(w, version, 2);
	return put_begin(w, 2);
}

static void record_random(struct writer *w, uint8_t type, uint32_t len, uint64_t seed)
{
	uint32_t record = record_begin(w, type, 0x0303);
	put_random(w, len, seed);
	put_end(w, record, 2);
}

static void change_cipher_spec(struct writer *w)
{
	uint32_t record = record_begin(w, 20, 0x0303);
	put_number(w, 1, 1);
	put_end(w, record, 2);
}

static void client_hello(struct writer *w, bool tls13, const char *host, uint64_t seed)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0xc02c, 0xc030, 0xcca9, 0xcca8,
					  0xc02b, 0xc02f, 0xc024, 0xc028, 0xc023, 0xc027, 0x00ff};
	uint32_t host_len = (uint32_t)strlen(host);
	uint32_t record = record_begin(w, 22, 0x0301);

	put_number(w, 1, 1);
	uint32_t hello = put_begin(w, 3);
	put_number(w, 0x0303, 2);
	put_random(w, 32, seed);
	put_number(w, 32, 1);
	put_random(w, 32, seed + 1);
	uint32_t list = put_begin(w, 2);
	for (size_t i = tls13 ? 0 : 3; i < sizeof suites / sizeof *suites; i++)
		put_number(w, suites[i], 2);
	put_end(w, list, 2);
	put_number(w, 0x0100, 2); /* compression: null */
	uint32_t extensions = put_begin(w, 2);
	put_number(w, 0, 2); /* server_name */
	put_number(w, host_len + 5, 2);
	put_number(w, host_len + 3, 2);
	put_number(w, 0, 1);
	put_number(w, host_len, 2);
	put(w, host, host_len);
	put_number(w, 10, 2); /* supported_groups */
	put_number(w, 8, 2);
	put_number(w, 6, 2);
	put_number(w, 0x001d0017, 4);
	put_number(w, 0x0018, 2);
	put_number(w, 11, 2); /* ec_point_formats */
	put_number(w, 2, 2);
	put_number(w, 0x0100, 2);
	put_number(w, 13, 2); /* signature_algorithms */
	put_number(w, 8, 2);
	put_number(w, 6, 2);
	put_number(w, 0x08070403, 4);
	put_number(w, 0x0804, 2);
	if (tls13) {
		put_number(w, 43, 2); /* supported_versions */
		put_number(w, 5, 2);
		put_number(w, 4, 1);
		put_number(w, 0x03040303, 4);
		put_number(w, 51, 2); /* key_share */
		put_number(w, 38, 2);
		put_number(w, 36, 2);
		put_number(w, 0x001d0020, 4);
		put_random(w, 32, seed + 2);
	}
	put_end(w, extensions, 2);
	put_end(w, hello, 3);
	put_end(w, record, 2);
}

static void server_hello(struct writer *w, bool tls13, uint64_t seed)
{
	uint32_t record = record_begin(w, 22, 0x0303);
	put_number(w, 2, 1);
	uint32_t hello = put_begin(w, 3);
	put_number(w, 0x0303, 2);
	put_random(w, 32, seed);
	put_number(w, 32, 1);
	put_random(w, 32, seed + 1);
	put_number(w, tls13 ? 0x1302 : 0xc030, 2);
	put_number(w, 0, 1);
	uint32_t extensions = put_begin(w, 2);
	if (tls13) {
		put_number(w, 43, 2);
		put_number(w, 2, 2);
		put_number(w, 0x0304, 2);
		put_number(w, 51, 2);
		put_number(w, 36, 2);
		put_number(w, 0x001d0020, 4);
		put_random(w, 32, seed + 2);
	} else {
		put_number(w, 0xff010001, 4); /* renegotiation_info, empty */
		put_number(w, 0, 1);
	}
	put_end(w, extensions, 2);
	put_end(w, hello, 3);
	put_end(w, record, 2);
}

static void server_chain(struct generator *g, struct writer *w, uint64_t number)
{
	const struct der *leaf = &g->leaves[mix(number ^ 0xce) % g->settings.certificates];
	uint32_t record = record_begin(w, 22, 0x0303);
	put_number(w, 11, 1);
	uint32_t message = put_begin(w, 3), list = put_begin(w, 3), entry = put_begin(w, 3);
	put(w, leaf->bytes, leaf->len);
	put_end(w, entry, 3);
	entry = put_begin(w, 3);
	put(w, g->issuer.bytes, g->issuer.len);
	put_end(w, entry, 3);
	put_end(w, list, 3);
	put_end(w, message, 3);
	put_end(w, record, 2);

	record = record_begin(w, 22, 0x0303);
	put_number(w, 12, 1); /* ServerKeyExchange: X25519, RSA-PSS signature of 2048 bits */
	message = put_begin(w, 3);
	put_number(w, 0x03001d20, 4);
	put_random(w, 32, number + 5);
	put_number(w, 0x08040100, 4);
	put_random(w, 256, number + 6);
	put_end(w, message, 3);
	put_number(w, 14, 1); /* ServerHelloDone */
	put_number(w, 0, 3);
	put_end(w, record, 2);
}

/* ---- what a session says ---- */

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
	(void)snprintf(host, sizeof host, "mx%u.example.net",
		       (unsigned)(mix(s->number ^ 0xce) % g->settings.certificates % HOSTS));

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

/* The flight of a step; false behind the last one. */
static bool flight_make(struct generator *g, const struct session *s, unsigned step,
			struct flight *flight)
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
		(void)snprintf(
		    line, sizeof line,
		    step == 0 ? "220 mx%u.example.net ESMTP Postfix\r\n"
			      : "250-mx%u.example.net\r\n",
		    (unsigned)(mix(s->number ^ 0xce) % g->settings.certificates % HOSTS));
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

/* ---- frames ---- */

static uint32_t sum(const uint8_t *bytes, size_t len, uint32_t start)
{
	uint64_t total = start;
	for (size_t i = 0; i + 1 < len; i += 2)
		total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	if (len % 2 == 1)
		total += (uint32_t)bytes[len - 1] << 8;
	while (total > 0xffff)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

static void store(uint8_t *at, uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static void frame_write(struct generator *g, uint8_t *frame, uint32_t len)
{
	uint32_t header[4] = {(uint32_t)(g->clock_ns / 1000000000),
			      (uint32_t)(g->clock_ns % 1000000000 / 1000), len, len};
	g->clock_ns += g->settings.packet_interval_ns;
	g->packets++;
	g->bytes += len;
	if (fwrite(header, sizeof header, 1, g->out) != 1 || fwrite(frame, len, 1, g->out) != 1)
		fail(strerror(errno));
}

static void ip_put(uint8_t *ip, uint32_t len, uint8_t protocol, uint32_t src, uint32_t dst)
{
	memset(ip, 0, 20);
	ip[0] = 0x45;
	store(ip + 2, len, 2);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = protocol;
	store(ip + 12, src, 4);
	store(ip + 16, dst, 4);
	store(ip + 10, ~sum(ip, 20, 0) & 0xffff, 2);
}

static void ethernet_put(uint8_t *frame)
{
	static const uint8_t header[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
	memcpy(frame, header, sizeof header);
}

/* One segment, whose payload is in the frame already. */
static void segment_write(struct generator *g, uint8_t *frame, uint32_t src, uint16_t src_port,
			  uint32_t dst, uint16_t dst_port, uint32_t seq, uint32_t ack,
			  uint8_t flags, uint32_t len)
{
	uint8_t *ip = frame + 14, *tcp = ip + 20;
	ethernet_put(frame);
	ip_put(ip, 52 + len, 6, src, dst);
	memset(tcp, 0, 32);
	store(tcp, src_port, 2);
	store(tcp + 2, dst_port, 2);
	store(tcp + 4, seq, 4);
	store(tcp + 8, ack, 4);
	tcp[12] = 0x80;
	tcp[13] = flags;
	store(tcp + 14, 0xffff, 2);
	store(tcp + 20, 0x0101080a, 4);
	store(tcp + 24, (uint32_t)(g->clock_ns / 1000000), 4);
	uint32_t pseudo = sum(ip + 12, 8, 6 + 32 + len);
	store(tcp + 16, ~sum(tcp, 32 + len, pseudo) & 0xffff, 2);
	frame_write(g, frame, HEADERS + len);
}

static void session_send(struct generator *g, struct session *s, bool from_server, uint32_t seq,
			 uint8_t flags, const struct flight *flight, uint32_t at, uint32_t len)
{
	uint8_t frame[HEADERS + MSS];
	uint32_t client = 0x0a000000 + (uint32_t)(s->number / 20000 % 65536);
	uint32_t server =
	    0xc0000200 + (uint32_t)(mix(s->number ^ 0xce) % g->settings.certificates % HOSTS) * 7;
	uint16_t port = (uint16_t)(20000 + s->number % 40000);
	uint16_t mail = s->number % 10 == 0 ? 587 : 25;

	for (uint32_t done = 0; done < len;) {
		uint32_t period = flight->bytes == g->record ? RECORD_FRAME : RECORD / 78 * 78;
		uint32_t place = flight->repeats ? (at + done) % period : at + done;
		uint32_t part = len - done;
		if (flight->repeats && part > period - place)
			part = period - place;
		memcpy(frame + HEADERS + done, flight->bytes + place, part);
		done += part;
	}
	if (len > 0 && draw(g) % 10000 < g->settings.loss) {
		g->clock_ns += g->settings.packet_interval_ns;
		return;
	}
	uint32_t ack = (flags & 0x10) != 0 ? s->seq[from_server ? 0 : 1] : 0;
	uint64_t before = g->bytes;
	if (from_server)
		segment_write(g, frame, server, mail, client, port, seq, ack, flags, len);
	else
		segment_write(g, frame, client, port, server, mail, seq, ack, flags, len);
	g->mail_bytes += g->bytes - before;
}

static void session_begin(struct generator *g, struct session *s, uint64_t number)
{
	uint64_t value = mix(number ^ 0xb0 ^ g->settings.seed);
	*s = (struct session){
	    .number = number,
	    .seq = {(uint32_t)mix(number), (uint32_t)mix(number + 1)},
	    .body = (uint32_t)(value % (2ULL * g->settings.body)) + 1024,
	};
}

/* The next packet of a session; false behind its last. */
static bool session_step(struct generator *g, struct session *s)
{
	struct flight flight;

	if (s->stage < 3) {
		bool from_server = s->stage == 1;
		uint8_t flags = s->stage == 0 ? 0x02 : s->stage == 1 ? 0x12 : 0x10;
		session_send(g, s, from_server, s->seq[from_server ? 1 : 0], flags, NULL, 0, 0);
		if (s->stage < 2)
			s->seq[from_server ? 1 : 0]++;
		s->stage++;
		return true;
	}
	if (s->stage >= 100) {
		bool from_server = s->stage == 101;
		if (s->stage == 102) {
			session_send(g, s, false, s->seq[0], 0x10, NULL, 0, 0);
			return false;
		}
		session_send(g, s, from_server, s->seq[from_server ? 1 : 0], 0x11, NULL, 0, 0);
		s->seq[from_server ? 1 : 0]++;
		s->stage++;
		return true;
	}
	if (!flight_make(g, s, s->stage - 3U, &flight)) {
		s->stage = 100;
		return session_step(g, s);
	}
	unsigned sender = flight.from_server ? 1 : 0;
	if (s->swap) {
		uint32_t back = 2 * MSS;
		s->swap = false;
		session_send(g, s, flight.from_server, s->seq[sender] - back, 0x18, &flight,
			     s->at - back, MSS);
		return true;
	}
	if (s->unacked >= 2 || (s->at >= flight.len && flight.repeats && s->unacked > 0)) {
		session_send(g, s, sender == 0, s->seq[1 - sender], 0x10, NULL, 0, 0);
		s->unacked = 0;
		return true;
	}
	if (s->at >= flight.len) {
		s->at = 0;
		s->stage++;
		return session_step(g, s);
	}
	uint32_t len = flight.len - s->at < MSS ? flight.len - s->at : MSS;
	uint32_t base = s->seq[sender] - s->at, at = s->at;
	if (flight.len - at >= 2 * MSS && draw(g) % 10000 < g->settings.reorder) {
		at += MSS;
		len = MSS;
		s->swap = true;
	}
	session_send(g, s, flight.from_server, base + at, 0x18, &flight, at, len);
	s->at = at + len;
	s->seq[sender] = base + at + len;
	s->unacked += flight.repeats;
	return true;
}

/* A frame that is not mail. */
static void other_write(struct generator *g)
{
	uint8_t frame[HEADERS + MSS];
	uint64_t flow = draw(g) % 8192, value = mix(flow);
	uint32_t len = draw(g) % 3 == 0 ? 0 : MSS;
	uint32_t src = 0x0a010000 + (uint32_t)(flow % 1000);
	uint32_t dst = 0xc6336400 + (uint32_t)(value % 1000);
	uint16_t port = (uint16_t)(20000 + value % 40000);

	memcpy(frame + HEADERS, g->record, MSS);
	if (flow % 5 == 0) {
		ethernet_put(frame);
		ip_put(frame + 14, 28 + len, 17, src, dst);
		store(frame + 34, port, 2);
		store(frame + 36, 443, 2);
		store(frame + 38, 8 + len, 2);
		store(frame + 40, 0, 2);
		frame_write(g, frame, 42 + len);
	} else {
		segment_write(g, frame, dst, flow % 7 == 0 ? 80 : 443, src, port, (uint32_t)draw(g),
			      1, 0x10, len);
	}
}

/* The stage at which an upgraded session has had a command of it answered inside TLS. */
#define STAGE_SETTLED 14U

/* One after the other up to there, so that none is larger than it has to be while it waits. */
static void settle_all(struct generator *g, struct session *sessions, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		while (sessions[i].stage < STAGE_SETTLED && session_step(g, &sessions[i]))
			;
}

static void generate(struct generator *g)
{
	struct settings *settings = &g->settings;
	uint32_t active = settings->concurrent;
	uint64_t next = 0;

	if (active > settings->sessions)
		active = (uint32_t)settings->sessions;
	struct session *sessions = calloc(active, sizeof *sessions);
	if (sessions == NULL)
		fail("out of memory");
	while (next < active) {
		session_begin(g, &sessions[next], next);
		next++;
	}
	if (settings->settled)
		settle_all(g, sessions, active);
	while (active > 0) {
		struct session *s = &sessions[draw(g) % active];
		/* A few packets of one session come together, as windows make them. */
		bool more = true;
		for (uint64_t burst = draw(g) % 6; more && burst < 6; burst++)
			more = session_step(g, s);
		if (!more && next < settings->sessions)
			session_begin(g, s, next++);
		else if (!more)
			*s = sessions[--active];
		while (g->bytes - g->mail_bytes < g->mail_bytes * settings->span_bytes)
			other_write(g);
	}
	free(sessions);
}

static uint64_t number(const char *text)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0')
		fail("an option needs a number");
	return value;
}

static const char usage[] =
    "usage: generate [options] FILE\n"
    "  --sessions N      mail sessions (17000)\n"
    "  --concurrent N    of them at a time (1000)\n"
    "  --certificates N  distinct ones, 16..5000 (200)\n"
    "  --body N          mean bytes of a message (52000)\n"
    "  --upgraded N      percent of the sessions (70)\n"
    "  --tls13 N         percent of the upgraded sessions (20); the others show certificates\n"
    "  --loss N          of 10000 packets with payload, missing in the capture (0)\n"
    "  --reorder N       of 10000 full segments, behind the next one (0)\n"
    "  --settled         those of the beginning wait, once TLS is up, until it is up for all\n"
    "  --span            19 of 20 bytes are not mail\n"
    "  --interval NS     between two packets (50000)\n"
    "  --seed N          (1)\n";

int main(int argc, char **argv)
{
	static struct generator g = {.settings = {.sessions = 17000,
						  .concurrent = 1000,
						  .certificates = 200,
						  .body = 52000,
						  .upgraded = 70,
						  .tls13 = 20,
						  .packet_interval_ns = 50000,
						  .seed = 1}};
	static const struct option options[] = {
	    {"sessions", required_argument, NULL, 's'},
	    {"concurrent", required_argument, NULL, 'n'},
	    {"certificates", required_argument, NULL, 'c'},
	    {"body", required_argument, NULL, 'b'},
	    {"upgraded", required_argument, NULL, 'u'},
	    {"tls13", required_argument, NULL, 't'},
	    {"loss", required_argument, NULL, 'l'},
	    {"reorder", required_argument, NULL, 'r'},
	    {"settled", no_argument, NULL, 'w'},
	    {"span", no_argument, NULL, 'p'},
	    {"interval", required_argument, NULL, 'i'},
	    {"seed", required_argument, NULL, 'x'},
	    {NULL, 0, NULL, 0},
	};
	struct settings *s = &g.settings;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t value = optarg != NULL ? number(optarg) : 0;
		switch (option) {
		case 's':
			s->sessions = value;
			break;
		case 'n':
			s->concurrent = (uint32_t)value;
			break;
		case 'c':
			s->certificates = (uint32_t)value;
			break;
		case 'b':
			s->body = (uint32_t)value;
			break;
		case 'u':
			s->upgraded = (unsigned)value;
			break;
		case 't':
			s->tls13 = (unsigned)value;
			break;
		case 'l':
			s->loss = (unsigned)value;
			break;
		case 'r':
			s->reorder = (unsigned)value;
			break;
		case 'w':
			s->settled = true;
			break;
		case 'p':
			s->span_bytes = 19;
			break;
		case 'i':
			s->packet_interval_ns = value;
			break;
		case 'x':
			s->seed = value;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc - 1 || s->sessions == 0 || s->concurrent == 0 || s->body == 0 ||
	    s->certificates == 0) {
		fputs(usage, stderr);
		return 2;
	}
	const struct pcap_file_header header = {.magic = 0xa1b2c3d4,
						.version_major = 2,
						.version_minor = 4,
						.snaplen = 65535,
						.linktype = DLT_EN10MB};
	g.random = s->seed;
	g.clock_ns = 1767225600ULL * 1000000000; /* 2026-01-01 */
	g.out = fopen(argv[optind], "wb");
	if (g.out == NULL || fwrite(&header, sizeof header, 1, g.out) != 1)
		fail(strerror(errno));
	certificates_make(&g);
	fill(g.record, sizeof g.record, 7);
	g.record[0] = 23;
	store(g.record + 1, 0x0303, 2);
	store(g.record + 3, RECORD, 2);
	for (size_t i = 0; i < sizeof g.text; i++)
		g.text[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : (uint8_t)('a' + i % 23);
	generate(&g);
	if (fclose(g.out) != 0)
		fail(strerror(errno));
	fprintf(stderr, "%" PRIu64 " packets, %" PRIu64 " bytes, %" PRIu64 " of mail\n", g.packets,
		g.bytes, g.mail_bytes);
	return 0;
}
