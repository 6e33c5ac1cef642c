/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/digest_memo.h"

#include <string.h>

struct place {
	size_t len; /* of the text; 0: free */
	uint8_t *text;
	uint8_t digest[DIGEST_SIZE_MAX];
};

struct digest_memo {
	struct budget *budget;
	struct digester *digester;
	enum digest_algorithm algorithm;
	struct digest_memo_limits limits;
	struct place *places; /* limits.texts of them */
};

struct digest_memo *digest_memo_create(struct budget *budget, struct digester *digester,
				       enum digest_algorithm algorithm,
				       const struct digest_memo_limits *limits)
{
	struct digest_memo *memo = budget_calloc(budget, 1, sizeof *memo);
	if (memo == NULL)
		return NULL;
	*memo = (struct digest_memo){
	    .budget = budget,
	    .digester = digester,
	    .algorithm = algorithm,
	    .limits = *limits,
	    .places = budget_calloc(budget, limits->texts, sizeof *memo->places),
	};
	if (memo->places != NULL)
		return memo;
	digest_memo_destroy(memo);
	return NULL;
}

void digest_memo_destroy(struct digest_memo *memo)
{
	if (memo == NULL)
		return;
	const size_t texts = memo->limits.texts;
	for (size_t i = 0; memo->places != NULL && i < texts; i++)
		budget_free(memo->budget, memo->places[i].text, memo->places[i].len);
	budget_free(memo->budget, memo->places, texts * sizeof *memo->places);
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
	return &memo->places[(sum >> 32) % memo->limits.texts];
}

/* Puts a text in the place of another. Without memory for it the place is free. */
static void remember(struct digest_memo *memo, struct place *place, struct span bytes,
		     const uint8_t *digest)
{
	budget_free(memo->budget, place->text, place->len);
	place->text = budget_alloc(memo->budget, bytes.len);
	place->len = place->text != NULL ? bytes.len : 0;
	if (place->text == NULL)
		return;
	memcpy(place->text, bytes.ptr, bytes.len);
	memcpy(place->digest, digest, digest_size(memo->algorithm));
}

bool digest_memo_bytes(struct digest_memo *memo, struct span bytes, uint8_t *out)
{
	if (bytes.len == 0 || bytes.len > memo->limits.text_len)
		return digest_bytes(memo->digester, memo->algorithm, bytes, out);
	struct place *place = place_of(memo, bytes);
	if (span_equal(span_of(place->text, place->len), bytes)) {
		memcpy(out, place->digest, digest_size(memo->algorithm));
		return true;
	}
	if (!digest_bytes(memo->digester, memo->algorithm, bytes, out))
		return false;
	remember(memo, place, bytes, out);
	return true;
}
