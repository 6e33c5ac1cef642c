/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a history, for the files that make it up and no other:
 *
 *   history.c           its tables, and what they learn
 *   history_findings.c  what is known of servers and clients, against a session
 *   history_places.c    what is known of paths and taps, against a session
 */
#ifndef ALERTS_HISTORY_STATE_H
#define ALERTS_HISTORY_STATE_H

#include "alerts/history.h"
#include "alerts/lru_table.h"
#include "alerts/tap_match.h"

#define NS_PER_S INT64_C(1000000000)

/* An upgrade that failed between a client and a server. */
struct failure {
	int64_t time_ns, start_ns; /* of the failure, of its session's first packet */
	uint64_t session;
	uint16_t client_port;
	bool refused; /* STARTTLS was; otherwise TLS did not come up */
};

/*
 * Those of one client and server. The older one is kept for sessions that were under way when the
 * newest failed: they cannot be its fallback, but that of another before. It is the first within
 * the window, so that many that follow each other do not push it out.
 */
struct failures {
	struct failure newest, older; /* older: start_ns is 0 where there is none */
};

/* A session that was not offered what its server is known to offer. */
struct stripped {
	bool some_clients;
	bool absorbed; /* into a path-downgrade */
	enum confidence confidence;
};

struct history {
	struct budget *budget;
	struct history_config config;
	struct lru_table *servers, *failures, *stripped, *clients;
	struct lru_table *shared; /* struct server_memory; NULL: nothing is shared */
	struct path_watch *paths;
	struct tap_match *taps;           /* NULL: taps are not compared */
	uint64_t changes;                 /* so often a server or client learnt */
	int64_t exposed_day;              /* with exposures that were not told yet; 0: none */
	int64_t told_day;                 /* the last one that was */
	uint64_t raised_lost;             /* sessions behind the last path-downgrade */
	struct tap_divergence divergence; /* behind the last tap-divergence */
	struct history_counts counts;
};

/* What is remembered, or NULL. Valid until the next call that learns. */
struct server_memory *history_server(const struct history *history,
				     const struct endpoint *endpoint);
/* The same with what other sensors know added, in *sum where there is such. NULL: unknown. */
const struct server_memory *history_known(const struct history *history,
					  const struct endpoint *endpoint,
					  struct server_memory *sum);
struct stripped *history_stripped(const struct history *history, const struct session_facts *facts);
/* The last failure that the session may follow, in the window or not; or NULL. */
const struct failure *history_failure(const struct history *history,
				      const struct session_facts *facts);

/* Remembers that the session was not offered STARTTLS. NULL, and counted, when out of memory. */
struct stripped *history_add_stripped(struct history *history, const struct session_facts *facts);

unsigned history_client_prefix(const struct history *history, const struct session_facts *facts);
struct ip_addr history_client_network(const struct history *history,
				      const struct session_facts *facts);

/* Whether the observation is the first that has one of these milestones. */
bool history_news(const struct observation *observation, uint32_t milestones);

/*
 * Both sides spoke and were seen from the handshake on, each acknowledging the other: nobody off
 * the path can do that.
 */
bool history_may_teach(const struct session_facts *facts);

/* Whether the session was not offered STARTTLS. What is masked is told as that. */
bool history_without_offer(const struct session_facts *facts);

/* A finding of the rule in its place, with an empty message; NULL when it may not be raised. */
struct finding *history_raise(struct verdict *verdict, uint32_t already, enum rule rule);

/* history_places.c, in rule order behind those of history_findings.c. */
void history_find_path_downgrade(struct history *history, const struct observation *observation,
				 uint32_t already, struct verdict *verdict);
void history_find_tap_divergence(struct history *history, const struct observation *observation,
				 uint32_t already, struct verdict *verdict);

#endif
