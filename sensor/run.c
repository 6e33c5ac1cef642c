/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/run_state.h"

#include "decoders/link.h"
#include "sensor/delivery.h"
#include "sensor/limits.h"

#include <stdlib.h>
#include <string.h>

void run_rest(struct run *run)
{
	if (run->crew != NULL)
		crew_rest(run->crew);
}

void run_name_interface(struct run *run, uint16_t interface, const char *name)
{
	if (interface >= run->tap_count)
		return;
	run_rest(run);
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
	run_rest(run);
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

/*
 * The frames that one of a wireless network may hold (link.h), each as a packet; returns the
 * ordinal behind them, the frame's own if it holds none. Not inlined: of another kind are most.
 */
__attribute__((noinline)) static uint64_t aggregated_frames(struct run *run,
							    const struct capture_packet *captured)
{
	struct capture_packet part = *captured;
	struct layer aggregate;

	if (!link_aggregate(captured->link_type, captured->fcs_len, captured->frame, captured->len,
			    &aggregate))
		return captured->ordinal;
	part.link_type = LINKTYPE_AGGREGATED;
	part.fcs_len = 0;
	while (link_aggregate_next(&aggregate, &part.frame, &part.len)) {
		crew_frame(run->crew, &part);
		part.ordinal++;
	}
	return part.ordinal;
}

uint64_t run_frame(struct run *run, const struct capture_packet *captured)
{
	run->last_packet_ns = captured->time_ns;
	if (captured->ordinal % LIMIT_HEAP_PACKETS == 0)
		heap_follow(&run->heap);
	if (captured->link_type != LINKTYPE_ETHERNET) {
		uint64_t end = aggregated_frames(run, captured);
		if (end != captured->ordinal)
			return end;
	}
	crew_frame(run->crew, captured);
	return captured->ordinal + 1;
}

void run_clock(struct run *run, int64_t time_ns, uint64_t ordinal)
{
	crew_clock(run->crew, time_ns, ordinal);
	run_rest(run);
	judge_clock(run->judge, time_ns);
}

void run_heartbeat(struct run *run, const struct counters_interface *interfaces, size_t count)
{
	struct heartbeat beat = {.count = 0};

	if (run->delivery == NULL)
		return;
	run_rest(run);
	const struct counters counters = run_count_all(run);
	counters_tell(&counters, run->started_ns, run->last_packet_ns, interfaces, count, &beat);
	delivery_set_heartbeat(run->delivery, &beat);
}

void run_end_world(struct run *run, uint64_t ordinal)
{
	crew_finish(run->crew, ordinal);
	judge_end(run->judge);
	if (!baseline_keeper_save(run->keeper, judge_history(run->judge)))
		run->complete = false;

	run_add_world(run, &run->past);
	crew_destroy(run->crew);
	run->crew = NULL;
}

void run_upkeep(struct run *run, int64_t time_ns)
{
	run_rest(run);
	if (!baseline_keeper_upkeep(run->keeper, judge_history(run->judge), time_ns))
		run->complete = false;
}

void run_flush(struct run *run)
{
	run_rest(run);
	for (size_t i = 0; i < run->sink_count; i++) {
		(void)run->sinks[i]->ops->flush(run->sinks[i]);
		run_tell_sink(run, i);
	}
	if (run->people != NULL)
		(void)fflush(run->people);
}

void run_reopen(struct run *run)
{
	run_rest(run);
	for (size_t i = 0; i < run->sink_count; i++)
		if (!run->sinks[i]->ops->reopen(run->sinks[i]))
			log_line(&run->log, LOG_ERROR, "%s", run->sinks[i]->error);
}

/* Closes all that the run writes to. False: something of it is lost, which was logged. */
static bool close_outputs(struct run *run)
{
	bool good = true;

	for (size_t i = 0; i < run->sink_count; i++) {
		char error[SINK_ERROR_MAX + 64];
		(void)run->sinks[i]->ops->flush(run->sinks[i]);
		if (!run->sinks[i]->ops->close(run->sinks[i], error, sizeof error)) {
			log_line(&run->log, LOG_ERROR, "%s", error);
			good = false;
		}
	}
	if (run->report != NULL) {
		char error[SINK_ERROR_MAX];
		if (!report_file_close(run->report, error, sizeof error)) {
			log_line(&run->log, LOG_ERROR, "%s", error);
			good = false;
		}
		run->report = NULL;
	}
	if (run->people != NULL && (fflush(run->people) != 0 || ferror(run->people))) {
		log_line(&run->log, LOG_ERROR, "standard output: cannot be written");
		good = false;
	}
	return good;
}

int run_finish(struct run *run)
{
	int status = STATUS_DONE;

	run_tell_unsaid(run);
	if (!baseline_keeper_close(run->keeper))
		run->complete = false;
	run->keeper = NULL;
	if (run->people != NULL)
		run_tell_summary(run);
	bool alerted =
	    run->options->fail_on != 0 &&
	    summary_reached(judge_summary(run->judge), (enum severity)(run->options->fail_on - 1));
	if (!close_outputs(run))
		run->complete = false;
	if (alerted)
		status = STATUS_ALERTED;
	else if (!run->complete)
		status = STATUS_INCOMPLETE;
	run_free(run);
	return status;
}
