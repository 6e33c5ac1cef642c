/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection at several interfaces, as film strips. A strip is a list of packets, each
 * an interface (A, B, C; - for one that is no tap) and what it shows of this dialogue:
 *
 *   S a     the client's SYN, the server's SYN-ACK
 *   t b     the same of another connection, as a proxy between the taps opens it
 *   g E     the greeting, EHLO
 *   o x     the reply with the offer; with the offer overwritten at its own length
 *   M k     MAIL, its reply
 *   R       the client resets the connection
 *
 * What comes out are the records: tap, offered, mails, visibility.
 */
#include "sensor/pipeline.h"
#include "sensor/view.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000)

struct scene {
	char name;
	enum side side;
	unsigned flags;
	uint32_t seq, ack;
	const char *text;
};

static const struct scene scenes[] = {
    {'S', SIDE_CLIENT, TCP_SYN, 1000, 0, ""},
    {'a', SIDE_SERVER, TCP_SYN | TCP_ACK, 5000, 1001, ""},
    {'t', SIDE_CLIENT, TCP_SYN, 700000, 0, ""},
    {'b', SIDE_SERVER, TCP_SYN | TCP_ACK, 900000, 700001, ""},
    {'g', SIDE_SERVER, TCP_ACK, 5001, 1001, "220 mx.example.test ESMTP\r\n"},
    {'E', SIDE_CLIENT, TCP_ACK, 1001, 5028, "EHLO a.example.test\r\n"},
    {'o', SIDE_SERVER, TCP_ACK, 5028, 1022, "250-mx\r\n250 STARTTLS\r\n"},
    {'x', SIDE_SERVER, TCP_ACK, 5028, 1022, "250-mx\r\n250 XXXXXXXA\r\n"},
    {'M', SIDE_CLIENT, TCP_ACK, 1022, 5050, "MAIL FROM:<a@example.test>\r\n"},
    {'k', SIDE_SERVER, TCP_ACK, 5050, 1050, "250 ok\r\n"},
    {'R', SIDE_CLIENT, TCP_ACK | TCP_RST, 1050, 5058, ""},
};

static const uint16_t mail_ports[] = {25};

static void drain(struct pipeline *pipeline, char *out, size_t size)
{
	static const char *const offers[] = {"unknown", "no", "offer"};
	struct observation o;
	while (pipeline_next(pipeline, &o)) {
		const struct session_facts *facts = &o.facts;
		if ((o.new_milestones & MILESTONE_CLOSED) == 0)
			continue;
		size_t len = strlen(out);
		char tap[8] = "pair";
		if (facts->tap != VIEW_TAP_PAIR)
			(void)snprintf(tap, sizeof tap, "%c", "-ABC"[facts->tap]);
		(void)snprintf(out + len, size - len, "%s%s %s %u %s%s", len > 0 ? ", " : "", tap,
			       offers[facts->offered], (unsigned)facts->mails,
			       session_visibility_word(facts->visibility),
			       (facts->milestones & MILESTONE_CONFLICT) != 0 ? " conflict" : "");
	}
}

