/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides of a session. The input is text with instructions: a byte of side and
 * kind, a byte of length, then the bytes.
 */
#include "decoders/smtp_session.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct budget budget;
	struct dialogue_ring ring;
	struct smtp_found found = {.chain = NULL};
	struct smtp_session session;
	const struct redaction redaction = {.show_addresses = false};
	uint64_t skip[2] = {0, 0};
	uint8_t first = fuzz_byte(&input);

	budget_init(&budget, 1U << 20);
	dialogue_ring_init(&ring, &budget, 4096);
	size_t used = budget.used;
	const struct smtp_context context = {
	    .budget = &budget, .dialogues = &ring, .redaction = &redaction, .found = &found};
	if (!smtp_session_init(&session, &context))
		abort();
	smtp_session_side(&session, SIDE_CLIENT, (first & 1) == 0, (first & 2) == 0);
	smtp_session_side(&session, SIDE_SERVER, (first & 4) == 0, (first & 8) == 0);
	if (first & 16)
		budget.fail_at = (first >> 5) + 1U;
	while (input.len > 0) {
		uint8_t how = fuzz_byte(&input);
		size_t len = fuzz_byte(&input);
		struct stream_event event = {.kind = STREAM_DATA,
					     .side = how & 1 ? SIDE_SERVER : SIDE_CLIENT};
		if ((how >> 1 & 7) == 7)
			event.kind = STREAM_GAP;
		else if ((how >> 1 & 31) == 6)
			event.kind = STREAM_CONFLICT;
		event.gap_len = len;
		if (event.kind != STREAM_GAP) {
			event.bytes = fuzz_bytes(&input, len);
			if (event.bytes.len == 0)
				continue;
		}
		if (event.kind == STREAM_DATA && skip[event.side] > 0) {
			size_t n = skip[event.side] < event.bytes.len ? (size_t)skip[event.side]
								      : event.bytes.len;
			event.bytes = span_skip(event.bytes, n);
			skip[event.side] -= n;
			if (event.bytes.len == 0)
				continue;
		}
		enum session_outcome outcome;
		smtp_session_event(&session, &context, &event);
		budget_free(&budget, found.chain, found.chain_size);
		found = (struct smtp_found){.chain = NULL};
		if (event.kind != STREAM_CONFLICT) {
			uint64_t n = smtp_session_skippable(&session, event.side);
			skip[event.side] = n;
		}
		smtp_session_settle(&session);
		outcome = session.facts.outcome;
		FUZZ_REQUIRE(outcome < OUTCOME_COUNT);
		FUZZ_REQUIRE(session.facts.accepted == 0 || session.facts.spoke_smtp ||
			     (first & 15) != 0 ||
			     session.facts.gaps[0] + session.facts.gaps[1] > 0);
	}
	smtp_session_close(&session, &context, first & 32 ? CLOSED_BY_FIN : CLOSED_BY_EOF);
	smtp_session_free(&session, &context);
	FUZZ_REQUIRE(budget.used == used);
	dialogue_ring_free(&ring, &budget);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
