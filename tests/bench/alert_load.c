/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushes synthetic alerts through outbox and Redis sink as the sensor would:
 * the load of the delivery tests and of the throughput benchmark.
 *
 *   alert_load --redis URL [--outbox DIR] [--count N] [--rate PER_SECOND] ...
 *   alert_load --dump DIR     print "sequence severity id" of every record in DIR
 *
 * Alerts of one run are numbered; the number is in the id and in the document.
 * At the end, or at SIGTERM, one line of JSON with the counters goes to stdout.
 */
#include "alerts/outbox.h"
#include "alerts/redis_url.h"
#include "alerts/sink_redis.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

struct load {
	const char *redis;
	const char *outbox;
	const char *password_file;
	const char *prefix;
	const char *sensor;
	const char *dump;
	struct redis_tls_config tls;
	unsigned long count, rate, run, bytes, batch, wait, drain_ms, disk_bytes, queue_bytes,
	    sessions;
	unsigned long segment_bytes, put_wait_ms, pause_ms, maxlen;
	bool publish, keep, mixed;
};

static double seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool dump_file(const char *directory, const char *name)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	(void)fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
	size_t n = bytes == NULL ? 0 : fread(bytes, 1, (size_t)size, file);
	struct span rest = span_skip(span_of(bytes, n), OUTBOX_SEGMENT_HEADER_SIZE);
	while (rest.len > 0) {
		struct outbox_record record;
		size_t length;
		if (outbox_record_decode(rest, &record, &length) != PARSE_DONE) {
			rest = span_skip(rest, 1);
			continue;
		}
		printf("%llu %s %.*s\n", (unsigned long long)record.sequence,
		       outbox_severity_word(record.severity), (int)record.id.len,
		       (const char *)record.id.ptr);
		rest = span_skip(rest, length);
	}
	free(bytes);
	(void)fclose(file);
	return true;
}

static int dump(const char *directory)
{
	DIR *listing = opendir(directory);

	if (listing == NULL)
		return 1;
	for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
		size_t length = strlen(entry->d_name);
		if (length > 4 && strcmp(entry->d_name + length - 4, ".seg") == 0)
			(void)dump_file(directory, entry->d_name);
	}
	(void)closedir(listing);
	return 0;
}

static void print_notices(struct notices *notices)
{
	static const char *const words[] = {"error", "warning", "info"};
	struct notice notice;

	while (notices_take(notices, &notice))
		fprintf(stderr, "%s: %s\n", words[notice.level], notice.text);
}

/* 16 hex digits, as %016lx writes them, at a tenth of the cost. */
static void put_hex(char *out, unsigned long value)
{
	for (int i = 15; i >= 0; i--, value >>= 4)
		out[i] = "0123456789abcdef"[value & 15];
}

/*
 * Raises the alerts at the wanted rate. The document is made once and its id put in anew
 * for each: what is to be measured is the delivery.
 */
static unsigned long raise_alerts(const struct load *load, struct outbox *outbox,
				  struct sink_redis *sink, struct notices *notices)
{
	static const char head[] = "{\"event\":{\"id\":\"";
	char *padding = malloc(load->bytes + 1);
	char *json = NULL;
	char id[33] = "";
	double start = seconds();
	unsigned long i;

	if (padding == NULL)
		return 0;
	memset(padding, 'x', load->bytes);
	padding[load->bytes] = '\0';
	int length = asprintf(&json, "%s%032d\"},\"run\":%lu,\"padding\":\"%s\"}", head, 0,
			      load->run, padding);
	free(padding);
	if (length < 0)
		return 0;
	put_hex(id, load->run);
	for (i = 0; (load->count == 0 || i < load->count) && !interrupted; i++) {
		put_hex(id + 16, i);
		memcpy(json + sizeof head - 1, id, 32);
		const struct outbox_record record = {
		    .severity = load->mixed ? (unsigned)(i % OUTBOX_SEVERITIES) : 2,
		    .id = span_str(id),
		    .rule = span_str("starttls-stripped"),
		    .sensor = span_str(load->sensor),
		    .json = span_of(json, (size_t)length),
		};
		(void)outbox_put(outbox, &record);
		if (load->sessions > 0 && i % load->sessions == 0)
			(void)sink_redis_session(sink, record.json);
		if (load->rate > 0) {
			double ahead = (double)(i + 1) / (double)load->rate - (seconds() - start);
			if (ahead > 0.001)
				(void)usleep((useconds_t)(ahead * 1e6));
		}
		if (i % 256 == 0)
			print_notices(notices);
	}
	free(json);
	return i;
}

