/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/backoff.h"

#include "alerts/clock.h"

#include <sys/random.h>

void backoff_init(struct backoff *backoff, unsigned min_ms, unsigned max_ms)
{
	*backoff = (struct backoff){.min_ms = min_ms, .max_ms = max_ms};
	/* xorshift stands still at 0. */
	if (getrandom(&backoff->random, sizeof(backoff->random), GRND_NONBLOCK) < 0 ||
	    backoff->random == 0)
		backoff->random = (uint64_t)clock_now_ns(CLOCK_MONOTONIC) | 1;
}

void backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}

unsigned backoff_next(struct backoff *backoff)
{
	unsigned shift = backoff->failures < 16 ? backoff->failures : 16;
	uint64_t pause = (uint64_t)backoff->min_ms << shift;

	backoff->failures++;
	if (pause > backoff->max_ms)
		pause = backoff->max_ms;
	/* xorshift64 (Marsaglia 2003): enough to spread sensors, no more than that. */
	backoff->random ^= backoff->random << 13;
	backoff->random ^= backoff->random >> 7;
	backoff->random ^= backoff->random << 17;
	return (unsigned)(pause / 2 + backoff->random % (pause / 2 + 1));
}
