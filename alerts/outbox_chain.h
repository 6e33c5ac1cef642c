/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment files of one severity: "<severity>-<first sequence>.seg", in the
 * order of raising, each append-only (see outbox_record.h for the bytes).
 *
 * What a crash left is put right when the chain is opened: a torn record at the
 * end of a file is cut off and counted, damage in the middle is stepped over and
 * counted. Nothing here starts a thread or takes a lock.
 */
#ifndef ALERTS_OUTBOX_CHAIN_H
#define ALERTS_OUTBOX_CHAIN_H

#include "alerts/outbox_record.h"

#include <stdbool.h>

struct outbox_chain_config {
	uint64_t segment_bytes;  /* a file that has grown past this is followed by a new one */
	size_t max_segments;     /* files of one severity */
	size_t max_record_bytes; /* longest encoded record */
	bool keep_delivered;     /* delivered files are renamed to "done-...", not removed */
};

struct outbox_segment {
	uint64_t first;    /* sequence in its name */
	uint64_t size;     /* bytes of header and whole records */
	uint64_t records;  /* records in it that are not done */
	int64_t newest_ns; /* when its last record was raised */
};

/* What happened to this chain's files since it was opened. */
struct outbox_chain_stats {
	uint64_t torn_tails;      /* files whose end was cut off */
	uint64_t torn_bytes;      /* bytes cut off */
	uint64_t corrupt_regions; /* damaged places that were stepped over */
	uint64_t corrupt_records; /* records that were there once and cannot be read any more */
};

struct outbox_chain {
	struct outbox_chain_config config;
	struct outbox_chain_stats stats;
	int directory;
	unsigned severity;
	struct outbox_segment *segments; /* oldest first; owned */
	size_t count;
	int fd;               /* of the newest segment, open for writing, or -1 */
	bool dirty;           /* something was written since the last sync */
	bool names_dirty;     /* a file was made since the last sync of the directory */
	uint64_t done_offset; /* in the oldest segment: where the first record not done starts */
	uint64_t bytes;       /* of all segments */
	uint64_t records;     /* not done, of all segments */
	uint64_t last;        /* highest sequence seen */
};

/* A place between two records. */
struct outbox_position {
	uint64_t segment; /* its first sequence */
	uint64_t offset;
};

/* Reads a chain from its first record not done, without changing it. */
struct outbox_chain_reader {
	const struct outbox_chain *chain;
	uint8_t *buffer; /* borrowed */
	size_t buffer_size;
	size_t index;    /* segment */
	uint64_t offset; /* of the next record in the file */
	uint64_t start;  /* file offset of buffer[0] */
	size_t filled;   /* valid bytes in buffer */
	int fd;          /* of that segment, or -1 */
	bool failed;     /* the file cannot be read at all: errno of it in error */
	int error;
};

/*
 * Opens the chain in directory (a descriptor, borrowed) and recovers it.
 * Records up to acknowledged are counted as done. Returns 0, or an errno;
 * EPROTO when a file is of a format version that this program does not know.
 */
int outbox_chain_open(struct outbox_chain *chain, const struct outbox_chain_config *config,
		      int directory, unsigned severity, uint64_t acknowledged);
void outbox_chain_close(struct outbox_chain *chain);

/*
 * Appends an encoded record. Returns 0 or an errno; then the chain is as it
 * was before. EMLINK: as many files as the chain may have.
 */
int outbox_chain_append(struct outbox_chain *chain, struct span encoded, uint64_t sequence,
			int64_t raised_ns);

/* Removes the oldest file. Returns how many records that were not done went with it. */
uint64_t outbox_chain_drop_oldest(struct outbox_chain *chain);

/* Removes files in which nothing is left to do; with everything, the newest one, too. */
void outbox_chain_trim(struct outbox_chain *chain, bool everything);

/* Everything in front of position was sent; count records are done with it. */
void outbox_chain_done(struct outbox_chain *chain, struct outbox_position position, uint64_t count);

/*
 * The buffer must hold max_record_bytes. from: a place that an earlier read gave, or NULL:
 * the first record not done. Where its file is gone, reading begins behind it.
 */
void outbox_chain_read_begin(struct outbox_chain_reader *reader, const struct outbox_chain *chain,
			     const struct outbox_position *from, uint8_t *buffer,
			     size_t buffer_size);
void outbox_chain_read_end(struct outbox_chain_reader *reader);

/*
 * The next record, which borrows from the reader's buffer until the next call,
 * and the place behind it. False at the end of what was written.
 */
bool outbox_chain_read(struct outbox_chain_reader *reader, struct outbox_record *record,
		       struct outbox_position *behind);

#endif
