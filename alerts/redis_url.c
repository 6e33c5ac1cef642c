/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_url.h"

#include "alerts/network.h"

#include "decoders/span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_PORT          6379
#define DEFAULT_SENTINEL_PORT 26379
#define DATABASE_MAX          65535

struct scheme {
	const char *name;
	enum redis_kind kind;
	bool tls;
	bool local; /* a path, no host */
	uint16_t port;
};

static const struct scheme schemes[] = {
    {"redis://", REDIS_STANDALONE, false, false, DEFAULT_PORT},
    {"rediss://", REDIS_STANDALONE, true, false, DEFAULT_PORT},
    {"unix://", REDIS_STANDALONE, false, true, 0},
    {"redis-sentinel://", REDIS_SENTINEL, false, false, DEFAULT_SENTINEL_PORT},
    {"rediss-sentinel://", REDIS_SENTINEL, true, false, DEFAULT_SENTINEL_PORT},
    {"redis-cluster://", REDIS_CLUSTER, false, false, DEFAULT_PORT},
    {"rediss-cluster://", REDIS_CLUSTER, true, false, DEFAULT_PORT},
};

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncmp(text, schemes[i].name, strlen(schemes[i].name)) == 0)
			return &schemes[i];
	return NULL;
}

static bool refuse(char *error, size_t size, const char *why)
{
	(void)snprintf(error, size, "Redis URL: %s", why);
	return false;
}

/* The part of text before the first occurrence of c; all of it when there is none. */
static struct span before(struct span text, char c, bool *found)
{
	const uint8_t *at = text.len == 0 ? NULL : memchr(text.ptr, c, text.len);

	*found = at != NULL;
	return at == NULL ? text : span_head(text, (size_t)(at - text.ptr));
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_upper(c);
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes into out, with a NUL. A NUL inside, or too little room, is refused. */
static bool decode(struct span text, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		if (c == '%') {
			if (text.len - i < 3 || hex_digit(text.ptr[i + 1]) < 0 ||
			    hex_digit(text.ptr[i + 2]) < 0)
				return false;
			c = (uint8_t)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]));
			i += 2;
		}
		if (c == '\0' || used + 1 >= size)
			return false;
		out[used++] = (char)c;
	}
	out[used] = '\0';
	return true;
}

/* host, host:port or [v6]:port */
static bool parse_endpoint(struct span text, uint16_t default_port, struct redis_endpoint *endpoint)
{
	struct span host;
	struct span port = {.ptr = NULL, .len = 0};
	bool found;

	*endpoint = (struct redis_endpoint){.port = default_port};
	if (text.len > 0 && text.ptr[0] == '[') {
		host = before(span_skip(text, 1), ']', &found);
		struct span rest = span_skip(text, host.len + 2);
		if (!found || (rest.len > 0 && rest.ptr[0] != ':'))
			return false;
		if (rest.len > 0)
			port = span_skip(rest, 1);
		if (rest.len == 1)
			return false;
	} else {
		host = before(text, ':', &found);
		if (found) {
			port = span_skip(text, host.len + 1);
			if (port.len == 0)
				return false;
		}
	}
	unsigned number = default_port;
	if (port.len > 0 && (!number_parse(port, UINT16_MAX, &number) || number == 0))
		return false;
	endpoint->port = (uint16_t)number;
	/* "host?db=1" has forgotten the '/', and no host has these. */
	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] <= ' ' || strchr("?#@\\", host.ptr[i]) != NULL)
			return false;
	return host.len > 0 && decode(host, endpoint->host, sizeof(endpoint->host));
}

static bool parse_credentials(struct span text, struct redis_url *url)
{
	bool found;
	struct span user = before(text, ':', &found);

	url->has_password = found;
	return decode(user, url->user, sizeof(url->user)) &&
	       (!found ||
		decode(span_skip(text, user.len + 1), url->password, sizeof(url->password)));
}

/* The only query there is: db=N. */
static bool parse_query(struct span text, struct redis_url *url)
{
	if (text.len < 3 || memcmp(text.ptr, "db=", 3) != 0)
		return false;
	return number_parse(span_skip(text, 3), DATABASE_MAX, &url->database);
}

/* Splits at the last '@' in front of the first '/': a password may hold an '@'. */
static struct span credentials_of(struct span authority, bool *found)
{
	const uint8_t *at = authority.len == 0 ? NULL : memrchr(authority.ptr, '@', authority.len);

	*found = at != NULL;
	return at == NULL ? span_head(authority, 0)
			  : span_head(authority, (size_t)(at - authority.ptr));
}

static bool parse_hosts(struct span hosts, const struct scheme *scheme, struct redis_url *url)
{
	bool more;

	do {
		struct span host = before(hosts, ',', &more);
		if (url->seed_count == REDIS_SEEDS_MAX ||
		    !parse_endpoint(host, scheme->port, &url->seeds[url->seed_count]))
			return false;
		url->seed_count++;
		hosts = span_skip(hosts, host.len + 1);
	} while (more);
	return url->seed_count == 1 || scheme->kind != REDIS_STANDALONE;
}

