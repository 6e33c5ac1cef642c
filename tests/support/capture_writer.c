/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/capture_writer.h"

#include <stdlib.h>
#include <string.h>

void put_bytes(struct capture_bytes *bytes, const void *data, size_t len)
{
	if (bytes->room - bytes->len < len) {
		size_t room = (bytes->room + len) * 2;
		uint8_t *grown = realloc(bytes->ptr, room);
		if (!grown)
			abort();
		bytes->ptr = grown;
		bytes->room = room;
	}
	if (len > 0)
		memcpy(bytes->ptr + bytes->len, data, len);
	bytes->len += len;
}

void put_u16(struct capture_bytes *bytes, uint16_t value)
{
	uint8_t low = (uint8_t)value;
	uint8_t high = (uint8_t)(value >> 8);
	uint8_t raw[2] = {bytes->big_endian ? high : low, bytes->big_endian ? low : high};
	put_bytes(bytes, raw, sizeof(raw));
}

void put_u32(struct capture_bytes *bytes, uint32_t value)
{
	put_u16(bytes, (uint16_t)(bytes->big_endian ? value >> 16 : value));
	put_u16(bytes, (uint16_t)(bytes->big_endian ? value : value >> 16));
}

void capture_bytes_free(struct capture_bytes *bytes)
{
	free(bytes->ptr);
	*bytes = (struct capture_bytes){.ptr = NULL};
}

void put_frame(struct capture_bytes *bytes, uint32_t seed, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)(seed * 131 + i * 7 + (i >> 8));
		put_bytes(bytes, &byte, 1);
	}
}

void pcap_begin(struct capture_bytes *bytes, uint32_t magic, uint16_t minor, uint32_t snaplen,
		uint32_t network)
{
	put_u32(bytes, magic);
	put_u16(bytes, 2);
	put_u16(bytes, minor);
	put_u32(bytes, 0);
	put_u32(bytes, 0);
	put_u32(bytes, snaplen);
	put_u32(bytes, network);
}

void pcap_add(struct capture_bytes *bytes, uint32_t seconds, uint32_t ticks, uint32_t caplen,
	      uint32_t len, size_t extra, uint32_t seed)
{
	static const uint8_t zeros[8] = {0};
	put_u32(bytes, seconds);
	put_u32(bytes, ticks);
	put_u32(bytes, caplen);
	put_u32(bytes, len);
	put_bytes(bytes, zeros, extra);
	put_frame(bytes, seed, caplen);
}

static void pad(struct capture_bytes *bytes, size_t begin)
{
	static const uint8_t zeros[4] = {0};
	put_bytes(bytes, zeros, (4 - (bytes->len - begin) % 4) % 4);
}

size_t block_begin(struct capture_bytes *bytes, uint32_t type)
{
	size_t begin = bytes->len;
	put_u32(bytes, type);
	put_u32(bytes, 0);
	return begin;
}

void block_end(struct capture_bytes *bytes, size_t begin)
{
	pad(bytes, begin);
	uint32_t len = (uint32_t)(bytes->len - begin + 4);
	put_u32(bytes, len);
	memcpy(bytes->ptr + begin + 4, bytes->ptr + bytes->len - 4, 4);
}

void block_option(struct capture_bytes *bytes, uint16_t code, const void *value, uint16_t len)
{
	size_t begin = bytes->len;
	put_u16(bytes, code);
	put_u16(bytes, len);
	put_bytes(bytes, value, len);
	pad(bytes, begin);
}

void pcapng_section(struct capture_bytes *bytes)
{
	size_t begin = block_begin(bytes, 0x0a0d0d0a);
	put_u32(bytes, 0x1a2b3c4d);
	put_u16(bytes, 1);
	put_u16(bytes, 0);
	put_u32(bytes, 0xffffffff);
	put_u32(bytes, 0xffffffff);
	block_option(bytes, 1, "a comment", 9);
	block_option(bytes, 0, NULL, 0);
	block_end(bytes, begin);
}

void pcapng_interface(struct capture_bytes *bytes, uint16_t link_type, uint32_t snaplen,
		      uint8_t resolution, int64_t offset_s, const char *name)
{
	size_t begin = block_begin(bytes, 1);
	put_u16(bytes, link_type);
	put_u16(bytes, 0);
	put_u32(bytes, snaplen);
	block_option(bytes, 1, "!", 1);
	if (name)
		block_option(bytes, 2, name, (uint16_t)strlen(name));
	block_option(bytes, 9, &resolution, 1);
	if (offset_s != 0) {
		put_u16(bytes, 14);
		put_u16(bytes, 8);
		uint64_t bits = (uint64_t)offset_s;
		put_u32(bytes, (uint32_t)(bytes->big_endian ? bits >> 32 : bits));
		put_u32(bytes, (uint32_t)(bytes->big_endian ? bits : bits >> 32));
	}
	block_option(bytes, 0, NULL, 0);
	block_end(bytes, begin);
}

static void timed(struct capture_bytes *bytes, uint64_t ticks, uint32_t caplen, uint32_t len,
		  uint32_t seed)
{
	put_u32(bytes, (uint32_t)(ticks >> 32));
	put_u32(bytes, (uint32_t)ticks);
	put_u32(bytes, caplen);
	put_u32(bytes, len);
	put_frame(bytes, seed, caplen);
}

void pcapng_enhanced(struct capture_bytes *bytes, uint32_t interface_id, uint64_t ticks,
		     uint32_t caplen, uint32_t len, uint32_t seed)
{
	size_t begin = block_begin(bytes, 6);
	put_u32(bytes, interface_id);
	timed(bytes, ticks, caplen, len, seed);
	block_end(bytes, begin);
}

void pcapng_simple(struct capture_bytes *bytes, uint32_t caplen, uint32_t len, uint32_t seed)
{
	size_t begin = block_begin(bytes, 3);
	put_u32(bytes, len);
	put_frame(bytes, seed, caplen);
	block_end(bytes, begin);
}

void pcapng_obsolete(struct capture_bytes *bytes, uint16_t interface_id, uint64_t ticks,
		     uint32_t caplen, uint32_t len, uint32_t seed)
{
	size_t begin = block_begin(bytes, 2);
	put_u16(bytes, interface_id);
	put_u16(bytes, 0xffff);
	timed(bytes, ticks, caplen, len, seed);
	block_end(bytes, begin);
}
