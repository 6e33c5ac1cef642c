/* SPDX-License-Identifier: Apache-2.0 */
/* TCP reassembly alone, by libnids: what a sensor pays before it has read a single line. */
#include <nids.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t connections, bytes;

static void count(struct tcp_stream *stream, void **unused)
{
	(void)unused;
	if (stream->nids_state == NIDS_JUST_EST) {
		stream->client.collect++;
		stream->server.collect++;
		connections++;
	} else if (stream->nids_state == NIDS_DATA) {
		bytes += (uint64_t)stream->client.count_new + (uint64_t)stream->server.count_new;
	}
}

int main(int argc, char **argv)
{
	static char filter[] = "tcp port 25 or tcp port 587";
	struct nids_chksum_ctl no_checksums;

	if (argc != 2) {
		fputs("usage: bench_nids_loop FILE\n", stderr);
		return 2;
	}
	nids_params.filename = argv[1];
	nids_params.pcap_filter = filter;
	nids_params.n_tcp_streams = 1 << 16;
	nids_params.scan_num_hosts = 0;
	if (!nids_init()) {
		fprintf(stderr, "bench_nids_loop: %s\n", nids_errbuf);
		return 1;
	}
	memset(&no_checksums, 0, sizeof no_checksums);
	no_checksums.action = NIDS_DONT_CHKSUM;
	nids_register_chksum_ctl(&no_checksums, 1);
	nids_register_tcp(count);
	nids_run();
	printf("%" PRIu64 " connections, %" PRIu64 " bytes\n", connections, bytes);
	return 0;
}
