/* SPDX-License-Identifier: Apache-2.0 */
/* A file for what wants a path: in memory, made once for each process. */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory, under /dev/shm. */
static inline const char *scratch_directory(const char *name)
{
	static char path[256];

	if (path[0] == '\0') {
		snprintf(path, sizeof path, "/dev/shm/fuzz_%s.%ld", name, (long)getpid());
		if (mkdir(path, 0700) != 0) {
			perror(path);
			abort();
		}
	}
	return path;
}

static inline void scratch_write(const char *path, struct span bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len) {
		perror(path);
		abort();
	}
	close(fd);
}

#endif
