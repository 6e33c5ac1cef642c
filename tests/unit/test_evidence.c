/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/evidence.h"

#include "decoders/packet.h"
#include "sensor/evidence_file.h"
#include "sensor/limits.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS 54 /* Ethernet, IPv4, TCP */

struct bench {
	struct budget budget;
	struct evidence_ring ring;
	struct evidence_trail trail;
	uint8_t frame[4096];
	uint8_t out[LIMIT_EVIDENCE_BYTES];
	size_t out_len;
};

static void bench_init(struct bench *bench, size_t ring_size)
{
	*bench = (struct bench){0};
	budget_init(&bench->budget, 1 << 20);
	evidence_ring_init(&bench->ring, &bench->budget, ring_size);
}

static void bench_free(struct bench *bench)
{
	evidence_ring_free(&bench->ring, &bench->budget);
	cr_expect_eq(bench->budget.used, 0);
}

/* The Internet checksum over the pseudo-header and the segment in the frame, as it should be. */
static uint16_t checksum(const uint8_t *frame, size_t len)
{
	uint32_t sum = 6 + (uint32_t)(len - 34);

	for (size_t i = 26; i < len; i++) {
		if (i >= 50 && i < 52) /* the checksum itself */
			continue;
		sum += (i % 2 == 0) ? (uint32_t)frame[i] << 8 : frame[i];
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void keep(struct bench *bench, enum side side, uint32_t seq, const void *payload, size_t len,
		 enum evidence_payload kind)
{
	static const uint8_t HEAD[HEADERS] = {
	    2,    0, 0, 0,  0, 1, 2, 0, 0,  0, 0, 2, 8,    0,                       /* Ethernet */
	    0x45, 0, 0, 0,  0, 0, 0, 0, 64, 6, 0, 0, 10,   0,    0, 1, 10, 0, 0, 2, /* IPv4 */
	    4,    0, 0, 25, 0, 0, 0, 0, 0,  0, 0, 0, 0x50, 0x18, 1, 0, 0,  0, 0, 0, /* TCP */
	};
	uint8_t *frame = bench->frame;

	memcpy(frame, HEAD, HEADERS);
	memcpy(frame + HEADERS, payload, len);
	memset(frame + HEADERS + len, 'P', 6); /* padding behind the datagram */
	uint16_t sum = checksum(frame, HEADERS + len);
	frame[50] = (uint8_t)(sum >> 8);
	frame[51] = (uint8_t)sum;
	const struct tcp_segment segment = {
	    .seq = seq,
	    .payload = span_of(frame + HEADERS, len),
	    .payload_len = (uint32_t)len,
	    .checked = span_of(frame + 34, len + 20),
	};
	const struct evidence_packet packet = {
	    .frame = span_of(frame, HEADERS + len + 6),
	    .wire_len = (uint32_t)(HEADERS + len + 6),
	    .link_type = 1,
	    .time_ns = INT64_C(1700000000123456789) + seq,
	    .segment = &segment,
	    .side = side,
	    .payload = kind,
	};
	evidence_keep(&bench->ring, &bench->trail, &packet);
}

static void keep_text(struct bench *bench, enum side side, const char *text)
{
	keep(bench, side, 1, text, strlen(text), EVIDENCE_TEXT);
}

static void collect(struct bench *bench, const char *dialogue)
{
	bench->out_len = evidence_collect(&bench->ring, &bench->trail, span_str(dialogue),
					  bench->out, sizeof(bench->out));
}

/* The payload of the number-th packet that was collected, as text; NULL if there is none. */
static const char *payload_of(const struct bench *bench, unsigned number, char text[4096])
{
	for (size_t at = 0; at < bench->out_len;) {
		struct evidence_frame frame;

		memcpy(&frame, bench->out + at, sizeof(frame));
		const uint8_t *bytes = bench->out + at + sizeof(frame);

		cr_assert_leq(at + sizeof(frame) + frame.captured_len, bench->out_len);
		cr_expect_eq((uint16_t)(bytes[50] << 8 | bytes[51]),
			     checksum(bytes, frame.captured_len), "packet %u", number);
		if (number-- == 0) {
			memcpy(text, bytes + HEADERS, frame.captured_len - HEADERS);
			text[frame.captured_len - HEADERS] = '\0';
			return text;
		}
		at += sizeof(frame) + frame.captured_len;
	}
	return NULL;
}

Test(evidence, only_what_the_dialogue_shows_stays)
{
	static const char DIALOGUE[] =
	    "S: 220 mx ESMTP\nC: EHLO a.example\nS: 250-mx\nS: 250 AUTH PLAIN\n"
	    "C: AUTH PLAIN [redacted]\nC: [redacted]\n"
	    "C: MAIL FROM:<[redacted]@a.example>\nC: RSET\nS: [redacted]";
	const struct {
		enum side side;
		const char *payload, *kept;
	} cases[] = {
	    {SIDE_SERVER, "220 mx ESMTP\r\n", "220 mx ESMTP\r\n"},
	    {SIDE_CLIENT, "220 mx ESMTP\r\n", "xxxxxxxxxxxx\r\n"},
	    {SIDE_SERVER, "250-mx\r\n250 AUTH PLAIN\r\n", "250-mx\r\n250 AUTH PLAIN\r\n"},
	    {SIDE_SERVER, "250-mx\n250 AUTH PLAIN2\r\n", "250-mx\nxxxxxxxxxxxxxxx\r\n"},
	    {SIDE_CLIENT, "EHLO a.example\r\n", "EHLO a.example\r\n"},
	    {SIDE_CLIENT, "EHLO a.exam", "xxxxxxxxxxx"},
	    {SIDE_CLIENT, "AUTH PLAIN AGFAYQBi\r\n", "AUTH PLAIN xxxxxxxx\r\n"},
	    {SIDE_CLIENT, "AUTH PLAIN AGFA", "xxxxxxxxxxxxxxx"},
	    {SIDE_CLIENT, "cGFzc3dvcmQ=\r\n", "xxxxxxxxxxxx\r\n"},
	    {SIDE_CLIENT, "auth plain AGFAYQBi\r\n", "xxxxxxxxxxxxxxxxxxx\r\n"},
	    {SIDE_CLIENT, "MAIL FROM:<joe@a.example>\r\n", "MAIL FROM:<xxx@a.example>\r\n"},
	    {SIDE_CLIENT, "RSET\r\nMAIL FROM:<joe@b.example>\r\nRSET\r\n",
	     "RSET\r\nxxxxxxxxxxxxxxxxxxxxxxxxx\r\nRSET\r\n"},
	    {SIDE_CLIENT, "\r\n\n\r\n", "\r\n\n\r\n"},
	    {SIDE_CLIENT, "", ""},
	};
	struct bench bench;
	char text[4096];

	bench_init(&bench, 65536);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		keep_text(&bench, cases[i].side, cases[i].payload);
	collect(&bench, DIALOGUE);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_not_null(payload_of(&bench, i, text), "case %u", i);
		cr_expect_str_eq(text, cases[i].kept, "case %u: %s", i, text);
	}
	cr_expect_null(payload_of(&bench, sizeof(cases) / sizeof(cases[0]), text));
	collect(&bench, "");
	payload_of(&bench, 0, text);
	cr_expect_str_eq(text, "xxxxxxxxxxxx\r\n");
	bench_free(&bench);
}

Test(evidence, tls_handshakes_stay_across_segments)
{
	static const uint8_t HELLO[] = {22,  3,  1, 0, 4, 'a', 'b', 'c',
					'd', 22, 3, 3, 0, 6,   'e', 'f'};
	static const uint8_t REST[] = {'g', 'h', 'i', 'j', 23, 3, 3, 0, 2, 'k', 'l'};
	struct bench bench;
	char text[4096];

	bench_init(&bench, 65536);
	keep(&bench, SIDE_SERVER, 100, HELLO, sizeof(HELLO), EVIDENCE_TLS);
	keep(&bench, SIDE_SERVER, 100 + sizeof(HELLO), REST, sizeof(REST), EVIDENCE_TLS);
	/* Late plaintext with an old sequence number, and text that is not TLS at all. */
	keep(&bench, SIDE_SERVER, 50, "secret\r\n", 8, EVIDENCE_TLS);
	keep(&bench, SIDE_CLIENT, 116, "secret\r\n", 8, EVIDENCE_TLS);
	/* What looks like a record where text is expected. */
	keep(&bench, SIDE_SERVER, 116, HELLO, sizeof(HELLO), EVIDENCE_TEXT);
	collect(&bench, "");
	payload_of(&bench, 0, text);
	cr_expect_arr_eq(text, HELLO, sizeof(HELLO));
	payload_of(&bench, 1, text);
	cr_expect_arr_eq(text, "ghijxxxxxxx", 11);
	payload_of(&bench, 2, text);
	cr_expect_str_eq(text, "xxxxxx\r\n");
	payload_of(&bench, 3, text);
	cr_expect_str_eq(text, "xxxxxx\r\n");
	payload_of(&bench, 4, text);
	cr_expect_str_eq(text, "xxxxxxxxxxxxxxxx");
	bench_free(&bench);
}

Test(evidence, the_ring_forgets_the_oldest)
{
	struct bench bench;
	char line[32];
	char text[4096];
	unsigned count = 0;

	bench_init(&bench, 1500);
	for (int i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "RSET %d\r\n", i);
		keep_text(&bench, SIDE_CLIENT, line);
	}
	collect(&bench, "C: RSET 99");
	while (payload_of(&bench, count, text))
		count++;
	cr_expect_gt(count, 5);
	cr_expect_lt(count, 15);
	payload_of(&bench, count - 1, text);
	cr_expect_str_eq(text, "RSET 99\r\n");
	bench_free(&bench);
}

