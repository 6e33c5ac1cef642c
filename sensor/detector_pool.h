/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nDPI's detectors of a run (application.h). To start one takes longer than to read a small
 * capture, so who needs one no longer leaves it for the next: a worker, or the same worker in the
 * next capture of replay --separate. What a detector answers does not depend on who had it before.
 *
 * Of any thread.
 */
#ifndef SENSOR_DETECTOR_POOL_H
#define SENSOR_DETECTOR_POOL_H

struct application_detector;
struct detector_pool;

/* NULL when out of memory. */
struct detector_pool *detector_pool_create(void);

/* All detectors have been given back. NULL is allowed. */
void detector_pool_destroy(struct detector_pool *pool);

/*
 * One for the caller alone, until it is given back; NULL when none can be started. Without a
 * pool (NULL) one is started each time, and taken apart when it is given back.
 */
struct application_detector *detector_pool_take(struct detector_pool *pool);

/* NULL is allowed. */
void detector_pool_give(struct detector_pool *pool, struct application_detector *detector);

#endif
