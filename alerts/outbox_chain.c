/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/outbox_chain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_SIZE 64
#define READ_STEP ((size_t)64 << 10) /* bytes asked of the file at a time */
/* An active file whose records are all done is not worth keeping above this. */
#define SPENT_SEGMENT_BYTES ((uint64_t)64 << 10)

static void segment_name(const struct outbox_chain *chain, uint64_t first, const char *prefix,
			 char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "%s%s-%020llu.seg", prefix,
		       outbox_severity_word(chain->severity), (unsigned long long)first);
}

/* Is this the name of a segment of the chain? Then *first is the sequence in it. */
static bool parse_segment_name(const struct outbox_chain *chain, const char *name, uint64_t *first)
{
	const char *word = outbox_severity_word(chain->severity);
	size_t length = strlen(word);
	char expected[NAME_SIZE];
	char *end;

	if (strncmp(name, word, length) != 0 || name[length] != '-')
		return false;
	errno = 0;
	*first = strtoull(name + length + 1, &end, 10);
	segment_name(chain, *first, "", expected);
	return errno == 0 && strcmp(name, expected) == 0;
}

static int open_segment(const struct outbox_chain *chain, uint64_t first, int flags)
{
	char name[NAME_SIZE];

	segment_name(chain, first, "", name);
	return openat(chain->directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* All of the bytes, or an errno. */
static int write_all(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return ENOSPC;
		bytes += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* As many bytes as there are up to size; negative errno on failure. */
static ssize_t read_at(int fd, uint8_t *bytes, size_t size, uint64_t offset)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = pread(fd, bytes + have, size - have, (off_t)(offset + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/*
 * The reader's own step: finds the next valid record at or behind its offset
 * in a file of limit bytes, stepping over damage. *skipped is what it stepped
 * over. False: no valid record up to the limit.
 */
static bool next_record(struct outbox_chain_reader *reader, uint64_t limit,
			struct outbox_record *record, size_t *size, uint64_t *skipped)
{
	*skipped = 0;
	while (reader->offset < limit) {
		if (reader->offset < reader->start ||
		    reader->offset > reader->start + reader->filled) {
			reader->start = reader->offset;
			reader->filled = 0;
		}
		struct span have = span_skip(span_of(reader->buffer, reader->filled),
					     (size_t)(reader->offset - reader->start));
		enum parse_result result = outbox_record_decode(have, record, size);
		bool claims_too_much = *size > reader->chain->config.max_record_bytes ||
				       *size > limit - reader->offset;
		if (result == PARSE_DONE)
			return true;
		if (result == PARSE_MORE && !claims_too_much &&
		    reader->start + reader->filled < limit) {
			/* Make the bytes we have the first in the buffer, and read on. */
			memmove(reader->buffer, have.ptr == NULL ? reader->buffer : have.ptr,
				have.len);
			reader->start = reader->offset;
			reader->filled = have.len;
			size_t want = reader->buffer_size - reader->filled;
			if (want > READ_STEP && *size <= reader->filled + READ_STEP)
				want = READ_STEP;
			if (want > limit - reader->start - reader->filled)
				want = (size_t)(limit - reader->start - reader->filled);
			ssize_t n = read_at(reader->fd, reader->buffer + reader->filled, want,
					    reader->start + reader->filled);
			if (n <= 0) {
				reader->failed = true;
				reader->error = n < 0 ? (int)-n : EIO;
				return false;
			}
			reader->filled += (size_t)n;
			continue;
		}
		/* No record here: look for the next mark, one byte at a time is fast enough. */
		reader->offset++;
		(*skipped)++;
	}
	return false;
}

void outbox_chain_read_begin(struct outbox_chain_reader *reader, const struct outbox_chain *chain,
			     const struct outbox_position *from, uint8_t *buffer,
			     size_t buffer_size)
{
	*reader = (struct outbox_chain_reader){
	    .chain = chain,
	    .buffer = buffer,
	    .buffer_size = buffer_size,
	    .offset = chain->done_offset,
	    .fd = -1,
	};
	if (from == NULL)
		return;
	while (reader->index < chain->count && chain->segments[reader->index].first < from->segment)
		reader->index++;
	bool there =
	    reader->index < chain->count && chain->segments[reader->index].first == from->segment;
	if (there && (reader->index > 0 || from->offset > chain->done_offset))
		reader->offset = from->offset;
	else if (reader->index > 0)
		reader->offset = OUTBOX_SEGMENT_HEADER_SIZE;
}

void outbox_chain_read_end(struct outbox_chain_reader *reader)
{
	if (reader->fd >= 0)
		(void)close(reader->fd);
	reader->fd = -1;
}

bool outbox_chain_read(struct outbox_chain_reader *reader, struct outbox_record *record,
		       struct outbox_position *behind)
{
	const struct outbox_chain *chain = reader->chain;

	while (reader->index < chain->count) {
		const struct outbox_segment *segment = &chain->segments[reader->index];
		uint64_t skipped;
		size_t size;
		if (reader->fd < 0) {
			reader->fd = open_segment(chain, segment->first, O_RDONLY);
			reader->start = reader->offset;
			reader->filled = 0;
		}
		if (reader->fd < 0) {
			reader->failed = true;
			reader->error = errno;
		} else if (next_record(reader, segment->size, record, &size, &skipped)) {
			reader->offset += size;
			*behind = (struct outbox_position){segment->first, reader->offset};
			return true;
		}
		outbox_chain_read_end(reader);
		reader->index++;
		reader->offset = OUTBOX_SEGMENT_HEADER_SIZE;
	}
	return false;
}

/* Cuts the file to size bytes; remembers what went. */
static int cut_tail(struct outbox_chain *chain, int fd, uint64_t size, uint64_t file_size)
{
	if (file_size == size)
		return 0;
	if (ftruncate(fd, (off_t)size) != 0)
		return errno;
	chain->stats.torn_tails++;
	chain->stats.torn_bytes += file_size - size;
	chain->dirty = true;
	return 0;
}

/* Counts what is in a segment file and makes its end clean. Leaves size 0 if nothing is in it. */
static int recover_segment(struct outbox_chain *chain, struct outbox_segment *segment, int fd,
			   uint64_t acknowledged, uint8_t *buffer, size_t buffer_size)
{
	struct outbox_segment_header header;
	struct stat status;

	if (fstat(fd, &status) != 0)
		return errno;
	uint64_t file_size = (uint64_t)status.st_size;
	ssize_t n = read_at(fd, buffer, OUTBOX_SEGMENT_HEADER_SIZE, 0);
	if (n < 0)
		return (int)-n;
	enum parse_result result =
	    outbox_segment_header_decode(span_of(buffer, (size_t)n), &header);
	if (result == PARSE_DONE && header.version != OUTBOX_FORMAT_VERSION)
		return EPROTO;
	if (result == PARSE_MORE) {
		/* The crash came while the file was being made. */
		segment->size = 0;
		return cut_tail(chain, fd, 0, file_size);
	}
	/* A damaged header alone says nothing against the records. */
	if (result == PARSE_MALFORMED)
		chain->stats.corrupt_regions++;

	struct outbox_chain_reader reader;
	struct outbox_record record;
	uint64_t skipped;
	size_t size;
	outbox_chain_read_begin(&reader, chain, NULL, buffer, buffer_size);
	reader.fd = fd;
	reader.offset = OUTBOX_SEGMENT_HEADER_SIZE;
	reader.start = OUTBOX_SEGMENT_HEADER_SIZE;
	segment->size = OUTBOX_SEGMENT_HEADER_SIZE;
	while (next_record(&reader, file_size, &record, &size, &skipped)) {
		if (skipped > 0)
			chain->stats.corrupt_regions++;
		reader.offset += size;
		segment->size = reader.offset;
		segment->newest_ns = record.raised_ns;
		if (record.sequence > acknowledged)
			segment->records++;
		if (record.sequence > chain->last)
			chain->last = record.sequence;
	}
	if (reader.failed)
		return reader.error;
	int error = cut_tail(chain, fd, segment->size, file_size);
	/* The record that gave the file its name may be gone: its sequence is used up all the same.
	 */
	if (segment->first > chain->last)
		chain->last = segment->first;
	/* A file without a record is of no use, and the next one may want its name. */
	if (segment->size == OUTBOX_SEGMENT_HEADER_SIZE)
		segment->size = 0;
	return error;
}

static int compare_segments(const void *left, const void *right)
{
	const struct outbox_segment *a = left;
	const struct outbox_segment *b = right;

	return a->first < b->first ? -1 : a->first > b->first;
}

/* Fills segments with the names found in the directory, oldest first. */
static int list_segments(struct outbox_chain *chain)
{
	int fd = openat(chain->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);

	if (listing == NULL) {
		int error = errno;
		if (fd >= 0)
			(void)close(fd);
		return error;
	}
	int error = 0;
	for (struct dirent *entry; error == 0 && (entry = readdir(listing)) != NULL;) {
		uint64_t first;
		if (!parse_segment_name(chain, entry->d_name, &first))
			continue;
		if (chain->count == chain->config.max_segments)
			error = EMLINK;
		else
			chain->segments[chain->count++] = (struct outbox_segment){.first = first};
	}
	(void)closedir(listing);
	qsort(chain->segments, chain->count, sizeof(*chain->segments), compare_segments);
	return error;
}

static int recover(struct outbox_chain *chain, uint64_t acknowledged)
{
	size_t buffer_size = chain->config.max_record_bytes + READ_STEP;
	uint8_t *buffer = malloc(buffer_size);
	int error = buffer == NULL ? ENOMEM : list_segments(chain);
	size_t kept = 0;

	for (size_t i = 0; error == 0 && i < chain->count; i++) {
		struct outbox_segment segment = chain->segments[i];
		int fd = open_segment(chain, segment.first, O_RDWR);
		if (fd < 0) {
			error = errno;
			break;
		}
		error = recover_segment(chain, &segment, fd, acknowledged, buffer, buffer_size);
		if (error == 0 && segment.size == 0) {
			char name[NAME_SIZE];
			segment_name(chain, segment.first, "", name);
			(void)unlinkat(chain->directory, name, 0);
		} else if (error == 0) {
			chain->segments[kept++] = segment;
			chain->bytes += segment.size;
			chain->records += segment.records;
		}
		(void)close(fd);
	}
	chain->count = kept;
	free(buffer);
	return error;
}

int outbox_chain_open(struct outbox_chain *chain, const struct outbox_chain_config *config,
		      int directory, unsigned severity, uint64_t acknowledged)
{
	*chain = (struct outbox_chain){
	    .config = *config,
	    .directory = directory,
	    .severity = severity,
	    .fd = -1,
	    .done_offset = OUTBOX_SEGMENT_HEADER_SIZE,
	};
	chain->segments = calloc(config->max_segments, sizeof(*chain->segments));
	if (chain->segments == NULL)
		return ENOMEM;
	int error = recover(chain, acknowledged);
	if (error != 0) {
		outbox_chain_close(chain);
		return error;
	}
	/* What is written from now on goes to a file of its own: recovered files stay as found. */
	outbox_chain_trim(chain, true);
	return 0;
}

void outbox_chain_close(struct outbox_chain *chain)
{
	if (chain->fd >= 0)
		(void)close(chain->fd);
	chain->fd = -1;
	free(chain->segments);
	chain->segments = NULL;
	chain->count = 0;
}

/* Starts a new file for the record with this sequence. */
static int begin_segment(struct outbox_chain *chain, uint64_t sequence, int64_t now_ns)
{
	uint8_t bytes[OUTBOX_SEGMENT_HEADER_SIZE];
	const struct outbox_segment_header header = {
	    .version = OUTBOX_FORMAT_VERSION,
	    .severity = chain->severity,
	    .first_sequence = sequence,
	    .created_ns = now_ns,
	};

	if (chain->count == chain->config.max_segments)
		return EMLINK;
	int fd = open_segment(chain, sequence, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return errno;
	outbox_segment_header_encode(&header, bytes);
	int error = write_all(fd, bytes, sizeof(bytes), 0);
	if (error != 0) {
		char name[NAME_SIZE];
		segment_name(chain, sequence, "", name);
		(void)unlinkat(chain->directory, name, 0);
		(void)close(fd);
		return error;
	}
	if (chain->fd >= 0) {
		/* Nobody syncs a file that is no longer the newest: do it before it is left. */
		(void)fdatasync(chain->fd);
		(void)close(chain->fd);
	}
	chain->fd = fd;
	chain->dirty = true;
	chain->names_dirty = true;
	if (chain->count == 0)
		chain->done_offset = sizeof(bytes);
	chain->segments[chain->count++] =
	    (struct outbox_segment){.first = sequence, .size = sizeof(bytes)};
	chain->bytes += sizeof(bytes);
	return 0;
}

int outbox_chain_append(struct outbox_chain *chain, struct span encoded, uint64_t sequence,
			int64_t raised_ns)
{
	bool fresh =
	    chain->fd < 0 || chain->segments[chain->count - 1].size >= chain->config.segment_bytes;
	int error = fresh ? begin_segment(chain, sequence, raised_ns) : 0;

	if (error != 0)
		return error;
	struct outbox_segment *segment = &chain->segments[chain->count - 1];
	error = write_all(chain->fd, encoded.ptr, encoded.len, segment->size);
	if (error != 0) {
		/* The next attempt starts at the same place; until then the end is torn. */
		(void)!ftruncate(chain->fd, (off_t)segment->size);
		return error;
	}
	segment->size += encoded.len;
	segment->records++;
	segment->newest_ns = raised_ns;
	chain->bytes += encoded.len;
	chain->records++;
	chain->dirty = true;
	if (sequence > chain->last)
		chain->last = sequence;
	return 0;
}

/* Takes the oldest file out of the chain; delivered files may be kept under another name. */
static void remove_oldest(struct outbox_chain *chain, bool delivered)
{
	const struct outbox_segment *segment = &chain->segments[0];
	char name[NAME_SIZE];
	char done[NAME_SIZE];

	segment_name(chain, segment->first, "", name);
	segment_name(chain, segment->first, "done-", done);
	if (chain->count == 1 && chain->fd >= 0) {
		(void)close(chain->fd);
		chain->fd = -1;
		chain->dirty = false;
	}
	if (delivered && chain->config.keep_delivered)
		(void)renameat(chain->directory, name, chain->directory, done);
	else
		(void)unlinkat(chain->directory, name, 0);
	chain->bytes -= segment->size;
	chain->records -= segment->records;
	chain->count--;
	memmove(chain->segments, chain->segments + 1, chain->count * sizeof(*chain->segments));
	chain->done_offset = OUTBOX_SEGMENT_HEADER_SIZE;
}

uint64_t outbox_chain_drop_oldest(struct outbox_chain *chain)
{
	if (chain->count == 0)
		return 0;
	uint64_t lost = chain->segments[0].records;
	remove_oldest(chain, lost == 0);
	return lost;
}

void outbox_chain_trim(struct outbox_chain *chain, bool everything)
{
	while (chain->count > 0 && chain->segments[0].records == 0) {
		bool newest = chain->count == 1;
		if (newest && !everything && chain->fd >= 0 &&
		    chain->segments[0].size < SPENT_SEGMENT_BYTES)
			return;
		remove_oldest(chain, true);
	}
}

void outbox_chain_done(struct outbox_chain *chain, struct outbox_position position, uint64_t count)
{
	/* Files in front of the position's may hold records that can no longer be read. */
	while (chain->count > 0 && chain->segments[0].first < position.segment) {
		uint64_t here = chain->segments[0].records;
		uint64_t read = here < count ? here : count;
		chain->stats.corrupt_records += here - read;
		count -= read;
		remove_oldest(chain, true);
	}
	if (chain->count == 0 || chain->segments[0].first != position.segment)
		return; /* dropped at the cap in the meantime, and counted there */
	struct outbox_segment *segment = &chain->segments[0];
	uint64_t read = segment->records < count ? segment->records : count;
	segment->records -= read;
	chain->records -= read;
	chain->done_offset = position.offset;
	if (position.offset >= segment->size && segment->records > 0) {
		chain->stats.corrupt_records += segment->records;
		chain->records -= segment->records;
		segment->records = 0;
	}
	outbox_chain_trim(chain, false);
}
