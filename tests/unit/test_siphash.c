/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/siphash.h"

#include <criterion/criterion.h>

/* Key 00 01 .. 0f, input 00 01 .. : the vectors of the reference implementation. */
Test(siphash, reference_vectors)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} rows[] = {
	    {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
	    {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5},
	};
	struct siphash_key key = {.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
	uint8_t input[16];
	for (uint8_t i = 0; i < sizeof input; i++)
		input[i] = i;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		cr_expect_eq(siphash(&key, span_of(input, rows[i].len)), rows[i].hash, "length %zu",
			     rows[i].len);
}
