/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of a TLS conversation: a byte of side and kind, two of length, the bytes. */
#include "decoders/tls_handshake.h"

#include "decoders/ja3.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct budget budget;
	struct tls_conversation conversation;
	char text[JA3_TEXT_MAX];

	budget_init(&budget, 1U << 20);
	tls_conversation_init(&conversation);
	while (input.len > 0) {
		uint8_t how = fuzz_byte(&input);
		size_t len = fuzz_short(&input);
		enum side side = how & 1 ? SIDE_SERVER : SIDE_CLIENT;
		if ((how & 0x1e) == 0x1e) {
			tls_gap(&conversation, &budget, side, how & 32 ? 0 : len);
			continue;
		}
		if ((how & 0x1e) == 0x1c)
			tls_resume(&conversation, side);
		struct span bytes = fuzz_bytes(&input, len);
		while (bytes.len > 0) {
			struct tls_step step;
			uint64_t skip = tls_skippable(&conversation, side);
			if (how & 64 && skip > 0 && skip <= bytes.len) {
				tls_skipped(&conversation, side, skip);
				bytes = span_skip(bytes, (size_t)skip);
				continue;
			}
			tls_feed(&conversation, &budget, side, bytes, &step);
			FUZZ_REQUIRE(step.consumed <= bytes.len);
			if (step.kind == TLS_STEP_CLIENT_HELLO)
				(void)ja3_text(&step.hello, text, sizeof text);
			if (step.kind == TLS_STEP_SERVER_HELLO)
				(void)ja3s_text(&step.hello, text, sizeof text);
			if (step.consumed == 0)
				break; /* plaintext, or the side is not read any more */
			bytes = span_skip(bytes, step.consumed);
		}
	}
	const struct tls_view view = {
	    .client_visible = true, .server_visible = true, .closed = true};
	(void)tls_established(&conversation.facts, &view);
	tls_conversation_free(&conversation, &budget);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
