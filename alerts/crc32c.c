/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/crc32c.h"

static const uint32_t tables[8][256] = {
#include "alerts/crc32c_tables.def"
};

/*
 * Eight bytes a step: half of the sender's time went into the plain loop. (M. Kounavis, F.
 * Berry: A Systematic Approach to Building High Performance Software-Based CRC Generators, 2005.)
 */
uint32_t crc32c(uint32_t crc, struct span bytes)
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
