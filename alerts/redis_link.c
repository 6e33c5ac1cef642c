/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define IO_SIZE           ((size_t)16 << 10)
#define HEADER_SIZE       ((size_t)24) /* a kind, 20 digits, CR LF */
#define KEEPALIVE_IDLE_S  15
#define KEEPALIVE_PROBE_S 5
#define KEEPALIVE_PROBES  3

struct redis_link {
	int fd;
	int cancel_fd;
	unsigned command_timeout_ms;
	size_t max_reply_bytes;
	struct redis_tls *tls; /* NULL: plain */
	redisReader *reader;
	uint8_t *output; /* commands not yet sent */
	size_t output_used;
	size_t output_size;
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool fail(struct redis_error *error, enum redis_failure failure, const char *text)
{
	error->failure = failure;
	error->class = REDIS_CLASS_RETRY;
	(void)snprintf(error->text, sizeof(error->text), "%s", text);
	return false;
}

static bool fail_errno(struct redis_error *error, enum redis_failure failure, const char *what)
{
	char reason[96];

	error->failure = failure;
	error->class = REDIS_CLASS_RETRY;
	(void)snprintf(error->text, sizeof(error->text), "%s: %s", what,
		       strerror_r(errno, reason, sizeof(reason)));
	return false;
}

/* Waits until the socket is ready for events, the deadline passes or someone cancels. */
static bool wait_ready(const struct redis_link *link, short events, int64_t deadline,
		       struct redis_error *error)
{
	struct pollfd fds[2] = {
	    {.fd = link->fd, .events = events},
	    {.fd = link->cancel_fd, .events = POLLIN},
	};

	for (;;) {
		int64_t left = deadline - now_ms();
		if (left <= 0)
			return fail(error, REDIS_TIMED_OUT, "no answer in time");
		int ready = poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left);
		if (ready < 0 && errno != EINTR)
			return fail_errno(error, REDIS_CLOSED, "poll");
		if (ready > 0 && fds[1].revents != 0)
			return fail(error, REDIS_CANCELLED, "cancelled");
		if (ready > 0 && fds[0].revents != 0)
			return true; /* an error shows at the read or write that follows */
	}
}

static bool send_all(struct redis_link *link, struct span bytes, int64_t deadline,
		     struct redis_error *error)
{
	while (bytes.len > 0) {
		ssize_t n = send(link->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			bytes = span_skip(bytes, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return fail_errno(error, REDIS_CLOSED, "send");
		if (!wait_ready(link, POLLOUT, deadline, error))
			return false;
	}
	return true;
}

/* Some bytes off the socket; waits for the first. */
static bool receive_some(struct redis_link *link, uint8_t *out, size_t size, size_t *got,
			 int64_t deadline, struct redis_error *error)
{
	for (;;) {
		ssize_t n = recv(link->fd, out, size, MSG_DONTWAIT);
		if (n > 0) {
			*got = (size_t)n;
			return true;
		}
		if (n == 0)
			return fail(error, REDIS_CLOSED, "closed by the server");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return fail_errno(error, REDIS_CLOSED, "receive");
		if (!wait_ready(link, POLLIN, deadline, error))
			return false;
	}
}

/* Sends what TLS has for the network. */
static bool tls_send(struct redis_link *link, int64_t deadline, struct redis_error *error)
{
	uint8_t bytes[IO_SIZE];
	size_t n;

	while ((n = redis_tls_drain(link->tls, bytes, sizeof(bytes))) > 0)
		if (!send_all(link, span_of(bytes, n), deadline, error))
			return false;
	return true;
}

/* Gives TLS some bytes off the network. */
static bool tls_receive(struct redis_link *link, int64_t deadline, struct redis_error *error)
{
	uint8_t bytes[IO_SIZE];
	size_t n;

	if (!receive_some(link, bytes, sizeof(bytes), &n, deadline, error))
		return false;
	return redis_tls_feed(link->tls, span_of(bytes, n)) ||
	       fail(error, REDIS_NO_MEMORY, "out of memory");
}

static bool tls_failed(struct redis_link *link, enum redis_tls_status status,
		       struct redis_error *error)
{
	char reason[160];

	if (status == REDIS_TLS_CLOSED)
		return fail(error, REDIS_CLOSED, "closed by the server");
	error->failure = REDIS_UNREACHABLE;
	error->class = REDIS_CLASS_RETRY;
	(void)snprintf(error->text, sizeof(error->text), "TLS: %s",
		       redis_tls_error(link->tls, reason, sizeof(reason)));
	return false;
}

static bool tls_handshake(struct redis_link *link, int64_t deadline, struct redis_error *error)
{
	for (;;) {
		enum redis_tls_status status = redis_tls_handshake(link->tls);
		/* Also on failure: the server wants to read our alert. */
		bool sent = tls_send(link, deadline, error);
		if (status == REDIS_TLS_FAILED || status == REDIS_TLS_CLOSED)
			return tls_failed(link, status, error);
		if (!sent)
			return false;
		if (status == REDIS_TLS_OK)
			return true;
		if (!tls_receive(link, deadline, error))
			return false;
	}
}

/* Plain bytes of replies; waits for the first. */
static bool link_receive(struct redis_link *link, uint8_t *out, size_t size, size_t *got,
			 int64_t deadline, struct redis_error *error)
{
	if (link->tls == NULL)
		return receive_some(link, out, size, got, deadline, error);
	for (;;) {
		enum redis_tls_status status = redis_tls_read(link->tls, out, size, got);
		if (status == REDIS_TLS_OK)
			return true;
		if (status != REDIS_TLS_MORE)
			return tls_failed(link, status, error);
		/* A key update may want an answer. */
		if (!tls_send(link, deadline, error) || !tls_receive(link, deadline, error))
			return false;
	}
}

static bool connect_address(struct redis_link *link, const struct sockaddr *address,
			    socklen_t length, int64_t deadline, struct redis_error *error)
{
	int result = 0;
	socklen_t result_size = sizeof(result);

	link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd < 0)
		return fail_errno(error, REDIS_UNREACHABLE, "socket");
	if (connect(link->fd, address, length) != 0) {
		/* A local socket whose queue is full says EAGAIN: for us a refusal like any other.
		 */
		if (errno != EINPROGRESS)
			return fail_errno(error, REDIS_UNREACHABLE, "connect");
		if (!wait_ready(link, POLLOUT, deadline, error))
			return false;
		(void)getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &result, &result_size);
		errno = result;
		if (result != 0)
			return fail_errno(error, REDIS_UNREACHABLE, "connect");
	}
	return true;
}

