/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/sink_redis.h"

#include "alerts/outbox_queue.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define SESSION_BATCH      128 /* session records of one pipeline */
#define REDIRECTS_IN_A_ROW 5   /* then the map of slots is not stable: wait */
#define DEAD_IN_A_ROW      16  /* then it is not the alerts that are wrong: keep them */
#define MASTER_CHECK_MS    10000
#define KEY_SIZE           320
#define NUMBER_SIZE        24

struct sink_redis {
	struct sink_redis_config config;
	struct outbox *outbox;
	struct notices *notices;
	struct redis_topology *topology;
	struct outbox_batch batch;
	size_t batch_limit; /* shrinks to isolate an alert that Redis does not take */
	char alerts_key[KEY_SIZE];
	char sessions_key[KEY_SIZE];
	char sensor_key[KEY_SIZE];
	char max_entries[NUMBER_SIZE];
	unsigned failures_in_a_row;
	unsigned dead_in_a_row;
	uint64_t random;
	int64_t next_heartbeat_ms;
	int64_t next_check_ms;
	/* Session records that were taken from the queue and not acknowledged. */
	struct outbox_item *flight[SESSION_BATCH];
	size_t flight_count;

	pthread_t thread;
	int wake_fd;   /* sessions came, or the end */
	int cancel_fd; /* stop waiting for Redis at once */

	pthread_mutex_t lock; /* for everything below; never held over I/O */
	pthread_cond_t finished;
	bool closing;
	bool ended;
	int64_t drain_until_ms;
	struct outbox_queue sessions;
	uint64_t next_session;
	struct sink_redis_stats stats;
	struct heartbeat told; /* what the caller wants the heartbeat to say */
};

/* What became of an attempt. */
struct outcome {
	enum redis_reply_class class; /* GOOD: delivered */
	enum redis_failure failure;   /* not FINE: the link is broken */
	size_t culprit;               /* with an error reply: the alert that it was for */
	size_t done;                  /* alerts that are through, counted from the first */
	char text[200];               /* the error reply, or what broke */
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct outcome outcome_of(const struct redis_error *error)
{
	struct outcome outcome = {.class = error->class, .failure = error->failure};

	if (outcome.class == REDIS_CLASS_GOOD)
		outcome.class = REDIS_CLASS_RETRY;
	memcpy(outcome.text, error->text, sizeof(outcome.text));
	return outcome;
}

/* Takes an error reply into account; the first of the most serious class is remembered. */
static void note_error(struct outcome *outcome, const struct redis_reply *reply, size_t culprit)
{
	struct span text = redis_reply_text(reply);
	enum redis_reply_class class = redis_reply_classify(text);

	if (class == outcome->class || redis_reply_worse(class, outcome->class) != class)
		return;
	outcome->class = class;
	outcome->culprit = culprit;
	(void)snprintf(
	    outcome->text, sizeof(outcome->text), "%.*s",
	    (int)(text.len < sizeof(outcome->text) ? text.len : sizeof(outcome->text) - 1),
	    text.len > 0 ? (const char *)text.ptr : "");
}

static bool append_words(struct redis_link *link, const char *const *words, size_t count)
{
	struct span spans[4];

	for (size_t i = 0; i < count; i++)
		spans[i] = span_str(words[i]);
	return redis_link_append(link, spans, count);
}

static bool append_word(struct redis_link *link, const char *word)
{
	return append_words(link, &word, 1);
}

static bool append_alert(const struct sink_redis *sink, struct redis_link *link,
			 const struct outbox_record *record)
{
	const struct span xadd[] = {
	    span_str("XADD"),
	    span_str(sink->alerts_key),
	    span_str("MAXLEN"),
	    span_str("~"),
	    span_str(sink->max_entries),
	    span_str("*"),
	    span_str("id"),
	    record->id,
	    span_str("rule"),
	    record->rule,
	    span_str("severity"),
	    span_str(outbox_severity_word(record->severity)),
	    span_str("sensor"),
	    record->sensor,
	    span_str("json"),
	    record->json,
	};
	const struct span publish[] = {span_str("PUBLISH"), span_str(sink->alerts_key),
				       record->json};

	return redis_link_append(link, xadd, sizeof(xadd) / sizeof(xadd[0])) &&
	       (!sink->config.publish || redis_link_append(link, publish, 3));
}

/* Queues the whole transaction. False: no memory. */
static bool append_batch(const struct sink_redis *sink, struct redis_link *link, bool asking)
{
	/* ASKING holds for a whole transaction that begins with the next command. */
	if ((asking && !append_word(link, "ASKING")) || !append_word(link, "MULTI"))
		return false;
	for (size_t i = 0; i < sink->batch.count; i++)
		if (!append_alert(sink, link, &sink->batch.records[i]))
			return false;
	return append_word(link, "EXEC");
}

/* Reads EXEC's reply: one element for each command of the transaction. */
static void read_exec(const struct sink_redis *sink, const struct redis_reply *reply,
		      struct outcome *outcome)
{
	size_t each = sink->config.publish ? 2 : 1;
	bool in_order = true;

