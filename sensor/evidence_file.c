/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/evidence_file.h"

#include "sensor/evidence.h"
#include "sensor/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* See sensor/filter.c: the only number that differs between the file and libpcap. */
static int dlt_of(uint32_t link_type)
{
	return link_type == 101 ? DLT_RAW : (int)link_type;
}

static void dump_frames(pcap_dumper_t *dumper, uint32_t link_type, struct span frames)
{
	while (frames.len >= sizeof(struct evidence_frame)) {
		struct evidence_frame frame;

		memcpy(&frame, frames.ptr, sizeof(frame));
		const uint8_t *bytes = frames.ptr + sizeof(frame);
		size_t size = sizeof(frame) + frame.captured_len;
		const struct pcap_pkthdr header = {
		    /* libpcap takes nanoseconds in the place of microseconds here. */
		    .ts = {.tv_sec = (time_t)(frame.time_ns / 1000000000),
			   .tv_usec = (suseconds_t)(frame.time_ns % 1000000000)},
		    .caplen = frame.captured_len,
		    .len = frame.wire_len,
		};

		if (frame.link_type == link_type && frame.time_ns >= 0)
			pcap_dump((uint8_t *)dumper, &header, bytes);
		frames = span_of(frames.ptr + size, frames.len - size);
	}
}

/* The capture in memory, to be freed; NULL when memory is out. */
static char *make_capture(struct span frames, size_t *size)
{
	struct evidence_frame first;
	char *capture = NULL;
	FILE *stream;

	if (frames.len < sizeof(first)) {
		errno = ENODATA;
		return NULL;
	}
	memcpy(&first, frames.ptr, sizeof(first));
	pcap_t *dead = pcap_open_dead_with_tstamp_precision(dlt_of(first.link_type), LIMIT_FRAME,
							    PCAP_TSTAMP_PRECISION_NANO);
	if (!dead) {
		errno = ENOMEM;
		return NULL;
	}
	stream = open_memstream(&capture, size);
	pcap_dumper_t *dumper = stream ? pcap_dump_fopen(dead, stream) : NULL;

	if (dumper) {
		dump_frames(dumper, first.link_type, frames);
		pcap_dump_close(dumper); /* closes the stream as well */
	} else {
		if (stream)
			fclose(stream);
		free(capture);
		capture = NULL;
		errno = ENOMEM;
	}
	pcap_close(dead);
	return capture;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, bytes, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		bytes += written;
		len -= (size_t)written;
	}
	return true;
}

static bool write_file(const char *path, const char *bytes, size_t len)
{
	char draft[EVIDENCE_PATH_MAX + 8];

	snprintf(draft, sizeof(draft), "%s.part", path);
	int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return false;
	bool ok = write_all(fd, bytes, len);
	int error = errno;

	if (close(fd) != 0 && ok) {
		ok = false;
		error = errno;
	}
	if (ok && rename(draft, path) == 0)
		return true;
	if (ok)
		error = errno;
	unlink(draft);
	errno = error;
	return false;
}

bool evidence_file_write(const char *directory, const char *id, struct span frames,
			 struct digester *digester, char path[EVIDENCE_PATH_MAX],
			 uint8_t sha256[DIGEST_SHA256_SIZE])
{
	size_t size = 0;
	int len = snprintf(path, EVIDENCE_PATH_MAX, "%s/%s.pcap", directory, id);

	if (len < 0 || len >= EVIDENCE_PATH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	char *capture = make_capture(frames, &size);

	if (!capture)
		return false;
	bool ok = digest_bytes(digester, DIGEST_SHA256, span_of(capture, size), sha256);

	if (!ok)
		errno = ENOMEM;
	ok = ok && write_file(path, capture, size);
	free(capture);
	return ok;
}
