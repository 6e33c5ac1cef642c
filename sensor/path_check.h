/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a run can write where its options say, before it opens anything: a file that is
 * opened is emptied or appended to, and a mistake in the options is not to cost one. Outputs get in
 * the way when two are one file, when one is a file to be read (a capture, also one that lies
 * below a directory of them or is standard input; the configuration, the policy, certificates),
 * and when one cannot be written. A file is known by its device and inode, whatever its name.
 *
 * What lies below a directory and is no capture may be written: the alerts of the last run may lie
 * there.
 */
#ifndef SENSOR_PATH_CHECK_H
#define SENSOR_PATH_CHECK_H

#include "sensor/capture_set.h"
#include "sensor/options.h"

/* limits: of the captures that are to be read; NULL: none are. False with one sentence in error. */
bool path_check(const struct options *options, const struct capture_limits *limits, char *error,
		size_t size);

#endif
