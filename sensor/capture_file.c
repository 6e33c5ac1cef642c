/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_file.h"

#include "sensor/capture_scout.h"
#include "sensor/memory_fetch.h"

#include <stdlib.h>
#include <time.h>

/* A window that is mapped is so many times as long as one that is read: no copy fills a cache. */
#define MAPPED_TIMES 2U

#define HEADERS      96U /* bytes: a pcap record's and those of Ethernet, IPv4 and TCP */

struct capture_file {
	struct byte_source *source;
	struct capture_window_pool *pool;
	struct capture_format format;
	struct capture_window *window; /* NULL before the first read */
	size_t start, end;             /* unread bytes of the window */
	uint64_t offset;               /* of start, in decompressed bytes */
	uint64_t skip;                 /* bytes to leave behind that were not read yet */
	bool source_ended;
	bool unmappable; /* the system refused */
	bool failed;
	struct input_fault fault;
};

enum source_result capture_file_open(const char *path, const struct byte_source_limits *limits,
				     struct capture_window_pool *pool, struct capture_file **file,
				     struct input_fault *fault)
{
	struct capture_file *opened = calloc(1, sizeof(*opened));
	if (!opened) {
		*fault = (struct input_fault){.problem = "out of memory"};
		return SOURCE_FAILED;
	}
	enum source_result result = byte_source_open(path, limits, &opened->source, fault);
	if (result != SOURCE_OK) {
		free(opened);
		return result;
	}
	opened->pool = pool;
	capture_format_init(&opened->format);
	*file = opened;
	return SOURCE_OK;
}

void capture_file_close(struct capture_file *file)
{
	if (!file)
		return;
	if (file->window)
		capture_window_detach(file->window);
	capture_format_free(&file->format);
	byte_source_close(file->source);
	free(file);
}

static enum capture_status fail(struct capture_file *file, const struct input_fault *fault)
{
	file->failed = true;
	file->fault = *fault;
	return CAPTURE_FAULT;
}

static enum capture_status fail_here(struct capture_file *file, const char *problem)
{
	return fail(file, &(struct input_fault){.problem = problem, .offset = file->offset});
}

/* What a source that gave nothing, and has not ended, means for who reads the file. */
static enum capture_status source_stopped(struct capture_file *file, enum source_result result,
					  const struct input_fault *fault)
{
	if (result == SOURCE_INTERRUPTED)
		return CAPTURE_INTERRUPTED;
	return result == SOURCE_PAUSE ? CAPTURE_PAUSE : fail(file, fault);
}

/*
 * Makes room for need bytes from start, in place when nobody else looks at the
 * window, otherwise in another one. Only the cut unit at the end moves: a
 * packet's worth for each window.
 */
static enum capture_status make_room(struct capture_file *file, size_t need, size_t window_bytes)
{
	size_t held = file->end - file->start;
	struct capture_window *old = file->window;
	if (old && !old->mapped && old->capacity >= need && capture_window_unshared(old)) {
		memmove(old->room, old->bytes + file->start, held);
	} else {
		struct capture_window *fresh;
		size_t capacity = window_bytes > need ? window_bytes : need;
		switch (capture_window_acquire(file->pool, capacity, &fresh)) {
		case WINDOW_ACQUIRED:
			break;
		case WINDOW_BUSY:
			return CAPTURE_BUSY;
		case WINDOW_NO_MEMORY:
		default:
			return fail_here(file, "out of memory");
		}
		if (old) {
			memcpy(fresh->room, old->bytes + file->start, held);
			capture_window_detach(old);
		}
		file->window = fresh;
	}
	file->start = 0;
	file->end = held;
	return CAPTURE_PACKET;
}

/* Maps need bytes or more from start on. Where that cannot be, file->unmappable is set. */
static enum capture_status map_next(struct capture_file *file, size_t need, size_t window_bytes)
{
	const size_t held = file->end - file->start;
	struct file_mapping mapping;
	struct input_fault fault;
	struct capture_window *fresh;

