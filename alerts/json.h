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
#include "decoders/addr.h"

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

/*
 * The comma and the key, with room for at least more bytes behind them; where they go, or
 * NULL when there is no room. Here, so that the length of a key of ours is known when the
 * program is built: keys are half of a document.
 */
static inline char *json_member(struct json *json, const char *key, size_t more)
{
	struct buffer *out = json->out;
	size_t len = key == NULL ? 0 : strlen(key);
	if (!buffer_reserve(out, len + 4 + more))
		return NULL;
	char *at = out->bytes + out->len;
	if (json->comma)
		*at++ = ',';
	if (key != NULL) {
		*at++ = '"';
		memcpy(at, key, len);
		at += len;
		*at++ = '"';
		*at++ = ':';
	}
	json->comma = true;
	return at;
}

/* A member whose value is these bytes, as they are. */
static inline void json_raw(struct json *json, const char *key, const char *bytes, size_t len)
{
	char *at = json_member(json, key, len);
	if (at == NULL)
		return;
	memcpy(at, bytes, len);
	json->out->len = (size_t)(at + len - json->out->bytes);
}

/* Containers. key is NULL in an array and at the top. */
static inline void json_open_object(struct json *json, const char *key)
{
	json_raw(json, key, "{", 1);
	json->comma = false;
}

static inline void json_close_object(struct json *json)
{
	buffer_add_char(json->out, '}');
	json->comma = true;
}

static inline void json_open_array(struct json *json, const char *key)
{
	json_raw(json, key, "[", 1);
	json->comma = false;
}

static inline void json_close_array(struct json *json)
{
	buffer_add_char(json->out, ']');
	json->comma = true;
}

/* Members, or elements where key is NULL. */
static inline void json_null(struct json *json, const char *key)
{
	json_raw(json, key, "null", 4);
}

static inline void json_bool(struct json *json, const char *key, bool value)
{
	if (value)
		json_raw(json, key, "true", 4);
	else
		json_raw(json, key, "false", 5);
}

void json_u64(struct json *json, const char *key, uint64_t value);
void json_i64(struct json *json, const char *key, int64_t value);
void json_time(struct json *json, const char *key, int64_t time_ns);
void json_seconds(struct json *json, const char *key, int64_t time_s);
void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t len);
void json_address(struct json *json, const char *key, const struct ip_addr *address);

/* A text of ours: printable ASCII without quote or backslash, written as it is. NULL is null. */
static inline void json_word(struct json *json, const char *key, const char *word)
{
	if (word == NULL) {
		json_null(json, key);
		return;
	}
	size_t len = strlen(word);
	char *at = json_member(json, key, len + 2);
	if (at == NULL)
		return;
	*at++ = '"';
	memcpy(at, word, len);
	at += len;
	*at++ = '"';
	json->out->len = (size_t)(at - json->out->bytes);
}

/* Any bytes. */
void json_text(struct json *json, const char *key, struct span text);

/* Any bytes, in which addresses lose their local part unless they may be shown. */
void json_wire(struct json *json, const char *key, struct span text);

/* The words of a space-separated list as an array of wire texts. */
void json_wire_list(struct json *json, const char *key, struct span list);

#endif
