/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for the connection to Redis, as a machine without a socket: bytes from
 * the network go in, bytes for the network come out. All I/O, with its time
 * limits, stays in redis_link.
 */
#ifndef ALERTS_REDIS_TLS_H
#define ALERTS_REDIS_TLS_H

#include "decoders/span.h"

#include <sys/types.h>

struct redis_tls_config {
	const char *ca_file;     /* PEM; NULL with ca_path NULL: the system's own */
	const char *ca_path;     /* directory of hashed certificates, or NULL */
	const char *certificate; /* PEM of this client with its chain, or NULL */
	const char *key;         /* PEM, or NULL: in the certificate's file */
	const char
	    *server_name; /* the name the server must prove; NULL: the host it was asked by */
};

struct redis_tls_context; /* what all connections share */
struct redis_tls;         /* one connection */

enum redis_tls_status {
	REDIS_TLS_OK,
	REDIS_TLS_MORE,   /* needs more bytes from the network */
	REDIS_TLS_CLOSED, /* the other side said goodbye */
	REDIS_TLS_FAILED, /* see redis_tls_error() */
};

/* TLS 1.2 or later, the server's certificate is always verified. NULL: why is in error. */
struct redis_tls_context *redis_tls_context_new(const struct redis_tls_config *config, char *error,
						size_t error_size);
void redis_tls_context_free(struct redis_tls_context *context);

/* A connection to host (name or address). NULL when memory ran out. */
struct redis_tls *redis_tls_new(struct redis_tls_context *context, const char *host);
void redis_tls_free(struct redis_tls *tls);

/* Takes the handshake as far as it gets: OK when it is over. */
enum redis_tls_status redis_tls_handshake(struct redis_tls *tls);

/* Bytes from the network. False: no memory. */
bool redis_tls_feed(struct redis_tls *tls, struct span bytes);

/* Moves up to size bytes for the network to out; 0 when there are none. */
size_t redis_tls_drain(struct redis_tls *tls, uint8_t *out, size_t size);

/* Encrypts plain bytes; they wait for redis_tls_drain(). */
enum redis_tls_status redis_tls_write(struct redis_tls *tls, struct span bytes);

/* Decrypted bytes: OK and *got > 0, or why there are none. */
enum redis_tls_status redis_tls_read(struct redis_tls *tls, uint8_t *out, size_t size, size_t *got);

/* What went wrong, in OpenSSL's or the verifier's words. Returns out. */
const char *redis_tls_error(const struct redis_tls *tls, char *out, size_t size);

#endif
