/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker: its pipeline, and what it tells the judge: by calling it, or through a queue that is
 * heard by the judge's thread or by the one worker that calls it. With a thread it takes its lane
 * of each batch in turn; without one the caller, the reader, gives it packets.
 */
#ifndef SENSOR_WORKER_H
#define SENSOR_WORKER_H

#include "sensor/batch.h"
#include "sensor/judge.h"
#include "sensor/observation_queue.h"
#include "sensor/pipeline.h"

struct worker {
	unsigned number;
	struct batch_ring *batches; /* where it takes batches from, or the reader's; borrowed */
	struct judge *judge;        /* called; NULL: another hears what was told */
	struct wake *judge_wake;    /* who hears it waits here for reached; borrowed */
	struct worker *other;       /* whom it hears, as it calls the judge; NULL: nobody */
	struct pipeline *pipeline;
	struct observation_queue told;
	/* Everything before this ordinal has been told. */
	_Alignas(64) _Atomic uint64_t reached;
	pthread_t thread;
	bool started;
};

/* The judge waits for whatever comes, once it is worth while: the value of wake.wanted. */
#define WORKER_ANYTHING (WAKE_NOBODY - 1)

/* Who hears a worker: one of the first two, borrowed. */
struct worker_hearer {
	struct judge *judge;
	struct wake *judge_wake;
	struct worker *other; /* with the judge: another one, whom this one hears; NULL: nobody */
};

/* Makes a worker, without a thread so far. False when memory is out: nothing is to be freed. */
bool worker_init(struct worker *worker, unsigned number, const struct pipeline_config *config,
		 struct worker_hearer hearer);

/* Starts its thread, which takes batches. False when threads are out. */
bool worker_start(struct worker *worker, struct batch_ring *batches);

/* ---- what it is given, without a thread by the caller ---- */

void worker_packet(struct worker *worker, const struct followed_packet *packet);
void worker_clock(struct worker *worker, int64_t clock_ns, uint64_t ordinal);
void worker_dns(struct worker *worker, const struct dns_answers *answers, int64_t time_ns,
		uint64_t ordinal);

/* The end of input: what is open is closed. */
void worker_finish(struct worker *worker, int64_t clock_ns, uint64_t ordinal);

/*
 * The reader's own: everything before that ordinal was told. From then on the batches that end
 * there may be handed out.
 */
void worker_reached(struct worker *worker, uint64_t ordinal);

/* ---- who hears it ---- */

/* The judge hears what it told first, of what was not heard yet; there is something. */
void worker_hear(struct worker *worker, struct judge *judge);

/* ---- the end ---- */

/* After the last batch: waits for the thread, if there is one. Its pipeline stays. */
void worker_join(struct worker *worker);

/* The queue has to be empty of certificates that others hold. */
void worker_free(struct worker *worker);

#endif
