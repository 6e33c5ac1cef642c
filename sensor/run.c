/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/run.h"

#include "alerts/sink_file.h"
#include "alerts/sink_syslog.h"
#include "decoders/link.h"
#include "sensor/baseline_keeper.h"
#include "sensor/counters.h"
#include "sensor/crew.h"
#include "sensor/delivery.h"
#include "sensor/judge.h"
#include "sensor/limits.h"
#include "sensor/report_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SINKS_MAX 5

struct run {
	const struct options *options;
	enum run_kind kind;
	struct log log;
	struct crew_config crew_config;
	struct crew *crew; /* of the present world */
	struct judge *judge;
	struct certificate_anchors *anchors;
	struct sink *sinks[SINKS_MAX];
	bool told[SINKS_MAX]; /* that it failed */
	size_t sink_count;
	struct report_file *report;  /* NULL: none is asked for */
	struct allow_entry *allowed; /* of --allow */
	char **taps;                 /* names, by tap; owned. [0] is no tap, but with --tap */
	size_t tap_count;
	bool shows_progress;   /* a bar on standard error, a terminal */
	FILE *people;          /* where alerts and the summary for people go; NULL: nowhere */
	struct policy *policy; /* NULL: none is stated */
	struct baseline_keeper *keeper; /* of what the history knows */
	bool complete;                  /* no input was refused, no output failed */
	struct sink *delivery;          /* the one of sinks that has a heartbeat, or NULL */
	struct counters past;           /* of the worlds that are over, without the judge's */
	int64_t started_ns;             /* by the host's clock */
	int64_t last_packet_ns;         /* packet time, INT64_MIN before the first */
};

static int64_t now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool read_allowed(struct run *run, char *error, size_t size)
{
	const struct option_list *list = &run->options->allowed;

	if (list->count == 0)
		return true;
	run->allowed = calloc(list->count, sizeof *run->allowed);
	if (run->allowed == NULL) {
		(void)snprintf(error, size, "out of memory");
		return false;
	}
	for (size_t i = 0; i < list->count; i++) {
		char reason[256];
		if (!allow_parse(span_str(list->items[i]), &run->allowed[i], reason,
				 sizeof reason)) {
			(void)snprintf(error, size, "--allow %s: %s", list->items[i], reason);
			return false;
		}
	}
	return true;
}

static struct judge *make_judge(struct run *run)
{
	const struct options *options = run->options;
	struct judge_config config = {
	    .sensor = options->sensor,
	    .show_addresses = options->show_addresses,
	    .format = options->alert_format == 0 ? ALERT_FORMAT_ECS
						 : (enum alert_format)(options->alert_format - 1),
	    .disabled = options_disabled_rules(options),
	    .allowed = run->allowed,
	    .allowed_count = options->allowed.count,
	    .suppression_ns = (int64_t)options->suppression_window * 1000000000,
	    .memory = LIMIT_JUDGE_MEMORY,
	    .policy = run->policy,
	    .dns = options->dns,
	    .learn = !options->baseline_readonly,
	    .share = options->baseline_redis,
	    .day_at_end = run->kind == RUN_WATCH,
	    .fallback_window_s = (int64_t)options->fallback_window,
	    .taps = (const char *const *)run->taps,
	    .tap_count = run->tap_count,
	    .compare_taps = run->options->taps.count > 1,
	    .evidence = options->evidence,
	    .hash_key = run->crew_config.pipeline.hash_key,
	    .sinks = run->sinks,
	    .sink_count = run->sink_count,
	    .report = run->report == NULL ? NULL : report_file_report(run->report),
	    .lines = run->people,
	    .over_progress = run->shows_progress && isatty(STDOUT_FILENO),
	    .colours = run->people != NULL && isatty(fileno(run->people)),
	};
	for (unsigned i = 0; i < RULE_COUNT; i++)
		config.has_severity[i] =
		    options_rule_severity(options, (enum rule)i, &config.severity[i]);
	return judge_create(&config);
}