static void set_tcp_options(int fd)
{
	const int on = 1;
	const int idle = KEEPALIVE_IDLE_S;
	const int interval = KEEPALIVE_PROBE_S;
	const int probes = KEEPALIVE_PROBES;

	/* None of these is worth failing for. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static bool connect_tcp(struct redis_link *link, const struct redis_endpoint *endpoint,
			int64_t deadline, struct redis_error *error)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *addresses;
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", endpoint->port);
	/* Has no time limit of its own, but only the thread that delivers waits here. */
	int result = getaddrinfo(endpoint->host, port, &hints, &addresses);
	if (result != 0)
		return fail(error, REDIS_UNREACHABLE, gai_strerror(result));
	bool connected = false;
	for (const struct addrinfo *a = addresses; a != NULL && !connected; a = a->ai_next) {
		connected = connect_address(link, a->ai_addr, a->ai_addrlen, deadline, error);
		if (!connected && link->fd >= 0) {
			(void)close(link->fd);
			link->fd = -1;
		}
		if (!connected && error->failure == REDIS_CANCELLED)
			break;
	}
	freeaddrinfo(addresses);
	if (connected)
		set_tcp_options(link->fd);
	return connected;
}

static bool connect_unix(struct redis_link *link, const struct redis_endpoint *endpoint,
			 int64_t deadline, struct redis_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	_Static_assert(sizeof(endpoint->path) <= sizeof(address.sun_path), "path fits");
	memcpy(address.sun_path, endpoint->path, sizeof(endpoint->path));
	return connect_address(link, (const struct sockaddr *)&address, sizeof(address), deadline,
			       error);
}

/* Sends a command of the greeting; an error reply refuses the connection. */
static bool greet(struct redis_link *link, const struct span *words, size_t count,
		  struct redis_error *error)
{
	struct redis_reply *reply = redis_link_call(link, words, count, 0, error);

	if (reply == NULL)
		return false;
	bool good = redis_reply_kind(reply) != REDIS_KIND_ERROR;
	if (!good) {
		struct span text = redis_reply_text(reply);
		/* Only the code: a server that does not know the command repeats its words. */
		const uint8_t *space = memchr(text.ptr, ' ', text.len);
		size_t code = space == NULL ? text.len : (size_t)(space - text.ptr);
		error->failure = REDIS_REFUSED;
		error->class = redis_reply_classify(text);
		/* Whatever AUTH or SELECT dislike is a matter of settings. */
		if (error->class == REDIS_CLASS_FATAL_ALERT)
			error->class = REDIS_CLASS_FATAL_CONFIG;
		(void)snprintf(error->text, sizeof(error->text), "%.*s refused: %.*s",
			       (int)words[0].len, (const char *)words[0].ptr,
			       (int)(code < 40 ? code : 40), (const char *)text.ptr);
	}
	redis_reply_free(reply);
	return good;
}

