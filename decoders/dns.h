/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DNS answers say of mail: addresses of hosts, MX (RFC 1035), the TXT of
 * MTA-STS (RFC 8461 3.1) and TLSA (RFC 6698, 7672).
 *
 * A message is read whole, as it stood in one datagram or behind its length in
 * one TCP segment. Pure: no memory but the caller's. Names come out in lower
 * case without the final dot; a byte of a label that no host name has becomes
 * '?', so that no two different names are taken for one by a dot inside a label.
 */
#ifndef DECODERS_DNS_H
#define DECODERS_DNS_H

#include "decoders/addr.h"
#include "decoders/parse.h"
#include "decoders/span.h"

#define DNS_NAME_MAX  253 /* characters of a name as text (RFC 1035 2.3.4: 255 on the wire) */
#define DNS_FACTS_MAX 32  /* facts of one message that are kept: more is no mail exchange */
#define DNS_PORT      53

enum dns_fact_kind {
	DNS_FACT_ADDRESS, /* name has address; target is the name that was asked for */
	DNS_FACT_MX,      /* mail for name goes to target */
	DNS_FACT_STS,     /* name, without its "_mta-sts.", announces an MTA-STS policy */
	DNS_FACT_TLSA,    /* name, without its "_port._tcp.", has this association */
};

/* How much speaks for the answer. A listener cannot validate DNSSEC: these are claims. */
enum dns_trust {
	DNS_TRUST_NONE,
	DNS_TRUST_SIGNED,        /* signatures came with it (RRSIG in the answer) */
	DNS_TRUST_AUTHENTICATED, /* the resolver says that it validated it (AD, RFC 4035 3.2.3) */
};

struct dns_fact {
	enum dns_fact_kind kind;
	uint32_t ttl; /* seconds; the least along a chain of aliases */
	char name[DNS_NAME_MAX + 1], target[DNS_NAME_MAX + 1];
	struct ip_addr address;
	uint16_t port;                     /* of TLSA */
	uint8_t usage, selector, matching; /* of TLSA */
	uint8_t data_len; /* 32: data is a SHA-256 association; else it is not kept */
	uint8_t data[32];
};

struct dns_answers {
	enum dns_trust trust;
	uint32_t count;
	uint32_t dropped; /* facts beyond DNS_FACTS_MAX */
	struct dns_fact facts[DNS_FACTS_MAX];
};

/* What of it is used, for a copy without the rest. */
static inline size_t dns_answers_size(const struct dns_answers *answers)
{
	return offsetof(struct dns_answers, facts) + answers->count * sizeof answers->facts[0];
}

/*
 * Reads a message. DONE: it is a response without error, and answers holds its
 * facts, maybe none. MORE: cut by the capture; what came before is in answers.
 * MALFORMED: no response, an error response, or nonsense; answers is empty.
 */
enum parse_result dns_read(struct span message, struct dns_answers *answers);

#endif