	if (redis_reply_kind(reply) == REDIS_KIND_ERROR) {
		note_error(outcome, reply, 0);
		return;
	}
	if (redis_reply_count(reply) != sink->batch.count * each) {
		outcome->failure = REDIS_PROTOCOL;
		outcome->class = REDIS_CLASS_RETRY;
		(void)snprintf(outcome->text, sizeof(outcome->text),
			       "EXEC: not the reply expected");
		return;
	}
	for (size_t i = 0; i < sink->batch.count; i++) {
		const struct redis_reply *entry = redis_reply_at(reply, i * each);
		if (redis_reply_kind(entry) == REDIS_KIND_ERROR) {
			note_error(outcome, entry, i);
			in_order = false;
		} else if (in_order) {
			outcome->done++;
		}
	}
}

/* Sends the batch as one transaction and reads all replies. */
static struct outcome send_batch(const struct sink_redis *sink, struct redis_link *link,
				 bool asking)
{
	struct outcome outcome = {.class = REDIS_CLASS_GOOD};
	struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
	size_t each = sink->config.publish ? 2 : 1;
	size_t before = asking ? 2 : 1; /* replies in front of those to alerts */
	size_t total = before + sink->batch.count * each + 1;

	if (!append_batch(sink, link, asking) || !redis_link_flush(link, &error)) {
		/* What broke the pipe may be waiting to be read: "Protocol error". */
		if (error.failure != REDIS_CLOSED)
			return outcome_of(&error);
	}
	for (size_t i = 0; i < total; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		if (reply == NULL) {
			struct outcome broken = outcome_of(&error);
			if (outcome.class == REDIS_CLASS_GOOD)
				return broken;
			outcome.failure = broken.failure;
			return outcome;
		}
		if (i + 1 == total)
			read_exec(sink, reply, &outcome);
		else if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			note_error(&outcome, reply, i < before ? 0 : (i - before) / each);
		redis_reply_free(reply);
	}
	return outcome;
}

static bool closing_now(struct sink_redis *sink)
{
	pthread_mutex_lock(&sink->lock);
	bool over = sink->closing && now_ms() >= sink->drain_until_ms;
	pthread_mutex_unlock(&sink->lock);
	return over;
}

static void set_state(struct sink_redis *sink, enum sink_redis_state state, const char *text)
{
	char place[REDIS_HOST_MAX * 2 + 64];

	pthread_mutex_lock(&sink->lock);
	enum sink_redis_state before = sink->stats.state;
	sink->stats.state = state;
	if (state != SINK_REDIS_DELIVERING) {
		sink->stats.failures++;
		(void)snprintf(sink->stats.last_error, sizeof(sink->stats.last_error), "%s", text);
	}
	pthread_mutex_unlock(&sink->lock);
	if (before == state || sink->notices == NULL)
		return;
	(void)redis_url_describe(sink->config.url, place, sizeof(place));
	if (state == SINK_REDIS_DELIVERING)
		notices_add(sink->notices, NOTICE_INFO, "%s: delivering", place);
	else if (state == SINK_REDIS_MISCONFIGURED)
		notices_add(sink->notices, NOTICE_ERROR, "%s: %s; alerts are kept", place, text);
	else
		notices_add(sink->notices, NOTICE_WARNING, "%s: %s; trying again", place, text);
}

/*
 * Waits until enough replicas have what this link wrote. Sending the batch
 * again would only make repeats, so the WAIT is repeated, for as long as the
 * link lives and its server is the master.
 */
static struct outcome wait_for_replicas(struct sink_redis *sink, struct redis_link *link)
{
	char replicas[NUMBER_SIZE];
	char timeout[NUMBER_SIZE];
	const char *const words[] = {"WAIT", replicas, timeout};

