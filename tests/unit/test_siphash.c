/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/siphash.h"

#include <criterion/criterion.h>

/*
 * Key 0, input 00 01 .. : Python's, which has SipHash-1-3 since 3.11,
 * PYTHONHASHSEED=0 python3 -c 'print(hex(hash(bytes(range(9))) & 2**64 - 1))'
 */
Test(siphash, as_another_implementation_has_it)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} rows[] = {
	    {1, 0x68a914128e01e473},  {7, 0x2f098ab0c751325a},  {8, 0xead411e67ebe2eea},
	    {9, 0x75927f9d95124362},  {15, 0xf30eb725bb91c9ea}, {16, 0x8972188433a5c5b7},
	    {63, 0x385d3e39e5f37359},
	};
	struct siphash_key key = {.k0 = 0, .k1 = 0};
	uint8_t input[63];
	for (uint8_t i = 0; i < sizeof input; i++)
		input[i] = i;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		cr_expect_eq(siphash(&key, span_of(input, rows[i].len)), rows[i].hash, "length %zu",
			     rows[i].len);
}

/* Each half of the key counts. */
Test(siphash, other_keys_give_other_hashes)
{
	const struct siphash_key keys[] = {{1, 2}, {1, 3}, {2, 2}};
	const uint8_t input[] = {1, 2, 3};
	const struct span bytes = span_of(input, sizeof input);
	for (size_t i = 1; i < sizeof keys / sizeof keys[0]; i++)
		cr_expect_neq(siphash(&keys[0], bytes), siphash(&keys[i], bytes));
}
