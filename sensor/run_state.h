/* SPDX-License-Identifier: Apache-2.0 */
/* What a run consists of: for run.c, run_open.c and run_tell.c alone. */
#ifndef SENSOR_RUN_STATE_H
#define SENSOR_RUN_STATE_H

#include "sensor/baseline_keeper.h"
#include "sensor/crew.h"
#include "sensor/heap.h"
#include "sensor/judge.h"
#include "sensor/report_file.h"
#include "sensor/run.h"

#define SINKS_MAX 5

struct run {
	const struct options *options;
	enum run_kind kind;
	struct log log;
	struct crew_config crew_config;
	struct crew *crew; /* of the present world */
	struct judge *judge;
	struct shared_detector *detector;
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
	struct heap_reach heap;
};

/* Frees the run and all it owns, but its sinks. */
void run_free(struct run *run);

/* The judge, its outputs and all counters are this thread's until the next frame. */
void run_rest(struct run *run);

/* Adds what the present world has counted so far. */
void run_add_world(const struct run *run, struct counters *sum);

/* Everything that was counted since the start. */
struct counters run_count_all(const struct run *run);

/* Logs what an output has to say: that it failed, once, and what it warns of. */
void run_tell_sink(struct run *run, size_t i);

/* Logs what was decided and could not be told; notes that the run is incomplete then. */
void run_tell_unsaid(struct run *run);

/* The summary for people. */
void run_tell_summary(struct run *run);

#endif
