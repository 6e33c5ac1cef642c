/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/sink_redis.h"

#include "alerts/backoff.h"
#include "alerts/outbox_queue.h"
#include "alerts/redis_batch.h"
#include "alerts/redis_heartbeat.h"
#include "alerts/redis_sessions.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define REDIRECTS_IN_A_ROW 5  /* then the map of slots is not stable: wait */
#define DEAD_IN_A_ROW      16 /* then it is not the alerts that are wrong: keep them */
#define MASTER_CHECK_MS    10000
#define KEY_SIZE           320
#define NUMBER_SIZE        24

struct sink_redis {
	struct sink_redis_config config;
	struct outbox *outbox;
	struct notices *notices;
	struct redis_topology *topology;
	struct redis_batch_form alert_form;
	struct redis_session_form session_form;
	struct outbox_batch batch; /* the oldest alerts */
	struct redis_link *queued; /* where batch is queued at the server already, or NULL */
	struct outbox_batch next;  /* the alerts behind batch, read ahead */
	struct redis_link *ahead;  /* where next is queued, or NULL: next holds nothing */
	size_t batch_limit;        /* shrinks to isolate an alert that Redis does not take */
	char alerts_key[KEY_SIZE];
	char sessions_key[KEY_SIZE];
	char sensor_key[KEY_SIZE];
	char max_entries[NUMBER_SIZE];
	struct backoff backoff;
	unsigned dead_in_a_row;
	int64_t next_heartbeat_ms;
	int64_t next_check_ms;
	int64_t next_due_ms; /* the sooner of the two */
	struct redis_sessions flight;

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

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
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
static struct redis_outcome wait_for_replicas(struct sink_redis *sink, struct redis_link *link)
{
	char replicas[NUMBER_SIZE];
	char timeout[NUMBER_SIZE];
	const char *const words[] = {"WAIT", replicas, timeout};

