/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/byte_source.h"

#include "alerts/clock.h"
#include "sensor/decompress.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC_LEN  4U
#define SKIP_CHUNK 16384U

enum compression { COMPRESSION_NOT_KNOWN, COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct byte_source {
	char *path; /* NULL: standard input */
	int fd;     /* -1 while parked */
	bool regular;
	bool parked;
	bool paused;       /* SOURCE_PAUSE was said last */
	int64_t paused_ms; /* when it was, or when the source was opened; CLOCK_MONOTONIC */
	bool input_ended;
	bool inside_member;             /* compressed: the end may not come here */
	enum decompress_result failure; /* sticks: what comes after damage means nothing */
	enum compression compression;
	dev_t device;
	ino_t inode;
	uint64_t size;
	uint64_t consumed; /* bytes taken from the descriptor; of a file, also the place in it */
	uint64_t start;    /* where a regular standard input stood */
	struct byte_source_limits limits;
	struct gunzip *gunzip;
	struct unzstd *unzstd;
	uint8_t magic[MAGIC_LEN]; /* the first bytes, read to recognise compression */
	size_t magic_len, magic_taken;
	uint8_t *input; /* compressed bytes */
	size_t input_pos, input_end;
};

static enum source_result failed(struct input_fault *fault, const char *problem, int error_number,
				 uint64_t offset)
{
	*fault = (struct input_fault){
	    .problem = problem, .error_number = error_number, .offset = offset};
	return SOURCE_FAILED;
}

static enum source_result source_stat(struct byte_source *source, struct input_fault *fault)
{
	struct stat status;
	if (fstat(source->fd, &status) != 0)
		return failed(fault, "cannot be examined", errno, 0);
	if (S_ISDIR(status.st_mode))
		return failed(fault, "is a directory", 0, 0);
	source->regular = S_ISREG(status.st_mode);
	source->device = status.st_dev;
	source->inode = status.st_ino;
	source->size = source->regular && status.st_size > 0 ? (uint64_t)status.st_size : 0;
	if (source->regular)
		(void)posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return SOURCE_OK;
}

enum source_result byte_source_open(const char *path, const struct byte_source_limits *limits,
				    struct byte_source **source, struct input_fault *fault)
{
	struct byte_source *opened = calloc(1, sizeof(*opened));
	if (!opened)
		return failed(fault, "out of memory", 0, 0);
	opened->limits = *limits;
	opened->fd = -1;
	opened->paused_ms = clock_monotonic_ms();
	if (strcmp(path, "-") == 0) {
		opened->fd = STDIN_FILENO;
	} else {
		opened->path = strdup(path);
		if (!opened->path) {
			byte_source_close(opened);
			return failed(fault, "out of memory", 0, 0);
		}
		opened->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (opened->fd < 0) {
			int error_number = errno;
			byte_source_close(opened);
			if (error_number == EINTR)
				return SOURCE_INTERRUPTED;
			return failed(fault, "cannot open", error_number, 0);
		}
	}
	enum source_result result = source_stat(opened, fault);
	if (result != SOURCE_OK) {
		byte_source_close(opened);
		return result;
	}
	if (!opened->path && opened->regular) {
		off_t place = lseek(opened->fd, 0, SEEK_CUR);
		opened->start = place > 0 ? (uint64_t)place : 0;
		opened->size -= opened->start < opened->size ? opened->start : opened->size;
	}
	*source = opened;
	return SOURCE_OK;
}

void byte_source_close(struct byte_source *source)
{
	if (!source)
		return;
	if (source->fd >= 0 && source->path)
		(void)close(source->fd);
	gunzip_free(source->gunzip);
	unzstd_free(source->unzstd);
	free(source->input);
	free(source->path);
	free(source);
}

bool byte_source_rereadable(const struct byte_source *source)
{
	return source->regular && source->path;
}

bool byte_source_mappable(const struct byte_source *source, size_t window_bytes)
{
	return source->limits.map_from > 0 && window_bytes >= source->limits.map_from &&
	       byte_source_rereadable(source) && source->compression == COMPRESSION_NONE &&
	       source->magic_taken == source->magic_len;
}

bool byte_source_maps_always(const struct byte_source *source)
{
	return source->limits.map_always;
}

static void close_parked(struct byte_source *source)
{
	if (!source->parked || source->fd < 0)
		return;
	(void)close(source->fd);
	source->fd = -1;
}

void byte_source_park(struct byte_source *source)
{
	source->parked = byte_source_rereadable(source);
	close_parked(source);
}

uint64_t byte_source_size(const struct byte_source *source)
{
	return source->size;
}

uint64_t byte_source_consumed(const struct byte_source *source)
{
	return source->consumed;
}

/* Opens a parked file again where it was left. */
static enum source_result unpark(struct byte_source *source, struct input_fault *fault)
{
	struct stat status;
	int fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return errno == EINTR ? SOURCE_INTERRUPTED
				      : failed(fault, "cannot open again", errno, source->consumed);
	if (fstat(fd, &status) != 0 || status.st_dev != source->device ||
	    status.st_ino != source->inode) {
		(void)close(fd);
		return failed(fault, "was replaced while it was read", 0, source->consumed);
	}
	if (lseek(fd, (off_t)source->consumed, SEEK_SET) < 0) {
		int error_number = errno;
		(void)close(fd);
		return failed(fault, "cannot seek", error_number, source->consumed);
	}
	source->fd = fd;
	return SOURCE_OK;
}

static enum source_result map_stored(struct byte_source *source, size_t held, size_t len,
				     struct file_mapping *mapping, struct input_fault *fault)
{
	struct stat status;
	const uint64_t from = source->consumed - held;

