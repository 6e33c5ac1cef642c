/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3: a hash that whoever lacks the key cannot aim. SipHash (Aumasson, Bernstein 2012)
 * with fewer rounds, for tables, where nobody sees a hash; as in Python (3.11 and later) and Rust.
 */
#ifndef DECODERS_SIPHASH_H
#define DECODERS_SIPHASH_H

#include "decoders/span.h"

struct siphash_key {
	uint64_t k0, k1; /* random, per process; fixed where a run has to be repeatable */
};

uint64_t siphash(const struct siphash_key *key, struct span bytes);

#endif
