/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines into a file or to standard output. */
#ifndef ALERTS_SINK_FILE_H
#define ALERTS_SINK_FILE_H

#include "alerts/sink.h"

enum sink_file_what {
	SINK_FILE_ALERTS = 1,
	SINK_FILE_SESSIONS = 2,
};

/*
 * Opens path ("-": standard output) for alerts, sessions or both. truncate:
 * an existing file is emptied, otherwise appended to. buffer: bytes gathered
 * before a write; 0 writes each line at once. NULL with a sentence in error.
 */
struct sink *sink_file_open(const char *path, unsigned what, bool truncate, size_t buffer,
			    char error[SINK_ERROR_MAX]);

#endif
