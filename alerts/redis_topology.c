/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_topology.h"

#include "alerts/network.h"

#include <stdio.h>
#include <stdlib.h>

#define NO_NODE UINT16_MAX

struct node {
	struct redis_endpoint endpoint;
	struct redis_link *link; /* NULL: not connected */
};

struct redis_topology {
	const struct redis_url *url;
	struct redis_topology_config config;
	size_t next_seed; /* the sentinel or seed that answered last is asked first */
	/* Standalone and Sentinel use nodes[0] only. */
	struct node *nodes;
	size_t node_count;
	size_t node_max;
	uint16_t *owners; /* of each slot: index in nodes, or NO_NODE; cluster only */
	bool mapped;      /* owners holds an answer to CLUSTER SLOTS */
	uint64_t connections;
};

/* CRC-16/XMODEM, the cluster's key hash. */
static uint16_t crc16(struct span bytes)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		crc = (uint16_t)(crc ^ (unsigned)bytes.ptr[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)((crc & 0x8000) != 0 ? (unsigned)crc << 1 ^ 0x1021u
							     : (unsigned)crc << 1);
	}
	return crc;
}

unsigned redis_key_slot(struct span key)
{
	const uint8_t *open = key.len == 0 ? NULL : memchr(key.ptr, '{', key.len);

	if (open != NULL) {
		struct span rest = span_skip(key, (size_t)(open - key.ptr) + 1);
		const uint8_t *close = rest.len == 0 ? NULL : memchr(rest.ptr, '}', rest.len);
		/* An empty tag is no tag. */
		if (close != NULL && close != rest.ptr)
			key = span_head(rest, (size_t)(close - rest.ptr));
	}
	return crc16(key) % REDIS_SLOTS;
}

static bool set_host(struct redis_endpoint *endpoint, struct span host, unsigned port)
{
	*endpoint = (struct redis_endpoint){.port = (uint16_t)port};
	if (host.len >= sizeof(endpoint->host))
		return false;
	if (host.len > 0)
		memcpy(endpoint->host, host.ptr, host.len);
	return port != 0 && memchr(endpoint->host, '\0', host.len) == NULL;
}

bool redis_redirect_parse(struct span text, unsigned *slot, struct redis_endpoint *endpoint)
{
	const uint8_t *space = text.len == 0 ? NULL : memchr(text.ptr, ' ', text.len);

	if (space == NULL)
		return false;
	struct span rest = span_skip(text, (size_t)(space - text.ptr) + 1);
	space = rest.len == 0 ? NULL : memchr(rest.ptr, ' ', rest.len);
	if (space == NULL ||
	    !number_parse(span_head(rest, (size_t)(space - rest.ptr)), REDIS_SLOTS - 1, slot))
		return false;
	rest = span_skip(rest, (size_t)(space - rest.ptr) + 1);
	/* The port stands behind the last colon: IPv6 comes without brackets. */
	const uint8_t *colon = rest.len == 0 ? NULL : memrchr(rest.ptr, ':', rest.len);
	unsigned port;
	if (colon == NULL ||
	    !number_parse(span_skip(rest, (size_t)(colon - rest.ptr) + 1), UINT16_MAX, &port))
		return false;
	return set_host(endpoint, span_head(rest, (size_t)(colon - rest.ptr)), port);
}

struct redis_topology *redis_topology_new(const struct redis_url *url,
					  const struct redis_topology_config *config)
{
	struct redis_topology *topology = calloc(1, sizeof(*topology));

	if (topology == NULL)
		return NULL;
	topology->url = url;
	topology->config = *config;
	topology->node_max = url->kind == REDIS_CLUSTER ? config->max_nodes : 1;
	if (topology->node_max > NO_NODE)
		topology->node_max = NO_NODE;
	topology->nodes = calloc(topology->node_max, sizeof(*topology->nodes));
	if (url->kind == REDIS_CLUSTER)
		topology->owners = calloc(REDIS_SLOTS, sizeof(*topology->owners));
	if (topology->nodes == NULL || (url->kind == REDIS_CLUSTER && topology->owners == NULL)) {
		redis_topology_free(topology);
		return NULL;
	}
	return topology;
}

/* Closes all links and forgets who serves what. */
static void reset(struct redis_topology *topology)
{
	for (size_t i = 0; i < topology->node_count; i++)
		redis_link_close(topology->nodes[i].link);
	topology->node_count = 0;
	topology->mapped = false;
}

void redis_topology_free(struct redis_topology *topology)
{
	if (topology == NULL)
		return;
	if (topology->nodes != NULL)
		reset(topology);
	free(topology->nodes);
	free(topology->owners);
	free(topology);
}

void redis_topology_drop(struct redis_topology *topology, struct redis_link *link)
{
	for (size_t i = 0; i < topology->node_count; i++) {
		if (topology->nodes[i].link == link && link != NULL) {
			redis_link_close(link);
			topology->nodes[i].link = NULL;
		}
	}
	/* Where it was may not be where it is: look again. */
	topology->mapped = false;
}

