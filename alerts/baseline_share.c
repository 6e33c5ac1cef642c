/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_share.h"

#include "alerts/baseline_wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define KEY_MAX      384
#define CHANGES_S    10   /* one hash of changes is for so many seconds ... */
#define CHANGES_KEPT 3600 /* ... and stays for so long */
#define OVERLAP      3    /* hashes that are read again: their writers may have been slow */
#define RESCAN_S     3600 /* everything is read again, in case a change was missed */
#define SCAN_COUNT   "500"
#define SENSORS_MAX  64 /* whose fields of one server are added up */
#define BATCH        100
#define RETRY_MS     250         /* after the first failure; doubled up to exchange_ms */
#define SCAN_BUDGET  (64U << 20) /* memory for keys of one scan */

/* Places in a circle. */
struct ring {
	struct server_memory *servers;
	bool *own;
	uint32_t size, first, count;
};

struct baseline_share {
	struct baseline_share_config config;
	struct notices *notices;
	struct redis_topology *topology;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved; /* a ring has room, the first reading is over, asked, or the end */
	int cancel_fd;
	struct ring out, in; /* under lock */
	bool ready;          /* the first reading is over */
	bool asked;          /* to exchange now */
	bool closing, ended;
	int64_t drain_until_ms;
	struct baseline_share_counts counts;
	/* The thread's own. */
	bool scanned, failing;
	unsigned retry_ms; /* 0: the last exchange succeeded */
	int64_t scanned_s; /* by the server's clock */
	int64_t read_to;   /* number of the last hash of changes that was read */
	struct budget budget;
	struct buffer text;
	struct server_memory *contributions; /* SENSORS_MAX */
};

static int64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- rings ---- */

static bool ring_init(struct ring *ring, uint32_t size)
{
	ring->servers = calloc(size, sizeof *ring->servers);
	ring->own = calloc(size, sizeof *ring->own);
	ring->size = size;
	return ring->servers != NULL && ring->own != NULL;
}

static void ring_free(struct ring *ring)
{
	free(ring->servers);
	free(ring->own);
}

static bool ring_put(struct ring *ring, const struct server_memory *server, bool own)
{
	if (ring->count == ring->size)
		return false;
	uint32_t at = (ring->first + ring->count++) % ring->size;
	ring->servers[at] = *server;
	ring->own[at] = own;
	return true;
}

static bool ring_take(struct ring *ring, struct server_memory *server, bool *own)
{
	if (ring->count == 0)
		return false;
	*server = ring->servers[ring->first];
	*own = ring->own[ring->first];
	ring->first = (ring->first + 1) % ring->size;
	ring->count--;
	return true;
}

static bool is_closing(struct baseline_share *share)
{
	pthread_mutex_lock(&share->lock);
	bool closing = share->closing;
	pthread_mutex_unlock(&share->lock);
	return closing;
}

/* Hands over what was read. Waits for room: the judge takes at every opportunity. */
static void hand_over(struct baseline_share *share, const struct server_memory *server, bool own)
{
	pthread_mutex_lock(&share->lock);
	while (!ring_put(&share->in, server, own) && !share->closing) {
		pthread_cond_broadcast(&share->moved); /* who waits for the start takes first */
		pthread_cond_wait(&share->moved, &share->lock);
	}
	share->counts.read++;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
}

/* ---- keys ---- */

static void place_text(const struct endpoint *endpoint, char *text, size_t size)
{
	char address[IP_ADDR_TEXT];
	(void)ip_addr_text(&endpoint->addr, address);
	(void)snprintf(text, size, "%s:%u", address, endpoint->port);
}

