/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a replay as a file: opened at the start, filled by the judge, written at the end.
 */
#ifndef SENSOR_REPORT_FILE_H
#define SENSOR_REPORT_FILE_H

#include "alerts/report.h"
#include "sensor/options.h"

struct report_file;

/* Opens options->report ("-": standard output). NULL with a sentence in error. */
struct report_file *report_file_open(const struct options *options, const struct siphash_key *key,
				     char *error, size_t error_size);

/* For the judge to fill; owned by the file. */
struct report *report_file_report(struct report_file *file);

/*
 * Lists an input with its size and SHA-256, which reads it once more; "-" goes by name alone. False
 * when the file could not be read again: it is listed without.
 */
bool report_file_input(struct report_file *file, const char *path);

/* Writes the page and frees everything. False, with a sentence in error, when that failed. */
bool report_file_close(struct report_file *file, char *error, size_t error_size);

/* Frees everything, writes nothing. NULL is allowed. */
void report_file_abandon(struct report_file *file);

#endif
