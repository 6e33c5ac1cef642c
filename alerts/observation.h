/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker tells the judge: the facts of one session at a milestone.
 *
 * A worker sends one observation whenever a session's facts reached new
 * milestones, and a last one, with MILESTONE_CLOSED, when the session is over.
 * An observation is a value: nothing in it is shared with the worker that made
 * it, but the certificate, which its cache keeps for as long as the run lasts.
 */
#ifndef ALERTS_OBSERVATION_H
#define ALERTS_OBSERVATION_H

#include "decoders/certificate.h"
#include "decoders/session_facts.h"

struct observation {
	uint64_t ordinal;        /* of the packet that decided */
	int64_t time_ns;         /* of that packet */
	uint32_t new_milestones; /* those reached since the session's previous observation */
	struct session_facts facts;
	/* The redacted dialogue so far: lines "C: EHLO host", "S: 250-host", '\n' between them.
	   Empty where no alert can come of the facts: see verdict_is_routine(). */
	struct span dialogue;
	bool dialogue_evicted; /* its beginning had to give way to others */
	struct span
	    packets; /* the session's latest packets, redacted; empty unless evidence is kept */
	const struct certificate_info *certificate; /* the server's, or NULL */
};

#endif
