/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/sparse.h"

#include <string.h>

#define WORD 8U

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

size_t sparse_write(struct span bytes, uint8_t *out)
{
	const size_t words = words_of(bytes.len);
	uint8_t *at = out + bits_len(words);

	memset(out, 0, bits_len(words));
	for (size_t w = 0; w < words; w++) {
		const size_t from = w * WORD, left = bytes.len - from;
		uint64_t word = left >= WORD ? bytes_u64le(bytes.ptr + from)
					     : last_word(bytes.ptr + from, left);
		if (word == 0)
			continue;
		uint8_t *mask = at++;
		*mask = 0;
		/* From one byte that is not zero to the next. */
		while (word != 0) {
			const unsigned i = (unsigned)__builtin_ctzll(word) / 8;
			*mask = (uint8_t)(*mask | 1U << i);
			*at++ = (uint8_t)(word >> (8 * i));
			word &= ~(UINT64_C(0xff) << (8 * i));
		}
		out[w / 8] = (uint8_t)(out[w / 8] | 1U << w % 8);
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
			for (unsigned present = *at++; present != 0; present &= present - 1)
				word[__builtin_ctz(present)] = *at++;
		}
	}
}
