/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes captures to standard output over and over, as one endless capture: each round on
 * addresses of its own, and stamped with the time at which it is written, so that whoever reads
 * an alert knows how old it is. Several rounds run at once, a packet of each in turn.
 *
 *     bench_loop PACKETS RATE FILE...      RATE: packets a second at most; 0: as fast as taken
 *
 * The files are Ethernet captures of IPv4 or IPv6 without tunnels; others are left out.
 */
#include <pcap/pcap.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ETHERNET 14U
#define LANES    64U
/* Rounds until the addresses come again: bounds the connections that the captures leave open. */
#define ROUNDS 1024U
#define BATCH  256U

struct packet {
	uint8_t *bytes;
	uint32_t len;
};

struct lane {
	size_t at;
	uint32_t round;
};

struct loop {
	struct packet *packets;
	size_t count, cap;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* RFC 1624: the checksum after a 16-bit word became another. */
static void patch_checksum(uint8_t *sum, uint16_t before, uint16_t after)
{
	uint32_t s = (uint32_t)(uint16_t)~get16(sum) + (uint16_t)~before + after;
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	sum[0] = (uint8_t)(~s >> 8);
	sum[1] = (uint8_t)~s;
}

/* Where the checksum of TCP stands, or 0 when the packet is not looked at. */
static size_t tcp_checksum_at(const uint8_t *frame, size_t len, unsigned *version)
{
	if (len < ETHERNET + 40)
		return 0;
	uint16_t type = get16(frame + 12);
	*version = type == 0x0800 ? 4 : 6;
	if (type == 0x0800 && frame[ETHERNET + 9] == 6)
		return ETHERNET + (frame[ETHERNET] & 15U) * 4U + 16U;
	if (type == 0x86dd && frame[ETHERNET + 6] == 6)
		return ETHERNET + 40U + 16U;
	return 0;
}

/* Moves both addresses into the round's own part of the network. */
static void readdress(uint8_t *frame, size_t len, uint32_t round)
{
	unsigned version;
	size_t sum = tcp_checksum_at(frame, len, &version);
	if (sum == 0 || sum + 2 > len)
		return;
	for (unsigned end = 0; end < 2; end++) {
		uint8_t *word = version == 4 ? frame + ETHERNET + 12 + 4 * end
					     : frame + ETHERNET + 8 + 16 * end + 4;
		uint16_t before = get16(word), after = (uint16_t)(before ^ round);
		word[0] = (uint8_t)(after >> 8);
		word[1] = (uint8_t)after;
		patch_checksum(frame + sum, before, after);
		if (version == 4)
			patch_checksum(frame + ETHERNET + 10, before, after);
	}
}

static bool load(struct loop *loop, const char *path)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const unsigned char *bytes;
	pcap_t *capture = pcap_open_offline(path, error);
	if (capture == NULL) {
		fprintf(stderr, "bench_loop: %s\n", error);
		return false;
	}
	while (pcap_datalink(capture) == DLT_EN10MB &&
	       pcap_next_ex(capture, &header, &bytes) == 1) {
		if (loop->count == loop->cap) {
			loop->cap = loop->cap == 0 ? 1024 : 2 * loop->cap;
			loop->packets = realloc(loop->packets, loop->cap * sizeof *loop->packets);
			if (loop->packets == NULL)
				return false;
		}
		uint8_t *copy = malloc(header->caplen);
		if (copy == NULL)
			return false;
		memcpy(copy, bytes, header->caplen);
		loop->packets[loop->count++] =
		    (struct packet){.bytes = copy, .len = header->caplen};
	}
	pcap_close(capture);
	return true;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool put(const struct packet *packet, uint32_t round, int64_t time_ns)
{
	uint8_t frame[65536];
	uint32_t header[4] = {(uint32_t)(time_ns / 1000000000), (uint32_t)(time_ns % 1000000000),
			      packet->len, packet->len};
	if (packet->len > sizeof frame)
		return true;
	memcpy(frame, packet->bytes, packet->len);
	readdress(frame, packet->len, round);
	return fwrite(header, sizeof header, 1, stdout) == 1 &&
	       fwrite(frame, packet->len, 1, stdout) == 1;
}

int main(int argc, char **argv)
{
	struct loop loop = {.packets = NULL};
	struct lane lanes[LANES];
	const uint32_t file[6] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, 262144, 1}; /* in ns, Ethernet */

	if (argc < 4) {
		fputs("usage: bench_loop PACKETS RATE FILE...\n", stderr);
		return 2;
	}
	uint64_t wanted = strtoull(argv[1], NULL, 10), rate = strtoull(argv[2], NULL, 10);
	for (int i = 3; i < argc; i++)
		if (!load(&loop, argv[i]))
			return 1;
	if (loop.count == 0) {
		fputs("bench_loop: no packet\n", stderr);
		return 1;
	}
	uint32_t next_round = 0;
	for (unsigned i = 0; i < LANES; i++)
		lanes[i] = (struct lane){.at = 0, .round = next_round++};

	static char buffer[1 << 20];
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	bool good = fwrite(file, sizeof file, 1, stdout) == 1;
	int64_t start = now_ns(CLOCK_MONOTONIC), stamp = 0;
	for (uint64_t sent = 0; good && sent < wanted; sent++) {
		if (sent % BATCH == 0) {
			int64_t due = rate == 0 ? 0 : (int64_t)((double)sent * 1e9 / (double)rate);
			int64_t early = start + due - now_ns(CLOCK_MONOTONIC);
			if (rate != 0 && early > 2000000) {
				struct timespec pause = {.tv_nsec = early % 1000000000,
							 .tv_sec = early / 1000000000};
				(void)fflush(stdout);
				nanosleep(&pause, NULL);
			}
			stamp = now_ns(CLOCK_REALTIME);
		}
		struct lane *lane = &lanes[sent % LANES];
		good = put(&loop.packets[lane->at], lane->round % ROUNDS, stamp++);
		if (++lane->at == loop.count)
			*lane = (struct lane){.at = 0, .round = next_round++};
	}
	good = fflush(stdout) == 0 && good;
	fprintf(stderr, "%" PRIu32 " rounds of %zu packets\n", next_round, loop.count);
	return good ? 0 : 1;
}
