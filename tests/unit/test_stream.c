/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly in general: dialogues in all their cuts and orders, floods, what comes at random, and
 * that the fast path changes nothing. Single cases stand in test_stream_strips.c.
 */
#include "tests/support/film.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- dialogues in all their cuts and orders --- */

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#define SEGMENTS_MAX 400

struct dialogue {
	char bytes[2][4096];
	uint32_t len[2];
	struct tcp_segment segment[SEGMENTS_MAX];
	enum side side[SEGMENTS_MAX];
	size_t count;
	char expected[8192]; /* turns: "c:" and "s:" with the bytes between */
};

/* Random turns, each cut into random segments that acknowledge all before the turn. */
static void dialogue_make(struct dialogue *d, uint64_t *seed, const uint32_t isn[2], size_t turns)
{
	memset(d, 0, sizeof(*d));
	char *out = d->expected;
	for (size_t turn = 0; turn < turns; turn++) {
		enum side x = (turn & 1) != 0 ? SIDE_CLIENT : SIDE_SERVER;
		enum side o = side_other(x);
		uint32_t size = 1 + (uint32_t)(random_next(seed) % 40);
		uint32_t from = d->len[x];
		*out++ = x == SIDE_CLIENT ? 'c' : 's';
		*out++ = ':';
		for (uint32_t i = 0; i < size; i++) {
			char byte = (char)('A' + random_next(seed) % 26);
			d->bytes[x][d->len[x]++] = byte;
			*out++ = byte;
		}
		while (from < d->len[x]) {
			uint32_t n = 1 + (uint32_t)(random_next(seed) % 20);
			if (n > d->len[x] - from)
				n = d->len[x] - from;
			d->side[d->count] = x;
			d->segment[d->count++] = (struct tcp_segment){
			    .flags = TCP_ACK,
			    .seq = isn[x] + 1 + from,
			    .ack = isn[o] + 1 + d->len[o],
			    .payload = span_of(d->bytes[x] + from, n),
			    .payload_len = n,
			};
			from += n;
		}
	}
	*out = '\0';
}

/* The events' data, turn by turn; anything else is written as it is. */
static void turns_of(const char *events, char *turns)
{
	char last = 0;
	while (*events != '\0') {
		size_t len = strcspn(events, " ");
		if (len >= 2 && events[1] == ':') {
			if (events[0] != last) {
				*turns++ = last = events[0];
				*turns++ = ':';
			}
			memcpy(turns, events + 2, len - 2);
			turns += len - 2;
		} else {
			memcpy(turns, events, len);
			turns += len;
			last = 0;
		}
		events += len + (events[len] == ' ');
	}
	*turns = '\0';
}

static void film_handshake(struct film *f)
{
	film_run(f, FILM_HANDSHAKE);
}

Test(stream, random_dialogues)
{
	uint64_t seed = 0x5eed5eed1234ULL;
	struct film *f = malloc(sizeof(*f));
	struct dialogue *d = malloc(sizeof(*d));
	char turns[16384];
	for (int round = 0; round < 3000; round++) {
		const uint32_t *isn = film_bases[round % 4];
		dialogue_make(d, &seed, isn, 2 + random_next(&seed) % 12);
		/* Swap neighbours, a few times over: nothing moves further than the hold. */
		for (int pass = 0; pass < round % 4; pass++) {
			for (size_t i = 0; i + 1 < d->count; i += 2 + random_next(&seed) % 3) {
				struct tcp_segment segment = d->segment[i];
				enum side side = d->side[i];
				d->segment[i] = d->segment[i + 1];
				d->side[i] = d->side[i + 1];
				d->segment[i + 1] = segment;
				d->side[i + 1] = side;
			}
		}
		film_init(f, isn[0], isn[1], 1 << 20);
		f->pool.limits.hold_segments = 16;
		film_handshake(f);
		for (size_t i = 0; i < d->count; i++) {
			film_push(f, d->side[i], &d->segment[i]);
			if (random_next(&seed) % 4 == 0) {
				size_t again = i - random_next(&seed) % (i + 1 < 3 ? i + 1 : 3);
				film_push(f, d->side[again], &d->segment[again]);
			}
		}
		stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
		film_pull(f);
		turns_of(f->out, turns);
		cr_assert_str_eq(turns, d->expected, "round %d: %s\n%s", round, f->out,
				 d->expected);
		cr_assert_eq(f->delivered[0], d->len[0]);
		cr_assert_eq(f->delivered[1], d->len[1]);
		cr_assert_eq(film_end(f), 0);
	}
	free(d);
	free(f);
}