	(void)snprintf(replicas, sizeof(replicas), "%u", sink->config.wait_replicas);
	(void)snprintf(timeout, sizeof(timeout), "%u", sink->config.wait_ms);
	for (;;) {
		struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
		struct redis_outcome outcome = {.class = REDIS_CLASS_GOOD};
		struct redis_reply *reply = NULL;
		if (redis_link_append_text(link, words, 3) && redis_link_flush(link, &error))
			reply = redis_link_reply(link, sink->config.wait_ms, &error);
		if (reply == NULL)
			return redis_outcome_of(&error);
		if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
			redis_outcome_note(&outcome, reply, 0);
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
			return (struct redis_outcome){.class = REDIS_CLASS_RETRY,
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

/* Sleeps, but not beyond the end. */
static void pause_after_failure(struct sink_redis *sink, bool longest)
{
	struct pollfd fds[1] = {{.fd = sink->cancel_fd, .events = POLLIN}};
	unsigned pause_ms = backoff_next(&sink->backoff);
	int64_t until = now_ms() + (longest ? sink->config.pause_max_ms : pause_ms);

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
static bool bury(struct sink_redis *sink, const struct redis_outcome *outcome)
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
			   const struct redis_outcome *outcome)
{
	enum redis_reply_class class = outcome->class;

	if (class == REDIS_CLASS_FATAL_ALERT) {
		if (outcome->culprit > 0) {
			/* Those in front of it go first, then it stands alone. */
			sink->batch_limit = outcome->culprit;
			return;
		}
		if (bury(sink, outcome))
			return;
		class = REDIS_CLASS_FATAL_CONFIG;
	}
	if (class == REDIS_CLASS_ELSEWHERE || class == REDIS_CLASS_FATAL_CONFIG)
		redis_topology_drop(sink->topology, link);
	if (outcome->failure == REDIS_CANCELLED && closing_now(sink))
		return;
	bool config = class == REDIS_CLASS_FATAL_CONFIG;
	set_state(sink, config ? SINK_REDIS_MISCONFIGURED : SINK_REDIS_RETRYING, outcome->text);
	pause_after_failure(sink, config);
}

/*
 * The next batch may travel while this one is executed: unless a single alert is being
 * looked for, or something else has to use the link next.
 */
static bool may_read_ahead(const struct sink_redis *sink)
{
	return sink->config.wait_replicas == 0 && sink->batch_limit == sink->config.batch_alerts &&
	       now_ms() < sink->next_due_ms;
}

/* Queues the next alerts at the server, if there are any. False: the link is broken. */
static bool queue_ahead(struct sink_redis *sink, struct redis_link *link, struct redis_error *error)
{
	outbox_read(sink->outbox, &sink->next, sink->batch_limit, &sink->batch);
	if (sink->next.count == 0)
		return true;
	*error = (struct redis_error){.failure = REDIS_NO_MEMORY};
	bool good = redis_batch_queue(&sink->alert_form, link, &sink->next, false) &&
		    redis_link_flush(link, error);
	sink->ahead = good ? link : NULL;
	return good;
}

/* The batch in front failed: what was queued behind it must not be executed before it. */
static void take_back(struct sink_redis *sink, struct redis_outcome *outcome)
{
	struct redis_error error;

	if (outcome->failure == REDIS_FINE &&
	    !redis_batch_discard(&sink->alert_form, sink->ahead, &sink->next, &error))
		outcome->failure = error.failure;
	sink->ahead = NULL;
}

/* Sends the batch as one transaction, unless it is queued already, and reads all replies. */
static struct redis_outcome send_batch(struct sink_redis *sink, struct redis_link *link,
				       bool asking)
{
	const struct redis_batch_form *form = &sink->alert_form;
	struct redis_error error = {.failure = REDIS_NO_MEMORY, .text = "out of memory"};
	bool queued = sink->queued != NULL;

	sink->queued = NULL;
	bool sent = (queued || redis_batch_queue(form, link, &sink->batch, asking)) &&
		    redis_batch_execute(link) && redis_link_flush(link, &error);
	/* What broke the pipe may be waiting to be read: "Protocol error". */
	if (!sent && error.failure != REDIS_CLOSED)
		return redis_outcome_of(&error);
	bool broken = sent && !asking && may_read_ahead(sink) && !queue_ahead(sink, link, &error);
	struct redis_outcome outcome = redis_batch_read(form, link, &sink->batch, asking);
	/* Half a command may be on its way: nothing else must follow it. */
	if (broken && outcome.failure == REDIS_FINE)
		outcome.failure = error.failure;
	if (sink->ahead != NULL &&
	    (outcome.class != REDIS_CLASS_GOOD || outcome.failure != REDIS_FINE))
		take_back(sink, &outcome);
	return outcome;
}

/* Follows MOVED or ASK, a few times, until the batch is answered otherwise. */
static struct redis_outcome send_following(struct sink_redis *sink, struct redis_link **link)
{
	struct span key = span_str(sink->alerts_key);
	struct redis_outcome outcome = send_batch(sink, *link, false);
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
			return redis_outcome_of(&error);
		outcome = send_batch(sink, *link, ask);
	}
	return outcome;
}

/* The batch is through: the one behind it, if it is under way, comes next. */
static void advance(struct sink_redis *sink)
{
	struct outbox_batch done = sink->batch;

	if (sink->ahead == NULL)
		return;
	sink->batch = sink->next;
	sink->next = done;
	sink->queued = sink->ahead;
	sink->ahead = NULL;
}

/* One batch. False when there was none. */
static bool deliver_alerts(struct sink_redis *sink)
{
	struct redis_error error;
	struct redis_link *link = sink->queued;

	if (link == NULL) {
		outbox_read(sink->outbox, &sink->batch, sink->batch_limit, NULL);
		if (sink->batch.count == 0)
			return false;
		link = redis_topology_link(sink->topology, span_str(sink->alerts_key), &error);
	}
	struct redis_outcome outcome =
	    link == NULL ? redis_outcome_of(&error) : send_following(sink, &link);
	if (outcome.done > 0 && sink->config.wait_replicas > 0) {
		struct redis_outcome waited = wait_for_replicas(sink, link);
		if (waited.class != REDIS_CLASS_GOOD) {
			outcome = waited;
			outcome.done = 0;
		}
	}
	acknowledge(sink, outcome.done);
	/* Whatever became of the alerts: nothing else may go over a broken link. */
	if (outcome.failure != REDIS_FINE)
		redis_topology_drop(sink->topology, link);
	if (outcome.class == REDIS_CLASS_GOOD) {
		backoff_reset(&sink->backoff);
		sink->batch_limit = sink->config.batch_alerts;
		set_state(sink, SINK_REDIS_DELIVERING, "");
		advance(sink);
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

/* The first count session records are done with. */
static void land_sessions(struct sink_redis *sink, size_t count, bool delivered)
{
	redis_sessions_forget(&sink->flight, count);
	pthread_mutex_lock(&sink->lock);
	if (delivered)
		sink->stats.sessions_delivered += count;
	else
		sink->stats.sessions_dropped += count;
	pthread_mutex_unlock(&sink->lock);
}

/* One pipeline of session records. False when there were none. */
static bool deliver_sessions(struct sink_redis *sink)
{
	struct redis_error error;

	pthread_mutex_lock(&sink->lock);
	redis_sessions_take(&sink->flight, &sink->sessions);
	pthread_mutex_unlock(&sink->lock);
	if (sink->flight.count == 0)
		return false;
	struct redis_link *link =
	    redis_topology_link(sink->topology, span_str(sink->sessions_key), &error);
	struct redis_outcome outcome =
	    link == NULL ? redis_outcome_of(&error)
			 : redis_sessions_send(&sink->flight, &sink->session_form, link);
	land_sessions(sink, outcome.done, true);
	if (outcome.failure != REDIS_FINE)
		redis_topology_drop(sink->topology, link);
	if (outcome.class == REDIS_CLASS_GOOD) {
		backoff_reset(&sink->backoff);
		set_state(sink, SINK_REDIS_DELIVERING, "");
		return true;
	}
	if (outcome.class == REDIS_CLASS_MOVED)
		(void)redis_topology_moved(sink->topology, span_str(outcome.text));
	else if (outcome.class == REDIS_CLASS_FATAL_ALERT)
		land_sessions(sink, 1, false); /* those in front of it are gone: it is the first */
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

static void send_heartbeat(struct sink_redis *sink)
{
	struct heartbeat beat;
	struct redis_error error;

	struct redis_link *link =
	    redis_topology_link(sink->topology, span_str(sink->sensor_key), &error);
	if (link == NULL)
		return;
	fill_heartbeat(sink, &beat);
	struct redis_outcome outcome =
	    redis_heartbeat_send(link, sink->sensor_key, &beat, sink->config.heartbeat_s * 3);
	if (outcome.class == REDIS_CLASS_MOVED && outcome.failure == REDIS_FINE)
		(void)redis_topology_moved(sink->topology, span_str(outcome.text));
	else if (outcome.failure != REDIS_FINE || outcome.class == REDIS_CLASS_ELSEWHERE)
		redis_topology_drop(sink->topology, link);
	if (outcome.class != REDIS_CLASS_GOOD)
		return;
	pthread_mutex_lock(&sink->lock);
	sink->stats.heartbeats++;
	pthread_mutex_unlock(&sink->lock);
	if (outbox_stats(sink->outbox).pending == 0)
		set_state(sink, SINK_REDIS_DELIVERING, "");
}

/* A heart beats once it was told what to say. */
static bool has_heartbeat(struct sink_redis *sink)
{
	pthread_mutex_lock(&sink->lock);
	bool told = sink->told.count > 0;
	pthread_mutex_unlock(&sink->lock);
	return told && sink->config.heartbeat_s > 0;
}

/* What is due by the clock. Needs links on which nothing is queued. */
static void tick(struct sink_redis *sink)
{
	int64_t now = now_ms();
	bool beats = has_heartbeat(sink);

	if (now >= sink->next_check_ms) {
		sink->next_check_ms = now + MASTER_CHECK_MS;
		(void)redis_topology_check(sink->topology);
	}
	if (beats && now >= sink->next_heartbeat_ms) {
		sink->next_heartbeat_ms = now + (int64_t)sink->config.heartbeat_s * 1000;
		send_heartbeat(sink);
	}
	sink->next_due_ms = beats && sink->next_heartbeat_ms < sink->next_check_ms
				? sink->next_heartbeat_ms
				: sink->next_check_ms;
}

/* Waits for alerts, sessions, the end, or what is due next. */
static void wait_for_work(struct sink_redis *sink)
{
	struct pollfd fds[3] = {
	    {.fd = outbox_wake_fd(sink->outbox), .events = POLLIN},
	    {.fd = sink->wake_fd, .events = POLLIN},
	    {.fd = sink->cancel_fd, .events = POLLIN},
	};
	uint64_t ignored;
	int64_t left = sink->next_due_ms - now_ms();

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
		if (sink->queued == NULL)
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
		send_heartbeat(sink);
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
	redis_sessions_forget(&sink->flight, sink->flight.count);
	outbox_batch_free(&sink->next);
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
	sink->alert_form = (struct redis_batch_form){
	    .key = sink->alerts_key, .max_entries = sink->max_entries, .publish = config->publish};
	sink->session_form = (struct redis_session_form){
	    .key = sink->sessions_key, .max_entries = sink->max_entries, .sensor = config->sensor};
	backoff_init(&sink->backoff, config->pause_min_ms, config->pause_max_ms);

	struct redis_topology_config topology = config->topology;
	topology.link.cancel_fd = sink->cancel_fd;
	sink->topology = redis_topology_new(config->url, &topology);
	if (sink->topology == NULL || sink->wake_fd < 0 || sink->cancel_fd < 0 ||
	    !outbox_batch_init(&sink->batch, config->batch_alerts, config->batch_bytes) ||
	    !outbox_batch_init(&sink->next, config->batch_alerts, config->batch_bytes) ||
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
	    outbox_stats(sink->outbox).pending + sink->sessions.count + sink->flight.count;
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
