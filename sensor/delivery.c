/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/delivery.h"

#include "alerts/outbox.h"
#include "sensor/limits.h"
#include "sensor/redis_setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(SEVERITY_COUNT == OUTBOX_SEVERITIES, "one chain of segments per severity");

struct delivery {
	struct sink sink;
	const struct log *log;
	bool sessions, durable; /* records are delivered as well; the outbox is a directory */
	struct redis_setup setup;
	struct notices notices;
	struct outbox *outbox;
	struct sink_redis *redis;
};

static struct delivery *delivery_of(struct sink *sink)
{
	return (struct delivery *)sink;
}

/* Logs what the threads of outbox and sink had to say. */
static void log_notices(struct delivery *d)
{
	static const enum log_level levels[] = {
	    [NOTICE_ERROR] = LOG_ERROR, [NOTICE_WARNING] = LOG_WARNING, [NOTICE_INFO] = LOG_INFO};
	struct notice notice;

	while (notices_take(&d->notices, &notice))
		log_line(d->log, levels[notice.level], "%s", notice.text);
}

static void note_failure(struct delivery *d, const char *what)
{
	d->sink.refused++;
	if (!d->sink.failed)
		(void)snprintf(d->sink.error, sizeof(d->sink.error), "Redis: %s", what);
	d->sink.failed = true;
}

static bool delivery_alert(struct sink *sink, const struct sink_alert *alert)
{
	struct delivery *d = delivery_of(sink);
	const struct outbox_record record = {
	    .severity = (unsigned)alert->severity,
	    .id = alert->id,
	    .rule = span_str(rule_info(alert->rule)->id),
	    .sensor = alert->sensor,
	    .json = alert->json,
	};

	switch (outbox_put(d->outbox, &record)) {
	case OUTBOX_TAKEN:
		return true;
	case OUTBOX_FULL:
		note_failure(d, "an alert was lost, the outbox is full");
		return false;
	case OUTBOX_TOO_LARGE:
		note_failure(d, "an alert was lost, it is longer than the outbox takes");
		return false;
	}
	return false;
}

static bool delivery_session(struct sink *sink, struct span json)
{
	struct delivery *d = delivery_of(sink);

	if (!d->sessions || sink_redis_session(d->redis, json))
		return true;
	note_failure(d, "session records were lost, too many were waiting");
	return false;
}

static bool delivery_flush(struct sink *sink)
{
	log_notices(delivery_of(sink));
	return true;
}

/* No file of it is read by others: nothing to open anew. */
static bool delivery_reopen(struct sink *sink)
{
	(void)sink;
	return true;
}

static void free_delivery(struct delivery *d)
{
	outbox_close(d->outbox);
	redis_setup_close(&d->setup);
	notices_destroy(&d->notices);
	free(d);
}

/* Says what was lost for good. */
static bool report_losses(const struct delivery *d, const struct outbox_stats *stats)
{
	uint64_t dropped = 0;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		dropped += stats->dropped[i];
	dropped += stats->expired + stats->too_large + stats->corrupt_records;
	if (dropped > 0)
		log_line(d->log, LOG_ERROR, "outbox: %" PRIu64 " %s lost", dropped,
			 dropped == 1 ? "alert was" : "alerts were");
	if (stats->dead_letters > 0)
		log_line(d->log, LOG_ERROR, "Redis: %" PRIu64 " %s refused for good",
			 stats->dead_letters,
			 stats->dead_letters == 1 ? "alert was" : "alerts were");
	return dropped == 0 && stats->dead_letters == 0;
}

/* Why not everything was delivered. A quiet sensor has not shown the warnings that said so. */
static const char *cause_of(const struct sink_redis_stats *last)
{
	bool failing =
	    last->state == SINK_REDIS_RETRYING || last->state == SINK_REDIS_MISCONFIGURED;

	return failing && last->last_error[0] != '\0' ? last->last_error : "no answer in time";
}

