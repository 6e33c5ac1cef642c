/* SPDX-License-Identifier: Apache-2.0 */
/* Names and weaknesses of TLS cipher suites: IANA's registry, and SSL 2.0. */
#ifndef DECODERS_TLS_SUITES_H
#define DECODERS_TLS_SUITES_H

#include <stdbool.h>
#include <stdint.h>

enum tls_key_exchange {
	TLS_KEY_EXCHANGE_STATIC,    /* no forward secrecy */
	TLS_KEY_EXCHANGE_EPHEMERAL, /* DHE, ECDHE and their like */
	TLS_KEY_EXCHANGE_ANONYMOUS, /* ephemeral, and nobody is authenticated */
	TLS_KEY_EXCHANGE_TLS_1_3,   /* not the suite's business; ephemeral in practice */
};

/* What makes a suite unfit; the gravest when there are several. */
enum tls_weakness {
	TLS_WEAKNESS_NONE,
	TLS_WEAKNESS_NULL,       /* no encryption at all */
	TLS_WEAKNESS_EXPORT,     /* keys of 40 or 56 bits by decree (RFC 2246, FREAK, Logjam) */
	TLS_WEAKNESS_ANONYMOUS,  /* open to anyone in the middle */
	TLS_WEAKNESS_RC4,        /* RFC 7465 */
	TLS_WEAKNESS_RC2,        /* SSL 2.0 only */
	TLS_WEAKNESS_DES,        /* 56 bits (RFC 5469) */
	TLS_WEAKNESS_TRIPLE_DES, /* 64-bit blocks (Sweet32) */
	TLS_WEAKNESS_COUNT
};

struct tls_suite {
	uint16_t code; /* SSL 2.0: the first byte of the cipher spec */
	enum tls_key_exchange key_exchange;
	enum tls_weakness weakness;
	const char *name;
};

/*
 * The suite by the negotiated version (as on the wire; only SSL 2.0, 0x0002,
 * makes a difference) and its code. NULL when the registry has none.
 */
const struct tls_suite *tls_suite_find(uint16_t version, uint16_t code);

/* "export", "null", "anonymous", "rc4", "rc2", "des", "3des"; "" for NONE. */
const char *tls_weakness_word(enum tls_weakness weakness);

#endif
