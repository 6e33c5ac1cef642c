/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What remembering many servers takes: memory against its cap, time for a session, and the file.
 *
 *     baseline_memory [SERVERS [FILE]]     1,000,000 servers unless given; FILE is made new
 *
 * Every server has three sessions, each with an offer and a certificate, a minute apart.
 */
#include "alerts/baseline_store.h"
#include "sensor/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define SESSIONS 3

static double now_s(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void teach(struct history *history, uint32_t server, uint64_t id)
{
	static const struct certificate_info certificate = {.not_after = INT64_MAX};
	static const int64_t start_ns = 1767225600LL * 1000000000;
	struct observation observation = {
	    .time_ns = start_ns + (int64_t)id * 1000000,
	    .new_milestones = MILESTONE_EHLO_REPLY | MILESTONE_CERTIFICATE | MILESTONE_CLOSED,
	    .certificate = &certificate,
	};
	struct session_facts *facts = &observation.facts;
	facts->id = id;
	facts->start_ns = observation.time_ns;
	facts->client.addr = (struct ip_addr){.bytes = {10, 0, (uint8_t)(id % 7), 1}, .version = 4};
	facts->server = (struct endpoint){
	    .addr = {.bytes = {(uint8_t)(server >> 24), (uint8_t)(server >> 16),
			       (uint8_t)(server >> 8), (uint8_t)server},
		     .version = 4},
	    .port = 25,
	};
	facts->bytes[SIDE_CLIENT] = facts->bytes[SIDE_SERVER] = 100;
	facts->visibility = VISIBILITY_FULL;
	facts->spoke_smtp = true;
	facts->offered = TRI_TRUE;
	facts->ehlo_accepted = 1;
	facts->milestones = observation.new_milestones;
	history_learn(history, &observation);
}

int main(int argc, char **argv)
{
	uint32_t servers = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	const char *path = argc > 2 ? argv[2] : NULL;
	char error[BASELINE_ERROR_MAX];
	struct baseline_store *store = NULL;
	struct budget budget;
	budget_init(&budget, LIMIT_JUDGE_MEMORY);
	const struct history_config config = history_config_default((struct history_limits){
	    .servers = LIMIT_HISTORY_SERVERS,
	    .failures = LIMIT_HISTORY_FAILURES,
	    .sessions = LIMIT_HISTORY_SESSIONS,
	    .paths = LIMIT_HISTORY_PATHS,
	    .clients = LIMIT_HISTORY_CLIENTS,
	});
	struct history *history = history_create(&budget, &config);
	if (history == NULL)
		return 1;
	if (path != NULL) {
		(void)remove(path);
		store = baseline_store_open(path, BASELINE_LEARN, error);
		uint64_t left_out;
		if (store == NULL || !baseline_store_load(store, history, &left_out, error)) {
			fprintf(stderr, "%s\n", error);
			return 1;
		}
	}
	double saving = 0, worst = 0, began = now_s();
	uint64_t id = 1, saves = 0;
	for (uint32_t server = 1; server <= servers; server++) {
		for (unsigned session = 0; session < SESSIONS; session++)
			teach(history, server, id++);
		if (store == NULL || server % 10000 != 0)
			continue;
		double at = now_s();
		if (!baseline_store_save(store, history, error)) {
			fprintf(stderr, "%s\n", error);
			return 1;
		}
		at = now_s() - at;
		saving += at;
		worst = at > worst ? at : worst;
		saves++;
	}
	double learning = now_s() - began - saving;
	const struct history_counts counts = history_counts(history);
	struct rusage usage;
	(void)getrusage(RUSAGE_SELF, &usage);
	printf("servers seen            %" PRIu32 "\n", servers);
	printf("servers in memory       %" PRIu64 " (cap %d)\n", servers - counts.evicted_servers,
	       LIMIT_HISTORY_SERVERS);
	printf("given up for room       %" PRIu64 " (told as a cap that was reached)\n",
	       counts.evicted_servers);
	printf("memory                  %.1f MB, cap %.1f MB, refused %" PRIu64 "\n",
	       (double)budget.peak / 1e6, (double)budget.cap / 1e6, budget.refused);
	printf("memory for a server     %.0f bytes\n",
	       (double)budget.peak / (double)(servers - counts.evicted_servers));
	printf("resident                %.1f MB\n", (double)usage.ru_maxrss / 1e3);
	printf("time for a session      %.2f us\n", learning / (double)(id - 1) * 1e6);
	if (store != NULL) {
		struct stat file;
		baseline_store_close(store);
		(void)stat(path, &file);
		printf("saves                   %" PRIu64
		       ", of 10,000 servers in %.2f s, worst %.2f s\n",
		       saves, saving / (double)(saves == 0 ? 1 : saves), worst);
		printf("file                    %.1f MB\n", (double)file.st_size / 1e6);
		double at = now_s();
		uint64_t left_out = 0, pruned = 0;
		store = baseline_store_open(path, BASELINE_LEARN, error);
		history_destroy(history);
		history = history_create(&budget, &config);
		if (store == NULL || history == NULL ||
		    !baseline_store_prune(store, LIMIT_BASELINE_SERVERS, LIMIT_BASELINE_CLIENTS,
					  INT64_MAX, &pruned, error) ||
		    !baseline_store_load(store, history, &left_out, error)) {
			fprintf(stderr, "%s\n", error);
			return 1;
		}
		printf("opening it              %.2f s, %" PRIu64 " left to the file, %" PRIu64
		       " pruned\n",
		       now_s() - at, left_out, pruned);
		baseline_store_close(store);
	}
	history_destroy(history);
	return budget.refused == 0 && budget.used == 0 ? 0 : 1;
}
