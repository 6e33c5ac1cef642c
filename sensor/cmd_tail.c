/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail: follows the alert stream through a consumer group.
 *
 * What was printed is acknowledged, and only then. So a reader that dies leaves
 * its last entries pending: the same reader shows them first when it comes back,
 * another one claims them after a while. Entries that were trimmed before the
 * group read them cannot be shown, but it is said that they were there.
 */
#include "alerts/clock.h"
#include "alerts/redis_topology.h"
#include "alerts/rules.h"
#include "alerts/tail_line.h"
#include "sensor/commands.h"
#include "sensor/limits.h"
#include "sensor/log.h"
#include "sensor/redis_setup.h"
#include "sensor/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NUMBER_SIZE   24
#define ENTRY_ID_SIZE 48
#define BLOCK_MS      1000  /* one wait at the server; a signal is noticed after it */
#define CLAIM_IDLE_MS 60000 /* an entry that its reader has left alone for so long is claimed */
#define UPKEEP_MS     10000 /* how often is looked for such entries, and for trimmed ones */
#define PAGE          "200" /* entries of one read */

/* An entry id of a stream, "milliseconds-sequence". */
struct entry_id {
	uint64_t ms;
	uint64_t sequence;
};

struct tail {
	const struct options *options;
	struct log log;
	struct redis_setup setup;
	struct redis_topology *topology;
	struct redis_link *link; /* of the topology; NULL: not connected */
	struct redis_error error;
	struct budget budget;
	struct buffer line;
	char key[320];
	char consumer[320];
	char since[ENTRY_ID_SIZE]; /* where to begin, or "" */
	bool colours;
	bool output_failed;
	uint64_t missed; /* entries of which it was said that they are gone */
	int64_t next_upkeep_ms;
};

/* "1526985054069-0"; a missing sequence is 0. */
static bool parse_entry_id(struct span text, struct entry_id *id)
{
	uint64_t *part = &id->ms;
	size_t digits = 0;

	*id = (struct entry_id){0, 0};
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '-' && part == &id->ms && digits > 0) {
			part = &id->sequence;
			digits = 0;
			continue;
		}
		if (text.ptr[i] < '0' || text.ptr[i] > '9' || ++digits > 20 ||
		    __builtin_mul_overflow(*part, 10, part) ||
		    __builtin_add_overflow(*part, (uint64_t)(text.ptr[i] - '0'), part))
			return false;
	}
	return digits > 0;
}

static bool entry_id_after(struct entry_id a, struct entry_id b)
{
	return a.ms != b.ms ? a.ms > b.ms : a.sequence > b.sequence;
}

/* An age (90s, 15m, 24h, 7d) or an entry id. */
static bool parse_since(const char *text, char since[ENTRY_ID_SIZE])
{
	size_t length = strlen(text);
	struct entry_id id;

	since[0] = '\0';
	if (length >= 2 && strchr("smhd", text[length - 1]) != NULL) {
		static const uint64_t unit_ms[] = {1000, 60000, 3600000, 86400000};
		uint64_t unit = unit_ms[strchr("smhd", text[length - 1]) - "smhd"];
		if (!parse_entry_id(span_of(text, length - 1), &id) || id.sequence != 0 ||
		    memchr(text, '-', length) != NULL || id.ms > UINT32_MAX)
			return false;
		uint64_t now = (uint64_t)clock_now_ns(CLOCK_REALTIME) / 1000000;
		uint64_t age = id.ms * unit;
		(void)snprintf(since, ENTRY_ID_SIZE, "%" PRIu64, age < now ? now - age : 0);
		return true;
	}
	if (!parse_entry_id(span_of(text, length), &id))
		return false;
	(void)snprintf(since, ENTRY_ID_SIZE, "%s", text);
	return true;
}