Test(evidence, sessions_share_the_ring_and_packets_are_bounded)
{
	struct bench bench;
	struct evidence_trail other = {0};
	char text[4096];
	unsigned count = 0;

	bench_init(&bench, 256 * 1024);
	for (int i = 0; i < 2 * LIMIT_EVIDENCE_PACKETS; i++) {
		struct evidence_trail mine = bench.trail;

		keep_text(&bench, SIDE_CLIENT, "NOOP\r\n");
		if (i % 2 == 0)
			continue;
		bench.trail = mine; /* as if it had been another session's */
		other.last++;
	}
	collect(&bench, "C: NOOP");
	while (payload_of(&bench, count, text))
		count++;
	cr_expect_eq(count, LIMIT_EVIDENCE_PACKETS);
	bench.out_len = evidence_collect(&bench.ring, &bench.trail, span_str(""), bench.out, 200);
	cr_expect_leq(bench.out_len, 200);
	cr_expect_gt(bench.out_len, 0);
	cr_expect_eq(evidence_collect(&bench.ring, &bench.trail, span_str(""), bench.out, 3), 0);
	bench_free(&bench);
}

Test(evidence, without_memory_nothing_is_kept)
{
	struct bench bench;

	bench_init(&bench, 0);
	keep_text(&bench, SIDE_CLIENT, "NOOP\r\n");
	cr_expect_eq(bench.trail.last, 0);
	collect(&bench, "");
	cr_expect_eq(bench.out_len, 0);
	bench_free(&bench);
}

