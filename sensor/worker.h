/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker: a thread, its pipeline, and what it tells the judge: through a queue or, where it
 * is the only one, by calling it. It takes its lane of each batch in turn.
 */
#ifndef SENSOR_WORKER_H
#define SENSOR_WORKER_H

#include "sensor/batch.h"
#include "sensor/judge.h"
#include "sensor/observation_queue.h"
#include "sensor/pipeline.h"

struct worker {
	unsigned number;
	struct batch_ring *batches; /* borrowed */
	struct judge *judge;        /* called; NULL: it has a thread and hears what was told */
	struct wake *judge_wake;    /* that thread waits for reached; borrowed */
	struct pipeline *pipeline;
	struct observation_queue told;
	/* Everything before this ordinal has been told. */
	_Alignas(64) _Atomic uint64_t reached;
	pthread_t thread;
	bool started;
};

/* The judge waits for whatever comes, once it is worth while: the value of wake.wanted. */
#define WORKER_ANYTHING (WAKE_NOBODY - 1)

/* Who hears a worker: one of the two, borrowed. */
struct worker_hearer {
	struct judge *judge;
	struct wake *judge_wake;
};

/* Makes a worker and starts its thread. False when memory or threads are out. */
bool worker_start(struct worker *worker, unsigned number, const struct pipeline_config *config,
		  struct batch_ring *batches, struct worker_hearer hearer);

/* After the last batch: waits for the thread. Its pipeline stays. */
void worker_join(struct worker *worker);

/* The queue has to be empty of certificates that others hold. */
void worker_free(struct worker *worker);

#endif
