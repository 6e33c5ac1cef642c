/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps what the history of a run knows: in the file of --baseline, and with other sensors
 * through Redis (--baseline-redis). Neither, and all of this does nothing.
 */
#ifndef SENSOR_BASELINE_KEEPER_H
#define SENSOR_BASELINE_KEEPER_H

#include "alerts/history.h"
#include "sensor/log.h"
#include "sensor/options.h"

#define BASELINE_KEEPER_ERROR_MAX 512

struct baseline_keeper;

/* options and log are borrowed. NULL with one sentence in error. */
struct baseline_keeper *baseline_keeper_open(const struct options *options, const struct log *log,
					     char error[BASELINE_KEEPER_ERROR_MAX]);

/*
 * A history begins: it gets what is known. With wait, also what Redis has, as long as something
 * of it comes every LIMIT_BASELINE_WAIT_MS; where the connection breaks, for about that long in
 * all. False: something could not be had, and is logged.
 */
bool baseline_keeper_load(struct baseline_keeper *keeper, struct history *history, bool wait);

/* Saves and exchanges what is due at time_ns. Call about once a second. False: logged. */
bool baseline_keeper_upkeep(struct baseline_keeper *keeper, struct history *history,
			    int64_t time_ns);

/* A history ends: all of it is saved. False: logged. */
bool baseline_keeper_save(struct baseline_keeper *keeper, struct history *history);

/* Delivers what waits for Redis, and frees. False: something was not delivered; logged. */
bool baseline_keeper_close(struct baseline_keeper *keeper); /* NULL is allowed */

#endif
