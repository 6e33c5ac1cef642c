/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many sessions began when, and what became of them, within fixed memory.
 *
 * Only stretches of time in which a session began take room, so that one
 * session decades before the others costs the others nothing of their
 * resolution. When the room is used up, two stretches become one of twice the
 * length.
 */
#ifndef ALERTS_TIMELINE_H
#define ALERTS_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#define TIMELINE_CAP  1024 /* stretches that are kept: ten times what a chart shows */
#define TIMELINE_BARS 96   /* of a chart at the most */

enum timeline_kind { TIMELINE_PROTECTED, TIMELINE_CLEAR, TIMELINE_OTHER, TIMELINE_KINDS };

/* The sessions that began in [number * width, (number + 1) * width). */
struct timeline_stretch {
	int64_t number;
	uint64_t sessions[TIMELINE_KINDS];
};

struct timeline {
	int64_t width_s; /* 0: nothing was added yet */
	uint32_t count;
	struct timeline_stretch stretches[TIMELINE_CAP]; /* in the order of time */
};

/* What a chart shows. Sessions that began long before or after the others are left out of it. */
struct timeline_chart {
	int64_t start_s, width_s; /* of the first bar; of each */
	unsigned bars;            /* from the first with a session to the last; 0: no session */
	uint64_t sessions[TIMELINE_BARS][TIMELINE_KINDS];
	uint64_t highest; /* bar, all kinds together */
	uint64_t left_before, left_after;
};

/* All zero is an empty timeline. time_ns: since 1970. */
void timeline_add(struct timeline *timeline, int64_t time_ns, enum timeline_kind kind);

/*
 * A chart of a few bars at its edges shows nothing of either. So where more than
 * seven of eight bars would be empty, and a third of all in one run, the side of
 * that run with fewer sessions is left out (the earlier, if they are equal), as
 * often as that is so. A chart that fills no more than half its room stays whole.
 */
void timeline_draw(const struct timeline *timeline, struct timeline_chart *chart);

#endif
