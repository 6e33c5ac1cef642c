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
/*
 * Time after which the kernel hands over a block that is not full, ms, and the longest
 * wait for a packet: the latter is longer, so that a wait without a packet means that no
 * block was left behind. Timeouts of idle sessions are looked at in this rhythm.
 */
#define LIMIT_LIVE_BLOCK_MS 50
#define LIMIT_LIVE_WAIT_MS  150
/* How long a packet waits for an earlier one of another interface: a block, and a scheduler. */
#define LIMIT_LIVE_MERGE_MS 100

/* Longest frame that a filter is compiled for: what libpcap calls MAXIMUM_SNAPLEN. */
#define LIMIT_FRAME 262144
/* Link types in one input, each with a compiled filter: those that are read, and room. */
#define LIMIT_FILTER_LINK_TYPES 32

/* The rule catalogue as JSON, with the buffer's growth: about 12 KiB, and room. */
#define LIMIT_CATALOGUE (256 * 1024)

/* A line in the log; longer ones are cut. The journal's own default is 48 KiB. */
#define LIMIT_LOG_LINE 1024

#endif
