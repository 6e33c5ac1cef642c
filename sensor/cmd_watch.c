/* SPDX-License-Identifier: Apache-2.0 */
/* stripwatch watch: live interfaces, until SIGTERM or SIGINT. */
#include "alerts/clock.h"
#include "sensor/capture_live.h"
#include "sensor/commands.h"
#include "sensor/filter.h"
#include "sensor/limits.h"
#include "sensor/path_check.h"
#include "sensor/run.h"
#include "sensor/signals.h"

#include <inttypes.h>
#include <stdlib.h>

/* Without packets the clock of the packets is the host's: idle sessions have to end. */
static int64_t now_ns(void)
{
	return clock_now_ns(CLOCK_REALTIME);
}

/* Tells the heartbeat what was counted, here and in the kernel. */
static void tell_heartbeat(struct run *run, struct capture_live *live, size_t count)
{
	struct counters_interface interfaces[LIMIT_LIVE_INTERFACES];
	size_t n = count < LIMIT_LIVE_INTERFACES ? count : LIMIT_LIVE_INTERFACES;

	for (uint32_t i = 0; i < n; i++) {
		struct capture_live_stats stats = capture_live_stats(live, i);
		interfaces[i] = (struct counters_interface){
		    .name = capture_live_interface(live, i),
		    .received = stats.received,
		    .dropped_kernel = stats.dropped_kernel,
		    .dropped_interface = stats.dropped_interface,
		};
	}
	run_heartbeat(run, interfaces, n);
}

/* What is due once a second, busy or not. Time may go backwards. */
static void upkeep(struct run *run, struct capture_live *live, size_t count, int64_t time_ns,
		   int64_t *last_ns)
{
	if (time_ns >= *last_ns && time_ns - *last_ns < LIMIT_UPKEEP_NS)
		return;
	*last_ns = time_ns;
	run_flush(run);
	run_upkeep(run, time_ns);
	tell_heartbeat(run, live, count);
}

/*
 * On a busy interface idle never comes: a packet that was captured after the signal says that
 * those before it are in. A clock that was set must not keep the sensor from its end.
 */
static bool all_before_is_in(int64_t packet_ns, int64_t stop_ns)
{
	int64_t now = now_ns();
	return packet_ns > stop_ns || now < stop_ns || now - stop_ns > LIMIT_STOP_NS;
}

/* Returns the number of packets. */
static uint64_t watch_until_stopped(struct run *run, struct capture_live *live, size_t count,
				    size_t untapped, bool *failed)
{
	struct capture_packet packet;
	uint64_t ordinal = 0;
	int64_t upkeep_ns = 0;
	int64_t stop_ns = 0; /* when the signal was noticed; 0: not yet */

	tell_heartbeat(run, live, count);

	for (;;) {
		enum live_status status = capture_live_next(live, &packet);
		if (signals_take_reopen())
			run_reopen(run);
		switch (status) {
		case LIVE_PACKET:
			packet.ordinal = ordinal;
			packet.tap = packet.interface_id >= untapped
					 ? (uint8_t)(packet.interface_id - untapped)
					 : 0;
			packet.interface = untapped == count && packet.interfaces > 1
					       ? (uint16_t)(packet.interface_id + 1)
					       : 0;
			ordinal = run_frame(run, &packet);
			upkeep(run, live, count, packet.time_ns, &upkeep_ns);
			break;
		case LIVE_IDLE: {
			int64_t now = now_ns();
			/* Only now is nothing left in the kernel's blocks. */
			if (signals_stop_asked())
				return ordinal;
			run_clock(run, now, ordinal);
			run_flush(run);
			upkeep(run, live, count, now, &upkeep_ns);
			break;
		}
		case LIVE_INTERRUPTED:
			break;
		case LIVE_FAULT:
			*failed = true;
			log_line(run_log(run), LOG_ERROR, "%s", capture_live_error(live));
			break;
		case LIVE_END:
			return ordinal;
		}
		if (signals_stop_asked() && stop_ns == 0)
			stop_ns = now_ns();
		if (stop_ns != 0 && status == LIVE_PACKET &&
		    all_before_is_in(packet.time_ns, stop_ns))
			return ordinal;
	}
}

