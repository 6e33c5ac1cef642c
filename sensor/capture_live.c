/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_live.h"

#include "alerts/clock.h"
#include "sensor/limits.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tap {
	char *name;
	pcap_t *handle; /* NULL: failed */
	bool nanoseconds;
	uint32_t link_type;
	bool has_head; /* header and frame are the next packet, not yet given out */
	struct pcap_pkthdr header;
	const uint8_t *frame;
	struct pcap_stat last; /* its counters have 32 bits and wrap */
	struct capture_live_stats stats;
};

struct capture_live {
	struct tap taps[LIMIT_LIVE_INTERFACES];
	size_t count;
	char error[CAPTURE_LIVE_ERROR_MAX];
};

/* The opposite of filter.c's: what libpcap calls DLT_RAW, files call 101. */
static uint32_t link_type_of(int dlt)
{
	switch (dlt) {
	case DLT_RAW:
		return 101;
	case DLT_ATM_RFC1483:
		return 100;
	default:
		return (uint32_t)dlt;
	}
}

static bool set_filter(pcap_t *handle, const char *expression)
{
	struct bpf_program code;

	if (!expression)
		return true;
	if (pcap_compile(handle, &code, expression, 1, PCAP_NETMASK_UNKNOWN) != 0)
		return false;
	bool ok = pcap_setfilter(handle, &code) == 0;

	pcap_freecode(&code);
	return ok;
}

static bool open_tap(struct tap *tap, const char *name,
		     const struct capture_live_settings *settings, char *error)
{
	char reason[PCAP_ERRBUF_SIZE] = "";

	tap->name = strdup(name);
	tap->handle = tap->name ? pcap_create(name, reason) : NULL;
	if (!tap->handle) {
		snprintf(error, CAPTURE_LIVE_ERROR_MAX, "%.64s: %.256s", name,
			 tap->name ? reason : "out of memory");
		return false;
	}
	pcap_set_snaplen(tap->handle, (int)settings->snaplen);
	pcap_set_promisc(tap->handle, settings->promiscuous);
	pcap_set_timeout(tap->handle, LIMIT_LIVE_BLOCK_MS);
	pcap_set_buffer_size(tap->handle, (int)settings->buffer_size);
	tap->nanoseconds = pcap_set_tstamp_precision(tap->handle, PCAP_TSTAMP_PRECISION_NANO) == 0;
	int status = pcap_activate(tap->handle);

	/* Above 0 is a warning: "no promiscuous mode here" and the like. */
	if (status < 0) {
		const char *detail = pcap_geterr(tap->handle);

		/* Of a missing device both texts are the same. */
		if (strcmp(detail, pcap_statustostr(status)) == 0)
			detail = "";
		const char *remedy = status == PCAP_ERROR_PERM_DENIED
					 ? " (it takes root, or the capability CAP_NET_RAW)"
					 : "";
		snprintf(error, CAPTURE_LIVE_ERROR_MAX, "%.64s: %.128s%s%.256s%s", name,
			 pcap_statustostr(status), *detail ? ": " : "", detail, remedy);
		return false;
	}
	tap->link_type = link_type_of(pcap_datalink(tap->handle));
	if (!set_filter(tap->handle, settings->filter)) {
		snprintf(error, CAPTURE_LIVE_ERROR_MAX, "%.64s: --filter: %.256s", name,
			 pcap_geterr(tap->handle));
		return false;
	}
	if (pcap_setnonblock(tap->handle, 1, reason) != 0) {
		snprintf(error, CAPTURE_LIVE_ERROR_MAX, "%.64s: %.256s", name,
			 *reason ? reason : pcap_geterr(tap->handle));
		return false;
	}
	return true;
}

