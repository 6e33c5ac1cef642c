/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/sink_syslog.h"

#include "alerts/alert_format.h"
#include "alerts/clock.h"
#include "alerts/outbox_queue.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define RETRY_MS 1000
#define MESSAGE_MAX                                                                                \
	((size_t)8 << 10) /* what rsyslog takes by default; an alert stays far below               \
			   */

struct sink_syslog {
	struct sink sink;
	struct sink_syslog_config config;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd; /* -1: the daemon is away */
	int64_t next_try_ms;
	struct budget budget;
	struct buffer message;
	struct outbox_queue queue; /* records whose json is the whole message */
	uint64_t next_sequence;
};

enum sent { SENT_DONE, SENT_FULL, SENT_GONE, SENT_TOO_LONG };

static struct sink_syslog *syslog_of(struct sink *sink)
{
	return (struct sink_syslog *)sink;
}

/* Remembers a loss; the first one gives the reason. */
static void lose(struct sink_syslog *s, uint64_t count, const char *why)
{
	if (count == 0)
		return;
	s->sink.refused += count;
	if (!s->sink.failed)
		(void)snprintf(s->sink.error, sizeof(s->sink.error), "syslog %s: %s", s->path, why);
	s->sink.failed = true;
}

static uint64_t dropped(const struct sink_syslog *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		sum += s->queue.dropped[i];
	return sum;
}

