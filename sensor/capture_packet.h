/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet as it was captured, from a file or live.
 *
 * What it is made of by whoever reads it comes first; then its place in the run, which the reader
 * leaves alone. One struct goes the whole way: to copy it costs more than to look at it.
 */
#ifndef SENSOR_CAPTURE_PACKET_H
#define SENSOR_CAPTURE_PACKET_H

#include "decoders/span.h"

struct capture_window;

struct capture_packet {
	int64_t time_ns;    /* ns since the epoch, within CAPTURE_TIME_MAX */
	uint32_t len;       /* bytes on the wire; more than frame.len when cut by the capture */
	uint32_t link_type; /* LINKTYPE_ value as in the file */
	uint32_t fcs_len;   /* bytes of link-layer checksum at the end of the frame on the wire */
	uint32_t interface_id; /* of the file's section, or of the set (capture_set.h) */
	uint32_t interfaces;   /* that the section, or the live capture, has so far */
	uint32_t file_id;      /* of the set; 0 from a single file */
	/* Valid until the next call for a packet, or as long as the window is retained. */
	struct span frame;
	/* What holds it: borrowed, capture_window_retain() to keep the frame. NULL: nothing does.
	 */
	struct capture_window *window;

	uint64_t ordinal;   /* position in the merged input, from 0 */
	uint8_t tap;        /* of those that were named */
	uint16_t interface; /* from 1: of several that show the same traffic (view.h); 0: none */
};

#endif
