/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/digest_memo.h"

#include <string.h>

#define PLACES   128U
#define TEXT_MAX 384U /* bytes: a longer one is not remembered */

struct place {
	uint32_t len; /* 0: free */
	uint8_t digest[DIGEST_SIZE_MAX];
	uint8_t text[TEXT_MAX];
};

struct digest_memo {
	struct budget *budget;
	struct digester *digester;
	enum digest_algorithm algorithm;
	struct place places[PLACES];
};

struct digest_memo *digest_memo_create(struct budget *budget, struct digester *digester,
				       enum digest_algorithm algorithm)
{
	struct digest_memo *memo = budget_calloc(budget, 1, sizeof *memo);
	if (memo == NULL)
		return NULL;
	memo->budget = budget;
	memo->digester = digester;
	memo->algorithm = algorithm;
	return memo;
}

void digest_memo_destroy(struct digest_memo *memo)
{
	if (memo != NULL)
		budget_free(memo->budget, memo, sizeof *memo);
}

/*
 * Where a text is remembered: the one there before gives way. Whoever aims texts at one place
 * makes their digests be taken, as without a memo.
 */
static struct place *place_of(struct digest_memo *memo, struct span text)
{
	uint64_t sum = text.len;
	size_t at = 0;
	for (; at + 8 <= text.len; at += 8)
		sum = (sum ^ bytes_u64le(text.ptr + at)) * UINT64_C(0x9e3779b97f4a7c15);
	for (; at < text.len; at++)
		sum = (sum ^ text.ptr[at]) * UINT64_C(0x9e3779b97f4a7c15);
	return &memo->places[(sum >> 32) % PLACES];
}

bool digest_memo_bytes(struct digest_memo *memo, struct span bytes, uint8_t *out)
{
	const size_t size = digest_size(memo->algorithm);
	if (bytes.len == 0 || bytes.len > TEXT_MAX)
		return digest_bytes(memo->digester, memo->algorithm, bytes, out);
	struct place *place = place_of(memo, bytes);
	if (place->len != bytes.len || memcmp(place->text, bytes.ptr, bytes.len) != 0) {
		place->len = 0;
		if (!digest_bytes(memo->digester, memo->algorithm, bytes, place->digest)) {
			memset(out, 0, size);
			return false;
		}
		memcpy(place->text, bytes.ptr, bytes.len);
		place->len = (uint32_t)bytes.len;
	}
	memcpy(out, place->digest, size);
	return true;
}
