/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/json.h"

#include "alerts/untrusted.h"

/* The comma and the key alone. */
static void begin_member(struct json *json, const char *key)
{
	char *at = json_member(json, key, 0);
	if (at != NULL)
		json->out->len = (size_t)(at - json->out->bytes);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	begin_member(json, key);
	buffer_add_u64(json->out, value);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
	begin_member(json, key);
	buffer_add_i64(json->out, value);
}

void json_time(struct json *json, const char *key, int64_t time_ns)
{
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_time(json->out, time_ns);
	buffer_add_char(json->out, '"');
}

void json_seconds(struct json *json, const char *key, int64_t time_s)
{
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_seconds(json->out, time_s);
	buffer_add_char(json->out, '"');
}

void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t len)
{
	begin_member(json, key);
	buffer_add_char(json->out, '"');
	buffer_add_hex(json->out, bytes, len);
	buffer_add_char(json->out, '"');
}

void json_address(struct json *json, const char *key, const struct ip_addr *address)
{
	char text[IP_ADDR_TEXT];
	(void)ip_addr_text(address, text);
	json_word(json, key, text);
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

/* How many bytes from the first on are plain: eight at a time, then one by one. */
static size_t plain_run(const uint8_t *bytes, size_t len)
{
	const uint64_t ones = UINT64_MAX / 255, high = ones << 7;
	size_t plain = 0;
	for (uint64_t word; plain + 8 <= len; plain += 8) {
		memcpy(&word, bytes + plain, sizeof word);
		uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
		/* A byte's high bit is set where it is below 0x20, a quote, a backslash, or not
		   ASCII or DEL; bytes above such a one may be marked as well, which costs nothing.
		 */
		uint64_t odd = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | word |
			       (word + ones);
		if ((odd & high) != 0)
			break;
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

void json_text(struct json *json, const char *key, struct span text)
{
	begin_member(json, key);
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
	begin_member(json, key);
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
