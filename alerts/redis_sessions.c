/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_sessions.h"

#include <stdlib.h>

void redis_sessions_take(struct redis_sessions *sessions, struct outbox_queue *queue)
{
	while (sessions->count < REDIS_SESSIONS_BATCH) {
		struct outbox_item *item = outbox_queue_take_first(queue);
		if (item == NULL)
			return;
		sessions->items[sessions->count++] = item;
	}
}

static bool append_session(const struct redis_session_form *form, struct redis_link *link,
			   const struct outbox_item *item)
{
	struct outbox_record record;
	size_t size;

	if (outbox_record_decode(span_of(item->bytes, item->size), &record, &size) != PARSE_DONE)
		return false;
	const struct span words[] = {
	    span_str("XADD"),   span_str(form->key),         span_str("MAXLEN"),
	    span_str("~"),      span_str(form->max_entries), span_str("*"),
	    span_str("sensor"), span_str(form->sensor),      span_str("json"),
	    record.json,
	};
	return redis_link_append(link, words, sizeof(words) / sizeof(words[0]));
}

struct redis_outcome redis_sessions_send(const struct redis_sessions *sessions,
					 const struct redis_session_form *form,
					 struct redis_link *link)
{
	struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
	struct redis_outcome outcome = {.class = REDIS_CLASS_GOOD};

	for (size_t i = 0; i < sessions->count; i++)
		if (!append_session(form, link, sessions->items[i]))
			return redis_outcome_of(&error);
	if (!redis_link_flush(link, &error))
		return redis_outcome_of(&error);
	for (size_t i = 0; i < sessions->count; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		if (reply == NULL) {
			size_t done = outcome.done;
			outcome = redis_outcome_of(&error);
			outcome.done = done;
			return outcome;
		}
		if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			redis_outcome_note(&outcome, reply, i);
		else if (outcome.class == REDIS_CLASS_GOOD)
			outcome.done++;
		redis_reply_free(reply);
	}
	return outcome;
}

void redis_sessions_forget(struct redis_sessions *sessions, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(sessions->items[i]);
	sessions->count -= count;
	memmove(sessions->items, sessions->items + count,
		sessions->count * sizeof(sessions->items[0]));
}
