/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many alerts of each rule that needs memory a day of mail brings, with
 * nobody attacking, and how soon an attack is seen: two simulated days through
 * the judge as it is, history, verdict and throttle included. The first day
 * teaches, the second counts.
 *
 * 10,000 servers, half of the mail to 1 % of them; by default 200 client
 * networks of five clients. The noise:
 *
 *   - 5 % of the servers have no TLS. Five a day give it up for good, five get it.
 *   - 0.8 % are pools whose machines differ and say so in their greeting, 0.4 %
 *     are pools that differ behind one name: a third of the sessions is not
 *     offered STARTTLS.
 *   - Fifty servers a day break for up to two hours: handshakes fail, or STARTTLS
 *     gets a 454.
 *   - One handshake in 1000 fails for itself. Half of the clients then deliver
 *     in the clear after 330 s, as Postfix does, the others try TLS again.
 *   - 1 % of the sessions have a hole in the EHLO reply, 0.5 % are seen from one
 *     side, 0.5 % say HELO.
 *   - 40 % of the servers show their certificate (TLS 1.2) and renew it, with a
 *     new key, every 60 days; five a day go to another CA.
 *
 * Then the same with 1 % of the client networks, at least one, stripped from noon
 * of the second day on.
 *
 *     day_alarms [SESSIONS [NETWORKS [SEED]]]     1000000, 200 and 1 by default
 */
#include "sensor/judge.h"
#include "sensor/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVERS       10000
#define DAY_S         INT64_C(86400)
#define START_S       (INT64_C(20454) * DAY_S) /* 2026-01-01 */
#define S             INT64_C(1000000000)
#define CHANGES       5
#define OUTAGES       50
#define OUTAGE_S      7200
#define FALLBACK_S    330
#define RETRIES       65536
#define NETWORKS_MOST 60000

/* Why a session is as it is. */
enum cause { WORKS, NEVER, DROPPED, POOL, BLIND_POOL, OUTAGE, SINGLE, CA_CHANGE, ATTACK, CAUSES };

static const char *const cause_words[CAUSES] = {
    "works",          "no TLS ever", "gave up TLS",    "pool, names differ",
    "pool, one name", "outage",      "single failure", "went to another CA",
    "attack",
};

struct server {
	bool offers, dropped;
	int64_t outage_until_s;
	bool outage_refuses;
	uint8_t issuer;
	bool issuer_changed;
};

struct retry {
	int64_t at_s;
	uint32_t network, client, server;
	enum cause cause;
};

/* A sink that counts. The head comes first. */
struct counting_sink {
	struct sink sink;
	bool counts;
	enum cause cause; /* of the session that is being judged */
	int64_t now_s;
	uint32_t network;
	uint64_t alerts[RULE_COUNT][CAUSES];
	uint64_t summaries;
	int64_t first_alert_s[NETWORKS_MOST],
	    path_alert_s[NETWORKS_MOST]; /* of an attack; 0: none */
};

struct world {
	uint64_t random;
	struct server servers[SERVERS];
	struct retry retries[RETRIES];
	size_t retry_first, retry_count;
	uint64_t id, sessions;
	unsigned networks, stripped;
	struct judge *judge;
	struct counting_sink sink;
	struct sink *sinks[1];
	struct budget budget;
};

/* xorshift64* (Vigna 2016). */
static uint64_t draw(struct world *world, uint64_t below)
{
	world->random ^= world->random >> 12;
	world->random ^= world->random << 25;
	world->random ^= world->random >> 27;
	return (world->random * 0x2545f4914f6cdd1dU >> 33) % below;
}

static bool one_in(struct world *world, uint64_t n)
{
	return draw(world, n) == 0;
}

static bool count_alert(struct sink *sink, const struct sink_alert *alert)
{
	struct counting_sink *counting = (struct counting_sink *)(void *)sink;
	static const char summary[] = "\"summary\":true";
	if (!counting->counts)
		return true;
	if (memmem(alert->json.ptr, alert->json.len, summary, sizeof summary - 1) != NULL) {
		counting->summaries++;
		return true;
	}
	counting->alerts[alert->rule][counting->cause]++;
	if (counting->cause != ATTACK)
		return true;
	int64_t *path = &counting->path_alert_s[counting->network];
	int64_t *first = &counting->first_alert_s[counting->network];
	if (alert->rule == RULE_PATH_DOWNGRADE && *path == 0)
		*path = counting->now_s;
	if ((alert->rule == RULE_PATH_DOWNGRADE || alert->rule == RULE_STARTTLS_STRIPPED) &&
	    *first == 0)
		*first = counting->now_s;
	return true;
}

