/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the TLS reader share with one another and with nobody else:
 * tls_handshake.c (records and gaps), tls_message.c (handshake messages out of records),
 * tls_hello.c (what a message says), tls_established.c (what it comes to). Functions are
 * explained where they are defined.
 */
#ifndef DECODERS_TLS_INTERNAL_H
#define DECODERS_TLS_INTERNAL_H

#include "decoders/tls_handshake.h"

/* ContentType (RFC 8446 5.1, 6520) */
enum {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION_DATA = 23,
	RECORD_HEARTBEAT = 24,
};

/* HandshakeType (RFC 8446 4, 5246 7.4) */
enum {
	MESSAGE_CLIENT_HELLO = 1,
	MESSAGE_SERVER_HELLO = 2,
	MESSAGE_CERTIFICATE = 11,
	MESSAGE_SERVER_KEY_EXCHANGE = 12,
	MESSAGE_SERVER_HELLO_DONE = 14,
};

/* ExtensionType (IANA) */
enum {
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_ALPN = 16,
	EXTENSION_PRE_SHARED_KEY = 41,
	EXTENSION_EARLY_DATA = 42,
	EXTENSION_SUPPORTED_VERSIONS = 43,
	EXTENSION_KEY_SHARE = 51,
	EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
};

enum {
	SUITE_FALLBACK_SCSV = 0x5600,
	CURVE_TYPE_NAMED = 3,
	HEADER_LEN = 5,
	ALERT_LEN = 2,
	ALERTS_LEN_MAX = 16, /* of a record: nobody has so much to say in the clear */
	MESSAGE_HEADER_LEN = 4,
	RANDOM_LEN = 32,
	/* 2^14 and what RFC 5246 6.2.3 lets compression and encryption add. */
	RECORD_MAX = 16384 + 2048,
	/* Headers in a row after a gap that make chance improbable: one fits by chance about
	   every three million bytes. */
	CONFIDENT = 3,
	BUFFER_FIRST = 512,
	SSL2_CLIENT_HELLO = 1,
	SSL2_SERVER_HELLO = 4,
	SSL2_HELLO_MIN = 9, /* the fixed part of the shorter one */
};

/* ---- tls_message.c ---- */

void tls_buffer_drop(struct tls_side *side, struct budget *budget);
void tls_tell_malformed(struct tls_conversation *conversation, enum side side,
			struct tls_step *step);
bool tls_buffer_append(struct tls_side *side, struct budget *budget, struct span bytes);
void tls_consume(struct tls_side *side, struct span *bytes, struct tls_step *step, size_t n);
void tls_skip_message(struct tls_side *side, struct budget *budget, uint32_t left);
void tls_read_handshake(struct tls_conversation *conversation, struct budget *budget,
			enum side side, struct span *bytes, struct tls_step *step);

/* ---- tls_hello.c ---- */

bool tls_read_client_hello(struct span message, struct tls_hello *hello, struct tls_facts *facts);
bool tls_read_server_hello(struct span message, struct tls_hello *hello, struct tls_facts *facts);
bool tls_read_sslv2_client_hello(struct span message, struct tls_hello *hello,
				 struct tls_facts *facts);
bool tls_read_sslv2_server_hello(struct span message, struct tls_hello *hello,
				 struct span *certificate, struct tls_facts *facts);
bool tls_read_chain(struct span message, struct tls_step *step);
void tls_read_key_exchange(struct span message, struct tls_facts *facts);

/* ---- tls_established.c ---- */

bool tls_may_be_1_3(const struct tls_facts *facts);

#endif
