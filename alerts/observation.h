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

/* What made a worker tell something, in the order in which it does so at one frame. */
enum observation_cause {
	CAUSE_HOLD,    /* the clock: missing bytes were waited for long enough */
	CAUSE_TIMEOUT, /* the clock: a connection was idle for too long */
	CAUSE_PACKET,  /* the frame's own segment */
	CAUSE_DNS,     /* DNS answers in the frame */
	CAUSE_END,     /* the input ended */
};

/*
 * Where an observation stands among those of all workers. It follows from the input alone:
 * what one worker tells is in this order, and so is what the judge hears of several.
 */
struct observation_place {
	uint64_t step; /* ordinal of the frame at which it was told */
	enum observation_cause cause;
	int64_t due_ns;   /* HOLD, TIMEOUT: the time at which that was due */
	uint64_t session; /* ordinal of the connection's first packet */
};

/* Whether a comes before b; false both ways: told by one worker, in its order. */
static inline bool observation_before(const struct observation_place *a,
				      const struct observation_place *b)
{
	if (a->step != b->step)
		return a->step < b->step;
	if (a->cause != b->cause)
		return a->cause < b->cause;
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->session < b->session;
}

struct observation {
	struct observation_place place;
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
	bool packets_evicted;                       /* earlier ones had to give way to others */
	const struct certificate_info *certificate; /* the server's, or NULL */
};

#endif