/* Every order of five segments of one side gives the same bytes. */
Test(stream, permutations)
{
	static const char bytes[] = "abcdefghijklmno";
	struct film *f = malloc(sizeof(*f));
	char turns[64];
	for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5; code++) {
		unsigned order[5];
		unsigned seen = 0;
		unsigned rest = code;
		for (unsigned i = 0; i < 5; i++, rest /= 5) {
			order[i] = rest % 5;
			seen |= 1U << order[i];
		}
		if (seen != 31)
			continue;
		film_init(f, film_bases[code % 4][0], film_bases[code % 4][1], 1 << 20);
		film_handshake(f);
		for (unsigned i = 0; i < 5; i++) {
			struct tcp_segment segment = {
			    .flags = TCP_ACK,
			    .seq = f->isn[0] + 1 + order[i] * 3,
			    .ack = f->isn[1] + 1,
			    .payload = span_of(bytes + order[i] * 3, 3),
			    .payload_len = 3,
			};
			film_push(f, SIDE_CLIENT, &segment);
		}
		turns_of(f->out, turns);
		cr_assert_str_eq(turns, "c:abcdefghijklmno");
		cr_assert_eq(film_end(f), 0);
	}
	free(f);
}

/* Whatever allocation fails: no crash, no leak, and every byte is delivered or a gap. */
Test(stream, budget_exhaustion)
{
	uint64_t seed = 0xbadcafe17ULL;
	struct film *f = malloc(sizeof(*f));
	struct dialogue *d = malloc(sizeof(*d));
	for (uint64_t fail = 1; fail < 60; fail++) {
		for (int persistent = 0; persistent < 2; persistent++) {
			const uint32_t *isn = film_bases[fail % 4];
			dialogue_make(d, &seed, isn, 8);
			for (size_t i = 0; i + 2 < d->count; i += 3) {
				struct tcp_segment segment = d->segment[i];
				enum side side = d->side[i];
				d->segment[i] = d->segment[i + 2];
				d->side[i] = d->side[i + 2];
				d->segment[i + 2] = segment;
				d->side[i + 2] = side;
			}
			film_init(f, isn[0], isn[1], persistent != 0 ? fail * 40 : 1 << 20);
			f->budget.fail_at = persistent != 0 ? 0 : fail;
			film_handshake(f);
			for (size_t i = 0; i < d->count; i++)
				film_push(f, d->side[i], &d->segment[i]);
			stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
			film_pull(f);
			for (int x = 0; x < 2; x++)
				cr_expect_eq(f->stream.side[x].offset, d->len[x],
					     "request %d (%d): %s\n%s", (int)fail, persistent,
					     f->out, d->expected);
			cr_assert_eq(film_end(f), 0);
		}
	}
	free(d);
	free(f);
}

/* Of all streams of a pool: what finds no room is not compared; what gives room back makes it. */
Test(stream, histories_share_a_cap)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 1000, 5000, 1 << 20);
	/* Room for one side's first history, not for the other's or for a larger one. */
	f->pool.limits.history_total = 200;
	film_run(f, FILM_HANDSHAKE "c A 1 1 abcdef\n"
				   "s A 1 7 ghijkl\n"
				   "c A 1 7 abXYef\n"
				   "s A 1 7 ghXYkl\n");
	cr_assert_str_eq(f->out, "c:abcdef s:ghijkl c!XY@2");
	cr_assert_gt(f->pool.counters.history_refused, 0);
	cr_assert_leq(f->pool.history_bytes, 200);
	/* Its own counter: the budget had room. */
	cr_assert_eq(f->budget.refused, 0);
	stream_history(&f->pool, &f->stream, SIDE_CLIENT, false);
	cr_assert_eq(f->pool.history_bytes, 0);
	f->len = 0;
	film_run(f, "s A 7 7 mnopqr\n"
		    "s A 7 7 mnXYqr\n");
	cr_assert_str_eq(f->out, "s:mnopqr s!XY@8");
	cr_assert_eq(film_end(f), 0);
	free(f);
}