bool redis_url_parse(const char *text, struct redis_url *url, char *error, size_t error_size)
{
	const struct scheme *scheme = find_scheme(text);
	bool found;

	*url = (struct redis_url){.seed_count = 0};
	if (scheme == NULL)
		return refuse(error, error_size,
			      "must begin with redis://, rediss://, unix://, redis-sentinel:// or "
			      "redis-cluster://");
	url->kind = scheme->kind;
	url->tls = scheme->tls;
	struct span rest = span_str(text + strlen(scheme->name));
	struct span authority = before(rest, '/', &found);
	/* An unescaped '/' in a password would end the authority too early. */
	struct span path = span_skip(rest, authority.len);
	struct span credentials = credentials_of(authority, &found);
	if (found) {
		if (!parse_credentials(credentials, url))
			return refuse(error, error_size, "user or password is not well-formed");
		authority = span_skip(authority, credentials.len + 1);
	}
	bool query;
	struct span before_query = before(path, '?', &query);
	if (query && (!parse_query(span_skip(path, before_query.len + 1), url) ||
		      scheme->kind == REDIS_CLUSTER))
		return refuse(error, error_size, "after the '?' only db=NUMBER can stand");
	path = before_query;

	if (scheme->local) {
		if (authority.len != 0 || path.len < 2 ||
		    !decode(path, url->seeds[0].path, sizeof(url->seeds[0].path)))
			return refuse(error, error_size, "unix:// needs an absolute path");
		url->seed_count = 1;
		return true;
	}
	if (!parse_hosts(authority, scheme, url))
		return refuse(error, error_size, "the host or port is not well-formed");
	path = span_skip(path, 1);
	if (scheme->kind == REDIS_SENTINEL) {
		if (path.len == 0 || !decode(path, url->master, sizeof(url->master)))
			return refuse(error, error_size, "the name of the master is missing");
	} else if (path.len > 0 && (!number_parse(path, DATABASE_MAX, &url->database) ||
				    (scheme->kind == REDIS_CLUSTER && url->database != 0))) {
		return refuse(error, error_size, "the database is not a number that can be used");
	}
	return true;
}

bool redis_url_set_password(struct redis_url *url, const char *password)
{
	size_t length = strlen(password);

	if (length >= sizeof(url->password))
		return false;
	memcpy(url->password, password, length + 1);
	url->has_password = true;
	return true;
}

bool redis_url_read_password(struct redis_url *url, const char *path, char *error,
			     size_t error_size)
{
	char line[REDIS_SECRET_MAX + 1];
	FILE *file = fopen(path, "re");

	if (file == NULL) {
		char reason[96];
		(void)snprintf(error, error_size, "password file %s: %s", path,
			       strerror_r(errno, reason, sizeof(reason)));
		return false;
	}
	/* Unbuffered: no copy of the secret stays behind in stdio's memory. */
	(void)setvbuf(file, NULL, _IONBF, 0);
	bool read = fgets(line, sizeof(line), file) != NULL;
	(void)fclose(file);
	if (read)
		line[strcspn(line, "\r\n")] = '\0';
	bool good = read && line[0] != '\0' && redis_url_set_password(url, line);
	if (!good)
		(void)snprintf(error, error_size,
			       "password file %s: empty, or longer than %d bytes", path,
			       REDIS_SECRET_MAX - 1);
	explicit_bzero(line, sizeof(line));
	return good;
}

const char *redis_endpoint_describe(const struct redis_endpoint *endpoint, char *out, size_t size)
{
	if (endpoint->path[0] != '\0')
		(void)snprintf(out, size, "%s", endpoint->path);
	else if (strchr(endpoint->host, ':') != NULL)
		(void)snprintf(out, size, "[%s]:%u", endpoint->host, endpoint->port);
	else
		(void)snprintf(out, size, "%s:%u", endpoint->host, endpoint->port);
	return out;
}

const char *redis_url_describe(const struct redis_url *url, char *out, size_t size)
{
	char place[REDIS_HOST_MAX + 16];
	const char *scheme = "";

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (schemes[i].kind == url->kind && schemes[i].tls == url->tls &&
		    schemes[i].local == (url->seeds[0].path[0] != '\0'))
			scheme = schemes[i].name;
	(void)snprintf(
	    out, size, "%s%s%s%s%s%s%s", scheme, url->user, url->user[0] != '\0' ? "@" : "",
	    redis_endpoint_describe(&url->seeds[0], place, sizeof(place)),
	    url->seed_count > 1 ? ",..." : "", url->master[0] != '\0' ? "/" : "", url->master);
	return out;
}

void redis_url_scrub(char *argv_element)
{
	char *start = strstr(argv_element, "://");

	if (start == NULL)
		return;
	start += 3;
	char *slash = strchr(start, '/');
	size_t authority = slash == NULL ? strlen(start) : (size_t)(slash - start);
	char *at = memrchr(start, '@', authority);
	/* A '/' that somebody forgot to escape in the password must not save it. */
	if (at == NULL)
		at = strrchr(start, '@');
	char *colon = at == NULL ? NULL : memchr(start, ':', (size_t)(at - start));
	if (colon == NULL)
		return;
	size_t rest = strlen(at);
	size_t total = (size_t)(at - colon) + rest;
	memmove(colon, at, rest);
	explicit_bzero(colon + rest, total - rest);
}

void redis_url_wipe(struct redis_url *url)
{
	explicit_bzero(url->password, sizeof(url->password));
	url->has_password = false;
}
