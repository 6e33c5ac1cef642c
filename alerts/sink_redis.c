/* SPDX-License-Identifier: Apache-2.0 */
/* The sink's thread, and what the rest of the program sees of it. */
#include "alerts/clock.h"
#include "alerts/redis_heartbeat.h"
#include "alerts/sink_redis_state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MASTER_CHECK_MS 10000

/* What the caller told, the time, and what is known here. */
static void fill_heartbeat(struct sink_redis *sink, struct heartbeat *beat)
{
	struct outbox_stats outbox = outbox_stats(sink->outbox);

	pthread_mutex_lock(&sink->lock);
	sink->stats.connections = redis_topology_connections(sink->topology);
	struct sink_redis_stats redis = sink->stats;
	*beat = sink->told;
	pthread_mutex_unlock(&sink->lock);
	(void)heartbeat_add_time(beat, span_str("time"), clock_now_ns(CLOCK_REALTIME));
#define HEARTBEAT_DELIVERY(name, source, meaning)                                                  \
	(void)heartbeat_add_number(beat, span_str(#name), source);
#include "alerts/heartbeat.def"
}

/* A Redis that cannot be reached is said at once: a quiet sensor may have no alert for days. */
static void tell_unreachable(struct sink_redis *sink, const struct redis_outcome *outcome)
{
	if (outcome->failure == REDIS_CANCELLED)
		return;
	sink_redis_set_state(sink,
			     outcome->class == REDIS_CLASS_FATAL_CONFIG ? SINK_REDIS_MISCONFIGURED
									: SINK_REDIS_RETRYING,
			     outcome->text);
}

static void send_heartbeat(struct sink_redis *sink)
{
	struct heartbeat beat;
	struct redis_error error;

	struct redis_link *link =
	    redis_topology_link(sink->topology, span_str(sink->sensor_key), &error);
	if (link == NULL) {
		struct redis_outcome unreached = redis_outcome_of(&error);
		tell_unreachable(sink, &unreached);
		return;
	}
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
		sink_redis_set_state(sink, SINK_REDIS_DELIVERING, "");
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
	int64_t now = clock_monotonic_ms();
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
	int64_t left = sink->next_due_ms - clock_monotonic_ms();

	(void)poll(fds, 3, left < 0 ? 0 : (int)left);
	(void)!read(sink->wake_fd, &ignored, sizeof(ignored));
}

/* Is there nothing left to do, or no time left to do it? */
static bool is_over(struct sink_redis *sink, bool idle)
{
	pthread_mutex_lock(&sink->lock);
	bool over = sink->closing && (idle || clock_monotonic_ms() >= sink->drain_until_ms);
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
		bool alerts = sink_redis_deliver_alerts(sink);
		/* Alerts first: sessions move only when no alert waits. */
		bool sessions = !alerts && sink_redis_deliver_sessions(sink);
		idle = !alerts && !sessions;
		/* At the end there may be alerts that the outbox has not written yet. */
		if (idle && outbox_stats(sink->outbox).pending > 0) {
			struct pollfd wait = {.fd = outbox_wake_fd(sink->outbox), .events = POLLIN};
			(void)poll(&wait, 1, 20);
			idle = false;
		}
	}
	/* The last word of a sensor that ends: what it has counted. */
	if (has_heartbeat(sink) && !sink_redis_is_over_time(sink))
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

uint64_t sink_redis_close(struct sink_redis *sink, unsigned drain_ms, struct sink_redis_stats *last)
{
	int64_t until = clock_monotonic_ms() + drain_ms;
	struct timespec at = clock_time_of_ms(until);

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
	*last = sink->stats;
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
