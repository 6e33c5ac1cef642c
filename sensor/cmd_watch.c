/* SPDX-License-Identifier: Apache-2.0 */
/* stripwatch watch: live interfaces, until SIGTERM or SIGINT. */
#include "sensor/capture_live.h"
#include "sensor/commands.h"
#include "sensor/limits.h"
#include "sensor/run.h"
#include "sensor/signals.h"

#include <inttypes.h>
#include <time.h>

/* Without packets the clock of the packets is the host's: idle sessions have to end. */
static int64_t now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Returns the number of packets. */
static uint64_t watch_until_stopped(struct run *run, struct capture_live *live, bool *failed)
{
	struct capture_packet packet;
	uint64_t ordinal = 0;

	for (;;) {
		enum live_status status = capture_live_next(live, &packet);
		if (signals_take_reopen())
			run_reopen(run);
		switch (status) {
		case LIVE_PACKET: {
			struct pipeline_frame frame = {
			    .bytes = packet.frame,
			    .wire_len = packet.len,
			    .link_type = packet.link_type,
			    .fcs_len = packet.fcs_len,
			    .time_ns = packet.time_ns,
			    .ordinal = ordinal++,
			};
			run_frame(run, &frame);
			break;
		}
		case LIVE_IDLE:
			/* Only now is nothing left in the kernel's blocks. */
			if (signals_stop_asked())
				return ordinal;
			run_clock(run, now_ns(), ordinal);
			run_flush(run);
			break;
		case LIVE_INTERRUPTED:
			break;
		case LIVE_FAULT:
			*failed = true;
			log_line(run_log(run), LOG_ERROR, "%s", capture_live_error(live));
			break;
		case LIVE_END:
			return ordinal;
		}
		/* On a busy interface idle never comes: what was captured before the signal is in.
		 */
		if (signals_stop_asked() && status == LIVE_PACKET &&
		    packet.time_ns > now_ns() - LIMIT_HOLD_NS / 100)
			return ordinal;
	}
}

static void tell_statistics(const struct run *run, struct capture_live *live, size_t count,
			    uint64_t packets)
{
	(void)packets;
	for (uint32_t i = 0; i < count; i++) {
		struct capture_live_stats stats = capture_live_stats(live, i);
		bool lost = stats.dropped_kernel > 0 || stats.dropped_interface > 0;
		log_line(run_log(run), lost ? LOG_WARNING : LOG_INFO,
			 "%s: %" PRIu64 " packets received, %" PRIu64
			 " dropped by the kernel, %" PRIu64 " by the interface",
			 capture_live_interface(live, i), stats.received, stats.dropped_kernel,
			 stats.dropped_interface);
	}
}

int cmd_watch(const struct options *options)
{
	char error[CAPTURE_LIVE_ERROR_MAX];
	bool failed = false;
	const struct capture_live_settings settings = {
	    .filter = options->filter,
	    .snaplen = (uint32_t)options->snaplen,
	    .buffer_size = (uint32_t)options->buffer_size,
	    .promiscuous = !options->no_promiscuous,
	};
	struct run *run = run_create(options, RUN_WATCH, error, sizeof error);
	if (run == NULL) {
		fprintf(stderr, "stripwatch: %s\n", error);
		return STATUS_WRONG_USE;
	}
	struct capture_live *live =
	    capture_live_open((const char *const *)options->interfaces.items,
			      options->interfaces.count, &settings, error);
	if (live == NULL || !run_begin_world(run, NULL)) {
		log_line(run_log(run), LOG_ERROR, "%s", live == NULL ? error : "out of memory");
		if (live != NULL)
			capture_live_close(live);
		(void)run_finish(run);
		return STATUS_WRONG_USE;
	}
	signals_catch();
	uint64_t packets = watch_until_stopped(run, live, &failed);
	run_end_world(run, packets);
	tell_statistics(run, live, options->interfaces.count, packets);
	capture_live_close(live);
	int status = run_finish(run);
	return status == STATUS_DONE && failed ? STATUS_INCOMPLETE : status;
}
