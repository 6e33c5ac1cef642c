/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stretches of files, mapped into memory to be read.
 *
 * A page of a mapping can go away: somebody cuts the file, or the disk fails. Whoever then touches
 * it gets SIGBUS, where read(2) would return an error. The guard answers that signal: a page of
 * zeros comes in the place of the lost one, and the mapping is no longer whole, which its owner
 * asks for before it believes what it has read. A SIGBUS at any other address goes to who had the
 * signal before.
 */
#ifndef SENSOR_FILE_MAPPING_H
#define SENSOR_FILE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mappings at a time, in the whole process: a handler can look through no list that grows. */
#define FILE_MAPPINGS 64U

struct file_mapping {
	const uint8_t *bytes; /* len of them, from the asked offset on */
	size_t len;
	void *base;    /* of its pages */
	size_t size;   /* bytes of these */
	unsigned slot; /* in the guard's table */
};

/*
 * What is to be said of a file of which a part was lost. Of the page in which a file ends now the
 * rest is zeros without a signal: whoever was at work on it may have believed them.
 */
#define FILE_MAPPING_LOST                                                                          \
	"was cut or failed while it was read; what is told of its last packets may be wrong"

/* Catches SIGBUS for the rest of the process. False where the system refuses. */
bool file_mapping_guard(void);

/*
 * Maps len (> 0) bytes of a regular file from offset on, which have to be in it, and brings them
 * into memory. False, errno set: EMFILE when there are too many mappings already.
 */
bool file_mapping_open(struct file_mapping *mapping, int fd, uint64_t offset, size_t len);

/* From any thread. */
void file_mapping_close(struct file_mapping *mapping);

/* Whether no page was lost so far. From any thread. */
bool file_mapping_whole(const struct file_mapping *mapping);

/* Pages that were lost in this process, of all mappings that are or were. */
uint64_t file_mapping_lost(void);

#endif
