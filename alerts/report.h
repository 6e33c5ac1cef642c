/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a replay: one HTML page that needs nothing but itself. No
 * script, no external resource, and a policy in the page that forbids both;
 * every byte off the wire is escaped. Readable on paper as well.
 *
 * The report gathers while the run goes on, within what it was given at the
 * start; what did not fit is counted and the page says so. The gravest alerts
 * are kept.
 */
#ifndef ALERTS_REPORT_H
#define ALERTS_REPORT_H

#include "alerts/alert.h"
#include "decoders/siphash.h"

struct report_options {
	const char *sensor, *version; /* outlive the report */
	uint32_t max_alerts;          /* alerts told one by one */
	uint32_t max_hosts;           /* servers, and as many clients, told apart */
	uint32_t max_inputs;          /* input files that are listed */
	bool show_addresses;
	struct siphash_key key;
};

/* A capture that was read. */
struct report_input {
	const char *path;
	uint64_t bytes;
	uint8_t sha256[DIGEST_SHA256_SIZE];
	bool has_sha256;
	const char *fault; /* why it was not read to its end, or NULL */
};

struct report;

/* NULL when the budget, which outlives it, has no room. */
struct report *report_create(struct budget *budget, const struct report_options *options);

/* NULL is allowed. */
void report_destroy(struct report *report);

/* Each copies what it needs. A session that is over, with the rules it raised (a set). */
void report_add_input(struct report *report, const struct report_input *input);
void report_add_session(struct report *report, const struct session_facts *facts, uint32_t raised);
void report_add_alert(struct report *report, const struct alert *alert);

/* Writes the page. False when the buffer had no room for it. */
bool report_write(const struct report *report, struct buffer *out);

#endif
