/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON writer (RFC 8259) into a buffer.
 *
 * It keeps track of commas alone: the caller opens and closes in pairs. Keys
 * are ours and need no escape; texts may be any bytes off the wire and become
 * valid UTF-8, with ill-formed bytes as U+FFFD and everything that could move
 * a terminal's cursor or reorder text as \u escapes. Errors stick in the
 * buffer.
 */
#ifndef ALERTS_JSON_H
#define ALERTS_JSON_H

#include "alerts/buffer.h"

struct json {
	struct buffer *out;
	bool comma; /* the next member or element needs one before it */
	/* Local parts of addresses in wire text are shown; otherwise "[redacted]" stands there. */
	bool show_addresses;
};

static inline struct json json_into(struct buffer *out, bool show_addresses)
{
	return (struct json){.out = out, .comma = false, .show_addresses = show_addresses};
}

/* Containers. key is NULL in an array and at the top. */
void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);

/* Members, or elements where key is NULL. */
void json_null(struct json *json, const char *key);
void json_bool(struct json *json, const char *key, bool value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_i64(struct json *json, const char *key, int64_t value);
void json_time(struct json *json, const char *key, int64_t time_ns);
void json_seconds(struct json *json, const char *key, int64_t time_s);
void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t len);

/* A text of ours: printable ASCII without quote or backslash, written as it is. NULL is null. */
void json_word(struct json *json, const char *key, const char *word);

/* Any bytes. */
void json_text(struct json *json, const char *key, struct span text);

/* Any bytes, in which addresses lose their local part unless they may be shown. */
void json_wire(struct json *json, const char *key, struct span text);

/* The words of a space-separated list as an array of wire texts. */
void json_wire_list(struct json *json, const char *key, struct span list);

#endif
