/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/generate.h"

#include <errno.h>
#include <string.h>

static uint32_t sum(const uint8_t *bytes, size_t len, uint32_t start)
{
	uint64_t total = start;
	for (size_t i = 0; i + 1 < len; i += 2)
		total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	if (len % 2 == 1)
		total += (uint32_t)bytes[len - 1] << 8;
	while (total > 0xffff)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

void store(uint8_t *at, uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static void frame_write(struct generator *g, uint8_t *frame, uint32_t len)
{
	uint32_t header[4] = {(uint32_t)(g->clock_ns / 1000000000),
			      (uint32_t)(g->clock_ns % 1000000000 / 1000), len, len};
	g->clock_ns += g->settings.packet_interval_ns;
	g->packets++;
	g->bytes += len;
	if (fwrite(header, sizeof header, 1, g->out) != 1 || fwrite(frame, len, 1, g->out) != 1)
		fail(strerror(errno));
}

static void ip_put(uint8_t *ip, uint32_t len, uint8_t protocol, uint32_t src, uint32_t dst)
{
	memset(ip, 0, 20);
	ip[0] = 0x45;
	store(ip + 2, len, 2);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = protocol;
	store(ip + 12, src, 4);
	store(ip + 16, dst, 4);
	store(ip + 10, ~sum(ip, 20, 0) & 0xffff, 2);
}

static void ethernet_put(uint8_t *frame)
{
	static const uint8_t header[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
	memcpy(frame, header, sizeof header);
}

void segment_write(struct generator *g, uint8_t *frame, uint32_t src, uint16_t src_port,
		   uint32_t dst, uint16_t dst_port, uint32_t seq, uint32_t ack, uint8_t flags,
		   uint32_t len)
{
	uint8_t *ip = frame + 14, *tcp = ip + 20;
	ethernet_put(frame);
	ip_put(ip, 52 + len, 6, src, dst);
	memset(tcp, 0, 32);
	store(tcp, src_port, 2);
	store(tcp + 2, dst_port, 2);
	store(tcp + 4, seq, 4);
	store(tcp + 8, ack, 4);
	tcp[12] = 0x80;
	tcp[13] = flags;
	store(tcp + 14, 0xffff, 2);
	store(tcp + 20, 0x0101080a, 4);
	store(tcp + 24, (uint32_t)(g->clock_ns / 1000000), 4);
	uint32_t pseudo = sum(ip + 12, 8, 6 + 32 + len);
	store(tcp + 16, ~sum(tcp, 32 + len, pseudo) & 0xffff, 2);
	frame_write(g, frame, HEADERS + len);
}

void other_write(struct generator *g)
{
	uint8_t frame[HEADERS + MSS];
	uint64_t flow = draw(g) % 8192, value = mix(flow);
	uint32_t len = draw(g) % 3 == 0 ? 0 : MSS;
	uint32_t src = 0x0a010000 + (uint32_t)(flow % 1000);
	uint32_t dst = 0xc6336400 + (uint32_t)(value % 1000);
	uint16_t port = (uint16_t)(20000 + value % 40000);

	if (flow % 5 == 0) {
		memcpy(frame + 42, g->record, MSS);
		ethernet_put(frame);
		ip_put(frame + 14, 28 + len, 17, src, dst);
		store(frame + 34, port, 2);
		store(frame + 36, 443, 2);
		store(frame + 38, 8 + len, 2);
		store(frame + 40, 0, 2);
		frame_write(g, frame, 42 + len);
	} else {
		memcpy(frame + HEADERS, g->record, MSS);
		segment_write(g, frame, dst, flow % 7 == 0 ? 80 : 443, src, port, (uint32_t)draw(g),
			      1, 0x10, len);
	}
}
