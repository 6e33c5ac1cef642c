/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly of IP fragments (RFC 791 3.2, RFC 8200 4.5).
 *
 * Of bytes that come twice the first version is kept; a second one that
 * differs is counted and marks the datagram, which is given out once more when it
 * was whole before. Memory comes from the budget and
 * is capped by bytes and by datagrams; at a cap the oldest datagram goes.
 */
#ifndef DECODERS_FRAG_H
#define DECODERS_FRAG_H

#include "decoders/addr.h"
#include "decoders/budget.h"
#include "decoders/parse.h"
#include "decoders/siphash.h"
#include "decoders/span.h"

/* Datagrams that stay, when they are whole, to be compared with fragments that come late. */
#define FRAG_WHOLE_MAX 16U

struct frag_limits {
	uint32_t max_datagrams; /* incomplete ones held at once; at least 1 */
	size_t max_bytes;       /* memory of them all, without the table itself */
	int64_t max_age_ns;     /* packet time that a datagram may wait for its rest */
};

struct frag_counters {
#define FRAG_COUNTER(name, meaning) uint64_t name;
#include "decoders/frag_counters.def"
#undef FRAG_COUNTER
};

/* What fragments of one datagram have in common. No padding: it is hashed as it stands. */
struct frag_key {
	uint8_t src[16], dst[16];
	uint32_t id;
	uint32_t place; /* where it was captured: each tap sees the datagram anew */
	uint16_t vlan_outer, vlan_inner;
	uint8_t version;
	uint8_t protocol; /* IPv4; 0 in IPv6, where the first fragment names it */
	uint8_t zero[2];
};

struct fragment {
	struct frag_key key;
	uint8_t protocol;   /* what this fragment says the datagram holds */
	bool more;          /* it is not the last */
	uint32_t offset;    /* bytes */
	struct span bytes;  /* captured */
	uint32_t bytes_len; /* sent */
	int64_t time_ns;    /* packet time */
};

struct frag_datagram {
	struct span bytes; /* valid until the next frag_add() that returns */
	uint8_t protocol;  /* from the fragment at offset 0 */
	bool conflict;     /* some fragment contradicted another */
};

struct frag_entry;

struct frag_table {
	struct frag_limits limits;
	struct siphash_key key;
	struct budget *budget;
	struct frag_counters counters;
	/* private */
	struct frag_entry *entries; /* limits.max_datagrams of them */
	uint32_t *buckets;
	uint32_t bucket_mask;
	uint32_t free_head;
	uint32_t oldest, newest;
	size_t bytes;                   /* held by incomplete datagrams */
	uint32_t whole[FRAG_WHOLE_MAX]; /* entries of whole datagrams, plus 1; 0: none */
	uint32_t whole_next;            /* the place of the next one */
	uint32_t given;                 /* the entry given out last, plus 1; 0: it is gone */
	uint8_t *done;                  /* its block, when it went during the call under hand */
	size_t done_size;
};

/* False when the budget has no room for the table. budget must outlive it. */
bool frag_init(struct frag_table *table, const struct frag_limits *limits,
	       const struct siphash_key *key, struct budget *budget);

void frag_free(struct frag_table *table);

/*
 * PARSE_DONE: *whole is set. PARSE_MORE: held, or dropped at a cap (counted).
 * PARSE_MALFORMED: no datagram can hold it. Bytes of an earlier whole datagram
 * may be the fragment's own: they stay until this call returns.
 */
enum parse_result frag_add(struct frag_table *table, const struct fragment *fragment,
			   struct frag_datagram *whole);

#endif
