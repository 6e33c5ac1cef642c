/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account name in a SASL exchange, and nothing else of it. Asked only
 * where account names may be shown.
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

#endif
