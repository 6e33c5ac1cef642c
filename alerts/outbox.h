/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox: alerts that were raised and that Redis has not taken yet.
 *
 * outbox_put() copies an alert into a bounded queue and returns; a thread of
 * the outbox writes it to disk at once, and from then on the alert is real: it
 * survives the death of the process. A second thread syncs to the medium
 * within sync_ms, so that it survives a power cut as well, and stores the
 * cursor. One reader takes the alerts out in the order of raising and says what
 * was acknowledged. Without a directory the queue in memory is all there is.
 *
 * When the disk takes nothing (full, read-only, failing) alerts stay in the
 * queue, from which the reader can take them too; that is counted and said.
 * At a cap the lowest severity goes first.
 *
 * Thread-safe: any thread may put; one thread reads.
 */
#ifndef ALERTS_OUTBOX_H
#define ALERTS_OUTBOX_H

#include "alerts/notices.h"
#include "alerts/outbox_record.h"

struct outbox_config {
	const char *directory;   /* made if missing; NULL: memory only */
	size_t queue_bytes;      /* of alerts that wait for the disk, or for Redis without a disk */
	uint64_t disk_bytes;     /* all segment files together */
	uint64_t segment_bytes;  /* one file; at most disk_bytes / 8 makes sense */
	size_t max_segments;     /* files of one severity */
	size_t max_record_bytes; /* one alert; a longer one is refused and counted */
	uint64_t dead_letter_bytes; /* of the dead-letter file; the previous one is kept as .1 */
	int64_t max_age_s;          /* older files are dropped and counted; 0: never */
	unsigned sync_ms;           /* how long a written alert may wait for the medium */
	unsigned put_wait_ms;       /* outbox_put() waits for room; 0 (live): it never waits */
	bool keep_delivered; /* keep delivered files as "done-*": a journal, for tests and audits */
};

/* What has happened since the outbox was opened. */
struct outbox_stats {
	uint64_t taken;                      /* alerts that were put */
	uint64_t written;                    /* records on disk, of these */
	uint64_t acknowledged;               /* alerts that the reader is done with */
	uint64_t recovered;                  /* alerts found on disk when it was opened */
	uint64_t pending;                    /* alerts that wait now */
	uint64_t pending_bytes;              /* of segment files and queue */
	uint64_t dropped[OUTBOX_SEVERITIES]; /* lost at a cap, by severity */
	uint64_t expired;                    /* lost by age */
	uint64_t too_large;                  /* refused */
	uint64_t dead_letters;               /* put aside */
	uint64_t torn_tails, torn_bytes;     /* cut off at recovery */
	uint64_t corrupt_regions, corrupt_records;
	uint64_t write_errors, sync_errors;
	bool degraded; /* the disk takes nothing at the moment */
};

struct outbox;

enum outbox_put_result {
	OUTBOX_TAKEN,
	OUTBOX_FULL,      /* no room, and nothing of lower severity to drop: lost, counted */
	OUTBOX_TOO_LARGE, /* longer than max_record_bytes: lost, counted */
};

/*
 * Opens the outbox. NULL when it cannot be used: another sensor has it, it
 * cannot be written, it is of a newer format; why stands in error. notices is
 * borrowed and may be NULL.
 */
struct outbox *outbox_open(const struct outbox_config *config, struct notices *notices, char *error,
			   size_t error_size);

/* Writes what is in the queue, syncs, stores the cursor, and frees. NULL is allowed. */
void outbox_close(struct outbox *outbox);

/*
 * Hands an alert over by copy; sequence and raised_ns of the record are
 * assigned here. Waits for nothing but a lock that nobody holds over I/O
 * (unless put_wait_ms says otherwise).
 */
enum outbox_put_result outbox_put(struct outbox *outbox, const struct outbox_record *record);

/* The alerts of one read. Filled by outbox_read(); the spans point into its own memory. */
struct outbox_batch {
	struct outbox_record *records;
	struct outbox_place *places; /* where each came from; opaque */
	size_t count;
	size_t capacity;
	uint8_t *bytes;
	size_t used;
	size_t size;
};

/* Room for capacity records of together size bytes (at least max_record_bytes). False: no memory.
 */
bool outbox_batch_init(struct outbox_batch *batch, size_t capacity, size_t size);
void outbox_batch_free(struct outbox_batch *batch);

/*
 * The oldest alerts that are not acknowledged, in the order of raising, up to
 * limit and to what the batch holds. Says the same again until they are
 * acknowledged. With after, an earlier read that is not empty: those behind it.
 */
void outbox_read(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
		 const struct outbox_batch *after);

/* The first count records of the last batch are done. */
void outbox_acknowledge(struct outbox *outbox, const struct outbox_batch *batch, size_t count);

/*
 * Keeps an alert that Redis will never take aside, with the reason, in
 * dead-letter.jsonl. It still has to be acknowledged. False when it could not
 * be written (or there is no directory): it is counted all the same.
 */
bool outbox_dead_letter(struct outbox *outbox, const struct outbox_record *record,
			const char *reason);

/* A descriptor to poll: readable when there may be something to read. Owned by the outbox. */
int outbox_wake_fd(const struct outbox *outbox);

/* Never waits for the disk. */
struct outbox_stats outbox_stats(struct outbox *outbox);

#endif
