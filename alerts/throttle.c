/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/throttle.h"

/* What makes two alerts one. Compared and hashed as bytes, so it is zeroed before it is filled. */
struct throttle_key {
	struct ip_addr client_network;
	struct endpoint server;
	uint32_t tap;
	enum rule rule;
	const char
	    *reason; /* reasons are literals of the program; equal words are compared below */
};

/* An open window. */
struct window {
	uint64_t hash;
	struct throttle_key key;
	struct finding finding; /* of the first, with the gravest severity and the latest scope */
	struct session_identity session; /* of the first */
	int64_t opened_ns, first_ns, last_ns;
	uint64_t ordinal; /* of the last alert */
	uint64_t count;
	uint32_t next; /* in the same bucket; NO_WINDOW at its end */
};

#define NO_WINDOW  UINT32_MAX

#define ROOM_FIRST 64U /* it doubles: few windows lie close together */

struct throttle {
	struct throttle_options options;
	struct throttle_counts counts;
	struct budget *budget;
	struct window *windows; /* a queue in a ring */
	uint32_t *buckets;      /* newest window of each */
	uint32_t room;          /* windows of the ring, and buckets; a power of two */
	uint32_t oldest, open;
};

static void ring_free(struct throttle *throttle)
{
	budget_free(throttle->budget, throttle->windows, throttle->room * sizeof(struct window));
	budget_free(throttle->budget, throttle->buckets, throttle->room * sizeof(uint32_t));
}

static uint32_t *bucket_of(const struct throttle *throttle, uint64_t hash)
{
	return &throttle->buckets[hash & (throttle->room - 1)];
}

/* Where the window stands that is the nth from the oldest. */
static uint32_t place_of(const struct throttle *throttle, uint32_t nth)
{
	return (throttle->oldest + nth) & (throttle->room - 1);
}

/* A ring of twice the room, with the same windows. False when out of memory: it is as it was. */
static bool ring_grow(struct throttle *throttle)
{
	const uint32_t open = throttle->open;
	struct throttle grown = *throttle;

	grown.room = throttle->room == 0 ? ROOM_FIRST : throttle->room * 2;
	grown.oldest = 0;
	grown.windows = budget_alloc(grown.budget, grown.room * sizeof(struct window));
	grown.buckets = budget_alloc(grown.budget, grown.room * sizeof(uint32_t));
	if (grown.windows == NULL || grown.buckets == NULL) {
		ring_free(&grown);
		return false;
	}
	memset(grown.buckets, 0xff, grown.room * sizeof(uint32_t));
	for (uint32_t i = 0; i < open; i++) {
		struct window *window = &grown.windows[i];
		*window = throttle->windows[place_of(throttle, i)];
		uint32_t *bucket = bucket_of(&grown, window->hash);
		window->next = *bucket;
		*bucket = i;
	}
	ring_free(throttle);
	*throttle = grown;
	return true;
}

struct throttle *throttle_create(struct budget *budget, const struct throttle_options *options)
{
	struct throttle *throttle = budget_calloc(budget, 1, sizeof *throttle);
	if (throttle == NULL)
		return NULL;
	throttle->options = *options;
	throttle->budget = budget;
	if (throttle->options.capacity == 0)
		throttle->options.capacity = 1;
	if (!ring_grow(throttle)) {
		throttle_destroy(throttle);
		return NULL;
	}
	return throttle;
}

void throttle_destroy(struct throttle *throttle)
{
	if (throttle == NULL)
		return;
	ring_free(throttle);
	budget_free(throttle->budget, throttle, sizeof *throttle);
}

const struct throttle_counts *throttle_counts(const struct throttle *throttle)
{
	return &throttle->counts;
}

static struct throttle_key key_of(const struct throttle_options *options, const struct alert *alert)
{
	const struct ip_addr *client = &alert->session.client.addr;
	return (struct throttle_key){
	    .client_network = ip_addr_network(client, client->version == 4 ? options->prefix_ipv4
									   : options->prefix_ipv6),
	    .server = alert->session.server,
	    .tap = alert->session.tap,
	    .rule = alert->finding.rule,
	    .reason = alert->finding.reason,
	};
}

static bool key_equal(const struct throttle_key *a, const struct throttle_key *b)
{
	return a->rule == b->rule && a->tap == b->tap && a->server.port == b->server.port &&
	       ip_addr_equal(&a->server.addr, &b->server.addr) &&
	       ip_addr_equal(&a->client_network, &b->client_network) &&
	       strcmp(a->reason, b->reason) == 0;
}

