/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which server to talk to: the one in the URL, the master that Sentinel names,
 * or the owner of a key's slot in a cluster.
 *
 * Sentinel (redis.io, "Guidelines for Redis clients"): each sentinel is asked
 * in turn, the server it names must say in ROLE that it is a master, and all of
 * this happens again for every connection. Cluster: slots come from CLUSTER
 * SLOTS, one connection per owner, MOVED changes the map, ASK does not.
 *
 * Not thread-safe. Links belong to the topology.
 */
#ifndef ALERTS_REDIS_TOPOLOGY_H
#define ALERTS_REDIS_TOPOLOGY_H

#include "alerts/redis_link.h"

#define REDIS_SLOTS 16384

struct redis_topology_config {
	struct redis_link_config link; /* for the servers that hold data; copied shallowly */
	const char *sentinel_password; /* for the sentinels themselves; NULL: none */
	size_t max_nodes;              /* of a cluster */
};

struct redis_topology;

/* url and what config points at are borrowed for the topology's life. NULL: no memory. */
struct redis_topology *redis_topology_new(const struct redis_url *url,
					  const struct redis_topology_config *config);
void redis_topology_free(struct redis_topology *topology);

/*
 * The link that commands on key go to, connected if need be. NULL: why is in
 * error. The link stays good until redis_topology_drop() or _reset().
 */
struct redis_link *redis_topology_link(struct redis_topology *topology, struct span key,
				       struct redis_error *error);

/* The link failed, or its server is not what it was: closes it. */
void redis_topology_drop(struct redis_topology *topology, struct redis_link *link);

/* A MOVED error reply: from now on its node serves its slot. False: it makes no sense. */
bool redis_topology_moved(struct redis_topology *topology, struct span text);

/* The link that an ASK error reply names; the caller sends ASKING first. NULL: see error. */
struct redis_link *redis_topology_ask(struct redis_topology *topology, struct span text,
				      struct redis_error *error);

/*
 * Asks Sentinel whether the master is still the one we are connected to, and
 * drops the link when it is not. True when nothing changed (always, without
 * Sentinel, or when no sentinel answers: the link is the better witness).
 */
bool redis_topology_check(struct redis_topology *topology);

/* Connections made so far to servers that hold data. */
uint64_t redis_topology_connections(const struct redis_topology *topology);

/* The hash slot of a key, with its hash tag (Redis Cluster Specification). */
unsigned redis_key_slot(struct span key);

/* Reads "MOVED 3999 127.0.0.1:6381" or "ASK ...". An empty host means: the one that answered. */
bool redis_redirect_parse(struct span text, unsigned *slot, struct redis_endpoint *endpoint);

#endif
