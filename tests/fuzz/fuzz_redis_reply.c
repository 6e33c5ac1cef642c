/* SPDX-License-Identifier: Apache-2.0 */
/* What a server answers: the input comes down a socket, every reply is read and walked through. */
#include "alerts/redis_link.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NESTING_MAX 64

static unsigned walk(const struct redis_reply *reply, unsigned depth)
{
	uint8_t sum = 0;

	FUZZ_REQUIRE(depth < NESTING_MAX);
	struct span text = redis_reply_text(reply);
	for (size_t i = 0; i < text.len; i++)
		sum ^= text.ptr[i]; /* every byte may be read */
	(void)redis_reply_integer(reply);
	if (redis_reply_kind(reply) == REDIS_KIND_ERROR)
		(void)redis_reply_classify(text);
	unsigned count = 1 + (sum & 0U);
	for (size_t i = 0; i < redis_reply_count(reply); i++)
		if (redis_reply_at(reply, i) != NULL)
			count += walk(redis_reply_at(reply, i), depth + 1);
	FUZZ_REQUIRE(redis_reply_at(reply, redis_reply_count(reply)) == NULL);
	return count;
}

/* A server that says these bytes and goes. */
static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	(void)unlink(path);
	if (server >= 0 && bind(server, (const struct sockaddr *)&address, sizeof address) == 0 &&
	    listen(server, 4) == 0)
		return server;
	perror(path);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int server = -1;
	static struct redis_endpoint endpoint;
	const struct redis_link_config config = {
	    .connect_timeout_ms = 1000,
	    .command_timeout_ms = 1000,
	    .max_reply_bytes = 4096,
	    .cancel_fd = -1,
	};
	struct redis_error error;

	if (server < 0) {
		snprintf(endpoint.path, sizeof endpoint.path, "/tmp/fuzz_redis_reply.%ld",
			 (long)getpid());
		server = listen_at(endpoint.path);
	}
	struct redis_link *link = redis_link_open(&endpoint, &config, &error);
	FUZZ_REQUIRE(link != NULL);
	int far = accept(server, NULL, NULL);
	/* More than the socket takes would wait for us. */
	(void)send(far, data, size < 65536 ? size : 65536, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(far, SHUT_WR);
	for (;;) {
		struct redis_reply *reply = redis_link_reply(link, 0, &error);
		if (reply == NULL)
			break;
		(void)walk(reply, 0);
		redis_reply_free(reply);
	}
	FUZZ_REQUIRE(error.failure == REDIS_CLOSED || error.failure == REDIS_PROTOCOL);
	redis_link_close(link);
	close(far);
	return 0;
}
