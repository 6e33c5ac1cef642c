/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line on standard error for each event worth an operator's eye.
 *
 * "2026-01-31T12:00:00Z warning: text" on a terminal or in a file; when the
 * journal reads standard error, "<4>text" (sd-daemon(3)), as it adds the rest.
 * Bytes that a terminal could take for commands are shown as \xNN, so a text
 * may quote what came off the wire. Secrets are never given to it.
 *
 * This is the only clock that the program reads for itself; it enters no output.
 */
#ifndef SENSOR_LOG_H
#define SENSOR_LOG_H

#include <stdbool.h>
#include <stdio.h>

/* The order of the words of --log-level. */
enum log_level { LOG_ERROR = 1, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log {
	FILE *stream;         /* borrowed */
	enum log_level level; /* the least important that is shown */
	bool journal;
	bool over_progress; /* a line erases the progress bar first (progress.h) */
};

/* Finds out whether the journal reads stream: JOURNAL_STREAM names its device and inode. */
void log_init(struct log *log, FILE *stream, enum log_level level);

/*
 * Writes one line; nothing if its level is not shown. Safe from several threads:
 * a line is one write to the stream. A line beyond LIMIT_LOG_LINE is cut.
 */
void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
