/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/judge.h"

#include "alerts/alert.h"
#include "alerts/deferred.h"
#include "alerts/history.h"
#include "alerts/record.h"
#include "alerts/throttle.h"
#include "sensor/evidence_file.h"
#include "sensor/limits.h"
#include "sensor/progress.h"
#include "version.h"

#include <errno.h>
#include <stdlib.h>

/* What an open session has raised; forgotten when it is over. */
struct raised {
	uint64_t session; /* its id + 1; 0: free */
	uint32_t rules;
};

struct raised_table {
	struct raised *slots; /* open addressing, size a power of two */
	size_t size, count;
};

struct judge {
	struct judge_config config;
	struct judge_counters counters;
	struct budget budget;
	struct digester *digester;
	struct summary *summary;
	struct record_origin origin;
	struct raised_table raised;
	struct throttle *throttle;
	struct deferred *deferred; /* made when taps first differ */
	struct history *history;   /* of the present world */
	struct dns_memory *dns;    /* likewise; NULL: DNS answers are not looked at */
	struct buffer document, line;
	bool headed; /* the lines for people have said which capture they are of */
	struct verdict verdict;
	int evidence_error; /* errno of the first evidence that could not be written */
	char evidence_path[EVIDENCE_PATH_MAX];
};

#define HEADING_MAX 512 /* bytes of a capture's path that stand above its alerts */

/* ---- which rules a session raised ---- */

static size_t raised_slot(const struct raised_table *table, uint64_t key)
{
	/* Ids are ordinals of packets: a multiplication spreads them (Knuth 6.4). */
	size_t slot = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 32) & (table->size - 1);
	while (table->slots[slot].session != 0 && table->slots[slot].session != key)
		slot = (slot + 1) & (table->size - 1);
	return slot;
}

static bool raised_grow(struct judge *judge)
{
	struct raised_table *table = &judge->raised;
	struct raised_table grown = {.size = table->size == 0 ? 256 : table->size * 2};

	grown.slots = budget_calloc(&judge->budget, grown.size, sizeof *grown.slots);
	if (grown.slots == NULL)
		return false;
	for (size_t i = 0; i < table->size; i++)
		if (table->slots[i].session != 0)
			grown.slots[raised_slot(&grown, table->slots[i].session)] = table->slots[i];
	budget_free(&judge->budget, table->slots, table->size * sizeof *table->slots);
	table->slots = grown.slots;
	table->size = grown.size;
	return true;
}

static uint32_t raised_get(const struct judge *judge, uint64_t session)
{
	const struct raised_table *table = &judge->raised;
	return table->size == 0 ? 0 : table->slots[raised_slot(table, session + 1)].rules;
}

static void raised_put(struct judge *judge, uint64_t session, uint32_t rules)
{
	struct raised_table *table = &judge->raised;
	if (table->count * 2 >= table->size && !raised_grow(judge) &&
	    table->count + 1 >= table->size) {
		judge->counters.unrecorded++;
		return;
	}
	struct raised *slot = &table->slots[raised_slot(table, session + 1)];
	table->count += slot->session == 0;
	*slot = (struct raised){.session = session + 1, .rules = rules};
}

/* Takes a session out; what stood behind it in its run moves up. */
static void raised_drop(struct judge *judge, uint64_t session)
{
	struct raised_table *table = &judge->raised;
	if (table->size == 0)
		return;
	size_t hole = raised_slot(table, session + 1);
	if (table->slots[hole].session == 0)
		return;
	table->slots[hole] = (struct raised){.session = 0};
	table->count--;
	for (size_t i = (hole + 1) & (table->size - 1); table->slots[i].session != 0;
	     i = (i + 1) & (table->size - 1)) {
		struct raised moved = table->slots[i];
		table->slots[i] = (struct raised){.session = 0};
		table->slots[raised_slot(table, moved.session)] = moved;
	}
}

static void raised_clear(struct judge *judge)
{
	struct raised_table *table = &judge->raised;
	budget_free(&judge->budget, table->slots, table->size * sizeof *table->slots);
	*table = (struct raised_table){.slots = NULL};
}

/* ---- life ---- */