static bool introduce(struct redis_link *link, const struct redis_link_config *config,
		      struct redis_error *error)
{
	if (config->password != NULL) {
		struct span words[3] = {span_str("AUTH")};
		size_t count = 1;
		if (config->user != NULL && config->user[0] != '\0')
			words[count++] = span_str(config->user);
		words[count++] = span_str(config->password);
		if (!greet(link, words, count, error))
			return false;
	}
	if (config->database != 0) {
		char number[12];
		(void)snprintf(number, sizeof(number), "%u", config->database);
		const struct span words[] = {span_str("SELECT"), span_str(number)};
		if (!greet(link, words, 2, error))
			return false;
	}
	if (config->client_name != NULL) {
		/* For CLIENT LIST only: an ACL that forbids it is no reason to stay away. */
		const struct span words[] = {span_str("CLIENT"), span_str("SETNAME"),
					     span_str(config->client_name)};
		struct redis_reply *reply = redis_link_call(link, words, 3, 0, error);
		if (reply == NULL)
			return false;
		redis_reply_free(reply);
	}
	return true;
}

struct redis_link *redis_link_open(const struct redis_endpoint *endpoint,
				   const struct redis_link_config *config,
				   struct redis_error *error)
{
	struct redis_link *link = calloc(1, sizeof(*link));
	int64_t deadline = now_ms() + config->connect_timeout_ms;

	*error = (struct redis_error){.failure = REDIS_FINE};
	if (link == NULL) {
		(void)fail(error, REDIS_NO_MEMORY, "out of memory");
		return NULL;
	}
	link->fd = -1;
	link->cancel_fd = config->cancel_fd;
	link->command_timeout_ms = config->connect_timeout_ms;
	link->max_reply_bytes = config->max_reply_bytes;
	bool good = endpoint->path[0] != '\0' ? connect_unix(link, endpoint, deadline, error)
					      : connect_tcp(link, endpoint, deadline, error);
	if (good) {
		link->reader = redisReaderCreate();
		if (link->reader == NULL)
			good = fail(error, REDIS_NO_MEMORY, "out of memory");
	}
	if (good && config->tls != NULL) {
		link->tls = redis_tls_new(config->tls, endpoint->host);
		good = link->tls != NULL ? tls_handshake(link, deadline, error)
					 : fail(error, REDIS_NO_MEMORY, "out of memory");
	}
	if (!good || !introduce(link, config, error)) {
		redis_link_close(link);
		return NULL;
	}
	link->command_timeout_ms = config->command_timeout_ms;
	return link;
}

void redis_link_close(struct redis_link *link)
{
	if (link == NULL)
		return;
	redis_tls_free(link->tls);
	if (link->reader != NULL)
		redisReaderFree(link->reader);
	if (link->fd >= 0)
		(void)close(link->fd);
	/* AUTH may have gone through here. */
	if (link->output != NULL)
		explicit_bzero(link->output, link->output_size);
	free(link->output);
	free(link);
}

static bool reserve(struct redis_link *link, size_t more)
{
	if (more <= link->output_size - link->output_used)
		return true;
	size_t size = link->output_size == 0 ? IO_SIZE : link->output_size;
	while (size - link->output_used < more) {
		if (size > SIZE_MAX / 2)
			return false;
		size *= 2;
	}
	/* Not realloc: it could leave a copy of a password behind. */
	uint8_t *grown = malloc(size);
	if (grown == NULL)
		return false;
	if (link->output_used > 0)
		memcpy(grown, link->output, link->output_used);
	if (link->output != NULL)
		explicit_bzero(link->output, link->output_size);
	free(link->output);
	link->output = grown;
	link->output_size = size;
	return true;
}

/* "*15\r\n" or "$780\r\n". The caller has reserved HEADER_SIZE bytes. */
static void put_header(struct redis_link *link, char kind, size_t number)
{
	char digits[20];
	size_t count = 0;
	uint8_t *out = link->output + link->output_used;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	*out++ = (uint8_t)kind;
	while (count > 0)
		*out++ = (uint8_t)digits[--count];
	*out++ = '\r';
	*out++ = '\n';
	link->output_used = (size_t)(out - link->output);
}

/*
 * A command is an array of bulk strings (Redis serialization protocol). Not by hiredis's
 * formatter, which calls sprintf for each word: that was a quarter of the sender's time.
 */
