/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An alert: a finding together with what it was found on, and its JSON (ECS 8).
 *
 * An alert borrows all it points to. Its id is the same for the same capture,
 * sensor name and options, so that a consumer can drop repeats.
 */
#ifndef ALERTS_ALERT_H
#define ALERTS_ALERT_H

#include "alerts/exposure.h"
#include "alerts/observation.h"
#include "alerts/record.h"
#include "alerts/verdict.h"

#define ALERT_ID_TEXT 33 /* 32 hex digits and a NUL */

/* A document never needs more: a record, a bounded dialogue, a bounded explanation. */
#define ALERT_MAX (RECORD_MAX * 2)

/* One thing that explains the alert: what was known, since when, what was seen now. */
struct alert_detail {
	const char *name; /* member of stripwatch.evidence, [a-z0-9_] */
	struct span text; /* any bytes; NULL ptr: number is meant */
	uint64_t number;
};

/* The capture that was kept for the alert. */
struct alert_pcap {
	const char *path; /* NULL: none is kept */
	uint8_t sha256[DIGEST_SHA256_SIZE];
};

struct alert {
	struct finding finding;
	int64_t time_ns;  /* @timestamp: of the packet that decided */
	uint64_t ordinal; /* of that packet, for the order of alerts */
	struct session_identity session;
	const struct observation *observation; /* NULL in a summary: no session's fields then */
	const struct alert_detail *details;
	size_t detail_count;
	struct alert_pcap pcap;
	const struct exposure_day *exposed; /* the summary of a day; NULL: it is none */

	uint64_t count;            /* sessions that it stands for, at least 1 */
	uint32_t summary;          /* 0: the alert itself; 1: the summary at its window's end */
	int64_t first_ns, last_ns; /* of the sessions it stands for; meaningful with summary */

	char id[ALERT_ID_TEXT]; /* set by alert_identify() */
};

/* Members "known" and "seen": what the finding rests on besides its session, if anything. */
void alert_add_basis(struct json *json, const struct finding_basis *basis);

/* An alert on one session: finding and observation, counting 1, not yet identified. */
struct alert alert_of(const struct finding *finding, const struct observation *observation);

/*
 * Sets id: the first 16 bytes, in hex, of the SHA-256 of
 *
 *     text(sensor) text(tap) text(community id) u64(first packet)
 *     text(rule id) text(reason) u64(summary)
 *
 * where text(x) is u64(length in bytes) and the bytes, u64 is big-endian, the
 * tap is empty where there is one only, the community id empty where there is
 * no connection, and the time of the session's first packet is in ns since
 * 1970 (two's complement).
 */
bool alert_identify(struct alert *alert, const struct record_origin *origin,
		    struct digester *digester);

/* Writes the document. False, and the buffer as before, when there was no room. */
bool alert_write(const struct alert *alert, const struct record_origin *origin,
		 struct digester *digester, struct buffer *out);

/*
 * One line for a person, without its end:
 *
 *     2026-01-02 03:04:05 HIGH     192.0.2.1 -> 192.0.2.2:25 (mx.example) starttls-masked: ...
 *
 * No control character can get through. colour: with terminal colours.
 */
void alert_line(const struct alert *alert, bool colour, struct buffer *out);

#endif
