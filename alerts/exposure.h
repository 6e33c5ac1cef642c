/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client exposed: a value of fixed size that says which login mechanisms it used in the
 * clear, at which servers, since when and how often. Never a secret; the account's name only
 * where the facts carry it (--show-accounts).
 *
 * Times are seconds since 1970-01-01 UTC; 0: never.
 */
#ifndef ALERTS_EXPOSURE_H
#define ALERTS_EXPOSURE_H

#include "decoders/session_facts.h"

#define EXPOSURE_SERVERS    4   /* that are told apart */
#define EXPOSURE_MECHANISMS 64  /* characters of their list: SASL names have 20 at most */
#define EXPOSURE_ACCOUNTS   128 /* characters of their list */
#define EXPOSURE_DAY_ROWS   8   /* clients that the summary of a day names */
#define EXPOSURE_DAY_S      86400

struct client_exposure {
	struct ip_addr client;
	uint64_t changed; /* history_changes() when it last grew; not stored */
	bool in_store;    /* all that a store holds of it is in here; not stored */
	int64_t first_s, last_s;
	uint32_t sessions; /* in which bytes of a credential went in the clear */
	int64_t day;       /* of last_s, in days since 1970 */
	int64_t day_first_s;
	uint32_t day_sessions;
	bool servers_more; /* there were more */
	uint8_t server_count;
	struct endpoint servers[EXPOSURE_SERVERS];
	/* Space-separated, NUL-terminated, in the order in which they were seen. */
	char mechanisms[EXPOSURE_MECHANISMS];
	char accounts[EXPOSURE_ACCOUNTS];
};

/* Counts a session whose credentials went in the clear. */
void exposure_learn(struct client_exposure *exposure, const struct session_facts *facts,
		    int64_t time_s);

/* Adds what a store, or another, knows of the same client from sessions of its own. */
void exposure_merge(struct client_exposure *exposure, const struct client_exposure *other);

/* Adds a word unless it is there or finds no room; what would part the list becomes '?'. */
void exposure_add_word(char *list, size_t size, struct span word);

void exposure_add_server(struct client_exposure *exposure, const struct endpoint *server);

/* One day (UTC) of exposures: how many, and the clients with the most of them. */
struct exposure_day {
	int64_t day; /* in days since 1970 */
	uint64_t clients, sessions;
	int64_t first_s, last_s; /* the last exposure of the earliest and of the latest client */
	unsigned row_count;
	struct client_exposure rows[EXPOSURE_DAY_ROWS]; /* most sessions first, then by address */
};

/* Counts a client into its day. */
void exposure_day_add(struct exposure_day *day, const struct client_exposure *exposure);

struct finding;

/* The finding that sums the day up: plaintext-credentials, with the reason "daily-summary". */
void exposure_day_finding(const struct exposure_day *day, struct finding *finding);

#endif
