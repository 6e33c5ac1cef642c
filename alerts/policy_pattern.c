/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/policy_pattern.h"

#include <stdlib.h>

void patterns_free(struct patterns *patterns)
{
	for (size_t i = 0; i < patterns->count; i++)
		free(patterns->items[i].name);
	free(patterns->items);
}

struct pattern *patterns_add(struct patterns *patterns)
{
	if (patterns->count == POLICY_PATTERNS)
		return NULL;
	struct pattern *grown =
	    realloc(patterns->items, (patterns->count + 1) * sizeof *patterns->items);
	if (grown == NULL)
		return NULL;
	patterns->items = grown;
	grown[patterns->count] = (struct pattern){.kind = PATTERN_NAME};
	return &grown[patterns->count++];
}

static char *lower_copy(struct span text)
{
	char *copy = malloc(text.len + 1);
	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		copy[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	copy[text.len] = '\0';
	return copy;
}

bool pattern_is_name(struct span text)
{
	if (text.len > 2 && text.ptr[0] == '*' && text.ptr[1] == '.')
		text = span_skip(text, 2);
	if (text.len == 0 || text.len > 253 || text.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t upper = ascii_upper(text.ptr[i]);
		if (!(upper >= 'A' && upper <= 'Z') && !(upper >= '0' && upper <= '9') &&
		    upper != '-' && upper != '.' && upper != '_')
			return false;
		if (upper == '.' && i + 1 < text.len && text.ptr[i + 1] == '.')
			return false;
	}
	return true;
}

static size_t find_last(struct span text, char wanted)
{
	for (size_t i = text.len; i > 0; i--)
		if (text.ptr[i - 1] == (uint8_t)wanted)
			return i - 1;
	return text.len;
}

bool pattern_read_server(struct span text, struct pattern *pattern)
{
	unsigned number = 0;
	size_t colon = find_last(text, ':');
	bool bracket = text.len > 0 && text.ptr[0] == '[';
	size_t first_colon = 0;
	while (first_colon < text.len && text.ptr[first_colon] != ':')
		first_colon++;
	bool port = colon < text.len &&
		    (bracket ? colon > 0 && text.ptr[colon - 1] == ']' : first_colon == colon);
	if (port) {
		if (!number_parse(span_skip(text, colon + 1), UINT16_MAX, &number) || number == 0)
			return false;
		pattern->port = (uint16_t)number;
		text = span_head(text, colon);
	}
	if (bracket) {
		if (text.len < 2 || text.ptr[text.len - 1] != ']')
			return false;
		text = span_head(span_skip(text, 1), text.len - 2);
	}
	if (network_parse(text, &pattern->network)) {
		pattern->kind = PATTERN_NETWORK;
		return true;
	}
	return pattern_read_domain(text, pattern);
}

bool pattern_matches_name(const char *pattern, struct span name)
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	struct span wanted = span_str(pattern);
	if (wanted.len > 2 && pattern[0] == '*') {
		struct span tail = span_skip(wanted, 1); /* with its dot */
		return name.len > tail.len &&
		       span_equal_nocase(span_skip(name, name.len - tail.len), tail);
	}
	return span_equal_nocase(wanted, name);
}

bool pattern_matches_host(const char *pattern, struct span name)
{
	if (pattern[0] == '*')
		for (size_t i = 0; i + strlen(pattern) - 1 < name.len; i++)
			if (name.ptr[i] == '.')
				return pattern_matches_name(pattern + 2, span_skip(name, i + 1));
	return pattern_matches_name(pattern, name);
}

bool pattern_read_domain(struct span text, struct pattern *pattern)
{
	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	pattern->kind = PATTERN_NAME;
	pattern->name = pattern_is_name(text) ? lower_copy(text) : NULL;
	return pattern->name != NULL;
}