/* 0 or an errno. */
static int connect_socket(struct sink_syslog *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, s->path, sizeof(address.sun_path));
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return errno;
	if (connect(s->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	int error = errno;
	(void)close(s->fd);
	s->fd = -1;
	return error;
}

static enum sent send_message(const struct sink_syslog *s, struct span message)
{
	for (;;) {
		if (send(s->fd, message.ptr, message.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return SENT_DONE;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM)
			return SENT_FULL;
		return errno == EMSGSIZE ? SENT_TOO_LONG : SENT_GONE;
	}
}

/* Is there a socket to send to? Looks for the daemon when it is time. */
static bool is_connected(struct sink_syslog *s)
{
	if (s->fd >= 0)
		return true;
	if (clock_monotonic_ms() < s->next_try_ms)
		return false;
	s->next_try_ms = clock_monotonic_ms() + RETRY_MS;
	if (connect_socket(s) != 0)
		return false;
	(void)snprintf(s->sink.warning, sizeof(s->sink.warning), "syslog %s: is there again",
		       s->path);
	return true;
}

static void disconnect(struct sink_syslog *s)
{
	(void)snprintf(s->sink.warning, sizeof(s->sink.warning), "syslog %s: is gone: %s", s->path,
		       strerror(errno));
	(void)close(s->fd);
	s->fd = -1;
}

/* Sends what waits, for as long as the socket takes it. */
static void drain(struct sink_syslog *s)
{
	const struct outbox_item *item;

	while ((item = outbox_queue_first(&s->queue)) != NULL && is_connected(s)) {
		struct outbox_record record;
		size_t size;
		(void)outbox_record_decode(span_of(item->bytes, item->size), &record, &size);
		switch (send_message(s, record.json)) {
		case SENT_TOO_LONG:
			lose(s, 1, "an alert is longer than the socket takes");
			outbox_queue_remove_first(&s->queue);
			break;
		case SENT_DONE:
			outbox_queue_remove_first(&s->queue);
			break;
		case SENT_FULL:
			return;
		case SENT_GONE:
			disconnect(s);
			break;
		}
	}
}

/* Waits, at most until the deadline, for the socket to take something or the daemon to come. */
static void wait_a_little(const struct sink_syslog *s, int64_t deadline_ms)
{
	struct pollfd fd = {.fd = s->fd, .events = POLLOUT};
	int64_t left = deadline_ms - clock_monotonic_ms();

	/* Without a descriptor this is a sleep. A peer that closed would not end the poll. */
	(void)poll(&fd, s->fd >= 0 ? 1 : 0, left > 100 ? 100 : left > 0 ? (int)left : 0);
}

static void add_frame(struct buffer *out, enum severity severity)
{
	static const int levels[SEVERITY_COUNT] = {
	    [SEVERITY_LOW] = LOG_NOTICE,
	    [SEVERITY_MEDIUM] = LOG_WARNING,
	    [SEVERITY_HIGH] = LOG_ERR,
	    [SEVERITY_CRITICAL] = LOG_CRIT,
	};
	char text[64];
	char stamp[32] = "";
	time_t now = time(NULL);
	struct tm local;

	if (localtime_r(&now, &local) != NULL)
		(void)strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
	(void)snprintf(text, sizeof(text),
		       "<%d>%s stripwatch[%ld]: ", LOG_DAEMON | levels[severity], stamp,
		       (long)getpid());
	buffer_add_text(out, text);
}

static bool syslog_alert(struct sink *sink, const struct sink_alert *alert)
{
	struct sink_syslog *s = syslog_of(sink);
	uint64_t before = dropped(s);
	bool failed = sink->failed;

	buffer_clear(&s->message);
	add_frame(&s->message, alert->severity);
	if (s->message.failed || !alert_write_cef(alert->alert, alert->origin, &s->message)) {
		lose(s, 1, "an alert is too long");
		return false;
	}
	const struct outbox_record record = {
	    .sequence = s->next_sequence++,
	    .severity = (unsigned)alert->severity,
	    .json = buffer_span(&s->message),
	};
	int64_t deadline = clock_monotonic_ms() + s->config.wait_ms;
	while (s->config.wait_ms > 0 && !outbox_queue_has_room(&s->queue, &record) &&
	       clock_monotonic_ms() < deadline && !failed) {
		wait_a_little(s, deadline);
		drain(s);
	}
	(void)outbox_queue_push(&s->queue, &record);
	lose(s, dropped(s) - before, "does not take the alerts, too many wait");
	drain(s);
	return !sink->failed;
}

static bool syslog_session(struct sink *sink, struct span json)
{
	(void)sink;
	(void)json;
	return true;
}

static bool syslog_flush(struct sink *sink)
{
	drain(syslog_of(sink));
	return true;
}

/* SIGHUP: the daemon may have been set up anew. */
static bool syslog_reopen(struct sink *sink)
{
	struct sink_syslog *s = syslog_of(sink);

	s->next_try_ms = 0;
	drain(s);
	return true;
}

static bool syslog_close(struct sink *sink, char *error, size_t error_size)
{
	struct sink_syslog *s = syslog_of(sink);
	int64_t deadline = clock_monotonic_ms() + s->config.drain_ms;

	drain(s);
	while (outbox_queue_first(&s->queue) != NULL && clock_monotonic_ms() < deadline) {
		wait_a_little(s, deadline);
		drain(s);
	}
	lose(s, s->queue.count, "alerts were not taken");
	bool good = !sink->failed;
	if (!good)
		(void)snprintf(error, error_size, "%s (%" PRIu64 " %s lost)", sink->error,
			       sink->refused, sink->refused == 1 ? "alert was" : "alerts were");
	outbox_queue_clear(&s->queue);
	buffer_free(&s->message);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s);
	return good;
}

static const struct sink_ops syslog_ops = {
    .alert = syslog_alert,
    .session = syslog_session,
    .flush = syslog_flush,
    .reopen = syslog_reopen,
    .close = syslog_close,
};

struct sink *sink_syslog_open(const struct sink_syslog_config *config, char error[SINK_ERROR_MAX])
{
	struct sink_syslog *s = calloc(1, sizeof(*s));
	int number = ENOMEM;

	if (s != NULL) {
		s->sink.ops = &syslog_ops;
		s->config = *config;
		s->next_sequence = 1;
		budget_init(&s->budget, 4 * MESSAGE_MAX);
		buffer_init(&s->message, &s->budget, MESSAGE_MAX);
		outbox_queue_init(&s->queue, config->queue_bytes);
		number = ENAMETOOLONG;
		if (strlen(config->path) < sizeof(s->path)) {
			memcpy(s->path, config->path, strlen(config->path) + 1);
			number = connect_socket(s);
		}
	}
	if (number == 0)
		return &s->sink;
	(void)snprintf(error, SINK_ERROR_MAX, "--syslog %s: %s", config->path, strerror(number));
	free(s);
	return NULL;
}
