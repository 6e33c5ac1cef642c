/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run's detector of nDPI (application.h). To start one takes longer than to read a small
 * capture, and its tables take some megabytes, so workers, and the captures of replay --separate,
 * share it: a question takes some 10 us, and few are asked. What it answers does not depend on who
 * asked before.
 *
 * Of any thread.
 */
#ifndef SENSOR_SHARED_DETECTOR_H
#define SENSOR_SHARED_DETECTOR_H

struct application_detector;
struct shared_detector;

/* Nothing is started yet. NULL when out of memory. */
struct shared_detector *shared_detector_create(void);

/* NULL is allowed. */
void shared_detector_destroy(struct shared_detector *shared);

/*
 * The detector, for the caller alone until it is given back; waits for others. NULL: none can be
 * started, and nothing is to be given back.
 */
struct application_detector *shared_detector_take(struct shared_detector *shared);
void shared_detector_give(struct shared_detector *shared);

#endif
