/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of the alert stream as one line for a terminal.
 *
 * Whatever is in the entry, the line holds no character that moves the cursor,
 * changes a colour or reorders text: what is hostile is shown escaped.
 */
#ifndef ALERTS_TAIL_LINE_H
#define ALERTS_TAIL_LINE_H

#include "alerts/buffer.h"

/* The fields of an entry; an absent one is empty. Borrowed. */
struct tail_entry {
	struct span id; /* event.id */
	struct span rule;
	struct span severity; /* the word */
	struct span sensor;
	struct span json; /* the document */
};

/*
 * "2026-01-31 12:00:00 HIGH     192.0.2.1 -> 192.0.2.9:25 (mx) rule: message", without its end.
 * Where the document cannot be read the line is made of the entry's other fields.
 */
void tail_line(struct buffer *out, const struct tail_entry *entry, bool colours);

/*
 * The document as JSON in one line, equal in meaning: hostile characters become
 * \u escapes. False, and nothing in out, when it is no JSON object.
 */
bool tail_json(struct buffer *out, const struct tail_entry *entry);

#endif
