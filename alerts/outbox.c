/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two locks. queue_lock guards the queue, the sequence and the counters and is
 * never held over I/O: it is the only one that outbox_put() and outbox_stats()
 * take. files_lock guards chains and cursor and is held over reads and writes by
 * writer, reader and syncer. Order: files_lock before queue_lock.
 */
#include "alerts/outbox.h"

#include "alerts/outbox_chain.h"
#include "alerts/outbox_cursor.h"
#include "alerts/outbox_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS         200  /* between attempts while the disk takes nothing */
#define EXPIRE_EVERY_MS  1000 /* how often ages are looked at */
#define WRITES_IN_A_ROW  64   /* while the lock of the files is held */
#define READ_BUFFER_STEP ((size_t)64 << 10)
#define DEAD_LETTER      "dead-letter.jsonl"

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

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * The time of day, as the clock of the day went on since the outbox was opened: a clock that
 * is set while the sensor runs (NTP after a boot in 1970) makes no alert old.
 */
static int64_t steady_ns(const struct outbox *outbox)
{
	return clock_ns(CLOCK_BOOTTIME) + outbox->day_ns;
}

static struct timespec deadline_after(unsigned ms)
{
	int64_t at = clock_ns(CLOCK_MONOTONIC) + (int64_t)ms * 1000000;

	return (struct timespec){.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
}

/* Once is enough until the reader has looked. Needs queue_lock. */
static void wake_reader(struct outbox *outbox)
{
	const uint64_t one = 1;

	if (outbox->woken)
		return;
	outbox->woken = true;
	(void)!write(outbox->wake_fd, &one, sizeof(one));
}

static void notice(struct outbox *outbox, enum notice_level level, const char *what, int error)
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

static uint64_t disk_bytes(const struct outbox *outbox)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		bytes += outbox->chains[i].bytes;
	return bytes;
}

/* Copies what the chains know to where outbox_stats() may look. Needs files_lock. */
static void publish_stats(struct outbox *outbox)
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
	outbox->stats.pending_bytes = disk_bytes(outbox);
	outbox->stats.expired = outbox->expired;
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		outbox->stats.dropped[i] = outbox->disk_dropped[i];
	pthread_mutex_unlock(&outbox->queue_lock);
}

/* Makes room for size bytes of this severity at the cap: the lowest severity goes first. */
static bool make_room(struct outbox *outbox, unsigned severity, size_t size)
{
	/* A new file may be needed, whose header counts. */
	uint64_t need = (uint64_t)size + OUTBOX_SEGMENT_HEADER_SIZE;

	if (need > outbox->config.disk_bytes)
		return false;
	if (disk_bytes(outbox) + need <= outbox->config.disk_bytes)
		return true;
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		outbox_chain_trim(&outbox->chains[i], true);
	for (unsigned victim = 0; victim <= severity; victim++) {
		struct outbox_chain *chain = &outbox->chains[victim];
		while (disk_bytes(outbox) + need > outbox->config.disk_bytes && chain->count > 0) {
			if (outbox->disk_dropped[victim] == 0)
				notice(outbox, NOTICE_ERROR,
				       "full: the oldest alerts of the lowest severity are dropped",
				       0);
			outbox->disk_dropped[victim] += outbox_chain_drop_oldest(chain);
		}
	}
	return disk_bytes(outbox) + need <= outbox->config.disk_bytes;
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
		notice(outbox, NOTICE_ERROR, "cannot write, alerts are kept in memory", error);
	else
		notice(outbox, NOTICE_INFO, "writes to disk again", 0);
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
		wake_reader(outbox);
		pthread_mutex_unlock(&outbox->queue_lock);
		publish_stats(outbox);
		pthread_cond_signal(&outbox->sync_work);
		pthread_mutex_unlock(&outbox->files_lock);

		pthread_mutex_lock(&outbox->queue_lock);
		if (error != 0) {
			if (outbox->stopping)
				break; /* what is left in memory is counted as pending */
			struct timespec at = deadline_after(RETRY_MS);
			(void)pthread_cond_timedwait(&outbox->work, &outbox->queue_lock, &at);
		}
	}
	pthread_mutex_unlock(&outbox->queue_lock);
	return NULL;
}

