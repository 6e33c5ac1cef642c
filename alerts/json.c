/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/json.h"

#include "alerts/untrusted.h"

/*
 * The comma and the key, with room for at least more bytes behind them; where those go, or
 * NULL when there is no room.
 */
static inline char *member(struct json *json, struct json_key key, size_t more)
{
	struct buffer *out = json->out;
	if (!buffer_reserve(out, key.len + 4 + more))
		return NULL;
	char *at = out->bytes + out->len;
	if (json->comma)
		*at++ = ',';
	if (key.text != NULL) {
		*at++ = '"';
		memcpy(at, key.text, key.len);
		at += key.len;
		*at++ = '"';
		*at++ = ':';
	}
	json->comma = true;
	return at;
}

/* What was written from where member() said ends here. */
static inline void member_end(struct json *json, const char *end)
{
	json->out->len = (size_t)(end - json->out->bytes);
}

/* The comma and the key alone. */
static void begin_member(struct json *json, struct json_key key)
{
	char *at = member(json, key, 0);
	if (at != NULL)
		member_end(json, at);
}

void json_put(struct json *json, struct json_key key, const char *bytes, size_t len)
{
	char *at = member(json, key, len);
	if (at == NULL)
		return;
	memcpy(at, bytes, len);
	member_end(json, at + len);
}

void json_put_word(struct json *json, struct json_key key, const char *word, size_t len)
{
	char *at = member(json, key, len + 2);
	if (at == NULL)
		return;
	*at++ = '"';
	memcpy(at, word, len);
	at += len;
	*at++ = '"';
	member_end(json, at);
}

void json_put_u64(struct json *json, struct json_key key, uint64_t value)
{
	char *at = member(json, key, BUFFER_U64_TEXT);
	if (at != NULL)
		member_end(json, at + buffer_put_u64(at, value));
}

void json_put_i64(struct json *json, struct json_key key, int64_t value)
{
	begin_member(json, key);
	buffer_add_i64(json->out, value);
}

void json_put_time(struct json *json, struct json_key key, int64_t time_ns)
{
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_time(json->out, time_ns);
	buffer_add_char(json->out, '"');
}

void json_put_seconds(struct json *json, struct json_key key, int64_t time_s)
{
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_seconds(json->out, time_s);
	buffer_add_char(json->out, '"');
}

void json_put_hex(struct json *json, struct json_key key, const uint8_t *bytes, size_t len)
{
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_hex(json->out, bytes, len);
	buffer_add_char(json->out, '"');
}

void json_put_address(struct json *json, struct json_key key, const struct ip_addr *address)
{
	char text[IP_ADDR_TEXT];
	size_t len = ip_addr_text(address, text);
	json_put_word(json, key, text, len);
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

#define ONES (UINT64_MAX / 255) /* a 1 in each byte */

/* Whether eight bytes are plain, all of them. */
static bool are_plain(uint64_t word)
{
	uint64_t quote = word ^ (ONES * '"'), backslash = word ^ (ONES * '\\');
	/* A byte's high bit is set where it is below 0x20, a quote, a backslash, or not ASCII or
	   DEL; bytes above such a one may be marked as well, which costs nothing. */
	uint64_t odd =
	    (word - ONES * 0x20) | (quote - ONES) | (backslash - ONES) | word | (word + ONES);
	return (odd & (ONES << 7)) == 0;
}

static uint64_t load_word(const uint8_t *bytes)
{
	uint64_t word;
	memcpy(&word, bytes, sizeof word);
	return word;
}

/* Four to seven bytes as eight: those in their middle twice. */
static uint64_t load_short(const uint8_t *bytes, size_t len)
{
	uint32_t first, last;
	memcpy(&first, bytes, sizeof first);
	memcpy(&last, bytes + len - sizeof last, sizeof last);
	return (uint64_t)last << 32 | first;
}

/*
 * How many bytes from the first on are plain: eight at a time, the rest together with some that
 * were looked at already, and one by one where something is not.
 */
static size_t plain_run(const uint8_t *bytes, size_t len)
{
	size_t plain = 0;
	while (plain + 8 <= len && are_plain(load_word(bytes + plain)))
		plain += 8;
	if (len - plain < 8) {
		if (len >= 8 ? are_plain(load_word(bytes + len - 8))
			     : len >= 4 && are_plain(load_short(bytes, len)))
			return len;
	}
	while (plain < len && is_plain(bytes[plain]))
		plain++;
	return plain;
}

static void add_escaped(struct buffer *out, struct span text)
{
	struct cursor in = cursor_of(text);
	while (in.left > 0) {
		size_t plain = plain_run(in.ptr, in.left);
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

void json_put_text(struct json *json, struct json_key key, struct span text)
{
	/* Most texts need no escape from their first byte to their last. */
	size_t plain = plain_run(text.ptr, text.len);
	char *at = member(json, key, plain + 2);
	if (at == NULL)
		return;
	*at++ = '"';
	if (plain > 0)
		memcpy(at, text.ptr, plain);
	at += plain;
	if (plain == text.len) {
		*at++ = '"';
		member_end(json, at);
		return;
	}
	member_end(json, at);
	add_escaped(json->out, span_skip(text, plain));
	buffer_add_char(json->out, '"');
}

void json_put_wire(struct json *json, struct json_key key, struct span text)
{
	if (json->show_addresses || text.len == 0 || memchr(text.ptr, '@', text.len) == NULL) {
		json_put_text(json, key, text);
		return;
	}
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	struct span piece;
	while (address_next_piece(&text, &piece))
		add_escaped(json->out, piece);
	buffer_add_char(json->out, '"');
}

void json_put_wire_list(struct json *json, struct json_key key, struct span list)
{
	json_put(json, key, "[", 1);
	json->comma = false;
	const bool address = list.len > 0 && memchr(list.ptr, '@', list.len) != NULL;
	while (list.len > 0) {
		const uint8_t *space = memchr(list.ptr, ' ', list.len);
		size_t len = space == NULL ? list.len : (size_t)(space - list.ptr);
		if (len > 0 && address)
			json_wire(json, NULL, span_head(list, len));
		else if (len > 0)
			json_text(json, NULL, span_head(list, len));
		list = span_skip(list, len + 1);
	}
	json_close_array(json);
}