/* Sends a command; NULL when the link broke, which is then dropped. */
static struct redis_reply *call(struct tail *tail, const struct span *words, size_t count,
				unsigned extra_ms)
{
	struct redis_reply *reply = NULL;

	if (tail->link != NULL)
		reply = redis_link_call(tail->link, words, count, extra_ms, &tail->error);
	if (reply == NULL && tail->link != NULL) {
		redis_topology_drop(tail->topology, tail->link);
		tail->link = NULL;
	}
	if (redis_reply_kind(reply) != REDIS_KIND_ERROR)
		return reply;
	struct span text = redis_reply_text(reply);
	tail->error.failure = REDIS_REFUSED;
	tail->error.class = redis_reply_classify(text);
	(void)snprintf(
	    tail->error.text, sizeof(tail->error.text), "%.*s",
	    (int)(text.len < sizeof(tail->error.text) ? text.len : sizeof(tail->error.text)),
	    (const char *)text.ptr);
	if (tail->error.class == REDIS_CLASS_MOVED)
		(void)redis_topology_moved(tail->topology, text);
	return reply;
}

static bool is_error(const struct redis_reply *reply)
{
	return reply == NULL || redis_reply_kind(reply) == REDIS_KIND_ERROR;
}

/* The value behind a name in a flat array of names and values, as XINFO answers. */
static const struct redis_reply *field(const struct redis_reply *fields, const char *name)
{
	for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2)
		if (span_equal(redis_reply_text(redis_reply_at(fields, i)), span_str(name)))
			return redis_reply_at(fields, i + 1);
	return NULL;
}

static struct tail_entry entry_of(const struct redis_reply *fields)
{
	return (struct tail_entry){
	    .id = redis_reply_text(field(fields, "id")),
	    .rule = redis_reply_text(field(fields, "rule")),
	    .severity = redis_reply_text(field(fields, "severity")),
	    .sensor = redis_reply_text(field(fields, "sensor")),
	    .json = redis_reply_text(field(fields, "json")),
	};
}

static bool is_wanted(const struct tail *tail, const struct tail_entry *entry)
{
	const struct options *options = tail->options;
	enum severity severity;

	if (options->tail_severity != 0 && severity_by_word(entry->severity, &severity) &&
	    (unsigned)severity + 1 < options->tail_severity)
		return false;
	if (options->tail_rules.count == 0)
		return true;
	for (size_t i = 0; i < options->tail_rules.count; i++)
		if (span_equal(entry->rule, span_str(options->tail_rules.items[i])))
			return true;
	return false;
}

static void print_entry(struct tail *tail, const struct tail_entry *entry)
{
	buffer_clear(&tail->line);
	if (!tail->options->json) {
		tail_line(&tail->line, entry, tail->colours);
	} else if (!tail_json(&tail->line, entry)) {
		log_line(&tail->log, LOG_WARNING, "an entry of rule %.*s holds no JSON document",
			 (int)(entry->rule.len < 64 ? entry->rule.len : 64),
			 entry->rule.len > 0 ? (const char *)entry->rule.ptr : "");
		return;
	}
	buffer_add_char(&tail->line, '\n');
	if (tail->line.failed) {
		log_line(&tail->log, LOG_WARNING, "an entry is longer than %u bytes",
			 (unsigned)LIMIT_TAIL_LINE);
		return;
	}
	(void)fwrite(tail->line.bytes, 1, tail->line.len, stdout);
}

/* Says that entries are gone that nobody of the group has read. */
static void say_missed(struct tail *tail, uint64_t count)
{
	tail->missed += count;
	log_line(&tail->log, LOG_WARNING, "%" PRIu64 " %s trimmed from the stream unread", count,
		 count == 1 ? "alert was" : "alerts were");
}

static bool acknowledge(struct tail *tail, const struct redis_reply *entries)
{
	size_t count = redis_reply_count(entries);
	struct span *words = calloc(count + 3, sizeof(*words));

	if (words == NULL)
		return false;
	words[0] = span_str("XACK");
	words[1] = span_str(tail->key);
	words[2] = span_str(tail->options->tail_group);
	for (size_t i = 0; i < count; i++)
		words[3 + i] = redis_reply_text(redis_reply_at(redis_reply_at(entries, i), 0));
	struct redis_reply *reply = count == 0 ? NULL : call(tail, words, count + 3, 0);
	bool good = count == 0 || !is_error(reply);
	redis_reply_free(reply);
	free(words);
	return good;
}

