/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of each server, kept across runs in one SQLite file.
 *
 * A save is one transaction of what changed since the last, so the file is
 * whole after a crash at any moment and lacks at most what came since. The
 * file says by its application_id what it is and by its user_version which
 * schema it has; a file that is something else, or newer, is refused before
 * SQLite opens it, and a damaged one before anything is written to it.
 */
#ifndef ALERTS_BASELINE_STORE_H
#define ALERTS_BASELINE_STORE_H

#include "alerts/history.h"

#define BASELINE_APPLICATION 0x53547742 /* "STwB" */
#define BASELINE_VERSION     1
#define BASELINE_ERROR_MAX   256

struct baseline_store;

/*
 * Opens a baseline. A file that does not exist, or is empty, is made new,
 * except with read_only. NULL with one sentence in error that names the file.
 */
struct baseline_store *baseline_store_open(const char *path, bool read_only,
					   char error[BASELINE_ERROR_MAX]);
void baseline_store_close(struct baseline_store *store); /* NULL is allowed */

/* Loads all servers, the least recently seen first. False with a reason in error. */
bool baseline_store_load(struct baseline_store *store, struct history *history,
			 char error[BASELINE_ERROR_MAX]);

/*
 * Writes the servers that changed since the last load or save. Those that the
 * history gave up for room stay in the file. False with a reason in error; the
 * file is then as before. Not for a store that is open read_only.
 */
bool baseline_store_save(struct baseline_store *store, const struct history *history,
			 char error[BASELINE_ERROR_MAX]);

#endif
