/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/json.h"

#include "alerts/untrusted.h"

/* The comma and the key. */
static void json_member(struct json *json, const char *key)
{
	struct buffer *out = json->out;
	size_t len = key == NULL ? 0 : strlen(key);
	if (!buffer_reserve(out, len + 4))
		return;
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
	out->len = (size_t)(at - out->bytes);
	json->comma = true;
}

void json_open_object(struct json *json, const char *key)
{
	json_member(json, key);
	buffer_add_char(json->out, '{');
	json->comma = false;
}

void json_close_object(struct json *json)
{
	buffer_add_char(json->out, '}');
	json->comma = true;
}

void json_open_array(struct json *json, const char *key)
{
	json_member(json, key);
	buffer_add_char(json->out, '[');
	json->comma = false;
}

void json_close_array(struct json *json)
{
	buffer_add_char(json->out, ']');
	json->comma = true;
}

void json_null(struct json *json, const char *key)
{
	json_member(json, key);
	buffer_add(json->out, "null", 4);
}

void json_bool(struct json *json, const char *key, bool value)
{
	json_member(json, key);
	if (value)
		buffer_add(json->out, "true", 4);
	else
		buffer_add(json->out, "false", 5);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	json_member(json, key);
	buffer_add_u64(json->out, value);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
	json_member(json, key);
	buffer_add_i64(json->out, value);
}

void json_time(struct json *json, const char *key, int64_t time_ns)
{
	json_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_time(json->out, time_ns);
	buffer_add_char(json->out, '"');
}

void json_seconds(struct json *json, const char *key, int64_t time_s)
{
	json_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_seconds(json->out, time_s);
	buffer_add_char(json->out, '"');
}

void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t len)
{
	json_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_hex(json->out, bytes, len);
	buffer_add_char(json->out, '"');
}

void json_word(struct json *json, const char *key, const char *word)
{
	if (word == NULL) {
		json_null(json, key);
		return;
	}
	json_member(json, key);
	size_t len = strlen(word);
	struct buffer *out = json->out;
	if (!buffer_reserve(out, len + 2))
		return;
	char *at = out->bytes + out->len;
	*at++ = '"';
	memcpy(at, word, len);
	at[len] = '"';
	out->len += len + 2;
}

static void add_utf16_escape(struct buffer *out, uint32_t unit)
{
	uint8_t bytes[2] = {(uint8_t)(unit >> 8), (uint8_t)unit};
	buffer_add(out, "\\u", 2);
	buffer_add_hex(out, bytes, sizeof bytes);
}

static void add_escape(struct buffer *out, uint32_t character)
{
	if (character == '\n')
		buffer_add(out, "\\n", 2);
	else if (character == '\r')
		buffer_add(out, "\\r", 2);
	else if (character == '\t')
		buffer_add(out, "\\t", 2);
	else if (character < 0x10000)
		add_utf16_escape(out, character);
	else {
		add_utf16_escape(out, 0xd7c0 + (character >> 10));
		add_utf16_escape(out, 0xdc00 + (character & 0x3ff));
	}
}

/* Printable ASCII but quote and backslash: bits of 128 characters. */
static bool is_plain(uint8_t c)
{
	static const uint64_t plain[2] = {
	    ~UINT64_C(0) << 32 & ~(UINT64_C(1) << '"'),
	    ~(UINT64_C(1) << ('\\' - 64) | UINT64_C(1) << 63),
	};
	return c < 128 && (plain[c >> 6] >> (c & 63) & 1) != 0;
}

static void add_escaped(struct buffer *out, struct span text)
{
	struct cursor in = cursor_of(text);
	while (in.left > 0) {
		size_t plain = 0;
		while (plain < in.left && is_plain(in.ptr[plain]))
			plain++;
		if (plain > 0) {
			struct span run = cursor_take(&in, plain);
			buffer_add(out, run.ptr, run.len);
			continue;
		}
		const uint8_t *start = in.ptr;
		uint32_t character = utf8_next(&in);
		if (character == '"' || character == '\\') {
			buffer_add_char(out, '\\');
			buffer_add_char(out, (char)character);
		} else if (character == UTF8_REPLACEMENT) {
			buffer_add(out, "\xef\xbf\xbd", 3);
		} else if (character_is_hostile(character)) {
			add_escape(out, character);
		} else {
			buffer_add(out, start, (size_t)(in.ptr - start));
		}
	}
}

void json_text(struct json *json, const char *key, struct span text)
{
	json_member(json, key);
	buffer_add_char(json->out, '"');
	add_escaped(json->out, text);
	buffer_add_char(json->out, '"');
}

void json_wire(struct json *json, const char *key, struct span text)
{
	if (json->show_addresses || text.len == 0 || memchr(text.ptr, '@', text.len) == NULL) {
		json_text(json, key, text);
		return;
	}
	json_member(json, key);
	buffer_add_char(json->out, '"');
	struct span piece;
	while (address_next_piece(&text, &piece))
		add_escaped(json->out, piece);
	buffer_add_char(json->out, '"');
}

void json_wire_list(struct json *json, const char *key, struct span list)
{
	json_open_array(json, key);
	while (list.len > 0) {
		const uint8_t *space = memchr(list.ptr, ' ', list.len);
		size_t len = space == NULL ? list.len : (size_t)(space - list.ptr);
		if (len > 0)
			json_wire(json, NULL, span_head(list, len));
		list = span_skip(list, len + 1);
	}
	json_close_array(json);
}
