/* SPDX-License-Identifier: Apache-2.0 */
/* What another sensor says of a server: read, merged, written; what was written is read again. */
#include "alerts/baseline_wire.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct span write(struct buffer *buffer, const struct server_memory *server)
{
	buffer_clear(buffer);
	struct json json = json_into(buffer, false);
	baseline_wire_write(&json, server);
	FUZZ_REQUIRE(!buffer->failed);
	return buffer_span(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct endpoint endpoint = {.addr = {.version = 4, .bytes = {192, 0, 2, 25}},
					  .port = 25};
	struct server_memory first = {.endpoint = endpoint}, again = first, sum = first;
	struct buffer one, two;
	struct budget budget;

	budget_init(&budget, 1U << 20);
	buffer_init(&one, &budget, BASELINE_WIRE_MAX);
	buffer_init(&two, &budget, BASELINE_WIRE_MAX);
	if (baseline_wire_read(span_of(data, size), &first)) {
		struct span text = write(&one, &first);
		FUZZ_REQUIRE(baseline_wire_read(text, &again));
		FUZZ_REQUIRE(span_equal(text, write(&two, &again)));
		/* Whatever others say, what comes of it can be told on. */
		server_memory_merge(&sum, &first);
		server_memory_merge(&sum, &again);
		FUZZ_REQUIRE(baseline_wire_read(write(&one, &sum), &again));
	}
	buffer_free(&one);
	buffer_free(&two);
	FUZZ_REQUIRE(budget.used == 0);
	return 0;
}
