/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence: a byte for the length of the dialogue, the dialogue, then packets: a byte of side and
 * kind, two of length, the payload. Each packet is one of text or TLS in IPv4 and TCP. What
 * comes out is whole, and shows of a text only what the dialogue shows.
 */
#include "sensor/evidence.h"

#include "decoders/packet.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define HEADERS     40U
#define PAYLOAD_MAX 1400U
#define LINK_RAW    101U

static void put_headers(uint8_t frame[HEADERS], enum side side, uint32_t seq, size_t payload)
{
	static const uint8_t start[HEADERS] = {
	    0x45, 0,    0, 0,  0, 0, 0, 0, 64, 6, 0, 0, 192,  0,    2,    1,    198, 51, 100, 25,
	    0x9c, 0x40, 0, 25, 0, 0, 0, 0, 0,  0, 0, 0, 0x50, 0x18, 0xff, 0xff, 0,   0,  0,   0};
	size_t total = HEADERS + payload;

	memcpy(frame, start, HEADERS);
	frame[2] = (uint8_t)(total >> 8);
	frame[3] = (uint8_t)total;
	if (side == SIDE_SERVER) {
		memcpy(frame + 12, start + 16, 4);
		memcpy(frame + 16, start + 12, 4);
		memcpy(frame + 20, start + 22, 2);
		memcpy(frame + 22, start + 20, 2);
	}
	for (unsigned i = 0; i < 4; i++)
		frame[24 + i] = (uint8_t)(seq >> (24 - 8 * i));
}

/* The bytes of a text payload that survived stand in the dialogue, or are the 'x' of redaction. */
static void check_text(struct span payload, struct span dialogue)
{
	for (size_t i = 0; i < payload.len; i++) {
		uint8_t c = payload.ptr[i];
		if (c != 'x' && c != '\r' && c != '\n')
			FUZZ_REQUIRE(memchr(dialogue.ptr, c, dialogue.len) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[16384];
	struct span input = span_of(data, size);
	struct evidence_trail trail = {.last = 0};
	struct evidence_ring ring;
	struct packet_decoder decoder;
	struct budget budget;
	const struct siphash_key key = {1, 2};
	const struct packet_limits limits = {
	    .max_layers = 16,
	    .frag = {.max_datagrams = 2, .max_bytes = 1U << 16, .max_age_ns = 30000000000}};
	uint32_t seq[2] = {1, 1};
	bool text_only = true;
	struct span dialogue = fuzz_bytes(&input, fuzz_byte(&input));

	budget_init(&budget, 1U << 20);
	if (!packet_decoder_init(&decoder, &limits, &key, &budget))
		return 0;
	evidence_ring_init(&ring, &budget, 8192);
	while (input.len > 0) {
		uint8_t frame[HEADERS + PAYLOAD_MAX];
		struct tcp_segment segment;
		uint8_t how = fuzz_byte(&input);
		struct span payload = fuzz_bytes(&input, fuzz_short(&input) % PAYLOAD_MAX);
		enum side side = how & 1 ? SIDE_SERVER : SIDE_CLIENT;
		struct span bytes = span_of(frame, HEADERS + payload.len);

		put_headers(frame, side, seq[side], payload.len);
		if (payload.len > 0)
			memcpy(frame + HEADERS, payload.ptr, payload.len);
		seq[side] += (uint32_t)payload.len + (how & 4 ? 7U : 0U);
		text_only = text_only && (how & 2) == 0;
		if (packet_decode(&decoder, LINK_RAW, 0, 0, 0, bytes, (uint32_t)bytes.len,
				  &segment) != PACKET_TCP)
			continue;
		const struct evidence_packet packet = {
		    .frame = bytes,
		    .wire_len = (uint32_t)bytes.len,
		    .link_type = LINK_RAW,
		    .segment = &segment,
		    .side = side,
		    .payload = how & 2 ? EVIDENCE_TLS : EVIDENCE_TEXT,
		};
		evidence_keep(&ring, &trail, &packet);
	}
	size_t cap = sizeof out - (size & 1023);
	struct span rest = span_of(out, evidence_collect(&ring, &trail, dialogue, out, cap));
	FUZZ_REQUIRE(rest.len <= cap);
	while (rest.len > 0) {
		struct evidence_frame header;
		FUZZ_REQUIRE(rest.len >= sizeof header);
		memcpy(&header, rest.ptr, sizeof header);
		rest = span_skip(rest, sizeof header);
		FUZZ_REQUIRE(header.captured_len >= HEADERS && header.captured_len <= rest.len);
		if (text_only)
			check_text(span_of(rest.ptr + HEADERS, header.captured_len - HEADERS),
				   dialogue);
		rest = span_skip(rest, header.captured_len);
	}
	evidence_ring_free(&ring, &budget);
	packet_decoder_free(&decoder);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