	if (capture_window_pool_busy(file->pool))
		return CAPTURE_BUSY;
	window_bytes *= MAPPED_TIMES;
	enum source_result result = byte_source_map(
	    file->source, held, window_bytes > need ? window_bytes : need, &mapping, &fault);
	file->source_ended = result == SOURCE_END;
	file->unmappable = result == SOURCE_FAILED && fault.error_number != 0;
	if (file->source_ended || file->unmappable)
		return CAPTURE_PACKET;
	if (result != SOURCE_OK)
		return source_stopped(file, result, &fault);
	if (capture_window_of_mapping(file->pool, &mapping, &fresh) != WINDOW_ACQUIRED) {
		file_mapping_close(&mapping);
		return fail_here(file, "out of memory");
	}
	capture_window_detach(file->window);
	file->window = fresh;
	file->start = 0;
	file->end = mapping.len;
	capture_scout(&file->format, span_of(fresh->bytes, file->end));
	return CAPTURE_PACKET;
}

/* Reads until need bytes are there, or the source ends. */
static enum capture_status read_next(struct capture_file *file, size_t need, size_t window_bytes)
{
	/* Bytes behind those that others hold may be added to a window at any time. */
	if (!file->window || file->window->capacity - file->start < need) {
		enum capture_status status = make_room(file, need, window_bytes);
		if (status != CAPTURE_PACKET)
			return status;
	}
	while (file->end - file->start < need) {
		size_t got;
		struct input_fault fault;
		enum source_result result =
		    byte_source_read(file->source, file->window->room + file->end,
				     file->window->capacity - file->end, &got, &fault);
		file->source_ended = result == SOURCE_END;
		if (file->source_ended)
			return CAPTURE_PACKET;
		if (result != SOURCE_OK)
			return source_stopped(file, result, &fault);
		file->end += got;
	}
	return CAPTURE_PACKET;
}

/* CPU time of the thread, ns; 0 where the system has none. */
static uint64_t spent_ns(void)
{
	struct timespec spent = {.tv_sec = 0};
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * 1000000000U + (uint64_t)spent.tv_nsec;
}

/* The next bytes of what can be mapped, one way or the other. */
static enum capture_status map_or_read(struct capture_file *file, size_t need, size_t window_bytes)
{
	struct window_ways *ways = capture_window_pool_ways(file->pool);
	const bool always = byte_source_maps_always(file->source);
	const bool on_trial = !always && window_ways_on_trial(ways);
	const enum window_way way = always ? WINDOW_MAPPED : window_ways_next(ways);
	const uint64_t began_ns = on_trial ? spent_ns() : 0;
	const uint64_t before = byte_source_consumed(file->source);
	enum capture_status status = CAPTURE_PACKET;

	if (way == WINDOW_MAPPED)
		status = map_next(file, need, window_bytes);
	if (way == WINDOW_COPIED || (status == CAPTURE_PACKET && file->unmappable))
		status = read_next(file, need, window_bytes);
	const uint64_t bytes = byte_source_consumed(file->source) - before;
	if (bytes > 0 && !always && !file->unmappable)
		window_ways_came(ways, way, on_trial ? spent_ns() - began_ns : 0, bytes);
	return status;
}

static enum capture_status refill(struct capture_file *file, size_t need, size_t window_bytes)
{
	if (!file->unmappable && byte_source_mappable(file->source, window_bytes))
		return map_or_read(file, need, window_bytes);
	return read_next(file, need, window_bytes);
}

/* Leaves behind what does not lie in the window. */
static enum capture_status skip_ahead(struct capture_file *file)
{
	while (file->skip > 0) {
		uint64_t skipped;
		struct input_fault fault;
		enum source_result result =
		    byte_source_skip(file->source, file->skip, &skipped, &fault);
		if (result == SOURCE_END)
			return fail_here(file, "truncated in the middle of a block");
		if (result != SOURCE_OK)
			return source_stopped(file, result, &fault);
		file->skip -= skipped;
		file->offset += skipped;
	}
	return CAPTURE_PACKET;
}