static void explain(struct redis_error *error, enum redis_failure failure, const char *text)
{
	error->failure = failure;
	error->class = REDIS_CLASS_ELSEWHERE;
	(void)snprintf(error->text, sizeof(error->text), "%s", text);
}

/* Asks one sentinel where the master is. */
static bool ask_sentinel(const struct redis_topology *topology, const struct redis_endpoint *seed,
			 struct redis_endpoint *master, struct redis_error *error)
{
	struct redis_link_config config = topology->config.link;
	const struct span words[] = {span_str("SENTINEL"), span_str("get-master-addr-by-name"),
				     span_str(topology->url->master)};
	unsigned port;

	config.user = NULL;
	config.password = topology->config.sentinel_password;
	config.database = 0;
	config.client_name = NULL;
	struct redis_link *link = redis_link_open(seed, &config, error);
	if (link == NULL)
		return false;
	struct redis_reply *reply = redis_link_call(link, words, 3, 0, error);
	bool found = redis_reply_count(reply) == 2 &&
		     number_parse(redis_reply_text(redis_reply_at(reply, 1)), UINT16_MAX, &port) &&
		     set_host(master, redis_reply_text(redis_reply_at(reply, 0)), port);
	if (reply != NULL && !found)
		explain(error, REDIS_UNREACHABLE, "the sentinel does not know this master");
	redis_reply_free(reply);
	redis_link_close(link);
	return found;
}

/* Asks the sentinels in turn, beginning with the one that answered last. */
static bool find_master(struct redis_topology *topology, struct redis_endpoint *master,
			struct redis_error *error)
{
	const struct redis_url *url = topology->url;

	for (size_t i = 0; i < url->seed_count; i++) {
		size_t seed = (topology->next_seed + i) % url->seed_count;
		if (ask_sentinel(topology, &url->seeds[seed], master, error)) {
			topology->next_seed = seed;
			return true;
		}
		if (error->failure == REDIS_CANCELLED)
			return false;
	}
	return false;
}

/* Sentinel may be behind: only the server itself knows whether it is a master. */
static bool is_master(struct redis_link *link, struct redis_error *error)
{
	const struct span words[] = {span_str("ROLE")};
	struct redis_reply *reply = redis_link_call(link, words, 1, 0, error);

	if (reply == NULL)
		return false;
	bool master = span_equal(redis_reply_text(redis_reply_at(reply, 0)), span_str("master"));
	if (!master)
		explain(error, REDIS_UNREACHABLE, "not a master (or ROLE is not allowed)");
	redis_reply_free(reply);
	return master;
}

/* Connects to the node. False: why is in error. */
static bool open_node(struct redis_topology *topology, struct node *node, struct redis_error *error)
{
	node->link = redis_link_open(&node->endpoint, &topology->config.link, error);
	topology->connections += node->link != NULL;
	return node->link != NULL;
}

static struct redis_link *connect_single(struct redis_topology *topology, struct redis_error *error)
{
	struct node *node = &topology->nodes[0];

	topology->node_count = 1;
	if (node->link != NULL)
		return node->link;
	if (topology->url->kind == REDIS_STANDALONE)
		node->endpoint = topology->url->seeds[0];
	else if (!find_master(topology, &node->endpoint, error))
		return NULL;
	if (open_node(topology, node, error) && topology->url->kind == REDIS_SENTINEL &&
	    !is_master(node->link, error)) {
		redis_link_close(node->link);
		node->link = NULL;
	}
	return node->link;
}

/* The index of the node at endpoint, a new one if need be; NO_NODE at the cap. */
static uint16_t node_index(struct redis_topology *topology, const struct redis_endpoint *endpoint)
{
	for (size_t i = 0; i < topology->node_count; i++)
		if (topology->nodes[i].endpoint.port == endpoint->port &&
		    strcmp(topology->nodes[i].endpoint.host, endpoint->host) == 0)
			return (uint16_t)i;
	if (topology->node_count == topology->node_max)
		return NO_NODE;
	topology->nodes[topology->node_count] = (struct node){.endpoint = *endpoint};
	return (uint16_t)topology->node_count++;
}

/* Enters one range of CLUSTER SLOTS: first, last, [host, port, ...] of the master, replicas. */
static void map_range(struct redis_topology *topology, const struct redis_reply *range,
		      const struct redis_endpoint *asked)
{
	int64_t first = redis_reply_integer(redis_reply_at(range, 0));
	int64_t last = redis_reply_integer(redis_reply_at(range, 1));
	const struct redis_reply *master = redis_reply_at(range, 2);
	int64_t port = redis_reply_integer(redis_reply_at(master, 1));
	struct span host = redis_reply_text(redis_reply_at(master, 0));
	struct redis_endpoint endpoint;

	/* No host, or "?": the node does not know its own address, but we reached it. */
	if (host.len == 0 || span_equal(host, span_str("?")))
		host = span_str(asked->host);
	if (first < 0 || last >= REDIS_SLOTS || port <= 0 || port > UINT16_MAX ||
	    !set_host(&endpoint, host, (unsigned)port))
		return;
	uint16_t owner = node_index(topology, &endpoint);
	for (int64_t slot = first; slot <= last; slot++)
		topology->owners[slot] = owner;
}

