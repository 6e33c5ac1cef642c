/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/baseline_keeper.h"

#include "alerts/baseline_share.h"
#include "alerts/baseline_store.h"
#include "alerts/clock.h"
#include "sensor/limits.h"
#include "sensor/redis_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct baseline_keeper {
	const struct options *options;
	const struct log *log;
	struct baseline_store *store; /* NULL: no file */
	int64_t saved_ns;             /* packet time of the last save */
	struct baseline_share *share; /* NULL: not shared */
	struct redis_setup setup;
	struct notices notices;
	uint64_t shared; /* history_changes() up to which all was put */
};

static bool open_store(struct baseline_keeper *keeper, char error[BASELINE_KEEPER_ERROR_MAX])
{
	const struct options *options = keeper->options;
	char reason[BASELINE_ERROR_MAX];
	uint64_t pruned = 0;
	if (options->baseline == NULL)
		return true;
	keeper->store = baseline_store_open(
	    options->baseline, options->baseline_readonly ? BASELINE_READ : BASELINE_LEARN, reason);
	if (keeper->store == NULL ||
	    (!options->baseline_readonly &&
	     !baseline_store_prune(keeper->store, LIMIT_BASELINE_SERVERS, LIMIT_BASELINE_CLIENTS,
				   (int64_t)time(NULL), &pruned, reason))) {
		(void)snprintf(error, BASELINE_KEEPER_ERROR_MAX, "%s", reason);
		return false;
	}
	if (pruned > 0)
		log_line(keeper->log, LOG_INFO,
			 "%s: %" PRIu64 " servers were forgotten: aged, or beyond the cap",
			 options->baseline, pruned);
	return true;
}

static bool open_share(struct baseline_keeper *keeper, char error[BASELINE_KEEPER_ERROR_MAX])
{
	const struct options *options = keeper->options;
	if (!options->baseline_redis)
		return true;
	if (!redis_setup_open(&keeper->setup, options, error, BASELINE_KEEPER_ERROR_MAX))
		return false;
	if (keeper->setup.url.kind == REDIS_CLUSTER && strchr(options->redis_prefix, '{') == NULL) {
		(void)snprintf(
		    error, BASELINE_KEEPER_ERROR_MAX,
		    "--baseline-redis: a cluster needs a --redis-prefix with a {tag}, so "
		    "that all keys have one owner");
		return false;
	}
	const struct baseline_share_config config = {
	    .url = &keeper->setup.url,
	    .topology = redis_setup_topology(&keeper->setup),
	    .prefix = options->redis_prefix,
	    .sensor = options->sensor,
	    .write = !options->baseline_readonly,
	    .adopt = options->baseline == NULL,
	    .servers = LIMIT_HISTORY_SERVERS,
	    .queue = LIMIT_BASELINE_QUEUE,
	    .exchange_ms = LIMIT_BASELINE_EXCHANGE_MS,
	};
	keeper->share = baseline_share_new(&config, &keeper->notices);
	if (keeper->share == NULL)
		(void)snprintf(error, BASELINE_KEEPER_ERROR_MAX,
			       "--baseline-redis: out of memory or threads");
	return keeper->share != NULL;
}

struct baseline_keeper *baseline_keeper_open(const struct options *options, const struct log *log,
					     char error[BASELINE_KEEPER_ERROR_MAX])
{
	struct baseline_keeper *keeper = calloc(1, sizeof *keeper);
	if (keeper == NULL) {
		(void)snprintf(error, BASELINE_KEEPER_ERROR_MAX, "out of memory");
		return NULL;
	}
	keeper->options = options;
	keeper->log = log;
	notices_init(&keeper->notices);
	if (open_store(keeper, error) && open_share(keeper, error))
		return keeper;
	(void)baseline_keeper_close(keeper);
	return NULL;
}

static void log_notices(struct baseline_keeper *keeper)
{
	static const enum log_level levels[] = {
	    [NOTICE_ERROR] = LOG_ERROR, [NOTICE_WARNING] = LOG_WARNING, [NOTICE_INFO] = LOG_INFO};
	struct notice notice;
	while (notices_take(&keeper->notices, &notice))
		log_line(keeper->log, levels[notice.level], "%s", notice.text);
}

static void take_shared(struct baseline_keeper *keeper, struct history *history)
{
	struct baseline_shared shared;
	while (baseline_share_take(keeper->share, &shared)) {
		if (shared.own)
			history_adopt(history, &shared.others);
		else
			history_share(history, &shared.others);
	}
}