/*
 * Prints the entries that are wanted. An entry whose fields are gone was
 * trimmed after someone of the group got it and before he acknowledged it.
 */
static bool show_entries(struct tail *tail, const struct redis_reply *entries, bool group)
{
	uint64_t gone = 0;

	for (size_t i = 0; i < redis_reply_count(entries); i++) {
		const struct redis_reply *fields = redis_reply_at(redis_reply_at(entries, i), 1);
		struct tail_entry entry = entry_of(fields);
		if (redis_reply_kind(fields) != REDIS_KIND_ARRAY)
			gone++;
		else if (is_wanted(tail, &entry))
			print_entry(tail, &entry);
	}
	if (fflush(stdout) != 0) {
		tail->output_failed = true;
		log_line(&tail->log, LOG_ERROR, "standard output: cannot be written: %s",
			 strerror(errno));
		return false; /* not seen by anyone: not acknowledged */
	}
	if (gone > 0)
		say_missed(tail, gone);
	return !group || acknowledge(tail, entries);
}

/* Makes the group unless it is there. A new one begins with the oldest entry that is left. */
static bool make_group(struct tail *tail)
{
	const struct span words[] = {
	    span_str("XGROUP"),  span_str("CREATE"),
	    span_str(tail->key), span_str(tail->options->tail_group),
	    span_str("0"),       span_str("MKSTREAM"),
	};
	struct redis_reply *reply = call(tail, words, 6, 0);
	bool exists = redis_reply_kind(reply) == REDIS_KIND_ERROR &&
		      span_equal(span_head(redis_reply_text(reply), 9), span_str("BUSYGROUP"));
	bool good = exists || !is_error(reply);

	redis_reply_free(reply);
	return good;
}

/* What the server knows of the group: where it is, and how many entries it was given. */
static bool group_position(struct tail *tail, struct entry_id *last, int64_t *read)
{
	const struct span words[] = {span_str("XINFO"), span_str("GROUPS"), span_str(tail->key)};
	struct redis_reply *reply = call(tail, words, 3, 0);
	bool found = false;

	*read = -1;
	for (size_t i = 0; i < redis_reply_count(reply) && !found; i++) {
		const struct redis_reply *group = redis_reply_at(reply, i);
		if (!span_equal(redis_reply_text(field(group, "name")),
				span_str(tail->options->tail_group)))
			continue;
		found = parse_entry_id(redis_reply_text(field(group, "last-delivered-id")), last);
		const struct redis_reply *entries = field(group, "entries-read");
		if (redis_reply_kind(entries) == REDIS_KIND_INTEGER)
			*read = redis_reply_integer(entries);
	}
	bool good = !is_error(reply);
	redis_reply_free(reply);
	return good && found;
}

/* Looks whether entries behind the group's position were trimmed. */
static bool check_missed(struct tail *tail)
{
	const struct span words[] = {span_str("XINFO"), span_str("STREAM"), span_str(tail->key)};
	struct entry_id last;
	struct entry_id first;
	int64_t read;

	if (!group_position(tail, &last, &read))
		return tail->link != NULL;
	struct redis_reply *reply = call(tail, words, 3, 0);
	int64_t length = redis_reply_integer(field(reply, "length"));
	const struct redis_reply *added = field(reply, "entries-added"); /* Redis 7 */
	bool has_first = parse_entry_id(
	    redis_reply_text(redis_reply_at(field(reply, "first-entry"), 0)), &first);
	if (redis_reply_kind(added) == REDIS_KIND_INTEGER && read >= 0 &&
	    (!has_first || entry_id_after(first, last))) {
		int64_t missed = redis_reply_integer(added) - length - read - (int64_t)tail->missed;
		if (missed > 0)
			say_missed(tail, (uint64_t)missed);
	}
	bool good = !is_error(reply);
	redis_reply_free(reply);
	return good;
}

