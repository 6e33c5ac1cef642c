/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the same session at two taps and compares what each of them saw.
 *
 * Two sessions at different taps are the same when they are the same
 * connection (client and server, address and port) and began within 5 s of
 * each other; or, where something between the taps ends the connection and
 * opens its own, when client name and greeting are equal, they began within
 * 5 s, and neither has another counterpart. Each session has one counterpart.
 *
 * Facts are compared once both sides have them and none is taken back later,
 * so a difference needs no waiting: STARTTLS offered, the reply to STARTTLS,
 * the server's certificate, and at the end whether it was asked for.
 */
#ifndef ALERTS_TAP_MATCH_H
#define ALERTS_TAP_MATCH_H

#include "alerts/observation.h"
#include "decoders/siphash.h"

/* The two sessions began at most so far apart. */
#define TAP_MATCH_NS (5 * INT64_C(1000000000))

enum tap_difference {
	TAP_SAME, /* or: nothing to compare yet */
	TAP_DIFFERS_OFFER,
	TAP_DIFFERS_REPLY,
	TAP_DIFFERS_CERTIFICATE,
	TAP_DIFFERS_REQUEST,
};

/* What one tap saw. */
struct tap_view {
	uint32_t tap;
	uint64_t session; /* session_facts.id */
	enum tri offered;
	uint16_t starttls_code;
	bool closed, has_certificate;
	enum tri requested;
	uint8_t certificate_sha256[32];
};

struct tap_divergence {
	enum tap_difference difference;
	bool proxied;                /* matched by names: two connections */
	struct tap_view here, there; /* of the session that was shown; of its counterpart */
};

struct tap_match;

/* cap: sessions that are remembered for comparison. NULL when out of memory. */
struct tap_match *tap_match_create(struct budget *budget, const struct siphash_key *key,
				   uint32_t cap);
void tap_match_destroy(struct tap_match *match); /* NULL is allowed */

uint64_t tap_match_evicted(const struct tap_match *match);

/*
 * Shows an observation. True, and *divergence written, when it is the first
 * that makes its session differ from its counterpart.
 */
bool tap_match_compare(struct tap_match *match, const struct observation *observation,
		       struct tap_divergence *divergence);

#endif
