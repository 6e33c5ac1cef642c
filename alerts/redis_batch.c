/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_batch.h"

#include <stdio.h>

struct redis_outcome redis_outcome_of(const struct redis_error *error)
{
	struct redis_outcome outcome = {.class = error->class, .failure = error->failure};

	if (outcome.class == REDIS_CLASS_GOOD)
		outcome.class = REDIS_CLASS_RETRY;
	memcpy(outcome.text, error->text, sizeof(outcome.text));
	return outcome;
}

static void set_text(struct redis_outcome *outcome, struct span text)
{
	(void)snprintf(
	    outcome->text, sizeof(outcome->text), "%.*s",
	    (int)(text.len < sizeof(outcome->text) ? text.len : sizeof(outcome->text) - 1),
	    text.len > 0 ? (const char *)text.ptr : "");
}

void redis_outcome_note(struct redis_outcome *outcome, const struct redis_reply *reply,
			size_t culprit)
{
	struct span text = redis_reply_text(reply);
	enum redis_reply_class class = redis_reply_classify(text);

	if (class == outcome->class || redis_reply_worse(class, outcome->class) != class)
		return;
	outcome->class = class;
	outcome->culprit = culprit;
	set_text(outcome, text);
}

/* Commands for each alert. */
static size_t per_alert(const struct redis_batch_form *form)
{
	return form->publish ? 2 : 1;
}

static bool append_word(struct redis_link *link, const char *word)
{
	return redis_link_append_text(link, &word, 1);
}

static bool append_alert(const struct redis_batch_form *form, struct redis_link *link,
			 const struct outbox_record *record)
{
	const struct span xadd[] = {
	    span_str("XADD"),
	    span_str(form->key),
	    span_str("*"),
	    span_str("id"),
	    record->id,
	    span_str("rule"),
	    record->rule,
	    span_str("severity"),
	    span_str(outbox_severity_word(record->severity)),
	    span_str("sensor"),
	    record->sensor,
	    span_str("json"),
	    record->json,
	};
	const struct span publish[] = {span_str("PUBLISH"), span_str(form->key), record->json};

	return redis_link_append(link, xadd, sizeof(xadd) / sizeof(xadd[0])) &&
	       (!form->publish || redis_link_append(link, publish, 3));
}

bool redis_batch_queue(const struct redis_batch_form *form, struct redis_link *link,
		       const struct outbox_batch *batch, bool asking)
{
	if ((asking && !append_word(link, "ASKING")) || !append_word(link, "MULTI"))
		return false;
	for (size_t i = 0; i < batch->count; i++)
		if (!append_alert(form, link, &batch->records[i]))
			return false;
	return true;
}

bool redis_batch_execute(const struct redis_batch_form *form, struct redis_link *link, bool asking)
{
	const char *const xtrim[] = {"XTRIM", form->key, "MAXLEN", "~", form->max_entries};

	return append_word(link, "EXEC") && (asking || redis_link_append_text(link, xtrim, 5));
}

/* Reads EXEC's reply: one element for each command of the transaction. */
static void read_exec(const struct redis_reply *reply, size_t count, size_t each,
		      struct redis_outcome *outcome)
{
	bool in_order = true;

	if (redis_reply_kind(reply) == REDIS_KIND_ERROR) {
		redis_outcome_note(outcome, reply, 0);
		return;
	}
	if (redis_reply_count(reply) != count * each) {
		outcome->failure = REDIS_PROTOCOL;
		outcome->class = REDIS_CLASS_RETRY;
		(void)snprintf(outcome->text, sizeof(outcome->text),
			       "EXEC: not the reply expected");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct redis_reply *entry = redis_reply_at(reply, i * each);
		if (redis_reply_kind(entry) == REDIS_KIND_ERROR) {
			redis_outcome_note(outcome, entry, i);
			in_order = false;
		} else if (in_order) {
			outcome->done++;
		}
	}
}

/* Reads XTRIM's reply. It decides nothing about the alerts, unless the link broke. */
static void read_trim(struct redis_link *link, struct redis_outcome *outcome)
{
	struct redis_error error;
	struct redis_reply *reply = redis_link_reply(link, 0, &error);

	if (reply == NULL) {
		outcome->failure = error.failure;
		return;
	}
	outcome->untrimmed = redis_reply_kind(reply) == REDIS_KIND_ERROR;
	if (outcome->untrimmed && outcome->class == REDIS_CLASS_GOOD)
		set_text(outcome, redis_reply_text(reply));
	redis_reply_free(reply);
}

struct redis_outcome redis_batch_read(const struct redis_batch_form *form, struct redis_link *link,
				      const struct outbox_batch *batch, bool asking)
{
	struct redis_outcome outcome = {.class = REDIS_CLASS_GOOD};
	struct redis_error error;
	size_t each = per_alert(form);
	size_t before = asking ? 2 : 1; /* replies in front of those to alerts */
	size_t total = before + batch->count * each + 1;

	for (size_t i = 0; i < total; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		if (reply == NULL) {
			struct redis_outcome broken = redis_outcome_of(&error);
			if (outcome.class == REDIS_CLASS_GOOD)
				return broken;
			outcome.failure = broken.failure;
			return outcome;
		}
		if (i + 1 == total)
			read_exec(reply, batch->count, each, &outcome);
		else if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			redis_outcome_note(&outcome, reply, i < before ? 0 : (i - before) / each);
		redis_reply_free(reply);
	}
	if (!asking && outcome.failure == REDIS_FINE)
		read_trim(link, &outcome);
	return outcome;
}

bool redis_batch_discard(const struct redis_batch_form *form, struct redis_link *link,
			 const struct outbox_batch *batch, struct redis_error *error)
{
	size_t total = 1 + batch->count * per_alert(form) + 1;

	*error = (struct redis_error){.failure = REDIS_NO_MEMORY, .text = "out of memory"};
	if (!append_word(link, "DISCARD") || !redis_link_flush(link, error))
		return false;
	bool refused = false;
	for (size_t i = 0; i < total; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, error);
		if (reply == NULL)
			return false;
		/* Nothing of it was done; but a user who may not DISCARD is still in MULTI. */
		refused = redis_reply_kind(reply) == REDIS_KIND_ERROR;
		redis_reply_free(reply);
	}
	if (refused)
		*error = (struct redis_error){.failure = REDIS_REFUSED,
					      .class = REDIS_CLASS_RETRY,
					      .text = "DISCARD was refused"};
	return !refused;
}
