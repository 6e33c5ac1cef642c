/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge: takes the observations of all workers in the order of their
 * packets, decides what is raised, and hands documents to the sinks.
 *
 * It alone knows more than one session. One thread drives it.
 */
#ifndef SENSOR_JUDGE_H
#define SENSOR_JUDGE_H

#include "alerts/alert_format.h"
#include "alerts/allow.h"
#include "alerts/observation.h"
#include "alerts/policy.h"
#include "alerts/report.h"
#include "alerts/sink.h"
#include "alerts/summary.h"
#include "decoders/siphash.h"

struct judge_config {
	const char *sensor;    /* observer.name */
	const char *interface; /* the only one that is watched; or NULL */
	bool show_addresses;
	enum alert_format format;
	uint32_t disabled;                 /* set of rules that are never raised */
	const struct allow_entry *allowed; /* what it covers is recorded, not alerted; borrowed */
	size_t allowed_count;
	bool has_severity[RULE_COUNT];
	enum severity severity[RULE_COUNT]; /* where has_severity says so */
	int64_t suppression_ns;             /* 0: nothing is folded */
	int64_t fallback_window_s;
	const struct policy *policy; /* who must use TLS, borrowed; NULL: nothing is demanded */
	bool dns;                    /* DNS answers are looked at */
	bool learn;      /* false: what was loaded into the history is all that is known */
	bool share;      /* what other sensors know counts as well: history_share() */
	bool day_at_end; /* the exposures of an unfinished day are summed up when the world ends */
	const char *evidence; /* directory, or NULL */
	const char *const
	    *taps; /* names by session_facts.tap or NULL, borrowed; may be filled later */
	size_t tap_count;
	bool compare_taps;           /* from the start; otherwise once a session has a tap but 0 */
	struct siphash_key hash_key; /* random per run; nothing visible depends on it */
	size_t memory;               /* cap of everything it keeps, bytes */
	struct sink *const *sinks;   /* borrowed */
	size_t sink_count;
	struct report *report; /* filled as well, borrowed; NULL: none */
	FILE *lines;           /* readable alerts; NULL: none */
	bool colours;
	bool over_progress; /* a line erases the progress bar first (progress.h) */
};

struct judge_counters {
	uint64_t raised;          /* findings of sessions */
	uint64_t sent;            /* alerts that left */
	uint64_t folded;          /* findings folded into another alert */
	uint64_t allowed;         /* findings that the allow-list covers */
	uint64_t unrecorded;      /* sessions whose raised rules found no memory */
	uint64_t oversized;       /* documents that did not fit their buffer, or found no memory */
	uint64_t unprinted;       /* lines for people that found no memory */
	uint64_t evidence_failed; /* captures that could not be written */
	/* Alerts that lack the beginning of their dialogue, or of their evidence: others took its
	   place in the memory for these. */
	uint64_t dialogue_cut, evidence_cut;
};

struct judge;

/* NULL when out of memory. The config is copied; what it points to is borrowed. */
struct judge *judge_create(const struct judge_config *config);
void judge_destroy(struct judge *judge);

/* A new world (--separate): forgets all sessions; name is the observer's file or NULL. False: no
 * memory. */
bool judge_begin(struct judge *judge, const char *name);

/* What is known in the present world, to be loaded and saved. */
struct history *judge_history(struct judge *judge);

/*
 * An observation, in two steps: first it is held against all that is known, then what follows is
 * told and learnt. True: alerts follow, which want its dialogue; it may be added in between.
 */
bool judge_examine(struct judge *judge, const struct observation *observation);
void judge_conclude(struct judge *judge, const struct observation *observation);

/* Both, for an observation that is whole. */
void judge_observe(struct judge *judge, const struct observation *observation);

/* DNS answers went by; of no effect without judge_config.dns. */
void judge_dns(struct judge *judge, const struct dns_answers *answers, int64_t time_ns);

/* What of them was given up in the present world because a table was full. */
uint64_t judge_dns_evicted(const struct judge *judge);

/* Packet time went on: windows of suppression may be over. */
void judge_clock(struct judge *judge, int64_t time_ns);

/* The world is over: summaries of what was folded leave. */
void judge_end(struct judge *judge);

/* errno of the first evidence that could not be written, or 0. */
int judge_evidence_error(const struct judge *judge);

const struct judge_counters *judge_counters(const struct judge *judge);

/* Of everything the judge remembers, for its counters. */
const struct budget *judge_budget(const struct judge *judge);
const struct summary *judge_summary(const struct judge *judge);

#endif
