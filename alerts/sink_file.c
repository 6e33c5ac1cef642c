/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink_file {
	struct sink sink;
	char *path;
	unsigned what;
	int fd;
	bool torn; /* the file ends in the middle of a line */
	uint8_t *buffer;
	size_t len, cap;
};

static struct sink_file *file_of(struct sink *sink)
{
	return (struct sink_file *)sink;
}

static const char *display_name(const struct sink_file *f)
{
	return f->fd == STDOUT_FILENO ? "standard output" : f->path;
}

static bool file_fail(struct sink_file *f, const char *what, int error, uint64_t lost)
{
	f->sink.refused += lost;
	if (!f->sink.failed)
		(void)snprintf(f->sink.error, sizeof f->sink.error, "%s: %s: %s", display_name(f),
			       what, strerror(error));
	f->sink.failed = true;
	return false;
}

static uint64_t count_lines(const uint8_t *bytes, size_t len)
{
	uint64_t count = 0;
	for (const uint8_t *end; len > 0 && (end = memchr(bytes, '\n', len)) != NULL; count++) {
		len -= (size_t)(end + 1 - bytes);
		bytes = end + 1;
	}
	return count;
}

/* Writes whole lines. What a full disk cuts off is lost, but does not spoil the next line. */
static bool write_lines(struct sink_file *f, const uint8_t *bytes, size_t len)
{
	static const uint8_t end = '\n';
	size_t left = len;

	if (f->torn && len > 0) {
		if (write(f->fd, &end, 1) != 1)
			return file_fail(f, "cannot be written", errno, count_lines(bytes, len));
		f->torn = false;
	}
	while (left > 0) {
		ssize_t n = write(f->fd, bytes, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;
			f->torn = left < len && bytes[-1] != end;
			return file_fail(f, "cannot be written", error, count_lines(bytes, left));
		}
		bytes += n;
		left -= (size_t)n;
	}
	return true;
}

static bool file_flush(struct sink *sink)
{
	struct sink_file *f = file_of(sink);
	size_t len = f->len;
	f->len = 0;
	return write_lines(f, f->buffer, len);
}

/* A line that the buffer does not take; in one write, so that it cannot be torn in two. */
static bool write_line(struct sink_file *f, struct span json)
{
	uint8_t *line = malloc(json.len + 1);
	if (line == NULL)
		return file_fail(f, "cannot be written", ENOMEM, 1);
	memcpy(line, json.ptr, json.len);
	line[json.len] = '\n';
	bool good = write_lines(f, line, json.len + 1);
	free(line);
	return good;
}

static bool file_line(struct sink_file *f, struct span json)
{
	bool good = f->cap - f->len >= json.len + 1 || file_flush(&f->sink);
	if (f->cap < json.len + 1)
		return write_line(f, json);
	memcpy(f->buffer + f->len, json.ptr, json.len);
	f->len += json.len;
	f->buffer[f->len++] = '\n';
	return good;
}

static bool file_alert(struct sink *sink, const struct sink_alert *alert)
{
	struct sink_file *f = file_of(sink);
	return (f->what & SINK_FILE_ALERTS) == 0 || file_line(f, alert->json);
}

static bool file_session(struct sink *sink, struct span json)
{
	struct sink_file *f = file_of(sink);
	return (f->what & SINK_FILE_SESSIONS) == 0 || file_line(f, json);
}

static int open_path(const char *path, bool truncate)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (truncate ? O_TRUNC : O_APPEND);
	/* Alerts name people's hosts: readable by the owner and the group. */
	return open(path, flags, 0640);
}

static bool file_reopen(struct sink *sink)
{
	struct sink_file *f = file_of(sink);
	if (f->fd == STDOUT_FILENO)
		return true;
	bool flushed = file_flush(sink);
	int fd = open_path(f->path, false);
	if (fd < 0)
		return file_fail(f, "cannot be reopened", errno, 0);
	(void)close(f->fd);
	f->fd = fd;
	return flushed;
}

static bool file_close(struct sink *sink, char *error, size_t error_size)
{
	struct sink_file *f = file_of(sink);
	(void)file_flush(sink);
	/* Some file systems report a full disk only now. */
	if (f->fd != STDOUT_FILENO && close(f->fd) != 0)
		(void)file_fail(f, "cannot be closed", errno, 0);
	bool good = !f->sink.failed;
	if (!good)
		(void)snprintf(error, error_size, "%s (%" PRIu64 " %s lost)", sink->error,
			       sink->refused,
			       sink->refused == 1 ? "document was" : "documents were");
	free(f->buffer);
	free(f->path);
	free(f);
	return good;
}

static const struct sink_ops file_ops = {
    .alert = file_alert,
    .session = file_session,
    .flush = file_flush,
    .reopen = file_reopen,
    .close = file_close,
};

struct sink *sink_file_open(const char *path, unsigned what, bool truncate, size_t buffer,
			    char error[SINK_ERROR_MAX])
{
	struct sink_file *f = calloc(1, sizeof *f);
	if (f != NULL) {
		f->path = strdup(path);
		f->cap = buffer;
		f->buffer = buffer > 0 ? malloc(buffer) : NULL;
	}
	if (f == NULL || f->path == NULL || (buffer > 0 && f->buffer == NULL)) {
		(void)snprintf(error, SINK_ERROR_MAX, "%s: no memory for its buffer", path);
		if (f != NULL) {
			free(f->buffer);
			free(f->path);
		}
		free(f);
		return NULL;
	}
	f->sink.ops = &file_ops;
	f->what = what;
	f->fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : open_path(path, truncate);
	if (f->fd < 0) {
		(void)snprintf(error, SINK_ERROR_MAX, "%s: cannot be opened for writing: %s", path,
			       strerror(errno));
		free(f->buffer);
		free(f->path);
		free(f);
		return NULL;
	}
	return &f->sink;
}
