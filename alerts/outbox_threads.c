/* SPDX-License-Identifier: Apache-2.0 */
/* The two threads of the outbox: one writes at once, one syncs within the promised time. */
#include "alerts/outbox_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define RETRY_MS        200  /* between attempts while the disk takes nothing */
#define EXPIRE_EVERY_MS 1000 /* how often ages are looked at */
#define WRITES_IN_A_ROW 64   /* while the lock of the files is held */

/* Makes room for size bytes of this severity at the cap: the lowest severity goes first. */
static bool make_room(struct outbox *outbox, unsigned severity, size_t size)
{
	/* A new file may be needed, whose header counts. */
	uint64_t need = (uint64_t)size + OUTBOX_SEGMENT_HEADER_SIZE;

	if (need > outbox->config.disk_bytes)
		return false;
	if (outbox_disk_bytes(outbox) + need <= outbox->config.disk_bytes)
		return true;
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		outbox_chain_trim(&outbox->chains[i], true);
	for (unsigned victim = 0; victim <= severity; victim++) {
		struct outbox_chain *chain = &outbox->chains[victim];
		while (outbox_disk_bytes(outbox) + need > outbox->config.disk_bytes &&
		       chain->count > 0) {
			if (outbox->disk_dropped[victim] == 0)
				outbox_notice(
				    outbox, NOTICE_ERROR,
				    "full: the oldest alerts of the lowest severity are dropped",
				    0);
			outbox->disk_dropped[victim] += outbox_chain_drop_oldest(chain);
		}
	}
	return outbox_disk_bytes(outbox) + need <= outbox->config.disk_bytes;
}

/* Writes one item. 0: it is on disk, or was dropped at the cap (counted); else an errno. */
static int store_item(struct outbox *outbox, const struct outbox_item *item, bool *written)
{
	struct outbox_chain *chain = &outbox->chains[item->severity];

	*written = false;
	if (!make_room(outbox, item->severity, item->size)) {
		outbox->disk_dropped[item->severity]++;
		return 0;
	}
	struct span bytes = span_of(item->bytes, item->size);
	int error = outbox_chain_append(chain, bytes, item->sequence, item->raised_ns);
	if (error == EMLINK) {
		outbox->disk_dropped[item->severity] += outbox_chain_drop_oldest(chain);
		error = outbox_chain_append(chain, bytes, item->sequence, item->raised_ns);
	}
	*written = error == 0;
	return error;
}

/* Notes whether the disk takes alerts, and says so when that changed. Needs queue_lock. */
static void set_degraded(struct outbox *outbox, int error)
{
	bool degraded = error != 0;

	if (degraded == outbox->stats.degraded)
		return;
	outbox->stats.degraded = degraded;
	if (degraded)
		outbox_notice(outbox, NOTICE_ERROR, "cannot write, alerts are kept in memory",
			      error);
	else
		outbox_notice(outbox, NOTICE_INFO, "writes to disk again", 0);
}

/*
 * Writes items until the queue is empty, the disk refuses one, or WRITES_IN_A_ROW are
 * done, so that reader and syncer get their turn. Needs both locks, the queue's is given
 * up for each write. Returns 0 or the errno of the refusal.
 */
static int write_items(struct outbox *outbox)
{
	const struct outbox_item *item;
	int error = 0;

	for (unsigned i = 0; i < WRITES_IN_A_ROW && error == 0; i++) {
		item = outbox_queue_first(&outbox->queue);
		if (item == NULL)
			break;
		bool written = false;
		/* One that was sent from memory while the disk took nothing need not be written. */
		if (item->sequence > outbox->acknowledged) {
			outbox->queue.busy = item;
			pthread_mutex_unlock(&outbox->queue_lock);
			error = store_item(outbox, item, &written);
			pthread_mutex_lock(&outbox->queue_lock);
			outbox->queue.busy = NULL;
			set_degraded(outbox, error);
		}
		if (error != 0) {
			outbox->stats.write_errors++;
			break;
		}
		outbox->stats.written += written;
		outbox->stats.pending += written; /* it never vanishes from sight */
		outbox_queue_remove_first(&outbox->queue);
		outbox->progress++;
	}
	pthread_cond_signal(&outbox->room);
	return error;
}