/* Syncs what is dirty. Descriptors are doubled so that the lock is not held meanwhile. */
static void sync_files(struct outbox *outbox)
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
			notice(outbox, NOTICE_ERROR, "cannot sync", error);
	}
	pthread_mutex_lock(&outbox->files_lock);
}

static void expire(struct outbox *outbox)
{
	int64_t oldest = steady_ns(outbox) - outbox->config.max_age_s * 1000000000;
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
		notice(outbox, NOTICE_ERROR, "alerts passed the greatest age and are dropped", 0);
	publish_stats(outbox);
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
		struct timespec at = deadline_after(EXPIRE_EVERY_MS);
		if (!anything_dirty(outbox))
			(void)pthread_cond_timedwait(&outbox->sync_work, &outbox->files_lock, &at);
		if (outbox->config.max_age_s > 0)
			expire(outbox);
		if (!anything_dirty(outbox))
			continue;
		pthread_mutex_unlock(&outbox->files_lock);
		(void)usleep(pause_ms * 1000);
		pthread_mutex_lock(&outbox->files_lock);
		sync_files(outbox);
		publish_stats(outbox);
	}
	pthread_mutex_unlock(&outbox->files_lock);
	return NULL;
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

/* The outbox's threads take none of the program's signals. */
static int start_threads(struct outbox *outbox)
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
	publish_stats(outbox);
	number = start_threads(outbox);
	if (number != 0)
		return fail(outbox, error, error_size, "cannot start a thread", number);
	if (outbox->stats.torn_tails > 0)
		notice(outbox, NOTICE_WARNING, "the torn end of a file was cut off", 0);
	if (outbox->stats.corrupt_regions > 0)
		notice(outbox, NOTICE_ERROR, "damaged bytes were stepped over", 0);
	pthread_mutex_lock(&outbox->queue_lock);
	wake_reader(outbox);
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
	outbox->day_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
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
		sync_files(outbox);
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
	struct timespec at = deadline_after(outbox->config.put_wait_ms);

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

	copy.raised_ns = steady_ns(outbox);
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
		wake_reader(outbox);
	pthread_mutex_unlock(&outbox->queue_lock);
	return taken ? OUTBOX_TAKEN : OUTBOX_FULL;
}

bool outbox_batch_init(struct outbox_batch *batch, size_t capacity, size_t size)
{
	*batch = (struct outbox_batch){
	    .records = calloc(capacity, sizeof(*batch->records)),
	    .places = calloc(capacity, sizeof(*batch->places)),
	    .bytes = malloc(size),
	    .capacity = capacity,
	    .size = size,
	};
	if (batch->records != NULL && batch->places != NULL && batch->bytes != NULL)
		return true;
	outbox_batch_free(batch);
	return false;
}

void outbox_batch_free(struct outbox_batch *batch)
{
	free(batch->records);
	free(batch->places);
	free(batch->bytes);
	*batch = (struct outbox_batch){.count = 0};
}

static struct span batch_copy(struct outbox_batch *batch, struct span text)
{
	uint8_t *at = batch->bytes + batch->used;

	if (text.len > 0)
		memcpy(at, text.ptr, text.len);
	batch->used += text.len;
	return span_of(at, text.len);
}

/* Copies a record behind the others; false when the batch is full. */
static bool batch_add(struct outbox_batch *batch, const struct outbox_record *record,
		      const struct outbox_place *place)
{
	size_t need = record->id.len + record->rule.len + record->sensor.len + record->json.len;

	if (batch->count == batch->capacity || need > batch->size - batch->used)
		return false;
	struct outbox_record *copy = &batch->records[batch->count];
	*copy = *record;
	copy->id = batch_copy(batch, record->id);
	copy->rule = batch_copy(batch, record->rule);
	copy->sensor = batch_copy(batch, record->sensor);
	copy->json = batch_copy(batch, record->json);
	batch->places[batch->count++] = *place;
	return true;
}

