/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/ja3.h"

/* ExtensionType (RFC 8422 5.1) */
enum { EXTENSION_SUPPORTED_GROUPS = 10, EXTENSION_POINT_FORMATS = 11 };

/* A text that grows up to its room; whatever does not fit sets full, for good. */
struct writer {
	char *text;
	size_t size, len;
	bool full;
};

static void put_char(struct writer *w, char c)
{
	if (w->len == w->size) {
		w->full = true;
		return;
	}
	w->text[w->len++] = c;
}

static void put_number(struct writer *w, uint16_t number)
{
	char digits[5];
	size_t n = 0;
	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	while (n > 0)
		put_char(w, digits[--n]);
}

/* One more number of a list; *first says whether it is the list's first. */
static void put_item(struct writer *w, uint16_t number, bool *first)
{
	if (!*first)
		put_char(w, '-');
	*first = false;
	put_number(w, number);
}

static void put_u16_list(struct writer *w, struct span list)
{
	struct cursor c = cursor_of(list);
	bool first = true;
	while (c.left >= 2) {
		uint16_t number = cursor_u16(&c);
		if (!tls_is_grease(number))
			put_item(w, number, &first);
	}
}

static void put_u8_list(struct writer *w, struct span list)
{
	struct cursor c = cursor_of(list);
	bool first = true;
	while (c.left > 0)
		put_item(w, cursor_u8(&c), &first);
}

/* Writes the types of the extensions and finds the two whose content counts. */
static void put_extensions(struct writer *w, struct span extensions, struct span *groups,
			   struct span *point_formats)
{
	struct cursor c = cursor_of(extensions);
	bool first = true;
	while (c.left > 0 && !c.failed) {
		uint16_t type = cursor_u16(&c);
		struct span body = cursor_take(&c, cursor_u16(&c));
		struct cursor field = cursor_of(body);
		if (c.failed)
			return;
		if (!tls_is_grease(type))
			put_item(w, type, &first);
		if (type == EXTENSION_SUPPORTED_GROUPS)
			*groups = cursor_take(&field, cursor_u16(&field));
		else if (type == EXTENSION_POINT_FORMATS)
			*point_formats = cursor_take(&field, cursor_u8(&field));
	}
}

size_t ja3_text(const struct tls_hello *hello, char *text, size_t size)
{
	struct writer w = {.text = text, .size = size};
	struct span groups = {.ptr = NULL, .len = 0}, point_formats = groups;
	if (hello->sslv2_format)
		return 0;
	put_number(&w, hello->legacy_version);
	put_char(&w, ',');
	put_u16_list(&w, hello->suites);
	put_char(&w, ',');
	put_extensions(&w, hello->extensions, &groups, &point_formats);
	put_char(&w, ',');
	put_u16_list(&w, groups);
	put_char(&w, ',');
	put_u8_list(&w, point_formats);
	return w.full ? 0 : w.len;
}

size_t ja3s_text(const struct tls_hello *hello, char *text, size_t size)
{
	struct writer w = {.text = text, .size = size};
	struct span groups = {.ptr = NULL, .len = 0}, point_formats = groups;
	if (hello->sslv2_format)
		return 0;
	put_number(&w, hello->legacy_version);
	put_char(&w, ',');
	put_number(&w, hello->suite);
	put_char(&w, ',');
	put_extensions(&w, hello->extensions, &groups, &point_formats);
	return w.full ? 0 : w.len;
}
