/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/allow.h"

/* Writes "what: 'value'" into error, cut to its size, clean of control characters. */
static bool refuse(char *error, size_t error_size, const char *what, struct span value)
{
	size_t len = strlen(what), at = 0;
	if (error_size == 0)
		return false;
	for (size_t i = 0; i < len && at + 1 < error_size; i++)
		error[at++] = what[i];
	for (size_t i = 0; i < value.len && at + 2 < error_size; i++) {
		if (i == 0)
			error[at++] = '\'';
		bool clean = value.ptr[i] >= 0x20 && value.ptr[i] < 0x7f;
		error[at++] = clean ? (char)value.ptr[i] : '?';
	}
	if (value.len > 0 && at + 1 < error_size)
		error[at++] = '\'';
	error[at] = '\0';
	return false;
}

static bool parse_condition(struct span key, struct span value, struct allow_entry *entry)
{
	if (span_equal(key, span_str("rule"))) {
		enum rule rule;
		if (!rule_by_id(value, &rule))
			return false;
		entry->rules |= UINT32_C(1) << rule;
		return true;
	}
	if (span_equal(key, span_str("client")))
		return network_parse(value, &entry->client);
	if (span_equal(key, span_str("server")))
		return network_parse(value, &entry->server);
	if (span_equal(key, span_str("port"))) {
		unsigned port;
		if (!number_parse(value, UINT16_MAX, &port) || port == 0)
			return false;
		entry->server_port = (uint16_t)port;
		return true;
	}
	if (!span_equal(key, span_str("name")) || value.len == 0 || value.len > ALLOW_NAME_MAX)
		return false;
	memcpy(entry->name, value.ptr, value.len);
	entry->name[value.len] = '\0';
	return true;
}

static bool is_separator(uint8_t c)
{
	return c == ' ' || c == '\t' || c == ',';
}

bool allow_parse(struct span text, struct allow_entry *entry, char *error, size_t error_size)
{
	*entry = (struct allow_entry){.rules = 0};
	unsigned conditions = 0;
	for (size_t at = 0; at < text.len;) {
		if (is_separator(text.ptr[at])) {
			at++;
			continue;
		}
		size_t end = at;
		while (end < text.len && !is_separator(text.ptr[end]))
			end++;
		struct span word = span_of(text.ptr + at, end - at);
		const uint8_t *equals = memchr(word.ptr, '=', word.len);
		size_t key_len = equals == NULL ? word.len : (size_t)(equals - word.ptr);
		if (equals == NULL ||
		    !parse_condition(span_head(word, key_len), span_skip(word, key_len + 1), entry))
			return refuse(error, error_size, "not a condition: ", word);
		conditions++;
		at = end;
	}
	if (conditions == 0)
		return refuse(error, error_size,
			      "an entry without conditions would allow everything",
			      span_of(NULL, 0));
	return true;
}

static bool name_covers(const char *pattern, struct span name)
{
	struct span wanted = span_str(pattern);
	if (wanted.len == 0)
		return true;
	if (wanted.ptr[0] == '.' && name.len > wanted.len)
		name = span_skip(name, name.len - wanted.len);
	return span_equal_nocase(wanted, name);
}

static bool entry_covers(const struct allow_entry *entry, const struct alert *alert)
{
	struct span name = {.ptr = NULL, .len = 0};
	if (alert->observation != NULL)
		name = session_facts_text(&alert->observation->facts, TEXT_SERVER_NAME);
	return (entry->rules == 0 || (entry->rules >> alert->finding.rule & 1) != 0) &&
	       (entry->server_port == 0 || entry->server_port == alert->session.server.port) &&
	       network_covers(&entry->client, &alert->session.client.addr) &&
	       network_covers(&entry->server, &alert->session.server.addr) &&
	       name_covers(entry->name, name);
}

bool allow_covers(const struct allow_entry *entries, size_t count, const struct alert *alert)
{
	for (size_t i = 0; i < count; i++)
		if (entry_covers(&entries[i], alert))
			return true;
	return false;
}
