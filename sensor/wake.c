/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/wake.h"

bool wake_init(struct wake *wake)
{
	atomic_init(&wake->wanted, WAKE_NOBODY);
	if (pthread_mutex_init(&wake->lock, NULL) != 0)
		return false;
	if (pthread_cond_init(&wake->reached, NULL) == 0)
		return true;
	(void)pthread_mutex_destroy(&wake->lock);
	return false;
}

void wake_free(struct wake *wake)
{
	(void)pthread_cond_destroy(&wake->reached);
	(void)pthread_mutex_destroy(&wake->lock);
}

void wake_begin(struct wake *wake, uint64_t wanted)
{
	(void)pthread_mutex_lock(&wake->lock);
	atomic_store(&wake->wanted, wanted);
}

void wake_sleep(struct wake *wake)
{
	(void)pthread_cond_wait(&wake->reached, &wake->lock);
}

void wake_end(struct wake *wake)
{
	atomic_store(&wake->wanted, WAKE_NOBODY);
	(void)pthread_mutex_unlock(&wake->lock);
}

void wake_up(struct wake *wake)
{
	/* The lock: between its last look and its sleep the waiter cannot be missed. */
	(void)pthread_mutex_lock(&wake->lock);
	(void)pthread_cond_signal(&wake->reached);
	(void)pthread_mutex_unlock(&wake->lock);
}
