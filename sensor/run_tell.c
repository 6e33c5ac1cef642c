/* SPDX-License-Identifier: Apache-2.0 */
/* What a run has counted, and what it says of itself. */
#include "sensor/run_state.h"

#include "sensor/limits.h"

#include <inttypes.h>
#include <string.h>

void run_add_world(const struct run *run, struct counters *sum)
{
	if (run->crew == NULL)
		return;
	const struct intake_counters *packets = intake_counters(crew_intake(run->crew));
	const struct packet_counters *decoded = intake_packet_counters(crew_intake(run->crew));
	const struct frag_counters *fragments = intake_frag_counters(crew_intake(run->crew));
	const struct history_counts known = history_counts(judge_history(run->judge));

	sum->packets += packets->frames;
	sum->bytes += packets->frame_bytes;
	sum->packets_cut += decoded->truncated + fragments->cut;
	sum->packets_malformed += decoded->malformed;
	sum->packets_late += packets->time_far_back;
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
		sum->caps_reached += streams->cap_reached + streams->history_refused +
				     pipeline_budget(pipeline)->refused + sessions->refused +
				     sessions->caps_reached + flows->evicted;
	}
}

struct counters run_count_all(const struct run *run)
{
	const struct judge_counters *judged = judge_counters(run->judge);
	struct counters sum = run->past;

	run_add_world(run, &sum);
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

void run_tell_sink(struct run *run, size_t i)
{
	struct sink *sink = run->sinks[i];

	if (sink->warning[0] != '\0')
		log_line(&run->log, LOG_WARNING, "%s", sink->warning);
	sink->warning[0] = '\0';
	if (sink->failed && !run->told[i])
		log_line(&run->log, LOG_ERROR, "%s", sink->error);
	run->told[i] = sink->failed;
}

void run_tell_summary(struct run *run)
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
	const uint64_t unread = run->past.packets_cut + run->past.packets_malformed;
	if (unread > 0)
		fprintf(out, ", not readable %" PRIu64 " (%" PRIu64 " cut, %" PRIu64 " malformed)",
			unread, run->past.packets_cut, run->past.packets_malformed);
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

void run_tell_unsaid(struct run *run)
{
	const struct judge_counters *judged = judge_counters(run->judge);
	int evidence_error = judge_evidence_error(run->judge);

	if (evidence_error != 0)
		log_line(&run->log, LOG_ERROR, "%s: %" PRIu64 " %s could not be written: %s",
			 run->options->evidence, judged->evidence_failed,
			 judged->evidence_failed == 1 ? "capture" : "captures",
			 strerror(evidence_error));
	if (judged->oversized > 0)
		log_line(&run->log, LOG_ERROR,
			 "%" PRIu64 " %s lost: no memory for them, or larger than %zu bytes",
			 judged->oversized,
			 judged->oversized == 1 ? "alert or session record is"
						: "alerts or session records are",
			 (size_t)LIMIT_DOCUMENT);
	if (judged->unprinted > 0)
		log_line(&run->log, LOG_ERROR, "%" PRIu64 " %s not printed: out of memory",
			 judged->unprinted, judged->unprinted == 1 ? "alert was" : "alerts were");
	if (judged->dialogue_cut + judged->evidence_cut > 0)
		log_line(&run->log, LOG_WARNING,
			 "memory was full: alerts that lack the beginning of their "
			 "dialogue: %" PRIu64 ", of their evidence: %" PRIu64,
			 judged->dialogue_cut, judged->evidence_cut);
	if (judged->unrecorded > 0)
		log_line(&run->log, LOG_WARNING,
			 "out of memory: alerts of %" PRIu64 " %s may be repeated",
			 judged->unrecorded, judged->unrecorded == 1 ? "session" : "sessions");
	const struct counters counters = run_count_all(run);
	if (counters.caps_reached > 0)
		log_line(&run->log, LOG_WARNING,
			 "a cap was reached %" PRIu64 " %s (%" PRIu64
			 " %s given up): results may be incomplete",
			 counters.caps_reached, counters.caps_reached == 1 ? "time" : "times",
			 counters.connections_evicted,
			 counters.connections_evicted == 1 ? "connection" : "connections");
	if (counters.packets_late > 0)
		log_line(&run->log, LOG_WARNING,
			 "%" PRIu64 " %s more than 300 s older than one before: that one may have "
			 "ended sessions too soon",
			 counters.packets_late,
			 counters.packets_late == 1 ? "packet is" : "packets are");
	if (evidence_error != 0 || judged->oversized > 0 || judged->unprinted > 0)
		run->complete = false;
}