/* What was learnt since the last time, as far as it finds room. False: there is more. */
static bool put_shared(struct baseline_keeper *keeper, struct history *history)
{
	if (keeper->options->baseline_readonly)
		return true;
	struct server_memory *server = history_changed_server(history, keeper->shared);
	for (; server != NULL; server = history_changed_next(history, server)) {
		if (server->sessions > 0 && !baseline_share_put(keeper->share, server))
			return false;
		if (server->changed > keeper->shared)
			keeper->shared = server->changed;
	}
	return true;
}

/* The same, all of it, for as long as Redis takes some now and then. False: logged. */
static bool put_all_shared(struct baseline_keeper *keeper, struct history *history)
{
	while (!put_shared(keeper, history)) {
		if (!baseline_share_wait_room(keeper->share, LIMIT_REDIS_DRAIN_MS)) {
			log_line(keeper->log, LOG_ERROR,
				 "--baseline-redis: Redis takes no more of what was learnt: the "
				 "servers learnt last are not shared");
			return false;
		}
		take_shared(keeper, history);
	}
	return true;
}

static bool load_store(struct baseline_keeper *keeper, struct history *history)
{
	char error[BASELINE_ERROR_MAX];
	uint64_t left_out = 0;
	if (keeper->store == NULL)
		return true;
	bool good = baseline_store_load(keeper->store, history, &left_out, error);
	if (!good)
		log_line(keeper->log, LOG_ERROR, "%s", error);
	if (left_out > 0)
		log_line(keeper->log, LOG_WARNING,
			 "%s: the %" PRIu64
			 " servers that were unseen for longest are known to the "
			 "file alone: memory holds %d",
			 keeper->options->baseline, left_out, LIMIT_HISTORY_SERVERS);
	return good;
}

bool baseline_keeper_load(struct baseline_keeper *keeper, struct history *history, bool wait)
{
	bool good = load_store(keeper, history);
	bool complete = false;
	keeper->shared = history_changes(history);
	if (keeper->share == NULL)
		return good;
	int64_t begun_ms = clock_monotonic_ms();
	while (wait && !complete) {
		/* A reading that breaks off begins anew, and so might go on for ever. */
		bool breaks = baseline_share_counts(keeper->share).failures > 0;
		if ((breaks && clock_monotonic_ms() - begun_ms >= LIMIT_BASELINE_WAIT_MS) ||
		    !baseline_share_wait(keeper->share, LIMIT_BASELINE_WAIT_MS, &complete)) {
			log_line(
			    keeper->log, LOG_ERROR,
			    "--baseline-redis: Redis did not say in time what other sensors know");
			good = false;
			break;
		}
		take_shared(keeper, history);
	}
	log_notices(keeper);
	return good;
}

static bool save_store(struct baseline_keeper *keeper, struct history *history)
{
	char error[BASELINE_ERROR_MAX];
	bool good = keeper->store == NULL || keeper->options->baseline_readonly ||
		    baseline_store_save(keeper->store, history, error);
	if (!good)
		log_line(keeper->log, LOG_ERROR, "%s", error);
	return good;
}

bool baseline_keeper_save(struct baseline_keeper *keeper, struct history *history)
{
	bool good = save_store(keeper, history);
	return (keeper->share == NULL || put_all_shared(keeper, history)) && good;
}

bool baseline_keeper_upkeep(struct baseline_keeper *keeper, struct history *history,
			    int64_t time_ns)
{
	if (keeper->share != NULL) {
		take_shared(keeper, history);
		log_notices(keeper);
	}
	if (time_ns >= keeper->saved_ns && time_ns - keeper->saved_ns < LIMIT_BASELINE_SAVE_NS)
		return true;
	keeper->saved_ns = time_ns;
	if (keeper->share != NULL)
		(void)put_shared(keeper, history); /* what finds no room comes with the next */
	return save_store(keeper, history);
}

bool baseline_keeper_close(struct baseline_keeper *keeper)
{
	bool good = true;
	if (keeper == NULL)
		return true;
	if (keeper->share != NULL) {
		struct baseline_share_counts counts = baseline_share_counts(keeper->share);
		uint64_t left = baseline_share_close(keeper->share, LIMIT_REDIS_DRAIN_MS);
		log_notices(keeper);
		good = left == 0;
		if (left > 0)
			log_line(keeper->log, LOG_ERROR,
				 "Redis: %" PRIu64 " servers of the baseline were not shared",
				 left);
		if (counts.malformed > 0 || counts.left_out > 0)
			log_line(keeper->log, LOG_WARNING,
				 "Redis: of the shared baseline %" PRIu64
				 " entries could not be read, "
				 "and %" PRIu64 " servers found no room",
				 counts.malformed, counts.left_out);
	}
	baseline_store_close(keeper->store);
	redis_setup_close(&keeper->setup);
	notices_destroy(&keeper->notices);
	free(keeper);
	return good;
}
