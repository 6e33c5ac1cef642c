/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *logged(bool journal, enum log_level shown, enum log_level level, const char *text)
{
	char *out;
	size_t size;
	FILE *stream = open_memstream(&out, &size);
	const struct log log = {.stream = stream, .level = shown, .journal = journal};

	log_line(&log, level, "%s", text);
	fclose(stream);
	return out;
}

Test(log, levels)
{
	const struct {
		enum log_level shown, level;
		const char *line;
	} cases[] = {
	    {LOG_ERROR, LOG_ERROR, "<3>x\n"}, {LOG_DEBUG, LOG_WARNING, "<4>x\n"},
	    {LOG_DEBUG, LOG_INFO, "<6>x\n"},  {LOG_DEBUG, LOG_DEBUG, "<7>x\n"},
	    {LOG_ERROR, LOG_WARNING, ""},     {LOG_WARNING, LOG_INFO, ""},
	    {LOG_INFO, LOG_DEBUG, ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = logged(true, cases[i].shown, cases[i].level, "x");

		cr_expect_str_eq(line, cases[i].line, "case %zu", i);
		free(line);
	}
}

Test(log, hostile_bytes_are_shown_not_sent)
{
	char *line = logged(true, LOG_INFO, LOG_ERROR, "a\x1b[2J\n<0>b\x9b\x7f");

	cr_expect_str_eq(line, "<3>a\\x1b[2J\\x0a<0>b\\x9b\\x7f\n");
	free(line);
}

Test(log, a_long_line_is_cut)
{
	char text[4096];

	memset(text, 0x01, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	char *line = logged(false, LOG_INFO, LOG_ERROR, text);

	cr_expect_lt(strlen(line), 1200);
	cr_expect_eq(line[strlen(line) - 1], '\n');
	cr_expect(strstr(line, "Z error: \\x01"));
	free(line);
}

Test(log, the_journal_is_told_by_device_and_inode)
{
	struct log log;
	struct stat status;
	char variable[64];
	FILE *stream = tmpfile();

	fstat(fileno(stream), &status);
	snprintf(variable, sizeof(variable), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", variable, 1);
	log_init(&log, stream, LOG_INFO);
	cr_expect(log.journal);
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init(&log, stream, LOG_INFO);
	cr_expect_not(log.journal);
	setenv("JOURNAL_STREAM", "what", 1);
	log_init(&log, stream, LOG_INFO);
	cr_expect_not(log.journal);
	fclose(stream);
}
