/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Redis is, as the user writes it:
 *
 *   redis://[user[:password]@]host[:port][/db]        TCP, default port 6379
 *   rediss://...                                      the same over TLS
 *   unix://[user:password@]/path[?db=N]               a local socket
 *   redis-sentinel://[user:password@]host[:port][,host[:port]...]/master[?db=N]
 *   redis-cluster://[user:password@]host[:port][,host[:port]...]
 *   rediss-sentinel://, rediss-cluster://             these two over TLS
 *
 * IPv6 addresses stand in brackets; user and password are percent-decoded
 * (RFC 3986 2.1). "redis://:password@host" is the default user.
 */
#ifndef ALERTS_REDIS_URL_H
#define ALERTS_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_HOST_MAX   256 /* bytes with the final NUL, as all of these */
#define REDIS_PATH_MAX   108 /* of sockaddr_un */
#define REDIS_SECRET_MAX 512
#define REDIS_SEEDS_MAX  8 /* sentinels or cluster nodes in a URL */

enum redis_kind {
	REDIS_STANDALONE,
	REDIS_SENTINEL,
	REDIS_CLUSTER,
};

/* One place to connect to: a path, or else host and port. */
struct redis_endpoint {
	char host[REDIS_HOST_MAX]; /* name or address, IPv6 without brackets */
	uint16_t port;
	char path[REDIS_PATH_MAX]; /* of a socket; "" means host and port */
};

struct redis_url {
	enum redis_kind kind;
	bool tls;
	struct redis_endpoint seeds[REDIS_SEEDS_MAX]; /* the server, or who to ask for it */
	size_t seed_count;
	char master[REDIS_HOST_MAX]; /* Sentinel's name for the master */
	char user[REDIS_HOST_MAX];   /* "" is the default user */
	char password[REDIS_SECRET_MAX];
	bool has_password;
	unsigned database;
};

/*
 * Reads text into url. False when it is not one of the forms above; then error
 * says why, without repeating any part that may be a secret.
 */
bool redis_url_parse(const char *text, struct redis_url *url, char *error, size_t error_size);

/*
 * Takes the password from the first line of a file. False when it cannot be
 * read, is empty or too long.
 */
bool redis_url_read_password(struct redis_url *url, const char *path, char *error,
			     size_t error_size);

/* Takes the password from text, for instance from the environment. False when it is too long. */
bool redis_url_set_password(struct redis_url *url, const char *password);

/* The URL for logs: with the user, never with the password. Returns out. */
const char *redis_url_describe(const struct redis_url *url, char *out, size_t size);

/* "host:port", "[v6]:port" or the path, for logs. Returns out. */
const char *redis_endpoint_describe(const struct redis_endpoint *endpoint, char *out, size_t size);

/*
 * Takes the password out of a URL in place and shortens the text, so that an
 * element of argv no longer shows it in the process list.
 */
void redis_url_scrub(char *argv_element);

/* Overwrites the secret. */
void redis_url_wipe(struct redis_url *url);

#endif
