/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_socket.h"

#include "alerts/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IO_SIZE           ((size_t)16 << 10)
#define KEEPALIVE_IDLE_S  15
#define KEEPALIVE_PROBE_S 5
#define KEEPALIVE_PROBES  3

bool redis_error_set(struct redis_error *error, enum redis_failure failure, const char *text)
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
static bool wait_ready(const struct redis_socket *s, short events, int64_t deadline,
		       struct redis_error *error)
{
	struct pollfd fds[2] = {
	    {.fd = s->fd, .events = events},
	    {.fd = s->cancel_fd, .events = POLLIN},
	};

	for (;;) {
		int64_t left = deadline - clock_monotonic_ms();
		if (left <= 0)
			return redis_error_set(error, REDIS_TIMED_OUT, "no answer in time");
		int ready = poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left);
		if (ready < 0 && errno != EINTR)
			return fail_errno(error, REDIS_CLOSED, "poll");
		if (ready > 0 && fds[1].revents != 0)
			return redis_error_set(error, REDIS_CANCELLED, "cancelled");
		if (ready > 0 && fds[0].revents != 0)
			return true; /* an error shows at the read or write that follows */
	}
}

static bool send_all(struct redis_socket *s, struct span bytes, int64_t deadline,
		     struct redis_error *error)
{
	while (bytes.len > 0) {
		ssize_t n = send(s->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			bytes = span_skip(bytes, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return fail_errno(error, REDIS_CLOSED, "send");
		if (!wait_ready(s, POLLOUT, deadline, error))
			return false;
	}
	return true;
}

/* Some bytes off the socket; waits for the first. */
static bool receive_some(struct redis_socket *s, uint8_t *out, size_t size, size_t *got,
			 int64_t deadline, struct redis_error *error)
{
	for (;;) {
		ssize_t n = recv(s->fd, out, size, MSG_DONTWAIT);
		if (n > 0) {
			*got = (size_t)n;
			return true;
		}
		if (n == 0)
			return redis_error_set(error, REDIS_CLOSED, "closed by the server");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return fail_errno(error, REDIS_CLOSED, "receive");
		if (!wait_ready(s, POLLIN, deadline, error))
			return false;
	}
}

/* Sends what TLS has for the network. */
static bool tls_send(struct redis_socket *s, int64_t deadline, struct redis_error *error)
{
	uint8_t bytes[IO_SIZE];
	size_t n;

	while ((n = redis_tls_drain(s->tls, bytes, sizeof(bytes))) > 0)
		if (!send_all(s, span_of(bytes, n), deadline, error))
			return false;
	return true;
}

/* Gives TLS some bytes off the network. */
static bool tls_receive(struct redis_socket *s, int64_t deadline, struct redis_error *error)
{
	uint8_t bytes[IO_SIZE];
	size_t n;

	if (!receive_some(s, bytes, sizeof(bytes), &n, deadline, error))
		return false;
	return redis_tls_feed(s->tls, span_of(bytes, n)) ||
	       redis_error_set(error, REDIS_NO_MEMORY, "out of memory");
}

static bool tls_failed(struct redis_socket *s, enum redis_tls_status status,
		       struct redis_error *error)
{
	char reason[160];

	if (status == REDIS_TLS_CLOSED)
		return redis_error_set(error, REDIS_CLOSED, "closed by the server");
	error->failure = REDIS_UNREACHABLE;
	error->class = REDIS_CLASS_RETRY;
	(void)snprintf(error->text, sizeof(error->text), "TLS: %s",
		       redis_tls_error(s->tls, reason, sizeof(reason)));
	return false;
}

static bool tls_handshake(struct redis_socket *s, int64_t deadline, struct redis_error *error)
{
	for (;;) {
		enum redis_tls_status status = redis_tls_handshake(s->tls);
		/* Also on failure: the server wants to read our alert. */
		bool sent = tls_send(s, deadline, error);
		if (status == REDIS_TLS_FAILED || status == REDIS_TLS_CLOSED)
			return tls_failed(s, status, error);
		if (!sent)
			return false;
		if (status == REDIS_TLS_OK)
			return true;
		if (!tls_receive(s, deadline, error))
			return false;
	}
}

/* Plain bytes of replies; waits for the first. */
bool redis_socket_receive(struct redis_socket *s, uint8_t *out, size_t size, size_t *got,
			  int64_t deadline, struct redis_error *error)
{
	if (s->tls == NULL)
		return receive_some(s, out, size, got, deadline, error);
	for (;;) {
		enum redis_tls_status status = redis_tls_read(s->tls, out, size, got);
		if (status == REDIS_TLS_OK)
			return true;
		if (status != REDIS_TLS_MORE)
			return tls_failed(s, status, error);
		/* A key update may want an answer. */
		if (!tls_send(s, deadline, error) || !tls_receive(s, deadline, error))
			return false;
	}
}

static bool connect_address(struct redis_socket *s, const struct sockaddr *address,
			    socklen_t length, int64_t deadline, struct redis_error *error)
{
	int result = 0;
	socklen_t result_size = sizeof(result);

	s->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return fail_errno(error, REDIS_UNREACHABLE, "socket");
	if (connect(s->fd, address, length) != 0) {
		/* A local socket whose queue is full says EAGAIN: for us a refusal like any other.
		 */
		if (errno != EINPROGRESS)
			return fail_errno(error, REDIS_UNREACHABLE, "connect");
		if (!wait_ready(s, POLLOUT, deadline, error))
			return false;
		(void)getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &result, &result_size);
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

static bool connect_tcp(struct redis_socket *s, const struct redis_endpoint *endpoint,
			int64_t deadline, struct redis_error *error)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *addresses;
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", endpoint->port);
	/* Has no time limit of its own, but only the thread that delivers waits here. */
	int result = getaddrinfo(endpoint->host, port, &hints, &addresses);
	if (result != 0)
		return redis_error_set(error, REDIS_UNREACHABLE, gai_strerror(result));
	bool connected = false;
	for (const struct addrinfo *a = addresses; a != NULL && !connected; a = a->ai_next) {
		connected = connect_address(s, a->ai_addr, a->ai_addrlen, deadline, error);
		if (!connected && s->fd >= 0) {
			(void)close(s->fd);
			s->fd = -1;
		}
		if (!connected && error->failure == REDIS_CANCELLED)
			break;
	}
	freeaddrinfo(addresses);
	if (connected)
		set_tcp_options(s->fd);
	return connected;
}

static bool connect_unix(struct redis_socket *s, const struct redis_endpoint *endpoint,
			 int64_t deadline, struct redis_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	_Static_assert(sizeof(endpoint->path) <= sizeof(address.sun_path), "path fits");
	memcpy(address.sun_path, endpoint->path, sizeof(endpoint->path));
	return connect_address(s, (const struct sockaddr *)&address, sizeof(address), deadline,
			       error);
}

bool redis_socket_open(struct redis_socket *s, const struct redis_endpoint *endpoint,
		       struct redis_tls_context *tls, int cancel_fd, int64_t deadline,
		       struct redis_error *error)
{
	*s = (struct redis_socket){.fd = -1, .cancel_fd = cancel_fd};
	*error = (struct redis_error){.failure = REDIS_FINE};
	bool good = endpoint->path[0] != '\0' ? connect_unix(s, endpoint, deadline, error)
					      : connect_tcp(s, endpoint, deadline, error);
	if (!good || tls == NULL)
		return good;
	s->tls = redis_tls_new(tls, endpoint->host);
	return s->tls != NULL ? tls_handshake(s, deadline, error)
			      : redis_error_set(error, REDIS_NO_MEMORY, "out of memory");
}

void redis_socket_close(struct redis_socket *s)
{
	redis_tls_free(s->tls);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->tls = NULL;
	s->fd = -1;
}

bool redis_socket_send(struct redis_socket *s, struct span bytes, int64_t deadline,
		       struct redis_error *error)
{
	if (s->tls == NULL)
		return send_all(s, bytes, deadline, error);
	enum redis_tls_status status = redis_tls_write(s->tls, bytes);
	return status == REDIS_TLS_OK ? tls_send(s, deadline, error) : tls_failed(s, status, error);
}