	(void)snprintf(replicas, sizeof(replicas), "%u", sink->config.wait_replicas);
	(void)snprintf(timeout, sizeof(timeout), "%u", sink->config.wait_ms);
	for (;;) {
		struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
		struct outcome outcome = {.class = REDIS_CLASS_GOOD};
		struct redis_reply *reply = NULL;
		if (append_words(link, words, 3) && redis_link_flush(link, &error))
			reply = redis_link_reply(link, sink->config.wait_ms, &error);
		if (reply == NULL)
			return outcome_of(&error);
		if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			note_error(&outcome, reply, 0);
		int64_t have = redis_reply_integer(reply);
		redis_reply_free(reply);
		if (outcome.class != REDIS_CLASS_GOOD ||
		    have >= (int64_t)sink->config.wait_replicas)
			return outcome;

		pthread_mutex_lock(&sink->lock);
		sink->stats.wait_shortfalls++;
		pthread_mutex_unlock(&sink->lock);
		set_state(sink, SINK_REDIS_RETRYING, "too few replicas have the alerts");
		if (closing_now(sink) || !redis_topology_check(sink->topology))
			return (struct outcome){.class = REDIS_CLASS_RETRY,
						.failure = REDIS_CANCELLED,
						.text = "too few replicas have the alerts"};
	}
}

/* The first count alerts of the batch are through. */
static void acknowledge(struct sink_redis *sink, size_t count)
{
	if (count == 0)
		return;
	outbox_acknowledge(sink->outbox, &sink->batch, count);
	sink->dead_in_a_row = 0;
	pthread_mutex_lock(&sink->lock);
	sink->stats.delivered += count;
	sink->stats.batches++;
	pthread_mutex_unlock(&sink->lock);
}

/* Pause before the next attempt: doubles with each failure, half of it by chance. */
static unsigned pause_ms(struct sink_redis *sink)
{
	unsigned shift = sink->failures_in_a_row < 16 ? sink->failures_in_a_row : 16;
	uint64_t pause = (uint64_t)sink->config.pause_min_ms << shift;

	if (pause > sink->config.pause_max_ms)
		pause = sink->config.pause_max_ms;
	/* xorshift64: many sensors must not come back in the same instant, no more than that. */
	sink->random ^= sink->random << 13;
	sink->random ^= sink->random >> 7;
	sink->random ^= sink->random << 17;
	return (unsigned)(pause / 2 + sink->random % (pause / 2 + 1));
}

/* Sleeps, but not beyond the end. */
static void pause_after_failure(struct sink_redis *sink, bool longest)
{
	struct pollfd fds[1] = {{.fd = sink->cancel_fd, .events = POLLIN}};
	int64_t until = now_ms() + (longest ? sink->config.pause_max_ms : pause_ms(sink));

	sink->failures_in_a_row++;
	for (;;) {
		pthread_mutex_lock(&sink->lock);
		bool closing = sink->closing;
		int64_t end = sink->drain_until_ms;
		pthread_mutex_unlock(&sink->lock);
		/* With the end near a long pause would be the same as giving up. */
		int64_t stop = closing && end < until ? end : until;
		int64_t left = stop - now_ms();
		if (left <= 0)
			return;
		if (closing && left > (int64_t)sink->config.pause_min_ms)
			left = sink->config.pause_min_ms;
		if (!closing && left > 250)
			left = 250;
		if (poll(fds, 1, (int)left) > 0 || closing)
			return;
	}
}

/* Puts the alert aside that Redis refused; false when too many in a row were refused. */
static bool bury(struct sink_redis *sink, const struct outcome *outcome)
{
	if (sink->dead_in_a_row >= DEAD_IN_A_ROW)
		return false;
	sink->dead_in_a_row++;
	(void)outbox_dead_letter(sink->outbox, &sink->batch.records[0], outcome->text);
	outbox_acknowledge(sink->outbox, &sink->batch, 1);
	pthread_mutex_lock(&sink->lock);
	sink->stats.dead_letters++;
	pthread_mutex_unlock(&sink->lock);
	if (sink->notices != NULL)
		notices_add(sink->notices, NOTICE_ERROR, "an alert went to the dead letters: %s",
			    outcome->text);
	return true;
}

/* Draws the consequences of an attempt that did not succeed. */
static void handle_failure(struct sink_redis *sink, struct redis_link *link,
			   const struct outcome *outcome)
{
	enum redis_reply_class class = outcome->class;

	if (class == REDIS_CLASS_FATAL_ALERT) {
		/* Redis hung up on the alert: the link is gone, but not in doubt. */
		if (outcome->failure != REDIS_FINE)
			redis_topology_drop(sink->topology, link);
		if (outcome->culprit > 0) {
			/* Those in front of it go first, then it stands alone. */
			sink->batch_limit = outcome->culprit;
			return;
		}
		if (bury(sink, outcome))
			return;
		class = REDIS_CLASS_FATAL_CONFIG;
	}
	if (outcome->failure != REDIS_FINE || class == REDIS_CLASS_ELSEWHERE ||
	    class == REDIS_CLASS_FATAL_CONFIG)
		redis_topology_drop(sink->topology, link);
	if (outcome->failure == REDIS_CANCELLED && closing_now(sink))
		return;
	bool config = class == REDIS_CLASS_FATAL_CONFIG;
	set_state(sink, config ? SINK_REDIS_MISCONFIGURED : SINK_REDIS_RETRYING, outcome->text);
	pause_after_failure(sink, config);
}

/* Follows MOVED or ASK, a few times, until the batch is answered otherwise. */
static struct outcome send_following(struct sink_redis *sink, struct redis_link **link)
{
	struct span key = span_str(sink->alerts_key);
	struct outcome outcome = send_batch(sink, *link, false);
	struct redis_error error = {.failure = REDIS_FINE};

