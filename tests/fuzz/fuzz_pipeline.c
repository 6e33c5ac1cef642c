/* SPDX-License-Identifier: Apache-2.0 */
/* A whole capture through intake and pipeline; what goes in has to add up. */
#include "sensor/pipeline.h"

#include "sensor/capture_format.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const uint16_t ports[] = {25, 587};

static void drain(struct pipeline *pipeline, uint64_t *closed)
{
	struct observation observation;
	while (pipeline_next(pipeline, &observation)) {
		FUZZ_REQUIRE(observation.facts.outcome < OUTCOME_COUNT);
		FUZZ_REQUIRE(observation.facts.end_ns >= observation.facts.start_ns);
		if ((observation.new_milestones & MILESTONE_CLOSED) != 0)
			(*closed)++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mail_ports followed = {.all = size % 2 == 1, .port = ports, .count = 2};
	const struct intake_config intake_config = {
	    .ports = followed,
	    .packets = {.max_layers = 16,
			.frag = {.max_datagrams = 8,
				 .max_bytes = 1U << 16,
				 .max_age_ns = 30000000000}},
	    .memory = 1U << 20,
	};
	const struct pipeline_config config = {
	    .ports = followed,
	    .flows = {.max_flows = 16, .idle_ns = 3600000000000, .half_open_ns = 300000000000},
	    .streams = {.max_out_of_order = 1U << 16,
			.max_held = 1U << 14,
			.max_chunks = 32,
			.hold_segments = 16,
			.hold_ns = 1000000000,
			.loss_ns = 120000000000,
			.history = 1U << 10},
	    .memory = 4U << 20,
	    .dialogue_ring = 1U << 13,
	    .certificates = 8,
	};
	struct capture_format format;
	struct capture_step step;
	struct span input = span_of(data, size);
	uint64_t ordinal = 0, closed = 0;
	struct intake *intake = intake_create(&intake_config);
	struct pipeline *pipeline = pipeline_create(&config);

	if (intake == NULL || pipeline == NULL) {
		intake_destroy(intake);
		pipeline_destroy(pipeline);
		return 0;
	}
	capture_format_init(&format);
	while (capture_format_next(&format, input, &step) == PARSE_DONE) {
		if (step.has_packet) {
			const struct capture_record *record = &step.record;
			struct followed_packet packet;
			struct captured_frame frame = {
			    .bytes = record->frame,
			    .wire_len = record->len,
			    .link_type = format.interfaces[record->interface].link_type,
			    .fcs_len = record->fcs_len,
			    .time_ns = record->time_ns,
			    .ordinal = ordinal++,
			    .interface =
				format.interface_count > 1 ? (uint16_t)(record->interface + 1) : 0,
			};
			if (intake_frame(intake, &frame, &packet))
				pipeline_packet(pipeline, &packet);
			else
				pipeline_clock(pipeline, intake_clock(intake), frame.ordinal);
			drain(pipeline, &closed);
		}
		if (step.advance > input.len)
			break;
		input = span_skip(input, (size_t)step.advance);
	}
	pipeline_finish(pipeline, intake_clock(intake), ordinal);
	drain(pipeline, &closed);
	FUZZ_REQUIRE(intake_counters(intake)->frames == ordinal);
	FUZZ_REQUIRE(pipeline_counters(pipeline)->sessions == closed);
	capture_format_free(&format);
	pipeline_destroy(pipeline);
	intake_destroy(intake);
	return 0;
}
