/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sensor says of itself: names and values, copied, ready for HSET. A plain
 * value: it may be assigned. The names stand in heartbeat.def; those of the
 * interfaces of a live capture are made from theirs.
 */
#ifndef ALERTS_HEARTBEAT_H
#define ALERTS_HEARTBEAT_H

#include "decoders/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for all fields and for those of 16 interfaces with long names. */
#define HEARTBEAT_FIELDS_MAX 128
#define HEARTBEAT_BYTES_MAX  8192

struct heartbeat_field {
	uint16_t name, name_len; /* in bytes */
	uint16_t value, value_len;
};

struct heartbeat {
	struct heartbeat_field fields[HEARTBEAT_FIELDS_MAX];
	size_t count;
	uint8_t bytes[HEARTBEAT_BYTES_MAX];
	size_t used;
};

/* Each copies; false, and nothing is added, when there is no room. */
bool heartbeat_add_text(struct heartbeat *beat, struct span name, struct span value);
bool heartbeat_add_number(struct heartbeat *beat, struct span name, uint64_t value);

/* Whole seconds, "2026-01-02T03:04:05Z". time_ns: since 1970. */
bool heartbeat_add_time(struct heartbeat *beat, struct span name, int64_t time_ns);

/* Name, value, name, value ...: 2 * beat->count spans, borrowed from beat. */
void heartbeat_words(const struct heartbeat *beat, struct span *words);

#endif
