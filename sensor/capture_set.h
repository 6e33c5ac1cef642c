/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures as one timeline: files, directories and standard input, merged by
 * packet time.
 *
 * Packets come in the order of their times; equal times in the order of the
 * files (as named, directories by name). Packets of one file stay in file order
 * even where its times go backwards. A file is opened when its first packet
 * is reached: a first look at each takes its first time, so a set of thousands
 * of rotated files costs a few descriptors and a few windows. When more files
 * than max_open_files overlap in time, the rest is opened anew for each window.
 *
 * One file that fails does not end the set: it is reported with what is wrong and
 * where, everything before that place having been delivered, and the others
 * go on. Nothing is printed here.
 *
 * One thread pulls. Windows may be released by any.
 */
#ifndef SENSOR_CAPTURE_SET_H
#define SENSOR_CAPTURE_SET_H

#include "sensor/capture_file.h"

struct capture_limits {
	size_t window_bytes;     /* of one window, while few files are open */
	size_t windows_bytes;    /* of the windows of all open files: above it they get smaller */
	uint32_t max_in_flight;  /* windows that others may hold */
	uint32_t max_open_files; /* descriptors kept open */
	uint32_t max_files;      /* of all inputs */
	uint32_t max_depth;      /* of directories in directories */
	struct byte_source_limits source;
};

/* What is wrong with an input, ready to be shown (path and reason may hold any bytes but NUL). */
struct capture_error {
	const char *path; /* valid as long as the set */
	uint64_t offset;  /* bytes: of the capture, or of the file where compression is damaged */
	bool has_offset;  /* false where the place says nothing, as for a missing file */
	char reason[192];
};

struct capture_counts {
	uint64_t files;    /* inputs looked at, those in directories included */
	uint64_t captures; /* of these, captures */
	uint64_t skipped; /* in directories: no captures, nor anything that can be read as a file */
	uint64_t failed;  /* errors that were given out */
	uint64_t packets; /* packets that were given out */
	uint64_t unnamed; /* interfaces whose names found no memory */
	uint64_t bytes;   /* stored size of all inputs, as far as it is known */
	uint64_t bytes_read;      /* of these, read: for a progress bar */
	size_t window_bytes_peak; /* memory of all windows at their most */
};

struct capture_set;

/*
 * paths[i]: a file, a directory, or "-". They are looked at by the first calls of
 * capture_set_next(), not here. NULL when memory is out.
 */
struct capture_set *capture_set_open(const char *const *paths, size_t path_count,
				     const struct capture_limits *limits);

/* Windows that are still retained stay valid. */
void capture_set_close(struct capture_set *set);

/*
 * The next packet of the timeline. FAULT: one input failed (capture_set_error()); call
 * again for the others. BUSY: max_in_flight windows are held by others;
 * hand out or release what holds them, then capture_set_wait() and call again.
 * INTERRUPTED: a signal came in; call again or stop.
 */
enum capture_status capture_set_next(struct capture_set *set, struct capture_packet *packet);

/* Waits until others hold fewer than max_in_flight windows. */
void capture_set_wait(struct capture_set *set);

/* After FAULT, until the next call. */
const struct capture_error *capture_set_error(const struct capture_set *set);

/*
 * interface_id of a packet counts over the whole set: interfaces of the same name are the
 * same one, in whatever file or section; those without a name are told apart by
 * their place in the section. A pcap file has one without a name, id by its place
 * 0. NULL for an id that no packet had; beyond the set's cap of CAPTURE_SET_INTERFACES all
 * interfaces share the last id. Valid as long as the set.
 */
#define CAPTURE_SET_INTERFACES 4096U

const char *capture_set_interface_name(const struct capture_set *set, uint32_t interface_id);

/* The path of a packet's file, valid as long as the set. */
const char *capture_set_file_path(const struct capture_set *set, uint32_t file_id);

/*
 * The next file that was skipped as it is no capture, *at being 0 for the first; NULL: no more.
 * Valid as long as the set.
 */
const char *capture_set_skipped(const struct capture_set *set, size_t *at);

struct capture_counts capture_set_counts(const struct capture_set *set);

#endif