	for (unsigned i = 0; i < REDIRECTS_IN_A_ROW && outcome.failure == REDIS_FINE; i++) {
		bool ask = outcome.class == REDIS_CLASS_ASK;
		if (!ask && outcome.class != REDIS_CLASS_MOVED)
			return outcome;
		pthread_mutex_lock(&sink->lock);
		sink->stats.redirects++;
		pthread_mutex_unlock(&sink->lock);
		struct span text = span_str(outcome.text);
		if (!ask)
			(void)redis_topology_moved(sink->topology, text);
		*link = ask ? redis_topology_ask(sink->topology, text, &error)
			    : redis_topology_link(sink->topology, key, &error);
		if (*link == NULL)
			return outcome_of(&error);
		outcome = send_batch(sink, *link, ask);
	}
	return outcome;
}

/* One batch. False when there was none. */
static bool deliver_alerts(struct sink_redis *sink)
{
	struct redis_error error;

	outbox_read(sink->outbox, &sink->batch, sink->batch_limit);
	if (sink->batch.count == 0)
		return false;
	struct redis_link *link =
	    redis_topology_link(sink->topology, span_str(sink->alerts_key), &error);
	struct outcome outcome = link == NULL ? outcome_of(&error) : send_following(sink, &link);
	if (outcome.done > 0 && sink->config.wait_replicas > 0) {
		struct outcome waited = wait_for_replicas(sink, link);
		if (waited.class != REDIS_CLASS_GOOD) {
			outcome = waited;
			outcome.done = 0;
		}
	}
	acknowledge(sink, outcome.done);
	if (outcome.class == REDIS_CLASS_GOOD) {
		sink->failures_in_a_row = 0;
		sink->batch_limit = sink->config.batch_alerts;
		set_state(sink, SINK_REDIS_DELIVERING, "");
		return true;
	}
	/* The rest of the batch is read again, with the culprit at its new place. */
	if (outcome.done > 0 && outcome.culprit >= outcome.done)
		sink->batch_limit =
		    outcome.culprit - outcome.done > 0 ? outcome.culprit - outcome.done : 1;
	else
		handle_failure(sink, link, &outcome);
	return true;
}

/* Fills flight from the queue. */
static void take_sessions(struct sink_redis *sink)
{
	pthread_mutex_lock(&sink->lock);
	while (sink->flight_count < SESSION_BATCH) {
		struct outbox_item *item = outbox_queue_take_first(&sink->sessions);
		if (item == NULL)
			break;
		sink->flight[sink->flight_count++] = item;
	}
	pthread_mutex_unlock(&sink->lock);
}

static bool append_session(const struct sink_redis *sink, struct redis_link *link,
			   const struct outbox_item *item)
{
	struct outbox_record record;
	size_t size;

	if (outbox_record_decode(span_of(item->bytes, item->size), &record, &size) != PARSE_DONE)
		return false;
	const struct span words[] = {
	    span_str("XADD"),   span_str(sink->sessions_key),  span_str("MAXLEN"),
	    span_str("~"),      span_str(sink->max_entries),   span_str("*"),
	    span_str("sensor"), span_str(sink->config.sensor), span_str("json"),
	    record.json,
	};
	return redis_link_append(link, words, sizeof(words) / sizeof(words[0]));
}

/* Forgets the first count records in flight. */
static void land_sessions(struct sink_redis *sink, size_t count, bool delivered)
{
	for (size_t i = 0; i < count; i++)
		free(sink->flight[i]);
	sink->flight_count -= count;
	memmove(sink->flight, sink->flight + count, sink->flight_count * sizeof(sink->flight[0]));
	pthread_mutex_lock(&sink->lock);
	if (delivered)
		sink->stats.sessions_delivered += count;
	else
		sink->stats.sessions_dropped += count;
	pthread_mutex_unlock(&sink->lock);
}

static struct outcome send_sessions(struct sink_redis *sink, struct redis_link *link)
{
	struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
	struct outcome outcome = {.class = REDIS_CLASS_GOOD};

