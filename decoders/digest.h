/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message digests, by OpenSSL: MD5 (JA3 is defined with it), SHA-1 (Community
 * ID is), SHA-256 (certificates, alert ids, evidence).
 *
 * A digester owns the algorithms, fetched once, and one working context, so
 * that a digest costs its bytes and not OpenSSL's look-ups. It is not
 * thread-safe: each worker has one. Nothing here is keyed or secret.
 */
#ifndef DECODERS_DIGEST_H
#define DECODERS_DIGEST_H

#include "decoders/span.h"

enum digest_algorithm { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_ALGORITHM_COUNT };

#define DIGEST_MD5_SIZE    16
#define DIGEST_SHA1_SIZE   20
#define DIGEST_SHA256_SIZE 32
#define DIGEST_SIZE_MAX    32

struct digester;      /* opaque */
struct digest_stream; /* opaque: a digest of bytes that come in pieces */

/* NULL when out of memory, or when SHA-256 is not to be had. The caller destroys it. */
struct digester *digester_create(void);

/* NULL is allowed. */
void digester_destroy(struct digester *digester);

/* Bytes that the algorithm writes. */
size_t digest_size(enum digest_algorithm algorithm);

/*
 * The digest of all of bytes into out, which has room for digest_size(). False,
 * with out zeroed, when OpenSSL refuses: MD5 does not exist in its FIPS mode.
 */
bool digest_bytes(struct digester *digester, enum digest_algorithm algorithm, struct span bytes,
		  uint8_t *out);

/*
 * Begins a digest in pieces; several may go on at once, and each may outlive
 * others but not the digester. NULL when out of memory or refused.
 */
struct digest_stream *digest_stream_create(const struct digester *digester,
					   enum digest_algorithm algorithm);

/* False when OpenSSL refuses; the stream is then only good for destroying. */
bool digest_stream_update(struct digest_stream *stream, struct span bytes);

/* Writes the digest of everything so far, as digest_bytes() does, and begins anew. */
bool digest_stream_finish(struct digest_stream *stream, uint8_t *out);

/* NULL is allowed. */
void digest_stream_destroy(struct digest_stream *stream);

/* Writes 2 * len lower-case hex digits and a NUL; text has room for them. */
void digest_hex(const uint8_t *digest, size_t len, char *text);

#endif
