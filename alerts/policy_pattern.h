/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers and domains that a policy names: addresses, networks, host names,
 * with or without a port, as text in a policy file.
 */
#ifndef ALERTS_POLICY_PATTERN_H
#define ALERTS_POLICY_PATTERN_H

#include "alerts/network.h"
#include "decoders/addr.h"
#include "decoders/span.h"

#define POLICY_PATTERNS 1024 /* servers and domains of one demand */

enum pattern_kind { PATTERN_NETWORK, PATTERN_NAME };

/* A server: a network of addresses or a host name, and perhaps a port. Or a domain. */
struct pattern {
	enum pattern_kind kind;
	struct network network;
	char *name; /* of PATTERN_NAME and of domains, lower case; "*." in front: anything below */
	uint16_t port; /* 0: any */
};

struct patterns {
	struct pattern *items; /* owned */
	size_t count;
};

/* Room for one more, zeroed. NULL when there are too many, or no memory. */
struct pattern *patterns_add(struct patterns *patterns);
void patterns_free(struct patterns *patterns);

/* Whether the text is a host name or domain; "*." in front is allowed. */
bool pattern_is_name(struct span text);

/* "192.0.2.1", "192.0.2.0/24", "[2001:db8::1]:587", "2001:db8::/32", "mx.example.org:25" */
bool pattern_read_server(struct span text, struct pattern *pattern);

/* Sets a domain; false when the text is none, or no memory. */
bool pattern_read_domain(struct span text, struct pattern *pattern);

/* "*.example.org" stands for every name below example.org. A final dot does not count. */
bool pattern_matches_name(const char *pattern, struct span name);

/* The same, where the star is one label and no more (RFC 8461 4.1). */
bool pattern_matches_host(const char *pattern, struct span name);

#endif
