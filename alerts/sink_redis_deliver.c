/* SPDX-License-Identifier: Apache-2.0 */
/* The sink's work: batches out of the outbox to Redis, and what follows from each answer. */
#include "alerts/clock.h"
#include "alerts/sink_redis_state.h"

#include <poll.h>
#include <stdio.h>

#define REDIRECTS_IN_A_ROW 5  /* then the map of slots is not stable: wait */
#define DEAD_IN_A_ROW      16 /* then it is not the alerts that are wrong: keep them */

bool sink_redis_is_over_time(struct sink_redis *sink)
{
	pthread_mutex_lock(&sink->lock);
	bool over = sink->closing && clock_monotonic_ms() >= sink->drain_until_ms;
	pthread_mutex_unlock(&sink->lock);
	return over;
}

void sink_redis_set_state(struct sink_redis *sink, enum sink_redis_state state, const char *text)
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
		sink_redis_set_state(sink, SINK_REDIS_RETRYING, "too few replicas have the alerts");
		if (sink_redis_is_over_time(sink) || !redis_topology_check(sink->topology))
			return (struct redis_outcome){.class = REDIS_CLASS_RETRY,
						      .failure = REDIS_CANCELLED,
						      .text = "too few replicas have the alerts"};
	}
}

/* A stream that grows without bound is worth a word, once; the alerts are there all the same. */
static void tell_trimming(struct sink_redis *sink, const struct redis_outcome *outcome)
{
	if (outcome->class != REDIS_CLASS_GOOD || outcome->untrimmed == sink->untrimmed)
		return;
	sink->untrimmed = outcome->untrimmed;
	if (outcome->untrimmed && sink->notices != NULL)
		notices_add(sink->notices, NOTICE_WARNING, "%s is not trimmed: %s",
			    sink->alerts_key, outcome->text);
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
	int64_t until = clock_monotonic_ms() + (longest ? sink->config.pause_max_ms : pause_ms);

	for (;;) {
		pthread_mutex_lock(&sink->lock);
		bool closing = sink->closing;
		int64_t end = sink->drain_until_ms;
		pthread_mutex_unlock(&sink->lock);
		/* With the end near a long pause would be the same as giving up. */
		int64_t stop = closing && end < until ? end : until;
		int64_t left = stop - clock_monotonic_ms();
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
	if (outcome->failure == REDIS_CANCELLED && sink_redis_is_over_time(sink))
		return;
	bool config = class == REDIS_CLASS_FATAL_CONFIG;
	sink_redis_set_state(sink, config ? SINK_REDIS_MISCONFIGURED : SINK_REDIS_RETRYING,
			     outcome->text);
	pause_after_failure(sink, config);
}

/*
 * The next batch may travel while this one is executed: unless a single alert is being
 * looked for, or something else has to use the link next.
 */
static bool may_read_ahead(const struct sink_redis *sink)
{
	return sink->config.wait_replicas == 0 && sink->batch_limit == sink->config.batch_alerts &&
	       clock_monotonic_ms() < sink->next_due_ms;
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
		    redis_batch_execute(form, link, asking) && redis_link_flush(link, &error);
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

bool sink_redis_deliver_alerts(struct sink_redis *sink)
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
		sink_redis_set_state(sink, SINK_REDIS_DELIVERING, "");
		tell_trimming(sink, &outcome);
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

bool sink_redis_deliver_sessions(struct sink_redis *sink)
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
		sink_redis_set_state(sink, SINK_REDIS_DELIVERING, "");
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
