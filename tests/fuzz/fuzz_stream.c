/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly, structure-aware: the input is a list of segments around the place
 * where each side stands. Whatever comes, the offsets of a side's events go on
 * without a break, and all memory is given back.
 */
#include "decoders/stream.h"
#include "tests/fuzz/fuzz.h"

struct follower {
	uint64_t next[2];
	uint64_t reopened[2];
};

static void follow(struct follower *f, const struct stream_event *event, uint64_t reopened)
{
	enum side side = event->side;

	if (event->kind != STREAM_DATA && event->kind != STREAM_GAP)
		return;
	/* A gap whose bytes came after all is the one way back. */
	if (f->reopened[side] == reopened)
		FUZZ_REQUIRE(event->offset >= f->next[side]);
	f->reopened[side] = reopened;
	if (event->kind == STREAM_DATA) {
		uint8_t sum = 0;
		FUZZ_REQUIRE(event->bytes.len > 0);
		for (size_t i = 0; i < event->bytes.len; i++)
			sum ^= event->bytes.ptr[i]; /* every byte may be read */
		f->next[side] = event->offset + event->bytes.len + (sum & 0);
	} else {
		f->next[side] = event->offset + event->gap_len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t content[4096] = {'2', '5', '0'};
	struct span input = span_of(data, size);
	struct budget budget;
	struct stream_pool pool;
	struct stream stream;
	struct stream_event event;
	struct follower follower = {.next = {0, 0}};
	const struct stream_limits limits = {
	    .max_out_of_order = 1U << 14,
	    .max_held = 1U << 13,
	    .max_chunks = 16,
	    .hold_segments = 16,
	    .hold_ns = 1000000000,
	    .loss_ns = 120000000000,
	    .history = 1U << 10,
	    .history_total = 8U << 10,
	};
	uint32_t at[2] = {fuzz_short(&input), (uint32_t)0 - fuzz_byte(&input)};
	uint8_t changed[4096];
	int64_t time_ns = 0;
	uint64_t ordinal = 0;

	for (size_t i = 0; i < sizeof changed; i++)
		changed[i] = (uint8_t)~content[i];
	budget_init(&budget, 1U << 18);
	stream_pool_init(&pool, &limits, &budget);
	stream_init(&stream);
	while (input.len > 0) {
		uint8_t how = fuzz_byte(&input);
		enum side side = how & 1 ? SIDE_SERVER : SIDE_CLIENT;
		uint8_t flags = fuzz_byte(&input);
		int8_t seq_off = (int8_t)fuzz_byte(&input);
		int8_t ack_off = (int8_t)fuzz_byte(&input);
		uint32_t len = how & 2 ? fuzz_byte(&input) : fuzz_short(&input) & 1023U;
		uint32_t seq = at[side] + (uint32_t)(int32_t)seq_off * (how & 4 ? 1U : 64U);
		uint32_t cut = how & 8 ? len / 2 : 0;
		struct tcp_segment segment = {
		    .seq = seq,
		    .ack = at[1 - side] + (uint32_t)(int32_t)ack_off * (how & 16 ? 0U : 1U),
		    .flags = flags,
		    .payload = span_of(how & 32 ? changed : content, len - cut),
		    .payload_len = len,
		};
		time_ns += (int64_t)(how >> 6) * 400000000;
		ordinal++;
		if (stream_push(&pool, &stream, side, &segment, time_ns, ordinal) ==
		    STREAM_NEW_CONNECTION) {
			stream_finish(&pool, &stream, time_ns, ordinal);
			while (stream_pull(&pool, &stream, &event))
				follow(&follower, &event, pool.counters.reopened);
			stream_free(&pool, &stream);
			stream_init(&stream);
			follower = (struct follower){
			    .reopened = {pool.counters.reopened, pool.counters.reopened}};
			continue;
		}
		while (stream_pull(&pool, &stream, &event)) {
			follow(&follower, &event, pool.counters.reopened);
			if (event.kind == STREAM_DATA && event.bytes.len % 7 == 3)
				stream_skip(&stream, event.side, event.bytes.len % 5 * 50);
			if (event.kind == STREAM_DATA && event.bytes.len % 31 == 5)
				stream_history(&pool, &stream, event.side,
					       event.bytes.len % 2 == 0);
		}
		if ((int32_t)(seq + len - at[side]) > 0)
			at[side] = seq + len;
	}
	stream_finish(&pool, &stream, time_ns, ordinal);
	while (stream_pull(&pool, &stream, &event))
		follow(&follower, &event, pool.counters.reopened);
	stream_free(&pool, &stream);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
