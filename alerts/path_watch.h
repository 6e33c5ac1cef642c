/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the share of upgraded sessions on each path: for one client network,
 * and for all of them at a tap.
 *
 * Each path has a test of its own (alerts/change_point.h). So that its trials
 * are independent, a server counts as lost once in an excursion; on the path
 * of all networks a client network does, too. A server that gives up TLS, or
 * one broken client network, therefore never makes an alarm of the whole tap.
 * Only sessions to servers that are known to offer STARTTLS are trials.
 */
#ifndef ALERTS_PATH_WATCH_H
#define ALERTS_PATH_WATCH_H

#include "alerts/change_point.h"
#include "alerts/record.h"
#include "decoders/budget.h"
#include "decoders/siphash.h"

/* An alarm without news for so long is over. */
#define PATH_IDLE_NS (3600 * INT64_C(1000000000))

/* A path whose share fell. */
struct path_state {
	uint32_t tap;
	struct ip_addr network; /* version 0: all client networks */
	unsigned prefix;
	int64_t since_ns, until_ns; /* first and last session that lost its upgrade */
	uint64_t lost;              /* sessions that lost it */
	uint64_t absorbed;          /* of those, starttls-stripped that were not raised alone */
	uint64_t upgraded;          /* sessions upgraded in the same time */
	uint32_t servers, networks; /* distinct ones among the lost, counted up to 32 */
	unsigned quiet_percent;     /* the share lost before, at most */
	struct session_identity session; /* that raised it */
	uint32_t summaries;              /* how often it was told since */
	bool over;                       /* the share recovered, or nothing came for an hour */
};

struct path_trial {
	struct session_identity session;
	struct ip_addr network; /* the client's */
	unsigned prefix;
	int64_t time_ns;
	enum change_point_trial outcome;
};

struct path_watch;

struct path_watch *path_watch_create(struct budget *budget, const struct siphash_key *key,
				     uint32_t cap);
void path_watch_destroy(struct path_watch *watch); /* NULL is allowed */

uint64_t path_watch_evicted(const struct path_watch *watch);

/* One trial. True, and *raised written, when it raised the alarm of a path. */
bool path_watch_trial(struct path_watch *watch, const struct path_trial *trial,
		      struct path_state *raised);

/* Whether a session of that network is on a path whose alarm is on; counts it as absorbed. */
bool path_watch_absorb(struct path_watch *watch, uint32_t tap, const struct ip_addr *network);

/*
 * The next alarm that is over, or whose count grew and was last told window_ns
 * ago, or with finish any whose count grew. False when there is none.
 */
bool path_watch_next(struct path_watch *watch, int64_t now_ns, int64_t window_ns, bool finish,
		     struct path_state *state);

#endif
