/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one sensor knows of a server, as the text that sensors exchange: one JSON object of whole
 * numbers and hex digits, with the names of the columns of the store (baseline_columns.def).
 */
#ifndef ALERTS_BASELINE_WIRE_H
#define ALERTS_BASELINE_WIRE_H

#include "alerts/json.h"
#include "alerts/server_memory.h"

#define BASELINE_WIRE_MAX 8192 /* bytes; with everything at its cap it has some 4,000 */

void baseline_wire_write(struct json *json, const struct server_memory *server);

/*
 * Reads it into a server whose endpoint the caller sets. It comes from others: whatever it
 * says, what is read is within the bounds of its type. False when it is none of these objects.
 */
bool baseline_wire_read(struct span text, struct server_memory *server);

#endif