struct judge *judge_create(const struct judge_config *config)
{
	struct judge *judge = calloc(1, sizeof *judge);
	if (judge == NULL)
		return NULL;
	judge->config = *config;
	budget_init(&judge->budget, config->memory);
	judge->digester = digester_create();
	judge->summary = summary_create(LIMIT_SUMMARY_HOSTS, config->show_addresses);
	judge->origin = (struct record_origin){
	    .sensor = config->sensor,
	    .version = STRIPWATCH_VERSION,
	    .interface = config->interface,
	    .show_addresses = config->show_addresses,
	    .taps = config->taps,
	    .tap_count = config->tap_count,
	};
	buffer_init(&judge->document, &judge->budget, LIMIT_DOCUMENT);
	buffer_init(&judge->line, &judge->budget, LIMIT_DOCUMENT);
	const struct throttle_options throttling = {
	    .window_ns = config->suppression_ns,
	    .capacity = LIMIT_THROTTLE_KEYS,
	    .prefix_ipv4 = 24,
	    .prefix_ipv6 = 64,
	    .key = config->hash_key,
	};
	judge->throttle = throttle_create(&judge->budget, &throttling);
	if (judge->digester == NULL || judge->summary == NULL || judge->throttle == NULL) {
		judge_destroy(judge);
		return NULL;
	}
	return judge;
}

void judge_destroy(struct judge *judge)
{
	if (judge == NULL)
		return;
	raised_clear(judge);
	throttle_destroy(judge->throttle);
	deferred_destroy(judge->deferred);
	history_destroy(judge->history);
	dns_memory_destroy(judge->dns);
	buffer_free(&judge->document);
	buffer_free(&judge->line);
	summary_destroy(judge->summary);
	digester_destroy(judge->digester);
	free(judge);
}

static bool begin_dns(struct judge *judge)
{
	const struct dns_memory_limits limits = {
	    .addresses = LIMIT_DNS_ADDRESSES,
	    .hosts = LIMIT_DNS_HOSTS,
	    .domains = LIMIT_DNS_DOMAINS,
	};
	dns_memory_destroy(judge->dns);
	judge->dns = NULL;
	if (judge->config.dns)
		judge->dns = dns_memory_create(&judge->budget, &judge->config.hash_key, &limits);
	return !judge->config.dns || judge->dns != NULL;
}

bool judge_begin(struct judge *judge, const char *name)
{
	struct history_config config = history_config_default((struct history_limits){
	    .servers = LIMIT_HISTORY_SERVERS,
	    .failures = LIMIT_HISTORY_FAILURES,
	    .sessions = LIMIT_HISTORY_SESSIONS,
	    .paths = LIMIT_HISTORY_PATHS,
	    .clients = LIMIT_HISTORY_CLIENTS,
	});
	config.key = judge->config.hash_key;
	config.fallback_window_s = judge->config.fallback_window_s;
	config.learn = judge->config.learn;
	config.share = judge->config.share;
	config.compare_taps = judge->config.compare_taps;
	config.tap_names = judge->config.taps;
	config.tap_count = (uint32_t)judge->config.tap_count;
	raised_clear(judge);
	judge->origin.input = name;
	judge->headed = name == NULL;
	history_destroy(judge->history);
	judge->history = history_create(&judge->budget, &config);
	return judge->history != NULL && begin_dns(judge);
}

struct history *judge_history(struct judge *judge)
{
	return judge->history;
}

/* ---- what leaves ---- */

/* Writes the session's packets beside the alert, if they are kept and there are any. */
static void keep_evidence(struct judge *judge, struct alert *alert)
{
	const struct observation *observation = alert->observation;
	if (judge->config.evidence == NULL || observation == NULL || observation->packets.len == 0)
		return;
	if (evidence_file_write(judge->config.evidence, alert->id, observation->packets,
				judge->digester, judge->evidence_path, alert->pcap.sha256))
		alert->pcap.path = judge->evidence_path;
	else if (judge->counters.evidence_failed++ == 0)
		judge->evidence_error = errno;
}

/* Which capture the next lines are of, where each is a world of its own: its name, as a path of
 * somebody else's may hold anything. */
static void add_heading(struct judge *judge)
{
	const char *path = judge->origin.input;
	char shown[HEADING_MAX];

	(void)terminal_text(span_of(path, strlen(path)), shown, sizeof shown);
	buffer_add_text(&judge->line, shown);
	buffer_add_text(&judge->line, ":\n");
}

