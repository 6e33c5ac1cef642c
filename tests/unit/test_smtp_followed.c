/* SPDX-License-Identifier: Apache-2.0 */
/* A session that is put away and woken, what wakes it, and the short form that it is kept in. */
#include "decoders/smtp_followed.h"
#include "decoders/sparse.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct redaction redaction = {.show_accounts = false};

struct bench {
	struct budget budget;
	struct dialogue_ring ring;
	struct smtp_found found;
	struct smtp_context context;
};

static void bench_open(struct bench *b, size_t cap)
{
	memset(b, 0, sizeof *b);
	budget_init(&b->budget, cap);
	b->context = (struct smtp_context){
	    .budget = &b->budget,
	    .dialogues = &b->ring,
	    .redaction = &redaction,
	    .found = &b->found,
	};
}

static uint32_t draw(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 16;
}

Test(sparse, reads_what_was_written)
{
	uint32_t random = 1;
	for (size_t len = 0; len < 200; len++)
		for (unsigned zeros = 0; zeros < 4; zeros++) {
			uint8_t bytes[200], back[201], out[SPARSE_MAX(200)];
			for (size_t i = 0; i < len; i++)
				bytes[i] = draw(&random) % 4 < zeros ? 0 : (uint8_t)draw(&random);
			memset(back, 0xaa, sizeof back);
			cr_assert_leq(sparse_write(span_of(bytes, len), out), SPARSE_MAX(len));
			sparse_read(out, back, len);
			cr_assert_eq(memcmp(bytes, back, len), 0, "%zu bytes", len);
			cr_assert_eq(back[len], 0xaa, "nothing behind them");
		}
}

Test(sparse, zeros_take_a_bit_for_eight)
{
	static const uint8_t zeros[640];
	uint8_t out[SPARSE_MAX(sizeof zeros)];
	cr_expect_eq(sparse_write(span_of(zeros, sizeof zeros), out), sizeof zeros / 64);
}

/* One that is upgraded and settled, every other byte of its facts being anything. */
static struct smtp_session *settled(struct bench *b, uint32_t *random)
{
	static const enum session_text_id texts[] = {TEXT_SERVER_NAME, TEXT_CLIENT_NAME, TEXT_SNI,
						     TEXT_CAPABILITIES};
	struct smtp_session *s = budget_calloc(&b->budget, 1, sizeof *s);
	struct tls_conversation *tls = budget_calloc(&b->budget, 1, sizeof *tls);
	cr_assert_not_null(s);
	cr_assert_not_null(tls);
	tls_conversation_init(tls);
	s->facts.milestones = MILESTONE_TLS_UP | draw(random);
	for (size_t i = 0; i < sizeof s->facts.tls.ja3; i++)
		s->facts.tls.ja3[i] = (uint8_t)draw(random);
	s->facts.start_ns = INT64_C(1700000000) * 1000000000 + draw(random);
	s->facts.gap_bytes[SIDE_SERVER] = draw(random);
	s->facts.bytes[SIDE_CLIENT] = UINT64_MAX - draw(random);
	s->facts.client.addr.version = 6;
	memset(s->facts.client.addr.bytes, (int)(draw(random) & 0xff), 16);
	s->facts.starttls_code = 220;
	s->dialogue.last = draw(random);
	s->doubt.odd_line = draw(random) % 2 == 0;
	s->observed = s->facts.milestones;
	s->upgrade_over = s->client_since_220 = true;
	s->framing[SIDE_CLIENT] = s->framing[SIDE_SERVER] = SMTP_FRAMING_TLS;
	s->state = SMTP_STATE_TLS;
	tls->facts.client_hello = tls->facts.server_hello = true;
	tls->facts.version = tls->facts.offered_version = TLS_VERSION_1_3;
	tls->facts.suite = 0x1301;
	s->tls = tls;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char text[64];
		size_t len = draw(random) % sizeof text;
		memset(text, 'a' + (int)(draw(random) % 26), sizeof text);
		cr_assert(
		    session_facts_set_text(&s->facts, &b->budget, texts[i], span_of(text, len)));
	}
	return s;
}

/* All but where the texts and the conversation lie. */
static void expect_same(const struct smtp_session *a, const struct smtp_session *b)
{
	struct smtp_session x = *a, y = *b;
	cr_expect_eq(memcmp(a->tls, b->tls, sizeof *a->tls), 0);
	for (int id = 0; id < TEXT_COUNT; id++)
		cr_expect(span_equal(session_facts_text(&a->facts, (enum session_text_id)id),
				     session_facts_text(&b->facts, (enum session_text_id)id)));
	x.tls = y.tls = NULL;
	x.facts.text.bytes = y.facts.text.bytes = NULL;
	x.facts.text.cap = y.facts.text.cap = 0;
	cr_expect_eq(memcmp(&x, &y, sizeof x), 0);
}

static void dispose(struct bench *b, struct smtp_session *s)
{
	smtp_session_free(s, &b->context);
	budget_free(&b->budget, s, sizeof *s);
	cr_expect_eq(b->budget.used, 0);
}

