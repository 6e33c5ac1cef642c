/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_heartbeat.h"

#include <stdio.h>

/* HSET with all fields. False: no memory. */
static bool append_fields(struct redis_link *link, const char *key, const struct heartbeat *beat)
{
	struct span words[2 + 2 * HEARTBEAT_FIELDS_MAX] = {span_str("HSET"), span_str(key)};

	heartbeat_words(beat, words + 2);
	return redis_link_append(link, words, 2 + 2 * beat->count);
}

struct redis_outcome redis_heartbeat_send(struct redis_link *link, const char *key,
					  const struct heartbeat *beat, unsigned expire_s)
{
	enum { REPLIES = 4 };
	struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
	struct redis_outcome outcome = {.class = REDIS_CLASS_GOOD};
	char seconds[16];
	const char *const multi[] = {"MULTI"};
	const char *const expire[] = {"EXPIRE", key, seconds};
	const char *const exec[] = {"EXEC"};

	(void)snprintf(seconds, sizeof(seconds), "%u", expire_s);
	if (!redis_link_append_text(link, multi, 1) || !append_fields(link, key, beat) ||
	    !redis_link_append_text(link, expire, 3) || !redis_link_append_text(link, exec, 1) ||
	    !redis_link_flush(link, &error))
		return redis_outcome_of(&error);
	for (size_t i = 0; i < REPLIES; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		if (reply == NULL)
			return redis_outcome_of(&error);
		if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			redis_outcome_note(&outcome, reply, 0);
		redis_reply_free(reply);
	}
	return outcome;
}