static void send_alert(struct judge *judge, struct alert *alert)
{
	const struct judge_config *config = &judge->config;

	judge->counters.sent++;
	if (alert->observation != NULL) {
		judge->counters.dialogue_cut += alert->observation->dialogue_evicted;
		judge->counters.evidence_cut += alert->observation->packets_evicted;
	}
	buffer_clear(&judge->document);
	bool identified = alert_identify(alert, &judge->origin, judge->digester);
	if (identified)
		keep_evidence(judge, alert);
	if (!identified || !alert_write_as(config->format, alert, &judge->origin, judge->digester,
					   &judge->document)) {
		judge->counters.oversized++;
		return;
	}
	if (config->report != NULL)
		report_add_alert(config->report, alert);
	struct sink_alert document = {
	    .id = span_str(alert->id),
	    .rule = alert->finding.rule,
	    .severity = alert->finding.severity,
	    .sensor = span_str(config->sensor),
	    .json = buffer_span(&judge->document),
	    .alert = alert,
	    .origin = &judge->origin,
	};
	for (size_t i = 0; i < config->sink_count; i++)
		(void)config->sinks[i]->ops->alert(config->sinks[i], &document);
	if (config->lines == NULL)
		return;
	buffer_clear(&judge->line);
	if (config->over_progress)
		buffer_add_text(&judge->line, PROGRESS_ERASE);
	if (!judge->headed)
		add_heading(judge);
	alert_line(alert, config->colours, &judge->line);
	buffer_add_char(&judge->line, '\n');
	if (judge->line.failed) {
		judge->counters.unprinted++;
		return;
	}
	judge->headed = true;
	(void)fwrite(judge->line.bytes, 1, judge->line.len, config->lines);
}

static void send_record(struct judge *judge, const struct observation *observation, uint32_t rules)
{
	buffer_clear(&judge->document);
	if (!record_write(&judge->origin, judge->digester, &observation->facts,
			  observation->certificate, rules, &judge->document)) {
		judge->counters.oversized++;
		return;
	}
	for (size_t i = 0; i < judge->config.sink_count; i++)
		(void)judge->config.sinks[i]->ops->session(judge->config.sinks[i],
							   buffer_span(&judge->document));
}

/* What became of the paths whose downgrade was raised. */
static void tell_paths(struct judge *judge, int64_t now_ns, bool finish)
{
	const struct judge_config *config = &judge->config;
	struct path_state path;
	while (history_next_path(judge->history, now_ns, config->suppression_ns, finish, &path)) {
		struct alert summary = {
		    .time_ns = path.until_ns,
		    .session = path.session,
		    .count = path.lost,
		    .summary = path.summaries,
		    .first_ns = path.since_ns,
		    .last_ns = path.until_ns,
		};
		history_path_finding(&path, &summary.finding);
		if (config->has_severity[RULE_PATH_DOWNGRADE])
			summary.finding.severity = config->severity[RULE_PATH_DOWNGRADE];
		if ((config->disabled >> RULE_PATH_DOWNGRADE & 1) == 0)
			send_alert(judge, &summary);
	}
}

static bool is_allowed(const struct judge *judge, const struct client_exposure *client)
{
	struct alert alert = {.finding = {.rule = RULE_PLAINTEXT_CREDENTIALS, .reason = ""},
			      .session = {.client = {.addr = client->client}}};
	for (unsigned i = 0; i < client->server_count; i++) {
		alert.session.server = client->servers[i];
		if (!allow_covers(judge->config.allowed, judge->config.allowed_count, &alert))
			return false;
	}
	return true;
}

/* Which clients exposed credentials on a day, however often the single alerts were folded. */
static void tell_exposed(struct judge *judge, int64_t of_day, bool finish)
{
	const struct judge_config *config = &judge->config;
	struct exposure_day day = {.day = of_day};
	const struct client_exposure *client = NULL;
	while ((client = history_next_client(judge->history, client)) != NULL)
		if (client->day == day.day && !is_allowed(judge, client))
			exposure_day_add(&day, client);
	if (day.clients == 0)
		return;
	int64_t begin_ns = day.day * EXPOSURE_DAY_S * 1000000000;
	struct alert summary = {
	    .time_ns =
		finish ? day.last_s * 1000000000 : begin_ns + INT64_C(1000000000) * EXPOSURE_DAY_S,
	    .session = {.start_ns = begin_ns},
	    .exposed = &day,
	    .count = day.sessions,
	    .summary = 1,
	    .first_ns = day.first_s * 1000000000,
	    .last_ns = day.last_s * 1000000000,
	};
	exposure_day_finding(&day, &summary.finding);
	if (config->has_severity[RULE_PLAINTEXT_CREDENTIALS])
		summary.finding.severity = config->severity[RULE_PLAINTEXT_CREDENTIALS];
	send_alert(judge, &summary);
}