/* The reason is left to the comparison: few rules have more than one for the same server. */
static uint64_t key_hash(const struct siphash_key *key, const struct throttle_key *of)
{
	uint8_t bytes[2 * 17 + 2 + 4 + 1];
	size_t len = 0;
	memcpy(bytes + len, of->client_network.bytes, 16);
	len += 16;
	bytes[len++] = of->client_network.version;
	memcpy(bytes + len, of->server.addr.bytes, 16);
	len += 16;
	bytes[len++] = of->server.addr.version;
	bytes[len++] = (uint8_t)(of->server.port >> 8);
	bytes[len++] = (uint8_t)of->server.port;
	for (unsigned shift = 0; shift < 32; shift += 8)
		bytes[len++] = (uint8_t)(of->tap >> shift);
	bytes[len++] = (uint8_t)of->rule;
	return siphash(key, span_of(bytes, len));
}

static struct window *find(const struct throttle *throttle, uint64_t hash,
			   const struct throttle_key *key)
{
	for (uint32_t i = *bucket_of(throttle, hash); i != NO_WINDOW;) {
		struct window *window = &throttle->windows[i];
		if (window->hash == hash && key_equal(&window->key, key))
			return window;
		i = window->next;
	}
	return NULL;
}

static struct alert summary_of(const struct window *window)
{
	return (struct alert){
	    .finding = window->finding,
	    .time_ns = window->last_ns,
	    .ordinal = window->ordinal,
	    .session = window->session,
	    .count = window->count,
	    .summary = 1,
	    .first_ns = window->first_ns,
	    .last_ns = window->last_ns,
	};
}

/* Closes the oldest window. True when it folded something, which *summary then tells. */
static bool close_oldest(struct throttle *throttle, struct alert *summary)
{
	uint32_t index = throttle->oldest;
	struct window *window = &throttle->windows[index];
	uint32_t *link = bucket_of(throttle, window->hash);
	while (*link != index)
		link = &throttle->windows[*link].next;
	*link = window->next;
	throttle->oldest = place_of(throttle, 1);
	throttle->open--;
	if (window->count < 2)
		return false;
	*summary = summary_of(window);
	throttle->counts.summaries++;
	return true;
}

bool throttle_close(struct throttle *throttle, int64_t now_ns, struct alert *summary)
{
	while (throttle->open > 0) {
		const struct window *oldest = &throttle->windows[throttle->oldest];
		if (now_ns < oldest->opened_ns || (uint64_t)now_ns - (uint64_t)oldest->opened_ns <
						      (uint64_t)throttle->options.window_ns)
			return false;
		if (close_oldest(throttle, summary))
			return true;
	}
	return false;
}

static void fold(struct window *window, const struct alert *alert)
{
	window->count += alert->count;
	if (alert->time_ns > window->last_ns)
		window->last_ns = alert->time_ns;
	if (alert->time_ns < window->first_ns)
		window->first_ns = alert->time_ns;
	window->ordinal = alert->ordinal;
	if (alert->finding.severity > window->finding.severity)
		window->finding.severity = alert->finding.severity;
	if (alert->finding.confidence > window->finding.confidence)
		window->finding.confidence = alert->finding.confidence;
	if (alert->finding.scope != NULL)
		window->finding.scope = alert->finding.scope;
}

bool throttle_offer(struct throttle *throttle, const struct alert *alert, struct alert *summary,
		    bool *evicted)
{
	*evicted = false;
	if (throttle->options.window_ns <= 0) {
		throttle->counts.passed++;
		return true;
	}
	struct throttle_key key = key_of(&throttle->options, alert);
	uint64_t hash = key_hash(&throttle->options.key, &key);
	struct window *window = find(throttle, hash, &key);
	if (window != NULL) {
		fold(window, alert);
		throttle->counts.folded++;
		return false;
	}
	bool full = throttle->open == throttle->options.capacity;
	if (!full && throttle->open == throttle->room)
		full = !ring_grow(throttle);
	if (full) {
		throttle->counts.evicted++;
		*evicted = close_oldest(throttle, summary);
	}
	uint32_t index = place_of(throttle, throttle->open);
	uint32_t *bucket = bucket_of(throttle, hash);
	throttle->windows[index] = (struct window){
	    .hash = hash,
	    .key = key,
	    .finding = alert->finding,
	    .session = alert->session,
	    .opened_ns = alert->time_ns,
	    .first_ns = alert->time_ns,
	    .last_ns = alert->time_ns,
	    .ordinal = alert->ordinal,
	    .count = alert->count,
	    .next = *bucket,
	};
	*bucket = index;
	throttle->open++;
	throttle->counts.passed++;
	return true;
}
