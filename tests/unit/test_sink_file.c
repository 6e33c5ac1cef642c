/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/sink_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[128];

static void start(void)
{
	(void)snprintf(folder, sizeof folder, "/tmp/sink-file-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/out", folder);
}

static void stop(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
}

static struct sink *open_sink(const char *where, unsigned what, bool truncate, size_t buffer)
{
	char error[SINK_ERROR_MAX] = "";
	struct sink *sink = sink_file_open(where, what, truncate, buffer, error);
	cr_assert_not_null(sink, "%s", error);
	return sink;
}

static void expect_content(const char *expected)
{
	char text[256];
	FILE *file = fopen(path, "r");
	cr_assert_not_null(file);
	size_t len = fread(text, 1, sizeof text - 1, file);
	text[len] = '\0';
	(void)fclose(file);
	cr_expect_str_eq(text, expected);
}

static bool close_sink(struct sink *sink)
{
	char error[SINK_ERROR_MAX];
	return sink->ops->close(sink, error, sizeof error);
}

Test(sink_file, takes_what_it_was_opened_for, .init = start, .fini = stop)
{
	const struct sink_alert alert = {.json = span_str("{\"a\":1}")};
	static const struct {
		unsigned what;
		const char *expected;
	} rows[] = {{SINK_FILE_ALERTS, "{\"a\":1}\n"},
		    {SINK_FILE_SESSIONS, "{\"s\":2}\n"},
		    {SINK_FILE_ALERTS | SINK_FILE_SESSIONS, "{\"a\":1}\n{\"s\":2}\n"}};
	static const size_t buffers[] = {0, 4, 9, 4096};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		for (size_t j = 0; j < sizeof buffers / sizeof buffers[0]; j++) {
			struct sink *sink = open_sink(path, rows[i].what, true, buffers[j]);
			cr_expect(sink->ops->alert(sink, &alert));
			cr_expect(sink->ops->session(sink, span_str("{\"s\":2}")));
			cr_expect(close_sink(sink));
			expect_content(rows[i].expected);
		}
	}
}

Test(sink_file, appends_or_begins_anew, .init = start, .fini = stop)
{
	for (unsigned i = 0; i < 2; i++) {
		struct sink *sink = open_sink(path, SINK_FILE_SESSIONS, false, 0);
		cr_expect(sink->ops->session(sink, span_str("{}")));
		cr_expect(close_sink(sink));
	}
	expect_content("{}\n{}\n");
	cr_expect(close_sink(open_sink(path, SINK_FILE_SESSIONS, true, 0)));
	expect_content("");
}

Test(sink_file, opened_anew_after_a_rotation, .init = start, .fini = stop)
{
	char moved[160];
	struct sink *sink = open_sink(path, SINK_FILE_SESSIONS, false, 4096);
	cr_expect(sink->ops->session(sink, span_str("{\"n\":1}")));
	(void)snprintf(moved, sizeof moved, "%s.1", path);
	cr_assert_eq(rename(path, moved), 0);
	cr_expect(sink->ops->reopen(sink));
	cr_expect(sink->ops->session(sink, span_str("{\"n\":2}")));
	cr_expect(sink->ops->flush(sink));
	expect_content("{\"n\":2}\n");
	cr_expect(close_sink(sink));
	cr_assert_eq(rename(moved, path), 0);
	expect_content("{\"n\":1}\n");
}

Test(sink_file, a_file_that_cannot_be_opened_anew_is_told, .init = start, .fini = stop)
{
	struct sink *sink = open_sink(path, SINK_FILE_SESSIONS, false, 4096);
	(void)unlink(path);
	(void)rmdir(folder);
	cr_expect_not(sink->ops->reopen(sink));
	cr_expect_not_null(strstr(sink->error, path), "%s", sink->error);
	cr_expect_not(close_sink(sink));
}

Test(sink_file, a_full_disk_is_told_once_and_counted, .init = start, .fini = stop)
{
	struct sink *sink = open_sink("/dev/full", SINK_FILE_SESSIONS, false, 0);
	cr_expect_not(sink->ops->session(sink, span_str("{}")));
	cr_expect_not(sink->ops->session(sink, span_str("{}")));
	cr_expect(sink->failed);
	cr_expect_geq(sink->refused, 2);
	cr_expect_not_null(strstr(sink->error, "/dev/full"), "%s", sink->error);
	cr_expect_not(close_sink(sink));
}

Test(sink_file, names_what_cannot_be_opened, .init = start, .fini = stop)
{
	char error[SINK_ERROR_MAX] = "", place[160];
	(void)snprintf(place, sizeof place, "%s/no/file", folder);
	cr_expect_null(sink_file_open(place, SINK_FILE_ALERTS, true, 0, error));
	cr_expect_not_null(strstr(error, place), "%s", error);
}

Test(sink_file, standard_output_is_not_opened_anew)
{
	struct sink *sink = open_sink("-", SINK_FILE_SESSIONS, true, 16);
	cr_expect(sink->ops->reopen(sink));
	cr_expect(close_sink(sink));
	cr_expect_geq(write(STDOUT_FILENO, "", 0), 0, "it stays open");
}
