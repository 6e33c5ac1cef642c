/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of texts that come again and again, remembered: thousands of sessions have a handful
 * of JA3 strings between them, and few certificates. What is remembered is the text itself, so that
 * nothing but the same bytes gets its digest.
 */
#ifndef DECODERS_DIGEST_MEMO_H
#define DECODERS_DIGEST_MEMO_H

#include "decoders/budget.h"
#include "decoders/digest.h"

struct digest_memo; /* opaque; one thread's, as its digester is */

struct digest_memo_limits {
	size_t texts;    /* remembered at a time, at least 1 */
	size_t text_len; /* bytes of one; the digest of a longer one is taken each time */
};

/* NULL when out of memory. budget and digester outlive it. */
struct digest_memo *digest_memo_create(struct budget *budget, struct digester *digester,
				       enum digest_algorithm algorithm,
				       const struct digest_memo_limits *limits);

/* NULL is allowed. */
void digest_memo_destroy(struct digest_memo *memo);

/* As digest_bytes(). */
bool digest_memo_bytes(struct digest_memo *memo, struct span bytes, uint8_t *out);

#endif
