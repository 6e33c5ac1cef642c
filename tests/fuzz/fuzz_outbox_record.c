/* SPDX-License-Identifier: Apache-2.0 */
/* A segment of the outbox after a crash: header, then records, from damage to the next whole one.
 */
#include "alerts/outbox_record.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size);
	struct outbox_segment_header header;
	struct outbox_record record;
	size_t length;

	(void)outbox_segment_header_decode(rest, &header);
	while (rest.len > 0) {
		if (outbox_record_decode(rest, &record, &length) != PARSE_DONE) {
			rest = span_skip(rest, 1);
			continue;
		}
		FUZZ_REQUIRE(length > 0 && length <= rest.len);
		FUZZ_REQUIRE(outbox_record_size(&record) == length);
		uint8_t *again = malloc(length);
		if (again != NULL) {
			FUZZ_REQUIRE(outbox_record_encode(&record, again) == length);
			FUZZ_REQUIRE(memcmp(again, rest.ptr, length) == 0);
		}
		free(again);
		rest = span_skip(rest, length);
	}
	(void)outbox_record_decode(span_of(data, size), &record, &length);
	return 0;
}