	for (size_t i = 0; i < sink->flight_count; i++)
		if (!append_session(sink, link, sink->flight[i]))
			return outcome_of(&error);
	if (!redis_link_flush(link, &error))
		return outcome_of(&error);
	for (size_t i = 0; i < sink->flight_count; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		if (reply == NULL) {
			size_t done = outcome.done;
			outcome = outcome_of(&error);
			outcome.done = done;
			return outcome;
		}
		if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			note_error(&outcome, reply, i);
		else if (outcome.class == REDIS_CLASS_GOOD)
			outcome.done++;
		redis_reply_free(reply);
	}
	return outcome;
}

/* One pipeline of session records. False when there were none. */
static bool deliver_sessions(struct sink_redis *sink)
{
	struct redis_error error;

	take_sessions(sink);
	if (sink->flight_count == 0)
		return false;
	struct redis_link *link =
	    redis_topology_link(sink->topology, span_str(sink->sessions_key), &error);
	struct outcome outcome = link == NULL ? outcome_of(&error) : send_sessions(sink, link);
	land_sessions(sink, outcome.done, true);
	if (outcome.class == REDIS_CLASS_GOOD) {
		sink->failures_in_a_row = 0;
		set_state(sink, SINK_REDIS_DELIVERING, "");
		return true;
	}
	if (outcome.class == REDIS_CLASS_MOVED)
		(void)redis_topology_moved(sink->topology, span_str(outcome.text));
	else if (outcome.class == REDIS_CLASS_FATAL_ALERT && outcome.failure == REDIS_FINE)
		land_sessions(sink, 1, false);
	else
		handle_failure(sink, link, &outcome);
	return true;
}

/* What the caller told, the time, and what is known here. */
static void fill_heartbeat(struct sink_redis *sink, struct heartbeat *beat)
{
	struct outbox_stats outbox = outbox_stats(sink->outbox);
	struct timespec now;

	pthread_mutex_lock(&sink->lock);
	sink->stats.connections = redis_topology_connections(sink->topology);
	struct sink_redis_stats redis = sink->stats;
	*beat = sink->told;
	pthread_mutex_unlock(&sink->lock);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)heartbeat_add_time(beat, span_str("time"),
				 (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
#define HEARTBEAT_DELIVERY(name, source, meaning)                                                  \
	(void)heartbeat_add_number(beat, span_str(#name), source);
#include "alerts/heartbeat.def"
}

/* HSET with all fields. False: no memory. */
static bool append_heartbeat(const struct sink_redis *sink, struct redis_link *link,
			     const struct heartbeat *beat)
{
	struct span words[2 + 2 * HEARTBEAT_FIELDS_MAX] = {span_str("HSET"),
							   span_str(sink->sensor_key)};

	heartbeat_words(beat, words + 2);
	return redis_link_append(link, words, 2 + 2 * beat->count);
}

/* Sends the heartbeat as a transaction, so that it cannot stay without an end. */
static bool send_heartbeat(struct sink_redis *sink)
{
	struct heartbeat beat;
	char seconds[NUMBER_SIZE];
	const char *const expire[] = {"EXPIRE", sink->sensor_key, seconds};
	struct redis_error error;
	struct outcome outcome = {.class = REDIS_CLASS_GOOD};

	struct redis_link *link =
	    redis_topology_link(sink->topology, span_str(sink->sensor_key), &error);
	if (link == NULL)
		return false;
	fill_heartbeat(sink, &beat);
	(void)snprintf(seconds, sizeof(seconds), "%u", sink->config.heartbeat_s * 3);
	bool sent = append_word(link, "MULTI") && append_heartbeat(sink, link, &beat) &&
		    append_words(link, expire, 3) && append_word(link, "EXEC") &&
		    redis_link_flush(link, &error);
	for (size_t i = 0; sent && i < 4; i++) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		sent = reply != NULL;
		if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			note_error(&outcome, reply, 0);
		redis_reply_free(reply);
	}
	if (!sent)
		redis_topology_drop(sink->topology, link);
	else if (outcome.class == REDIS_CLASS_MOVED)
		(void)redis_topology_moved(sink->topology, span_str(outcome.text));
	else if (outcome.class == REDIS_CLASS_ELSEWHERE)
		redis_topology_drop(sink->topology, link);
	bool good = sent && outcome.class == REDIS_CLASS_GOOD;
	pthread_mutex_lock(&sink->lock);
	sink->stats.heartbeats += good;
	pthread_mutex_unlock(&sink->lock);
	if (good && outbox_stats(sink->outbox).pending == 0)
		set_state(sink, SINK_REDIS_DELIVERING, "");
	return good;
}

/* A heart beats once it was told what to say. */
static bool has_heartbeat(struct sink_redis *sink)
{
	pthread_mutex_lock(&sink->lock);
	bool told = sink->told.count > 0;
	pthread_mutex_unlock(&sink->lock);
	return told && sink->config.heartbeat_s > 0;
}

/* What is due by the clock. */
static void tick(struct sink_redis *sink)
{
	int64_t now = now_ms();

	if (now >= sink->next_check_ms) {
		sink->next_check_ms = now + MASTER_CHECK_MS;
		(void)redis_topology_check(sink->topology);
	}
	if (has_heartbeat(sink) && now >= sink->next_heartbeat_ms) {
		sink->next_heartbeat_ms = now + (int64_t)sink->config.heartbeat_s * 1000;
		(void)send_heartbeat(sink);
	}
}

/* Waits for alerts, sessions, the end, or what is due next. */
static void wait_for_work(struct sink_redis *sink)
{
	struct pollfd fds[3] = {
	    {.fd = outbox_wake_fd(sink->outbox), .events = POLLIN},
	    {.fd = sink->wake_fd, .events = POLLIN},
	    {.fd = sink->cancel_fd, .events = POLLIN},
	};
	int64_t due = sink->next_check_ms;
	uint64_t ignored;

	if (has_heartbeat(sink) && sink->next_heartbeat_ms < due)
		due = sink->next_heartbeat_ms;
	int64_t left = due - now_ms();
	(void)poll(fds, 3, left < 0 ? 0 : (int)left);
	(void)!read(sink->wake_fd, &ignored, sizeof(ignored));
}

/* Is there nothing left to do, or no time left to do it? */
static bool is_over(struct sink_redis *sink, bool idle)
{
	pthread_mutex_lock(&sink->lock);
	bool over = sink->closing && (idle || now_ms() >= sink->drain_until_ms);
	pthread_mutex_unlock(&sink->lock);
	return over;
}

static void *run_sink(void *argument)
{
	struct sink_redis *sink = argument;
	bool idle = false;

	while (!is_over(sink, idle)) {
		if (idle)
			wait_for_work(sink);
		tick(sink);
		bool alerts = deliver_alerts(sink);
		/* Alerts first: sessions move only when no alert waits. */
		bool sessions = !alerts && deliver_sessions(sink);
		idle = !alerts && !sessions;
		/* At the end there may be alerts that the outbox has not written yet. */
		if (idle && outbox_stats(sink->outbox).pending > 0) {
			struct pollfd wait = {.fd = outbox_wake_fd(sink->outbox), .events = POLLIN};
			(void)poll(&wait, 1, 20);
			idle = false;
		}
	}
	/* The last word of a sensor that ends: what it has counted. */
	if (has_heartbeat(sink) && !closing_now(sink))
		(void)send_heartbeat(sink);
	pthread_mutex_lock(&sink->lock);
	sink->ended = true;
	pthread_cond_signal(&sink->finished);
	pthread_mutex_unlock(&sink->lock);
	return NULL;
}

static void free_sink(struct sink_redis *sink)
{
	redis_topology_free(sink->topology);
	outbox_batch_free(&sink->batch);
	outbox_queue_clear(&sink->sessions);
	for (size_t i = 0; i < sink->flight_count; i++)
		free(sink->flight[i]);
	if (sink->wake_fd >= 0)
		(void)close(sink->wake_fd);
	if (sink->cancel_fd >= 0)
		(void)close(sink->cancel_fd);
	pthread_cond_destroy(&sink->finished);
	pthread_mutex_destroy(&sink->lock);
	free(sink);
}

static int start_thread(struct sink_redis *sink)
{
	sigset_t all;
	sigset_t before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&sink->thread, NULL, run_sink, sink);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct sink_redis *sink_redis_new(const struct sink_redis_config *config, struct outbox *outbox,
				  struct notices *notices)
{
	struct sink_redis *sink = calloc(1, sizeof(*sink));
	pthread_condattr_t monotonic;

	if (sink == NULL)
		return NULL;
	sink->config = *config;
	sink->outbox = outbox;
	sink->notices = notices;
	sink->batch_limit = config->batch_alerts;
	sink->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sink->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&sink->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&sink->finished, &monotonic);
	pthread_condattr_destroy(&monotonic);
	outbox_queue_init(&sink->sessions, config->session_queue_bytes);
	(void)snprintf(sink->alerts_key, KEY_SIZE, "%salerts", config->prefix);
	(void)snprintf(sink->sessions_key, KEY_SIZE, "%ssessions", config->prefix);
	(void)snprintf(sink->sensor_key, KEY_SIZE, "%ssensor:%s", config->prefix, config->sensor);
	(void)snprintf(sink->max_entries, NUMBER_SIZE, "%llu",
		       (unsigned long long)config->max_entries);
	/* xorshift stands still at 0. */
	if (getrandom(&sink->random, sizeof(sink->random), GRND_NONBLOCK) < 0 || sink->random == 0)
		sink->random = (uint64_t)now_ms() | 1;

	struct redis_topology_config topology = config->topology;
	topology.link.cancel_fd = sink->cancel_fd;
	sink->topology = redis_topology_new(config->url, &topology);
	if (sink->topology == NULL || sink->wake_fd < 0 || sink->cancel_fd < 0 ||
	    !outbox_batch_init(&sink->batch, config->batch_alerts, config->batch_bytes) ||
	    start_thread(sink) != 0) {
		free_sink(sink);
		return NULL;
	}
	return sink;
}

static void wake(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

uint64_t sink_redis_close(struct sink_redis *sink, unsigned drain_ms)
{
	int64_t until = now_ms() + drain_ms;
	struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};

	pthread_mutex_lock(&sink->lock);
	sink->closing = true;
	sink->drain_until_ms = until;
	wake(sink->wake_fd);
	while (!sink->ended && pthread_cond_timedwait(&sink->finished, &sink->lock, &at) == 0)
		;
	pthread_mutex_unlock(&sink->lock);
	wake(sink->cancel_fd);
	(void)pthread_join(sink->thread, NULL);
	uint64_t left =
	    outbox_stats(sink->outbox).pending + sink->sessions.count + sink->flight_count;
	free_sink(sink);
	return left;
}

bool sink_redis_session(struct sink_redis *sink, struct span json)
{
	struct outbox_record record = {.json = json};

	if (outbox_record_size(&record) == 0)
		return false;
	pthread_mutex_lock(&sink->lock);
	uint64_t before = sink->sessions.dropped[0];
	record.sequence = sink->next_session++;
	(void)outbox_queue_push(&sink->sessions, &record);
	uint64_t dropped = sink->sessions.dropped[0] - before;
	sink->stats.sessions_dropped += dropped;
	pthread_mutex_unlock(&sink->lock);
	wake(sink->wake_fd);
	return dropped == 0;
}

void sink_redis_set_heartbeat(struct sink_redis *sink, const struct heartbeat *told)
{
	pthread_mutex_lock(&sink->lock);
	bool first = sink->told.count == 0;
	sink->told = *told;
	pthread_mutex_unlock(&sink->lock);
	if (first)
		wake(sink->wake_fd);
}

struct sink_redis_stats sink_redis_stats(struct sink_redis *sink)
{
	pthread_mutex_lock(&sink->lock);
	struct sink_redis_stats stats = sink->stats;
	pthread_mutex_unlock(&sink->lock);
	return stats;
}
