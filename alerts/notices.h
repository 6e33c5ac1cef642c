/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a background thread has to say to the operator.
 *
 * The threads behind the outputs may not print: the log belongs to the
 * program. They leave a line here, in a ring with a fixed number of places,
 * and the program takes the lines out and logs them. A ring that is full
 * loses the oldest line and counts it.
 *
 * Thread-safe.
 */
#ifndef ALERTS_NOTICES_H
#define ALERTS_NOTICES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTICE_TEXT_MAX 256 /* bytes with the final NUL; longer texts are cut */
#define NOTICES_MAX     32  /* lines that wait to be logged */

enum notice_level {
	NOTICE_ERROR,   /* something is lost, or will be if nobody acts */
	NOTICE_WARNING, /* an output does not work at the moment */
	NOTICE_INFO,    /* it works again */
};

struct notice {
	enum notice_level level;
	char text[NOTICE_TEXT_MAX]; /* printable, no control character, never a secret */
};

struct notices {
	pthread_mutex_t lock;
	struct notice ring[NOTICES_MAX];
	size_t first;
	size_t count;
	uint64_t lost; /* lines that were overwritten before anyone took them */
};

void notices_init(struct notices *notices);
void notices_destroy(struct notices *notices);

/* Leaves a line. Control characters in what the format yields are shown as '?'. */
void notices_add(struct notices *notices, enum notice_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes the oldest line out; false when there is none. */
bool notices_take(struct notices *notices, struct notice *notice);

#endif