static bool delivery_close(struct sink *sink, char *error, size_t error_size)
{
	struct delivery *d = delivery_of(sink);
	char place[REDIS_HOST_MAX * 2 + 64];

	struct sink_redis_stats last;
	uint64_t left = sink_redis_close(d->redis, LIMIT_REDIS_DRAIN_MS, &last);
	struct outbox_stats stats = outbox_stats(d->outbox);
	log_notices(d);
	bool complete = report_losses(d, &stats);
	if (left > 0)
		log_line(d->log, LOG_ERROR, "%s: %" PRIu64 " alert%s or record%s not delivered%s",
			 redis_url_describe(&d->setup.url, place, sizeof(place)), left,
			 left == 1 ? "" : "s", left == 1 ? "" : "s",
			 d->durable && stats.pending > 0 && !stats.degraded
			     ? ", alerts wait in the outbox"
			     : "");
	bool good = complete && left == 0 && !sink->failed;
	(void)snprintf(error, error_size, "%s%s%s",
		       sink->failed ? sink->error : "Redis: not everything was delivered",
		       left > 0 ? ": " : "", left > 0 ? cause_of(&last) : "");
	free_delivery(d);
	return good;
}

static const struct sink_ops delivery_ops = {
    .alert = delivery_alert,
    .session = delivery_session,
    .flush = delivery_flush,
    .reopen = delivery_reopen,
    .close = delivery_close,
};

static struct outbox *open_outbox(struct delivery *d, const struct options *options, bool wait,
				  char error[SINK_ERROR_MAX])
{
	const struct outbox_config config = {
	    .directory = options->outbox,
	    .queue_bytes = LIMIT_OUTBOX_QUEUE,
	    .disk_bytes = LIMIT_OUTBOX_BYTES,
	    .segment_bytes = LIMIT_OUTBOX_SEGMENT,
	    .max_segments = LIMIT_OUTBOX_SEGMENTS,
	    .max_record_bytes = LIMIT_OUTBOX_RECORD,
	    .dead_letter_bytes = LIMIT_DEAD_LETTERS,
	    .max_age_s = LIMIT_OUTBOX_AGE_S,
	    .sync_ms = LIMIT_OUTBOX_SYNC_MS,
	    .put_wait_ms = wait ? LIMIT_OUTBOX_WAIT_MS : 0,
	};

	return outbox_open(&config, &d->notices, error, SINK_ERROR_MAX);
}

static struct sink_redis *open_redis(struct delivery *d, const struct options *options)
{
	const struct sink_redis_config config = {
	    .url = &d->setup.url,
	    .topology = redis_setup_topology(&d->setup),
	    .prefix = options->redis_prefix,
	    .sensor = options->sensor,
	    .max_entries = options->redis_maxlen,
	    .publish = options->redis_publish,
	    .wait_replicas = (unsigned)options->redis_wait,
	    .wait_ms = LIMIT_REDIS_WAIT_MS,
	    .batch_alerts = LIMIT_REDIS_BATCH,
	    .batch_bytes = LIMIT_REDIS_BATCH_BYTES,
	    .session_queue_bytes = LIMIT_REDIS_SESSIONS,
	    .pause_min_ms = LIMIT_REDIS_PAUSE_MIN_MS,
	    .pause_max_ms = LIMIT_REDIS_PAUSE_MAX_MS,
	    .heartbeat_s = LIMIT_REDIS_HEARTBEAT_S,
	};

	return sink_redis_new(&config, d->outbox, &d->notices);
}

struct sink *delivery_open(const struct options *options, bool wait, const struct log *log,
			   char error[SINK_ERROR_MAX])
{
	struct delivery *d = calloc(1, sizeof(*d));

	(void)snprintf(error, SINK_ERROR_MAX, "Redis: out of memory or threads");
	if (d == NULL)
		return NULL;
	d->sink.ops = &delivery_ops;
	d->log = log;
	d->sessions = options->redis_sessions;
	d->durable = options->outbox != NULL;
	notices_init(&d->notices);
	if (!redis_setup_open(&d->setup, options, error, SINK_ERROR_MAX) ||
	    (d->outbox = open_outbox(d, options, wait, error)) == NULL ||
	    (d->redis = open_redis(d, options)) == NULL) {
		free_delivery(d);
		return NULL;
	}
	return &d->sink;
}

void delivery_set_heartbeat(struct sink *sink, const struct heartbeat *told)
{
	sink_redis_set_heartbeat(delivery_of(sink)->redis, told);
}