static bool load_map(struct redis_topology *topology, struct redis_link *link,
		     const struct redis_endpoint *asked, struct redis_error *error)
{
	const struct span words[] = {span_str("CLUSTER"), span_str("SLOTS")};
	struct redis_reply *reply = redis_link_call(link, words, 2, 0, error);

	if (reply == NULL)
		return false;
	size_t count = redis_reply_count(reply);
	if (count == 0) {
		struct span text = redis_reply_text(reply);
		error->failure = REDIS_REFUSED;
		error->class = redis_reply_kind(reply) == REDIS_KIND_ERROR
				   ? redis_reply_classify(text)
				   : REDIS_CLASS_RETRY;
		(void)snprintf(
		    error->text, sizeof(error->text), "CLUSTER SLOTS: %.*s",
		    (int)(text.len < sizeof(error->text) ? text.len : sizeof(error->text)),
		    text.len > 0 ? (const char *)text.ptr : "");
	} else {
		for (size_t i = 0; i < REDIS_SLOTS; i++)
			topology->owners[i] = NO_NODE;
		for (size_t i = 0; i < count; i++)
			map_range(topology, redis_reply_at(reply, i), asked);
		topology->mapped = true;
	}
	redis_reply_free(reply);
	return topology->mapped;
}

/* Asks a connected node, then every seed, for the map of slots. */
static bool refresh_map(struct redis_topology *topology, struct redis_error *error)
{
	const struct redis_url *url = topology->url;

	for (size_t i = 0; i < topology->node_count; i++) {
		struct node *node = &topology->nodes[i];
		struct redis_endpoint asked = node->endpoint;
		if (node->link == NULL)
			continue;
		if (load_map(topology, node->link, &asked, error))
			return true;
		redis_link_close(node->link);
		node->link = NULL;
	}
	/* Nodes that are gone for good must not fill the table. */
	reset(topology);
	for (size_t i = 0; i < url->seed_count; i++) {
		size_t seed = (topology->next_seed + i) % url->seed_count;
		struct redis_link *link =
		    redis_link_open(&url->seeds[seed], &topology->config.link, error);
		bool mapped = link != NULL && load_map(topology, link, &url->seeds[seed], error);
		redis_link_close(link);
		if (mapped) {
			topology->next_seed = seed;
			return true;
		}
		if (error->failure == REDIS_CANCELLED)
			return false;
	}
	return false;
}

static struct redis_link *connect_node(struct redis_topology *topology, uint16_t index,
				       struct redis_error *error)
{
	if (index >= topology->node_count) {
		explain(error, REDIS_UNREACHABLE, "nobody serves this slot");
		topology->mapped = false;
		return NULL;
	}
	struct node *node = &topology->nodes[index];
	if (node->link == NULL && !open_node(topology, node, error))
		topology->mapped = false;
	return node->link;
}

struct redis_link *redis_topology_link(struct redis_topology *topology, struct span key,
				       struct redis_error *error)
{
	*error = (struct redis_error){.failure = REDIS_FINE};
	if (topology->url->kind != REDIS_CLUSTER)
		return connect_single(topology, error);
	if (!topology->mapped && !refresh_map(topology, error))
		return NULL;
	return connect_node(topology, topology->owners[redis_key_slot(key)], error);
}

/* The node that a redirection names. */
static uint16_t redirect_node(struct redis_topology *topology, struct span text, unsigned *slot)
{
	struct redis_endpoint endpoint;

	if (topology->url->kind != REDIS_CLUSTER || !redis_redirect_parse(text, slot, &endpoint))
		return NO_NODE;
	if (endpoint.host[0] == '\0') {
		uint16_t owner = topology->owners[*slot];
		if (owner >= topology->node_count)
			return NO_NODE;
		memcpy(endpoint.host, topology->nodes[owner].endpoint.host, sizeof(endpoint.host));
	}
	return node_index(topology, &endpoint);
}

bool redis_topology_moved(struct redis_topology *topology, struct span text)
{
	unsigned slot;
	uint16_t node = redirect_node(topology, text, &slot);

	if (node == NO_NODE) {
		topology->mapped = false;
		return false;
	}
	topology->owners[slot] = node;
	return true;
}

struct redis_link *redis_topology_ask(struct redis_topology *topology, struct span text,
				      struct redis_error *error)
{
	unsigned slot;

	*error = (struct redis_error){.failure = REDIS_FINE};
	return connect_node(topology, redirect_node(topology, text, &slot), error);
}

bool redis_topology_check(struct redis_topology *topology)
{
	struct redis_endpoint master;
	struct redis_error error;

	if (topology->url->kind != REDIS_SENTINEL || topology->node_count == 0 ||
	    topology->nodes[0].link == NULL || !find_master(topology, &master, &error))
		return true;
	const struct redis_endpoint *mine = &topology->nodes[0].endpoint;
	if (master.port == mine->port && strcmp(master.host, mine->host) == 0)
		return true;
	redis_topology_drop(topology, topology->nodes[0].link);
	return false;
}

uint64_t redis_topology_connections(const struct redis_topology *topology)
{
	return topology->connections;
}