/* "2001:db8::1:25": what stands behind the last colon is the port. */
static bool read_place(struct span text, struct endpoint *endpoint)
{
	size_t colon = text.len;
	uint32_t port = 0;
	while (colon > 0 && text.ptr[colon - 1] != ':')
		colon--;
	if (colon == 0 || colon == text.len || text.len - colon > 5)
		return false;
	for (size_t i = colon; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		port = port * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	endpoint->port = (uint16_t)port;
	return port > 0 && port <= UINT16_MAX &&
	       ip_addr_parse((const char *)text.ptr, colon - 1, &endpoint->addr);
}

static struct span server_key(const struct baseline_share *share, const struct endpoint *endpoint,
			      char key[KEY_MAX])
{
	char place[IP_ADDR_TEXT + 8];
	place_text(endpoint, place, sizeof place);
	(void)snprintf(key, KEY_MAX, "%sbaseline:server:%s", share->config.prefix, place);
	return span_str(key);
}

static struct span changes_key(const struct baseline_share *share, int64_t number,
			       char key[KEY_MAX])
{
	(void)snprintf(key, KEY_MAX, "%sbaseline:changes:%lld", share->config.prefix,
		       (long long)number * CHANGES_S);
	return span_str(key);
}

/* ---- talking to Redis ---- */

/* A reply that is no error, or NULL with the error told and the link dropped. */
static struct redis_reply *good_reply(struct baseline_share *share, struct redis_link *link,
				      struct redis_reply *reply, struct redis_error *error)
{
	if (reply != NULL && redis_reply_kind(reply) != REDIS_KIND_ERROR)
		return reply;
	if (reply != NULL) {
		struct span text = span_head(redis_reply_text(reply), sizeof error->text - 1);
		(void)snprintf(error->text, sizeof error->text, "%.*s", (int)text.len,
			       (const char *)text.ptr);
		if (text.len > 6 && memcmp(text.ptr, "MOVED ", 6) == 0)
			(void)redis_topology_moved(share->topology, text);
		redis_reply_free(reply);
	}
	redis_topology_drop(share->topology, link);
	return NULL;
}

static struct redis_reply *call(struct baseline_share *share, struct span key,
				const struct span *words, size_t count, struct redis_error *error)
{
	struct redis_link *link = redis_topology_link(share->topology, key, error);
	if (link == NULL)
		return NULL;
	return good_reply(share, link, redis_link_call(link, words, count, 0, error), error);
}

/* Seconds since 1970 by the server's clock: that of all sensors together. */
static bool server_time(struct baseline_share *share, int64_t *time_s, struct redis_error *error)
{
	char key[KEY_MAX];
	const struct span words[] = {span_str("TIME")};
	struct redis_reply *reply = call(share, changes_key(share, 0, key), words, 1, error);
	struct span digits = redis_reply_text(redis_reply_at(reply, 0));
	*time_s = 0;
	for (size_t i = 0; i < digits.len && digits.ptr[i] >= '0' && digits.ptr[i] <= '9'; i++)
		*time_s = *time_s * 10 + (digits.ptr[i] - '0');
	redis_reply_free(reply);
	return reply != NULL;
}

/* ---- reading ---- */

struct field {
	struct span sensor, value;
};

static int compare_fields(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	size_t len = x->sensor.len < y->sensor.len ? x->sensor.len : y->sensor.len;
	int order = len == 0 ? 0 : memcmp(x->sensor.ptr, y->sensor.ptr, len);
	return order != 0 ? order
			  : (x->sensor.len > y->sensor.len) - (x->sensor.len < y->sensor.len);
}

/* Adds up the fields of a server's hash. */
static void add_up(struct baseline_share *share, const struct endpoint *endpoint,
		   const struct redis_reply *hash, int64_t time_s, bool first)
{
	struct field fields[SENSORS_MAX];
	size_t count = 0;
	struct span self = span_str(share->config.sensor);
	struct server_memory sum = {.endpoint = *endpoint}, one = {.endpoint = *endpoint};
	bool any = false;
	for (size_t i = 0; i + 1 < redis_reply_count(hash) && count < SENSORS_MAX; i += 2)
		fields[count++] = (struct field){redis_reply_text(redis_reply_at(hash, i)),
						 redis_reply_text(redis_reply_at(hash, i + 1))};
	/* cppcheck-suppress uninitvar ; the first count are set, and those alone are sorted */
	qsort(fields, count, sizeof fields[0], compare_fields);
	for (size_t i = 0; i < count; i++) {
		bool own = fields[i].sensor.len == self.len &&
			   memcmp(fields[i].sensor.ptr, self.ptr, self.len) == 0;
		if (own && !(first && share->config.adopt))
			continue;
		if (!baseline_wire_read(fields[i].value, &one)) {
			pthread_mutex_lock(&share->lock);
			share->counts.malformed++;
			pthread_mutex_unlock(&share->lock);
			continue;
		}
		if (server_memory_is_aged(&one, time_s))
			continue;
		if (own) {
			hand_over(share, &one, true);
			continue;
		}
		server_memory_merge(&sum, &one);
		any = true;
	}
	if (any)
		hand_over(share, &sum, false);
}

/* Fetches the hashes of some servers in one pipeline. */
static bool fetch(struct baseline_share *share, const struct endpoint *endpoints, size_t count,
		  int64_t time_s, bool first, struct redis_error *error)
{
	char key[KEY_MAX];
	if (count == 0)
		return true;
	struct redis_link *link =
	    redis_topology_link(share->topology, server_key(share, &endpoints[0], key), error);
	if (link == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct span words[] = {span_str("HGETALL"),
					     server_key(share, &endpoints[i], key)};
		if (!redis_link_append(link, words, 2)) {
			redis_topology_drop(share->topology, link);
			return false;
		}
	}
	bool sent = redis_link_flush(link, error);
	if (!sent)
		redis_topology_drop(share->topology, link);
	for (size_t i = 0; sent && i < count; i++) {
		struct redis_reply *reply =
		    good_reply(share, link, redis_link_reply(link, 0, error), error);
		if (reply == NULL)
			return false;
		add_up(share, &endpoints[i], reply, time_s, first);
		redis_reply_free(reply);
	}
	return sent;
}

/* The endpoints behind the common part of keys, into a batch. */
static bool read_keys(struct baseline_share *share, const struct redis_reply *keys, size_t skip,
		      uint32_t *room, int64_t time_s, bool first, struct redis_error *error)
{
	struct endpoint batch[BATCH];
	size_t count = 0;
	for (size_t i = 0; i < redis_reply_count(keys); i++) {
		struct span key = redis_reply_text(redis_reply_at(keys, i));
		if (key.len <= skip || !read_place(span_skip(key, skip), &batch[count]))
			continue;
		if (*room == 0) {
			pthread_mutex_lock(&share->lock);
			share->counts.left_out++;
			pthread_mutex_unlock(&share->lock);
			continue;
		}
		--*room;
		if (++count == BATCH) {
			if (!fetch(share, batch, count, time_s, first, error))
				return false;
			count = 0;
		}
	}
	return fetch(share, batch, count, time_s, first, error);
}

/* A pattern that matches the text literally, and whatever follows. */
static void pattern_of(const char *text, char pattern[2 * KEY_MAX])
{
	size_t len = 0;
	for (; *text != '\0' && len + 3 < (size_t)2 * KEY_MAX; text++) {
		if (strchr("*?[]\\^", *text) != NULL)
			pattern[len++] = '\\';
		pattern[len++] = *text;
	}
	pattern[len++] = '*';
	pattern[len] = '\0';
}

static bool scan(struct baseline_share *share, int64_t time_s, struct redis_error *error)
{
	char common[KEY_MAX], pattern[2 * KEY_MAX], cursor[24] = "0";
	uint32_t room = share->config.servers;
	bool first = !share->scanned;
	(void)snprintf(common, sizeof common, "%sbaseline:server:", share->config.prefix);
	pattern_of(common, pattern);
	do {
		const struct span words[] = {span_str("SCAN"),  span_str(cursor),
					     span_str("MATCH"), span_str(pattern),
					     span_str("COUNT"), span_str(SCAN_COUNT)};
		struct redis_reply *reply = call(share, span_str(common), words, 6, error);
		if (reply == NULL)
			return false;
		struct span next = span_head(redis_reply_text(redis_reply_at(reply, 0)), 23);
		(void)snprintf(cursor, sizeof cursor, "%.*s", (int)next.len,
			       (const char *)next.ptr);
		bool good = next.len > 0 && read_keys(share, redis_reply_at(reply, 1),
						      strlen(common), &room, time_s, first, error);
		redis_reply_free(reply);
		if (!good || is_closing(share))
			return false;
	} while (strcmp(cursor, "0") != 0);
	share->scanned = true;
	share->scanned_s = time_s;
	return true;
}

/* The servers that others changed, by one hash of changes. */
static bool read_changes(struct baseline_share *share, int64_t number, int64_t time_s,
			 struct redis_error *error)
{
	char key[KEY_MAX];
	struct endpoint batch[BATCH];
	size_t count = 0;
	struct span self = span_str(share->config.sensor);
	const struct span words[] = {span_str("HKEYS"), changes_key(share, number, key)};
	struct redis_reply *reply = call(share, words[1], words, 2, error);
	bool good = reply != NULL;
	for (size_t i = 0; good && i < redis_reply_count(reply); i++) {
		struct span field = redis_reply_text(redis_reply_at(reply, i));
		const uint8_t *blank = field.len == 0 ? NULL : memchr(field.ptr, ' ', field.len);
		if (blank == NULL)
			continue;
		size_t len = (size_t)(blank - field.ptr);
		struct span sensor = span_skip(field, len + 1);
		if ((sensor.len == self.len && memcmp(sensor.ptr, self.ptr, self.len) == 0) ||
		    !read_place(span_head(field, len), &batch[count]))
			continue;
		if (++count == BATCH) {
			good = fetch(share, batch, count, time_s, false, error);
			count = 0;
		}
	}
	good = good && fetch(share, batch, count, time_s, false, error);
	redis_reply_free(reply);
	return good;
}

/* ---- writing ---- */

static bool append_server(struct baseline_share *share, struct redis_link *link,
			  const struct server_memory *server, int64_t number)
{
	char key[KEY_MAX], changes[KEY_MAX], place[IP_ADDR_TEXT + 8], field[KEY_MAX], age[24];
	buffer_clear(&share->text);
	struct json json = json_into(&share->text, false);
	baseline_wire_write(&json, server);
	if (share->text.failed)
		return true; /* it cannot be: BASELINE_WIRE_MAX holds everything at its cap */
	place_text(&server->endpoint, place, sizeof place);
	(void)snprintf(field, sizeof field, "%s %s", place, share->config.sensor);
	(void)snprintf(age, sizeof age, "%lld", (long long)SERVER_AGE_S);
	const struct span put[] = {span_str("HSET"), server_key(share, &server->endpoint, key),
				   span_str(share->config.sensor), buffer_span(&share->text)};
	const struct span keep[] = {span_str("EXPIRE"), put[1], span_str(age)};
	const struct span tell[] = {span_str("HSET"), changes_key(share, number, changes),
				    span_str(field), span_str("1")};
	return redis_link_append(link, put, 4) && redis_link_append(link, keep, 3) &&
	       redis_link_append(link, tell, 4);
}

/* Takes a server off the ring once it was written; a failure leaves it there. */
static size_t copy_out(struct baseline_share *share, struct server_memory *batch, size_t size)
{
	size_t count = 0;
	pthread_mutex_lock(&share->lock);
	for (; count < size && count < share->out.count; count++)
		batch[count] = share->out.servers[(share->out.first + count) % share->out.size];
	pthread_mutex_unlock(&share->lock);
	return count;
}

static void written(struct baseline_share *share, size_t count)
{
	pthread_mutex_lock(&share->lock);
	share->out.first = (share->out.first + (uint32_t)count) % share->out.size;
	share->out.count -= (uint32_t)count;
	share->counts.written += count;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
}

/* The replies to count commands. */
static bool all_good(struct baseline_share *share, struct redis_link *link, size_t count,
		     struct redis_error *error)
{
	for (size_t i = 0; i < count; i++) {
		struct redis_reply *reply =
		    good_reply(share, link, redis_link_reply(link, 0, error), error);
		if (reply == NULL)
			return false;
		redis_reply_free(reply);
	}
	return true;
}

static bool write_batch(struct baseline_share *share, const struct server_memory *batch,
			size_t count, int64_t number, struct redis_error *error)
{
	char key[KEY_MAX], kept[24];
	struct redis_link *link =
	    redis_topology_link(share->topology, server_key(share, &batch[0].endpoint, key), error);
	if (link == NULL)
		return false;
	(void)snprintf(kept, sizeof kept, "%d", CHANGES_KEPT);
	const struct span expire[] = {span_str("EXPIRE"), changes_key(share, number, key),
				      span_str(kept)};
	bool good = true;
	for (size_t i = 0; good && i < count; i++)
		good = append_server(share, link, &batch[i], number);
	good = good && redis_link_append(link, expire, 3) && redis_link_flush(link, error);
	if (!good) {
		redis_topology_drop(share->topology, link);
		return false;
	}
	return all_good(share, link, 3 * count + 1, error);
}

static bool write_all(struct baseline_share *share, struct redis_error *error)
{
	struct server_memory *batch = share->contributions;
	size_t count;
	while ((count = copy_out(share, batch, SENSORS_MAX)) > 0) {
		int64_t time_s;
		if (!server_time(share, &time_s, error) ||
		    !write_batch(share, batch, count, time_s / CHANGES_S, error))
			return false;
		written(share, count);
	}
	return true;
}

/* ---- the thread ---- */

static bool exchange(struct baseline_share *share, struct redis_error *error)
{
	int64_t time_s;
	if (!server_time(share, &time_s, error))
		return false;
	int64_t now = time_s / CHANGES_S;
	bool closing = is_closing(share);
	if (!closing && (!share->scanned || time_s - share->scanned_s >= RESCAN_S)) {
		if (!scan(share, time_s, error))
			return false;
		share->read_to = now - 1;
		pthread_mutex_lock(&share->lock);
		share->ready = true;
		pthread_cond_broadcast(&share->moved);
		pthread_mutex_unlock(&share->lock);
	}
	/* What is known from earlier runs must not be written over before it was read. */
	if (share->config.write && (share->scanned || !share->config.adopt) &&
	    !write_all(share, error))
		return false;
	if (is_closing(share))
		return true;
	int64_t from = share->read_to - OVERLAP + 1;
	for (int64_t number = from; number <= now; number++)
		if (!read_changes(share, number, time_s, error))
			return false;
	share->read_to = now;
	return true;
}

static void tell(struct baseline_share *share, bool good, const struct redis_error *error)
{
	if (!good) {
		pthread_mutex_lock(&share->lock);
		share->counts.failures++;
		pthread_mutex_unlock(&share->lock);
	}
	if (good == !share->failing || (!good && is_closing(share)))
		return;
	share->failing = !good;
	if (good)
		notices_add(share->notices, NOTICE_INFO, "Redis: the baseline is shared again");
	else
		notices_add(
		    share->notices, NOTICE_WARNING,
		    "Redis: the baseline cannot be shared, this sensor goes on by itself: %s",
		    error->text);
}

/* Waits for the next exchange or for the end. False: nothing is left to do, or no time for it. */
static bool wait_for_work(struct baseline_share *share, bool good)
{
	unsigned pause_ms = share->config.exchange_ms;
	if (good) {
		share->retry_ms = 0;
	} else {
		share->retry_ms = share->retry_ms == 0 ? RETRY_MS : share->retry_ms * 2;
		if (share->retry_ms < pause_ms)
			pause_ms = share->retry_ms;
		else
			share->retry_ms = pause_ms;
	}
	int64_t at = now_ms() + pause_ms;
	const struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
	pthread_mutex_lock(&share->lock);
	while (!share->closing && !share->asked && now_ms() < at)
		(void)pthread_cond_timedwait(&share->moved, &share->lock, &until);
	share->asked = false;
	bool more = !share->closing || (share->config.write && share->out.count > 0 &&
					now_ms() < share->drain_until_ms);
	pthread_mutex_unlock(&share->lock);
	return more;
}

static void *run(void *argument)
{
	struct baseline_share *share = argument;
	bool good, more;
	do {
		struct redis_error error = {.failure = REDIS_FINE};
		good = exchange(share, &error);
		tell(share, good, &error);
		more = wait_for_work(share, good);
		if (more && !good && is_closing(share))
			(void)usleep(100000); /* Redis may come back before the drain is over */
	} while (more);
	pthread_mutex_lock(&share->lock);
	share->ended = share->ready = true;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
	return NULL;
}

static void free_share(struct baseline_share *share)
{
	redis_topology_free(share->topology);
	buffer_free(&share->text);
	ring_free(&share->in);
	ring_free(&share->out);
	free(share->contributions);
	if (share->cancel_fd >= 0)
		(void)close(share->cancel_fd);
	pthread_cond_destroy(&share->moved);
	pthread_mutex_destroy(&share->lock);
	free(share);
}

static int start_thread(struct baseline_share *share)
{
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&share->thread, NULL, run, share);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct baseline_share *baseline_share_new(const struct baseline_share_config *config,
					  struct notices *notices)
{
	struct baseline_share *share = calloc(1, sizeof *share);
	pthread_condattr_t monotonic;
	if (share == NULL)
		return NULL;
	share->config = *config;
	share->notices = notices;
	share->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&share->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&share->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	budget_init(&share->budget, SCAN_BUDGET);
	buffer_init(&share->text, &share->budget, BASELINE_WIRE_MAX);
	struct redis_topology_config topology = config->topology;
	topology.link.cancel_fd = share->cancel_fd;
	share->topology = redis_topology_new(config->url, &topology);
	share->contributions = calloc(SENSORS_MAX, sizeof *share->contributions);
	if (share->topology == NULL || share->contributions == NULL || share->cancel_fd < 0 ||
	    !ring_init(&share->in, config->queue) || !ring_init(&share->out, config->queue) ||
	    start_thread(share) != 0) {
		free_share(share);
		return NULL;
	}
	return share;
}

bool baseline_share_put(struct baseline_share *share, const struct server_memory *server)
{
	pthread_mutex_lock(&share->lock);
	bool taken = ring_put(&share->out, server, true);
	pthread_mutex_unlock(&share->lock);
	return taken;
}

bool baseline_share_wait_room(struct baseline_share *share, unsigned wait_ms)
{
	int64_t at = now_ms() + wait_ms;
	const struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
	pthread_mutex_lock(&share->lock);
	share->asked = true;
	pthread_cond_broadcast(&share->moved);
	/* Who hands over what was read writes nothing meanwhile. */
	while (share->out.count == share->out.size && share->in.count == 0 && now_ms() < at)
		(void)pthread_cond_timedwait(&share->moved, &share->lock, &until);
	bool moved = share->out.count < share->out.size || share->in.count > 0;
	pthread_mutex_unlock(&share->lock);
	return moved;
}

bool baseline_share_take(struct baseline_share *share, struct baseline_shared *shared)
{
	pthread_mutex_lock(&share->lock);
	bool taken = ring_take(&share->in, &shared->others, &shared->own);
	if (taken)
		pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
	return taken;
}

bool baseline_share_wait(struct baseline_share *share, unsigned wait_ms, bool *complete)
{
	int64_t at = now_ms() + wait_ms;
	const struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
	pthread_mutex_lock(&share->lock);
	while (!share->ready && share->in.count == 0 && now_ms() < at)
		(void)pthread_cond_timedwait(&share->moved, &share->lock, &until);
	*complete = share->ready && share->in.count == 0;
	bool reached = share->ready || share->in.count > 0;
	pthread_mutex_unlock(&share->lock);
	return reached;
}

struct baseline_share_counts baseline_share_counts(struct baseline_share *share)
{
	pthread_mutex_lock(&share->lock);
	struct baseline_share_counts counts = share->counts;
	pthread_mutex_unlock(&share->lock);
	return counts;
}

uint64_t baseline_share_close(struct baseline_share *share, unsigned drain_ms)
{
	const uint64_t one = 1;
	int64_t at = now_ms() + drain_ms;
	const struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
	pthread_mutex_lock(&share->lock);
	share->closing = true;
	share->drain_until_ms = at;
	pthread_cond_broadcast(&share->moved);
	while (!share->ended && pthread_cond_timedwait(&share->moved, &share->lock, &until) == 0)
		;
	pthread_mutex_unlock(&share->lock);
	(void)!write(share->cancel_fd, &one, sizeof one);
	(void)pthread_join(share->thread, NULL);
	uint64_t left = share->config.write ? share->out.count : 0;
	free_share(share);
	return left;
}
