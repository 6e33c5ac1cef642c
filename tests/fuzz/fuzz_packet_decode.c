/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of any link type, down to the TCP segment: two bytes of link type, one of
 * check sequence and time, two of length, then the frame; again to the end.
 */
#include "decoders/link.h"
#include "decoders/packet.h"
#include "tests/fuzz/fuzz.h"

/* The parts of an aggregate lie in the frame, one behind the other. */
static void take_apart(uint32_t link_type, unsigned fcs_len, struct span frame, uint32_t wire)
{
	struct layer aggregate;
	struct span part;
	uint32_t part_wire;
	const uint8_t *end = frame.ptr;

	if (!link_aggregate(link_type, fcs_len, frame, wire, &aggregate))
		return;
	while (link_aggregate_next(&aggregate, &part, &part_wire)) {
		FUZZ_REQUIRE(part.len <= part_wire && part.ptr >= end &&
			     part.ptr + part.len <= frame.ptr + frame.len);
		end = part.ptr + part.len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct budget budget;
	struct packet_decoder decoder;
	const struct siphash_key key = {1, 2};
	const struct packet_limits limits = {
	    .max_layers = 16,
	    .frag = {.max_datagrams = 8, .max_bytes = 1U << 18, .max_age_ns = 30000000000},
	};
	int64_t time_ns = 0;

	budget_init(&budget, 1U << 20);
	if (!packet_decoder_init(&decoder, &limits, &key, &budget))
		return 0;
	while (input.len > 0) {
		struct tcp_segment segment;
		uint32_t link_type = fuzz_short(&input);
		uint8_t how = fuzz_byte(&input);
		size_t len = fuzz_short(&input);
		time_ns += (int64_t)(how >> 4) * 1000000000;
		struct span frame = fuzz_bytes(&input, len);
		uint32_t wire = (uint32_t)frame.len + (how & 8 ? 100 : 0);
		take_apart(link_type, how & 7, frame, wire);
		if (packet_decode(&decoder, link_type, how & 7, how >> 7, time_ns, frame, wire,
				  &segment) != PACKET_TCP)
			continue;
		FUZZ_REQUIRE(segment.payload.len <= segment.payload_len);
		(void)tcp_checksum_ok(&segment);
	}
	packet_decoder_free(&decoder);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
