/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/session_facts.h"

const char *session_outcome_word(enum session_outcome outcome)
{
	static const char *const words[] = {
#define OUTCOME(symbol, word, meaning) [OUTCOME_##symbol] = word,
#include "decoders/outcomes.def"
	};
	return words[outcome];
}

const char *session_closed_by_word(enum session_closed_by closed_by)
{
	static const char *const words[] = {
#define CLOSED_BY(symbol, word, meaning) [CLOSED_BY_##symbol] = word,
#include "decoders/outcomes.def"
	};
	return words[closed_by];
}

const char *session_visibility_word(enum session_visibility visibility)
{
	static const char *const words[] = {
#define VISIBILITY(symbol, word, meaning) [VISIBILITY_##symbol] = word,
#include "decoders/outcomes.def"
	};
	return words[visibility];
}

struct span session_facts_text(const struct session_facts *facts, enum session_text_id id)
{
	const struct session_text *text = &facts->text;
	if (text->size[id] == 0)
		return (struct span){.ptr = NULL, .len = 0};
	return span_of(text->bytes + text->at[id], text->size[id]);
}

static size_t text_limit(enum session_text_id id)
{
	switch (id) {
	case TEXT_CAPABILITIES:
	case TEXT_MASKED:
		return TEXT_LIST_MAX;
	case TEXT_RECIPIENT_DOMAINS:
		return TEXT_DOMAINS_MAX;
	default:
		return TEXT_MAX;
	}
}

/* Takes a text's bytes out of the block and closes the hole. */
static void text_remove(struct session_text *text, enum session_text_id id)
{
	uint16_t at = text->at[id], size = text->size[id];
	if (size == 0)
		return;
	memmove(text->bytes + at, text->bytes + at + size, (size_t)(text->len - at - size));
	text->len = (uint16_t)(text->len - size);
	text->size[id] = 0;
	for (unsigned i = 0; i < TEXT_COUNT; i++)
		if (text->size[i] != 0 && text->at[i] > at)
			text->at[i] = (uint16_t)(text->at[i] - size);
}

/* Room for extra more bytes behind len. The sum of all limits fits in 16 bits. */
static bool text_reserve(struct session_text *text, struct budget *budget, size_t extra)
{
	size_t need = text->len + extra;
	if (need <= text->cap)
		return true;
	size_t cap = (need + 31) & ~(size_t)31; /* small steps: most sessions stay below 128 */
	char *grown = budget_resize(budget, text->bytes, text->cap, cap);
	if (grown == NULL)
		return false;
	text->bytes = grown;
	text->cap = (uint16_t)cap;
	return true;
}

bool session_facts_set_text(struct session_facts *facts, struct budget *budget,
			    enum session_text_id id, struct span value)
{
	struct session_text *text = &facts->text;
	value = span_head(value, text_limit(id));
	if (span_equal(session_facts_text(facts, id), value))
		return true;
	text_remove(text, id);
	if (value.len == 0)
		return true;
	if (!text_reserve(text, budget, value.len))
		return false;
	memcpy(text->bytes + text->len, value.ptr, value.len);
	text->at[id] = text->len;
	text->size[id] = (uint16_t)value.len;
	text->len = (uint16_t)(text->len + value.len);
	return true;
}

static bool list_has(struct span list, struct span word)
{
	for (size_t at = 0; at < list.len;) {
		const uint8_t *space = memchr(list.ptr + at, ' ', list.len - at);
		size_t end = space != NULL ? (size_t)(space - list.ptr) : list.len;
		if (span_equal_nocase(span_of(list.ptr + at, end - at), word))
			return true;
		at = end + 1;
	}
	return false;
}

bool session_facts_add_word(struct session_facts *facts, struct budget *budget,
			    enum session_text_id id, struct span word)
{
	struct session_text *text = &facts->text;
	struct span list = session_facts_text(facts, id);
	if (word.len == 0 || list_has(list, word))
		return true;
	if (list.len == 0)
		return session_facts_set_text(facts, budget, id, word);
	if (list.len + 1 + word.len > text_limit(id))
		return false;
	if (!text_reserve(text, budget, 1 + word.len))
		return false;
	/* The list moves to the end of the block, where it can grow. */
	if (text->at[id] + text->size[id] != text->len) {
		uint16_t size = text->size[id];
		if (!text_reserve(text, budget, (size_t)size + 1 + word.len))
			return false;
		memcpy(text->bytes + text->len, text->bytes + text->at[id], size);
		uint16_t moved = text->len;
		text->len = (uint16_t)(text->len + size);
		text_remove(text, id);
		text->at[id] = (uint16_t)(moved - size);
		text->size[id] = size;
	}
	text->bytes[text->len] = ' ';
	memcpy(text->bytes + text->len + 1, word.ptr, word.len);
	text->len = (uint16_t)(text->len + 1 + word.len);
	text->size[id] = (uint16_t)(text->size[id] + 1 + word.len);
	return true;
}

void session_facts_free_text(struct session_facts *facts, struct budget *budget)
{
	budget_free(budget, facts->text.bytes, facts->text.cap);
	facts->text = (struct session_text){.bytes = NULL};
}