/* The next record of each chain that is wanted, while a batch is put together. */
struct merge {
	uint64_t behind; /* records up to this sequence are not wanted */
	struct outbox_chain_reader readers[OUTBOX_SEVERITIES];
	struct outbox_record heads[OUTBOX_SEVERITIES];
	struct outbox_place places[OUTBOX_SEVERITIES];
	bool have[OUTBOX_SEVERITIES];
};

static void merge_advance(struct merge *merge, size_t i)
{
	do {
		merge->have[i] = outbox_chain_read(&merge->readers[i], &merge->heads[i],
						   &merge->places[i].behind);
	} while (merge->have[i] && merge->heads[i].sequence <= merge->behind);
	merge->places[i].on_disk = true;
}

/* Where the batch left off in the files of a severity, or NULL when it has none from there. */
static const struct outbox_position *left_off(const struct outbox_batch *batch, unsigned severity)
{
	for (size_t i = batch == NULL ? 0 : batch->count; i > 0; i--)
		if (batch->places[i - 1].on_disk && batch->records[i - 1].severity == severity)
			return &batch->places[i - 1].behind;
	return NULL;
}

/* Records of the files, merged by sequence. Returns false when the batch became full. */
static bool read_disk(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
		      const struct outbox_batch *after, uint64_t behind)
{
	struct merge merge;
	bool more = true;

	merge.behind = behind;
	for (unsigned i = 0; i < OUTBOX_SEVERITIES; i++) {
		outbox_chain_read_begin(&merge.readers[i], &outbox->chains[i], left_off(after, i),
					outbox->read_buffers[i], outbox->read_buffer_size);
		merge_advance(&merge, i);
	}
	for (;;) {
		size_t best = OUTBOX_SEVERITIES;
		for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
			if (merge.have[i] && (best == OUTBOX_SEVERITIES ||
					      merge.heads[i].sequence < merge.heads[best].sequence))
				best = i;
		if (best == OUTBOX_SEVERITIES)
			break;
		if (batch->count == limit ||
		    !batch_add(batch, &merge.heads[best], &merge.places[best])) {
			more = false;
			break;
		}
		merge_advance(&merge, best);
	}
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		outbox_chain_read_end(&merge.readers[i]);
	return more;
}

static void read_memory(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
			uint64_t behind)
{
	struct outbox_queue_walk walk = outbox_queue_walk(&outbox->queue);
	const struct outbox_item *item;

	while (batch->count < limit && (item = outbox_queue_next(&walk)) != NULL) {
		struct outbox_record record;
		const struct outbox_place place = {.on_disk = false};
		size_t size;
		struct span bytes = span_of(item->bytes, item->size);
		if (item->sequence <= behind)
			continue;
		if (outbox_record_decode(bytes, &record, &size) != PARSE_DONE ||
		    !batch_add(batch, &record, &place))
			return;
	}
}

void outbox_read(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
		 const struct outbox_batch *after)
{
	uint64_t ignored;

	/* Whoever puts from now on wakes the reader again. */
	pthread_mutex_lock(&outbox->queue_lock);
	outbox->woken = false;
	(void)!read(outbox->wake_fd, &ignored, sizeof(ignored));
	pthread_mutex_unlock(&outbox->queue_lock);
	batch->count = 0;
	batch->used = 0;
	pthread_mutex_lock(&outbox->files_lock);
	uint64_t behind = outbox->acknowledged;
	if (after != NULL && after->records[after->count - 1].sequence > behind)
		behind = after->records[after->count - 1].sequence;
	bool more =
	    outbox->config.directory == NULL || read_disk(outbox, batch, limit, after, behind);
	if (more) {
		pthread_mutex_lock(&outbox->queue_lock);
		if (outbox->config.directory == NULL || outbox->stats.degraded)
			read_memory(outbox, batch, limit, behind);
		pthread_mutex_unlock(&outbox->queue_lock);
	}
	pthread_mutex_unlock(&outbox->files_lock);
}

