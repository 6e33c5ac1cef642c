/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/crc32c.h"

static const uint32_t tables[8][256] = {
#include "alerts/crc32c_tables.def"
};

/*
 * Eight bytes a step. (M. Kounavis, F. Berry: A Systematic Approach to Building High
 * Performance Software-Based CRC Generators, 2005.)
 */
uint32_t crc32c_by_tables(uint32_t crc, struct span bytes)
{
	const uint8_t *at = bytes.ptr;
	size_t left = bytes.len;

	crc = ~crc;
	for (; left >= 8; at += 8, left -= 8) {
		uint32_t low = crc ^ (at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
				      (uint32_t)at[3] << 24);
		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^
		      tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^ tables[3][at[4]] ^
		      tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
	}
	for (; left > 0; at++, left--)
		crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
/* SSE 4.2 has an instruction for just this polynomial (Intel SDM, "CRC32"). */
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_instruction(uint32_t crc,
									struct span bytes)
{
	const uint8_t *at = bytes.ptr;
	size_t left = bytes.len;
	uint64_t sum = ~crc;

	for (; left >= 8; at += 8, left -= 8) {
		uint64_t word;
		memcpy(&word, at, sizeof word);
		sum = __builtin_ia32_crc32di(sum, word);
	}
	crc = (uint32_t)sum;
	for (; left > 0; at++, left--)
		crc = __builtin_ia32_crc32qi(crc, *at);
	return ~crc;
}
#endif

/* Each alert is summed when it is raised and when it is sent: by tables that was a fifth of both.
 */
uint32_t crc32c(uint32_t crc, struct span bytes)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_by_instruction(crc, bytes);
#endif
	return crc32c_by_tables(crc, bytes);
}
