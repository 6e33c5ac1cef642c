/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every cap of the program, with its reason. They enter the modules by their
 * constructors; whoever reaches one counts it.
 */
#ifndef SENSOR_LIMITS_H
#define SENSOR_LIMITS_H

/* Configuration: a file is written by hand; more settings than this are a mistake. */
#define LIMIT_CONFIG_SETTINGS 4096

/*
 * Live capture. Interfaces in one process: each has a kernel buffer and a
 * descriptor of its own, and a span port delivers one or two.
 */
#define LIMIT_LIVE_INTERFACES 16
/* Packets taken from one interface before the others get their turn. */
#define LIMIT_LIVE_BURST 256
/* Longest wait for a packet, ms: timeouts of idle sessions run on this clock. */
#define LIMIT_LIVE_WAIT_MS 100

/* A line in the log; longer ones are cut. The journal's own default is 48 KiB. */
#define LIMIT_LOG_LINE 1024

#endif
