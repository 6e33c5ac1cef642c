/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observations as values, from one worker to the judge: a ring of bytes, one thread at each
 * end, bounded by size because an observation may be half a kilobyte or half a megabyte.
 */
#ifndef SENSOR_OBSERVATION_QUEUE_H
#define SENSOR_OBSERVATION_QUEUE_H

#include "alerts/observation.h"
#include "decoders/dns.h"
#include "sensor/wake.h"

struct observation_queue {
	uint8_t *bytes;
	uint64_t size; /* a power of two */
	/* Positions count up for ever; each is written by one side, and on a cache line of its own.
	 */
	_Alignas(64) _Atomic uint64_t written;
	uint64_t read_seen; /* the writer's last look at read, and */
	uint64_t need;      /* what it found no room for, bytes */
	_Alignas(64) _Atomic uint64_t read;
	struct wake room; /* the writer waits for read */
};

/*
 * size: of the ring, a power of two. max_message: what an observation may take with all that
 * it borrows; the ring is larger than size where two of these would not fit. False when out
 * of memory.
 */
bool observation_queue_init(struct observation_queue *queue, size_t size, size_t max_message);
void observation_queue_free(struct observation_queue *queue);

/*
 * Writer: copies the observation, its certificate is held until it is popped. False when
 * there is no room now: wait, then try again.
 */
bool observation_queue_put(struct observation_queue *queue, const struct observation *observation);

/* Writer: the same for DNS answers; of them only what is used. */
bool observation_queue_put_dns(struct observation_queue *queue, const struct dns_answers *answers,
			       int64_t time_ns, uint64_t ordinal);

/* Writer: waits until a good part of the ring is free. */
void observation_queue_wait(struct observation_queue *queue);

/* Writer: a quarter of the ring at least is used. */
bool observation_queue_fills(const struct observation_queue *queue);

/* Reader: where the first observation stands; NULL when there is none. */
const struct observation_place *observation_queue_first(struct observation_queue *queue);

/*
 * Reader: the first, of which there is one; valid until it is popped. Not NULL in *answers: it
 * is these, and of the observation only place and time_ns are meant.
 */
const struct observation *observation_queue_get(struct observation_queue *queue,
						const struct dns_answers **answers);
void observation_queue_pop(struct observation_queue *queue);

#endif
