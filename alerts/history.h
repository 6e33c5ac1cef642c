/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one session cannot prove: memory of servers, clients and paths.
 *
 * The judge shows every observation, in the order of their ordinals, three
 * times:
 *
 *   history_context()   before the verdict on the session alone
 *   history_findings()  after it; adds what other sessions prove
 *   history_learn()     last; from now on the session is memory
 *
 * Nothing here reads a clock or draws a random number: the same observations
 * give the same findings. Time is that of the packets and may run backwards a
 * little (several captures); an age is then 0.
 *
 * What may teach. A forged or replayed packet must not change what is known:
 * a session teaches only when bytes of both sides were seen from its
 * beginning, so who is not on the path needs to complete a TCP handshake in
 * view of the sensor. Who is on the path from the first day cannot be told
 * from a server without TLS: only a policy helps there (alerts/policy.h).
 *
 * Limits enter by constructor. A full table gives up what was least recently
 * used (pinned servers last) and counts it; a caller that sees evictions knows
 * that "not known" may mean "forgotten".
 */
#ifndef ALERTS_HISTORY_H
#define ALERTS_HISTORY_H

#include "alerts/exposure.h"
#include "alerts/observation.h"
#include "alerts/path_watch.h"
#include "alerts/server_memory.h"
#include "alerts/tap_match.h"
#include "alerts/verdict.h"

struct history_limits {
	uint32_t servers;  /* servers that are remembered */
	uint32_t failures; /* (client, server) pairs whose upgrade failed lately */
	uint32_t sessions; /* open or recent sessions with something to remember */
	uint32_t paths;    /* client networks whose upgraded share is watched */
	uint32_t clients;  /* clients that exposed credentials */
};

struct history_config {
	struct history_limits limits;
	struct siphash_key key;        /* of the tables; changes no result */
	int64_t fallback_window_s;     /* plaintext-fallback across sessions; 3600 by default */
	unsigned prefix_v4, prefix_v6; /* of a client network; 24 and 64 by default */
	/* Names of the taps by index, for messages; NULL, all or one: numbers. Outlive the history.
	 */
	const char *const *tap_names;
	uint32_t tap_count;
	bool compare_taps; /* sessions at different taps are matched and compared: always, or
			      from the first session on whose tap is not 0 */
	bool share;        /* what other sensors know counts as well: history_share() */
	bool learn;        /* false: what was loaded is judged by, and nothing is added to it */
};

struct history_counts {
	uint64_t taught;    /* sessions that taught */
	uint64_t untrusted; /* closed sessions that may not teach */
	uint64_t no_memory; /* something was not remembered: budget spent */
	uint64_t evicted_servers, evicted_failures, evicted_sessions, evicted_paths;
	uint64_t evicted_clients;
	uint64_t evicted_shared; /* servers of which no longer is known what other sensors know */
	uint64_t aged;           /* servers forgotten because they were unseen for SERVER_AGE_S */
};

struct history;

/* The defaults of a sensor; the limits are those given. */
struct history_config history_config_default(struct history_limits limits);

/* Memory comes from budget, which outlives the history. NULL when out of memory. */
struct history *history_create(struct budget *budget, const struct history_config *config);
void history_destroy(struct history *history); /* NULL is allowed */

struct history_counts history_counts(const struct history *history);

/*
 * Writes refuses_all, ehlo_accepted_before (both false but for a session in which STARTTLS or EHLO
 * was refused, as nobody else asks) and stripped, leaves the rest of *context alone. Decides
 * starttls-stripped when the first EHLO reply came.
 */
void history_context(struct history *history, const struct observation *observation,
		     struct verdict_context *context);

/*
 * Adds findings of the rules that need other sessions, in rule order, to those
 * that verdict holds. No rule twice, none of already (a set of rules).
 */
void history_findings(struct history *history, const struct observation *observation,
		      uint32_t already, struct verdict *verdict);

/*
 * Whether the session's starttls-stripped belongs into the count of a
 * path-downgrade that was raised: its record lists the rule, but no alert of
 * its own leaves. Ask after history_findings().
 */
bool history_absorbs(const struct history *history, const struct observation *observation);

/* How many sessions the last path-downgrade that was found stands for. */
uint64_t history_raised_lost(const struct history *history);

/* What two taps saw, behind the last tap-divergence that was found. */
const struct tap_divergence *history_divergence(const struct history *history);

void history_learn(struct history *history, const struct observation *observation);

/*
 * For the summary of a folded starttls-stripped: writes scope, severity and, where the
 * scope is another than it was, the message, as things are known at now_ns. The scope is
 * "all-clients" when by now the others were not offered it either.
 */
void history_restate_stripped(const struct history *history, const struct endpoint *server,
			      const struct ip_addr *client, int64_t now_ns,
			      struct finding *finding);

/*
 * The next raised path whose count grew and whose last news is window_ns old at
 * now_ns, or that is over; with finish, whatever grew. False when there is
 * none. Call until false.
 */
bool history_next_path(struct history *history, int64_t now_ns, int64_t window_ns, bool finish,
		       struct path_state *path);

/* A path-downgrade of the path, with its message; the count stands in the path. */
void history_path_finding(const struct path_state *path, struct finding *finding);

/* So often a server or client learnt; their "changed" says at which of them they did last. */
uint64_t history_changes(const struct history *history);

/* Every server, from the least to the most recently seen; NULL begins, NULL ends. */
const struct server_memory *history_next_server(const struct history *history,
						const struct server_memory *after);

/*
 * Those that changed since, in the order of their changes: the first, then the next of each;
 * NULL ends. What is touched without being learnt may be among them.
 */
struct server_memory *history_changed_server(const struct history *history, uint64_t since);
struct server_memory *history_changed_next(const struct history *history,
					   const struct server_memory *server);
struct client_exposure *history_changed_client(const struct history *history, uint64_t since);
struct client_exposure *history_changed_next_client(const struct history *history,
						    const struct client_exposure *client);

/*
 * A server of a store, to be filled by the caller: zeroed but for its
 * endpoint, or as it is already known. It becomes the most recent one. NULL
 * when out of memory. Valid until the next call that may add a server.
 */
struct server_memory *history_restore_server(struct history *history,
					     const struct endpoint *endpoint);
/* The same for a client. */
struct client_exposure *history_restore_client(struct history *history,
					       const struct ip_addr *client);

/*
 * What all other sensors together know of a server, in the place of what they knew before. It
 * counts as if it had been learnt here, and is not given to a store.
 */
void history_share(struct history *history, const struct server_memory *others);

/* What this sensor knew in an earlier run, from where it was shared: added to what it knows. */
void history_adopt(struct history *history, const struct server_memory *own);

/* What a person decided, in the store: to forget a server, to pin it, to pin none. */
void history_forget_server(struct history *history, const struct endpoint *endpoint);
void history_pin_server(struct history *history, const struct endpoint *endpoint);
void history_unpin_all(struct history *history);

uint32_t history_server_cap(const struct history *history);
uint32_t history_client_cap(const struct history *history);

/*
 * Whether there is a day whose exposures are complete at now_ns, or with finish will not grow any
 * more, and were not told yet: once true for each day with some. *day is in days since 1970; the
 * clients of it are those with this day, among all of history_next_client(), in any order.
 */
bool history_due_day(struct history *history, int64_t now_ns, bool finish, int64_t *day);
const struct client_exposure *history_next_client(const struct history *history,
						  const struct client_exposure *after);

#endif