Test(smtp_followed, wakes_as_it_was)
{
	uint32_t random = 7;
	for (int i = 0; i < 500; i++) {
		struct bench b, other;
		bench_open(&b, 1U << 20);
		bench_open(&other, 1U << 20);
		uint32_t again = random;
		struct smtp_session *s = settled(&b, &random);
		struct smtp_session *twin = settled(&other, &again);
		size_t before = b.budget.used;
		cr_assert(smtp_session_may_be_followed(s));
		struct smtp_followed *followed = smtp_followed_begin(s, &b.context);
		cr_assert_not_null(followed);
		cr_expect_lt(b.budget.used, before - 200, "%zu bytes", b.budget.used);
		s = smtp_followed_wake(followed, &b.context);
		cr_assert_not_null(s);
		expect_same(s, twin);
		dispose(&b, s);
		dispose(&other, twin);
	}
}

Test(smtp_followed, only_what_is_settled)
{
	struct bench b;
	uint32_t random = 3;
	bench_open(&b, 1U << 20);
	struct smtp_session *s = settled(&b, &random);
	struct smtp_clear clear = {.message_len = 0};
	s->clear = &clear;
	cr_expect_not(smtp_session_may_be_followed(s), "a dialogue in the clear");
	s->clear = NULL;
	s->framing[SIDE_SERVER] = SMTP_FRAMING_TEXT;
	cr_expect_not(smtp_session_may_be_followed(s), "the server speaks in the clear");
	s->framing[SIDE_SERVER] = SMTP_FRAMING_TLS;
	s->upgrade_over = false;
	cr_expect_not(smtp_session_may_be_followed(s), "the handshake goes on");
	s->upgrade_over = true;
	s->tls->side[SIDE_CLIENT].reading = TLS_READING_LOST;
	cr_expect_not(smtp_session_may_be_followed(s), "after a gap");
	s->tls->side[SIDE_CLIENT].reading = TLS_READING_RECORDS;
	cr_expect(smtp_session_may_be_followed(s));
	dispose(&b, s);
}

static struct stream_event data(enum side side, const uint8_t *bytes, size_t len)
{
	return (struct stream_event){
	    .kind = STREAM_DATA, .side = side, .bytes = span_of(bytes, len)};
}

/* As the pipeline hands an event on: past the session, where that makes no difference. */
static void hand_on(struct smtp_followed *followed, struct bench *b,
		    const struct stream_event *event, struct smtp_followed_next *next)
{
	if (!next->settled || !tls_application_data(event->bytes, &next->skip))
		cr_assert(smtp_followed_event(followed, &b->context, event, next));
}

/* Records, cut into two events at every place: as a session that is awake reads them. */
Test(smtp_followed, records_go_on)
{
	static const uint8_t records[] = {23, 3, 3, 0,   4,   'a', 'b', 'c', 'd', 23, 3,
					  3,  0, 1, 'e', 23,  3,   3,   0,   0,   23, 3,
					  3,  0, 2, 'f', 'g', 23,  3,   3,   1,   0,  'h'};
	unsigned settled_ones = 0;
	for (size_t cut = 0; cut <= sizeof records; cut++) {
		struct bench b, other;
		uint32_t random = 5, again = 5;
		bench_open(&b, 1U << 20);
		bench_open(&other, 1U << 20);
		struct smtp_session *twin = settled(&other, &again);
		struct smtp_followed *followed =
		    smtp_followed_begin(settled(&b, &random), &b.context);
		struct smtp_followed_next next = {.settled = false};
		cr_assert_not_null(followed);
		size_t at = 0, ends[] = {cut, sizeof records};
		for (unsigned part = 0; part < 2; part++) {
			if (at >= ends[part])
				continue;
			struct stream_event event =
			    data(SIDE_SERVER, records + at, ends[part] - at);
			hand_on(followed, &b, &event, &next);
			smtp_session_event(twin, &other.context, &event);
			cr_expect_eq(next.skip, smtp_session_skippable(twin, SIDE_SERVER));
			settled_ones += next.settled;
			at = ends[part] + next.skip; /* what is skipped is not delivered */
		}
		struct smtp_session *s = smtp_followed_wake(followed, &b.context);
		cr_assert_not_null(s);
		for (unsigned side = 0; side < 2; side++) /* what it says of the event's side */
			s->side_seen[side] = twin->side_seen[side];
		/* Of a record that is behind it is not kept how long it was. */
		s->tls->side[SIDE_SERVER].record_len = twin->tls->side[SIDE_SERVER].record_len;
		memcpy(s->tls->side[SIDE_SERVER].header, twin->tls->side[SIDE_SERVER].header,
		       sizeof twin->tls->side[SIDE_SERVER].header);
		/* A session that is awake brings its facts up to date at each event. */
		smtp_session_settle(s);
		smtp_session_settle(twin);
		expect_same(s, twin);
		dispose(&b, s);
		dispose(&other, twin);
	}
	cr_expect_gt(settled_ones, 10, "%u", settled_ones);
}

