/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 certificates off the wire (RFC 5280), by OpenSSL: what a certificate
 * says, whether that fits the server and the packet's time, and whether a
 * given set of CAs vouches for it.
 *
 * Parsing costs over 100 µs, so each distinct certificate is parsed once and
 * found again by the SHA-256 of its bytes. Nothing here touches the network:
 * no CRL, no OCSP, no issuer is ever fetched.
 *
 * Texts are UTF-8 without control characters, cut at their limit.
 */
#ifndef DECODERS_CERTIFICATE_H
#define DECODERS_CERTIFICATE_H

#include "decoders/budget.h"
#include "decoders/digest.h"
#include "decoders/span.h"

#include <stdatomic.h>

enum certificate_key {
	CERTIFICATE_KEY_UNKNOWN,
	CERTIFICATE_KEY_RSA,
	CERTIFICATE_KEY_DSA,
	CERTIFICATE_KEY_DH,
	CERTIFICATE_KEY_EC,
	CERTIFICATE_KEY_EDDSA, /* Ed25519, Ed448 */
};

enum certificate_hash {
	CERTIFICATE_HASH_UNKNOWN,
	CERTIFICATE_HASH_OLD, /* MD2, MD4, MD5 */
	CERTIFICATE_HASH_SHA1,
	CERTIFICATE_HASH_SHA2, /* SHA-224 and up, SHA-3, EdDSA's own */
};

/* Bits of a set of problems. */
enum certificate_problem {
#define CERTIFICATE_PROBLEM(symbol, word, meaning) CERTIFICATE_PROBLEM_BIT_##symbol,
#include "decoders/certificate_problems.def"
	CERTIFICATE_PROBLEM_COUNT,
#define CERTIFICATE_PROBLEM(symbol, word, meaning)                                                 \
	CERTIFICATE_##symbol = 1 << CERTIFICATE_PROBLEM_BIT_##symbol,
#include "decoders/certificate_problems.def"
};

/* The word and the meaning of problem number bit (0 .. CERTIFICATE_PROBLEM_COUNT - 1). */
const char *certificate_problem_word(unsigned bit);
const char *certificate_problem_meaning(unsigned bit);

#define CERTIFICATE_DER_MAX  65536 /* a larger one is not parsed */
#define CERTIFICATE_TEXT_MAX 512   /* bytes of subject and of issuer */
/* Subject alternative names that are kept. Public CAs put 100 or 250 into one certificate. */
#define CERTIFICATE_NAMES_MAX 1000
#define CERTIFICATE_NAME_MAX  255 /* bytes of one name (RFC 1035: 253 and a dot) */

/* A certificate's facts. Immutable once made; spans point into the same block. */
struct certificate_info {
	uint8_t sha256[DIGEST_SHA256_SIZE];     /* of the DER */
	uint8_t key_sha256[DIGEST_SHA256_SIZE]; /* of the SubjectPublicKeyInfo (RFC 7469 2.4) */
	uint32_t id;                            /* unique within its cache, from 1 */
	int64_t not_before, not_after;          /* seconds since 1970-01-01 UTC */
	enum certificate_key key;
	uint32_t key_bits;
	enum certificate_hash signature_hash;
	bool self_signed;     /* subject is issuer, and the key identifiers do not say otherwise;
				 the signature itself is not verified */
	bool names_truncated; /* more names than are kept: a mismatch cannot be claimed */
	struct span subject, issuer; /* RFC 4514 */
	struct span common_name;     /* the most specific CN of the subject */
	struct span serial;          /* hex digits */
	bool has_dns_name;           /* the common name is then not looked at */
	uint16_t name_count;         /* dNSName and iPAddress of subjectAltName, as text */
	const struct span *names;
	atomic_uint *holders; /* certificate_hold() and certificate_release() only */
};

/* The given CAs (--ca-file, --ca-path). Read at start; afterwards shared between threads. */
struct certificate_anchors;

/*
 * Reads PEM certificates from a file and from every file of a directory;
 * either may be NULL. All of it is read now, so that a sensor that has locked
 * itself in needs no file later. NULL with a reason in error when something
 * named cannot be read, or holds no certificate, or when the file is broken
 * behind some: a CA that is left out would make good certificates look bad.
 */
struct certificate_anchors *certificate_anchors_create(const char *ca_file, const char *ca_path,
						       char *error, size_t error_size);
void certificate_anchors_destroy(struct certificate_anchors *anchors);

/* Counted for the sensor's counters. */
struct certificate_cache_counts {
	uint64_t parsed, hits, evicted;
	uint64_t malformed; /* no certificate, or larger than CERTIFICATE_DER_MAX */
	uint64_t refused;   /* no room: budget spent, or every entry held */
	uint64_t verified;  /* chains that were verified against the anchors */
};

struct certificate_cache;

/*
 * A cache of at most cap certificates and as many chain verdicts, of one
 * worker. Memory comes from budget, which outlives it; anchors may be NULL and
 * outlive it too. NULL when out of memory.
 */
struct certificate_cache *certificate_cache_create(struct budget *budget,
						   const struct certificate_anchors *anchors,
						   size_t cap);

/* Every certificate must have been released. NULL is allowed. */
void certificate_cache_destroy(struct certificate_cache *cache);

const struct certificate_cache_counts *
certificate_cache_counts(const struct certificate_cache *cache);

/*
 * The facts of the certificate in der, parsed if it was not known, held for
 * the caller: certificate_release() lets go of it. NULL when der is no
 * certificate or there is no room. Always writes the SHA-256 of der.
 */
const struct certificate_info *certificate_cache_get(struct certificate_cache *cache,
						     struct span der,
						     uint8_t sha256[DIGEST_SHA256_SIZE]);

/*
 * Holds for one more owner, or lets go. Any thread may do either as long as
 * it is an owner; only the cache's own thread ever frees. NULL is allowed.
 */
void certificate_hold(const struct certificate_info *info);
void certificate_release(const struct certificate_info *info);

/*
 * The problems that the certificate itself shows at a packet's time (seconds
 * since 1970-01-01 UTC). names are those by which the client may know the
 * server: the SNI alone if there is one, otherwise the host names that the
 * server gave; none: the name is not judged. One match is enough. An address,
 * as a literal too, is compared with the certificate's addresses; where it has
 * none, it is not judged by that.
 *
 * Names are matched by RFC 6125 6.4 as RFC 9525 narrows it: ASCII case
 * ignored, "*" only as the whole left-most label and for exactly one label;
 * the common name only when there is no dNSName at all. The signature is judged
 * on a self-signed certificate as well: nobody relies on it, but it dates the
 * software that made it, and who looks for MD5 and SHA-1 looks for those too.
 */
uint32_t certificate_judge(const struct certificate_info *info, int64_t time_s,
			   const struct span *names, size_t name_count);

/*
 * SELF_SIGNED or NOT_ANCHORED, or neither, for the chain that the server sent
 * (leaf first) at a packet's time. *judged is false, and the answer 0, when the
 * cache has no anchors or the chain could not be judged. An expired leaf is
 * reported by certificate_judge() alone.
 */
uint32_t certificate_cache_judge_chain(struct certificate_cache *cache, const struct span *ders,
				       size_t count, int64_t time_s, bool *judged);

/* Whether a name off the wire matches a name of a certificate (see certificate_judge). */
bool certificate_name_matches(struct span pattern, struct span name);

#endif
