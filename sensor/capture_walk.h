/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files below a directory, in an order that depends on their names alone.
 *
 * Symbolic links are followed; each file and directory is given once, however
 * many names lead to it, so a loop ends and a link to the newest capture does
 * not double it. What is no regular file is never opened: a FIFO would block.
 */
#ifndef SENSOR_CAPTURE_WALK_H
#define SENSOR_CAPTURE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sensor/byte_source.h"

struct walk_entry {
	char *path;               /* owned by the list */
	struct input_fault fault; /* problem not NULL: the path cannot be looked at, and why */
	dev_t device;             /* without a fault: which file it is, */
	ino_t inode;              /* whatever its name */
};

struct walk_list {
	struct walk_entry *entries;
	size_t count, room;
	size_t max_entries;
	uint64_t skipped; /* neither file nor directory: FIFOs, sockets, devices, dangling links */
};

/*
 * Appends the regular files below path, and the directories that cannot be
 * read as entries with a fault. max_depth: levels of directories below path.
 * False when memory is out.
 */
bool capture_walk(struct walk_list *list, const char *path, unsigned max_depth);

void walk_list_free(struct walk_list *list);

#endif
