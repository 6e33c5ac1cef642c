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

size_t sparse_write(struct span bytes, uint8_t *out)
{
	const size_t words = words_of(bytes.len);
	uint8_t *at = out + bits_len(words);

	memset(out, 0, bits_len(words));
	for (size_t w = 0; w < words; w++) {
		struct span word = span_head(span_skip(bytes, w * WORD), WORD);
		uint8_t *mask = at;
		uint8_t *next = at + 1;
		unsigned present = 0;
		for (size_t i = 0; i < word.len; i++) {
			if (word.ptr[i] == 0)
				continue;
			present |= 1U << i;
			*next++ = word.ptr[i];
		}
		if (present == 0)
			continue;
		*mask = (uint8_t)present;
		out[w / 8] = (uint8_t)(out[w / 8] | 1U << w % 8);
		at = next;
	}
	return (size_t)(at - out);
}

void sparse_read(const uint8_t *from, uint8_t *bytes, size_t len)
{
	const size_t words = words_of(len);
	const uint8_t *at = from + bits_len(words);

	memset(bytes, 0, len);
	for (size_t w = 0; w < words; w++) {
		if ((from[w / 8] & 1U << w % 8) == 0)
			continue;
		unsigned present = *at++;
		for (size_t i = 0; i < WORD; i++)
			if ((present & 1U << i) != 0)
				bytes[w * WORD + i] = *at++;
	}
}
