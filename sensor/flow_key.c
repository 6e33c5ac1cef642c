/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/flow_key.h"

/* Words of an address that say anything. */
static unsigned address_words(uint8_t version)
{
	return version == 4 ? 1 : 4;
}

void flow_hash_init(struct flow_hash *hash, const struct siphash_key *secret)
{
	for (uint32_t i = 0; i < sizeof hash->factor / sizeof hash->factor[0]; i++)
		hash->factor[i] = siphash(secret, span_of(&i, sizeof i));
}

/*
 * Multilinear hashing (D. Lemire, O. Kaser, "Strongly universal string hashing is fast"):
 * for the four words of an IPv4 pair it is four multiplications.
 */
uint32_t flow_key_hash(const struct flow_hash *hash, const struct flow_key *key)
{
	const uint64_t *factor = hash->factor;
	uint64_t sum = factor[0] + factor[1] * key->addr[0][0] + factor[5] * key->addr[1][0];
	for (unsigned i = 1; i < address_words(key->version); i++) {
		sum += factor[1 + i] * key->addr[0][i];
		sum += factor[5 + i] * key->addr[1][i];
	}
	sum += factor[9] * ((uint32_t)key->port[0] << 16 | key->port[1]);
	sum += factor[10] * ((uint32_t)key->version << 24 | (uint32_t)key->tap << 16 | key->view);
	return (uint32_t)(sum >> 32);
}

void flow_parts_init(struct flow_hash *parts)
{
	const struct siphash_key known = {.k0 = 0x6465616c, .k1 = 0x776f726b657273};
	flow_hash_init(parts, &known);
}

unsigned flow_part(const struct flow_hash *parts, const struct flow_key *key)
{
	/* The upper bits, as for any hash that is scaled. */
	return (unsigned)((uint64_t)flow_key_hash(parts, key) * FLOW_PARTS >> 32);
}

/* Where the sender of an IPv6 segment stands; words as they were written, see below. */
static unsigned order_ipv6(const struct tcp_segment *segment, uint32_t from[4], uint32_t to[4])
{
	unsigned src = segment->src.port >= segment->dst.port;
	memcpy(from, segment->src.addr.bytes, 16);
	memcpy(to, segment->dst.addr.bytes, 16);
	for (unsigned i = 4; i-- > 0;)
		if (from[i] != to[i])
			src = from[i] > to[i];
	return src;
}

uint8_t flow_key_of(const struct tcp_segment *segment, uint8_t tap, struct flow_key *key)
{
	unsigned src;
	*key = (struct flow_key){.version = segment->src.addr.version, .tap = tap};
	if (key->version == 4) {
		/* A word at a time, as the decoder wrote them: a wider load would have to wait. */
		uint32_t from, to;
		memcpy(&from, segment->src.addr.bytes, sizeof from);
		memcpy(&to, segment->dst.addr.bytes, sizeof to);
		src = from != to ? from > to : segment->src.port >= segment->dst.port;
		key->addr[src][0] = from;
		key->addr[1 - src][0] = to;
	} else {
		uint32_t from[4], to[4];
		src = order_ipv6(segment, from, to);
		memcpy(key->addr[src], from, sizeof from);
		memcpy(key->addr[1 - src], to, sizeof to);
	}
	key->port[src] = segment->src.port;
	key->port[1 - src] = segment->dst.port;
	return (uint8_t)src;
}

bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	if (a->addr[0][0] != b->addr[0][0] || a->addr[1][0] != b->addr[1][0] ||
	    a->port[0] != b->port[0] || a->port[1] != b->port[1] || a->version != b->version ||
	    a->tap != b->tap || a->view != b->view)
		return false;
	return a->version == 4 || memcmp(a->addr, b->addr, sizeof a->addr) == 0;
}