static void advance(struct capture_file *file, uint64_t len)
{
	size_t held = file->end - file->start;
	size_t step = len < held ? (size_t)len : held;
	file->start += step;
	file->offset += step;
	file->skip = len - step;
}

static enum capture_status at_end(struct capture_file *file)
{
	if (file->end > file->start) {
		if (file->format.kind == CAPTURE_KIND_UNKNOWN)
			return fail_here(file, "not a capture");
		return fail_here(file, "truncated in the middle of a packet or header");
	}
	if (file->offset == 0)
		return fail_here(file, "is empty");
	return CAPTURE_END;
}

static void fill_packet(const struct capture_file *file, const struct capture_record *record,
			struct capture_packet *packet)
{
	packet->time_ns = record->time_ns;
	packet->len = record->len;
	packet->link_type = file->format.interfaces[record->interface].link_type;
	packet->fcs_len = record->fcs_len;
	packet->interface_id = record->interface;
	packet->interfaces = file->format.interface_count;
	packet->file_id = 0;
	packet->frame = record->frame;
	packet->window = file->window;
}

/* Not inlined: what it needs room for is not to be set up for every packet. */
__attribute__((noinline)) static enum capture_status
next_unit(struct capture_file *file, size_t window_bytes, struct capture_packet *packet)
{
	if (file->failed)
		return CAPTURE_FAULT;
	for (;;) {
		if (file->skip > 0) {
			enum capture_status status = skip_ahead(file);
			if (status != CAPTURE_PACKET)
				return status;
		}
		struct span input = {.ptr = NULL, .len = 0};
		if (file->window)
			input = span_of(file->window->bytes + file->start, file->end - file->start);
		struct capture_step step;
		enum capture_status status;
		switch (capture_format_next(&file->format, input, &step)) {
		case PARSE_DONE:
			advance(file, step.advance);
			if (!step.has_packet)
				break;
			fill_packet(file, &step.record, packet);
			return CAPTURE_PACKET;
		case PARSE_MORE:
			if (file->source_ended)
				return at_end(file);
			status = refill(file, step.need, window_bytes);
			if (status != CAPTURE_PACKET)
				return status;
			break;
		case PARSE_MALFORMED:
		default:
			return fail(file, &(struct input_fault){.problem = step.problem,
								.has_value = step.has_value,
								.value = step.value,
								.offset = file->offset});
		}
	}
}

enum capture_status capture_file_next(struct capture_file *file, size_t window_bytes,
				      struct capture_packet *packet, struct input_fault *fault)
{
	/* What most calls find: a record that is whole in the window, behind one that was. */
	if (file->window != NULL && file->skip == 0 && !file->failed) {
		const struct span held =
		    span_of(file->window->bytes + file->start, file->end - file->start);
		struct capture_record record;
		const size_t len = capture_format_record(&file->format, held, &record);
		if (len > 0) {
			if (held.len - len >= HEADERS)
				memory_fetch(held.ptr + len, HEADERS);
			file->start += len;
			file->offset += len;
			fill_packet(file, &record, packet);
			if (capture_window_whole(file->window))
				return CAPTURE_PACKET;
		}
	}
	enum capture_status status = next_unit(file, window_bytes, packet);
	/* What was read of it, or is wrong with it, means nothing then. */
	if (file->window != NULL && !capture_window_whole(file->window))
		status = fail_here(file, FILE_MAPPING_LOST);
	if (status == CAPTURE_FAULT)
		*fault = file->fault;
	return status;
}

enum capture_kind capture_file_kind(const struct capture_file *file)
{
	return file->format.kind;
}

struct capture_interface *capture_file_interface(struct capture_file *file, uint32_t interface_id)
{
	if (interface_id >= file->format.interface_count)
		return NULL;
	return &file->format.interfaces[interface_id];
}

struct byte_source *capture_file_source(struct capture_file *file)
{
	return file->source;
}