static void print_stats(const struct load *load, unsigned long raised, double raise_seconds,
			double seconds_all, uint64_t left, const struct outbox_stats *box,
			const struct sink_redis_stats *sink)
{
	printf("{\"run\":%lu,\"raised\":%lu,\"raise_seconds\":%.6f,\"seconds\":%.6f,\"left\":%llu,",
	       load->run, raised, raise_seconds, seconds_all, (unsigned long long)left);
	printf("\"taken\":%llu,\"written\":%llu,\"recovered\":%llu,\"delivered\":%llu,\"batches\":%"
	       "llu,",
	       (unsigned long long)box->taken, (unsigned long long)box->written,
	       (unsigned long long)box->recovered, (unsigned long long)sink->delivered,
	       (unsigned long long)sink->batches);
	printf("\"failures\":%llu,\"redirects\":%llu,\"shortfalls\":%llu,\"dead\":%llu,",
	       (unsigned long long)sink->failures, (unsigned long long)sink->redirects,
	       (unsigned long long)sink->wait_shortfalls, (unsigned long long)sink->dead_letters);
	printf("\"dropped\":[%llu,%llu,%llu,%llu],\"write_errors\":%llu,\"torn\":%llu,"
	       "\"corrupt\":%llu,\"sessions\":%llu,\"state\":%d}\n",
	       (unsigned long long)box->dropped[0], (unsigned long long)box->dropped[1],
	       (unsigned long long)box->dropped[2], (unsigned long long)box->dropped[3],
	       (unsigned long long)box->write_errors, (unsigned long long)box->torn_tails,
	       (unsigned long long)box->corrupt_records,
	       (unsigned long long)sink->sessions_delivered, (int)sink->state);
}

static int run(const struct load *load, struct redis_url *url, struct redis_tls_context *tls)
{
	const struct outbox_config box_config = {
	    .directory = load->outbox,
	    .queue_bytes = load->queue_bytes,
	    .disk_bytes = load->disk_bytes,
	    .segment_bytes = load->segment_bytes,
	    .max_segments = 4096,
	    .max_record_bytes = (size_t)256 << 10,
	    .dead_letter_bytes = (uint64_t)16 << 20,
	    .max_age_s = 7 * 86400,
	    .sync_ms = 100,
	    .put_wait_ms = (unsigned)load->put_wait_ms,
	    .keep_delivered = load->keep,
	};
	const struct sink_redis_config config = {
	    .url = url,
	    .topology =
		{
		    .link = {.connect_timeout_ms = 2000,
			     .command_timeout_ms = 3000,
			     .max_reply_bytes = (size_t)16 << 20,
			     .cancel_fd = -1,
			     .user = url->user,
			     .password = url->has_password ? url->password : NULL,
			     .database = url->database,
			     .client_name = "stripwatch",
			     .tls = tls},
		    .max_nodes = 64,
		},
	    .prefix = load->prefix,
	    .sensor = load->sensor,
	    .max_entries = load->maxlen,
	    .publish = load->publish,
	    .wait_replicas = (unsigned)load->wait,
	    .wait_ms = 500,
	    .batch_alerts = load->batch,
	    .batch_bytes = (size_t)1 << 20,
	    .session_queue_bytes = (size_t)4 << 20,
	    .pause_min_ms = (unsigned)load->pause_ms,
	    .pause_max_ms = (unsigned)load->pause_ms * 20,
	    .heartbeat_s = 1,
	};
	struct notices notices;
	char error[256];

	notices_init(&notices);
	double start = seconds();
	struct outbox *outbox = outbox_open(&box_config, &notices, error, sizeof(error));
	if (outbox == NULL) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	struct sink_redis *sink = sink_redis_new(&config, outbox, &notices);
	if (sink == NULL)
		return 2;
	struct heartbeat beat = {.count = 0};
	(void)heartbeat_add_text(&beat, span_str("version"), span_str("load"));
	sink_redis_set_heartbeat(sink, &beat);
	unsigned long raised = raise_alerts(load, outbox, sink, &notices);
	double raise_seconds = seconds() - start;
	struct sink_redis_stats sink_stats = sink_redis_stats(sink);
	for (double until = seconds() + (double)load->drain_ms / 1000;
	     !interrupted && seconds() < until && outbox_stats(outbox).pending > 0;) {
		(void)usleep(1000);
		print_notices(&notices);
	}
	double all = seconds() - start;
	sink_stats = sink_redis_stats(sink);
	/* Session records may still be on their way: nothing said above that they are through. */
	bool waiting = outbox_stats(outbox).pending > 0;
	struct sink_redis_stats last;
	uint64_t left = sink_redis_close(sink, interrupted ? 0 : waiting ? 200 : 10000, &last);
	struct outbox_stats box_stats = outbox_stats(outbox);
	outbox_close(outbox);
	print_notices(&notices);
	print_stats(load, raised, raise_seconds, all, left, &box_stats, &sink_stats);
	notices_destroy(&notices);
	return left == 0 ? 0 : 1;
}

