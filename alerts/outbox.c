/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/outbox_state.h"

#include "alerts/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BUFFER_STEP ((size_t)64 << 10)

int64_t outbox_now_ns(const struct outbox *outbox)
{
	return clock_now_ns(CLOCK_BOOTTIME) + outbox->day_ns;
}

struct timespec outbox_deadline(unsigned ms)
{
	return clock_time_of_ms(clock_monotonic_ms() + ms);
}

void outbox_wake_reader(struct outbox *outbox)
{
	const uint64_t one = 1;

	if (outbox->woken)
		return;
	outbox->woken = true;
	(void)!write(outbox->wake_fd, &one, sizeof(one));
}

void outbox_notice(struct outbox *outbox, enum notice_level level, const char *what, int error)
{
	if (outbox->notices == NULL)
		return;
	if (error != 0) {
		char reason[96];
		notices_add(outbox->notices, level, "outbox: %s: %s", what,
			    strerror_r(error, reason, sizeof(reason)));
	} else {
		notices_add(outbox->notices, level, "outbox: %s", what);
	}
}

uint64_t outbox_disk_bytes(const struct outbox *outbox)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		bytes += outbox->chains[i].bytes;
	return bytes;
}

void outbox_publish_stats(struct outbox *outbox)
{
	struct outbox_chain_stats sum = {0};
	uint64_t records = 0;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++) {
		const struct outbox_chain *chain = &outbox->chains[i];
		sum.torn_tails += chain->stats.torn_tails;
		sum.torn_bytes += chain->stats.torn_bytes;
		sum.corrupt_regions += chain->stats.corrupt_regions;
		sum.corrupt_records += chain->stats.corrupt_records;
		records += chain->records;
	}
	pthread_mutex_lock(&outbox->queue_lock);
	outbox->stats.torn_tails = sum.torn_tails;
	outbox->stats.torn_bytes = sum.torn_bytes;
	outbox->stats.corrupt_regions = sum.corrupt_regions;
	outbox->stats.corrupt_records = sum.corrupt_records;
	outbox->stats.pending = records;
	outbox->stats.pending_bytes = outbox_disk_bytes(outbox);
	outbox->stats.expired = outbox->expired;
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		outbox->stats.dropped[i] = outbox->disk_dropped[i];
	pthread_mutex_unlock(&outbox->queue_lock);
}

static struct outbox *fail(struct outbox *outbox, char *error, size_t error_size, const char *what,
			   int number)
{
	char reason[96];

	(void)snprintf(error, error_size, "outbox %s: %s%s%s", outbox->config.directory, what,
		       number != 0 ? ": " : "",
		       number != 0 ? strerror_r(number, reason, sizeof(reason)) : "");
	outbox_close(outbox);
	return NULL;
}

static int open_chains(struct outbox *outbox)
{
	const struct outbox_chain_config chain_config = {
	    .segment_bytes = outbox->config.segment_bytes,
	    .max_segments = outbox->config.max_segments,
	    .max_record_bytes = outbox->config.max_record_bytes,
	    .keep_delivered = outbox->config.keep_delivered,
	};

	outbox->read_buffer_size = outbox->config.max_record_bytes + READ_BUFFER_STEP;
	for (unsigned i = 0; i < OUTBOX_SEVERITIES; i++) {
		struct outbox_chain *chain = &outbox->chains[i];
		outbox->read_buffers[i] = malloc(outbox->read_buffer_size);
		if (outbox->read_buffers[i] == NULL)
			return ENOMEM;
		int error = outbox_chain_open(chain, &chain_config, outbox->directory, i,
					      outbox->acknowledged);
		if (error != 0)
			return error;
		outbox->chains_open = i + 1;
		outbox->stats.recovered += chain->records;
		/* The cursor may be ahead of what a power cut left of the files: never reuse. */
		if (chain->last >= outbox->next_sequence)
			outbox->next_sequence = chain->last + 1;
	}
	return 0;
}

static struct outbox *open_directory(struct outbox *outbox, char *error, size_t error_size)
{
	const char *path = outbox->config.directory;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return fail(outbox, error, error_size, "cannot be made", errno);
	outbox->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (outbox->directory < 0)
		return fail(outbox, error, error_size, "cannot be opened", errno);
	outbox->lock_fd = openat(outbox->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (outbox->lock_fd < 0)
		return fail(outbox, error, error_size, "cannot be written", errno);
	if (flock(outbox->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return fail(outbox, error, error_size, "in use by another sensor", 0);
	int number = outbox_cursor_open(&outbox->cursor, outbox->directory);
	if (number != 0)
		return fail(outbox, error, error_size, "cannot open the cursor", number);
	outbox->acknowledged = outbox->cursor.acknowledged;
	outbox->next_sequence = outbox->acknowledged + 1;
	number = open_chains(outbox);
	if (number == EPROTO)
		return fail(outbox, error, error_size, "written by a newer version", 0);
	if (number != 0)
		return fail(outbox, error, error_size, "cannot be recovered", number);
	outbox_publish_stats(outbox);
	number = outbox_start_threads(outbox);
	if (number != 0)
		return fail(outbox, error, error_size, "cannot start a thread", number);
	if (outbox->stats.torn_tails > 0)
		outbox_notice(outbox, NOTICE_WARNING, "the torn end of a file was cut off", 0);
	if (outbox->stats.corrupt_regions > 0)
		outbox_notice(outbox, NOTICE_ERROR, "damaged bytes were stepped over", 0);
	pthread_mutex_lock(&outbox->queue_lock);
	outbox_wake_reader(outbox);
	pthread_mutex_unlock(&outbox->queue_lock);
	return outbox;
}

struct outbox *outbox_open(const struct outbox_config *config, struct notices *notices, char *error,
			   size_t error_size)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));
	pthread_condattr_t monotonic;