/* Removes from the queue what was sent from there. The writer's item is left to the writer. */
static void forget_sent(struct outbox *outbox, uint64_t sequence)
{
	const struct outbox_item *item;

	while ((item = outbox_queue_first(&outbox->queue)) != NULL && item->sequence <= sequence &&
	       item != outbox->queue.busy) {
		outbox_queue_remove_first(&outbox->queue);
		outbox->progress++;
	}
	pthread_cond_broadcast(&outbox->room);
}

void outbox_acknowledge(struct outbox *outbox, const struct outbox_batch *batch, size_t count)
{
	struct outbox_position behind[OUTBOX_SEVERITIES];
	uint64_t done[OUTBOX_SEVERITIES] = {0};

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (!batch->places[i].on_disk)
			continue;
		behind[batch->records[i].severity] = batch->places[i].behind;
		done[batch->records[i].severity]++;
	}
	pthread_mutex_lock(&outbox->files_lock);
	outbox->acknowledged = batch->records[count - 1].sequence;
	if (outbox->config.directory != NULL) {
		/* Before files go: their sequences must not be given out again after a crash. */
		(void)outbox_cursor_store(&outbox->cursor, outbox->acknowledged);
		outbox->cursor_dirty = true;
		pthread_cond_signal(&outbox->sync_work);
	}
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		if (done[i] > 0)
			outbox_chain_done(&outbox->chains[i], behind[i], done[i]);
	pthread_mutex_lock(&outbox->queue_lock);
	forget_sent(outbox, outbox->acknowledged);
	outbox->stats.acknowledged += count;
	pthread_mutex_unlock(&outbox->queue_lock);
	if (outbox->config.directory != NULL)
		publish_stats(outbox);
	pthread_mutex_unlock(&outbox->files_lock);
}

/* The reason as a JSON string without its quotes: what is not plain text becomes '?'. */
static void plain_reason(const char *reason, char *out, size_t size)
{
	size_t used = 0;

	for (; *reason != '\0' && used + 1 < size; reason++) {
		unsigned char c = (unsigned char)*reason;
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
		out[used++] = plain ? (char)c : '?';
	}
	out[used] = '\0';
}

static int write_dead_letter(struct outbox *outbox, const struct outbox_record *record,
			     const char *reason)
{
	struct stat status;
	char text[160];
	char *line = NULL;
	int fd = openat(outbox->directory, DEAD_LETTER,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return errno;
	if (fstat(fd, &status) == 0 &&
	    (uint64_t)status.st_size >= outbox->config.dead_letter_bytes) {
		(void)renameat(outbox->directory, DEAD_LETTER, outbox->directory, DEAD_LETTER ".1");
		(void)close(fd);
		fd = openat(outbox->directory, DEAD_LETTER,
			    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return errno;
	}
	plain_reason(reason, text, sizeof(text));
	/* The document is JSON that this program rendered: it goes in as it is. */
	int length = asprintf(&line, "{\"reason\":\"%s\",\"severity\":\"%s\",\"alert\":%.*s}\n",
			      text, outbox_severity_word(record->severity), (int)record->json.len,
			      (const char *)record->json.ptr);
	int error = length < 0 ? ENOMEM : 0;
	if (error == 0 && write(fd, line, (size_t)length) != length)
		error = errno != 0 ? errno : ENOSPC;
	if (error == 0 && fdatasync(fd) != 0)
		error = errno;
	if (length >= 0)
		free(line);
	(void)close(fd);
	return error;
}

bool outbox_dead_letter(struct outbox *outbox, const struct outbox_record *record,
			const char *reason)
{
	int error = ENOENT;

	if (outbox->config.directory != NULL) {
		pthread_mutex_lock(&outbox->files_lock);
		error = write_dead_letter(outbox, record, reason);
		pthread_mutex_unlock(&outbox->files_lock);
	}
	pthread_mutex_lock(&outbox->queue_lock);
	outbox->stats.dead_letters++;
	pthread_mutex_unlock(&outbox->queue_lock);
	if (error != 0 && outbox->config.directory != NULL)
		notice(outbox, NOTICE_ERROR, "cannot write the dead-letter file", error);
	return error == 0;
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
