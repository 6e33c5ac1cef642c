/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replay tells a person at its end: sessions by outcome, servers, and the
 * clients that exposed mail or credentials, worst first.
 */
#ifndef ALERTS_SUMMARY_H
#define ALERTS_SUMMARY_H

#include "alerts/rules.h"
#include "decoders/session_facts.h"

#include <stdio.h>

struct summary;

/*
 * At most hosts servers and as many clients are told apart; further ones are counted together.
 * Where addresses are not to be shown, a name that is one shows its domain alone.
 */
struct summary *summary_create(size_t hosts, bool show_addresses);
void summary_destroy(struct summary *summary);

/* A session that is over, and one alert. */
void summary_session(struct summary *summary, const struct session_facts *facts);
void summary_alert(struct summary *summary, enum rule rule, enum severity severity);

/* Whether an alert of at least this severity was counted. */
bool summary_reached(const struct summary *summary, enum severity severity);

uint64_t summary_sessions(const struct summary *summary);
uint64_t summary_alerts(const struct summary *summary);

/*
 * The tables, at most rows lines each. No byte off the wire but addresses and clean names. False
 * when memory was out, now or while counting: the tables of hosts are then not whole.
 */
bool summary_print(const struct summary *summary, FILE *out, size_t rows);

/* Copies text with everything but printable ASCII replaced by '?', for a terminal. */
size_t terminal_text(struct span text, char *out, size_t size);

#endif
