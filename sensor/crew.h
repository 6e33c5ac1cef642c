/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers of one world, from frames to what the judge has heard.
 *
 * --workers counts threads. With one everything happens in the calling one. With more, the
 * caller is the reader: it decodes down to the TCP segment and deals packets, by the part that
 * their connection is of (flow_key.h), to threads with a pipeline each. With two there is one such
 * thread, which calls the judge; as to read is less work than that, the reader has a pipeline as
 * well, for a quarter of the connections. With more one thread drives the judge and hears the
 * others:
 *
 *     1   reads, pipeline, judges: each packet at once, or some packets later where what it needs
 *         is not near and is fetched meanwhile (lookahead.h)
 *     2   reads, pipeline | pipeline, judges
 *     3   reads | pipeline | judges
 *     N   reads | N - 2 pipelines | judges
 *
 * What the judge hears, and in which order, does not depend on the number:
 *
 *  - every packet has its ordinal and the common clock, every worker learns of each beat of
 *    that clock, and of what a worker tells the place follows from the input alone
 *    (observation.h);
 *  - the judge takes the observation with the first place, once every worker has either
 *    told one or passed that place.
 *
 * The one exception are caps: memory that sessions share is shared by those of one worker, but
 * for their dialogues (of one part). With the same number of workers the same comes out even then.
 *
 * Nobody waits in a circle: workers wait only for the judge (queue full) and for batches, the
 * judge only for workers that have a batch before the one in question, the reader only for
 * workers. The reader's own worker has told all of a batch's frames before that is handed out, and
 * before the reader waits for a place; where its queue is full, the reader hands out the batch that
 * is begun, and waits for nobody but the one thread, which hears what is in the queue whether it
 * waits for it, works or has nothing to do. Threads are woken when it is worth while, not for each
 * batch: whoever has to wait for another wakes it first.
 */
#ifndef SENSOR_CREW_H
#define SENSOR_CREW_H

#include "sensor/judge.h"
#include "sensor/pipeline.h"

#define CREW_MAX 64 /* threads, as --workers allows */

struct crew_config {
	unsigned workers;    /* threads, 1 .. CREW_MAX */
	uint32_t near_flows; /* of one thread: connections up to which they count as near */
	struct intake_config intake;
	struct pipeline_config pipeline;
};

struct crew;

/*
 * NULL when memory or threads are out. The judge is borrowed: while the crew is not at rest
 * (crew_rest()) it is driven by a thread of the crew's, and so are its sinks.
 */
struct crew *crew_create(const struct crew_config *config, struct judge *judge);

/* After crew_finish(), or without: then what was not judged yet is lost. NULL is allowed. */
void crew_destroy(struct crew *crew);

/*
 * One frame. Its window, if it has one, is retained as long as a worker needs it; without one a
 * frame that goes into a batch is copied.
 */
void crew_frame(struct crew *crew, const struct capture_packet *captured);

/* Time went on without a frame. */
void crew_clock(struct crew *crew, int64_t time_ns, uint64_t ordinal);

/*
 * Gives windows back that workers are done with, after waiting for that; false when none is
 * retained. For a reader whose pool of windows is at its cap.
 */
bool crew_relieve(struct crew *crew);

/* Everything that was given so far is judged when this returns, and nobody is at work. */
void crew_rest(struct crew *crew);

/* The end of input: what is open is closed and judged. The crew is at rest. */
void crew_finish(struct crew *crew, uint64_t ordinal);

/* To be read while the crew is at rest. */
const struct intake *crew_intake(const struct crew *crew);
unsigned crew_size(const struct crew *crew); /* pipelines */
const struct pipeline *crew_pipeline(const struct crew *crew, unsigned worker);
uint64_t
crew_unread(const struct crew *crew); /* packets and answers that found no memory to be dealt */

#endif
