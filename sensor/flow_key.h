/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tells one connection from another, and a hash of it that nobody outside can foresee.
 */
#ifndef SENSOR_FLOW_KEY_H
#define SENSOR_FLOW_KEY_H

#include "decoders/siphash.h"
#include "decoders/tcp.h"

/*
 * Two endpoints in a fixed order, whichever way the packet goes. Words, as the bytes stand:
 * of an IPv4 address the first one, the others are zero.
 */
struct flow_key {
	uint32_t addr[2][4];
	uint16_t port[2];
	uint8_t version; /* 4 or 6 */
	uint8_t tap;
	uint16_t view; /* 0: the first; else the interface that it is of (view.h) */
};

/* Writes the key of a segment's connection; returns which end of it sent the segment. */
uint8_t flow_key_of(const struct tcp_segment *segment, uint8_t tap, struct flow_key *key);

/* Random factors of a hash of keys: one for each 32-bit word of a key, and the first. */
struct flow_hash {
	uint64_t factor[11];
};

/* The secret is the run's; another purpose needs another one. */
void flow_hash_init(struct flow_hash *hash, const struct siphash_key *secret);

/*
 * The hash of a key, both directions alike: two keys fall together with probability 2^-32,
 * whoever chose them.
 */
uint32_t flow_key_hash(const struct flow_hash *hash, const struct flow_key *key);

/*
 * Connections fall into parts by what their endpoints are alone, in every run the same. All of a
 * part are one worker's, and what sessions share by luck of their order they share within their
 * part: so what gives way where that is full does not depend on the number of workers, and a second
 * replay gives the same bytes. It is no secret: whoever aims all connections at one part has made
 * the other workers idle, and has the dialogues of these for one another, nothing else.
 */
#define FLOW_PARTS 64U

void flow_parts_init(struct flow_hash *parts);

/* The part of a key, both directions alike: 0 .. FLOW_PARTS - 1. */
unsigned flow_part(const struct flow_hash *parts, const struct flow_key *key);

bool flow_key_equal(const struct flow_key *a, const struct flow_key *b);

#endif
