/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/html.h"

#include "alerts/untrusted.h"

void html_add(struct buffer *out, struct span text)
{
	size_t start = out->len;
	buffer_add_printable(out, text);
	if (out->failed)
		return;
	/* What was printed is in the buffer: make room for the entities from its end. */
	size_t len = out->len - start, extra = 0;
	for (size_t i = start; i < out->len; i++)
		extra += out->bytes[i] == '<' || out->bytes[i] == '>'    ? 3
			 : out->bytes[i] == '&'                          ? 4
			 : out->bytes[i] == '"' || out->bytes[i] == '\'' ? 4
									 : 0;
	if (extra == 0 || !buffer_reserve(out, extra))
		return;
	char *from = out->bytes + start + len, *to = from + extra;
	while (from > out->bytes + start) {
		char c = *--from;
		const char *entity = c == '<'    ? "&lt;"
				     : c == '>'  ? "&gt;"
				     : c == '&'  ? "&amp;"
				     : c == '"'  ? "&#34;"
				     : c == '\'' ? "&#39;"
						 : NULL;
		if (entity == NULL) {
			*--to = c;
			continue;
		}
		size_t size = strlen(entity);
		to -= size;
		memcpy(to, entity, size);
	}
	out->len += extra;
}

void html_add_string(struct buffer *out, const char *text)
{
	html_add(out, span_str(text));
}

void html_add_count(struct buffer *out, uint64_t value)
{
	if (value >= 1000) {
		html_add_count(out, value / 1000);
		buffer_add_text(out, "&#8239;");
		value %= 1000;
		buffer_add_char(out, (char)('0' + value / 100));
		buffer_add_char(out, (char)('0' + value / 10 % 10));
		value %= 10;
	}
	buffer_add_u64(out, value);
}

void html_add_duration(struct buffer *out, uint64_t seconds)
{
	static const struct {
		uint32_t seconds;
		const char *name;
	} units[] = {{86400, " days"}, {3600, " hours"}, {60, " minutes"}};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (seconds < 2 * (uint64_t)units[i].seconds)
			continue;
		buffer_add_text(out, "about ");
		html_add_count(out, (seconds + units[i].seconds / 2) / units[i].seconds);
		buffer_add_text(out, units[i].name);
		return;
	}
	html_add_count(out, seconds);
	buffer_add_text(out, seconds == 1 ? " second" : " seconds");
}
