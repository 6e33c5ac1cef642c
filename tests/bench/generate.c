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
#include "tests/bench/generate.h"

#include <pcap/pcap.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void fail(const char *what)
{
	fprintf(stderr, "generate: %s\n", what);
	exit(1);
}

/* splitmix64: Steele, Lea, Flood 2014. */
uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t draw(struct generator *g)
{
	return g->random = mix(g->random);
}

void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			seed = mix(seed);
		bytes[i] = (uint8_t)(seed >> 8 * (i % 8));
	}
}

uint64_t leaf_of(const struct generator *g, uint64_t number)
{
	return mix(number ^ 0xce) % g->settings.certificates;
}

unsigned host_of(const struct generator *g, uint64_t number)
{
	return (unsigned)(leaf_of(g, number) % HOSTS);
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
