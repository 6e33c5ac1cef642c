/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a reader of captures can do: libpcap's loop, which counts. The yardstick. */
#include <pcap/pcap.h>

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	struct bpf_program program;
	struct pcap_pkthdr *header;
	const unsigned char *bytes;
	uint64_t packets = 0, total = 0;

	if (argc != 2 && argc != 3) {
		fputs("usage: bare_loop FILE [FILTER]\n", stderr);
		return 2;
	}
	pcap_t *capture = pcap_open_offline(argv[1], error);
	if (capture == NULL) {
		fprintf(stderr, "bare_loop: %s\n", error);
		return 1;
	}
	if (argc == 3 && (pcap_compile(capture, &program, argv[2], 1, PCAP_NETMASK_UNKNOWN) != 0 ||
			  pcap_setfilter(capture, &program) != 0)) {
		fprintf(stderr, "bare_loop: %s\n", pcap_geterr(capture));
		return 1;
	}
	while (pcap_next_ex(capture, &header, &bytes) == 1) {
		packets++;
		total += header->len;
	}
	pcap_close(capture);
	printf("%" PRIu64 " packets, %" PRIu64 " bytes\n", packets, total);
	return 0;
}
