/* SPDX-License-Identifier: Apache-2.0 */
/* Sentinels and clusters that answer what real ones seldom do: a scripted server on a socket. */
#include "alerts/redis_topology.h"
#include "alerts/redis_url.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4
#define REPLIES     4

/* Of each connection in turn: what it answers, one reply to one command; NULL: hangs up. */
struct script {
	const char *replies[CONNECTIONS][REPLIES];
};

struct server {
	const struct script *script;
	int listener;
	unsigned port;
	pthread_t thread;
};

/* Commands are small and come one at a time, so one read is one of them. */
static void serve(int fd, const char *const replies[REPLIES], unsigned port)
{
	char command[512], reply[512];
	for (unsigned i = 0; i < REPLIES && replies[i] != NULL; i++) {
		if (read(fd, command, sizeof command) <= 0)
			break;
		/* %u in a script is the server's own port. */
		const char *mark = strstr(replies[i], "%u");
		int before = mark == NULL ? (int)strlen(replies[i]) : (int)(mark - replies[i]);
		int len = mark == NULL ? snprintf(reply, sizeof reply, "%s", replies[i])
				       : snprintf(reply, sizeof reply, "%.*s%u%s", before,
						  replies[i], port, mark + 2);
		if (write(fd, reply, (size_t)len) != len)
			break;
	}
	(void)close(fd);
}

static void *run(void *argument)
{
	struct server *server = argument;
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		int fd = accept(server->listener, NULL, NULL);
		if (fd < 0)
			break;
		serve(fd, server->script->replies[i], server->port);
	}
	return NULL;
}

