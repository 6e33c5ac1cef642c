/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a replay is, in one line at the bottom of a terminal. It appears when the work
 * takes longer than an eye blinks, is drawn ten times a second at most, fits the width that
 * the terminal has at the time, and is gone when it is cleared.
 *
 * Whoever writes a whole line to the same terminal begins it with PROGRESS_ERASE; the bar
 * comes back with its next drawing.
 */
#ifndef SENSOR_PROGRESS_H
#define SENSOR_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* To the first column, and erase the line (ECMA-48 8.3.41). */
#define PROGRESS_ERASE "\r\033[K"

#define PROGRESS_TEXT  256

struct progress {
	FILE *terminal; /* NULL: nothing is shown */
	bool drawn;
	int64_t started_ns, next_ns; /* by the monotonic clock */
};

struct progress_state {
	uint64_t done, total; /* bytes of the inputs; total 0: not known */
	uint64_t packets;
};

/* terminal: where it is drawn, borrowed; NULL: nowhere. */
void progress_init(struct progress *progress, FILE *terminal);

/* May be called often: looks at the clock, and mostly does no more. */
void progress_show(struct progress *progress, const struct progress_state *state);

void progress_clear(struct progress *progress);

/* The line for a terminal of so many columns after so many ns; returns its length. */
size_t progress_text(const struct progress_state *state, int64_t elapsed_ns, unsigned columns,
		     char text[PROGRESS_TEXT]);

#endif
