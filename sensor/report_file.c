/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/report_file.h"

#include "sensor/limits.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct report_file {
	struct budget budget;
	struct report *report;
	struct digester *digester;
	const char *path; /* of the options */
	FILE *out;
};

void report_file_abandon(struct report_file *file)
{
	if (file == NULL)
		return;
	if (file->out != NULL && file->out != stdout)
		(void)fclose(file->out);
	report_destroy(file->report);
	digester_destroy(file->digester);
	free(file);
}

/* The page names people's hosts: readable by the owner and the group. NULL with errno. */
static FILE *open_page(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL && fd >= 0)
		(void)close(fd);
	return out;
}

struct report_file *report_file_open(const struct options *options, const struct siphash_key *key,
				     char *error, size_t error_size)
{
	struct report_file *file = calloc(1, sizeof *file);
	if (file == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return NULL;
	}
	const struct report_options settings = {
	    .sensor = options->sensor,
	    .version = STRIPWATCH_VERSION,
	    .max_alerts = LIMIT_REPORT_ALERTS,
	    .max_hosts = LIMIT_REPORT_HOSTS,
	    .max_inputs = LIMIT_REPORT_INPUTS,
	    .show_addresses = options->show_addresses,
	    .key = *key,
	};
	budget_init(&file->budget, LIMIT_REPORT_MEMORY);
	file->path = options->report;
	file->report = report_create(&file->budget, &settings);
	file->digester = digester_create();
	if (file->report == NULL || file->digester == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		report_file_abandon(file);
		return NULL;
	}
	file->out = strcmp(file->path, "-") == 0 ? stdout : open_page(file->path);
	if (file->out == NULL) {
		(void)snprintf(error, error_size, "%s: cannot be opened: %s", file->path,
			       strerror(errno));
		report_file_abandon(file);
		return NULL;
	}
	return file;
}

struct report *report_file_report(struct report_file *file)
{
	return file->report;
}

/* True when all of the file went into the digest. */
static bool digest_file(struct digest_stream *stream, FILE *in, struct report_input *input)
{
	uint8_t bytes[32768];
	size_t len;
	while ((len = fread(bytes, 1, sizeof bytes, in)) > 0) {
		input->bytes += len;
		if (!digest_stream_update(stream, span_of(bytes, len)))
			return false;
	}
	return ferror(in) == 0 && digest_stream_finish(stream, input->sha256);
}

bool report_file_input(struct report_file *file, const char *path)
{
	struct report_input input = {.path = path};
	FILE *in = strcmp(path, "-") == 0 ? NULL : fopen(path, "re");
	struct digest_stream *stream = digest_stream_create(file->digester, DIGEST_SHA256);
	if (in != NULL && stream != NULL)
		input.has_sha256 = digest_file(stream, in, &input);
	digest_stream_destroy(stream);
	if (in != NULL)
		(void)fclose(in);
	report_add_input(file->report, &input);
	return input.has_sha256 || strcmp(path, "-") == 0;
}

bool report_file_close(struct report_file *file, char *error, size_t error_size)
{
	struct buffer page;
	buffer_init(&page, &file->budget, LIMIT_REPORT_PAGE);
	bool good = report_write(file->report, &page);
	if (!good) {
		(void)snprintf(error, error_size, "%s: no memory for the page", file->path);
	} else {
		good = fwrite(page.bytes, 1, page.len, file->out) == page.len &&
		       fflush(file->out) == 0;
		int cause = errno;
		if (file->out != stdout) {
			if (fclose(file->out) != 0 && good) {
				good = false;
				cause = errno;
			}
			file->out = NULL;
		}
		if (!good)
			(void)snprintf(error, error_size, "%s: cannot be written: %s", file->path,
				       strerror(cause));
	}
	buffer_free(&page);
	report_file_abandon(file);
	return good;
}
