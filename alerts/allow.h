/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allow-list: which alerts are known and wanted by nobody. An entry is the
 * conditions that must all hold; the rule, a client or server network, a port,
 * a server name. What it covers stays in the session record.
 */
#ifndef ALERTS_ALLOW_H
#define ALERTS_ALLOW_H

#include "alerts/alert.h"
#include "alerts/network.h"

#define ALLOW_NAME_MAX 255

struct allow_entry {
	uint32_t rules;                /* a set; 0: any */
	struct network client, server; /* version 0: any */
	uint16_t server_port;          /* 0: any */
	/* Server name, ASCII case ignored; ".example.org" covers every name below; "": any. */
	char name[ALLOW_NAME_MAX + 1];
};

/*
 * Reads one entry, conditions separated by blanks or commas in any order:
 *
 *     rule=RULE client=ADDR[/LEN] server=ADDR[/LEN] port=N name=HOST
 *
 * At least one. False, with a sentence in error, when it is not understood.
 */
bool allow_parse(struct span text, struct allow_entry *entry, char *error, size_t error_size);

/* Whether one of the entries covers the alert. */
bool allow_covers(const struct allow_entry *entries, size_t count, const struct alert *alert);

#endif
