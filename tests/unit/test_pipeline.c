/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in, observations out: what depends on the clock, on other traffic, on interfaces. */
#include "sensor/pipeline.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)
#define START  (INT64_C(1700000000) * SECOND)

/* The next sequence numbers of a connection: 192.0.2.1:port and 198.51.100.2:25. */
struct talk {
	uint16_t port;
	uint32_t next[2]; /* by enum side */
};

struct bench {
	struct intake *intake;
	struct pipeline *pipeline;
	uint64_t ordinal;
	int64_t start_ns, end_ns; /* of the session that was closed last */
	char told[4096]; /* what was observed: "PORT@ORDINAL mail", "PORT@ORDINAL closed", ... */
};

static const uint16_t smtp[] = {25};

static void bench_open(struct bench *b)
{
	const struct intake_config intake = {
	    .ports = {.port = smtp, .count = 1},
	    .packets = {.max_layers = 16,
			.frag = {.max_datagrams = 8,
				 .max_bytes = 1U << 16,
				 .max_age_ns = 30 * SECOND}},
	    .memory = 1U << 20,
	};
	const struct pipeline_config config = {
	    .ports = intake.ports,
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
	*b = (struct bench){.intake = intake_create(&intake), .pipeline = pipeline_create(&config)};
	cr_assert_not_null(b->intake);
	cr_assert_not_null(b->pipeline);
}

static void drain(struct bench *b)
{
	struct observation o;
	while (pipeline_next(b->pipeline, &o)) {
		size_t len = strlen(b->told);
		const struct session_facts *facts = &o.facts;
		if ((o.new_milestones & MILESTONE_CLOSED) != 0) {
			b->start_ns = facts->start_ns;
			b->end_ns = facts->end_ns;
		}
		(void)snprintf(b->told + len, sizeof b->told - len, "%s%u@%lu%s%s",
			       len > 0 ? ", " : "", facts->client.port, (unsigned long)o.ordinal,
			       (o.new_milestones & MILESTONE_MAIL) != 0 ? " mail" : "",
			       (o.new_milestones & MILESTONE_CLOSED) != 0 ? " closed" : "");
	}
}

/* What was told since the last call. */
static const char *told(struct bench *b)
{
	static char text[sizeof b->told];
	memcpy(text, b->told, sizeof text);
	b->told[0] = '\0';
	return text;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* One segment, or with lost what the capture missed; seq and ack follow from what was said. */
static void say(struct bench *b, struct talk *talk, enum side side, unsigned flags,
		const char *text, int64_t time_ns, bool lost)
{
	uint8_t frame[256] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6};
	static const uint8_t addrs[2][4] = {{192, 0, 2, 1}, {198, 51, 100, 2}};
	size_t len = strlen(text);

	put16(frame + 2, (unsigned)(40 + len));
	memcpy(frame + 12, addrs[side], 4);
	memcpy(frame + 16, addrs[1 - side], 4);
	put16(frame + 20, side == SIDE_CLIENT ? talk->port : 25);
	put16(frame + 22, side == SIDE_CLIENT ? 25 : talk->port);
	put32(frame + 24, talk->next[side]);
	put32(frame + 28, (flags & TCP_ACK) != 0 ? talk->next[side_other(side)] : 0);
	frame[32] = 0x50;
	frame[33] = (uint8_t)flags;
	memcpy(frame + 40, text, len);
	talk->next[side] += (uint32_t)len + ((flags & (TCP_SYN | TCP_FIN)) != 0);
	if (lost)
		return;
	const struct capture_packet given = {
	    .frame = span_of(frame, 40 + len),
	    .len = (uint32_t)(40 + len),
	    .link_type = 101,
	    .time_ns = time_ns,
	    .ordinal = b->ordinal++,
	};
	struct followed_packet packet;
	cr_assert(intake_packet(b->intake, &given, &packet));
	(void)pipeline_packet(b->pipeline, &packet);
	drain(b);
}

static void client(struct bench *b, struct talk *talk, const char *text, int64_t time_ns)
{
	say(b, talk, SIDE_CLIENT, TCP_ACK, text, time_ns, false);
}

static void server(struct bench *b, struct talk *talk, const char *text, int64_t time_ns)
{
	say(b, talk, SIDE_SERVER, TCP_ACK, text, time_ns, false);
}

static struct talk greet(struct bench *b, uint16_t port, int64_t time_ns)
{
	struct talk talk = {.port = port, .next = {1000, 5000}};
	say(b, &talk, SIDE_CLIENT, TCP_SYN, "", time_ns, false);
	say(b, &talk, SIDE_SERVER, TCP_SYN | TCP_ACK, "", time_ns, false);
	server(b, &talk, "220 mx.example.test ESMTP\r\n", time_ns);
	return talk;
}

/* A dialogue whose EHLO reply the capture lost, up to a MAIL that acknowledges it: 5 packets. */
static struct talk talk_with_hole(struct bench *b, uint16_t port, int64_t time_ns)
{
	struct talk talk = greet(b, port, time_ns);
	client(b, &talk, "EHLO a.example.test\r\n", time_ns);
	say(b, &talk, SIDE_SERVER, TCP_ACK, "250 mx.example.test\r\n", time_ns, true);
	client(b, &talk, "MAIL FROM:<a@example.test>\r\n", time_ns);
	return talk;
}

static void bench_close(struct bench *b)
{
	pipeline_finish(b->pipeline, intake_clock(b->intake), b->ordinal);
	drain(b);
	pipeline_destroy(b->pipeline);
	intake_destroy(b->intake);
}

Test(pipeline, a_hold_ends_by_the_traffic_of_others)
{
	struct bench b;
	bench_open(&b);
	(void)talk_with_hole(&b, 40001, START);
	struct talk other = greet(&b, 40002, START + 500 * MS);
	client(&b, &other, "NOOP\r\n", START + SECOND - 1);
	cr_assert_str_eq(told(&b), "", "the hold is not over");
	server(&b, &other, "250 ok\r\n", START + SECOND);
	cr_assert_str_eq(told(&b), "40001@4 mail");
	cr_assert_eq(pipeline_stream_counters(b.pipeline)->gaps, 1);
	bench_close(&b);
}

Test(pipeline, a_hold_ends_by_the_clock_alone)
{
	struct bench b;
	bench_open(&b);
	(void)talk_with_hole(&b, 40001, START);
	(void)pipeline_clock(b.pipeline, START + SECOND - 1, b.ordinal);
	drain(&b);
	cr_assert_str_eq(told(&b), "");
	(void)pipeline_clock(b.pipeline, START + SECOND, b.ordinal);
	drain(&b);
	cr_assert_str_eq(told(&b), "40001@4 mail");
	(void)pipeline_clock(b.pipeline, START + 10 * SECOND, b.ordinal);
	drain(&b);
	cr_assert_str_eq(told(&b), "", "told once");
	bench_close(&b);
}

/* Several are due at one packet: in the order of their times, then of their sessions. */
Test(pipeline, holds_end_in_the_order_of_their_times)
{
	struct bench b;
	bench_open(&b);
	(void)talk_with_hole(&b, 40003, START); /* packets 0 to 4 */
	(void)talk_with_hole(&b, 40001, START); /* 5 to 9 */
	(void)talk_with_hole(&b, 40002, START + MS);
	cr_assert_str_eq(told(&b), "");
	(void)greet(&b, 40004, START + 5 * SECOND);
	cr_assert_str_eq(told(&b), "40003@4 mail, 40001@9 mail, 40002@14 mail");
	bench_close(&b);
}

/* What is behind the gap may end the connection. */
Test(pipeline, a_hold_that_ends_shows_the_end)
{
	struct bench b;
	bench_open(&b);
	struct talk talk = talk_with_hole(&b, 40001, START);
	say(&b, &talk, SIDE_CLIENT, TCP_ACK | TCP_RST, "", START, false);
	cr_assert_str_eq(told(&b), "");
	(void)pipeline_clock(b.pipeline, START + SECOND, b.ordinal);
	drain(&b);
	cr_assert_str_eq(told(&b), "40001@4 mail, 40001@5 closed");
	bench_close(&b);
	cr_assert_str_eq(told(&b), "");
}

/* An input that is not in the order of time: a hold is as long for packets behind the clock. */
Test(pipeline, packets_older_than_the_clock_have_their_hold)
{
	struct bench b;
	bench_open(&b);
	struct talk other = greet(&b, 40002, START + 1000 * SECOND);
	struct talk talk = greet(&b, 40001, START);
	client(&b, &talk, "EHLO a.example.test\r\n", START);
	struct talk late = talk;
	say(&b, &talk, SIDE_SERVER, TCP_ACK, "250 mx.example.test\r\n", START, true);
	client(&b, &talk, "MAIL FROM:<a@example.test>\r\n", START);
	server(&b, &late, "250 mx.example.test\r\n", START + MS); /* captured, but later */
	cr_assert_str_eq(told(&b), "40001@8, 40001@7 mail", "the reply was not taken for lost");
	cr_assert_eq(pipeline_stream_counters(b.pipeline)->gaps, 0);

	say(&b, &talk, SIDE_SERVER, TCP_ACK, "250 ok\r\n", START + 2 * MS, true);
	client(&b, &talk, "QUIT\r\n", START + 2 * MS);
	client(&b, &other, "NOOP\r\n", START + 1000 * SECOND + 999 * MS);
	cr_assert_eq(pipeline_stream_counters(b.pipeline)->gaps, 0);
	client(&b, &other, "NOOP\r\n", START + 1001 * SECOND);
	cr_assert_eq(pipeline_stream_counters(b.pipeline)->gaps, 1);
	bench_close(&b);
}

/* ... and its own times, and idles as long as others. */
Test(pipeline, packets_older_than_the_clock_keep_their_times)
{
	struct bench b;
	bench_open(&b);
	(void)greet(&b, 40002, START + 10000 * SECOND);
	struct talk talk = greet(&b, 40001, START);
	client(&b, &talk, "EHLO a.example.test\r\n", START + SECOND);
	(void)pipeline_clock(b.pipeline, START + 13599 * SECOND, b.ordinal);
	drain(&b);
	cr_assert_str_eq(told(&b), "");
	(void)pipeline_clock(b.pipeline, START + 13605 * SECOND, b.ordinal);
	drain(&b);
	cr_assert_str_eq(told(&b), "40002@7 closed, 40001@7 closed");
	cr_assert_eq(b.start_ns, START);
	cr_assert_eq(b.end_ns, START + SECOND);
	bench_close(&b);
}

/* A session of a greeting and a QUIT, whose sides begin at these numbers. */
static void whole_session(struct bench *b, uint32_t client_isn, uint32_t server_isn,
			  int64_t time_ns)
{
	struct talk talk = {.port = 40001, .next = {client_isn, server_isn}};
	say(b, &talk, SIDE_CLIENT, TCP_SYN, "", time_ns, false);
	say(b, &talk, SIDE_SERVER, TCP_SYN | TCP_ACK, "", time_ns, false);
	server(b, &talk, "220 mx.example.test ESMTP\r\n", time_ns);
	client(b, &talk, "QUIT\r\n", time_ns);
	server(b, &talk, "221 bye\r\n", time_ns);
	say(b, &talk, SIDE_SERVER, TCP_FIN | TCP_ACK, "", time_ns, false);
	say(b, &talk, SIDE_CLIENT, TCP_FIN | TCP_ACK, "", time_ns, false);
}

Test(pipeline, a_copy_that_begins_behind_the_end_is_late)
{
	struct bench b;
	bench_open(&b);
	whole_session(&b, 1000, 5000, START);
	cr_assert_str_eq(told(&b), "40001@6 closed");
	whole_session(&b, 1000, 5000, START + SECOND);
	cr_assert_str_eq(told(&b), "");
	cr_assert_eq(pipeline_counters(b.pipeline)->sessions, 1);
	bench_close(&b);
	cr_assert_str_eq(told(&b), "");
}

/* ... but another number, of either side, is another connection. */
Test(pipeline, a_port_that_is_used_again_is_another_connection)
{
	struct bench b;
	bench_open(&b);
	whole_session(&b, 1000, 5000, START);
	whole_session(&b, 1000, 9000, START + SECOND);
	whole_session(&b, 2000, 9000, START + 2 * SECOND);
	cr_assert_str_eq(told(&b), "40001@6 closed, 40001@13 closed, 40001@20 closed");
	bench_close(&b);
}