/* A flood of one-byte segments beyond a hole stays within the caps and ends in a gap. */
Test(stream, one_byte_flood)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 1, 1, 1 << 20);
	film_handshake(f);
	struct stream_event event;
	uint64_t delivered = 0;
	uint64_t gaps = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		/* every other byte, from far to near, then near to far */
		uint32_t at = i < 10000 ? 20000 - 2 * i : 2 * (i - 10000) + 3;
		struct tcp_segment segment = {.flags = TCP_ACK,
					      .seq = 2 + at,
					      .ack = 2,
					      .payload = span_str("x"),
					      .payload_len = 1};
		stream_push(&f->pool, &f->stream, SIDE_CLIENT, &segment, i, i);
		while (stream_pull(&f->pool, &f->stream, &event)) {
			delivered += event.kind == STREAM_DATA ? event.bytes.len : 0;
			gaps += event.kind == STREAM_GAP;
		}
	}
	cr_expect_gt(delivered, 0);
	cr_expect_gt(gaps, 0);
	cr_expect_gt(f->pool.counters.cap_reached, 0);
	cr_expect_lt(f->budget.peak, 64 * 1024, "%zu", f->budget.peak);
	cr_assert_eq(film_end(f), 0);
	free(f);
}

/* Segments of random kinds: never a crash, a leak, an endless loop or an unaccounted byte. */
Test(stream, random_segments)
{
	uint64_t seed = 0xfeedface5ULL;
	static const char bytes[] =
	    "the quick brown fox jumps over the lazy dog and all the others";
	struct film *f = malloc(sizeof(*f));
	for (int round = 0; round < 4000; round++) {
		film_init(f, film_bases[round % 4][0], film_bases[round % 4][1],
			  1 << (10 + round % 8));
		f->budget.fail_at = round % 3 == 0 ? random_next(&seed) % 20 : 0;
		uint64_t data[2] = {0, 0};
		for (int i = 0; i < 60; i++) {
			enum side x = (enum side)(random_next(&seed) & 1);
			uint64_t dice = random_next(&seed);
			uint32_t len = (uint32_t)(random_next(&seed) % 30);
			struct tcp_segment segment = {
			    .flags = dice % 4 == 0 ? (uint8_t)(dice >> 8) & 0x3f : TCP_ACK,
			    .seq = f->isn[x] + (uint32_t)(random_next(&seed) % 120),
			    .ack = f->isn[1 - x] + (uint32_t)(random_next(&seed) % 120),
			    .payload = span_of(bytes, dice % 16 == 1 ? len / 2 : len),
			    .payload_len = len,
			};
			if (dice % 64 == 2)
				segment.seq += 0x40000000;
			struct stream_event event;
			f->now += (int64_t)(random_next(&seed) % 300) * FILM_MS;
			if (dice % 32 == 3)
				stream_skip(&f->stream, x, random_next(&seed) % 50);
			if (dice % 32 == 4)
				stream_history(&f->pool, &f->stream, x, (dice & 256) != 0);
			if (dice % 32 == 5)
				stream_tick(&f->pool, &f->stream, f->now);
			else if (i == 59)
				stream_finish(&f->pool, &f->stream, f->now, 0);
			else if (stream_fast(&f->stream, x, &segment) ||
				 stream_push(&f->pool, &f->stream, x, &segment, f->now, i + 1) ==
				     STREAM_NEW_CONNECTION)
				continue;
			for (int n = 0; stream_pull(&f->pool, &f->stream, &event); n++) {
				cr_assert_lt(n, 1000, "round %d does not end", round);
				if (event.kind == STREAM_DATA)
					data[event.side] += event.bytes.len;
			}
		}
		for (int x = 0; x < 2; x++)
			cr_assert_leq(data[x], f->stream.side[x].offset);
		cr_assert_eq(film_end(f), 0);
	}
	free(f);
}

