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
 * What a member begins with. Made where the member is written, so that the length of a key of
 * ours is known when the program is built: keys are half of a document. Hence what is always
 * inlined below.
 */
struct json_key {
	const char *text; /* NULL: no key, in an array and at the top */
	size_t len;
};

__attribute__((always_inline)) static inline struct json_key json_key(const char *text)
{
	return (struct json_key){.text = text, .len = text == NULL ? 0 : strlen(text)};
}

/* What the functions behind these write; bytes and word as they are. */
void json_put(struct json *json, struct json_key key, const char *bytes, size_t len);
void json_put_u64(struct json *json, struct json_key key, uint64_t value);
void json_put_i64(struct json *json, struct json_key key, int64_t value);
void json_put_time(struct json *json, struct json_key key, int64_t time_ns);
void json_put_seconds(struct json *json, struct json_key key, int64_t time_s);
void json_put_hex(struct json *json, struct json_key key, const uint8_t *bytes, size_t len);
void json_put_address(struct json *json, struct json_key key, const struct ip_addr *address);
void json_put_word(struct json *json, struct json_key key, const char *word, size_t len);
void json_put_text(struct json *json, struct json_key key, struct span text);
void json_put_wire(struct json *json, struct json_key key, struct span text);
void json_put_wire_list(struct json *json, struct json_key key, struct span list);

/* A member whose value is these bytes, as they are. */
__attribute__((always_inline)) static inline void json_raw(struct json *json, const char *key,
							   const char *bytes, size_t len)
{
	json_put(json, json_key(key), bytes, len);
}

/* Containers. */
__attribute__((always_inline)) static inline void json_open_object(struct json *json,
								   const char *key)
{
	json_raw(json, key, "{", 1);
	json->comma = false;
}

static inline void json_close_object(struct json *json)
{
	buffer_add_char(json->out, '}');
	json->comma = true;
}

__attribute__((always_inline)) static inline void json_open_array(struct json *json,
								  const char *key)
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
__attribute__((always_inline)) static inline void json_null(struct json *json, const char *key)
{
	json_raw(json, key, "null", 4);
}

__attribute__((always_inline)) static inline void json_bool(struct json *json, const char *key,
							    bool value)
{
	json_raw(json, key, value ? "true" : "false", value ? 4 : 5);
}

__attribute__((always_inline)) static inline void json_u64(struct json *json, const char *key,
							   uint64_t value)
{
	json_put_u64(json, json_key(key), value);
}

__attribute__((always_inline)) static inline void json_i64(struct json *json, const char *key,
							   int64_t value)
{
	json_put_i64(json, json_key(key), value);
}

__attribute__((always_inline)) static inline void json_time(struct json *json, const char *key,
							    int64_t time_ns)
{
	json_put_time(json, json_key(key), time_ns);
}

__attribute__((always_inline)) static inline void json_seconds(struct json *json, const char *key,
							       int64_t time_s)
{
	json_put_seconds(json, json_key(key), time_s);
}

__attribute__((always_inline)) static inline void json_hex(struct json *json, const char *key,
							   const uint8_t *bytes, size_t len)
{
	json_put_hex(json, json_key(key), bytes, len);
}

__attribute__((always_inline)) static inline void json_address(struct json *json, const char *key,
							       const struct ip_addr *address)
{
	json_put_address(json, json_key(key), address);
}

/* A text of ours: printable ASCII without quote or backslash, written as it is. NULL is null. */
__attribute__((always_inline)) static inline void json_word(struct json *json, const char *key,
							    const char *word)
{
	if (word == NULL)
		json_null(json, key);
	else
		json_put_word(json, json_key(key), word, strlen(word));
}

/* The same of a length that is known. */
__attribute__((always_inline)) static inline void json_words(struct json *json, const char *key,
							     struct span words)
{
	json_put_word(json, json_key(key), (const char *)words.ptr, words.len);
}

/* Any bytes. */
__attribute__((always_inline)) static inline void json_text(struct json *json, const char *key,
							    struct span text)
{
	json_put_text(json, json_key(key), text);
}

/* Any bytes, in which addresses lose their local part unless they may be shown. */
__attribute__((always_inline)) static inline void json_wire(struct json *json, const char *key,
							    struct span text)
{
	json_put_wire(json, json_key(key), text);
}

/* The words of a space-separated list as an array of wire texts. */
__attribute__((always_inline)) static inline void json_wire_list(struct json *json, const char *key,
								 struct span list)
{
	json_put_wire_list(json, json_key(key), list);
}

#endif