struct capture_live *capture_live_open(const char *const *interfaces, size_t count,
				       const struct capture_live_settings *settings,
				       char error[CAPTURE_LIVE_ERROR_MAX])
{
	if (count > LIMIT_LIVE_INTERFACES) {
		snprintf(error, CAPTURE_LIVE_ERROR_MAX, "more than %d interfaces",
			 LIMIT_LIVE_INTERFACES);
		return NULL;
	}
	struct capture_live *live = calloc(1, sizeof(*live));

	if (!live) {
		snprintf(error, CAPTURE_LIVE_ERROR_MAX, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		live->count++;
		if (!open_tap(&live->taps[i], interfaces[i], settings, error)) {
			capture_live_close(live);
			return NULL;
		}
	}
	return live;
}

void capture_live_close(struct capture_live *live)
{
	if (!live)
		return;
	for (size_t i = 0; i < live->count; i++) {
		if (live->taps[i].handle)
			pcap_close(live->taps[i].handle);
		free(live->taps[i].name);
	}
	free(live);
}

static int64_t head_time(const struct tap *tap)
{
	/* libpcap puts nanoseconds where microseconds usually are. */
	return (int64_t)tap->header.ts.tv_sec * 1000000000 +
	       (int64_t)tap->header.ts.tv_usec * (tap->nanoseconds ? 1 : 1000);
}

static void update_stats(struct tap *tap)
{
	struct pcap_stat now;

	if (!tap->handle || pcap_stats(tap->handle, &now) != 0)
		return;
	tap->stats.received += now.ps_recv - tap->last.ps_recv;
	tap->stats.dropped_kernel += now.ps_drop - tap->last.ps_drop;
	tap->stats.dropped_interface += now.ps_ifdrop - tap->last.ps_ifdrop;
	tap->last = now;
}

static void drop_tap(struct capture_live *live, struct tap *tap)
{
	snprintf(live->error, sizeof(live->error), "%.64s: %.256s", tap->name,
		 pcap_geterr(tap->handle));
	update_stats(tap);
	pcap_close(tap->handle);
	tap->handle = NULL;
}

/* Makes sure that the tap has a head if a packet is there; false when it failed. */
static bool fill_head(struct tap *tap)
{
	struct pcap_pkthdr *header;

	if (!tap->handle || tap->has_head)
		return true;
	int got = pcap_next_ex(tap->handle, &header, &tap->frame);

	if (got == 1) {
		tap->header = *header;
		tap->has_head = true;
	}
	return got >= 0;
}

enum wait_result { WAIT_READY, WAIT_NOTHING, WAIT_SIGNAL };

/* Waits for those interfaces that have no head. */
static enum wait_result wait_for_heads(const struct capture_live *live, int timeout_ms)
{
	struct pollfd fds[LIMIT_LIVE_INTERFACES];
	nfds_t count = 0;

	for (size_t i = 0; i < live->count; i++)
		if (live->taps[i].handle && !live->taps[i].has_head)
			fds[count++] = (struct pollfd){
			    .fd = pcap_get_selectable_fd(live->taps[i].handle), .events = POLLIN};
	int ready = poll(fds, count, timeout_ms);

	if (ready < 0)
		return errno == EINTR ? WAIT_SIGNAL : WAIT_NOTHING;
	return ready > 0 ? WAIT_READY : WAIT_NOTHING;
}

struct heads {
	struct tap *earliest; /* NULL: no interface has one */
	bool missing;         /* some interface that works has none */
	bool working;         /* some interface works */
	bool failed;          /* one has just failed */
};

static struct heads look_at_heads(struct capture_live *live)
{
	struct heads heads = {0};

	for (size_t i = 0; i < live->count; i++) {
		struct tap *tap = &live->taps[i];

		if (!fill_head(tap)) {
			drop_tap(live, tap);
			heads.failed = true;
		}
		if (tap->has_head &&
		    (!heads.earliest || head_time(tap) < head_time(heads.earliest)))
			heads.earliest = tap;
		heads.working |= tap->handle != NULL;
		heads.missing |= tap->handle && !tap->has_head;
	}
	return heads;
}

/* How long the head may still have to wait for an earlier packet of another interface, ms. */
static int merge_wait_ms(const struct tap *tap)
{
	int64_t age_ms = (clock_now_ns(CLOCK_REALTIME) - head_time(tap)) / 1000000;

	if (age_ms < 0) /* the clock was set back */
		return LIMIT_LIVE_MERGE_MS;
	return age_ms >= LIMIT_LIVE_MERGE_MS ? 0 : (int)(LIMIT_LIVE_MERGE_MS - age_ms);
}

static void give_head(const struct capture_live *live, struct tap *tap,
		      struct capture_packet *packet)
{
	tap->has_head = false;
	*packet = (struct capture_packet){
	    .time_ns = head_time(tap),
	    .len = tap->header.len,
	    .link_type = tap->link_type,
	    .interface_id = (uint32_t)(tap - live->taps),
	    .interfaces = (uint32_t)live->count,
	    .frame = {.ptr = tap->frame, .len = tap->header.caplen},
	};
}

enum live_status capture_live_next(struct capture_live *live, struct capture_packet *packet)
{
	/* Each wait gives one more interface its head, so the rounds end. */
	for (size_t round = 0;; round++) {
		struct heads heads = look_at_heads(live);

		if (heads.failed)
			return LIVE_FAULT;
		if (!heads.earliest && !heads.working)
			return LIVE_END;
		int wait_ms = heads.earliest ? merge_wait_ms(heads.earliest) : LIMIT_LIVE_WAIT_MS;

		if (heads.earliest && (!heads.missing || wait_ms == 0 || round > live->count)) {
			give_head(live, heads.earliest, packet);
			return LIVE_PACKET;
		}
		if (!heads.earliest && round > 0)
			return LIVE_IDLE;
		switch (wait_for_heads(live, wait_ms)) {
		case WAIT_SIGNAL:
			return LIVE_INTERRUPTED;
		case WAIT_NOTHING:
			if (heads.earliest)
				round = live->count;
			break;
		case WAIT_READY:
			break;
		}
	}
}

const char *capture_live_error(const struct capture_live *live)
{
	return live->error;
}

const char *capture_live_interface(const struct capture_live *live, uint32_t interface_id)
{
	return live->taps[interface_id].name;
}

struct capture_live_stats capture_live_stats(struct capture_live *live, uint32_t interface_id)
{
	update_stats(&live->taps[interface_id]);
	return live->taps[interface_id].stats;
}