static void *run_writer(void *argument)
{
	struct outbox *outbox = argument;

	pthread_mutex_lock(&outbox->queue_lock);
	for (;;) {
		if (outbox_queue_first(&outbox->queue) == NULL) {
			if (outbox->stopping)
				break;
			pthread_cond_wait(&outbox->work, &outbox->queue_lock);
			continue;
		}
		/* The order of the locks. */
		pthread_mutex_unlock(&outbox->queue_lock);
		pthread_mutex_lock(&outbox->files_lock);
		pthread_mutex_lock(&outbox->queue_lock);
		int error = write_items(outbox);
		outbox_wake_reader(outbox);
		pthread_mutex_unlock(&outbox->queue_lock);
		outbox_publish_stats(outbox);
		pthread_cond_signal(&outbox->sync_work);
		pthread_mutex_unlock(&outbox->files_lock);

		pthread_mutex_lock(&outbox->queue_lock);
		if (error != 0) {
			if (outbox->stopping)
				break; /* what is left in memory is counted as pending */
			struct timespec at = outbox_deadline(RETRY_MS);
			(void)pthread_cond_timedwait(&outbox->work, &outbox->queue_lock, &at);
		}
	}
	pthread_mutex_unlock(&outbox->queue_lock);
	return NULL;
}

/* Syncs what is dirty. Descriptors are doubled so that the lock is not held meanwhile. */
void outbox_sync_files(struct outbox *outbox)
{
	int fds[OUTBOX_SEVERITIES + 2];
	size_t count = 0;
	bool names = false;
	int error = 0;

	if (outbox->cursor_dirty) {
		outbox->cursor_dirty = false;
		error = outbox_cursor_store(&outbox->cursor, outbox->acknowledged);
		if (error == 0)
			fds[count++] = fcntl(outbox->cursor.fd, F_DUPFD_CLOEXEC, 0);
	}
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++) {
		struct outbox_chain *chain = &outbox->chains[i];
		if (chain->dirty && chain->fd >= 0)
			fds[count++] = fcntl(chain->fd, F_DUPFD_CLOEXEC, 0);
		chain->dirty = false;
		names = names || chain->names_dirty;
		chain->names_dirty = false;
	}
	pthread_mutex_unlock(&outbox->files_lock);
	for (size_t i = 0; i < count; i++) {
		if (fds[i] < 0 || fdatasync(fds[i]) != 0)
			error = errno;
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	if (names && fsync(outbox->directory) != 0)
		error = errno;
	if (error != 0) {
		pthread_mutex_lock(&outbox->queue_lock);
		bool first = outbox->stats.sync_errors++ == 0;
		pthread_mutex_unlock(&outbox->queue_lock);
		if (first)
			outbox_notice(outbox, NOTICE_ERROR, "cannot sync", error);
	}
	pthread_mutex_lock(&outbox->files_lock);
}

static void expire(struct outbox *outbox)
{
	int64_t oldest = outbox_now_ns(outbox) - outbox->config.max_age_s * 1000000000;
	uint64_t before = outbox->expired;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++) {
		struct outbox_chain *chain = &outbox->chains[i];
		while (chain->count > 0 && chain->segments[0].records > 0 &&
		       chain->segments[0].newest_ns < oldest)
			outbox->expired += outbox_chain_drop_oldest(chain);
	}
	if (outbox->expired == before)
		return;
	if (before == 0)
		outbox_notice(outbox, NOTICE_ERROR,
			      "alerts passed the greatest age and are dropped", 0);
	outbox_publish_stats(outbox);
}

static bool anything_dirty(const struct outbox *outbox)
{
	bool dirty = outbox->cursor_dirty;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		dirty = dirty || outbox->chains[i].dirty || outbox->chains[i].names_dirty;
	return dirty;
}

static void *run_syncer(void *argument)
{
	struct outbox *outbox = argument;
	/* Half the promise is spent waiting for more, the other half belongs to the medium. */
	unsigned pause_ms = outbox->config.sync_ms / 2 + 1;

	pthread_mutex_lock(&outbox->files_lock);
	while (!outbox->sync_stopping) {
		struct timespec at = outbox_deadline(EXPIRE_EVERY_MS);
		if (!anything_dirty(outbox))
			(void)pthread_cond_timedwait(&outbox->sync_work, &outbox->files_lock, &at);
		if (outbox->config.max_age_s > 0)
			expire(outbox);
		if (!anything_dirty(outbox))
			continue;
		pthread_mutex_unlock(&outbox->files_lock);
		(void)usleep(pause_ms * 1000);
		pthread_mutex_lock(&outbox->files_lock);
		outbox_sync_files(outbox);
		outbox_publish_stats(outbox);
	}
	pthread_mutex_unlock(&outbox->files_lock);
	return NULL;
}

/* The outbox's threads take none of the program's signals. */
int outbox_start_threads(struct outbox *outbox)
{
	sigset_t all;
	sigset_t before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&outbox->writer, NULL, run_writer, outbox);
	outbox->writer_runs = error == 0;
	if (error == 0) {
		error = pthread_create(&outbox->syncer, NULL, run_syncer, outbox);
		outbox->syncer_runs = error == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}
