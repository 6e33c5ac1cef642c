/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One capture, packet by packet: byte_source, window and capture_format put
 * together. Frames lie in windows (capture_window.h) and are never copied.
 */
#ifndef SENSOR_CAPTURE_FILE_H
#define SENSOR_CAPTURE_FILE_H

#include "sensor/byte_source.h"
#include "sensor/capture_format.h"
#include "sensor/capture_packet.h"
#include "sensor/capture_window.h"

enum capture_status {
	CAPTURE_PACKET,
	CAPTURE_END,
	CAPTURE_FAULT,       /* the input cannot be read further; what came before stands */
	CAPTURE_BUSY,        /* too many windows are held by others: release some, call again */
	CAPTURE_INTERRUPTED, /* a signal came in: call again, or stop */
	CAPTURE_PAUSE, /* a moment to let go of what is held back (byte_source.h): call again */
};

struct capture_file;

/* OK, FAILED or INTERRUPTED; nothing is read yet. The pool must outlive the file. */
enum source_result capture_file_open(const char *path, const struct byte_source_limits *limits,
				     struct capture_window_pool *pool, struct capture_file **file,
				     struct input_fault *fault);

void capture_file_close(struct capture_file *file);

/*
 * The next packet. After FAULT or END the same comes again. Windows are asked
 * for with window_bytes, or with as much as a longer packet needs.
 */
enum capture_status capture_file_next(struct capture_file *file, size_t window_bytes,
				      struct capture_packet *packet, struct input_fault *fault);

/* UNKNOWN until the first packet or fault, and after a fault if the input is no capture. */
enum capture_kind capture_file_kind(const struct capture_file *file);

/* An interface of the present section, by the interface_id of the packet last given. */
struct capture_interface *capture_file_interface(struct capture_file *file, uint32_t interface_id);

/* For parking, size and progress. */
struct byte_source *capture_file_source(struct capture_file *file);

#endif
