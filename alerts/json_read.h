/* SPDX-License-Identifier: Apache-2.0 */
/* Reads single values out of a JSON document that came back from Redis. */
#ifndef ALERTS_JSON_READ_H
#define ALERTS_JSON_READ_H

#include "decoders/span.h"

struct json_document;

/* One JSON object (RFC 8259) and nothing else, nested at most 2048 deep. NULL: it is none. */
struct json_document *json_read(struct span text);
void json_document_free(struct json_document *document);

/* The string at a path of member names and places in arrays, "source.ip", "list.0.ip"; empty when
 * there is none. Borrowed. */
struct span json_read_text(const struct json_document *document, const char *path);

/* The integer at a path. False when there is none. */
bool json_read_integer(const struct json_document *document, const char *path, int64_t *value);

#endif