/* To people alone: silence afterwards is then known to be nothing found. */
static void tell_begin(const struct run *run, struct capture_live *live, size_t count)
{
	FILE *out = run_people(run);

	if (out == NULL)
		return;
	fputs("Watching", out);
	for (uint32_t i = 0; i < count; i++)
		fprintf(out, "%s %s", i == 0 ? "" : ",", capture_live_interface(live, i));
	fputs("; SIGINT or SIGTERM ends it\n", out);
	(void)fflush(out);
}

static void tell_statistics(const struct run *run, struct capture_live *live, size_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct capture_live_stats stats = capture_live_stats(live, i);
		const char *name = capture_live_interface(live, i);
		if (run_people(run) != NULL)
			fprintf(run_people(run),
				"%s%s: %" PRIu64 " packets received, %" PRIu64
				" dropped by the kernel, %" PRIu64 " by the interface\n",
				i == 0 ? "\n" : "", name, stats.received, stats.dropped_kernel,
				stats.dropped_interface);
		const uint64_t dropped = stats.dropped_kernel + stats.dropped_interface;
		if (dropped > 0)
			log_line(run_log(run), LOG_WARNING,
				 "%s: %" PRIu64 " %s dropped: gaps may be the capture's own", name,
				 dropped, dropped == 1 ? "packet was" : "packets were");
	}
}

/* Interfaces of -i, then those of --tap; a tap's index is its place among the taps. */
static const char **list_interfaces(const struct options *options, size_t *count)
{
	const char **names =
	    calloc(options->interfaces.count + options->taps.count + 1, sizeof *names);
	size_t n = 0;

	for (size_t i = 0; names != NULL && i < options->interfaces.count; i++)
		names[n++] = options->interfaces.items[i];
	for (size_t i = 0; names != NULL && i < options->taps.count; i++) {
		size_t len;
		names[n++] = option_pair_value(options->taps.items[i], &len);
	}
	*count = n;
	return names;
}

static int watch(const struct options *options, struct capture_live *live, size_t count)
{
	char error[CAPTURE_LIVE_ERROR_MAX];
	bool failed = false;

	signals_catch();
	struct run *run = run_create(options, RUN_WATCH, error, sizeof error);

	if (run == NULL) {
		fprintf(stderr, "stripwatch: %s\n", error);
		return STATUS_WRONG_USE;
	}
	if (!run_begin_world(run, NULL)) {
		log_line(run_log(run), LOG_ERROR, "out of memory");
		(void)run_finish(run);
		return STATUS_INCOMPLETE;
	}
	for (size_t i = 0; i < count && options->taps.count == 0; i++)
		run_name_interface(run, (uint16_t)(i + 1),
				   capture_live_interface(live, (uint32_t)i));
	tell_begin(run, live, count);
	uint64_t packets =
	    watch_until_stopped(run, live, count, options->interfaces.count, &failed);
	run_end_world(run, packets);
	tell_heartbeat(run, live, count);
	tell_statistics(run, live, count);
	int status = run_finish(run);
	return status == STATUS_DONE && failed ? STATUS_INCOMPLETE : status;
}

int cmd_watch(const struct options *options)
{
	char error[CAPTURE_LIVE_ERROR_MAX];
	size_t count;
	const char **interfaces = list_interfaces(options, &count);
	char *with_dns = options->dns ? filter_with_dns(options->filter) : NULL;
	const struct capture_live_settings settings = {
	    .filter = with_dns != NULL ? with_dns : options->filter,
	    .snaplen = (uint32_t)options->snaplen,
	    .buffer_size = (uint32_t)options->buffer_size,
	    .promiscuous = !options->no_promiscuous,
	};
	struct capture_live *live = NULL;
	(void)snprintf(error, sizeof error, "out of memory");
	/* Before anything is opened: alerts that are appended to a baseline destroy it. */
	if (interfaces != NULL && path_check(options, NULL, error, sizeof error))
		live = capture_live_open(interfaces, count, &settings, error);
	free(with_dns);
	if (live == NULL) {
		fprintf(stderr, "stripwatch: %s\n", error);
		free(interfaces);
		return STATUS_WRONG_USE;
	}
	int status = watch(options, live, count);
	capture_live_close(live);
	free(interfaces);
	return status;
}
