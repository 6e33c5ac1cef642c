/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/siphash.h"

#include <string.h>

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v2 = rotate_left(s->v2, 32);
}

static inline void sip_word(struct sip_state *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/* One load: gcc does not make one of eight loads of a byte, of which this is the whole cost. */
static inline uint64_t load_le64(const uint8_t *bytes)
{
	uint64_t word;
	memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

uint64_t siphash(const struct siphash_key *key, struct span bytes)
{
	struct sip_state s = {
	    .v0 = key->k0 ^ 0x736f6d6570736575,
	    .v1 = key->k1 ^ 0x646f72616e646f6d,
	    .v2 = key->k0 ^ 0x6c7967656e657261,
	    .v3 = key->k1 ^ 0x7465646279746573,
	};
	size_t at = 0;
	for (; at + 8 <= bytes.len; at += 8) {
		sip_word(&s, load_le64(bytes.ptr + at));
	}
	uint64_t last = (uint64_t)(bytes.len & 0xff) << 56;
	for (unsigned i = 0; at < bytes.len; at++, i++)
		last |= (uint64_t)bytes.ptr[at] << (8 * i);
	sip_word(&s, last);
	s.v2 ^= 0xff;
	for (unsigned i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
