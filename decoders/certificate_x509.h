/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one certificate with OpenSSL: for the cache and the chains
 * (decoders/certificate.h), nobody else.
 */
#ifndef DECODERS_CERTIFICATE_X509_H
#define DECODERS_CERTIFICATE_X509_H

#include "decoders/certificate.h"

struct x509_st;
struct asn1_string_st;

#define CERTIFICATE_SERIAL_MAX 32 /* bytes; RFC 5280 4.1.2.2 allows 20 */

/* What one certificate's texts need, collected before the block's size is known. */
struct certificate_draft {
	struct certificate_info info;
	/* Host names are no longer than their DER; of addresses as text, so many have room. */
	uint8_t text[2 * CERTIFICATE_TEXT_MAX + CERTIFICATE_NAME_MAX + 2 * CERTIFICATE_SERIAL_MAX +
		     CERTIFICATE_DER_MAX];
	size_t text_len;
	struct span names[CERTIFICATE_NAMES_MAX];
};

/* What reading takes, made once. digester outlives it. NULL when out of memory. */
struct certificate_reader;
struct certificate_reader *certificate_reader_create(struct digester *digester);
void certificate_reader_destroy(struct certificate_reader *reader);

/* Fills draft from der, but for the digest of der and what the cache gives. False: no certificate.
 */
bool certificate_read(struct certificate_reader *reader, struct span der,
		      struct certificate_draft *draft);

/* The certificate with its key, owned by the caller; NULL when it is none, or too large. */
struct x509_st *certificate_decode(struct span der);

/* Seconds since 1970. False for a time that is no time, or before 1950 or after 9999. */
bool certificate_seconds(const struct asn1_string_st *time, int64_t *seconds);

#endif
