/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/scratch_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool scratch_file_make(char path[SCRATCH_PATH_MAX], const char *name)
{
	(void)snprintf(path, SCRATCH_PATH_MAX, "/tmp/%s.XXXXXX", name);
	const int fd = mkstemp(path);
	return fd >= 0 && close(fd) == 0;
}

bool scratch_file_store(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");
	if (file == NULL)
		return false;
	const bool whole = fwrite(bytes, 1, len, file) == len;
	return fclose(file) == 0 && whole;
}
