/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/untrusted.h"

/* Reads a continuation byte within lo..hi; 0 when the next is none. */
static uint32_t continuation(struct cursor *text, uint8_t lo, uint8_t hi)
{
	if (text->left == 0 || text->ptr[0] < lo || text->ptr[0] > hi)
		return 0;
	return cursor_u8(text);
}

uint32_t utf8_next(struct cursor *text)
{
	uint8_t first = cursor_u8(text);
	if (first < 0x80)
		return first;
	if (first < 0xc2 || first > 0xf4)
		return UTF8_REPLACEMENT;

	uint8_t lo = 0x80, hi = 0xbf; /* of the second byte: no overlong form, no surrogate */
	if (first == 0xe0)
		lo = 0xa0;
	else if (first == 0xed)
		hi = 0x9f;
	else if (first == 0xf0)
		lo = 0x90;
	else if (first == 0xf4)
		hi = 0x8f;
	unsigned more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
	uint32_t character = first & (0x3fU >> more);
	for (unsigned i = 0; i < more; i++) {
		uint32_t byte = continuation(text, i == 0 ? lo : 0x80, i == 0 ? hi : 0xbf);
		if (byte == 0)
			return UTF8_REPLACEMENT;
		character = character << 6 | (byte & 0x3f);
	}
	return character;
}

bool character_is_hostile(uint32_t character)
{
	if (character < 0x20 || (character >= 0x7f && character <= 0x9f))
		return true;
	if (character < 0x200b)
		return character == 0xad || character == 0x61c;
	return (character >= 0x200b && character <= 0x200f) || /* zero width, direction marks */
	       (character >= 0x2028 && character <= 0x202e) || /* line ends, embeddings */
	       (character >= 0x2060 && character <= 0x206f) || /* isolates, invisible operators */
	       character == 0xfeff || (character >= 0xfff9 && character <= 0xfffb) ||
	       (character >= 0xe0000 && character <= 0xe007f); /* tags */
}

/* atext of RFC 5322 3.2.3, the dot, and whatever is not ASCII (RFC 6532). */
static bool is_local_byte(uint8_t c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80)
		return true;
	return c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL;
}

/* Where the local part that ends before bytes[at] begins; at when there is none. */
static size_t local_part_start(const uint8_t *bytes, size_t at)
{
	size_t start = at;
	if (at > 0 && bytes[at - 1] == '"') {
		/* A quoted string; without its beginning all of the text is taken for it. */
		for (start = at - 1; start > 0; start--)
			if (bytes[start - 1] == '"' && (start < 2 || bytes[start - 2] != '\\'))
				return start - 1;
		return 0;
	}
	while (start > 0 && is_local_byte(bytes[start - 1]))
		start--;
	return start;
}

static const char REDACTED[] = "[redacted]";

bool address_next_piece(struct span *rest, struct span *piece)
{
	if (rest->len == 0)
		return false;
	const uint8_t *at = rest->ptr[0] == '@' ? NULL : memchr(rest->ptr, '@', rest->len);
	if (at == NULL) {
		/* Behind a local part: the '@' and everything up to the next local part. */
		struct span behind = span_skip(*rest, 1);
		const uint8_t *next = rest->ptr[0] == '@' && behind.len > 0
					  ? memchr(behind.ptr, '@', behind.len)
					  : NULL;
		size_t len = rest->len;
		if (next != NULL)
			len = 1 + local_part_start(behind.ptr, (size_t)(next - behind.ptr));
		*piece = span_head(*rest, len);
		*rest = span_skip(*rest, len);
		return true;
	}
	size_t end = (size_t)(at - rest->ptr);
	size_t start = local_part_start(rest->ptr, end);
	if (start > 0) {
		/* What stands before; "[redacted]" itself has no local part before its '@'. */
		*piece = span_head(*rest, start);
		*rest = span_skip(*rest, start);
		return true;
	}
	*piece = span_of(REDACTED, sizeof REDACTED - 1);
	*rest = span_skip(*rest, end);
	return true;
}

void buffer_add_printable(struct buffer *buffer, struct span text)
{
	static const char digits[] = "0123456789abcdef";
	struct cursor in = cursor_of(text);
	while (in.left > 0) {
		const uint8_t *start = in.ptr;
		uint32_t character = utf8_next(&in);
		if (character == UTF8_REPLACEMENT) {
			buffer_add(buffer, "\xef\xbf\xbd", 3);
		} else if (!character_is_hostile(character)) {
			buffer_add(buffer, start, (size_t)(in.ptr - start));
		} else if (character < 0x100) {
			char escape[4] = {'\\', 'x', digits[character >> 4],
					  digits[character & 0xf]};
			buffer_add(buffer, escape, sizeof escape);
		} else {
			buffer_add(buffer, "\\u{", 3);
			bool started = false;
			for (int shift = 20; shift >= 0; shift -= 4) {
				unsigned digit = character >> shift & 0xf;
				started = started || digit != 0 || shift == 0;
				if (started)
					buffer_add_char(buffer, digits[digit]);
			}
			buffer_add_char(buffer, '}');
		}
	}
}
