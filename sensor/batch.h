/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets on their way from the reader to the workers.
 *
 * A batch is a stretch of the input: it has a lane for each worker, with the packets that are
 * this worker's, and ends at the same ordinal for all of them. So a worker that gets no packet
 * still learns how far the input is. Batches stand in a ring; what the packets of one lie in
 * (windows of the capture, copies of reassembled datagrams) is held until every worker has
 * passed it, then the reader lets go of all of it: packets are not copied, nor counted one
 * by one.
 *
 * One reader; each worker takes its lanes in order. What the reader's own thread does is in no
 * batch (lookahead.h).
 */
#ifndef SENSOR_BATCH_H
#define SENSOR_BATCH_H

#include "sensor/capture_window.h"
#include "sensor/intake.h"
#include "sensor/limits.h"
#include "sensor/wake.h"

enum batch_kind {
	BATCH_CLOCK,  /* the clock is in another beat; of the packet only clock_ns and ordinal */
	BATCH_PACKET, /* a packet */
	/* DNS answers, for the judge: struct dns_answers without the facts behind count stands in
	   the frame; of the rest only time_ns and ordinal */
	BATCH_DNS,
};

/* Packets begin with a cache line: a worker that needs the first ones fetches no more. */
struct batch_slot {
	_Alignas(64) struct followed_packet packet;
};

/* What a worker is given, in order. */
struct batch_lane {
	struct batch_slot *slots;
	uint8_t *kinds; /* enum batch_kind */
	uint32_t count;
};

struct batch_copy;

struct batch {
	struct batch_lane *lanes;
	struct capture_window *windows[LIMIT_BATCH_WINDOWS];
	size_t window_count, window_bytes;
	struct batch_copy *copies;
	size_t copied; /* bytes */
	uint64_t end;  /* ordinal behind its last frame */
	bool full;     /* something of it is used up: to be sealed */
	bool last;     /* nothing comes behind it */
	bool finish;   /* the input ends with it: what is open is closed, at */
	int64_t clock_ns;
};

/* How far a worker is; on a cache line of its own, as others read it while it is written. */
struct batch_progress {
	_Alignas(64) _Atomic uint64_t passed; /* batches */
	struct wake wake;                     /* it waits for a batch */
};

struct batch_ring {
	unsigned workers;
	struct batch batches[LIMIT_BATCHES];
	struct batch_progress *progress; /* by worker */
	struct batch *open;              /* being filled; NULL: none */
	uint64_t end;                    /* ordinal behind the last frame; the reader sets it */
	uint64_t released;               /* batches whose windows the reader has let go of */
	_Alignas(64) _Atomic uint64_t sealed;
	_Atomic uint64_t dealt; /* of all frames before this ordinal the batches were handed out */
	struct wake room;       /* the reader waits for batches to be passed */
};

/* False when out of memory; then there is nothing to free. */
bool batch_ring_init(struct batch_ring *ring, unsigned workers);
void batch_ring_free(struct batch_ring *ring);

/* ---- the reader ---- */

/* The batch that is being filled; where there is none, one is opened. Waits for its place. */
struct batch *batch_open(struct batch_ring *ring);

/* Whether batch_open() would wait. */
bool batch_has_no_place(const struct batch_ring *ring);

/* The clock is in another beat, for this worker. */
void batch_add_clock(struct batch *batch, unsigned worker, int64_t clock_ns, uint64_t ordinal);

/* Where this worker's next packet is to be written; nothing is added yet. */
static inline struct followed_packet *batch_place(struct batch *batch, unsigned worker)
{
	struct batch_lane *lane = &batch->lanes[worker];
	return &lane->slots[lane->count].packet;
}

/*
 * Adds the packet that was written there. window: what holds its bytes; they are copied as far
 * as they do not lie in the frame, or all of them without a window. False when there is no
 * memory for that.
 */
bool batch_add_packet(struct batch *batch, unsigned worker, struct capture_window *window);

/* Answers that a worker passes on to the judge. False when there is no memory for them. */
bool batch_add_dns(struct batch *batch, unsigned worker, const struct dns_answers *answers,
		   int64_t time_ns, uint64_t ordinal);

/* Hands out the batch that is being filled, if there is one. */
void batch_seal(struct batch_ring *ring);

/* The reader waits for a worker: it hands out what there is, and who sleeps gets up. */
void batch_hurry(struct batch_ring *ring);

/*
 * Waits until the oldest batch that still holds something was passed, and lets go of it. False
 * when nothing is held.
 */
bool batch_relieve(struct batch_ring *ring);

/* Waits until all that was handed out was passed. */
void batch_drain(struct batch_ring *ring);

/* ---- a worker ---- */

/* The next batch; NULL: none yet. */
const struct batch *batch_next(struct batch_ring *ring, unsigned worker);

/*
 * Waits for it, as wake.h describes:
 *
 *     batch_wait_begin(ring, worker);
 *     while (batch_next(ring, worker) == NULL)
 *             batch_wait(ring, worker);
 *     batch_wait_end(ring, worker);
 */
void batch_wait_begin(struct batch_ring *ring, unsigned worker);
void batch_wait(struct batch_ring *ring, unsigned worker);
void batch_wait_end(struct batch_ring *ring, unsigned worker);

/*
 * Of all frames before this ordinal the batches were handed out: who has seen that, then none, has
 * passed all of them.
 */
uint64_t batch_dealt(const struct batch_ring *ring);

/* It is done with that batch. */
void batch_pass(struct batch_ring *ring, unsigned worker);

#endif
