/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a test makes for what wants a path. */
#ifndef TESTS_SUPPORT_SCRATCH_FILE_H
#define TESTS_SUPPORT_SCRATCH_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define SCRATCH_PATH_MAX 64

/* Makes a new file, empty; name is a part of its path. Who asks for it unlinks it. False: it
 * failed. */
bool scratch_file_make(char path[SCRATCH_PATH_MAX], const char *name);

/* Writes a file anew. False: not all of it was written. */
bool scratch_file_store(const char *path, const void *bytes, size_t len);

#endif
