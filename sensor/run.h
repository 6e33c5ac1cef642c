/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of replay or watch: the pipeline, the judge and the outputs put
 * together as the options say.
 *
 * A world is what shares state: the whole run, or with --separate one file.
 */
#ifndef SENSOR_RUN_H
#define SENSOR_RUN_H

#include "sensor/counters.h"
#include "sensor/intake.h"
#include "sensor/log.h"
#include "sensor/options.h"

enum run_kind { RUN_REPLAY, RUN_WATCH };

struct run;

/*
 * Opens all outputs and reads what the options name. NULL with one sentence in
 * error: nothing was processed then.
 */
struct run *run_create(const struct options *options, enum run_kind kind, char *error,
		       size_t error_size);

/* name: of the file or interface, shown as observer; NULL: none. False: out of memory. */
bool run_begin_world(struct run *run, const char *name);

/*
 * The name of an interface (capture_packet.interface), before the first frame of the world
 * that comes by it. Only without --tap.
 */
void run_name_interface(struct run *run, uint16_t interface, const char *name);

/*
 * One frame of the present world. Returns the next one's ordinal: an 802.11 aggregate holds
 * several packets, and each has its own.
 */
uint64_t run_frame(struct run *run, const struct capture_packet *captured);

/*
 * The pool of windows is at its cap: gives back those that workers are done with. False when
 * this run holds none.
 */
bool run_relieve(struct run *run);

/* Time goes on without a frame (live). */
void run_clock(struct run *run, int64_t time_ns, uint64_t ordinal);

/* Closes what is open, forgets the world's state. */
void run_end_world(struct run *run, uint64_t ordinal);

/* Once a second of a watch: what was learnt is saved, and exchanged with other sensors. */
void run_upkeep(struct run *run, int64_t time_ns);

/* Writes out what is buffered, logs what the outputs have to say; opens the files anew (SIGHUP). */
void run_flush(struct run *run);
void run_reopen(struct run *run);

/*
 * What the next heartbeat in Redis says; interfaces of a live capture with what the
 * kernel counted. Cheap, but not for every packet. Does nothing without --redis.
 */
void run_heartbeat(struct run *run, const struct counters_interface *interfaces, size_t count);

/* An input that was read, for the report. Does nothing without one. */
void run_input(struct run *run, const char *path);

const struct log *run_log(const struct run *run);

/* Replay: whether a progress bar belongs on standard error. */
bool run_shows_progress(const struct run *run);

/* Where alerts and summaries for people go; NULL: nowhere. */
FILE *run_people(const struct run *run);

/* Ends the outputs, prints the summary, frees everything. An enum exit_status. */
int run_finish(struct run *run);

#endif
