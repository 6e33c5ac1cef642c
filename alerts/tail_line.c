/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/tail_line.h"

#include "alerts/json_read.h"
#include "alerts/rules.h"
#include "alerts/untrusted.h"

#include <stdio.h>
#include <time.h>

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

/* Where each form of alert has what a line tells. NULL: nowhere. */
struct paths {
	const char *time;    /* a text in RFC 3339 */
	const char *time_ms; /* or a number, since 1970 */
	const char *client, *server, *server_port, *server_name;
	const char *message, *count;
};

static const struct paths ecs_paths = {
    .time = "@timestamp",
    .client = "source.ip",
    .server = "destination.ip",
    .server_port = "destination.port",
    .server_name = "smtp.server_name",
    .message = "message",
    .count = "stripwatch.count",
};

static const struct paths eve_paths = {
    .time = "timestamp",
    .client = "src_ip",
    .server = "dest_ip",
    .server_port = "dest_port",
    .message = "stripwatch.message",
    .count = "stripwatch.count",
};

static const struct paths ocsf_paths = {
    .time_ms = "time",
    .client = "evidences.0.src_endpoint.ip",
    .server = "evidences.0.dst_endpoint.ip",
    .server_port = "evidences.0.dst_endpoint.port",
    .server_name = "evidences.0.dst_endpoint.hostname",
    .message = "message",
    .count = "count",
};

static const struct paths *paths_of(const struct json_document *document)
{
	int64_t class;

	if (json_read_text(document, "event_type").len > 0)
		return &eve_paths;
	return json_read_integer(document, "class_uid", &class) ? &ocsf_paths : &ecs_paths;
}

static struct span text_at(const struct json_document *document, const char *path)
{
	return path == NULL ? span_of(NULL, 0) : json_read_text(document, path);
}

/* "2026-01-31T12:00:00.123456Z" as "2026-01-31 12:00:00"; anything else as it is, cut. */
static void add_time(struct buffer *out, const struct json_document *document,
		     const struct paths *paths)
{
	struct span time = text_at(document, paths->time);
	char text[40] = "";
	struct tm utc;
	int64_t ms;

	if (paths->time_ms != NULL && json_read_integer(document, paths->time_ms, &ms)) {
		time_t seconds = (time_t)(ms / 1000);
		if (gmtime_r(&seconds, &utc) != NULL)
			(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
		time = span_str(text);
	}
	buffer_add_printable(out, span_head(time, 10));
	if (time.len > 11) {
		buffer_add_char(out, ' ');
		buffer_add_printable(out, span_head(span_skip(time, 11), 8));
	}
	buffer_add_char(out, ' ');
}

static void add_endpoint(struct buffer *out, struct span address, const int64_t *port)
{
	bool v6 = address.len > 0 && memchr(address.ptr, ':', address.len) != NULL;

	if (port != NULL && v6)
		buffer_add_char(out, '[');
	buffer_add_printable(out, address);
	if (port != NULL && v6)
		buffer_add_char(out, ']');
	if (port != NULL) {
		buffer_add_char(out, ':');
		buffer_add_i64(out, *port);
	}
}

static void add_route(struct buffer *out, const struct json_document *document,
		      const struct paths *paths)
{
	struct span client = text_at(document, paths->client);
	struct span server = text_at(document, paths->server);
	struct span name = text_at(document, paths->server_name);
	int64_t port;

	if (client.len > 0) {
		add_endpoint(out, client, NULL);
		buffer_add_text(out, " -> ");
	}
	if (server.len > 0) {
		bool has_port = json_read_integer(document, paths->server_port, &port);
		add_endpoint(out, server, has_port ? &port : NULL);
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
	const struct paths *paths = document == NULL ? NULL : paths_of(document);
	int64_t count = 0;

	if (document != NULL)
		add_time(out, document, paths);
	add_severity(out, entry->severity, colours);
	buffer_add_char(out, ' ');
	if (document != NULL)
		add_route(out, document, paths);
	if (colours)
		buffer_add_text(out, BOLD);
	buffer_add_printable(out, entry->rule);
	if (colours)
		buffer_add_text(out, RESET);
	buffer_add_text(out, ": ");
	if (document != NULL) {
		buffer_add_printable(out, text_at(document, paths->message));
		if (json_read_integer(document, paths->count, &count) && count > 1) {
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