static bool ignore_session(struct sink *sink, struct span json)
{
	(void)sink;
	(void)json;
	return true;
}

static const struct sink_ops counting_ops = {.alert = count_alert, .session = ignore_session};

/* ---- one session ---- */

/* What a session does. */
struct plan {
	enum cause cause;
	bool helo, hole, one_sided, no_offer, fails, refused, clear;
	uint8_t machine; /* of a pool */
};

static bool is_pool(uint32_t server)
{
	return server % 1000 >= 50 && server % 1000 < 58;
}

static bool is_blind_pool(uint32_t server)
{
	return server % 1000 >= 58 && server % 1000 < 62;
}

static struct plan plan_session(struct world *world, uint32_t network, uint32_t server,
				int64_t now_s)
{
	const struct server *s = &world->servers[server];
	struct plan plan = {.cause = WORKS};
	plan.helo = one_in(world, 200);
	plan.hole = one_in(world, 100);
	plan.one_sided = one_in(world, 200);
	plan.machine = (uint8_t)draw(world, 3);
	if (!s->offers) {
		plan.no_offer = true;
		plan.cause = s->dropped ? DROPPED : NEVER;
	} else if ((is_pool(server) || is_blind_pool(server)) && plan.machine == 2) {
		plan.no_offer = true;
		plan.cause = is_pool(server) ? POOL : BLIND_POOL;
	} else if (network < world->stripped && now_s >= START_S + DAY_S + DAY_S / 2) {
		plan.no_offer = true;
		plan.cause = ATTACK;
	} else if (now_s < s->outage_until_s) {
		plan.refused = s->outage_refuses;
		plan.fails = !plan.refused;
		plan.cause = OUTAGE;
	} else if (one_in(world, 1000)) {
		plan.fails = true;
		plan.cause = SINGLE;
	} else if (s->issuer_changed) {
		plan.cause = CA_CHANGE;
	}
	return plan;
}

static void show(struct world *world, struct observation *o, uint32_t milestones)
{
	o->new_milestones = milestones & ~o->facts.milestones;
	o->facts.milestones |= milestones;
	o->ordinal++;
	judge_observe(world->judge, o);
}

static void set_name(struct world *world, struct session_facts *facts, uint32_t server,
		     const struct plan *plan)
{
	char name[48];
	int len = snprintf(name, sizeof name, "mx%d.host%u.example",
			   is_pool(server) ? plan->machine : 0, server);
	(void)session_facts_set_text(facts, &world->budget, TEXT_SERVER_NAME,
				     span_of(name, (size_t)len));
}

/* The certificate of a server as it is on a day. */
static struct certificate_info certificate_of(const struct world *world, uint32_t server,
					      int64_t now_s, struct span *name, char text[32])
{
	static const char *const issuers[] = {"CN=CA A", "CN=CA B", "CN=CA C", "CN=CA D"};
	int64_t age = (now_s / DAY_S + server) % 60;
	int64_t issued_s = (now_s / DAY_S - age) * DAY_S;
	int len = snprintf(text, 32, "mx.host%u.example", server);
	*name = span_of(text, (size_t)len);
	struct certificate_info info = {
	    .not_before = issued_s,
	    .not_after = issued_s + 90 * DAY_S,
	    .issuer = span_str(issuers[world->servers[server].issuer % 4]),
	    .name_count = 1,
	    .names = name,
	};
	const uint64_t identity[] = {server, (uint64_t)issued_s, world->servers[server].issuer};
	memcpy(info.sha256, identity, sizeof identity);
	memcpy(info.key_sha256, identity, sizeof identity);
	return info;
}

static void run_tls(struct world *world, struct observation *o, const struct plan *plan,
		    uint32_t server)
{
	struct session_facts *facts = &o->facts;
	char text[32];
	struct span name;
	struct certificate_info certificate =
	    certificate_of(world, server, o->time_ns / S, &name, text);
	facts->requested = TRI_TRUE;
	if (plan->refused) {
		facts->starttls_code = 454;
		show(world, o, MILESTONE_STARTTLS_REPLY);
		return;
	}
	facts->starttls_code = 220;
	if (plan->fails) {
		facts->tls_failure = TLS_FAILURE_ALERT;
		facts->tls.established = TRI_FALSE;
		show(world, o, MILESTONE_STARTTLS_REPLY | MILESTONE_TLS_FAILED);
		return;
	}
	bool visible = server % 10 < 4;
	facts->tls.version = visible ? 0x0303 : 0x0304;
	facts->tls.offered_version = 0x0304;
	facts->tls.suite = visible ? 0xc02f : 0x1301;
	facts->tls.established = TRI_TRUE;
	if (visible)
		o->certificate = &certificate;
	show(world, o,
	     MILESTONE_STARTTLS_REPLY | MILESTONE_SERVER_HELLO | MILESTONE_TLS_UP |
		 (visible ? MILESTONE_CERTIFICATE : 0U));
	o->certificate = NULL;
}