/* Once a day. */
static void tell_day(struct judge *judge, int64_t now_ns, bool finish)
{
	int64_t day;
	if (history_due_day(judge->history, now_ns, finish, &day) &&
	    (judge->config.disabled >> RULE_PLAINTEXT_CREDENTIALS & 1) == 0)
		tell_exposed(judge, day, finish);
}

/* Summaries of windows whose time is over. */
static void close_windows(struct judge *judge, int64_t now_ns)
{
	struct alert summary;
	while (throttle_close(judge->throttle, now_ns, &summary)) {
		/* Since the alert left, the others may have turned out to be stripped as well. */
		if (summary.finding.rule == RULE_STARTTLS_STRIPPED) {
			history_restate_stripped(judge->history, &summary.session.server,
						 &summary.session.client.addr, summary.time_ns,
						 &summary.finding);
			if (judge->config.has_severity[RULE_STARTTLS_STRIPPED])
				summary.finding.severity =
				    judge->config.severity[RULE_STARTTLS_STRIPPED];
		}
		send_alert(judge, &summary);
	}
}

static void raise_alert(struct judge *judge, struct alert *alert)
{
	struct alert summary;
	bool evicted = false;

	if (allow_covers(judge->config.allowed, judge->config.allowed_count, alert)) {
		judge->counters.allowed++;
		return;
	}
	/* A path's alarm is one already, and history tells how its count grows. */
	bool goes = alert->finding.rule == RULE_PATH_DOWNGRADE ||
		    throttle_offer(judge->throttle, alert, &summary, &evicted);

	summary_alert(judge->summary, alert->finding.rule, alert->finding.severity);
	if (evicted)
		send_alert(judge, &summary);
	if (goes)
		send_alert(judge, alert);
	else
		judge->counters.folded++;
}

/* 0 stands for an answer that has none as well: the sentence tells the two apart. */
static uint64_t shown_code(uint16_t code)
{
	return code == REPLY_WITHOUT_CODE ? 0 : code;
}

/* What each of the two taps saw, beside the sentence that says how they differ. */
static void defer_divergence(struct judge *judge, struct alert *alert)
{
	const struct tap_divergence *found = history_divergence(judge->history);
	const struct tap_view *here = &found->here, *there = &found->there;
	const char *a = record_tap_name(&judge->origin, here->tap);
	const char *b = record_tap_name(&judge->origin, there->tap);
	const struct alert_detail details[] = {
	    {.name = "tap_a", .text = span_str(a == NULL ? "" : a)},
	    {.name = "tap_a_extensions",
	     .text = span_of(here->capabilities, here->capabilities_len)},
	    {.name = "tap_a_starttls_reply", .number = shown_code(here->starttls_code)},
	    {.name = "tap_b", .text = span_str(b == NULL ? "" : b)},
	    {.name = "tap_b_extensions",
	     .text = span_of(there->capabilities, there->capabilities_len)},
	    {.name = "tap_b_starttls_reply", .number = shown_code(there->starttls_code)},
	};
	alert->details = details;
	alert->detail_count = sizeof details / sizeof details[0];
	if (judge->deferred == NULL)
		judge->deferred = deferred_create(&judge->budget, LIMIT_DEFERRED);
	if (judge->deferred == NULL ||
	    !deferred_add(judge->deferred, alert, alert->time_ns + LIMIT_TAPS_SETTLE_NS))
		raise_alert(judge, alert);
	alert->details = NULL;
	alert->detail_count = 0;
}

/* Of what two taps saw, that which nothing changes any more. */
static void tell_divergences(struct judge *judge, int64_t now_ns)
{
	struct alert *alert;
	while (judge->deferred != NULL && (alert = deferred_next(judge->deferred, now_ns)) != NULL)
		raise_alert(judge, alert);
}

