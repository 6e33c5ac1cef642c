/* SPDX-License-Identifier: Apache-2.0 */
/* A run put together as the options say. */
#include "sensor/run_state.h"

#include "alerts/clock.h"
#include "alerts/sink_file.h"
#include "alerts/sink_syslog.h"
#include "sensor/delivery.h"
#include "sensor/limits.h"
#include "sensor/shared_detector.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Where there are several, each is a tap or an interface with a name of its own. */
static const char *only_interface(const struct run *run)
{
	const struct options *options = run->options;
	bool one = run->kind == RUN_WATCH && options->interfaces.count == 1;
	return one && options->taps.count == 0 ? options->interfaces.items[0] : NULL;
}

static struct judge *make_judge(struct run *run)
{
	const struct options *options = run->options;
	struct judge_config config = {
	    .sensor = options->sensor,
	    .interface = only_interface(run),
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
	/* What is there may be a file: of that, access() would say that it must not be searched. */
	struct stat status;
	if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode)) {
		(void)snprintf(error, size, "--evidence: %s: is not a directory", path);
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
			.history = LIMIT_HISTORY,
			.history_total = LIMIT_WORKER_MEMORY / LIMIT_HISTORY_PART},
	    .memory = LIMIT_WORKER_MEMORY,
	    .detector = run->detector,
	    .dialogue_ring = LIMIT_DIALOGUE_RING,
	    .evidence_ring = options->evidence != NULL ? LIMIT_EVIDENCE_RING : 0,
	    .evidence_out = LIMIT_EVIDENCE_OUT,
	    .certificates = LIMIT_CERTIFICATES,
	    .tell_recipients = run->policy != NULL || options->dns,
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
	run->crew_config.near_flows = LIMIT_NEAR_FLOWS;
	if (options->workers != run->crew_config.workers)
		log_line(&run->log, LOG_WARNING,
			 "--workers %" PRIu64 ": watch has one worker, several are replay's",
			 options->workers);
}

/* The names of --tap. */
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

void run_free(struct run *run)
{
	for (size_t i = 0; run->taps != NULL && i < run->tap_count; i++)
		free(run->taps[i]);
	free(run->taps);
	free(run->allowed);
	crew_destroy(run->crew);
	shared_detector_destroy(run->detector);
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
	run->started_ns = clock_now_ns(CLOCK_REALTIME);
	run->last_packet_ns = INT64_MIN;
	heap_follow(&run->heap);
	/* --quiet says nothing of warnings; who asks for more than these by --log-level gets it. */
	enum log_level level = (enum log_level)options->log_level;
	log_init(&run->log, stderr, options->quiet && level == LOG_WARNING ? LOG_ERROR : level);
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
		run->detector = shared_detector_create();
		configure_crew(run);
		good = open_report(run, error, size);
	}
	if (good) {
		run->judge = make_judge(run);
		good = run->judge != NULL && run->detector != NULL;
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
