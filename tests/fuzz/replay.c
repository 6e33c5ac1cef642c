/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target on files and directories of files: the corpus in the ordinary tests. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <string.h>

static bool run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0, room = 0, got;

	if (file == NULL)
		return false;
	do {
		if (size == room) {
			room = room == 0 ? 65536 : room * 2;
			uint8_t *grown = realloc(data, room);
			if (grown == NULL)
				break;
			data = grown;
		}
		got = fread(data + size, 1, room - size, file);
		size += got;
	} while (got > 0);
	fclose(file);
	/* A copy of just that size, so that a read behind its end is seen. */
	uint8_t *exact = malloc(size > 0 ? size : 1);
	if (exact != NULL && size > 0)
		memcpy(exact, data, size);
	free(data);
	if (exact != NULL)
		(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return exact != NULL;
}

int main(int argc, char **argv)
{
	unsigned files = 0;
	for (int i = 1; i < argc; i++) {
		DIR *directory = opendir(argv[i]);
		struct dirent *entry;
		if (directory == NULL) {
			if (!run_file(argv[i])) {
				fprintf(stderr, "%s: cannot be read\n", argv[i]);
				return 1;
			}
			files++;
			continue;
		}
		while ((entry = readdir(directory)) != NULL) {
			char path[4096];
			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
			if (!run_file(path)) {
				fprintf(stderr, "%s: cannot be read\n", path);
				closedir(directory);
				return 1;
			}
			files++;
		}
		closedir(directory);
	}
	printf("%u inputs\n", files);
	return files == 0;
}
