/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to one Redis server, over TCP, a local socket or TLS.
 *
 * hiredis reads the replies; the bytes travel over redis_socket, so that every step
 * has a time limit, can be cancelled and works over TLS. Requests are pipelined: any
 * number of commands, one flush, then as many replies.
 *
 * After any failure the link can only be closed. Not thread-safe.
 */
#ifndef ALERTS_REDIS_LINK_H
#define ALERTS_REDIS_LINK_H

#include "alerts/redis_socket.h"
#include "decoders/span.h"

struct redis_link_config {
	unsigned connect_timeout_ms;   /* for connect, TLS and AUTH together */
	unsigned command_timeout_ms;   /* for one flush, or the wait for one reply */
	size_t max_reply_bytes;        /* of one reply; longer ones are refused */
	int cancel_fd;                 /* readable: stop waiting at once; -1: never */
	const char *user;              /* ACL user; "" or NULL: the default user */
	const char *password;          /* NULL: no AUTH */
	unsigned database;             /* 0: no SELECT */
	const char *client_name;       /* for CLIENT SETNAME; NULL: none */
	struct redis_tls_context *tls; /* NULL: plain */
};

struct redis_link;
struct redis_reply; /* a reply, or an element of one */

enum redis_reply_kind {
	REDIS_KIND_NIL,
	REDIS_KIND_STATUS,
	REDIS_KIND_ERROR,
	REDIS_KIND_INTEGER,
	REDIS_KIND_STRING,
	REDIS_KIND_ARRAY,
};

/* Connects, and says who we are. NULL: why is in error. What config points at is used here only. */
struct redis_link *redis_link_open(const struct redis_endpoint *endpoint,
				   const struct redis_link_config *config,
				   struct redis_error *error);
void redis_link_close(struct redis_link *link);

/* Queues a command of count words; they are copied. False: no memory, the link is failed. */
bool redis_link_append(struct redis_link *link, const struct span *words, size_t count);

/* The same with plain words, at most 8. */
bool redis_link_append_text(struct redis_link *link, const char *const *words, size_t count);

/* Sends all that is queued. */
bool redis_link_flush(struct redis_link *link, struct redis_error *error);

/*
 * The next reply, to be freed by redis_reply_free(); NULL on failure. extra_ms
 * is added to the command timeout, for commands that block at the server.
 */
struct redis_reply *redis_link_reply(struct redis_link *link, unsigned extra_ms,
				     struct redis_error *error);

/* Sends one command and waits for its reply. An error reply is a reply. */
struct redis_reply *redis_link_call(struct redis_link *link, const struct span *words, size_t count,
				    unsigned extra_ms, struct redis_error *error);

void redis_reply_free(struct redis_reply *reply);
enum redis_reply_kind redis_reply_kind(const struct redis_reply *reply);

/* The bytes of a string, status or error; empty for others. Borrowed from the reply. */
struct span redis_reply_text(const struct redis_reply *reply);
int64_t redis_reply_integer(const struct redis_reply *reply); /* 0 when it is none */
size_t redis_reply_count(const struct redis_reply *reply);    /* elements; 0 when no array */

/* An element, or NULL when there is none. Borrowed from the reply. NULL is allowed. */
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index);

#endif