static bool open_file(struct run *run, const char *path, unsigned what, char *error, size_t size)
{
	char reason[SINK_ERROR_MAX];
	size_t buffer = run->kind == RUN_REPLAY ? LIMIT_OUTPUT_BUFFER : 0;

	if (path == NULL)
		return true;
	struct sink *sink = sink_file_open(path, what, run->kind == RUN_REPLAY, buffer, reason);
	if (sink == NULL) {
		(void)snprintf(error, size, "%s", reason);
		return false;
	}
	run->sinks[run->sink_count++] = sink;
	return true;
}

static bool open_delivery(struct run *run, char *error, size_t size)
{
	const struct options *options = run->options;
	char reason[SINK_ERROR_MAX];

	if (options->redis == NULL && options->outbox != NULL) {
		(void)snprintf(error, size, "--outbox: needs --redis");
		return false;
	}
	if (options->redis == NULL)
		return true;
	struct sink *sink = delivery_open(options, run->kind == RUN_REPLAY, &run->log, reason);
	if (sink == NULL) {
		(void)snprintf(error, size, "%s", reason);
		return false;
	}
	run->sinks[run->sink_count++] = sink;
	run->delivery = sink;
	return true;
}

static bool open_syslog(struct run *run, char *error, size_t size)
{
	const struct sink_syslog_config config = {
	    .path = run->options->syslog,
	    .queue_bytes = LIMIT_SYSLOG_QUEUE,
	    .wait_ms = run->kind == RUN_REPLAY ? LIMIT_SYSLOG_WAIT_MS : 0,
	    .drain_ms = LIMIT_SYSLOG_DRAIN_MS,
	};
	char reason[SINK_ERROR_MAX];

	if (config.path == NULL)
		return true;
	struct sink *sink = sink_syslog_open(&config, reason);
	if (sink == NULL) {
		(void)snprintf(error, size, "%s", reason);
		return false;
	}
	run->sinks[run->sink_count++] = sink;
	return true;
}

static bool open_outputs(struct run *run, char *error, size_t size)
{
	const struct options *options = run->options;
	return open_file(run, options->alerts, SINK_FILE_ALERTS, error, size) &&
	       open_file(run, options->sessions, SINK_FILE_SESSIONS, error, size) &&
	       open_syslog(run, error, size) && open_delivery(run, error, size);
}

