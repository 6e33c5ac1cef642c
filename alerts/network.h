/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and numbers as people write them, for every list that names them. */
#ifndef ALERTS_NETWORK_H
#define ALERTS_NETWORK_H

#include "decoders/addr.h"
#include "decoders/span.h"

struct network {
	struct ip_addr addr; /* version 0: any address */
	unsigned prefix_len; /* bits that count; the others of addr are 0 */
};

/* At most 6 decimal digits, up to max. False, and *number as before: it is none. */
bool number_parse(struct span text, unsigned max, unsigned *number);

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32" (RFC 4632, RFC 4291 2.3). */
bool network_parse(struct span text, struct network *network);

bool network_covers(const struct network *network, const struct ip_addr *addr);

#endif