bool redis_link_append(struct redis_link *link, const struct span *words, size_t count)
{
	size_t size = HEADER_SIZE;

	for (size_t i = 0; i < count; i++)
		if (__builtin_add_overflow(size, words[i].len, &size) ||
		    __builtin_add_overflow(size, HEADER_SIZE + 2, &size))
			return false;
	if (!reserve(link, size))
		return false;
	put_header(link, '*', count);
	for (size_t i = 0; i < count; i++) {
		put_header(link, '$', words[i].len);
		if (words[i].len > 0)
			memcpy(link->output + link->output_used, words[i].ptr, words[i].len);
		link->output_used += words[i].len;
		link->output[link->output_used++] = '\r';
		link->output[link->output_used++] = '\n';
	}
	return true;
}

bool redis_link_append_text(struct redis_link *link, const char *const *words, size_t count)
{
	enum { WORDS_MAX = 8 };
	struct span spans[WORDS_MAX];

	if (count > WORDS_MAX)
		return false;
	for (size_t i = 0; i < count; i++)
		spans[i] = span_str(words[i]);
	return redis_link_append(link, spans, count);
}

bool redis_link_flush(struct redis_link *link, struct redis_error *error)
{
	int64_t deadline = now_ms() + link->command_timeout_ms;
	struct span bytes = span_of(link->output, link->output_used);
	bool sent;

	*error = (struct redis_error){.failure = REDIS_FINE};
	if (bytes.len == 0)
		return true;
	if (link->tls == NULL) {
		sent = send_all(link, bytes, deadline, error);
	} else {
		enum redis_tls_status status = redis_tls_write(link->tls, bytes);
		sent = status == REDIS_TLS_OK ? tls_send(link, deadline, error)
					      : tls_failed(link, status, error);
	}
	link->output_used = 0;
	return sent;
}

struct redis_reply *redis_link_reply(struct redis_link *link, unsigned extra_ms,
				     struct redis_error *error)
{
	int64_t deadline = now_ms() + link->command_timeout_ms + extra_ms;
	void *reply = NULL;

	*error = (struct redis_error){.failure = REDIS_FINE};
	for (;;) {
		uint8_t bytes[IO_SIZE];
		size_t got;
		if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
			(void)fail(error, REDIS_PROTOCOL, "not the Redis protocol");
			return NULL;
		}
		if (reply != NULL)
			return reply;
		if (link->reader->len - link->reader->pos > link->max_reply_bytes) {
			(void)fail(error, REDIS_PROTOCOL, "reply too long");
			return NULL;
		}
		if (!link_receive(link, bytes, sizeof(bytes), &got, deadline, error))
			return NULL;
		if (redisReaderFeed(link->reader, (const char *)bytes, got) != REDIS_OK) {
			(void)fail(error, REDIS_NO_MEMORY, "out of memory");
			return NULL;
		}
	}
}

struct redis_reply *redis_link_call(struct redis_link *link, const struct span *words, size_t count,
				    unsigned extra_ms, struct redis_error *error)
{
	if (!redis_link_append(link, words, count)) {
		(void)fail(error, REDIS_NO_MEMORY, "out of memory");
		return NULL;
	}
	if (!redis_link_flush(link, error))
		return NULL;
	return redis_link_reply(link, extra_ms, error);
}

/* struct redis_reply is never defined: outside of this file it hides hiredis's own. */
static const redisReply *unveil(const struct redis_reply *reply)
{
	return (const void *)reply;
}

void redis_reply_free(struct redis_reply *reply)
{
	if (reply != NULL)
		freeReplyObject(reply);
}

enum redis_reply_kind redis_reply_kind(const struct redis_reply *reply)
{
	if (reply == NULL)
		return REDIS_KIND_NIL;
	switch (unveil(reply)->type) {
	case REDIS_REPLY_STRING:
		return REDIS_KIND_STRING;
	case REDIS_REPLY_ARRAY:
		return REDIS_KIND_ARRAY;
	case REDIS_REPLY_INTEGER:
		return REDIS_KIND_INTEGER;
	case REDIS_REPLY_STATUS:
		return REDIS_KIND_STATUS;
	case REDIS_REPLY_ERROR:
		return REDIS_KIND_ERROR;
	default:
		return REDIS_KIND_NIL;
	}
}

struct span redis_reply_text(const struct redis_reply *reply)
{
	enum redis_reply_kind kind = redis_reply_kind(reply);

	if (kind != REDIS_KIND_STRING && kind != REDIS_KIND_STATUS && kind != REDIS_KIND_ERROR)
		return span_of(NULL, 0);
	return span_of(unveil(reply)->str, unveil(reply)->len);
}

int64_t redis_reply_integer(const struct redis_reply *reply)
{
	return redis_reply_kind(reply) == REDIS_KIND_INTEGER ? unveil(reply)->integer : 0;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
	return redis_reply_kind(reply) == REDIS_KIND_ARRAY ? unveil(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index)
{
	if (index >= redis_reply_count(reply))
		return NULL;
	return (const void *)unveil(reply)->element[index];
}
