/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pauses between attempts: each failure doubles the next one, half of it is left to
 * chance, so that many sensors do not come back in the same instant.
 */
#ifndef ALERTS_BACKOFF_H
#define ALERTS_BACKOFF_H

#include <stdint.h>

struct backoff {
	unsigned min_ms, max_ms;
	unsigned failures; /* in a row */
	uint64_t random;
};

void backoff_init(struct backoff *backoff, unsigned min_ms, unsigned max_ms);

/* It worked: the next pause is a short one again. */
void backoff_reset(struct backoff *backoff);

/* Counts a failure; how long to wait before the next attempt, ms. */
unsigned backoff_next(struct backoff *backoff);

#endif