/* The part of --since that the group has behind it: shown again, nothing to acknowledge. */
static bool show_history(struct tail *tail)
{
	struct entry_id last;
	int64_t read;
	char from[ENTRY_ID_SIZE + 1];
	char to[ENTRY_ID_SIZE];

	if (tail->since[0] == '\0' || !group_position(tail, &last, &read))
		return tail->link != NULL;
	(void)snprintf(from, sizeof(from), "%s", tail->since);
	(void)snprintf(to, sizeof(to), "%" PRIu64 "-%" PRIu64, last.ms, last.sequence);
	for (;;) {
		const struct span words[] = {span_str("XRANGE"), span_str(tail->key),
					     span_str(from),     span_str(to),
					     span_str("COUNT"),  span_str(PAGE)};
		struct redis_reply *reply = call(tail, words, 6, 0);
		size_t count = redis_reply_count(reply);
		bool good = !is_error(reply) && show_entries(tail, reply, false);
		if (good && count > 0) {
			struct span id =
			    redis_reply_text(redis_reply_at(redis_reply_at(reply, count - 1), 0));
			/* "(" asks for what is behind this one (Redis 6.2). */
			(void)snprintf(from, sizeof(from), "(%.*s", (int)id.len,
				       (const char *)id.ptr);
			(void)snprintf(tail->since, sizeof(tail->since), "%.*s", (int)id.len,
				       (const char *)id.ptr);
		}
		redis_reply_free(reply);
		if (!good)
			return false;
		if (count == 0 || signals_stop_asked())
			break;
	}
	tail->since[0] = '\0';
	return true;
}

/* Reads once as the group: from "0" what is pending with us, from ">" what is new. */
static bool read_group(struct tail *tail, const char *from, size_t *count)
{
	char block[NUMBER_SIZE];
	(void)snprintf(block, sizeof(block), "%d", BLOCK_MS);
	const struct span words[] = {
	    span_str("XREADGROUP"),   span_str("GROUP"), span_str(tail->options->tail_group),
	    span_str(tail->consumer), span_str("COUNT"), span_str(PAGE),
	    span_str("BLOCK"),        span_str(block),   span_str("STREAMS"),
	    span_str(tail->key),      span_str(from),
	};
	struct redis_reply *reply = call(tail, words, 11, BLOCK_MS);
	/* One stream: its name and its entries. */
	const struct redis_reply *entries = redis_reply_at(redis_reply_at(reply, 0), 1);
	bool good = !is_error(reply) && show_entries(tail, entries, true);

	*count = redis_reply_count(entries);
	redis_reply_free(reply);
	return good;
}

/* Takes over what another reader got and did not acknowledge. */
static bool claim(struct tail *tail)
{
	char idle[NUMBER_SIZE];
	(void)snprintf(idle, sizeof(idle), "%d", CLAIM_IDLE_MS);
	const struct span words[] = {
	    span_str("XAUTOCLAIM"),   span_str(tail->key), span_str(tail->options->tail_group),
	    span_str(tail->consumer), span_str(idle),      span_str("0-0"),
	    span_str("COUNT"),        span_str(PAGE),
	};
	struct redis_reply *reply = call(tail, words, 8, 0);
	bool good = !is_error(reply) && show_entries(tail, redis_reply_at(reply, 1), true);

	/* Redis 7 names those that are gone in a third element. */
	size_t gone = redis_reply_count(redis_reply_at(reply, 2));
	if (gone > 0)
		say_missed(tail, gone);
	redis_reply_free(reply);
	return good;
}

/* Connects, and shows what lies behind before what is new. */
static bool begin(struct tail *tail)
{
	size_t count;

	tail->link = redis_topology_link(tail->topology, span_str(tail->key), &tail->error);
	if (tail->link == NULL || !make_group(tail) || !show_history(tail) || !check_missed(tail))
		return false;
	do {
		if (!read_group(tail, "0", &count))
			return false;
	} while (count > 0 && !signals_stop_asked());
	tail->next_upkeep_ms = 0;
	return true;
}

