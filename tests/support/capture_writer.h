/* SPDX-License-Identifier: Apache-2.0 */
/* Writes captures of every form for tests, broken ones included. Aborts when memory is out. */
#ifndef TESTS_SUPPORT_CAPTURE_WRITER_H
#define TESTS_SUPPORT_CAPTURE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture_bytes {
	uint8_t *ptr;
	size_t len, room;
	bool big_endian;
};

void put_bytes(struct capture_bytes *bytes, const void *data, size_t len);
void put_u16(struct capture_bytes *bytes, uint16_t value);
void put_u32(struct capture_bytes *bytes, uint32_t value);
void capture_bytes_free(struct capture_bytes *bytes);

/* A frame of len bytes that differ by seed. */
void put_frame(struct capture_bytes *bytes, uint32_t seed, uint32_t len);

void pcap_begin(struct capture_bytes *bytes, uint32_t magic, uint16_t minor, uint32_t snaplen,
		uint32_t network);
/* extra: bytes between record header and frame, 8 for the modified form. */
void pcap_add(struct capture_bytes *bytes, uint32_t seconds, uint32_t ticks, uint32_t caplen,
	      uint32_t len, size_t extra, uint32_t seed);

/* Begins a block and returns its place; block_end() writes both of its lengths. */
size_t block_begin(struct capture_bytes *bytes, uint32_t type);
void block_end(struct capture_bytes *bytes, size_t begin);
void block_option(struct capture_bytes *bytes, uint16_t code, const void *value, uint16_t len);

void pcapng_section(struct capture_bytes *bytes);
void pcapng_interface(struct capture_bytes *bytes, uint16_t link_type, uint32_t snaplen,
		      uint8_t resolution, int64_t offset_s, const char *name);
void pcapng_enhanced(struct capture_bytes *bytes, uint32_t interface_id, uint64_t ticks,
		     uint32_t caplen, uint32_t len, uint32_t seed);
void pcapng_simple(struct capture_bytes *bytes, uint32_t caplen, uint32_t len, uint32_t seed);
void pcapng_obsolete(struct capture_bytes *bytes, uint16_t interface_id, uint64_t ticks,
		     uint32_t caplen, uint32_t len, uint32_t seed);

#endif
