/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link layers: from a captured frame to the network layer inside it.
 *
 * All decoders here take a layer whose bytes begin with their header and turn
 * it into the next one; the layer is unchanged unless the result is PARSE_DONE.
 * Frames that carry nothing for us (ARP, 802.11 management, encrypted 802.11)
 * end as LAYER_OTHER.
 */
#ifndef DECODERS_LINK_H
#define DECODERS_LINK_H

#include "decoders/layer.h"

/* The link types that are read, by their number in capture files. */
enum link_type {
#define LINK_TYPE(number, name, decoder) LINKTYPE_##name = (number),
#include "decoders/link_types.def"
#undef LINK_TYPE
};

/* EtherTypes (IEEE registry) that more than one decoder knows. */
enum ethertype {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_TEB = 0x6558, /* transparent Ethernet bridging, RFC 1701 */
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_PPP = 0x880b,
	ETHERTYPE_MPLS = 0x8847,
	ETHERTYPE_MPLS_UPSTREAM = 0x8848,
	ETHERTYPE_PPPOE = 0x8864,
	ETHERTYPE_QINQ = 0x88a8,
};

/* The name without LINKTYPE_, or NULL when frames of this type are not read. */
const char *link_type_name(uint32_t link_type);

/*
 * Reads the outermost header of a frame. False when the link type is not
 * known; *result is set otherwise.
 */
bool link_decode(uint32_t link_type, struct layer *layer, struct vlan_ids *vlan,
		 enum parse_result *result);

/* Ethernet II, IEEE 802.3 with LLC/SNAP, any tags. Also what tunnels carry. */
enum parse_result link_ethernet(struct layer *layer, struct vlan_ids *vlan);

/* LLC (IEEE 802.2), with SNAP (RFC 1042). */
enum parse_result link_llc(struct layer *layer, struct vlan_ids *vlan);

/* PPP (RFC 1661), address and control bytes and protocol field compressed or not. */
enum parse_result link_ppp(struct layer *layer, struct vlan_ids *vlan);

/* PPPoE session (RFC 2516), from its version field on. */
enum parse_result link_pppoe(struct layer *layer, struct vlan_ids *vlan);

/*
 * Goes on to what an EtherType says of the bytes at the cursor: tags are read
 * and passed over, PPPoE and LLC opened. The cursor began at the layer's first byte.
 */
enum parse_result link_ethertype(struct layer *layer, struct cursor *c, uint16_t ethertype,
				 struct vlan_ids *vlan);

/* IEEE 802.11 data frames that are not protected, bare or behind a capture's header. */
enum parse_result link_wifi(struct layer *layer, struct vlan_ids *vlan);
enum parse_result link_wifi_radiotap(struct layer *layer, struct vlan_ids *vlan);
enum parse_result link_wifi_prism(struct layer *layer, struct vlan_ids *vlan);
enum parse_result link_wifi_avs(struct layer *layer, struct vlan_ids *vlan);

/* The first subframe of an A-MSDU. */
enum parse_result link_subframe(struct layer *layer, struct vlan_ids *vlan);

/*
 * Several packets in one frame: true if it is an 802.11 aggregate (A-MSDU). A decoder gives
 * one segment for a frame, so whoever feeds one takes the aggregate apart before: into frames
 * of LINKTYPE_AGGREGATED, each a subframe from its LLC header on.
 */
#define LINKTYPE_AGGREGATED LINKTYPE_ATM_RFC1483

bool link_aggregate(uint32_t link_type, unsigned fcs_len, struct span frame, uint32_t wire_len,
		    struct layer *aggregate);

/* The next subframe, whose bytes lie in the frame; false when none is left. */
bool link_aggregate_next(struct layer *aggregate, struct span *bytes, uint32_t *wire_len);

#endif
