/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of each server and client, kept across runs in one SQLite file.
 *
 * A save is one transaction of what changed since the last, so the file is whole after a crash
 * at any moment and lacks at most what came since. The file says by its application_id what it
 * is and by its user_version which schema it has; a file that is something else, or newer, is
 * refused before SQLite opens it, and a damaged one before anything is written to it.
 *
 * While a sensor has it open the file has a write-ahead log beside it (sqlite.org/wal.html), so
 * that whoever reads it does not hold up the sensor, nor the other way round. An orderly close
 * leaves one file. What a person pins or forgets meanwhile reaches the sensor with its next save.
 *
 * It is bounded: servers and clients unseen for SERVER_AGE_S before the last one that was seen
 * are taken out when it is opened to learn, and so are those beyond the caps, the longest unseen
 * first. Pinned servers stay.
 */
#ifndef ALERTS_BASELINE_STORE_H
#define ALERTS_BASELINE_STORE_H

#include "alerts/history.h"

#define BASELINE_APPLICATION 0x53547742 /* "STwB" */
#define BASELINE_VERSION     4
#define BASELINE_ERROR_MAX   256

enum baseline_access {
	BASELINE_LEARN, /* a sensor: made new when missing, written to */
	BASELINE_READ,  /* must be there, and stays as it is, but for what a killed run left half
			   written: that is rolled back */
	BASELINE_EDIT,  /* must be there; a person pins or forgets */
};

struct baseline_store;

/* NULL with one sentence in error that names the file. A file that is empty counts as missing. */
struct baseline_store *baseline_store_open(const char *path, enum baseline_access access,
					   char error[BASELINE_ERROR_MAX]);
void baseline_store_close(struct baseline_store *store); /* NULL is allowed */

/*
 * Takes out what is aged or beyond these caps, and counts the servers. now_s is the host's clock:
 * a capture from the future must not age all the rest. Only with BASELINE_LEARN.
 */
bool baseline_store_prune(struct baseline_store *store, uint32_t servers, uint32_t clients,
			  int64_t now_s, uint64_t *pruned, char error[BASELINE_ERROR_MAX]);

/*
 * Loads the servers and clients that were seen last, as many as the history takes, those unseen
 * for longest first; *left_out of them found no room. False with a reason in error.
 */
bool baseline_store_load(struct baseline_store *store, struct history *history, uint64_t *left_out,
			 char error[BASELINE_ERROR_MAX]);

/*
 * Writes what changed since the last load or save, and takes over what a person decided since.
 * What the history gave up for room stays in the file, and is added to when it is seen again.
 * False with a reason in error; the file is then as before. Only with BASELINE_LEARN.
 */
bool baseline_store_save(struct baseline_store *store, struct history *history,
			 char error[BASELINE_ERROR_MAX]);

/*
 * The servers (clients) of the file one by one, those unseen for longest first, whatever a
 * history would have room for. BASELINE_FAILED with a reason in error.
 */
enum baseline_step { BASELINE_ROW, BASELINE_END, BASELINE_FAILED };
enum baseline_step baseline_store_next_server(struct baseline_store *store,
					      struct server_memory *server,
					      char error[BASELINE_ERROR_MAX]);
enum baseline_step baseline_store_next_client(struct baseline_store *store,
					      struct client_exposure *client,
					      char error[BASELINE_ERROR_MAX]);

/* What a person decides. *known says whether there was anything to decide on. */
bool baseline_store_forget(struct baseline_store *store, const struct endpoint *server, bool *known,
			   char error[BASELINE_ERROR_MAX]);
bool baseline_store_pin(struct baseline_store *store, const struct endpoint *server, bool pin,
			bool *known, char error[BASELINE_ERROR_MAX]);

#endif