bool judge_examine(struct judge *judge, const struct observation *observation)
{
	const struct judge_config *config = &judge->config;
	struct verdict_context context = {.stripped = false};
	uint32_t before = raised_get(judge, observation->facts.id);

	tell_divergences(judge, observation->time_ns);
	close_windows(judge, observation->time_ns);
	tell_paths(judge, observation->time_ns, false);
	tell_day(judge, observation->time_ns, false);
	history_context(judge->history, observation, &context);
	const bool policies = config->policy != NULL || judge->dns != NULL;
	if (policies)
		policy_context(config->policy, judge->dns, observation, &context);
	judge->verdict.count = 0;
	/* Nearly all mail is routine, and every rule would be asked about each step of it. */
	if (policies || !verdict_is_routine(&observation->facts, observation->new_milestones))
		verdict_judge(&observation->facts, observation->certificate, &context,
			      before | config->disabled, &judge->verdict);
	history_findings(judge->history, observation, before | config->disabled, &judge->verdict);
	if (policies)
		policy_findings(config->policy, judge->dns, observation, before | config->disabled,
				&judge->verdict);
	return judge->verdict.count > 0;
}

void judge_conclude(struct judge *judge, const struct observation *observation)
{
	const struct judge_config *config = &judge->config;
	uint64_t session = observation->facts.id;
	uint32_t before = raised_get(judge, session), rules = before;
	bool closed = (observation->new_milestones & MILESTONE_CLOSED) != 0;
	bool absorbed = judge->verdict.count > 0 &&
			(config->disabled >> RULE_PATH_DOWNGRADE & 1) == 0 &&
			history_absorbs(judge->history, observation);
	for (unsigned i = 0; i < judge->verdict.count; i++) {
		struct finding *finding = &judge->verdict.findings[i];
		if (config->has_severity[finding->rule])
			finding->severity = config->severity[finding->rule];
		rules |= 1U << finding->rule;
		judge->counters.raised++;
		if (absorbed && finding->rule == RULE_STARTTLS_STRIPPED)
			continue; /* one alert for the path stands for it; the record lists it */
		struct alert alert = alert_of(finding, observation);
		if (finding->rule == RULE_PATH_DOWNGRADE)
			alert.count = history_raised_lost(judge->history);
		if (finding->rule == RULE_TAP_DIVERGENCE)
			defer_divergence(judge, &alert);
		else
			raise_alert(judge, &alert);
	}
	history_learn(judge->history, observation);
	if (closed) {
		summary_session(judge->summary, &observation->facts);
		if (config->report != NULL)
			report_add_session(config->report, &observation->facts, rules);
		send_record(judge, observation, rules);
		if (before != 0)
			raised_drop(judge, session);
	} else if (rules != before) {
		raised_put(judge, session, rules);
	}
}

void judge_observe(struct judge *judge, const struct observation *observation)
{
	(void)judge_examine(judge, observation);
	judge_conclude(judge, observation);
}

void judge_dns(struct judge *judge, const struct dns_answers *answers, int64_t time_ns)
{
	if (judge->dns != NULL)
		dns_memory_learn(judge->dns, answers, time_ns);
}

uint64_t judge_dns_evicted(const struct judge *judge)
{
	return judge->dns == NULL ? 0 : dns_memory_evicted(judge->dns);
}

void judge_clock(struct judge *judge, int64_t time_ns)
{
	tell_divergences(judge, time_ns);
	close_windows(judge, time_ns);
	tell_paths(judge, time_ns, false);
	tell_day(judge, time_ns, false);
}

void judge_end(struct judge *judge)
{
	tell_divergences(judge, INT64_MAX);
	close_windows(judge, INT64_MAX);
	tell_paths(judge, 0, true);
	if (judge->config.day_at_end)
		tell_day(judge, 0, true);
	raised_clear(judge);
}

int judge_evidence_error(const struct judge *judge)
{
	return judge->evidence_error;
}

const struct judge_counters *judge_counters(const struct judge *judge)
{
	return &judge->counters;
}

const struct budget *judge_budget(const struct judge *judge)
{
	return &judge->budget;
}

const struct summary *judge_summary(const struct judge *judge)
{
	return judge->summary;
}