static void play(const char *strip, char *out, size_t size)
{
	const struct pipeline_config config = {
	    .ports = {.port = mail_ports, .count = 1},
	    .flows = {.max_flows = 64, .idle_ns = 3600 * SECOND, .half_open_ns = 300 * SECOND},
	    .streams = {.max_out_of_order = 1U << 16,
			.max_held = 1U << 14,
			.max_chunks = 32,
			.hold_segments = 16,
			.hold_ns = SECOND,
			.loss_ns = 120 * SECOND,
			.history = 1U << 10,
			.history_total = 1U << 20},
	    .memory = 4U << 20,
	    .dialogue_ring = 1U << 13,
	    .certificates = 8,
	};
	struct pipeline *pipeline = pipeline_create(&config);
	cr_assert_not_null(pipeline);
	struct flow_hash hash;
	flow_hash_init(&hash, &config.hash_key);
	uint64_t ordinal = 0;
	int64_t now = SECOND;
	out[0] = '\0';
	for (; *strip != '\0'; strip += strip[2] == ' ' ? 3 : 2) {
		const struct scene *scene = scenes;
		while (scene->name != strip[1])
			scene++;
		struct endpoint ends[2] = {{.port = 40000}, {.port = 25}};
		cr_assert(ip_addr_parse("192.0.2.1", 9, &ends[0].addr));
		cr_assert(ip_addr_parse("198.51.100.2", 12, &ends[1].addr));
		struct followed_packet packet = {
		    .segment = {.src = ends[scene->side],
				.dst = ends[side_other(scene->side)],
				.seq = scene->seq,
				.ack = scene->ack,
				.flags = (uint8_t)scene->flags,
				.payload = span_str(scene->text),
				.payload_len = (uint32_t)strlen(scene->text),
				.vlan_outer = VLAN_NONE,
				.vlan_inner = VLAN_NONE},
		    .time_ns = now,
		    .clock_ns = now,
		    .ordinal = ordinal++,
		    .interface = strip[0] == '-' ? 0 : (uint16_t)(strip[0] - 'A' + 1),
		};
		packet.src_end = flow_key_of(&packet.segment, 0, &packet.key);
		packet.flow_hash = flow_key_hash(&hash, &packet.key);
		(void)pipeline_packet(pipeline, &packet);
		drain(pipeline, out, size);
		now += 1000;
	}
	pipeline_finish(pipeline, now, ordinal);
	drain(pipeline, out, size);
	pipeline_destroy(pipeline);
}

static const struct {
	const char *name, *strip, *records;
} rows[] = {
    {"one interface", "AS Aa Ag AE Ao AM Ak", "A offer 1 full"},
    {"a fibre tap", "AS Ba Bg AE Bo AM Bk", "pair offer 1 full"},
    {"a fibre tap from the middle on", "Bg AE Bo AM Bk", "B offer 1 full"},
    {"two taps", "AS BS Ba Aa Bg Ag AE BE Bo Ao AM BM Bk Ak", "A offer 1 full, B offer 1 full"},
    {"two taps, changed between", "AS BS Ba Aa Bg Ag AE BE Bo Ax AM BM Bk Ak",
     "A no 1 full, B offer 1 full"},
    {"two taps, one late", "AS Aa Ag AE Ax AM Ak BS Ba Bg BE Bo BM Bk",
     "A no 1 full, B offer 1 full"},
    {"two taps, the second after the end", "AS Aa Ag AE Ax AM Ak AR BS Ba Bg BE Bo BM Bk BR",
     "A no 1 full, B offer 1 full"},
    {"two taps without handshake", "Bg Ag AE BE Bo Ao AM BM Bk Ak",
     "B offer 1 full, A offer 1 full"},
    {"a proxy's own connection between taps", "AS Bt Bb Aa Ag AE Ao AM Ak", "A offer 1 full"},
    {"three taps", "AS BS CS Ca Ba Aa Cg Bg Ag AE BE CE Co Bx Ax AM BM CM",
     "A no 1 full, B no 1 full, C offer 1 full"},
    {"copies of one direction", "AS Aa Ba Ag Bg AE Ao Bo AM Ak Bk", "A offer 1 full"},
    {"copies that come first", "AS Ba Aa Bg Ag AE Bo Ao AM Bk Ak", "A offer 1 full"},
    {"a copy of what the first missed", "AS Aa Ba Ag Bg AE Bo AM Ak", "A offer 1 full"},
    {"copies beside a tap that comes later", "AS BS Ba Bg AE BE Bo AM BM Bk", "B offer 1 full"},
    {"a fibre tap and a span", "AS CS Ba Ca Bg Cg AE CE Bo Cx AM CM Bk Ck",
     "pair offer 1 full, C no 1 full"},
    {"one side at each of two", "AS BS AE BE AM BM", "A unknown 1 client-only"},
    {"no taps: copies", "-S -S -a -a -g -g -E -E -o -o -M -M -k -k", "- offer 1 full"},
    {"no taps: changed copies", "-S -a -g -g -E -E -o -x -M -k", "- offer 1 full conflict"},
};

Test(view, strips)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char out[512];
		play(rows[i].strip, out, sizeof out);
		cr_expect_str_eq(out, rows[i].records, "%s: got \"%s\"", rows[i].name, out);
	}
}
