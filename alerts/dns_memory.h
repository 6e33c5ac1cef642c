/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DNS answers that were seen say of mail servers: which names an address
 * has, for which domains a host takes mail, which hosts have TLSA records,
 * which domains announce MTA-STS.
 *
 * Nothing is asked: an answer is known when it went by, for as long as its TTL
 * says (at least a minute, at most a day: resolvers and mail queues are not
 * that exact). An answer is a claim. Who can forge one can make the sensor
 * demand TLS where nobody did, and so raise an alert too much; or put other
 * names or records in the place of those that were known, and so hide an alert
 * that rests on DNS alone. Records that a resolver vouched for give way only to
 * such. Nothing that an answer says takes back what a policy file, the baseline
 * or the session itself shows.
 *
 * Full tables give up what was used least lately, and count it. Names longer
 * than DNS_MEMORY_NAME are not kept.
 */
#ifndef ALERTS_DNS_MEMORY_H
#define ALERTS_DNS_MEMORY_H

#include "decoders/budget.h"
#include "decoders/dns.h"
#include "decoders/siphash.h"

#define DNS_MEMORY_NAME  127 /* characters */
#define DNS_MEMORY_NAMES 4   /* of an address; domains of a host; TLSA records of a host */

struct dns_memory_limits {
	uint32_t addresses, hosts, domains;
};

/* One TLSA record (RFC 6698 2.1). */
struct dns_tlsa_record {
	uint8_t usage, selector, matching;
	bool has_data; /* data is a SHA-256 */
	uint8_t data[32];
};

struct dns_tlsa {
	enum dns_trust trust;
	bool more; /* there were more records than are kept */
	unsigned count;
	struct dns_tlsa_record records[DNS_MEMORY_NAMES];
};

struct dns_memory;

/* Memory comes from budget, which outlives it. NULL when out of memory. */
struct dns_memory *dns_memory_create(struct budget *budget, const struct siphash_key *key,
				     const struct dns_memory_limits *limits);
void dns_memory_destroy(struct dns_memory *memory); /* NULL is allowed */

/* What was given up because a table was full or memory spent. */
uint64_t dns_memory_evicted(const struct dns_memory *memory);

void dns_memory_learn(struct dns_memory *memory, const struct dns_answers *answers,
		      int64_t time_ns);

/* The names that an address has at now_ns; their number. Valid until the next learning. */
unsigned dns_memory_names(const struct dns_memory *memory, const struct ip_addr *address,
			  int64_t now_ns, struct span names[DNS_MEMORY_NAMES]);

/* The domains whose mail goes to a host; *more: there are others that are not known any more. */
unsigned dns_memory_domains(const struct dns_memory *memory, struct span host, int64_t now_ns,
			    struct span domains[DNS_MEMORY_NAMES], bool *more);

/* Whether the host has TLSA records for the port. */
bool dns_memory_tlsa(const struct dns_memory *memory, struct span host, uint16_t port,
		     int64_t now_ns, struct dns_tlsa *tlsa);

bool dns_memory_announces_sts(const struct dns_memory *memory, struct span domain, int64_t now_ns);

#endif
