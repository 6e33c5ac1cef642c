/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a number that another thread counts up, without a lock as long as nobody waits.
 *
 * The number itself is an atomic of the caller's. The one who waits says how far it has to
 * get, so that the other wakes it once and not at every step:
 *
 *     wake_begin(&wake, wanted);                  // one thread only
 *     while (atomic_load(&number) < wanted)
 *             wake_sleep(&wake);
 *     wake_end(&wake);
 *
 *     atomic_store(&number, now);                 // any thread
 *     wake_reached(&wake, now);
 *
 * All are sequentially consistent: either the waiter sees the number, or the other sees the
 * waiter.
 */
#ifndef SENSOR_WAKE_H
#define SENSOR_WAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct wake {
	pthread_mutex_t lock;
	pthread_cond_t reached;
	_Atomic uint64_t wanted; /* WAKE_NOBODY: nobody waits */
};

#define WAKE_NOBODY UINT64_MAX

bool wake_init(struct wake *wake);
void wake_free(struct wake *wake);

void wake_begin(struct wake *wake, uint64_t wanted);
void wake_sleep(struct wake *wake);
void wake_end(struct wake *wake);

/* Wakes the one who waits, whatever for. */
void wake_up(struct wake *wake);

static inline void wake_reached(struct wake *wake, uint64_t now)
{
	uint64_t wanted = atomic_load(&wake->wanted);
	if (wanted != WAKE_NOBODY && now >= wanted)
		wake_up(wake);
}

#endif
