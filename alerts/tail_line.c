/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/tail_line.h"

#include "alerts/json_read.h"
#include "alerts/rules.h"
#include "alerts/untrusted.h"

#include <stdio.h>

#define NAME_MAX_BYTES 64 /* of a server's name, as it claims it */

#define BOLD           "\x1b[1m"
#define RESET          "\x1b[0m"

static void add_severity(struct buffer *out, struct span word, bool colours)
{
	static const char *const words[SEVERITY_COUNT] = {"LOW     ", "MEDIUM  ", "HIGH    ",
							  "CRITICAL"};
	static const char *const paints[SEVERITY_COUNT] = {"\x1b[36m", "\x1b[33m", "\x1b[31m",
							   "\x1b[1;37;41m"};
	enum severity severity;

	if (!severity_by_word(word, &severity)) {
		buffer_add_text(out, "?       ");
		return;
	}
	if (colours)
		buffer_add_text(out, paints[severity]);
	buffer_add_text(out, words[severity]);
	if (colours)
		buffer_add_text(out, RESET);
}

/* "2026-01-31T12:00:00.123456Z" as "2026-01-31 12:00:00"; anything else as it is, cut. */
static void add_time(struct buffer *out, struct span time)
{
	buffer_add_printable(out, span_head(time, 10));
	if (time.len > 11) {
		buffer_add_char(out, ' ');
		buffer_add_printable(out, span_head(span_skip(time, 11), 8));
	}
	buffer_add_char(out, ' ');
}

static void add_endpoint(struct buffer *out, const struct json_document *document, const char *ip,
			 const char *port)
{
	struct span address = json_read_text(document, ip);
	bool v6 = address.len > 0 && memchr(address.ptr, ':', address.len) != NULL;
	int64_t number;

	if (port != NULL && v6)
		buffer_add_char(out, '[');
	buffer_add_printable(out, address);
	if (port != NULL && v6)
		buffer_add_char(out, ']');
	if (port != NULL && json_read_integer(document, port, &number)) {
		buffer_add_char(out, ':');
		buffer_add_i64(out, number);
	}
}

static void add_route(struct buffer *out, const struct json_document *document)
{
	struct span name = json_read_text(document, "smtp.server_name");

	if (json_read_text(document, "source.ip").len > 0) {
		add_endpoint(out, document, "source.ip", NULL);
		buffer_add_text(out, " -> ");
	}
	if (json_read_text(document, "destination.ip").len > 0) {
		add_endpoint(out, document, "destination.ip", "destination.port");
		buffer_add_char(out, ' ');
	}
	if (name.len > 0) {
		buffer_add_char(out, '(');
		buffer_add_printable(out, span_head(name, NAME_MAX_BYTES));
		buffer_add_text(out, ") ");
	}
}

void tail_line(struct buffer *out, const struct tail_entry *entry, bool colours)
{
	struct json_document *document = json_read(entry->json);
	int64_t count = 0;

	if (document != NULL)
		add_time(out, json_read_text(document, "@timestamp"));
	add_severity(out, entry->severity, colours);
	buffer_add_char(out, ' ');
	if (document != NULL)
		add_route(out, document);
	if (colours)
		buffer_add_text(out, BOLD);
	buffer_add_printable(out, entry->rule);
	if (colours)
		buffer_add_text(out, RESET);
	buffer_add_text(out, ": ");
	if (document != NULL) {
		buffer_add_printable(out, json_read_text(document, "message"));
		if (json_read_integer(document, "stripwatch.count", &count) && count > 1) {
			buffer_add_text(out, " [");
			buffer_add_i64(out, count);
			buffer_add_text(out, " sessions]");
		}
	} else {
		buffer_add_text(out, "the document cannot be read, id ");
		buffer_add_printable(out, entry->id);
	}
	json_document_free(document);
}

static void add_escape(struct buffer *out, uint32_t unit)
{
	char text[8];

	(void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)(unit & 0xffff));
	buffer_add_text(out, text);
}

bool tail_json(struct buffer *out, const struct tail_entry *entry)
{
	struct json_document *document = json_read(entry->json);

	if (document == NULL)
		return false;
	json_document_free(document);
	/* Well-formed JSON has control characters between tokens only, others in strings only. */
	struct cursor text = cursor_of(entry->json);
	while (text.left > 0) {
		const uint8_t *start = text.ptr;
		uint32_t character = utf8_next(&text);
		if (character < 0x20) {
			buffer_add_char(out, ' ');
		} else if (!character_is_hostile(character)) {
			buffer_add(out, start, (size_t)(text.ptr - start));
		} else if (character > 0xffff) {
			add_escape(out, 0xd800 + ((character - 0x10000) >> 10));
			add_escape(out, 0xdc00 + ((character - 0x10000) & 0x3ff));
		} else {
			add_escape(out, character);
		}
	}
	return true;
}
