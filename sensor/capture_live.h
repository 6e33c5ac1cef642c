/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live capture from network interfaces, by libpcap.
 *
 * Interfaces are read in the kernel's blocks (TPACKET_V3), which is what costs least;
 * libpcap's immediate mode would give each packet a slot of the largest size and
 * leave room for a few dozen. Several interfaces are merged by time: a packet
 * waits until all others show a later one, at most for as long as the kernel may
 * hold a block back. So the directions of a fibre tap stay in step.
 *
 * There is no filter unless one is given. A filter such as "tcp port 25" sees
 * neither into tunnels nor behind VLAN tags ("or (vlan and tcp port 25)" does) and
 * drops all but the first fragment of a datagram.
 */
#ifndef SENSOR_CAPTURE_LIVE_H
#define SENSOR_CAPTURE_LIVE_H

#include "sensor/capture_file.h"

#define CAPTURE_LIVE_ERROR_MAX 512

struct capture_live_settings {
	const char *filter;   /* NULL: everything */
	uint32_t snaplen;     /* bytes of each packet */
	uint32_t buffer_size; /* bytes of kernel memory for each interface */
	bool promiscuous;
};

struct capture_live_stats {
	uint64_t received;          /* packets that passed the filter, as the kernel counts */
	uint64_t dropped_kernel;    /* of those, lost because the buffer was full */
	uint64_t dropped_interface; /* lost by the interface or its driver */
};

enum live_status {
	LIVE_PACKET,
	LIVE_IDLE,        /* nothing came for LIMIT_LIVE_WAIT_MS, and nothing waits in the kernel */
	LIVE_INTERRUPTED, /* a signal came in: call again, or stop */
	LIVE_FAULT,       /* an interface failed and is left out from now on */
	LIVE_END,         /* every interface has failed */
};

struct capture_live;

/* Opens them all, or none: then NULL and one sentence that names the interface. */
struct capture_live *capture_live_open(const char *const *interfaces, size_t count,
				       const struct capture_live_settings *settings,
				       char error[CAPTURE_LIVE_ERROR_MAX]);

void capture_live_close(struct capture_live *live);

/*
 * The next packet. packet->frame is valid until the next call and belongs to no window;
 * interface_id is the position of the interface in the list. To stop without loss call
 * until LIVE_IDLE once more: blocks that the kernel is still filling come by then.
 */
enum live_status capture_live_next(struct capture_live *live, struct capture_packet *packet);

/* The sentence for the last LIVE_FAULT. */
const char *capture_live_error(const struct capture_live *live);

const char *capture_live_interface(const struct capture_live *live, uint32_t interface_id);

/* Counted from the opening; those of a failed interface stay as they were. */
struct capture_live_stats capture_live_stats(struct capture_live *live, uint32_t interface_id);

#endif
