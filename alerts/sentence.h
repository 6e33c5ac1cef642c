/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the message of a finding, piece by piece; what does not fit is cut. */
#ifndef ALERTS_SENTENCE_H
#define ALERTS_SENTENCE_H

#include "alerts/verdict.h"

/* A text of ours. */
void sentence_text(struct finding *finding, const char *text);

void sentence_number(struct finding *finding, uint64_t number);

/* "1 session", "5 sessions": the noun takes an s when it is not one. */
void sentence_count(struct finding *finding, uint64_t number, const char *noun);

/* A text off the wire: what is not a letter, digit, '.', '-', ':' or '_' becomes '?'. */
void sentence_wire(struct finding *finding, struct span text);

void sentence_address(struct finding *finding, const struct ip_addr *address);

/* "2026-01-02 03:04 UTC" */
void sentence_time(struct finding *finding, int64_t time_s);

#endif
