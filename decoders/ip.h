/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 (RFC 791) and IPv6 (RFC 8200) headers, extension headers included.
 *
 * Header checksums are not verified: capture on a sending host sees them before
 * the hardware fills them in.
 */
#ifndef DECODERS_IP_H
#define DECODERS_IP_H

#include "decoders/addr.h"
#include "decoders/layer.h"

/* Protocol numbers (IANA) that are acted upon. */
enum ip_protocol {
	IP_PROTOCOL_IPV4 = 4,
	IP_PROTOCOL_TCP = 6,
	IP_PROTOCOL_UDP = 17,
	IP_PROTOCOL_IPV6 = 41,
	IP_PROTOCOL_GRE = 47,
	IP_PROTOCOL_AH = 51,
	IP_PROTOCOL_ETHERIP = 97,
	IP_PROTOCOL_MPLS = 137,
};

struct ip_datagram {
	struct ip_addr src, dst; /* dst: the last stop, when a routing header names it */
	uint8_t ttl;             /* or hop limit */
	uint8_t protocol;        /* of payload, behind any extension headers */
	bool is_fragment;        /* payload is a part only; never of an atomic fragment */
	bool more_fragments;
	uint32_t fragment_id;
	uint32_t fragment_offset; /* bytes */
	struct span payload;      /* as captured, without padding behind the datagram */
	uint32_t payload_len;     /* as sent */
};

/*
 * Reads the header and, unless it is a fragment, all extension headers. A
 * datagram longer than the layer is malformed, as it is to the receiver,
 * unless the layer is known to be cut. A length of 0, which segmentation
 * offload leaves, means the rest of the layer.
 */
enum parse_result ip_parse(const struct layer *layer, struct ip_datagram *datagram);

/*
 * Passes over the extension headers (IPv4: AH) that payload begins with. To be
 * called again after a reassembly put payload, protocol and is_fragment right.
 */
enum parse_result ip_skip_extensions(struct ip_datagram *datagram);

#endif