	if (outbox == NULL) {
		(void)snprintf(error, error_size, "outbox: out of memory");
		return NULL;
	}
	outbox->config = *config;
	outbox->notices = notices;
	outbox->day_ns = clock_now_ns(CLOCK_REALTIME) - clock_now_ns(CLOCK_BOOTTIME);
	outbox->directory = -1;
	outbox->lock_fd = -1;
	outbox->cursor.fd = -1;
	outbox->next_sequence = 1;
	outbox->stalled_progress = UINT64_MAX;
	outbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	outbox_queue_init(&outbox->queue, config->queue_bytes);
	pthread_mutex_init(&outbox->queue_lock, NULL);
	pthread_mutex_init(&outbox->files_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&outbox->work, &monotonic);
	pthread_cond_init(&outbox->room, &monotonic);
	pthread_cond_init(&outbox->sync_work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (config->directory == NULL)
		return outbox;
	return open_directory(outbox, error, error_size);
}

void outbox_close(struct outbox *outbox)
{
	if (outbox == NULL)
		return;
	pthread_mutex_lock(&outbox->queue_lock);
	outbox->stopping = true;
	pthread_cond_broadcast(&outbox->work);
	pthread_mutex_unlock(&outbox->queue_lock);
	if (outbox->writer_runs)
		(void)pthread_join(outbox->writer, NULL);
	pthread_mutex_lock(&outbox->files_lock);
	outbox->sync_stopping = true;
	pthread_cond_broadcast(&outbox->sync_work);
	pthread_mutex_unlock(&outbox->files_lock);
	if (outbox->syncer_runs)
		(void)pthread_join(outbox->syncer, NULL);

	pthread_mutex_lock(&outbox->files_lock);
	if (outbox->syncer_runs) {
		outbox_sync_files(outbox);
		for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
			outbox_chain_trim(&outbox->chains[i], true);
	}
	pthread_mutex_unlock(&outbox->files_lock);
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++) {
		if (i < outbox->chains_open)
			outbox_chain_close(&outbox->chains[i]);
		free(outbox->read_buffers[i]);
	}
	outbox_queue_clear(&outbox->queue);
	outbox_cursor_close(&outbox->cursor);
	if (outbox->lock_fd >= 0)
		(void)close(outbox->lock_fd);
	if (outbox->directory >= 0)
		(void)close(outbox->directory);
	if (outbox->wake_fd >= 0)
		(void)close(outbox->wake_fd);
	pthread_cond_destroy(&outbox->work);
	pthread_cond_destroy(&outbox->room);
	pthread_cond_destroy(&outbox->sync_work);
	pthread_mutex_destroy(&outbox->queue_lock);
	pthread_mutex_destroy(&outbox->files_lock);
	free(outbox);
}

/*
 * Waits until the queue has room, but only while something leaves it: after
 * one wait in vain nothing waits until there is progress again. Needs queue_lock.
 */
static void wait_for_room(struct outbox *outbox, const struct outbox_record *record)
{
	struct timespec at = outbox_deadline(outbox->config.put_wait_ms);

	while (!outbox_queue_has_room(&outbox->queue, record)) {
		if (outbox->stalled_progress == outbox->progress)
			return;
		if (pthread_cond_timedwait(&outbox->room, &outbox->queue_lock, &at) != 0) {
			outbox->stalled_progress = outbox->progress;
			return;
		}
	}
}

enum outbox_put_result outbox_put(struct outbox *outbox, const struct outbox_record *record)
{
	struct outbox_record copy = *record;
	size_t size = outbox_record_size(record);

	copy.raised_ns = outbox_now_ns(outbox);
	pthread_mutex_lock(&outbox->queue_lock);
	if (size == 0 || size > outbox->config.max_record_bytes) {
		outbox->stats.too_large++;
		pthread_mutex_unlock(&outbox->queue_lock);
		return OUTBOX_TOO_LARGE;
	}
	if (outbox->config.put_wait_ms > 0)
		wait_for_room(outbox, record);
	copy.sequence = outbox->next_sequence;
	bool taken = outbox_queue_push(&outbox->queue, &copy);
	if (taken) {
		outbox->next_sequence++;
		outbox->stats.taken++;
		pthread_cond_signal(&outbox->work);
	}
	if (outbox->config.directory == NULL)
		outbox_wake_reader(outbox);
	pthread_mutex_unlock(&outbox->queue_lock);
	return taken ? OUTBOX_TAKEN : OUTBOX_FULL;
}

int outbox_wake_fd(const struct outbox *outbox)
{
	return outbox->wake_fd;
}

struct outbox_stats outbox_stats(struct outbox *outbox)
{
	pthread_mutex_lock(&outbox->queue_lock);
	struct outbox_stats stats = outbox->stats;
	stats.pending += outbox->queue.count;
	stats.pending_bytes += outbox->queue.bytes;
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		stats.dropped[i] += outbox->queue.dropped[i];
	pthread_mutex_unlock(&outbox->queue_lock);
	return stats;
}
