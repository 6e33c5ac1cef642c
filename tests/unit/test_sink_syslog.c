/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/alert_format.h"
#include "alerts/sink_syslog.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[64], path[96];

static void make_directory(void)
{
	(void)snprintf(directory, sizeof directory, "/tmp/stripwatch-syslog-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/log", directory);
}

static void remove_directory(void)
{
	(void)unlink(path);
	(void)rmdir(directory);
}

TestSuite(sink_syslog, .init = make_directory, .fini = remove_directory, .timeout = 60);

/* The daemon: a datagram socket that is read when the test wants to. */
static int start_daemon(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	(void)unlink(path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* The cnt= of the next message, or -1 when there is none. */
static long next_number(int daemon)
{
	char message[9000];
	ssize_t n = recv(daemon, message, sizeof message - 1, 0);
	if (n < 0)
		return -1;
	message[n] = '\0';
	const char *count = strstr(message, " cnt=");
	cr_assert_not_null(count, "%s", message);
	return strtol(count + 5, NULL, 10);
}

static struct sink *open_sink(size_t queue_bytes, unsigned wait_ms, unsigned drain_ms)
{
	const struct sink_syslog_config config = {
	    .path = path, .queue_bytes = queue_bytes, .wait_ms = wait_ms, .drain_ms = drain_ms};
	char error[SINK_ERROR_MAX] = "";
	struct sink *sink = sink_syslog_open(&config, error);
	cr_assert_not_null(sink, "%s", error);
	return sink;
}

static const struct record_origin origin = {.sensor = "tap", .version = "1.2"};

static struct alert make_alert(uint64_t number, enum severity severity)
{
	return (struct alert){.finding = {.rule = RULE_TLS_WEAK,
					  .severity = severity,
					  .reason = "version",
					  .message = "Weak."},
			      .time_ns = 1500000,
			      .count = number,
			      .id = "0123456789abcdef0123456789abcdef"};
}

static bool put(struct sink *sink, uint64_t number, enum severity severity)
{
	struct alert alert = make_alert(number, severity);
	const struct sink_alert document = {
	    .rule = RULE_TLS_WEAK, .severity = severity, .alert = &alert, .origin = &origin};
	return sink->ops->alert(sink, &document);
}

static bool close_sink(struct sink *sink, char error[SINK_ERROR_MAX])
{
	error[0] = '\0';
	return sink->ops->close(sink, error, SINK_ERROR_MAX);
}

Test(sink_syslog, writes_the_frame_of_syslog_3_and_cef)
{
	char message[9000], error[SINK_ERROR_MAX], pid[32];
	int daemon = start_daemon();
	struct sink *sink = open_sink(1 << 20, 0, 0);
	cr_assert(put(sink, 7, SEVERITY_CRITICAL));
	ssize_t n = recv(daemon, message, sizeof message - 1, 0);
	cr_assert_gt(n, 0);
	message[n] = '\0';
	/* daemon (3) * 8 + critical (2); then "Nov  5 01:02:03 ". */
	cr_assert_eq(strncmp(message, "<26>", 4), 0, "%s", message);
	cr_assert(message[7] == ' ' && message[10] == ' ' && message[13] == ':' &&
		  message[16] == ':' && message[19] == ' ');
	(void)snprintf(pid, sizeof pid, "stripwatch[%ld]: CEF:0|", (long)getpid());
	cr_assert_eq(strncmp(message + 20, pid, strlen(pid)), 0, "%s", message);
	cr_assert_not_null(strstr(message, "|tls-weak|"));
	cr_assert_not_null(
	    strstr(message, "|10|rt=1 externalId=0123456789abcdef0123456789abcdef "));
	cr_assert_null(strchr(message, '\n'));
	cr_assert(close_sink(sink, error));
}

Test(sink_syslog, never_waits_and_counts_what_it_lost)
{
	char error[SINK_ERROR_MAX];
	int daemon = start_daemon(); /* reads nothing */
	struct sink *sink = open_sink(64 << 10, 0, 0);
	for (uint64_t i = 1; i <= 5000; i++)
		(void)put(sink, i, i == 100 ? SEVERITY_CRITICAL : SEVERITY_LOW);
	cr_assert(sink->failed);
	cr_assert_not_null(strstr(sink->error, path), "%s", sink->error);
	uint64_t lost = sink->refused, got = 0;
	cr_assert_gt(lost, 1000);
	/* Now it reads: what was kept comes, in order, and the critical one is among it. */
	bool critical = false;
	long last = 0;
	for (int idle = 0; idle < 2; idle++) {
		for (long number; (number = next_number(daemon)) > 0; got++) {
			cr_assert_gt(number, last);
			last = number;
			critical = critical || number == 100;
			idle = 0;
			(void)sink->ops->flush(sink);
		}
		(void)sink->ops->flush(sink);
	}
	cr_assert_eq(got + lost, 5000, "%lu came, %lu lost", (unsigned long)got,
		     (unsigned long)lost);
	cr_assert(critical);
	cr_assert_not(close_sink(sink, error));
	cr_assert_not_null(strstr(error, "were lost"), "%s", error);
}

Test(sink_syslog, finds_the_daemon_again)
{
	char error[SINK_ERROR_MAX];
	int daemon = start_daemon();
	struct sink *sink = open_sink(1 << 20, 0, 1000);
	cr_assert(put(sink, 1, SEVERITY_LOW));
	cr_assert_eq(next_number(daemon), 1);
	(void)close(daemon);
	(void)unlink(path);
	cr_assert(put(sink, 2, SEVERITY_LOW));
	cr_assert(put(sink, 3, SEVERITY_LOW));
	cr_assert_not_null(strstr(sink->warning, "is gone"), "%s", sink->warning);
	daemon = start_daemon();
	(void)sink->ops->reopen(sink); /* or a second later by itself */
	cr_assert(put(sink, 4, SEVERITY_LOW));
	for (long i = 2; i <= 4; i++)
		cr_assert_eq(next_number(daemon), i);
	cr_assert_not_null(strstr(sink->warning, "again"), "%s", sink->warning);
	/* Restarted between two alerts: the second connection is made at once. */
	(void)close(daemon);
	daemon = start_daemon();
	(void)usleep(1100 * 1000);
	cr_assert(put(sink, 5, SEVERITY_LOW));
	cr_assert_eq(next_number(daemon), 5);
	cr_assert(close_sink(sink, error), "%s", error);
}

Test(sink_syslog, waits_for_room_where_that_is_asked_for)
{
	char error[SINK_ERROR_MAX];
	int daemon = start_daemon();
	pid_t child = fork();
	if (child == 0) {
		struct sink *sink = open_sink(16 << 10, 10000, 10000);
		for (uint64_t i = 1; i <= 3000; i++)
			(void)put(sink, i, SEVERITY_LOW);
		_exit(close_sink(sink, error) ? 0 : 1);
	}
	(void)fcntl(daemon, F_SETFL, 0);
	for (long i = 1; i <= 3000; i++) {
		cr_assert_eq(next_number(daemon), i);
		if (i % 300 == 0)
			(void)usleep(1000);
	}
}

Test(sink_syslog, says_what_is_left_at_the_end)
{
	char error[SINK_ERROR_MAX];
	int daemon = start_daemon();
	struct sink *sink = open_sink(1 << 20, 0, 50);
	(void)close(daemon);
	cr_assert(put(sink, 1, SEVERITY_HIGH));
	cr_assert_not(close_sink(sink, error));
	cr_assert_not_null(strstr(error, "(1 alert was lost)"), "%s", error);
	(void)unlink(path);
	const struct sink_syslog_config config = {.path = path, .queue_bytes = 1 << 20};
	cr_assert_null(sink_syslog_open(&config, error));
	cr_assert_not_null(strstr(error, "No such file"), "%s", error);
}

/* ---- CEF ---- */

static const char *cef(const struct alert *alert, const struct record_origin *from)
{
	static struct budget budget;
	static struct buffer out;
	budget_init(&budget, 64 << 10);
	buffer_init(&out, &budget, 32 << 10);
	cr_assert(alert_write_cef(alert, from, &out));
	buffer_add_char(&out, '\0');
	return (const char *)out.bytes;
}

Test(cef, escapes_what_would_end_a_field_or_a_line)
{
	struct alert alert = make_alert(1, SEVERITY_LOW);
	const struct record_origin from = {.sensor = "a=b\\c|d\ne\x1b[2J", .version = "1|2\\3=4"};
	const char *line = cef(&alert, &from);
	cr_expect_not_null(strstr(line, "CEF:0|stripwatch|stripwatch|1\\|2\\\\3=4|tls-weak|"), "%s",
			   line);
	cr_expect_not_null(strstr(line, " dvchost=a\\=b\\\\c|d\\ne?[2J "), "%s", line);
	cr_expect_not_null(strstr(line, "|3|rt="));
	for (const char *c = line; *c != '\0'; c++)
		cr_assert((unsigned char)*c >= 0x20 && *c != 0x7f);
}

Test(cef, has_fields_of_its_own_for_ipv6)
{
	struct alert alert = make_alert(1, SEVERITY_MEDIUM);
	cr_assert(ip_addr_parse("2001:db8::1", 11, &alert.session.client.addr));
	cr_assert(ip_addr_parse("192.0.2.1", 9, &alert.session.server.addr));
	alert.session.client.port = 1234;
	alert.session.server.port = 25;
	alert.summary = 1;
	alert.first_ns = -1;
	alert.last_ns = 2000000;
	const char *line = cef(&alert, &origin);
	cr_expect_not_null(strstr(line, " c6a2=2001:db8::1 c6a2Label=Source IPv6 Address spt=1234 "
					"dst=192.0.2.1 dpt=25 "),
			   "%s", line);
	cr_expect_not_null(strstr(line, " start=-1 end=2 msg=Weak."), "%s", line);
}
