/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/sparse.h"

#include <string.h>

#define WORD  8U
#define WHOLE 0xffU /* the mask of a word that stands there whole, zeros and all */
#define DENSE 4U    /* of more bytes than that, as it is copied at once */

static size_t words_of(size_t len)
{
	return (len + WORD - 1) / WORD;
}

static size_t bits_len(size_t words)
{
	return (words + 7) / 8;
}

/* A word that is a part of one: the bytes that it has not are zero. */
static uint64_t last_word(const uint8_t *bytes, size_t len)
{
	uint8_t whole[WORD] = {0};
	memcpy(whole, bytes, len);
	return bytes_u64le(whole);
}

/* Of each byte of a word that is not zero, the highest bit. */
static uint64_t present_bytes(uint64_t word)
{
	const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
	return (((word & low) + low) | word) & ~low;
}

static unsigned count_of(uint64_t present)
{
	return (unsigned)((present >> 7) * UINT64_C(0x0101010101010101) >> 56);
}

size_t sparse_write(struct span bytes, uint8_t *out)
{
	const size_t words = words_of(bytes.len);
	uint8_t *at = out + bits_len(words);

	memset(out, 0, bits_len(words));
	for (size_t w = 0; w < words; w++) {
		const size_t from = w * WORD, left = bytes.len - from;
		const uint64_t word = left >= WORD ? bytes_u64le(bytes.ptr + from)
						   : last_word(bytes.ptr + from, left);
		if (word == 0)
			continue;
		out[w / 8] = (uint8_t)(out[w / 8] | 1U << w % 8);
		uint64_t present = present_bytes(word);
		uint8_t *mask = at++;
		if (left >= WORD && count_of(present) > DENSE) {
			*mask = WHOLE;
			memcpy(at, bytes.ptr + from, WORD);
			at += WORD;
			continue;
		}
		*mask = 0;
		for (; present != 0; present &= present - 1) {
			const unsigned i = (unsigned)__builtin_ctzll(present) / 8;
			*mask = (uint8_t)(*mask | 1U << i);
			*at++ = (uint8_t)(word >> (8 * i));
		}
	}
	return (size_t)(at - out);
}

void sparse_read(const uint8_t *from, uint8_t *bytes, size_t len)
{
	const size_t words = words_of(len);
	const uint8_t *at = from + bits_len(words);

	memset(bytes, 0, len);
	for (size_t w = 0; w < words; w += 8) {
		for (unsigned some = from[w / 8]; some != 0; some &= some - 1) {
			uint8_t *word = bytes + (w + (unsigned)__builtin_ctz(some)) * WORD;
			unsigned present = *at++;
			if (present == WHOLE) {
				memcpy(word, at, WORD);
				at += WORD;
				continue;
			}
			for (; present != 0; present &= present - 1)
				word[__builtin_ctz(present)] = *at++;
		}
	}
}