Test(evidence, a_file_is_a_capture)
{
	char directory[] = "/tmp/stripwatch-XXXXXX";
	char path[EVIDENCE_PATH_MAX];
	uint8_t sha256[DIGEST_SHA256_SIZE];
	uint8_t again[DIGEST_SHA256_SIZE];
	uint8_t bytes[512];
	struct bench bench;
	struct digester *digester = digester_create();

	cr_assert_not_null(mkdtemp(directory));
	bench_init(&bench, 65536);
	keep_text(&bench, SIDE_CLIENT, "NOOP\r\n");
	collect(&bench, "C: NOOP");
	cr_assert(evidence_file_write(directory, "0123", span_of(bench.out, bench.out_len),
				      digester, path, sha256));
	FILE *file = fopen(path, "rb");
	cr_assert_not_null(file);
	size_t len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	cr_expect_eq(len, 24 + 16 + HEADERS + 6);
	cr_expect(digest_bytes(digester, DIGEST_SHA256, span_of(bytes, len), again));
	cr_expect_arr_eq(sha256, again, sizeof(sha256));
	cr_expect_arr_eq(bytes + len - 6, "NOOP\r\n", 6);
	unlink(path);
	rmdir(directory);
	cr_expect_not(evidence_file_write(directory, "0123", span_of(bench.out, bench.out_len),
					  digester, path, sha256));
	digester_destroy(digester);
	bench_free(&bench);
}
