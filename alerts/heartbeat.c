/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/heartbeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

_Static_assert(HEARTBEAT_BYTES_MAX <= UINT16_MAX, "offsets are 16 bits");

static uint16_t keep(struct heartbeat *beat, struct span text)
{
	uint16_t at = (uint16_t)beat->used;

	if (text.len > 0)
		memcpy(beat->bytes + at, text.ptr, text.len);
	beat->used += text.len;
	return at;
}

bool heartbeat_add_text(struct heartbeat *beat, struct span name, struct span value)
{
	size_t room = sizeof(beat->bytes) - beat->used;

	if (beat->count == HEARTBEAT_FIELDS_MAX || name.len > room || value.len > room - name.len)
		return false;
	struct heartbeat_field *field = &beat->fields[beat->count++];
	field->name = keep(beat, name);
	field->name_len = (uint16_t)name.len;
	field->value = keep(beat, value);
	field->value_len = (uint16_t)value.len;
	return true;
}

bool heartbeat_add_number(struct heartbeat *beat, struct span name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	return heartbeat_add_text(beat, name, span_str(text));
}

bool heartbeat_add_time(struct heartbeat *beat, struct span name, int64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000);
	char text[40];
	struct tm utc;

	return gmtime_r(&seconds, &utc) != NULL &&
	       strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc) > 0 &&
	       heartbeat_add_text(beat, name, span_str(text));
}

static struct span bytes_at(const struct heartbeat *beat, uint16_t at, uint16_t len)
{
	return span_of(beat->bytes + at, len);
}

void heartbeat_words(const struct heartbeat *beat, struct span *words)
{
	for (size_t i = 0; i < beat->count; i++) {
		const struct heartbeat_field *field = &beat->fields[i];
		words[2 * i] = bytes_at(beat, field->name, field->name_len);
		words[2 * i + 1] = bytes_at(beat, field->value, field->value_len);
	}
}
