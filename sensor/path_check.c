/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/path_check.h"

#include "sensor/capture_walk.h"
#include "sensor/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Something that the run writes, as it is before. */
struct output {
	const char *option, *path;
	bool emptied; /* when it is opened */
	bool there, regular;
	dev_t device;
	ino_t inode;
};

enum { OUTPUTS = 4 };

/* What is to be read. */
struct input {
	const char *option; /* NULL: a capture, or a directory of them */
	const char *path;
};

/* Where the sentence about the first mistake goes. */
struct complaint {
	char *error;
	size_t size;
};

static bool is_file(const struct output *output, dev_t device, ino_t inode)
{
	return output->regular && output->device == device && output->inode == inode;
}

/* The same regular file, or the same name of one that is not there yet. */
static bool same_file(const struct output *a, const struct output *b)
{
	if (!a->there && !b->there)
		return strcmp(a->path, b->path) == 0;
	return a->there && b->there && is_file(a, b->device, b->inode);
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

/* Whether replay would read it as a capture: by its content, as among the files of a directory. */
static bool is_capture(const char *path, const struct capture_limits *limits)
{
	struct capture_packet packet;
	enum capture_status status;
	struct capture_set *set = capture_set_open(&path, 1, limits);
	if (set == NULL)
		return true;
	do
		status = capture_set_next(set, &packet);
	while (status == CAPTURE_BUSY);
	bool found = capture_set_counts(set).captures > 0;
	capture_set_close(set);
	return found;
}

static bool complain(struct complaint complaint, const struct output *output,
		     const struct input *input)
{
	(void)snprintf(complaint.error, complaint.size, "%s is the %s%s: %s", output->option,
		       input->option != NULL ? "file of " : "capture to be read",
		       input->option != NULL ? input->option : "", output->path);
	return false;
}

/* Nothing is opened but an output that was found among the captures. */
static bool check_below(const struct output outputs[OUTPUTS], const struct input *input,
			const struct capture_limits *limits, struct complaint complaint)
{
	bool good = true;
	struct walk_list list = {.max_entries = LIMIT_CAPTURE_FILES};
	if (!capture_walk(&list, input->path, LIMIT_CAPTURE_DEPTH)) {
		(void)snprintf(complaint.error, complaint.size, "no memory to list %s",
			       input->path);
		good = false;
	}
	for (size_t i = 0; good && i < list.count; i++) {
		const struct walk_entry *entry = &list.entries[i];
		for (size_t k = 0; good && entry->fault.problem == NULL && k < OUTPUTS; k++)
			if (is_file(&outputs[k], entry->device, entry->inode) &&
			    is_capture(entry->path, limits))
				good = complain(complaint, &outputs[k], input);
	}
	walk_list_free(&list);
	return good;
}

/* Where no output is a file yet, none can be an input, and no directory is walked. */
static bool check_input(const struct output outputs[OUTPUTS], const struct input *input,
			const struct capture_limits *limits, struct complaint complaint)
{
	struct stat status;
	bool any = false;
	if (input->path == NULL)
		return true;
	for (size_t i = 0; i < OUTPUTS; i++) {
		any = any || outputs[i].regular;
		if (is_path(outputs[i].path) && !outputs[i].there && is_path(input->path) &&
		    strcmp(outputs[i].path, input->path) == 0)
			return complain(complaint, &outputs[i], input);
	}
	bool standard = input->option == NULL && !is_path(input->path);
	if (!any || (standard ? fstat(STDIN_FILENO, &status) : stat(input->path, &status)) != 0)
		return true;
	if (S_ISDIR(status.st_mode) && limits != NULL)
		return check_below(outputs, input, limits, complaint);
	for (size_t i = 0; i < OUTPUTS; i++)
		if (is_file(&outputs[i], status.st_dev, status.st_ino))
			return complain(complaint, &outputs[i], input);
	return true;
}

static bool check_captures(const struct output outputs[OUTPUTS], const struct options *options,
			   const struct capture_limits *limits, struct complaint complaint)
{
	for (size_t i = 0; i < options->inputs.count + options->taps.count; i++) {
		size_t name_len;
		const char *path =
		    i < options->inputs.count
			? options->inputs.items[i]
			: option_pair_value(options->taps.items[i - options->inputs.count],
					    &name_len);
		const struct input input = {.path = path};
		if (!check_input(outputs, &input, limits, complaint))
			return false;
	}
	return true;
}

/* What the options name to be read besides captures. */
static bool check_settings(const struct output outputs[OUTPUTS], const struct options *options,
			   struct complaint complaint)
{
	const struct input inputs[] = {
	    {"--config", options->config},
	    {"--policy", options->policy},
	    {"--ca-file", options->ca_file},
	    {"--redis-password-file", options->redis_password_file},
	    {"--redis-ca-file", options->redis_ca_file},
	    {"--redis-cert", options->redis_cert},
	    {"--redis-key", options->redis_key},
	};
	for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
		if (!check_input(outputs, &inputs[i], NULL, complaint))
			return false;
	return true;
}

static bool check_outputs(const struct output outputs[OUTPUTS], struct complaint complaint)
{
	for (size_t i = 0; i < OUTPUTS; i++) {
		if (!is_path(outputs[i].path))
			continue;
		int problem = unwritable(outputs[i].path);
		if (problem != 0 && outputs[i].emptied) {
			(void)snprintf(complaint.error, complaint.size,
				       "%s: cannot be opened for writing: %s", outputs[i].path,
				       strerror(problem));
			return false;
		}
		for (size_t k = i + 1; k < OUTPUTS; k++) {
			if (!is_path(outputs[k].path) || !same_file(&outputs[i], &outputs[k]))
				continue;
			(void)snprintf(complaint.error, complaint.size,
				       "%s and %s are one file: %s", outputs[i].option,
				       outputs[k].option, outputs[i].path);
			return false;
		}
	}
	return true;
}

bool path_check(const struct options *options, const struct capture_limits *limits, char *error,
		size_t size)
{
	const struct complaint complaint = {.error = error, .size = size};
	struct output outputs[OUTPUTS] = {
	    {.option = "--alerts", .path = options->alerts, .emptied = true},
	    {.option = "--sessions", .path = options->sessions, .emptied = true},
	    {.option = "--report", .path = options->report, .emptied = true},
	    {.option = "--baseline", .path = options->baseline},
	};
	for (size_t i = 0; i < OUTPUTS; i++) {
		struct stat status;
		if (!is_path(outputs[i].path) || stat(outputs[i].path, &status) != 0)
			continue;
		outputs[i].there = true;
		outputs[i].regular = S_ISREG(status.st_mode);
		outputs[i].device = status.st_dev;
		outputs[i].inode = status.st_ino;
	}
	return check_outputs(outputs, complaint) && check_settings(outputs, options, complaint) &&
	       (limits == NULL || check_captures(outputs, options, limits, complaint));
}
