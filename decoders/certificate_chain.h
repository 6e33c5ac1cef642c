/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the given CAs vouch for a chain: for the cache, which remembers the answer. */
#ifndef DECODERS_CERTIFICATE_CHAIN_H
#define DECODERS_CERTIFICATE_CHAIN_H

#include "decoders/certificate.h"

/* Certificates of a chain that are looked at: no CA needs more, few peers take more. */
#define CERTIFICATE_CHAIN_MAX 16

/* Good for packet times in [from, to), seconds since 1970. */
struct chain_judgement {
	int64_t from, to;
	uint32_t problems; /* SELF_SIGNED, NOT_ANCHORED or none */
};

/*
 * Verifies a chain of at most CERTIFICATE_CHAIN_MAX, leaf first, at a packet's time.
 * False when its leaf is no certificate, which is told elsewhere.
 */
bool certificate_anchors_judge(const struct certificate_anchors *anchors, const struct span *ders,
			       size_t count, int64_t time_s, struct chain_judgement *judgement);

#endif