	if (source->fd < 0) {
		enum source_result result = unpark(source, fault);
		if (result != SOURCE_OK)
			return result;
	}
	if (fstat(source->fd, &status) != 0)
		return failed(fault, "cannot be examined", errno, source->consumed);
	const uint64_t size = status.st_size > 0 ? (uint64_t)status.st_size : 0;
	if (source->size == 0) /* one that does not say how long it is, as in /proc */
		return failed(fault, "cannot be mapped", ENODEV, source->consumed);
	if (size < source->consumed)
		return failed(fault, FILE_MAPPING_LOST, 0, size);
	if (size == source->consumed)
		return SOURCE_END;
	if (size - from < len)
		len = (size_t)(size - from);
	if (!file_mapping_open(mapping, source->fd, from, len))
		return failed(fault, "cannot be mapped", errno, source->consumed);
	/* Where a read would go on. */
	if (lseek(source->fd, (off_t)(from + len), SEEK_SET) < 0) {
		int error_number = errno;
		file_mapping_close(mapping);
		return failed(fault, "cannot seek", error_number, source->consumed);
	}
	source->consumed = from + len;
	return SOURCE_OK;
}

enum source_result byte_source_map(struct byte_source *source, size_t held, size_t len,
				   struct file_mapping *mapping, struct input_fault *fault)
{
	enum source_result result = map_stored(source, held, len, mapping, fault);
	close_parked(source);
	return result;
}

/*
 * Whether a read comes next: OK, and it waits if the input has nothing. PAUSE comes once before it
 * has to wait, and when the last one was busy_ms ago.
 */
static enum source_result await_bytes(struct byte_source *source)
{
	struct pollfd readable = {.fd = source->fd, .events = POLLIN};

