/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often the path test cries wolf, and how fast it finds what is there, on
 * simulated traffic with a fixed seed: a day of sessions from client networks
 * to 10,000 servers that all are known to offer STARTTLS. Each server has a
 * state of its own: 99.5 % of them work, and now and then one breaks or gives
 * up TLS for hours and loses every session meanwhile; besides, single sessions
 * fail. At noon 1 % of the networks, at least one, are stripped.
 *
 *     path_alarms [SESSIONS [NETWORKS]]      1000000 and 200 by default
 */
#include "alerts/path_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVERS     10000
#define SINGLE_LOSS 300  /* one session in as many fails for itself */
#define BREAKS      5000 /* a server breaks at one session in as many, of all servers' */
#define BROKEN_S    7200 /* ... for at most so long */
#define DAY_S       86400

struct world {
	uint64_t random;
	int64_t broken_until[SERVERS];
	unsigned networks, stripped;
	uint64_t sessions, lost;
};

/* xorshift64* (Vigna 2016): fixed seed, the same traffic each time. */
static uint64_t draw(struct world *world, uint64_t below)
{
	world->random ^= world->random >> 12;
	world->random ^= world->random << 25;
	world->random ^= world->random >> 27;
	return (world->random * 0x2545f4914f6cdd1dU >> 33) % below;
}

static struct path_trial session(struct world *world, uint64_t number, int64_t time_s)
{
	unsigned network = (unsigned)draw(world, world->networks);
	/* Half of the mail goes to 1 % of the servers. */
	unsigned server = (unsigned)draw(world, draw(world, 2) == 0 ? SERVERS / 100 : SERVERS);
	struct path_trial trial = {
	    .session =
		{.client = {.addr = {.bytes = {10, (uint8_t)(network >> 8), (uint8_t)network},
				     .version = 4}},
		 .server = {.addr = {.bytes = {192, 0, (uint8_t)(server >> 8), (uint8_t)server},
				     .version = 4},
			    .port = 25},
		 .start_ns = (int64_t)number},
	    .prefix = 24,
	    .time_ns = time_s * 1000000000,
	};
	trial.network = trial.session.client.addr;
	if (draw(world, BREAKS) == 0)
		world->broken_until[server] = time_s + (int64_t)draw(world, BROKEN_S);
	bool attacked = network < world->stripped && time_s >= DAY_S / 2;
	bool broken = time_s < world->broken_until[server] || draw(world, SINGLE_LOSS) == 0;
	trial.outcome = attacked ? TRIAL_STRIPPED : broken ? TRIAL_FAILED : TRIAL_UPGRADED;
	world->lost += attacked || broken;
	world->sessions++;
	return trial;
}

/* A day. Counts the alarms of paths that are stripped, and of those that are not. */
static void run_day(struct world *world, uint64_t sessions, unsigned *found, unsigned *wrong,
		    int64_t *slowest_s)
{
	struct budget budget;
	budget_init(&budget, (size_t)1 << 30);
	const struct siphash_key key = {1, 2};
	struct path_watch *watch = path_watch_create(&budget, &key, world->networks + 2);
	if (watch == NULL)
		exit(1);
	for (uint64_t i = 0; i < sessions; i++) {
		int64_t time_s = (int64_t)(i * DAY_S / sessions);
		struct path_trial trial = session(world, i, time_s);
		struct path_state raised, told;
		if (path_watch_trial(watch, &trial, &raised)) {
			unsigned network =
			    (unsigned)raised.network.bytes[1] << 8 | raised.network.bytes[2];
			bool right = raised.network.version != 0 && network < world->stripped &&
				     time_s >= DAY_S / 2;
			*found += right;
			*wrong += !right;
			if (right && time_s - DAY_S / 2 > *slowest_s)
				*slowest_s = time_s - DAY_S / 2;
		}
		while (path_watch_next(watch, trial.time_ns, INT64_C(300000000000), false, &told))
			continue;
	}
	path_watch_destroy(watch);
}

int main(int argc, char **argv)
{
	uint64_t sessions = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	unsigned networks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 200;
	if (sessions < 1000 || networks < 1 || networks > 60000)
		return 2;
	for (unsigned attack = 0; attack < 2; attack++) {
		struct world *world = calloc(1, sizeof *world);
		if (world == NULL)
			return 1;
		world->random = 0x5eed5eed;
		world->networks = networks;
		world->stripped = attack == 0 ? 0 : networks < 100 ? 1 : networks / 100;
		unsigned found = 0, wrong = 0;
		int64_t slowest_s = 0;
		run_day(world, sessions, &found, &wrong, &slowest_s);
		printf("%s: %" PRIu64 " sessions, %u networks, %u servers, %" PRIu64
		       " lost (%.2f %%): %u of %u stripped paths found, the last after %" PRId64
		       " s; %u false alarms\n",
		       attack == 0 ? "quiet" : "1 % stripped at noon", world->sessions, networks,
		       SERVERS, world->lost, 100.0 * (double)world->lost / (double)world->sessions,
		       found, world->stripped, slowest_s, wrong);
		free(world);
	}
	return 0;
}
