/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL mechanisms by name, and the account name in an exchange, nothing else of it: that is asked
 * only where account names may be shown.
 */
#ifndef DECODERS_SASL_H
#define DECODERS_SASL_H

#include "decoders/span.h"

#define SASL_ACCOUNT_MAX 128

/*
 * The account in the answer number step (0: the initial response or the first
 * answer) of an exchange: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195),
 * XOAUTH2 and OAUTHBEARER (RFC 7628). Returns its length, 0 when the answer
 * holds none. The decoded answer is wiped before return.
 */
size_t sasl_account(struct span mechanism, unsigned step, struct span answer,
		    char account[SASL_ACCOUNT_MAX]);

/* Whether LOGIN's challenge, the text of a 334, asks for the account: "Username:", "User Name". */
bool sasl_asks_account(struct span challenge);

/* What a client sends by a mechanism. */
enum sasl_sends {
	SASL_SENDS_SECRET,   /* the password, or a bearer token */
	SASL_SENDS_PROOF,    /* that it has the secret: an answer to a challenge, a ticket */
	SASL_SENDS_IDENTITY, /* who it wants to be; the proof lies elsewhere (RFC 4422 A) */
	SASL_SENDS_TRACE,    /* that it is nobody, and what it likes to add (RFC 4505) */
};

/* A mechanism (RFC 4422) that is known by name; see sasl_mechanisms.def. */
struct sasl_mechanism {
	const char *name; /* upper case, as it may be shown */
	size_t len;
	enum sasl_sends sends;
};

/* The mechanism of that name in any case, or NULL. */
const struct sasl_mechanism *sasl_mechanism_find(struct span name);

#endif