static bool parse_options(struct load *load, int argc, char **argv)
{
	static const struct option options[] = {
	    {"redis", required_argument, NULL, 'r'},
	    {"outbox", required_argument, NULL, 'o'},
	    {"count", required_argument, NULL, 'c'},
	    {"rate", required_argument, NULL, 'R'},
	    {"run", required_argument, NULL, 'n'},
	    {"bytes", required_argument, NULL, 'b'},
	    {"batch", required_argument, NULL, 'B'},
	    {"wait", required_argument, NULL, 'w'},
	    {"drain-ms", required_argument, NULL, 'd'},
	    {"disk-bytes", required_argument, NULL, 'D'},
	    {"segment-bytes", required_argument, NULL, 'G'},
	    {"queue-bytes", required_argument, NULL, 'Q'},
	    {"put-wait-ms", required_argument, NULL, 'W'},
	    {"sessions", required_argument, NULL, 'S'},
	    {"maxlen", required_argument, NULL, 'M'},
	    {"pause-ms", required_argument, NULL, 'A'},
	    {"prefix", required_argument, NULL, 'p'},
	    {"sensor", required_argument, NULL, 's'},
	    {"password-file", required_argument, NULL, 'f'},
	    {"ca-file", required_argument, NULL, 'a'},
	    {"cert", required_argument, NULL, 'e'},
	    {"key", required_argument, NULL, 'k'},
	    {"server-name", required_argument, NULL, 'N'},
	    {"dump", required_argument, NULL, 'u'},
	    {"publish", no_argument, NULL, 'P'},
	    {"keep", no_argument, NULL, 'K'},
	    {"mixed", no_argument, NULL, 'm'},
	    {NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		unsigned long number = optarg == NULL ? 0 : strtoul(optarg, NULL, 0);
		switch (c) {
		case 'r':
			load->redis = optarg;
			break;
		case 'o':
			load->outbox = optarg;
			break;
		case 'c':
			load->count = number;
			break;
		case 'R':
			load->rate = number;
			break;
		case 'n':
			load->run = number;
			break;
		case 'b':
			load->bytes = number;
			break;
		case 'B':
			load->batch = number;
			break;
		case 'w':
			load->wait = number;
			break;
		case 'd':
			load->drain_ms = number;
			break;
		case 'D':
			load->disk_bytes = number;
			break;
		case 'G':
			load->segment_bytes = number;
			break;
		case 'Q':
			load->queue_bytes = number;
			break;
		case 'W':
			load->put_wait_ms = number;
			break;
		case 'S':
			load->sessions = number;
			break;
		case 'M':
			load->maxlen = number;
			break;
		case 'A':
			load->pause_ms = number;
			break;
		case 'p':
			load->prefix = optarg;
			break;
		case 's':
			load->sensor = optarg;
			break;
		case 'f':
			load->password_file = optarg;
			break;
		case 'a':
			load->tls.ca_file = optarg;
			break;
		case 'e':
			load->tls.certificate = optarg;
			break;
		case 'k':
			load->tls.key = optarg;
			break;
		case 'N':
			load->tls.server_name = optarg;
			break;
		case 'u':
			load->dump = optarg;
			break;
		case 'P':
			load->publish = true;
			break;
		case 'K':
			load->keep = true;
			break;
		case 'm':
			load->mixed = true;
			break;
		default:
			return false;
		}
	}
	return load->dump != NULL || load->redis != NULL;
}

int main(int argc, char **argv)
{
	struct load load = {
	    .prefix = "stripwatch:",
	    .sensor = "load",
	    .count = 1000,
	    .run = 1,
	    .bytes = 700,
	    .batch = 128,
	    .drain_ms = 30000,
	    .pause_ms = 50,
	    .maxlen = 10000000,
	    .disk_bytes = 1ul << 30,
	    .segment_bytes = 4ul << 20,
	    .queue_bytes = 16ul << 20,
	};
	struct redis_url url;
	struct redis_tls_context *tls = NULL;
	char error[256];

	if (!parse_options(&load, argc, argv))
		return 2;
	if (load.dump != NULL)
		return dump(load.dump);
	struct sigaction action = {.sa_handler = on_signal};
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	if (!redis_url_parse(load.redis, &url, error, sizeof(error)) ||
	    (load.password_file != NULL &&
	     !redis_url_read_password(&url, load.password_file, error, sizeof(error)))) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	redis_url_scrub((char *)(uintptr_t)load.redis);
	if (url.tls && (tls = redis_tls_context_new(&load.tls, error, sizeof(error))) == NULL) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	int status = run(&load, &url, tls);
	redis_tls_context_free(tls);
	redis_url_wipe(&url);
	return status;
}