static void run_session(struct world *world, uint32_t network, uint32_t client, uint32_t server,
			int64_t now_ns, const struct plan *plan)
{
	struct observation o = {.ordinal = world->id, .time_ns = now_ns};
	struct session_facts *facts = &o.facts;
	facts->id = world->id;
	world->id += 16;
	world->sessions++;
	facts->client =
	    (struct endpoint){.addr = {.version = 4,
				       .bytes = {10, (uint8_t)(network >> 8), (uint8_t)network,
						 (uint8_t)(10 + client)}},
			      .port = (uint16_t)(1024 + facts->id % 60000)};
	facts->server = (struct endpoint){
	    .addr = {.version = 4, .bytes = {192, 0, (uint8_t)(server >> 8), (uint8_t)server}},
	    .port = 25};
	facts->start_ns = facts->end_ns = now_ns;
	facts->visibility = plan->one_sided ? VISIBILITY_SERVER_ONLY
			    : plan->hole    ? VISIBILITY_GAPS
					    : VISIBILITY_FULL;
	facts->bytes[SIDE_SERVER] = 400;
	facts->bytes[SIDE_CLIENT] = plan->one_sided ? 0 : 400;
	facts->spoke_smtp = true;
	facts->concluded = true;
	facts->requested = plan->one_sided ? TRI_UNKNOWN : TRI_FALSE;
	set_name(world, facts, server, plan);
	world->sink.cause = plan->cause;
	world->sink.now_s = now_ns / S;
	world->sink.network = network;
	bool mails = plan->no_offer || plan->helo || plan->clear || plan->refused;
	if (plan->helo) {
		facts->helo_sent = facts->helo_accepted = 1;
	} else {
		facts->ehlo_sent = facts->ehlo_accepted = 1;
		facts->offered = plan->hole ? TRI_UNKNOWN : plan->no_offer ? TRI_FALSE : TRI_TRUE;
		if (!plan->hole)
			show(world, &o, MILESTONE_EHLO_REPLY);
		if (!plan->no_offer && !plan->clear && !plan->one_sided)
			run_tls(world, &o, plan, server);
	}
	if (mails && !plan->one_sided) {
		facts->mails = facts->mails_2xx = facts->accepted = 1;
		facts->mails_after_failure = plan->refused;
		show(world, &o, MILESTONE_MAIL | MILESTONE_MAIL_ACCEPTED);
	}
	show(world, &o, MILESTONE_CLOSED);
	session_facts_free_text(facts, &world->budget);
}

/* ---- a day ---- */

static void add_retry(struct world *world, const struct retry *retry)
{
	if (world->retry_count == RETRIES)
		return;
	world->retries[(world->retry_first + world->retry_count++) % RETRIES] = *retry;
}

static void run_retries(struct world *world, int64_t now_s)
{
	while (world->retry_count > 0 && world->retries[world->retry_first].at_s <= now_s) {
		struct retry retry = world->retries[world->retry_first];
		world->retry_first = (world->retry_first + 1) % RETRIES;
		world->retry_count--;
		struct plan plan = plan_session(world, retry.network, retry.server, now_s);
		plan.clear = one_in(world, 2);
		plan.fails = plan.fails && !plan.clear;
		plan.refused = plan.refused && !plan.clear;
		if (plan.clear && plan.cause == WORKS)
			plan.cause = retry.cause;
		run_session(world, retry.network, retry.client, retry.server, now_s * S, &plan);
	}
}

static void change_servers(struct world *world)
{
	for (unsigned i = 0; i < CHANGES; i++) {
		struct server *drops = &world->servers[draw(world, SERVERS)];
		struct server *gains = &world->servers[draw(world, SERVERS)];
		struct server *moves = &world->servers[draw(world, SERVERS)];
		drops->dropped |= drops->offers;
		drops->offers = false;
		gains->offers = true;
		moves->issuer++;
		moves->issuer_changed = true;
	}
}

