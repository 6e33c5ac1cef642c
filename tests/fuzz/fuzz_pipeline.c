/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole capture through intake and pipeline; what goes in has to add up.
 *
 * A pipeline is used for many inputs, as nDPI's tables alone cost more than hundreds of them. One
 * is for captures whose times are ordinary: these are shifted to begin where the clock stands, so
 * that nothing is left over of an input in the next. The other gets times as they are (before 1970,
 * two centuries on, in leaps), and as its clock cannot go back it is made anew now and then.
 */
#include "sensor/pipeline.h"

#include "sensor/capture_format.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define ORDINARY_SPAN_NS 864000000000000 /* ten days: every timeout of a connection is in it */
#define PAUSE_NS         1000000000
#define LEAPING_INPUTS   64 /* of one pipeline */

static const uint16_t ports[] = {25, 587};

struct course {
	struct pipeline *pipeline;
	int64_t clock_ns; /* from which an ordinary input goes on */
	uint64_t ordinal;
	uint64_t closed;
	unsigned inputs;
};

static void drain(struct course *course)
{
	struct observation observation;
	while (pipeline_next(course->pipeline, &observation)) {
		FUZZ_REQUIRE(observation.facts.outcome < OUTCOME_COUNT);
		FUZZ_REQUIRE(observation.facts.end_ns >= observation.facts.start_ns);
		if ((observation.new_milestones & MILESTONE_CLOSED) != 0)
			course->closed++;
	}
}

static struct intake *make_intake(struct mail_ports followed)
{
	const struct intake_config config = {
	    .ports = followed,
	    .packets = {.max_layers = 16,
			.frag = {.max_datagrams = 8,
				 .max_bytes = 1U << 16,
				 .max_age_ns = 30000000000}},
	    .memory = 1U << 20,
	};
	struct intake *intake = intake_create(&config);
	FUZZ_REQUIRE(intake != NULL);
	return intake;
}

static void make_pipeline(struct course *course, struct mail_ports followed)
{
	const struct pipeline_config config = {
	    .ports = followed,
	    .flows = {.max_flows = 16, .idle_ns = 3600000000000, .half_open_ns = 300000000000},
	    .streams = {.max_out_of_order = 1U << 16,
			.max_held = 1U << 14,
			.max_chunks = 32,
			.hold_segments = 16,
			.hold_ns = 1000000000,
			.loss_ns = 120000000000,
			.history = 1U << 10,
			.history_total = 1U << 20},
	    .memory = 4U << 20,
	    .dialogue_ring = 1U << 13,
	    .certificates = 8,
	};
	*course =
	    (struct course){.pipeline = pipeline_create(&config), .clock_ns = 1700000000000000000};
	FUZZ_REQUIRE(course->pipeline != NULL);
}

/* The first time of the capture; false when its times are not ordinary. */
static bool is_ordinary(struct span input, int64_t *first_ns)
{
	struct capture_format format;
	struct capture_step step;
	int64_t earliest = INT64_MAX, latest = 0;

	*first_ns = 0;
	capture_format_init(&format);
	while (capture_format_next(&format, input, &step) == PARSE_DONE) {
		if (step.has_packet) {
			int64_t time_ns = step.record.time_ns;
			*first_ns = earliest == INT64_MAX ? time_ns : *first_ns;
			earliest = time_ns < earliest ? time_ns : earliest;
			latest = time_ns > latest ? time_ns : latest;
		}
		if (step.advance > input.len)
			break;
		input = span_skip(input, (size_t)step.advance);
	}
	capture_format_free(&format);
	return earliest >= 0 && (earliest > latest || latest - earliest < ORDINARY_SPAN_NS);
}

static void play(struct course *course, struct intake *intake, struct span input, int64_t shift_ns)
{
	struct capture_format format;
	struct capture_step step;
	uint64_t frames = 0;

	capture_format_init(&format);
	while (capture_format_next(&format, input, &step) == PARSE_DONE) {
		if (step.has_packet) {
			const struct capture_record *record = &step.record;
			struct followed_packet packet;
			struct capture_packet captured = {
			    .frame = record->frame,
			    .len = record->len,
			    .link_type = format.interfaces[record->interface].link_type,
			    .fcs_len = record->fcs_len,
			    .time_ns = record->time_ns + shift_ns,
			    .ordinal = course->ordinal++,
			    .interface =
				format.interface_count > 1 ? (uint16_t)(record->interface + 1) : 0,
			};
			frames++;
			if (intake_packet(intake, &captured, &packet))
				(void)pipeline_packet(course->pipeline, &packet);
			else
				(void)pipeline_clock(course->pipeline, intake_clock(intake),
						     captured.ordinal);
			drain(course);
		}
		if (step.advance > input.len)
			break;
		input = span_skip(input, (size_t)step.advance);
	}
	capture_format_free(&format);
	FUZZ_REQUIRE(intake_counters(intake)->frames == frames);
	pipeline_finish(course->pipeline, frames > 0 ? intake_clock(intake) : course->clock_ns,
			course->ordinal);
	drain(course);
	FUZZ_REQUIRE(pipeline_counters(course->pipeline)->sessions == course->closed);
	if (frames > 0)
		course->clock_ns = intake_clock(intake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct course courses[2][2]; /* [every port][leaping] */
	const bool all = size % 2 == 1;
	const struct mail_ports followed = {.all = all, .port = ports, .count = 2};
	int64_t first_ns, shift_ns = 0;
	bool ordinary = is_ordinary(span_of(data, size), &first_ns);
	struct course *course = &courses[all][!ordinary];

	if ((course->inputs == LEAPING_INPUTS && !ordinary) || course->clock_ns > INT64_MAX / 2) {
		pipeline_destroy(course->pipeline);
		course->pipeline = NULL;
	}
	if (course->pipeline == NULL)
		make_pipeline(course, followed);
	course->inputs++;
	if (ordinary)
		shift_ns = course->clock_ns + PAUSE_NS - first_ns;
	size_t used = pipeline_budget(course->pipeline)->used;
	struct intake *intake = make_intake(followed);
	play(course, intake, span_of(data, size), shift_ns);
	/* Tables and the cache of names may have grown; a session leaves nothing. */
	FUZZ_REQUIRE(pipeline_budget(course->pipeline)->used < used + (1U << 20));
	intake_destroy(intake);
	return 0;
}