/* What is not whole records of application data is for a reader that keeps its place. */
Test(tls, application_data_alone)
{
	static const struct {
		const char *what;
		uint8_t bytes[16];
		size_t len;
		bool taken;
		uint64_t beyond;
	} cases[] = {
	    {"nothing", {0}, 0, false, 0},
	    {"a whole one", {23, 3, 3, 0, 1, 'a'}, 6, true, 0},
	    {"an empty one", {23, 3, 1, 0, 0}, 5, true, 0},
	    {"two, the second beyond", {23, 3, 3, 0, 1, 'a', 23, 3, 3, 1, 0, 'b'}, 12, true, 255},
	    {"a header that is cut", {23, 3, 3, 0, 1, 'a', 23, 3, 3, 0}, 10, false, 0},
	    {"the longest", {23, 3, 3, 72, 0}, 5, true, 18432},
	    {"too long", {23, 3, 3, 72, 1}, 5, false, 0},
	    {"no version", {23, 3, 5, 0, 1, 'a'}, 6, false, 0},
	    {"an alert", {21, 3, 3, 0, 2, 1, 0}, 7, false, 0},
	    {"an alert behind", {23, 3, 3, 0, 1, 'a', 21, 3, 3, 0, 2, 1, 0}, 13, false, 0},
	    {"a reply", {'2', '5', '0', ' ', 'o', 'k'}, 6, false, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t beyond = 0;
		cr_expect_eq(tls_application_data(span_of(cases[i].bytes, cases[i].len), &beyond),
			     cases[i].taken, "%s", cases[i].what);
		cr_expect_eq(beyond, cases[i].beyond, "%s", cases[i].what);
	}
}

Test(smtp_followed, anything_else_wakes_it_and_is_not_taken)
{
	static const uint8_t reply[] = "250 ok\r\n", record[] = {23, 3, 3, 0, 1, 'a'};
	static const uint8_t behind[] = {23, 3, 3, 0, 1, 'a', '2', '5', '0', ' '};
	static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 40}, hello[] = {22, 3, 3, 0, 9, 1, 0};
	static const uint8_t broken[] = {23, 9, 9};
	const struct {
		const char *what;
		struct stream_event event;
	} cases[] = {
	    {"plaintext", data(SIDE_SERVER, reply, sizeof reply - 1)},
	    {"plaintext behind a record", data(SIDE_CLIENT, behind, sizeof behind)},
	    {"an alert in the clear", data(SIDE_SERVER, alert, sizeof alert)},
	    {"a message that is cut", data(SIDE_CLIENT, hello, sizeof hello)},
	    {"a broken record", data(SIDE_CLIENT, broken, sizeof broken)},
	    {"a gap", {.kind = STREAM_GAP, .side = SIDE_CLIENT, .gap_len = 10}},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bench b, other;
		uint32_t random = 9, again = 9;
		bench_open(&b, 1U << 20);
		bench_open(&other, 1U << 20);
		struct smtp_session *twin = settled(&other, &again);
		struct smtp_followed *followed =
		    smtp_followed_begin(settled(&b, &random), &b.context);
		cr_assert_not_null(followed);
		struct stream_event first = data(SIDE_SERVER, record, sizeof record);
		struct smtp_followed_next next;
		cr_assert(smtp_followed_event(followed, &b.context, &first, &next));
		tls_conversation_free(twin->tls, &other.budget);
		smtp_session_event(twin, &other.context, &first);
		size_t used = b.budget.used;
		cr_expect_not(smtp_followed_event(followed, &b.context, &cases[i].event, &next),
			      "%s", cases[i].what);
		cr_expect_eq(b.budget.used, used, "%s", cases[i].what);
		struct smtp_session *s = smtp_followed_wake(followed, &b.context);
		cr_assert_not_null(s);
		cr_expect_eq(memcmp(s->tls, twin->tls, sizeof *s->tls), 0, "%s", cases[i].what);
		dispose(&b, s);
		dispose(&other, twin);
	}
}

Test(smtp_followed, wakes_where_memory_is_short)
{
	struct bench b;
	uint32_t random = 11;
	bench_open(&b, 1U << 20);
	struct smtp_followed *followed = smtp_followed_begin(settled(&b, &random), &b.context);
	cr_assert_not_null(followed);
	b.budget.cap = b.budget.used;
	cr_expect_null(smtp_followed_wake(followed, &b.context), "nothing in reserve");
	cr_expect_eq(b.budget.used, b.budget.cap);
	b.budget.cap += 2048;
	b.budget.reserve = 2048;
	cr_expect_null(budget_alloc(&b.budget, 1), "the reserve is for others");
	struct smtp_session *s = smtp_followed_wake(followed, &b.context);
	cr_assert_not_null(s);
	cr_expect_null(budget_alloc(&b.budget, 1), "and closed again");
	dispose(&b, s);
}

Test(smtp_followed, stays_awake_where_memory_is_short)
{
	struct bench b;
	uint32_t random = 13;
	bench_open(&b, 1U << 20);
	struct smtp_session *s = settled(&b, &random);
	b.budget.fail_at = 1;
	cr_expect_null(smtp_followed_begin(s, &b.context));
	cr_expect_eq(s->facts.starttls_code, 220);
	dispose(&b, s);
}
