/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_share_state.h"
#include "alerts/baseline_wire.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_MAX      384
#define CHANGES_S    10   /* one hash of changes is for so many seconds ... */
#define CHANGES_KEPT 3600 /* ... and stays for so long */
#define OVERLAP      3    /* hashes that are read again: their writers may have been slow */
#define RESCAN_S     3600 /* everything is read again, in case a change was missed */
#define SCAN_COUNT   "500"
#define BATCH        100

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
			baseline_share_count(share, &share->counts.malformed);
			continue;
		}
		if (server_memory_is_aged(&one, time_s))
			continue;
		if (own) {
			baseline_share_hand_over(share, &one, true);
			continue;
		}
		server_memory_merge(&sum, &one);
		any = true;
	}
	if (any)
		baseline_share_hand_over(share, &sum, false);
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
			baseline_share_count(share, &share->counts.left_out);
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
		if (!good || baseline_share_is_closing(share))
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
	while ((count = baseline_share_copy_out(share, batch, SENSORS_MAX)) > 0) {
		int64_t time_s;
		if (!server_time(share, &time_s, error) ||
		    !write_batch(share, batch, count, time_s / CHANGES_S, error))
			return false;
		baseline_share_written(share, count);
	}
	return true;
}

/* ---- both ---- */

bool baseline_exchange(struct baseline_share *share, struct redis_error *error)
{
	int64_t time_s;
	if (!server_time(share, &time_s, error))
		return false;
	int64_t now = time_s / CHANGES_S;
	bool closing = baseline_share_is_closing(share);
	if (!closing && (!share->scanned || time_s - share->scanned_s >= RESCAN_S)) {
		if (!scan(share, time_s, error))
			return false;
		share->read_to = now - 1;
		baseline_share_set_ready(share);
	}
	/* What is known from earlier runs must not be written over before it was read. */
	if (share->config.write && (share->scanned || !share->config.adopt) &&
	    !write_all(share, error))
		return false;
	if (baseline_share_is_closing(share))
		return true;
	int64_t from = share->read_to - OVERLAP + 1;
	for (int64_t number = from; number <= now; number++)
		if (!read_changes(share, number, time_s, error))
			return false;
	share->read_to = now;
	return true;
}