	if (source->regular || source->paused || source->limits.quiet_ms == 0)
		return SOURCE_OK;
	int ready = poll(&readable, 1, source->limits.quiet_ms);
	if (ready < 0)
		return errno == EINTR ? SOURCE_INTERRUPTED : SOURCE_OK; /* else reading tells */
	int64_t now_ms = clock_monotonic_ms();
	if (ready > 0 && now_ms - source->paused_ms < source->limits.busy_ms)
		return SOURCE_OK;
	source->paused = true;
	source->paused_ms = now_ms;
	return SOURCE_PAUSE;
}

/* Up to room bytes as stored. */
static enum source_result read_stored(struct byte_source *source, uint8_t *bytes, size_t room,
				      size_t *got, struct input_fault *fault)
{
	*got = 0;
	if (source->fd < 0) {
		enum source_result result = unpark(source, fault);
		if (result != SOURCE_OK)
			return result;
	}
	enum source_result awaited = await_bytes(source);
	if (awaited != SOURCE_OK)
		return awaited;
	for (;;) {
		ssize_t count = read(source->fd, bytes, room < SSIZE_MAX ? room : SSIZE_MAX);
		if (count > 0) {
			source->paused = false;
			*got = (size_t)count;
			source->consumed += *got;
			return SOURCE_OK;
		}
		if (count == 0)
			return SOURCE_END;
		if (errno == EINTR)
			return SOURCE_INTERRUPTED;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return failed(fault, "cannot be read further", errno, source->consumed);
		/* Somebody made our standard input non-blocking. */
		struct pollfd readable = {.fd = source->fd, .events = POLLIN};
		if (poll(&readable, 1, -1) < 0)
			return errno == EINTR ? SOURCE_INTERRUPTED
					      : failed(fault, "cannot be read further", errno,
						       source->consumed);
	}
}

static bool is_zstd(const uint8_t magic[MAGIC_LEN])
{
	static const uint8_t frame[MAGIC_LEN] = {0x28, 0xb5, 0x2f, 0xfd};
	static const uint8_t skippable[MAGIC_LEN - 1] = {0x2a, 0x4d, 0x18};
	if (memcmp(magic, frame, MAGIC_LEN) == 0)
		return true;
	/* What pzstd and seekable writers put first: 0x184d2a50 to 0x184d2a5f. */
	return (magic[0] & 0xf0) == 0x50 && memcmp(magic + 1, skippable, sizeof(skippable)) == 0;
}

static bool is_gzip(const uint8_t magic[MAGIC_LEN])
{
	return magic[0] == 0x1f && magic[1] == 0x8b && magic[2] == 8;
}

static enum source_result prepare(struct byte_source *source, struct input_fault *fault)
{
	bool compressed = true;
	bool made = true;
	if (source->magic_len == MAGIC_LEN && is_gzip(source->magic)) {
		source->gunzip = gunzip_new();
		made = source->gunzip;
		source->compression = COMPRESSION_GZIP;
	} else if (source->magic_len == MAGIC_LEN && is_zstd(source->magic)) {
		source->unzstd = unzstd_new(source->limits.zstd_max_window_log);
		made = source->unzstd;
		source->compression = COMPRESSION_ZSTD;
	} else {
		compressed = false;
		source->compression = COMPRESSION_NONE;
	}
	if (compressed) {
		source->inside_member = true;
		source->input = malloc(source->limits.input_bytes + MAGIC_LEN);
		if (!made || !source->input)
			return failed(fault, "out of memory", 0, 0);
		memcpy(source->input, source->magic, MAGIC_LEN);
		source->input_end = MAGIC_LEN;
	}
	return SOURCE_OK;
}

/* Reads the first bytes and decides by them. */
static enum source_result recognise(struct byte_source *source, struct input_fault *fault)
{
	while (source->magic_len < MAGIC_LEN) {
		size_t got;
		enum source_result result = read_stored(source, source->magic + source->magic_len,
							MAGIC_LEN - source->magic_len, &got, fault);
		if (result == SOURCE_END)
			break;
		if (result != SOURCE_OK)
			return result;
		source->magic_len += got;
	}
	return prepare(source, fault);
}

static enum decompress_result decompress(struct byte_source *source, uint8_t *bytes, size_t room,
					 size_t *got)
{
	*got = 0;
	if (source->failure != DECOMPRESS_OK)
		return source->failure;
	struct span in = {.ptr = source->input + source->input_pos,
			  .len = source->input_end - source->input_pos};
	enum decompress_result result = source->compression == COMPRESSION_GZIP
					    ? gunzip_run(source->gunzip, &in, bytes, room, got)
					    : unzstd_run(source->unzstd, &in, bytes, room, got);
	source->input_pos = source->input_end - in.len;
	if (result == DECOMPRESS_DAMAGED || result == DECOMPRESS_NO_MEMORY)
		source->failure = result;
	return result;
}

static enum source_result read_compressed(struct byte_source *source, uint8_t *bytes, size_t room,
					  size_t *got, struct input_fault *fault)
{
	*got = 0;
	for (;;) {
		if (source->input_pos == source->input_end && !source->input_ended) {
			size_t stored;
			enum source_result result = read_stored(
			    source, source->input, source->limits.input_bytes, &stored, fault);
			if (result == SOURCE_END)
				source->input_ended = true;
			else if (result != SOURCE_OK)
				return result;
			source->input_pos = 0;
			source->input_end = stored;
		}
		if (source->input_pos == source->input_end && !source->inside_member)
			return SOURCE_END;
		size_t before = source->input_pos;
		enum decompress_result result = decompress(source, bytes, room, got);
		/* At a boundary a run without input says so again; in a member the end was cut. */
		if (result == DECOMPRESS_MEMBER_END)
			source->inside_member = false;
		else if (source->input_pos != before)
			source->inside_member = true;
		if (*got > 0)
			return SOURCE_OK;
		uint64_t place = source->consumed - (source->input_end - source->input_pos);
		if (result == DECOMPRESS_DAMAGED)
			return failed(fault, "compressed data is damaged", 0, place);
		if (result == DECOMPRESS_NO_MEMORY)
			return failed(fault, "decompression needs more memory than it may have", 0,
				      place);
		if (source->input_ended && source->inside_member &&
		    source->input_pos == source->input_end && result == DECOMPRESS_OK)
			return failed(fault, "compressed data is truncated", 0, place);
	}
}

enum source_result byte_source_read(struct byte_source *source, uint8_t *bytes, size_t room,
				    size_t *got, struct input_fault *fault)
{
	enum source_result result = SOURCE_OK;
	*got = 0;
	if (source->compression == COMPRESSION_NOT_KNOWN)
		result = recognise(source, fault);
	if (result == SOURCE_OK) {
		if (source->compression != COMPRESSION_NONE) {
			result = read_compressed(source, bytes, room, got, fault);
		} else if (source->magic_taken < source->magic_len) {
			size_t left = source->magic_len - source->magic_taken;
			*got = left < room ? left : room;
			memcpy(bytes, source->magic + source->magic_taken, *got);
			source->magic_taken += *got;
		} else {
			result = read_stored(source, bytes, room, got, fault);
		}
	}
	close_parked(source);
	return result;
}

/* The bytes that a regular file still has from where it is read; it may have changed. */
static uint64_t stored_left(const struct byte_source *source)
{
	struct stat status;
	uint64_t place = source->start + source->consumed;
	if (fstat(source->fd, &status) != 0 || status.st_size < 0 ||
	    (uint64_t)status.st_size < place)
		return 0;
	return (uint64_t)status.st_size - place;
}

enum source_result byte_source_skip(struct byte_source *source, uint64_t len, uint64_t *skipped,
				    struct input_fault *fault)
{
	*skipped = 0;
	if (source->compression == COMPRESSION_NONE && source->regular && source->fd >= 0 &&
	    source->magic_taken == source->magic_len) {
		uint64_t step = stored_left(source);
		if (step > len)
			step = len;
		if (step == 0)
			return SOURCE_END;
		if (lseek(source->fd, (off_t)step, SEEK_CUR) < 0)
			return failed(fault, "cannot seek", errno, source->consumed);
		source->consumed += step;
		*skipped = step;
		return SOURCE_OK;
	}
	uint8_t chunk[SKIP_CHUNK];
	size_t got;
	enum source_result result = byte_source_read(
	    source, chunk, len < sizeof(chunk) ? (size_t)len : sizeof(chunk), &got, fault);
	*skipped = got;
	return result;
}
