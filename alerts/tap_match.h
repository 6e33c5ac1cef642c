/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the same session at two taps and compares what each of them saw.
 *
 * Two sessions at different taps are the same when they are the same
 * connection (client and server, address and port) and began within 30 s of
 * each other; or, where something between the taps ends the connection and
 * opens its own, when client name and greeting are equal and they began within
 * 5 s. Of several that would do, one to the same server, then one of the same
 * client, then the oldest is taken: sessions come by both taps in the same
 * order, whatever their clocks say. Each session has one counterpart.
 *
 * Facts are compared once both sides have them, and none is taken back later.
 * What was not seen is no difference, nor is a session that one tap did not see.
 */
#ifndef ALERTS_TAP_MATCH_H
#define ALERTS_TAP_MATCH_H

#include "alerts/observation.h"
#include "decoders/siphash.h"

/* The two sessions began at most so far apart, by names and as the same connection. */
#define TAP_MATCH_NS      (5 * INT64_C(1000000000))
#define TAP_CONNECTION_NS (30 * INT64_C(1000000000))

/* Capabilities as text, for people; longer lists are cut, but compared whole. */
#define TAP_CAPABILITIES 160

enum tap_difference {
	TAP_SAME, /* or: nothing to compare yet */
	TAP_DIFFERS_OFFER,
	TAP_DIFFERS_REPLY, /* to STARTTLS, or to EHLO */
	TAP_DIFFERS_CERTIFICATE,
	TAP_DIFFERS_GREETING,     /* overwritten at one */
	TAP_DIFFERS_INJECTION,    /* plaintext at the upgrade boundary at one only */
	TAP_DIFFERS_HELLO,        /* the hellos of client or server: TLS ends between the taps */
	TAP_DIFFERS_CAPABILITIES, /* others than STARTTLS */
	TAP_DIFFERS_COMMAND,      /* STARTTLS, or EHLO, arrived at one only */
	TAP_DIFFERENCES
};

/* What one tap saw. */
struct tap_view {
	uint32_t tap;
	uint64_t session; /* session_facts.id */
	enum tri offered;
	uint16_t starttls_code;
	bool closed, has_certificate, has_hellos;
	bool masked_command; /* the client's command arrived overwritten */
	enum tri requested;
	uint8_t ehlo_sent, ehlo_refused;
	uint8_t certificate_sha256[32];
	uint8_t ja3[16], ja3s[16];
	uint8_t hello_random[2][8];
	uint16_t offered_version, version;
	uint8_t injection; /* enum injection */
	bool greeting_masked;
	uint64_t capabilities_hash;
	uint8_t capabilities_len;
	char capabilities[TAP_CAPABILITIES];
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
