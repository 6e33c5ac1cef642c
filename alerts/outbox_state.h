/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two locks. queue_lock guards the queue, the sequence and the counters and is
 * never held over I/O: it is the only one that outbox_put() and outbox_stats()
 * take. files_lock guards chains and cursor and is held over reads and writes by
 * writer, reader and syncer. Order: files_lock before queue_lock.
 *
 * What the files of the outbox share; nobody else includes this.
 */
#ifndef ALERTS_OUTBOX_STATE_H
#define ALERTS_OUTBOX_STATE_H

#include "alerts/outbox.h"
#include "alerts/outbox_chain.h"
#include "alerts/outbox_cursor.h"
#include "alerts/outbox_queue.h"

#include <pthread.h>
#include <time.h>

/* Where a record of a batch came from. */
struct outbox_place {
	bool on_disk;
	struct outbox_position behind; /* the place in its chain behind it */
};

struct outbox {
	struct outbox_config config;
	struct notices *notices;
	int64_t day_ns; /* time of day less CLOCK_BOOTTIME, when it was opened */
	int directory;
	int lock_fd;
	int wake_fd;

	pthread_mutex_t queue_lock;
	pthread_cond_t work; /* for the writer: an alert came, or stop */
	pthread_cond_t room; /* for outbox_put(): the queue became shorter */
	struct outbox_queue queue;
	bool woken; /* wake_fd is readable */
	uint64_t next_sequence;
	uint64_t progress;         /* counts what left the queue */
	uint64_t stalled_progress; /* progress when a put waited in vain, or UINT64_MAX */
	bool stopping;
	struct outbox_stats stats;

	pthread_mutex_t files_lock;
	pthread_cond_t sync_work;
	struct outbox_chain chains[OUTBOX_SEVERITIES];
	size_t chains_open;
	struct outbox_cursor cursor;
	uint64_t acknowledged;
	bool cursor_dirty;
	bool sync_stopping;
	uint64_t disk_dropped[OUTBOX_SEVERITIES];
	uint64_t expired;
	uint8_t *read_buffers[OUTBOX_SEVERITIES];
	size_t read_buffer_size;

	pthread_t writer, syncer;
	bool writer_runs, syncer_runs;
};

/*
 * The time of day, as the clock of the day went on since the outbox was opened: a clock that
 * is set while the sensor runs (NTP after a boot in 1970) makes no alert old.
 */
int64_t outbox_now_ns(const struct outbox *outbox);

/* ms from now, for pthread_cond_timedwait() on the outbox's conditions. */
struct timespec outbox_deadline(unsigned ms);

/* Once is enough until the reader has looked. Needs queue_lock. */
void outbox_wake_reader(struct outbox *outbox);

/* Says what, with the text of an errno unless that is 0. */
void outbox_notice(struct outbox *outbox, enum notice_level level, const char *what, int error);

/* Of all chains. Needs files_lock. */
uint64_t outbox_disk_bytes(const struct outbox *outbox);

/* Copies what the chains know to where outbox_stats() may look. Needs files_lock. */
void outbox_publish_stats(struct outbox *outbox);

/* Starts writer and syncer; 0 or an errno. They take none of the program's signals. */
int outbox_start_threads(struct outbox *outbox);

/* Syncs what is dirty. Needs files_lock, which is given up meanwhile. */
void outbox_sync_files(struct outbox *outbox);

#endif
