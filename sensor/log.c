/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/log.h"

#include "sensor/limits.h"
#include "sensor/progress.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct level_words {
	const char *word;
	char priority; /* of syslog(3) */
};

static const struct level_words LEVELS[] = {
    [LOG_ERROR] = {"error", '3'},
    [LOG_WARNING] = {"warning", '4'},
    [LOG_INFO] = {"info", '6'},
    [LOG_DEBUG] = {"debug", '7'},
};

static bool journal_reads(FILE *stream)
{
	const char *variable = getenv("JOURNAL_STREAM");
	struct stat status;
	char *end;

	if (!variable || fstat(fileno(stream), &status) != 0)
		return false;
	unsigned long long device = strtoull(variable, &end, 10);

	if (*end != ':')
		return false;
	unsigned long long inode = strtoull(end + 1, &end, 10);

	return *end == '\0' && device == status.st_dev && inode == status.st_ino;
}

void log_init(struct log *log, FILE *stream, enum log_level level)
{
	*log = (struct log){.stream = stream, .level = level, .journal = journal_reads(stream)};
}

static bool is_control(unsigned char byte)
{
	return byte < 0x20 || byte >= 0x7f;
}

/* Copies text into line, bytes outside printable ASCII as \xNN; returns the length. */
static size_t put_visible(char *line, size_t size, const char *text)
{
	static const char HEX[] = "0123456789abcdef";
	size_t len = 0;

	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		if (len + 4 >= size)
			break;
		if (!is_control(byte)) {
			line[len++] = *text;
			continue;
		}
		line[len++] = '\\';
		line[len++] = 'x';
		line[len++] = HEX[byte >> 4];
		line[len++] = HEX[byte & 15];
	}
	return len;
}

static size_t put_prefix(const struct log *log, enum log_level level, char *line, size_t size)
{
	if (log->journal)
		return (size_t)snprintf(line, size, "<%c>", LEVELS[level].priority);
	struct tm broken;
	time_t now = time(NULL);

	gmtime_r(&now, &broken);
	size_t len = strftime(line, size, "%Y-%m-%dT%H:%M:%SZ ", &broken);

	return len + (size_t)snprintf(line + len, size - len, "%s: ", LEVELS[level].word);
}

void log_line(const struct log *log, enum log_level level, const char *format, ...)
{
	char text[LIMIT_LOG_LINE];
	char line[LIMIT_LOG_LINE + 64];
	va_list arguments;

	if (level > log->level)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	size_t len = 0;

	if (log->over_progress)
		len = (size_t)snprintf(line, sizeof(line), "%s", PROGRESS_ERASE);
	len += put_prefix(log, level, line + len, sizeof(line) - len);

	len += put_visible(line + len, sizeof(line) - len - 1, text);
	line[len++] = '\n';
	fwrite(line, 1, len, log->stream);
	fflush(log->stream);
}
