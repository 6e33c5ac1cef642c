/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/path_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same regular file, or the same name of one that is not there yet. */
static bool same_file(const char *a, const char *b)
{
	struct stat of_a, of_b;
	bool has_a = stat(a, &of_a) == 0, has_b = stat(b, &of_b) == 0;
	if (!has_a && !has_b)
		return strcmp(a, b) == 0;
	return has_a && has_b && S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev &&
	       of_a.st_ino == of_b.st_ino;
}

static bool is_path(const char *text)
{
	return text != NULL && strcmp(text, "-") != 0;
}

/* What opening will fail with, as far as it can be told without doing it; 0: nothing. */
static int unwritable(const char *path)
{
	char folder[PATH_MAX];
	struct stat status;
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return EISDIR;
	if (access(path, W_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return errno;
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (len >= sizeof folder)
		return ENAMETOOLONG;
	memcpy(folder, len > 0 ? path : ".", len > 0 ? len : 1);
	folder[len > 0 ? len : 1] = '\0';
	return access(folder, W_OK | X_OK) == 0 ? 0 : errno;
}

bool path_check(const struct options *options, char *error, size_t size)
{
	const struct {
		const char *option, *path;
		bool emptied; /* when it is opened */
	} outputs[] = {{"--alerts", options->alerts, true},
		       {"--sessions", options->sessions, true},
		       {"--report", options->report, true},
		       {"--baseline", options->baseline, false}};
	const size_t count = sizeof outputs / sizeof outputs[0];

	for (size_t i = 0; i < count; i++) {
		if (!is_path(outputs[i].path))
			continue;
		int problem = unwritable(outputs[i].path);
		if (problem != 0 && outputs[i].emptied) {
			(void)snprintf(error, size, "%s: cannot be opened for writing: %s",
				       outputs[i].path, strerror(problem));
			return false;
		}
		for (size_t k = i + 1; k < count; k++) {
			if (!is_path(outputs[k].path) ||
			    !same_file(outputs[i].path, outputs[k].path))
				continue;
			(void)snprintf(error, size, "%s and %s are one file: %s", outputs[i].option,
				       outputs[k].option, outputs[i].path);
			return false;
		}
		for (size_t k = 0; k < options->inputs.count + options->taps.count; k++) {
			size_t name_len;
			const char *input =
			    k < options->inputs.count
				? options->inputs.items[k]
				: option_pair_value(options->taps.items[k - options->inputs.count],
						    &name_len);
			if (!is_path(input) || !same_file(outputs[i].path, input))
				continue;
			(void)snprintf(error, size, "%s is the capture to be read: %s",
				       outputs[i].option, outputs[i].path);
			return false;
		}
	}
	return true;
}
