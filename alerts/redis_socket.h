/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to and from one Redis server, over TCP, a local socket or TLS: every step has a
 * deadline, can be cancelled and never raises SIGPIPE. What the bytes mean is the business
 * of redis_link.
 */
#ifndef ALERTS_REDIS_SOCKET_H
#define ALERTS_REDIS_SOCKET_H

#include "alerts/redis_reply_class.h"
#include "alerts/redis_tls.h"
#include "alerts/redis_url.h"
#include "decoders/span.h"

enum redis_failure {
	REDIS_FINE,
	REDIS_CANCELLED,   /* cancel_fd became readable */
	REDIS_UNREACHABLE, /* no address, refused, no route, TLS not accepted */
	REDIS_TIMED_OUT,
	REDIS_CLOSED,   /* by the other side, or the network */
	REDIS_PROTOCOL, /* not the Redis protocol, or a reply above the cap */
	REDIS_REFUSED,  /* an error reply to AUTH, SELECT or the like: see class */
	REDIS_NO_MEMORY,
};

struct redis_error {
	enum redis_failure failure;
	enum redis_reply_class class; /* with REDIS_REFUSED, and where a reply was an error */
	char text[200];               /* for logs; never a secret */
};

struct redis_socket {
	int fd;
	int cancel_fd;         /* readable: stop waiting at once; -1: never */
	struct redis_tls *tls; /* NULL: plain */
};

/* Fills error, for later attempts to be worth while. Returns false. */
bool redis_error_set(struct redis_error *error, enum redis_failure failure, const char *text);

/*
 * Connects, and shakes hands where tls is not NULL. False: why is in error. The socket
 * has to be closed in any case.
 */
bool redis_socket_open(struct redis_socket *s, const struct redis_endpoint *endpoint,
		       struct redis_tls_context *tls, int cancel_fd, int64_t deadline,
		       struct redis_error *error);
void redis_socket_close(struct redis_socket *s);

/* Sends everything. */
bool redis_socket_send(struct redis_socket *s, struct span bytes, int64_t deadline,
		       struct redis_error *error);

/* Some bytes, *got of them; waits for the first. */
bool redis_socket_receive(struct redis_socket *s, uint8_t *out, size_t size, size_t *got,
			  int64_t deadline, struct redis_error *error);

#endif
