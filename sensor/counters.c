/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/counters.h"

#include "version.h"

#include <stdio.h>

static void tell_interface(const struct counters_interface *interface, struct heartbeat *beat)
{
	const struct {
		const char *what;
		uint64_t value;
	} numbers[] = {
	    {"received", interface->received},
	    {"dropped_kernel", interface->dropped_kernel},
	    {"dropped_interface", interface->dropped_interface},
	};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		char name[96];
		(void)snprintf(name, sizeof name, "capture:%s:%s", interface->name,
			       numbers[i].what);
		(void)heartbeat_add_number(beat, span_str(name), numbers[i].value);
	}
}

void counters_tell(const struct counters *counters, int64_t started_ns, int64_t last_packet_ns,
		   const struct counters_interface *interfaces, size_t interface_count,
		   struct heartbeat *beat)
{
	(void)heartbeat_add_text(beat, span_str("version"), span_str(STRIPWATCH_VERSION));
	(void)heartbeat_add_time(beat, span_str("started"), started_ns);
	if (last_packet_ns != INT64_MIN)
		(void)heartbeat_add_time(beat, span_str("last_packet"), last_packet_ns);
#define HEARTBEAT_SENSOR(name, meaning)                                                            \
	(void)heartbeat_add_number(beat, span_str(#name), counters->name);
#include "alerts/heartbeat.def"
	for (size_t i = 0; i < interface_count; i++)
		tell_interface(&interfaces[i], beat);
}
