/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/path_watch.h"

#include "alerts/lru_table.h"

#define DISTINCT_MAX 32 /* far more than an alarm needs */

/* Hashes of what was counted in the present excursion. */
struct distinct {
	uint32_t count;
	uint64_t seen[DISTINCT_MAX];
};

struct path {
	struct change_point test;
	struct path_state state;
	struct distinct servers, networks;
	uint64_t told; /* state.lost when it was last told */
	int64_t told_ns;
	int64_t last_ns; /* last trial */
};

struct path_watch {
	struct budget *budget;
	struct siphash_key key;
	struct lru_table *paths;
	uint32_t alarms; /* paths that have something to tell, or will */
	uint64_t evicted;
};

#define PATH_KEY 21 /* tap, IP version, address */

struct path_watch *path_watch_create(struct budget *budget, const struct siphash_key *key,
				     uint32_t cap)
{
	struct path_watch *watch = budget_calloc(budget, 1, sizeof *watch);
	if (watch == NULL)
		return NULL;
	watch->budget = budget;
	watch->key = *key;
	watch->paths = lru_table_create(budget, key, PATH_KEY, sizeof(struct path), cap);
	if (watch->paths == NULL) {
		path_watch_destroy(watch);
		return NULL;
	}
	return watch;
}

void path_watch_destroy(struct path_watch *watch)
{
	if (watch == NULL)
		return;
	lru_table_destroy(watch->paths);
	budget_free(watch->budget, watch, sizeof *watch);
}

uint64_t path_watch_evicted(const struct path_watch *watch)
{
	return watch->evicted;
}

static void path_key(uint32_t tap, const struct ip_addr *network, uint8_t key[PATH_KEY])
{
	memcpy(key, &tap, sizeof tap);
	key[4] = network->version;
	memcpy(key + 5, network->bytes, sizeof network->bytes);
}

static bool make_room(struct path_watch *watch)
{
	if (!lru_table_full(watch->paths))
		return true;
	/* An alarm stays until it was told to its end. */
	struct path *path = lru_table_oldest(watch->paths);
	while (path != NULL && (path->test.alarm || path->state.over))
		path = lru_table_newer(watch->paths, path);
	if (path == NULL)
		return false;
	lru_table_remove(watch->paths, path);
	watch->evicted++;
	return true;
}

static struct path *path_get(struct path_watch *watch, const struct path_trial *trial,
			     const struct ip_addr *network)
{
	uint8_t key[PATH_KEY];
	path_key(trial->session.tap, network, key);
	struct path *path = lru_table_find(watch->paths, key);
	if (path != NULL) {
		lru_table_touch(watch->paths, path);
		return path;
	}
	if (!make_room(watch))
		return NULL;
	path = lru_table_add(watch->paths, key);
	if (path == NULL)
		return NULL;
	path->state.tap = trial->session.tap;
	path->state.network = *network;
	path->state.prefix = network->version == 0 ? 0 : trial->prefix;
	return path;
}

static bool distinct_has(const struct distinct *set, uint64_t hash)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (set->seen[i] == hash)
			return true;
	return false;
}

static void distinct_add(struct distinct *set, uint64_t hash)
{
	if (set->count < DISTINCT_MAX && !distinct_has(set, hash))
		set->seen[set->count++] = hash;
}

static uint64_t hash_address(const struct path_watch *watch, const struct ip_addr *address,
			     uint16_t port)
{
	uint8_t bytes[19];
	bytes[0] = address->version;
	memcpy(bytes + 1, address->bytes, sizeof address->bytes);
	bytes[17] = (uint8_t)(port >> 8);
	bytes[18] = (uint8_t)(port & 0xff);
	return siphash(&watch->key, span_of(bytes, sizeof bytes));
}

/* Begins a new excursion. */
static void path_quiet(struct path *path)
{
	struct path_state state = {
	    .tap = path->state.tap,
	    .network = path->state.network,
	    .prefix = path->state.prefix,
	};
	path->state = state;
	path->servers.count = 0;
	path->networks.count = 0;
	path->told = 0;
}

