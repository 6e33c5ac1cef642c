/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/json.h"

#include <criterion/criterion.h>

#define LEN_MAX 20

static bool is_printable(unsigned byte)
{
	return byte >= 0x20 && byte < 0x7f;
}

/* One byte of any value, at any place in a text of any length: what is looked at in words. */
Test(json, a_byte_that_needs_an_escape_is_found_everywhere)
{
	struct budget budget;
	struct buffer out;
	budget_init(&budget, 1U << 16);
	buffer_init(&out, &budget, 4096);
	for (size_t len = 1; len <= LEN_MAX; len++) {
		for (size_t at = 0; at < len; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				uint8_t text[LEN_MAX];
				memset(text, 'x', sizeof text);
				text[at] = (uint8_t)byte;
				buffer_clear(&out);
				struct json json = json_into(&out, false);
				json_text(&json, NULL, span_of(text, len));
				struct span written = buffer_span(&out);

				cr_assert_eq(written.ptr[0], '"');
				cr_assert_eq(written.ptr[written.len - 1], '"');
				cr_assert_eq(memcmp(written.ptr + 1, text, at), 0);
				cr_assert_eq(memcmp(written.ptr + written.len - (len - at),
						    text + at + 1, len - at - 1),
					     0);
				const uint8_t *value = written.ptr + 1 + at;
				size_t value_len = written.len - 2 - (len - 1);
				if (byte == '"' || byte == '\\')
					cr_assert(value_len == 2 && value[0] == '\\' &&
						  value[1] == byte);
				else if (is_printable(byte))
					cr_assert(value_len == 1 && value[0] == byte);
				else
					cr_assert(value_len > 1, "%zu of %zu: %u", at, len, byte);
			}
		}
	}
	buffer_free(&out);
}