static bool follow(struct tail *tail)
{
	size_t count;

	if (clock_monotonic_ms() >= tail->next_upkeep_ms) {
		tail->next_upkeep_ms = clock_monotonic_ms() + UPKEEP_MS;
		if (!claim(tail) || !check_missed(tail))
			return false;
	}
	return read_group(tail, ">", &count);
}

/* False: going on makes no sense. */
static bool recover(struct tail *tail, bool was_connected, unsigned *failures)
{
	char place[REDIS_HOST_MAX * 2 + 64];
	unsigned pause = (unsigned)LIMIT_REDIS_PAUSE_MIN_MS << (*failures < 8 ? *failures : 8);

	if (tail->output_failed || signals_stop_asked())
		return false;
	log_line(&tail->log, LOG_ERROR, "%s: %s",
		 redis_url_describe(&tail->setup.url, place, sizeof(place)), tail->error.text);
	if (!was_connected && tail->error.class == REDIS_CLASS_FATAL_CONFIG)
		return false;
	if (tail->link != NULL)
		redis_topology_drop(tail->topology, tail->link);
	tail->link = NULL;
	(*failures)++;
	(void)usleep((pause < 5000 ? pause : 5000) * 1000);
	return !signals_stop_asked();
}

static int run_tail(struct tail *tail)
{
	bool was_connected = false;
	unsigned failures = 0;

	while (!signals_stop_asked()) {
		bool good = tail->link == NULL ? begin(tail) : follow(tail);
		if (good) {
			was_connected = true;
			failures = 0;
		} else if (!recover(tail, was_connected, &failures)) {
			break;
		}
	}
	if (tail->output_failed)
		return STATUS_INCOMPLETE;
	return was_connected || signals_stop_asked() ? STATUS_DONE : STATUS_WRONG_USE;
}

/* "user@host": the same person comes back to his own pending entries. */
static void name_consumer(struct tail *tail)
{
	char host[128] = "localhost";
	const struct passwd *user = getpwuid(getuid());

	(void)gethostname(host, sizeof(host) - 1);
	if (tail->options->tail_consumer != NULL)
		(void)snprintf(tail->consumer, sizeof(tail->consumer), "%s",
			       tail->options->tail_consumer);
	else
		(void)snprintf(tail->consumer, sizeof(tail->consumer), "%s@%s",
			       user != NULL ? user->pw_name : "unknown", host);
}

static bool open_tail(struct tail *tail)
{
	const struct options *options = tail->options;
	char error[512];

	if (options->tail_since != NULL && !parse_since(options->tail_since, tail->since)) {
		log_line(&tail->log, LOG_ERROR,
			 "--since: neither an age (90s, 15m, 24h, 7d) nor an id: %s",
			 options->tail_since);
		return false;
	}
	if (!redis_setup_open(&tail->setup, options, error, sizeof(error))) {
		log_line(&tail->log, LOG_ERROR, "%s", error);
		return false;
	}
	struct redis_topology_config topology = redis_setup_topology(&tail->setup);
	tail->topology = redis_topology_new(&tail->setup.url, &topology);
	return tail->topology != NULL;
}

int cmd_tail(const struct options *options)
{
	struct tail tail = {.options = options};

	log_init(&tail.log, stderr, (enum log_level)options->log_level);
	signals_catch();
	budget_init(&tail.budget, 2 * LIMIT_TAIL_LINE);
	buffer_init(&tail.line, &tail.budget, LIMIT_TAIL_LINE);
	tail.colours = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	(void)snprintf(tail.key, sizeof(tail.key), "%salerts", options->redis_prefix);
	name_consumer(&tail);
	int status = open_tail(&tail) ? run_tail(&tail) : STATUS_WRONG_USE;
	redis_topology_free(tail.topology);
	redis_setup_close(&tail.setup);
	buffer_free(&tail.line);
	return status;
}
