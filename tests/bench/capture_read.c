/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_read FILE [ROUNDS]: our reader beside a bare libpcap loop over the same file, in
 * turn, CPU seconds of each and the ratio. Both touch two bytes of each frame.
 */
#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "sensor/capture_set.h"

struct tally {
	uint64_t packets, bytes, touched;
};

static double cpu_seconds(void)
{
	struct rusage usage;
	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool read_ours(const char *path, struct tally *tally)
{
	const struct capture_limits limits = {
	    .window_bytes = 256 * 1024,
	    .windows_bytes = 4 * 1024 * 1024,
	    .max_in_flight = 16,
	    .max_open_files = 64,
	    .max_files = 100000,
	    .max_depth = 64,
	    .source = {.input_bytes = 65536, .zstd_max_window_log = 27},
	};
	struct capture_set *set = capture_set_open(&path, 1, &limits);
	if (!set)
		return false;
	struct capture_packet packet;
	enum capture_status status;
	while ((status = capture_set_next(set, &packet)) == CAPTURE_PACKET) {
		tally->packets++;
		tally->bytes += packet.frame.len;
		if (packet.frame.len > 47)
			tally->touched += (uint64_t)packet.frame.ptr[12] + packet.frame.ptr[47];
	}
	if (status == CAPTURE_FAULT)
		(void)fprintf(stderr, "%s: %s\n", path, capture_set_error(set)->reason);
	capture_set_close(set);
	return status == CAPTURE_END;
}

static bool read_libpcap(const char *path, struct tally *tally)
{
	char error[PCAP_ERRBUF_SIZE];
	pcap_t *handle = pcap_open_offline(path, error);
	if (!handle) {
		(void)fprintf(stderr, "%s\n", error);
		return false;
	}
	struct pcap_pkthdr *header;
	const u_char *bytes;
	while (pcap_next_ex(handle, &header, &bytes) == 1) {
		tally->packets++;
		tally->bytes += header->caplen;
		if (header->caplen > 47)
			tally->touched += (uint64_t)bytes[12] + bytes[47];
	}
	pcap_close(handle);
	return true;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: capture_read FILE [ROUNDS]\n");
		return 2;
	}
	long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 5;
	for (long i = 0; i < rounds; i++) {
		struct tally ours = {0}, theirs = {0};
		double start = cpu_seconds();
		if (!read_ours(argv[1], &ours))
			return 1;
		double middle = cpu_seconds();
		if (!read_libpcap(argv[1], &theirs))
			return 1;
		double end = cpu_seconds();
		(void)printf("packets %" PRIu64 " %s  ours %.3f s (%.1f M/s)  libpcap %.3f s  "
			     "ratio %.2f\n",
			     ours.packets,
			     ours.bytes == theirs.bytes && ours.touched == theirs.touched
				 ? "same bytes"
				 : "BYTES DIFFER",
			     middle - start, (double)ours.packets / (middle - start) / 1e6,
			     end - middle, (middle - start) / (end - middle));
	}
	return 0;
}