/* When ticks come, and how many, changes nothing of what is told. */
/* Connections that go mostly in order: with the two shortcuts as without them. */
Test(stream, shortcuts_change_nothing)
{
	uint64_t seed = 0xabad1deaULL;
	static const char bytes[] = "every good boy deserves fudge and a further one";
	struct film *slow = malloc(sizeof(*slow)), *quick = malloc(sizeof(*quick));
	unsigned taken = 0;
	for (int round = 0; round < 3000; round++) {
		const uint32_t *isn = film_bases[round % 4];
		uint32_t next[2] = {isn[0] + 1, isn[1] + 1};
		film_init(slow, isn[0], isn[1], 1 << 20);
		film_init(quick, isn[0], isn[1], 1 << 20);
		quick->use_fast = true;
		if (round % 5 != 0) {
			film_handshake(slow);
			film_handshake(quick);
		}
		for (int i = 0; i < 80; i++) {
			enum side x = (enum side)(random_next(&seed) & 1);
			uint64_t dice = random_next(&seed);
			uint32_t len = (uint32_t)(random_next(&seed) % 30);
			struct tcp_segment segment = {
			    .flags = TCP_ACK,
			    .seq = next[x],
			    .ack = next[1 - x],
			    .payload = span_of(bytes + dice % 16, len),
			    .payload_len = len,
			};
			if (dice % 16 == 1)
				segment.seq += (uint32_t)(random_next(&seed) % 60) - 30;
			if (dice % 16 == 2)
				segment.ack += (uint32_t)(random_next(&seed) % 60) - 30;
			if (dice % 64 == 3)
				segment.payload.len /= 2;
			if (dice % 128 == 4)
				segment.flags |= (uint8_t)(1U << random_next(&seed) % 6);
			if (dice % 32 == 5) {
				uint64_t n = random_next(&seed) % 50;
				stream_skip(&slow->stream, x, n);
				stream_skip(&quick->stream, x, n);
			}
			if (dice % 64 == 6) {
				stream_history(&slow->pool, &slow->stream, x, false);
				stream_history(&quick->pool, &quick->stream, x, false);
			}
			if (dice % 16 != 7) /* otherwise it is repeated, with other bytes */
				next[x] = segment.seq + len;
			film_push(slow, x, &segment);
			film_push(quick, x, &segment);
			cr_assert_str_eq(slow->out, quick->out, "round %d, segment %d", round, i);
			slow->len = quick->len = 0;
			slow->out[0] = quick->out[0] = '\0';
		}
		cr_assert_eq(
		    memcmp(slow->stream.side, quick->stream.side, sizeof slow->stream.side), 0,
		    "round %d", round);
		cr_assert_eq(
		    memcmp(&slow->pool.counters, &quick->pool.counters, sizeof slow->pool.counters),
		    0, "round %d", round);
		taken += quick->in_order;
		cr_assert_eq(film_end(slow), 0);
		cr_assert_eq(film_end(quick), 0);
	}
	cr_expect_gt(taken, 20000, "%u", taken);
	free(slow);
	free(quick);
}

Test(stream, ticks_change_nothing)
{
	static const char bytes[] =
	    "the quick brown fox jumps over the lazy dog and all the others";
	struct film *f = malloc(sizeof(*f));
	char *first = malloc(sizeof(f->out));
	for (uint64_t round = 1; round <= 1500; round++) {
		for (int ticks = 0; ticks < 2; ticks++) {
			uint64_t seed = round * 0x9e3779b97f4a7c15ULL;
			uint64_t tick_seed = round;
			uint32_t sent[2] = {1, 1};
			film_init(f, film_bases[round % 4][0], film_bases[round % 4][1], 1 << 20);
			film_handshake(f);
			for (int i = 0; i < 40; i++) {
				enum side x = (enum side)(random_next(&seed) & 1);
				uint32_t len = (uint32_t)(random_next(&seed) % 8);
				uint64_t dice = random_next(&seed) % 8;
				struct tcp_segment segment = {
				    .flags = TCP_ACK,
				    .seq = f->isn[x] + sent[x],
				    .ack = f->isn[1 - x] + sent[1 - x],
				    .payload = span_of(bytes + i, len),
				    .payload_len = len,
				};
				int64_t gap = (int64_t)(random_next(&seed) % 600) * FILM_MS;
				sent[x] += len;
				for (int64_t n = 0; ticks != 0 && n < 3; n++) {
					int64_t at =
					    f->now +
					    (int64_t)(random_next(&tick_seed) % 200) * n * FILM_MS;
					if (at > f->now + gap)
						break;
					stream_tick(&f->pool, &f->stream, at);
					film_pull(f);
				}
				f->now += gap;
				if (dice != 0)
					film_push(f, x, &segment);
			}
			stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
			film_pull(f);
			if (ticks == 0)
				memcpy(first, f->out, sizeof(f->out));
			else
				cr_assert_str_eq(f->out, first, "round %d: %s\n%s", (int)round,
						 f->out, first);
			cr_assert_eq(film_end(f), 0);
		}
	}
	free(first);
	free(f);
}