static void begin(struct server *server, const struct script *script)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	*server = (struct server){.script = script,
				  .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	cr_assert_geq(server->listener, 0);
	cr_assert_eq(bind(server->listener, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(server->listener, 8), 0);
	cr_assert_eq(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	cr_assert_eq(pthread_create(&server->thread, NULL, run, server), 0);
}

static void end(struct server *server)
{
	(void)shutdown(server->listener, SHUT_RDWR);
	cr_assert_eq(pthread_join(server->thread, NULL), 0);
	(void)close(server->listener);
}

static struct redis_topology *look(const struct server *server, const char *scheme,
				   const char *path, struct redis_url *url)
{
	static const struct redis_topology_config config = {
	    .link = {.connect_timeout_ms = 5000,
		     .command_timeout_ms = 5000,
		     .max_reply_bytes = 1 << 16,
		     .cancel_fd = -1},
	    .max_nodes = 3,
	};
	char text[100], error[200];
	(void)snprintf(text, sizeof text, "%s://127.0.0.1:%u%s", scheme, server->port, path);
	cr_assert(redis_url_parse(text, url, error, sizeof error), "%s", error);
	struct redis_topology *topology = redis_topology_new(url, &config);
	cr_assert_not_null(topology);
	return topology;
}

#define MASTER_IS_HERE "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%u\r\n"
#define IS_MASTER      "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

Test(redis_nodes, sentinels_that_do_not_lead_to_a_master, .timeout = 60)
{
	static const struct {
		const char *name, *expected;
		struct script script;
	} cases[] = {
	    {"unknown", "does not know this master", {{{"*-1\r\n"}}}},
	    {"half an answer", "does not know this master", {{{"*1\r\n$9\r\n127.0.0.1\r\n"}}}},
	    {"no port", "does not know this master", {{{"*2\r\n$9\r\n127.0.0.1\r\n$1\r\nx\r\n"}}}},
	    {"port 0", "does not know this master", {{{"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n"}}}},
	    {"an error", "does not know this master", {{{"-ERR unknown command\r\n"}}}},
	    {"no Redis", "", {{{"HTTP/1.1 400 Bad Request\r\n\r\n"}}}},
	    {"hangs up", "", {{{NULL}}}},
	    {"a replica", "not a master", {{{MASTER_IS_HERE}, {"*1\r\n$5\r\nslave\r\n"}}}},
	    {"ROLE not allowed", "not a master", {{{MASTER_IS_HERE}, {"-NOPERM no\r\n"}}}},
	    {"hangs up at ROLE", "", {{{MASTER_IS_HERE}, {NULL}}}},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct server server;
		struct redis_url url;
		struct redis_error error;
		begin(&server, &cases[i].script);
		struct redis_topology *topology =
		    look(&server, "redis-sentinel", "/mymaster", &url);
		cr_expect_null(redis_topology_link(topology, span_str("k"), &error), "%s",
			       cases[i].name);
		cr_expect_neq(error.failure, REDIS_FINE, "%s", cases[i].name);
		cr_expect_not_null(strstr(error.text, cases[i].expected), "%s: %s", cases[i].name,
				   error.text);
		redis_topology_free(topology);
		end(&server);
	}
}

/* A master that has moved is left; a sentinel that is not there for once changes nothing. */
Test(redis_nodes, the_master_is_looked_after, .timeout = 60)
{
	static const struct {
		const char *later;
		bool stays;
	} cases[] = {
	    {MASTER_IS_HERE, true},
	    {"*-1\r\n", true},
	    {"*2\r\n$9\r\n127.0.0.2\r\n$5\r\n%u\r\n", false},
	    {"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		/* The link itself has to be served to its end before the sentinel is asked again.
		 */
		const struct script script = {
		    {{MASTER_IS_HERE}, {IS_MASTER}, {cases[i].later}, {NULL}}};
		struct server server;
		struct redis_url url;
		struct redis_error error;
		begin(&server, &script);
		struct redis_topology *topology =
		    look(&server, "redis-sentinel", "/mymaster", &url);
		cr_expect(redis_topology_check(topology), "nothing is known yet");
		struct redis_link *link = redis_topology_link(topology, span_str("k"), &error);
		cr_assert_not_null(link, "%s", error.text);
		cr_expect_eq(redis_topology_link(topology, span_str("other"), &error), link);
		cr_expect_eq(redis_topology_connections(topology), 1);
		cr_expect_eq(redis_topology_check(topology), cases[i].stays, "%s", cases[i].later);
		redis_topology_free(topology);
		end(&server);
	}
}

#define ALL_HERE "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"

Test(redis_nodes, maps_of_a_cluster_that_make_no_sense, .timeout = 60)
{
	static const struct {
		const char *map, *expected;
	} cases[] = {
	    {"-ERR This instance has cluster support disabled\r\n", "CLUSTER SLOTS: ERR This"},
	    {"-CLUSTERDOWN The cluster is down\r\n", "CLUSTER SLOTS: CLUSTERDOWN"},
	    {"*0\r\n", "CLUSTER SLOTS: "},
	    {":5\r\n", "CLUSTER SLOTS: "},
	    {"*1\r\n*3\r\n:-1\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:1\r\n", "nobody serves"},
	    {"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$9\r\n127.0.0.1\r\n:1\r\n", "nobody serves"},
	    {"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:0\r\n", "nobody serves"},
	    {"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:65536\r\n", "nobody serves"},
	    {"*1\r\n*2\r\n:0\r\n:16383\r\n", "nobody serves"},
	    {"*1\r\n:7\r\n", "nobody serves"},
	    {"*1\r\n*3\r\n:16383\r\n:0\r\n*2\r\n$9\r\n127.0.0.1\r\n:1\r\n", "nobody serves"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct script script = {{{cases[i].map}}};
		struct server server;
		struct redis_url url;
		struct redis_error error;
		begin(&server, &script);
		struct redis_topology *topology = look(&server, "redis-cluster", "", &url);
		cr_expect_null(redis_topology_link(topology, span_str("k"), &error), "%s",
			       cases[i].map);
		cr_expect_not_null(strstr(error.text, cases[i].expected), "%s: %s", cases[i].map,
				   error.text);
		redis_topology_free(topology);
		end(&server);
	}
}

/* A node that does not know its own address is the one that was asked. */
Test(redis_nodes, a_node_without_an_address_is_who_was_asked, .timeout = 60)
{
	static const char *const maps[] = {
	    ALL_HERE,
	    "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%u\r\n",
	    "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\n?\r\n:%u\r\n",
	};
	for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
		const struct script script = {{{maps[i]}, {"+PONG\r\n"}}};
		struct server server;
		struct redis_url url;
		struct redis_error error;
		begin(&server, &script);
		struct redis_topology *topology = look(&server, "redis-cluster", "", &url);
		struct redis_link *link = redis_topology_link(topology, span_str("k"), &error);
		cr_expect_not_null(link, "%s: %s", maps[i], error.text);
		redis_topology_free(topology);
		end(&server);
	}
}

Test(redis_nodes, redirections_are_followed_within_reason, .timeout = 60)
{
	static const struct script script = {{{ALL_HERE}, {"+PONG\r\n"}, {NULL}, {NULL}}};
	struct server server;
	struct redis_url url;
	struct redis_error error;
	char text[100];
	begin(&server, &script);
	struct redis_topology *topology = look(&server, "redis-cluster", "", &url);
	struct redis_link *link = redis_topology_link(topology, span_str("k"), &error);
	cr_assert_not_null(link, "%s", error.text);
	cr_expect_eq(redis_topology_ask(topology, span_str("ASK 5 :1"), &error), NULL);
	(void)snprintf(text, sizeof text, "ASK 5 :%u", server.port);
	cr_expect_eq(redis_topology_ask(topology, span_str(text), &error), link,
		     "no host: who said so");
	(void)snprintf(text, sizeof text, "MOVED 5 127.0.0.1:%u", server.port);
	cr_expect(redis_topology_moved(topology, span_str(text)));
	cr_expect(redis_topology_moved(topology, span_str("MOVED 5 127.0.0.1:2")));
	cr_expect_not(redis_topology_moved(topology, span_str("MOVED 5 127.0.0.1:3")),
		      "three nodes are the cap");
	cr_expect_not(redis_topology_moved(topology, span_str("MOVED")));
	cr_expect_null(redis_topology_ask(topology, span_str("ASK"), &error));
	cr_expect_not_null(strstr(error.text, "nobody serves"), "%s", error.text);
	redis_topology_drop(topology, link);
	redis_topology_drop(topology, NULL);
	redis_topology_free(topology);
	end(&server);
}
