/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a server or client, as one JSON object. */
#ifndef ALERTS_BASELINE_JSON_H
#define ALERTS_BASELINE_JSON_H

#include "alerts/exposure.h"
#include "alerts/json.h"
#include "alerts/server_memory.h"

void baseline_json_server(struct json *json, const struct server_memory *server);
/* As an element or at the top; only_day: its sessions are those of its last day. */
void baseline_json_client(struct json *json, const struct client_exposure *client, bool only_day);

/* "1.3", "SSL 3.0"-like words of a version as on the wire; NULL for none. */
const char *baseline_version_word(uint16_t version);

#endif
