/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has counted, for its heartbeat. The list and the meanings stand in
 * alerts/heartbeat.def; all numbers are since the start.
 */
#ifndef SENSOR_COUNTERS_H
#define SENSOR_COUNTERS_H

#include "alerts/heartbeat.h"

struct counters {
#define HEARTBEAT_SENSOR(name, meaning) uint64_t name;
#include "alerts/heartbeat.def"
};

/* What the kernel counts of one interface of a live capture. */
struct counters_interface {
	const char *name;
	uint64_t received, dropped_kernel, dropped_interface; /* packets */
};

/*
 * Writes version, start, counters and interfaces into an empty heartbeat.
 * last_packet_ns: packet time, INT64_MIN before the first packet.
 */
void counters_tell(const struct counters *counters, int64_t started_ns, int64_t last_packet_ns,
		   const struct counters_interface *interfaces, size_t interface_count,
		   struct heartbeat *beat);

#endif
