/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole connections, structure-aware: the input is a programme of what each side writes and of how
 * TCP carries it. It is played twice, once with each write in one segment, once cut, repeated and
 * put out of order as the programme says: both have to tell the same of the session. Where it
 * asks for a loss or a forged copy the second play has only to be survived, and claims nothing
 * that needs bytes which are missing.
 *
 * Programme: two bytes of options, then steps of two bytes: what is written (a line of the table,
 * or up to 63 bytes of the input as they are), and how it is carried.
 */
#include "sensor/pipeline.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define HEADERS    40U
#define WRITE_MAX  512U
#define PIECES_MAX 64U
#define LINK_RAW   101U
#define RAW_BYTES  0xc0U /* step: the low six bits are a number of bytes, the next bit the side */

enum carriage {
	CUT = 0x0f,     /* pieces of this many bytes; 0: one piece */
	REPEAT = 0x10,  /* every piece comes twice */
	REVERSE = 0x20, /* the last piece comes first */
	LOSE = 0x40,    /* the second piece is missing, the other side acknowledges it */
	FORGE = 0x80,   /* the first piece comes again with other bytes */
};

struct written {
	enum side side;
	const char *text;
};

static const struct written lines[] = {
    {SIDE_SERVER, "220 mx.example ESMTP\r\n"},
    {SIDE_CLIENT, "EHLO client.example\r\n"},
    {SIDE_SERVER, "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n"},
    {SIDE_SERVER, "250-mx.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"},
    {SIDE_SERVER, "250-mx.example\r\n250-XXXXXXXA\r\n250 8BITMIME\r\n"},
    {SIDE_CLIENT, "STARTTLS\r\n"},
    {SIDE_SERVER, "220 go ahead\r\n"},
    {SIDE_SERVER, "454 TLS not available\r\n"},
    {SIDE_SERVER, "502 5.5.1 unknown\r\n"},
    {SIDE_CLIENT, "HELO client.example\r\n"},
    {SIDE_SERVER, "250 mx.example\r\n"},
    {SIDE_CLIENT, "MAIL FROM:<a@b.example>\r\n"},
    {SIDE_SERVER, "250 2.1.0 ok\r\n"},
    {SIDE_CLIENT, "RCPT TO:<c@d.example>\r\n"},
    {SIDE_CLIENT, "DATA\r\n"},
    {SIDE_SERVER, "354 go on\r\n"},
    {SIDE_CLIENT, "Subject: x\r\n\r\n.. dots\r\n.\r\n"},
    {SIDE_CLIENT, "BDAT 10 LAST\r\n0123456789"},
    {SIDE_CLIENT, "AUTH PLAIN AGEAYg==\r\n"},
    {SIDE_CLIENT, "AUTH LOGIN\r\n"},
    {SIDE_SERVER, "334 VXNlcm5hbWU6\r\n"},
    {SIDE_CLIENT, "dXNlcg==\r\n"},
    {SIDE_SERVER, "235 2.7.0 ok\r\n"},
    {SIDE_SERVER, "535 no\r\n"},
    {SIDE_CLIENT, "XXXXXXXX\r\n"},
    {SIDE_CLIENT, "RSET\r\n"},
    {SIDE_CLIENT, "QUIT\r\n"},
    {SIDE_SERVER, "221 bye\r\n"},
    {SIDE_SERVER, "421 closing\r\n"},
    {SIDE_CLIENT, "STARTTLS\r\nMAIL FROM:<i@j.example>\r\n"},
    {SIDE_SERVER, "220 go ahead\r\n250 injected\r\n"},
    {SIDE_CLIENT, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"},
    {SIDE_SERVER, "\x15\x03\x03\x00\x02\x02\x28"},
    {SIDE_SERVER, "***********************\r\n"},
};

#define LINES (sizeof lines / sizeof lines[0])

struct play {
	struct intake *intake;
	struct pipeline *pipeline;
	uint32_t seq[2];
	int64_t time_ns;
	uint64_t ordinal;
	uint64_t closed, sessions; /* in this play, and in all */
	bool mangled;              /* as the programme says */
	struct session_facts facts;
};

static void drain(struct play *play)
{
	struct observation observation;
	while (pipeline_next(play->pipeline, &observation)) {
		FUZZ_REQUIRE(observation.facts.outcome < OUTCOME_COUNT);
		FUZZ_REQUIRE(observation.facts.end_ns >= observation.facts.start_ns);
		if ((observation.new_milestones & MILESTONE_CLOSED) == 0)
			continue;
		play->closed++;
		play->facts = observation.facts;
		play->facts.text = (struct session_text){.bytes = NULL}; /* ends with the step */
	}
}

static void put32(uint8_t *p, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void send_segment(struct play *play, enum side side, uint32_t seq, uint8_t flags,
			 const uint8_t *payload, size_t len)
{
	uint8_t frame[HEADERS + WRITE_MAX] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6};
	static const uint8_t hosts[2][4] = {{192, 0, 2, 1}, {198, 51, 100, 25}};
	static const uint8_t ports[2][2] = {{0x9c, 0x40}, {0, 25}};
	size_t total = HEADERS + len;
	struct followed_packet packet;

	frame[2] = (uint8_t)(total >> 8);
	frame[3] = (uint8_t)total;
	memcpy(frame + 12, hosts[side], 4);
	memcpy(frame + 16, hosts[1 - side], 4);
	memcpy(frame + 20, ports[side], 2);
	memcpy(frame + 22, ports[1 - side], 2);
	put32(frame + 24, seq);
	put32(frame + 28, flags & TCP_ACK ? play->seq[1 - side] : 0);
	frame[32] = 0x50;
	frame[33] = flags;
	frame[34] = frame[35] = 0xff;
	if (len > 0)
		memcpy(frame + HEADERS, payload, len);
	/* RFC 9293: over a pseudo header of addresses, protocol and length. */
	uint32_t sum = 6 + 20 + (uint32_t)len;
	for (size_t i = 12; i < total; i++)
		sum += (uint32_t)frame[i] << (i % 2 == 0 ? 8 : 0);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	frame[36] = (uint8_t)(~sum >> 8);
	frame[37] = (uint8_t)~sum;
	play->time_ns += 1000000;
	const struct capture_packet captured = {
	    .frame = span_of(frame, total),
	    .len = (uint32_t)total,
	    .link_type = LINK_RAW,
	    .time_ns = play->time_ns,
	    .ordinal = play->ordinal++,
	};
	if (intake_packet(play->intake, &captured, &packet))
		(void)pipeline_packet(play->pipeline, &packet);
	else
		(void)pipeline_clock(play->pipeline, intake_clock(play->intake), captured.ordinal);
	drain(play);
}

static void send_piece(struct play *play, enum side side, uint8_t how, struct span whole,
		       size_t cut, size_t piece)
{
	struct span bytes = span_head(span_skip(whole, piece * cut), cut);
	uint32_t seq = play->seq[side] + (uint32_t)(piece * cut);
	uint8_t forged[WRITE_MAX];

	if (how & LOSE && piece == 1)
		return;
	send_segment(play, side, seq, TCP_ACK | TCP_PSH, bytes.ptr, bytes.len);
	if (how & REPEAT)
		send_segment(play, side, seq, TCP_ACK | TCP_PSH, bytes.ptr, bytes.len);
	if (how & FORGE && piece == 0) {
		for (size_t i = 0; i < bytes.len; i++)
			forged[i] = bytes.ptr[i] ^ 0x20;
		send_segment(play, side, seq, TCP_ACK | TCP_PSH, forged, bytes.len);
	}
}

static void send_write(struct play *play, enum side side, uint8_t how, struct span bytes)
{
	if (!play->mangled)
		how = 0;
	size_t cut = how & CUT ? how & CUT : bytes.len;
	if ((bytes.len + cut - 1) / cut > PIECES_MAX)
		cut = (bytes.len + PIECES_MAX - 1) / PIECES_MAX;
	size_t pieces = (bytes.len + cut - 1) / cut;

	for (size_t i = 0; i < pieces; i++)
		send_piece(play, side, how, bytes, cut, how & REVERSE ? pieces - 1 - i : i);
	play->seq[side] += (uint32_t)bytes.len;
	/* The other side has it: what is missing now was missed by the sensor alone. */
	send_segment(play, 1 - side, play->seq[1 - side], TCP_ACK, NULL, 0);
}

/* Returns whether the programme asked for what may change the record. */
static bool perform(struct play *play, struct span programme)
{
	uint8_t options = fuzz_byte(&programme), end = fuzz_byte(&programme);
	bool unsound = false;

	play->seq[SIDE_CLIENT] = (uint32_t)0 - (options & 0x7fU); /* over the end of the numbers */
	play->seq[SIDE_SERVER] = 77;
	if ((options & 0x80) == 0) {
		send_segment(play, SIDE_CLIENT, play->seq[SIDE_CLIENT]++, TCP_SYN, NULL, 0);
		send_segment(play, SIDE_SERVER, play->seq[SIDE_SERVER]++, TCP_SYN | TCP_ACK, NULL,
			     0);
		send_segment(play, SIDE_CLIENT, play->seq[SIDE_CLIENT], TCP_ACK, NULL, 0);
	}
	while (programme.len > 0) {
		uint8_t what = fuzz_byte(&programme), how = fuzz_byte(&programme);
		enum side side = lines[what % LINES].side;
		struct span bytes = span_str(lines[what % LINES].text);

		if (what >= RAW_BYTES) {
			side = what & 0x20 ? SIDE_SERVER : SIDE_CLIENT;
			bytes = fuzz_bytes(&programme, 1U + (what & 0x1fU) * 2U);
		} else if (lines[what % LINES].text[0] == '\x16') {
			bytes = span_of(lines[what % LINES].text, 10); /* holds zeroes */
		} else if (lines[what % LINES].text[0] == '\x15') {
			bytes = span_of(lines[what % LINES].text, 7);
		}
		if (bytes.len == 0)
			continue;
		/* Without a handshake a side begins at what is seen of it first, and behind a lone
		   byte, which is a keep-alive's. */
		bool headless = (options & 0x80) != 0 && ((how & REVERSE) != 0 || (how & CUT) == 1);
		unsound = unsound || (how & (LOSE | FORGE)) != 0 || headless;
		send_write(play, side, how, bytes);
	}
	if (end & 1)
		send_segment(play, SIDE_CLIENT, play->seq[SIDE_CLIENT]++, TCP_FIN | TCP_ACK, NULL,
			     0);
	if (end & 2)
		send_segment(play, SIDE_SERVER, play->seq[SIDE_SERVER]++, TCP_FIN | TCP_ACK, NULL,
			     0);
	if (end & 4)
		send_segment(play, SIDE_CLIENT, play->seq[SIDE_CLIENT], TCP_RST | TCP_ACK, NULL, 0);
	pipeline_finish(play->pipeline, intake_clock(play->intake), play->ordinal);
	drain(play);
	play->sessions += play->closed;
	FUZZ_REQUIRE(intake_counters(play->intake)->frames == play->ordinal);
	FUZZ_REQUIRE(pipeline_counters(play->pipeline)->sessions == play->sessions);
	return unsound;
}

/* Made once: nDPI's tables alone cost more than thousands of plays. */
static void make_pipeline(struct play *play)
{
	static const uint16_t mail[] = {25};
	const struct mail_ports followed = {.port = mail, .count = 1};
	const struct intake_config intake_config = {
	    .ports = followed,
	    .packets = {.max_layers = 4,
			.frag = {.max_datagrams = 2,
				 .max_bytes = 1U << 16,
				 .max_age_ns = 30000000000}},
	    .memory = 1U << 20,
	};
	const struct pipeline_config config = {
	    .ports = followed,
	    .flows = {.max_flows = 16, .idle_ns = 3600000000000, .half_open_ns = 300000000000},
	    .streams = {.max_out_of_order = 1U << 16,
			.max_held = 1U << 16,
			.max_chunks = 4 * PIECES_MAX,
			.hold_segments = 2 * PIECES_MAX,
			.hold_ns = 1000000000,
			.loss_ns = 120000000000,
			.history = 1U << 10,
			.history_total = 1U << 20},
	    .memory = 4U << 20,
	    .dialogue_ring = 1U << 13,
	    .certificates = 2,
	};
	play->intake = intake_create(&intake_config);
	play->pipeline = pipeline_create(&config);
	FUZZ_REQUIRE(play->intake != NULL && play->pipeline != NULL);
}

static void compare(const struct session_facts *a, const struct session_facts *b)
{
	FUZZ_REQUIRE(a->outcome == b->outcome);
	FUZZ_REQUIRE(a->offered == b->offered && a->requested == b->requested);
	FUZZ_REQUIRE(a->masked_offer == b->masked_offer && a->masked_command == b->masked_command);
	FUZZ_REQUIRE(a->starttls_code == b->starttls_code);
	FUZZ_REQUIRE(a->tls.established == b->tls.established);
	FUZZ_REQUIRE(a->tls_failure == b->tls_failure && a->injection == b->injection);
	FUZZ_REQUIRE(a->mails == b->mails && a->mails_2xx == b->mails_2xx);
	FUZZ_REQUIRE(a->accepted == b->accepted && a->recipients == b->recipients);
	FUZZ_REQUIRE(a->auth_in_clear == b->auth_in_clear && a->auth_code == b->auth_code);
	FUZZ_REQUIRE(a->credentials_in_clear == b->credentials_in_clear);
	FUZZ_REQUIRE(a->ehlo_accepted == b->ehlo_accepted && a->ehlo_refused == b->ehlo_refused);
	FUZZ_REQUIRE(a->visibility == b->visibility && a->closed_by == b->closed_by);
	FUZZ_REQUIRE(a->conflicts == b->conflicts && a->gaps[0] == b->gaps[0] &&
		     a->gaps[1] == b->gaps[1]);
}

static void play_once(struct play *play, bool mangled, struct span programme, bool *unsound)
{
	play->mangled = mangled;
	play->closed = 0;
	*unsound = perform(play, programme);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play = {.time_ns = 1700000000000000000};
	bool unsound;

	if (play.pipeline == NULL)
		make_pipeline(&play);
	size_t used = pipeline_budget(play.pipeline)->used;
	play_once(&play, false, span_of(data, size), &unsound);
	const struct session_facts plain = play.facts;
	uint64_t closed = play.closed;
	play_once(&play, true, span_of(data, size), &unsound);
	FUZZ_REQUIRE(unsound || closed == play.closed);
	if (!unsound && closed == 1)
		compare(&plain, &play.facts);
	/* Tables and the cache of names may have grown; a session leaves nothing. */
	FUZZ_REQUIRE(pipeline_budget(play.pipeline)->used < used + (1U << 20));
	return 0;
}
