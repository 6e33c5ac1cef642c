/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one input, decompressed: a file, a FIFO, or standard input.
 *
 * Compression is recognised by the first bytes, never by a name. A regular file may be
 * parked: its descriptor is closed and opened again, at the same place and
 * only if it still is the same file, when more is read. So thousands of inputs can be
 * in progress with a handful of descriptors.
 *
 * Every failure of the system is a value. A file that grows or shrinks while
 * it is read has simply the bytes that read(2) returns; of one that is mapped see
 * file_mapping.h.
 */
#ifndef SENSOR_BYTE_SOURCE_H
#define SENSOR_BYTE_SOURCE_H

#include "sensor/file_mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is wrong with an input. */
struct input_fault {
	const char *problem; /* a constant text, as in "cannot open" */
	int error_number;    /* errno behind it, or 0 */
	bool has_value;
	uint64_t value; /* the number that is wrong, with has_value */
	/* Place in the decompressed bytes; for damaged compression, in the compressed ones. */
	uint64_t offset;
};

enum source_result {
	SOURCE_OK,
	SOURCE_END,         /* nothing more */
	SOURCE_INTERRUPTED, /* a signal came in; nothing is lost, call again or stop */
	SOURCE_PAUSE,       /* a moment to let go of what is held back: call again, which waits */
	SOURCE_FAILED,      /* *fault says why */
};

struct byte_source_limits {
	size_t input_bytes;      /* buffer for compressed bytes, allocated only for these */
	int zstd_max_window_log; /* log2 of the most memory that a zstd frame may ask for */
	/* Of a pipe, SOURCE_PAUSE is said when nothing came for quiet_ms, or otherwise every
	   busy_ms in which something is read. With quiet_ms 0 never. */
	int quiet_ms;
	int busy_ms;
	/* Windows of so many bytes or more are mapped, where that can be; 0: none. Asks for
	   file_mapping_guard(). */
	size_t map_from;
	bool map_always; /* also where a copy is faster (window_ways.h) */
};

struct byte_source;

/*
 * Opens path, or standard input for "-" (whose descriptor stays open). A FIFO is
 * waited for. OK or INTERRUPTED or FAILED; a directory fails.
 */
enum source_result byte_source_open(const char *path, const struct byte_source_limits *limits,
				    struct byte_source **source, struct input_fault *fault);

void byte_source_close(struct byte_source *source);

/* Up to room (> 0) decompressed bytes; *got > 0 with OK, 0 otherwise. */
enum source_result byte_source_read(struct byte_source *source, uint8_t *bytes, size_t room,
				    size_t *got, struct input_fault *fault);

/* Leaves up to len bytes behind, in one step where the file allows; *skipped may be less with OK.
 */
enum source_result byte_source_skip(struct byte_source *source, uint64_t len, uint64_t *skipped,
				    struct input_fault *fault);

/*
 * Whether byte_source_map() may be asked for windows of that size: these are to be mapped, and the
 * bytes of a file that is not standard input stand as they are stored. Known once something was
 * read.
 */
bool byte_source_mappable(const struct byte_source *source, size_t window_bytes);

/* What byte_source_limits says of it. */
bool byte_source_maps_always(const struct byte_source *source);

/*
 * Maps the last held bytes that were read, and what comes behind them: len (> held) bytes
 * together, or what the file has. The source then stands behind them. END: there are no more than
 * the held ones. FAILED: *fault says why; with an error_number reading may still go on.
 */
enum source_result byte_source_map(struct byte_source *source, size_t held, size_t len,
				   struct file_mapping *mapping, struct input_fault *fault);

/* Whether the input can be read a second time: a regular file that is not standard input. */
bool byte_source_rereadable(const struct byte_source *source);

/* From now on closes the descriptor after each read, if the input is rereadable. */
void byte_source_park(struct byte_source *source);

/* Bytes of the input as stored; 0 when that is not known (a pipe). */
uint64_t byte_source_size(const struct byte_source *source);

/* Of those, how many were read. */
uint64_t byte_source_consumed(const struct byte_source *source);

#endif
