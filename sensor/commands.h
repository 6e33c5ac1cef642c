/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the program, one file each (cmd_<name>.c). Each returns an
 * enum exit_status.
 */
#ifndef SENSOR_COMMANDS_H
#define SENSOR_COMMANDS_H

#include "sensor/options.h"

int cmd_replay(const struct options *options);
int cmd_watch(const struct options *options);
int cmd_tail(const struct options *options);
int cmd_rules(const struct options *options);
int cmd_baseline(const struct options *options);

#endif
