/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of pcap and pcapng on any bytes. */
#include "sensor/capture_format.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture_format format;
	struct capture_step step;
	struct span input = span_of(data, size);

	capture_format_init(&format);
	while (capture_format_next(&format, input, &step) == PARSE_DONE) {
		FUZZ_REQUIRE(step.advance > 0);
		if (step.has_packet) {
			const struct capture_record *record = &step.record;
			FUZZ_REQUIRE(record->frame.len <= CAPTURE_FRAME_MAX);
			FUZZ_REQUIRE(record->frame.len <= record->len);
			FUZZ_REQUIRE(record->interface < format.interface_count);
			FUZZ_REQUIRE(
			    record->frame.len == 0 ||
			    (record->frame.ptr >= input.ptr &&
			     record->frame.ptr + record->frame.len <= input.ptr + input.len));
		}
		if (step.advance > input.len)
			break;
		input = span_skip(input, (size_t)step.advance);
	}
	capture_format_free(&format);
	return 0;
}
