/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind and size of a public key, read from its SubjectPublicKeyInfo (RFC 5280
 * 4.1.2.7) where it stands: OpenSSL's way there, a search for a decoder among
 * all that its providers have, costs a hundred times as much.
 *
 * Only what nearly every certificate has is read: RSA (RFC 3279 2.3.1),
 * elliptic curves by name, P-256, P-384 and P-521, uncompressed (RFC 5480 2),
 * Ed25519 and Ed448 (RFC 8410 4). Whether a point lies on its curve is not
 * computed.
 */
#ifndef DECODERS_PUBLIC_KEY_H
#define DECODERS_PUBLIC_KEY_H

#include "decoders/span.h"

enum public_key_kind {
	PUBLIC_KEY_OTHER, /* another algorithm or curve, or not well formed: ask a library */
	PUBLIC_KEY_RSA,
	PUBLIC_KEY_EC,
	PUBLIC_KEY_EDDSA,
};

/* *bits: of the modulus, of the curve's field, or of an EdDSA key; 0 for PUBLIC_KEY_OTHER. */
enum public_key_kind public_key_read(struct span der, uint32_t *bits);

#endif
