/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a run can write where its options say, before it opens anything: a file that is
 * opened is emptied or appended to, and a mistake in the options is not to cost one. Outputs get in
 * the way when two are one file, when one is a capture to be read, and when one cannot be written.
 */
#ifndef SENSOR_PATH_CHECK_H
#define SENSOR_PATH_CHECK_H

#include "sensor/options.h"

/* False with one sentence in error. */
bool path_check(const struct options *options, char *error, size_t size);

#endif