/* A contradiction with a bad checksum is none, unless all of that host's are bad (offload). */
Test(stream, bad_checksum)
{
	static const uint8_t header[20 + 3] = {[12] = 0x50, [20] = 'a', 'X', 'c'};
	struct film *f = malloc(sizeof(*f));
	for (int offload = 0; offload < 2; offload++) {
		film_init(f, 100, 200, 1 << 20);
		film_handshake(f);
		struct tcp_segment segment = {
		    .src = {.addr = {.bytes = {10, 0, 0, 1}, .version = 4}, .port = 1025},
		    .dst = {.addr = {.bytes = {10, 0, 0, 2}, .version = 4}, .port = 25},
		    .flags = TCP_ACK,
		    .seq = 101,
		    .ack = 201,
		    .payload = span_str("abc"),
		    .payload_len = 3,
		};
		if (offload != 0)
			segment.checked = span_of(header, sizeof(header));
		film_push(f, SIDE_CLIENT, &segment);
		segment.checked = span_of(header, sizeof(header));
		segment.payload = span_of(header + 20, 3);
		film_push(f, SIDE_CLIENT, &segment);
		cr_expect_str_eq(f->out, offload != 0 ? "c:abc c!X@1" : "c:abc");
		cr_expect_eq(f->pool.counters.bad_checksum, offload != 0 ? 0 : 1);
		cr_expect_eq(f->pool.counters.checksum_offload, offload != 0 ? 1 : 0);
		cr_assert_eq(film_end(f), 0);
	}
	free(f);
}

/* The fast path takes what the shunt is for, and gives back what it was lent. */
Test(stream, fast_path)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 100, 200, 1 << 20);
	film_handshake(f);
	film_run(f, "skip c all\nskip s all\nc A 1 1 x\n");
	struct tcp_segment segment = {
	    .flags = TCP_ACK | TCP_PSH, .seq = 102, .ack = 201, .payload_len = 1400};
	cr_expect(stream_fast(&f->stream, SIDE_CLIENT, &segment));
	cr_expect_eq(f->stream.side[SIDE_CLIENT].offset, 1401);
	cr_expect_not(stream_fast(&f->stream, SIDE_CLIENT, &segment), "a retransmission");
	segment.seq += 1400;
	segment.flags |= TCP_FIN;
	cr_expect_not(stream_fast(&f->stream, SIDE_CLIENT, &segment), "a FIN");
	segment.flags = TCP_ACK;
	segment.ack = 202;
	cr_expect_not(stream_fast(&f->stream, SIDE_CLIENT, &segment), "bytes that were not seen");
	cr_expect_eq(f->budget.used, 0);
	cr_expect_leq(sizeof(struct stream), 64);
	cr_assert_eq(film_end(f), 0);
	free(f);
}

/* Skipped bytes out of order cost a range, not their bytes. */
Test(stream, skipped_ranges_are_small)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 100, 200, 4096);
	film_handshake(f);
	film_run(f, "skip c all\n");
	for (uint32_t i = 1; i < 5000; i++) {
		struct tcp_segment segment = {
		    .flags = TCP_ACK, .seq = 101 + i * 1000, .ack = 201, .payload_len = 1000};
		film_push(f, SIDE_CLIENT, &segment);
	}
	struct tcp_segment first = {.flags = TCP_ACK, .seq = 101, .ack = 201, .payload_len = 1000};
	film_push(f, SIDE_CLIENT, &first);
	cr_expect_eq(f->stream.side[SIDE_CLIENT].offset, 5000000);
	cr_expect_str_empty(f->out);
	cr_expect_eq(f->budget.used, 0);
	cr_assert_eq(film_end(f), 0);
	free(f);
}