static void path_end(struct path *path)
{
	change_point_reset(&path->test);
	path->state.over = true; /* the counts stay until they are told */
}

/* Counts a trial on one path. True when it raised its alarm. */
static bool path_count(struct path_watch *watch, struct path *path, const struct path_trial *trial)
{
	if (path->state.over) {
		path_quiet(path); /* nobody asked in time */
		watch->alarms--;
	}
	path->last_ns = trial->time_ns;
	if (trial->outcome != TRIAL_UPGRADED) {
		if (path->state.lost++ == 0)
			path->state.since_ns = trial->time_ns;
		path->state.until_ns = trial->time_ns;
		uint64_t server =
		    hash_address(watch, &trial->session.server.addr, trial->session.server.port);
		uint64_t network = hash_address(watch, &trial->network, 0);
		bool all = path->state.network.version == 0;
		bool again = distinct_has(&path->servers, server) ||
			     (all && distinct_has(&path->networks, network));
		distinct_add(&path->servers, server);
		distinct_add(&path->networks, network);
		path->state.servers = path->servers.count;
		path->state.networks = path->networks.count;
		if (again)
			return false;
	} else {
		path->state.upgraded++;
	}
	unsigned quiet_percent = change_point_quiet_percent(&path->test);
	switch (change_point_trial(&path->test, trial->outcome)) {
	case CHANGE_POINT_QUIET:
		path_quiet(path);
		return false;
	case CHANGE_POINT_ALARM:
		path->state.quiet_percent = quiet_percent;
		path->state.session = trial->session;
		path->told = path->state.lost;
		path->told_ns = trial->time_ns;
		watch->alarms++;
		return true;
	case CHANGE_POINT_RECOVERED:
		path_end(path);
		return false;
	case CHANGE_POINT_RISING:
	case CHANGE_POINT_GOES_ON:
		break;
	}
	return false;
}

bool path_watch_trial(struct path_watch *watch, const struct path_trial *trial,
		      struct path_state *raised)
{
	static const struct ip_addr everyone = {.version = 0};
	struct path *all = path_get(watch, trial, &everyone);
	bool all_raised = all != NULL && path_count(watch, all, trial);
	bool all_alarm = all != NULL && all->test.alarm;
	struct path *one = path_get(watch, trial, &trial->network);
	bool one_raised = one != NULL && path_count(watch, one, trial);
	if (one_raised && all_alarm) {
		/* The larger path tells it. */
		change_point_reset(&one->test);
		path_quiet(one);
		watch->alarms--;
		one_raised = false;
	}
	if (all_raised)
		*raised = all->state;
	else if (one_raised)
		*raised = one->state;
	return all_raised || one_raised;
}

bool path_watch_absorb(struct path_watch *watch, uint32_t tap, const struct ip_addr *network)
{
	static const struct ip_addr everyone = {.version = 0};
	const struct ip_addr *const candidates[] = {&everyone, network};
	if (watch->alarms == 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t key[PATH_KEY];
		path_key(tap, candidates[i], key);
		struct path *path = lru_table_find(watch->paths, key);
		if (path != NULL && path->test.alarm) {
			path->state.absorbed++;
			return true;
		}
	}
	return false;
}

bool path_watch_next(struct path_watch *watch, int64_t now_ns, int64_t window_ns, bool finish,
		     struct path_state *state)
{
	if (watch->alarms == 0)
		return false;
	for (struct path *path = lru_table_oldest(watch->paths); path != NULL;
	     path = lru_table_newer(watch->paths, path)) {
		if (path->test.alarm && now_ns - path->last_ns > PATH_IDLE_NS)
			path_end(path);
		if (path->state.over) {
			bool grew = path->state.lost > path->told;
			path->state.summaries++;
			*state = path->state;
			path_quiet(path);
			watch->alarms--;
			if (grew)
				return true;
			continue;
		}
		if (!path->test.alarm || path->state.lost == path->told ||
		    (!finish && now_ns - path->told_ns < window_ns))
			continue;
		path->told = path->state.lost;
		path->told_ns = now_ns;
		path->state.summaries++;
		*state = path->state;
		return true;
	}
	return false;
}
