/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Community ID version 1, seed 0, of a TCP connection: the same text in every
 * tool that saw it (https://github.com/corelight/community-id-spec). Both
 * directions have the same one. It is made of the innermost addresses; VLAN
 * tags and tunnels are no part of it.
 */
#ifndef ALERTS_COMMUNITY_ID_H
#define ALERTS_COMMUNITY_ID_H

#include "decoders/addr.h"
#include "decoders/digest.h"

#define COMMUNITY_ID_TEXT 31 /* "1:", 28 characters of base64, NUL */

/* False, with an empty text, when the address families differ or SHA-1 is refused. */
bool community_id_text(struct digester *digester, const struct endpoint *a,
		       const struct endpoint *b, char text[COMMUNITY_ID_TEXT]);

#endif