/* The directory for evidence, made if it is missing. */
static bool open_evidence(const struct options *options, char *error, size_t size)
{
	const char *path = options->evidence;
	if (path == NULL)
		return true;
	if (mkdir(path, 0750) != 0 && errno != EEXIST) {
		(void)snprintf(error, size, "%s: cannot be made: %s", path, strerror(errno));
		return false;
	}
	if (access(path, W_OK | X_OK) != 0) {
		(void)snprintf(error, size, "%s: cannot be written to: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static bool read_policy(struct run *run, char *error, size_t size)
{
	char reason[POLICY_ERROR_MAX];
	if (run->options->policy == NULL)
		return true;
	run->policy = policy_open(run->options->policy, reason);
	if (run->policy == NULL)
		(void)snprintf(error, size, "%s", reason);
	return run->policy != NULL;
}

static bool open_baseline(struct run *run, char *error, size_t size)
{
	char reason[BASELINE_KEEPER_ERROR_MAX];
	run->keeper = baseline_keeper_open(run->options, &run->log, reason);
	if (run->keeper == NULL)
		(void)snprintf(error, size, "%s", reason);
	return run->keeper != NULL;
}

static bool read_anchors(struct run *run, char *error, size_t size)
{
	const struct options *options = run->options;
	if (options->ca_file == NULL && options->ca_path == NULL)
		return true;
	run->anchors = certificate_anchors_create(options->ca_file, options->ca_path, error, size);
	return run->anchors != NULL;
}

static void configure_crew(struct run *run)
{
	const struct options *options = run->options;
	run->crew_config.pipeline = (struct pipeline_config){
	    .ports = {.all = options->all_ports,
		      .port = options->ports.port,
		      .count = options->ports.count},
	    .redaction = {.show_addresses = options->show_addresses,
			  .show_accounts = options->show_accounts},
	    .anchors = run->anchors,
	    .flows = {.max_flows = LIMIT_FLOWS,
		      .idle_ns = LIMIT_IDLE_NS,
		      .half_open_ns = LIMIT_HALF_OPEN_NS,
		      .trails = options->evidence != NULL},
	    .streams = {.max_out_of_order = LIMIT_OUT_OF_ORDER,
			.max_held = LIMIT_HELD,
			.max_chunks = LIMIT_CHUNKS,
			.hold_segments = LIMIT_HOLD_SEGMENTS,
			.hold_ns = LIMIT_HOLD_NS,
			.loss_ns = LIMIT_LOSS_NS,
			.history = LIMIT_HISTORY},
	    .memory = LIMIT_WORKER_MEMORY,
	    .dialogue_ring = LIMIT_DIALOGUE_RING,
	    .evidence_ring = options->evidence != NULL ? LIMIT_EVIDENCE_RING : 0,
	    .evidence_out = LIMIT_EVIDENCE_OUT,
	    .certificates = LIMIT_CERTIFICATES,
	    .always_dialogue = run->policy != NULL || options->dns || options->taps.count > 1,
	};
	/* Without entropy the tables still work; they can then be aimed at. */
	if (getrandom(&run->crew_config.pipeline.hash_key,
		      sizeof run->crew_config.pipeline.hash_key, 0) < 0)
		log_line(&run->log, LOG_WARNING, "no random numbers: %s", strerror(errno));
	run->crew_config.intake = (struct intake_config){
	    .ports = run->crew_config.pipeline.ports,
	    .packets = {.max_layers = LIMIT_LAYERS,
			.want_dns = run->options->dns,
			.frag = {.max_datagrams = LIMIT_FRAGMENTED,
				 .max_bytes = LIMIT_FRAGMENT_BYTES,
				 .max_age_ns = LIMIT_FRAGMENT_AGE_NS}},
	    .memory = LIMIT_INTAKE_MEMORY,
	    .hash_key = run->crew_config.pipeline.hash_key,
	};
	run->crew_config.workers = run->kind == RUN_REPLAY ? (unsigned)options->workers : 1;
	if (options->workers != run->crew_config.workers)
		log_line(&run->log, LOG_WARNING,
			 "--workers %" PRIu64 ": watch has one worker, several are replay's",
			 options->workers);
}

/* The names of --tap NAME=SOURCE. */
static bool name_taps(struct run *run, char *error, size_t size)
{
	const struct option_list *list = &run->options->taps;

	if (list->count > UINT8_MAX) {
		(void)snprintf(error, size, "--tap: more than %u", (unsigned)UINT8_MAX);
		return false;
	}
	/* Without --tap the interfaces are taps: they are named as they come. */
	run->tap_count = list->count > 0 ? list->count : LIMIT_TAPS;
	run->taps = calloc(run->tap_count, sizeof *run->taps);
	if (run->taps != NULL && list->count == 0)
		return true;
	for (size_t i = 0; run->taps != NULL && i < list->count; i++) {
		size_t len;
		(void)option_pair_value(list->items[i], &len);
		run->taps[i] = strndup(list->items[i], len);
		if (run->taps[i] == NULL)
			break;
		if (i + 1 == list->count)
			return true;
	}
	(void)snprintf(error, size, "out of memory");
	return false;
}

static bool open_report(struct run *run, char *error, size_t size)
{
	if (run->options->report == NULL)
		return true;
	run->report =
	    report_file_open(run->options, &run->crew_config.pipeline.hash_key, error, size);
	return run->report != NULL;
}

static void run_free(struct run *run)
{
	for (size_t i = 0; run->taps != NULL && i < run->tap_count; i++)
		free(run->taps[i]);
	free(run->taps);
	free(run->allowed);
	crew_destroy(run->crew);
	judge_destroy(run->judge);
	(void)baseline_keeper_close(run->keeper);
	policy_close(run->policy);
	report_file_abandon(run->report);
	certificate_anchors_destroy(run->anchors);
	free(run);
}

struct run *run_create(const struct options *options, enum run_kind kind, char *error, size_t size)
{
	struct run *run = calloc(1, sizeof *run);
	if (run == NULL) {
		(void)snprintf(error, size, "out of memory");
		return NULL;
	}
	run->options = options;
	run->kind = kind;
	run->complete = true;
	run->started_ns = now_ns();
	run->last_packet_ns = INT64_MIN;
	log_init(&run->log, stderr, (enum log_level)options->log_level);
	run->shows_progress = kind == RUN_REPLAY && !options->quiet && isatty(STDERR_FILENO) &&
			      !(options_use_stdout(options) && isatty(STDOUT_FILENO));
	run->log.over_progress = run->shows_progress;
	if (!options->quiet && !options_use_stdout(options))
		run->people = stdout;
	bool good = application_abi_ok(error, size) && read_policy(run, error, size) &&
		    name_taps(run, error, size) && read_allowed(run, error, size) &&
		    read_anchors(run, error, size) && open_baseline(run, error, size) &&
		    open_evidence(options, error, size) && open_outputs(run, error, size);
	if (good) {
		configure_crew(run);
		good = open_report(run, error, size);
	}
	if (good) {
		run->judge = make_judge(run);
		good = run->judge != NULL;
		if (!good)
			(void)snprintf(error, size, "out of memory");
	}
	if (good)
		return run;
	for (size_t i = 0; i < run->sink_count; i++) {
		char ignored[SINK_ERROR_MAX];
		(void)run->sinks[i]->ops->close(run->sinks[i], ignored, sizeof ignored);
	}
	run_free(run);
	return NULL;
}

/* The judge, its outputs and all counters are this thread's until the next frame. */
static void rest(struct run *run)
{
	if (run->crew != NULL)
		crew_rest(run->crew);
}

void run_name_interface(struct run *run, uint16_t interface, const char *name)
{
	if (interface >= run->tap_count)
		return;
	rest(run);
	free(run->taps[interface]);
	run->taps[interface] = strdup(name);
	if (run->taps[interface] != NULL)
		return;
	log_line(&run->log, LOG_ERROR, "out of memory: interface %s goes without its name", name);
	run->complete = false;
}

bool run_shows_progress(const struct run *run)
{
	return run->shows_progress;
}

FILE *run_people(const struct run *run)
{
	return run->people;
}

void run_input(struct run *run, const char *path)
{
	if (run->report == NULL)
		return;
	rest(run);
	if (!report_file_input(run->report, path))
		log_line(&run->log, LOG_WARNING,
			 "%s: cannot be read again, the report has no digest of it", path);
}

const struct log *run_log(const struct run *run)
{
	return &run->log;
}

bool run_begin_world(struct run *run, const char *name)
{
	if (!judge_begin(run->judge, name))
		return false;
	if (!baseline_keeper_load(run->keeper, judge_history(run->judge), run->kind == RUN_REPLAY))
		run->complete = false;
	run->crew = crew_create(&run->crew_config, run->judge);
	return run->crew != NULL;
}

bool run_relieve(struct run *run)
{
	return crew_relieve(run->crew);
}

/* The frames that one holds (link.h), each as a packet; returns the ordinal behind them. */
static uint64_t aggregated_frames(struct run *run, const struct captured_frame *frame,
				  struct layer *aggregate)
{
	struct captured_frame part = *frame;

	part.link_type = LINKTYPE_AGGREGATED;
	part.fcs_len = 0;
	while (link_aggregate_next(aggregate, &part.bytes, &part.wire_len)) {
		crew_frame(run->crew, &part);
		part.ordinal++;
	}
	return part.ordinal;
}

uint64_t run_frame(struct run *run, const struct captured_frame *frame)
{
	struct layer aggregate;
	uint64_t end = frame->ordinal;

	run->last_packet_ns = frame->time_ns;
	if (link_aggregate(frame->link_type, frame->fcs_len, frame->bytes, frame->wire_len,
			   &aggregate))
		end = aggregated_frames(run, frame, &aggregate);
	if (end == frame->ordinal) {
		crew_frame(run->crew, frame);
		end++;
	}
	return end;
}

void run_clock(struct run *run, int64_t time_ns, uint64_t ordinal)
{
	crew_clock(run->crew, time_ns, ordinal);
	rest(run);
	judge_clock(run->judge, time_ns);
}

/* Adds what the present world has counted so far. */
static void add_world(const struct run *run, struct counters *sum)
{
	if (run->crew == NULL)
		return;
	const struct intake_counters *packets = intake_counters(crew_intake(run->crew));
	const struct frag_counters *fragments = intake_frag_counters(crew_intake(run->crew));
	const struct history_counts known = history_counts(judge_history(run->judge));

	sum->packets += packets->frames;
	sum->bytes += packets->frame_bytes;
	sum->segments += packets->segments;
	sum->mail_segments += packets->mail_segments;
	sum->caps_reached += known.evicted_servers + known.evicted_failures +
			     known.evicted_sessions + known.evicted_paths + known.evicted_clients +
			     known.evicted_shared;
	sum->caps_reached += packets->dns_facts_dropped + judge_dns_evicted(run->judge);
	sum->caps_reached += fragments->evicted + fragments->no_memory;
	sum->caps_reached +=
	    intake_budget(crew_intake(run->crew))->refused + crew_unread(run->crew);
	for (unsigned i = 0; i < crew_size(run->crew); i++) {
		const struct pipeline *pipeline = crew_pipeline(run->crew, i);
		const struct stream_counters *streams = pipeline_stream_counters(pipeline);
		const struct flow_counters *flows = pipeline_flow_counters(pipeline);
		const struct pipeline_counters *sessions = pipeline_counters(pipeline);

		sum->sessions += sessions->sessions;
		sum->connections += flows->created;
		sum->connections_evicted += flows->evicted;
		sum->gaps += streams->gaps;
		sum->gap_bytes += streams->gap_bytes;
		sum->caps_reached += streams->cap_reached + pipeline_budget(pipeline)->refused +
				     sessions->refused + flows->evicted;
	}
}

/* Everything that was counted since the start. */
static struct counters count_all(const struct run *run)
{
	const struct judge_counters *judged = judge_counters(run->judge);
	struct counters sum = run->past;

	add_world(run, &sum);
	sum.caps_reached += judged->dialogue_cut + judged->evidence_cut;
	sum.caps_reached += judge_budget(run->judge)->refused;
	sum.findings = judged->raised;
	sum.alerts_raised = judged->sent;
	sum.alerts_folded = judged->folded;
	sum.alerts_allowed = judged->allowed;
	sum.documents_oversized = judged->oversized;
	sum.evidence_failed = judged->evidence_failed;
	for (size_t i = 0; i < run->sink_count; i++)
		sum.outputs_refused += run->sinks[i]->refused;
	return sum;
}

void run_heartbeat(struct run *run, const struct counters_interface *interfaces, size_t count)
{
	struct heartbeat beat = {.count = 0};

	if (run->delivery == NULL)
		return;
	rest(run);
	const struct counters counters = count_all(run);
	counters_tell(&counters, run->started_ns, run->last_packet_ns, interfaces, count, &beat);
	delivery_set_heartbeat(run->delivery, &beat);
}

void run_end_world(struct run *run, uint64_t ordinal)
{
	crew_finish(run->crew, ordinal);
	judge_end(run->judge);
	if (!baseline_keeper_save(run->keeper, judge_history(run->judge)))
		run->complete = false;

	add_world(run, &run->past);
	crew_destroy(run->crew);
	run->crew = NULL;
}

/* Logs what an output has to say: that it failed, once, and what it warns of. */
static void tell_sink(struct run *run, size_t i)
{
	struct sink *sink = run->sinks[i];

	if (sink->warning[0] != '\0')
		log_line(&run->log, LOG_WARNING, "%s", sink->warning);
	sink->warning[0] = '\0';
	if (sink->failed && !run->told[i])
		log_line(&run->log, LOG_ERROR, "%s", sink->error);
	run->told[i] = sink->failed;
}

void run_upkeep(struct run *run, int64_t time_ns)
{
	rest(run);
	if (!baseline_keeper_upkeep(run->keeper, judge_history(run->judge), time_ns))
		run->complete = false;
}

void run_flush(struct run *run)
{
	rest(run);
	for (size_t i = 0; i < run->sink_count; i++) {
		(void)run->sinks[i]->ops->flush(run->sinks[i]);
		tell_sink(run, i);
	}
	if (run->people != NULL)
		(void)fflush(run->people);
}

void run_reopen(struct run *run)
{
	rest(run);
	for (size_t i = 0; i < run->sink_count; i++)
		if (!run->sinks[i]->ops->reopen(run->sinks[i]))
			log_line(&run->log, LOG_ERROR, "%s", run->sinks[i]->error);
}

static void print_summary(struct run *run)
{
	FILE *out = run->people;
	const struct judge_counters *judged = judge_counters(run->judge);

	if (summary_alerts(judge_summary(run->judge)) > 0)
		fputc('\n', out);
	fprintf(out, "Packets %" PRIu64 ", sessions %" PRIu64 ", alerts %" PRIu64,
		run->past.packets, summary_sessions(judge_summary(run->judge)), judged->sent);
	if (run->past.gaps > 0)
		fprintf(out, ", gaps %" PRIu64 " (%" PRIu64 " bytes missing)", run->past.gaps,
			run->past.gap_bytes);
	fprintf(out, "\n\n");
	if (run->past.packets > 0 && summary_sessions(judge_summary(run->judge)) == 0 &&
	    !run->options->all_ports)
		fprintf(out, "No SMTP was seen on the ports of --ports; --all-ports looks on every "
			     "port.\n\n");
	if (!summary_print(judge_summary(run->judge), out, LIMIT_SUMMARY_ROWS)) {
		log_line(&run->log, LOG_ERROR, "summary: out of memory, hosts are missing");
		run->complete = false;
	}
}

/* What was decided and could not be told. */
static void report_unsaid(struct run *run)
{
	const struct judge_counters *judged = judge_counters(run->judge);
	int evidence_error = judge_evidence_error(run->judge);

	if (evidence_error != 0)
		log_line(&run->log, LOG_ERROR, "%s: %" PRIu64 " captures could not be written: %s",
			 run->options->evidence, judged->evidence_failed, strerror(evidence_error));
	if (judged->oversized > 0)
		log_line(&run->log, LOG_ERROR,
			 "%" PRIu64 " alerts or session records are lost: no memory for them, or "
			 "larger than %zu bytes",
			 judged->oversized, (size_t)LIMIT_DOCUMENT);
	if (judged->unprinted > 0)
		log_line(&run->log, LOG_ERROR, "%" PRIu64 " alerts were not printed: out of memory",
			 judged->unprinted);
	if (judged->dialogue_cut + judged->evidence_cut > 0)
		log_line(&run->log, LOG_WARNING,
			 "%" PRIu64 " alerts lack the beginning of their dialogue and %" PRIu64
			 " of their evidence: the memory for these was full",
			 judged->dialogue_cut, judged->evidence_cut);
	if (judged->unrecorded > 0)
		log_line(&run->log, LOG_WARNING,
			 "out of memory: alerts of %" PRIu64 " sessions may be repeated",
			 judged->unrecorded);
	if (evidence_error != 0 || judged->oversized > 0 || judged->unprinted > 0)
		run->complete = false;
}

int run_finish(struct run *run)
{
	int status = STATUS_DONE;

	report_unsaid(run);
	const struct counters counters = count_all(run);
	if (counters.caps_reached > 0)
		log_line(&run->log, LOG_WARNING,
			 "a cap was reached %" PRIu64 " times (%" PRIu64
			 " connections given up): results may be incomplete",
			 counters.caps_reached, counters.connections_evicted);
	if (!baseline_keeper_close(run->keeper))
		run->complete = false;
	run->keeper = NULL;
	if (run->people != NULL)
		print_summary(run);
	bool alerted =
	    run->options->fail_on != 0 &&
	    summary_reached(judge_summary(run->judge), (enum severity)(run->options->fail_on - 1));
	for (size_t i = 0; i < run->sink_count; i++) {
		char error[SINK_ERROR_MAX + 64];
		(void)run->sinks[i]->ops->flush(run->sinks[i]);
		if (!run->sinks[i]->ops->close(run->sinks[i], error, sizeof error)) {
			log_line(&run->log, LOG_ERROR, "%s", error);
			run->complete = false;
		}
	}
	if (run->report != NULL) {
		char error[SINK_ERROR_MAX];
		if (!report_file_close(run->report, error, sizeof error)) {
			log_line(&run->log, LOG_ERROR, "%s", error);
			run->complete = false;
		}
		run->report = NULL;
	}
	if (run->people != NULL && (fflush(run->people) != 0 || ferror(run->people))) {
		log_line(&run->log, LOG_ERROR, "standard output: cannot be written");
		run->complete = false;
	}
	if (alerted)
		status = STATUS_ALERTED;
	else if (!run->complete)
		status = STATUS_INCOMPLETE;
	run_free(run);
	return status;
}
