/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/span.h"

#include <criterion/criterion.h>

Test(span, parts)
{
	struct span s = span_str("abcdef");
	cr_expect(span_equal(span_head(s, 2), span_str("ab")));
	cr_expect(span_equal(span_head(s, 9), s));
	cr_expect(span_equal(span_skip(s, 4), span_str("ef")));
	cr_expect_eq(span_skip(s, 6).len, 0);
	cr_expect_eq(span_skip(s, 7).len, 0);
	cr_expect_eq(span_skip(s, SIZE_MAX).len, 0);
}

Test(span, equality)
{
	struct span none = {.ptr = NULL, .len = 0};
	cr_expect(span_equal(none, span_str("")));
	cr_expect_not(span_equal(span_str("a"), span_str("ab")));
	cr_expect_not(span_equal(span_str("a"), span_str("A")));
	cr_expect(span_equal_nocase(span_str("StartTLS"), span_str("STARTTLS")));
	cr_expect_not(span_equal_nocase(span_str("STARTTLSX"), span_str("STARTTLS")));
	/* Letters only: '@' and '`', '[' and '{' differ in the same bit as 'A' and 'a'. */
	cr_expect_not(span_equal_nocase(span_str("@["), span_str("`{")));
}

Test(span, numbers)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	struct cursor c = cursor_of(span_of(bytes, sizeof bytes));
	cr_expect_eq(cursor_u8(&c), 1);
	cr_expect_eq(cursor_u16(&c), 0x0203);
	cr_expect_eq(cursor_u24(&c), 0x040506);
	cr_expect_eq(cursor_u32(&c), 0x0708090a);
	cr_expect_not(c.failed);
	cr_expect_eq(c.left, 0);

	c = cursor_of(span_of(bytes, sizeof bytes));
	cr_expect_eq(cursor_u16le(&c), 0x0201);
	cr_expect_eq(cursor_u32le(&c), 0x06050403);
	cr_expect_eq(bytes_u16(bytes + 1), 0x0203);
	cr_expect_eq(bytes_u32(bytes + 1), 0x02030405);

	static const uint8_t high[] = {0xff, 0xfe, 0xfd, 0xfc};
	cr_expect_eq(bytes_u32(high), 0xfffefdfc);
	c = cursor_of(span_of(high, sizeof high));
	cr_expect_eq(cursor_u32le(&c), 0xfcfdfeff);
}

Test(span, the_error_sticks)
{
	static const uint8_t bytes[] = {1, 2, 3};
	struct cursor c = cursor_of(span_of(bytes, sizeof bytes));
	cr_expect_eq(cursor_u32(&c), 0);
	cr_expect(c.failed);
	cr_expect_eq(cursor_u8(&c), 0, "although there would be a byte");
	cr_expect_eq(cursor_rest(&c).len, 0);
	cr_expect_eq(cursor_take(&c, 0).len, 0);
	cr_expect(c.failed);
}

Test(span, sub_cursor)
{
	static const uint8_t bytes[] = {1, 2, 3, 4};
	struct cursor c = cursor_of(span_of(bytes, sizeof bytes));
	struct cursor sub = cursor_sub(&c, 3);
	cr_expect_eq(cursor_u16(&sub), 0x0102);
	cr_expect_eq(cursor_u16(&sub), 0, "ends before the outer one");
	cr_expect(sub.failed);
	cr_expect_not(c.failed);
	cr_expect_eq(cursor_u8(&c), 4);
	sub = cursor_sub(&c, 1);
	cr_expect(sub.failed && c.failed);
}

Test(span, nothing_is_taken_from_nothing)
{
	struct cursor c = cursor_of((struct span){.ptr = NULL, .len = 0});
	cr_expect_eq(cursor_take(&c, 0).len, 0);
	cr_expect_not(c.failed);
	cr_expect_eq(cursor_take(&c, SIZE_MAX).len, 0);
	cr_expect(c.failed);
}