static void run_day(struct world *world, int64_t day, uint64_t sessions)
{
	/* Changes happen at one moment in the night, outages all day. */
	change_servers(world);
	for (uint64_t i = 0; i < sessions; i++) {
		int64_t now_ns = (START_S + day * DAY_S) * S +
				 (int64_t)((double)i * (double)DAY_S / (double)sessions * 1e9);
		int64_t now_s = now_ns / S;
		if (one_in(world, sessions / OUTAGES)) {
			struct server *s = &world->servers[draw(world, SERVERS)];
			s->outage_until_s = now_s + (int64_t)draw(world, OUTAGE_S);
			s->outage_refuses = one_in(world, 2);
		}
		run_retries(world, now_s);
		uint32_t network = (uint32_t)draw(world, world->networks);
		uint32_t client = (uint32_t)draw(world, 5);
		uint32_t server = (uint32_t)draw(world, one_in(world, 2) ? SERVERS / 100 : SERVERS);
		server = (server * 7919) % SERVERS; /* the popular ones are of every kind */
		struct plan plan = plan_session(world, network, server, now_s);
		if ((plan.fails || plan.refused) && !plan.helo && !plan.one_sided)
			add_retry(world, &(struct retry){now_s + FALLBACK_S, network, client,
							 server, plan.cause});
		run_session(world, network, client, server, now_ns, &plan);
	}
}

static bool begin(struct world *world, unsigned networks, unsigned stripped, uint64_t seed)
{
	memset(world, 0, sizeof *world);
	world->random = 0x5eed5eed5eedU ^ seed << 20;
	world->networks = networks;
	world->stripped = stripped;
	world->id = 1;
	world->sink.sink.ops = &counting_ops;
	budget_init(&world->budget, 1 << 20);
	for (uint32_t i = 0; i < SERVERS; i++)
		world->servers[i].offers = i % 1000 >= 50;
	world->sinks[0] = &world->sink.sink;
	const struct judge_config config = {
	    .sensor = "bench",
	    .suppression_ns = 300 * S,
	    .fallback_window_s = 3600,
	    .learn = true,
	    .hash_key = {1, 2},
	    .memory = LIMIT_JUDGE_MEMORY,
	    .sinks = world->sinks,
	    .sink_count = 1,
	};
	world->judge = judge_create(&config);
	return world->judge != NULL && judge_begin(world->judge, NULL);
}

static void tell_rules(const struct world *world)
{
	static const enum rule rules[] = {
	    RULE_STARTTLS_STRIPPED, RULE_PLAINTEXT_FALLBACK,  RULE_STARTTLS_REFUSED,
	    RULE_EHLO_REFUSED,      RULE_CERTIFICATE_CHANGED, RULE_POLICY_VIOLATION,
	    RULE_PATH_DOWNGRADE,    RULE_TAP_DIVERGENCE,
	};
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		uint64_t sum = 0;
		for (unsigned cause = 0; cause < CAUSES; cause++)
			sum += world->sink.alerts[rules[i]][cause];
		printf("  %-20s %6" PRIu64, rule_info(rules[i])->id, sum);
		for (unsigned cause = 0; cause < CAUSES; cause++)
			if (world->sink.alerts[rules[i]][cause] > 0)
				printf("  %s %" PRIu64, cause_words[cause],
				       world->sink.alerts[rules[i]][cause]);
		printf("\n");
	}
}

static void tell_detection(const struct world *world)
{
	const int64_t noon_s = START_S + DAY_S + DAY_S / 2;
	int64_t first = 0, path = 0;
	unsigned found = 0, paths = 0;
	for (unsigned i = 0; i < world->stripped; i++) {
		int64_t first_s = world->sink.first_alert_s[i];
		int64_t path_s = world->sink.path_alert_s[i];
		found += first_s > 0;
		paths += path_s > 0;
		if (first_s > 0 && first_s - noon_s > first)
			first = first_s - noon_s;
		if (path_s > 0 && path_s - noon_s > path)
			path = path_s - noon_s;
	}
	printf("  %u networks stripped: %u told, the last after %" PRId64
	       " s; %u as a path, the last after %" PRId64 " s\n",
	       world->stripped, found, first, paths, path);
}

int main(int argc, char **argv)
{
	uint64_t sessions = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	unsigned networks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 200;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	if (sessions < 1000 || networks < 1 || networks > NETWORKS_MOST)
		return 2;
	struct world *world = malloc(sizeof *world);
	for (unsigned attack = 0; world != NULL && attack < 2; attack++) {
		unsigned stripped = attack == 0 ? 0 : networks < 100 ? 1 : networks / 100;
		if (!begin(world, networks, stripped, seed))
			return 1;
		run_day(world, 0, sessions);
		uint64_t taught = world->sessions;
		world->sink.counts = true;
		run_day(world, 1, sessions);
		judge_end(world->judge);
		printf("%s: %" PRIu64 " sessions on the second day, %u networks, %d servers\n",
		       attack == 0 ? "quiet" : "1 % of the networks stripped at noon",
		       world->sessions - taught, networks, SERVERS);
		tell_rules(world);
		if (attack != 0)
			tell_detection(world);
		judge_destroy(world->judge);
	}
	free(world);
	return 0;
}
