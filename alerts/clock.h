/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system's clocks say: CLOCK_MONOTONIC for waits, CLOCK_REALTIME for what a person or
 * another host reads. Nothing that is judged goes by them: that is the time of packets.
 */
#ifndef ALERTS_CLOCK_H
#define ALERTS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* ns since the clock's beginning; of CLOCK_REALTIME since 1970-01-01 UTC. */
static inline int64_t clock_now_ns(clockid_t clock)
{
	struct timespec now;
	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What waits and their ends are counted in, ms. */
static inline int64_t clock_monotonic_ms(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000000;
}

/* The same as pthread_cond_timedwait() wants it. */
static inline struct timespec clock_time_of_ms(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

#endif
