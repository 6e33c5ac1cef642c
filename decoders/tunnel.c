/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tunnel.h"

enum { CONTROL_WORD = 4, ETHERNET_HEADER = 14 };

static bool is_frame_type(uint16_t ethertype)
{
	switch (ethertype) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_MPLS:
	case ETHERTYPE_PPPOE:
		return true;
	default:
		return false;
	}
}

/* Whether an Ethernet header at this place would have a type that is read here. */
static bool frame_at(struct span bytes, size_t at)
{
	return bytes.len >= at + ETHERNET_HEADER && is_frame_type(bytes_u16(bytes.ptr + at + 12));
}

enum parse_result tunnel_mpls(struct layer *layer)
{
	struct cursor c = cursor_of(layer->bytes);
	uint32_t entry;
	do {
		entry = cursor_u32(&c);
		if (c.failed)
			return layer_short(layer);
	} while ((entry & 0x100) == 0); /* bottom of stack */

	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	if (result != PARSE_DONE)
		return result;
	struct span bytes = layer->bytes;
	if (bytes.len < CONTROL_WORD + ETHERNET_HEADER && bytes.len < layer->wire_len)
		return PARSE_MORE; /* too little is left to guess from */
	if (bytes.len == 0)
		return PARSE_MALFORMED;

	/*
	 * A MAC address may begin like an IP header, but then a frame's type is in
	 * its place and the length in the "header" is not. A tagged frame without
	 * control word has a type where one with a control word has it, too: the
	 * form without is looked for first.
	 */
	uint8_t first = bytes.ptr[0];
	bool like_ip = first >> 4 == 6 || (first >> 4 == 4 && (first & 0x0f) >= 5);
	if (like_ip && !(frame_at(bytes, 0) && bytes_u16(bytes.ptr + 2) > layer->wire_len))
		layer->kind = LAYER_IP;
	else if (frame_at(bytes, 0))
		layer->kind = LAYER_ETHERNET;
	else if (first >> 4 == 0 && frame_at(bytes, CONTROL_WORD)) {
		c = cursor_of(bytes);
		cursor_skip(&c, CONTROL_WORD);
		return layer_enter(layer, &c, LAYER_ETHERNET);
	}
	return PARSE_DONE;
}

/* ERSPAN (draft-foschiano-erspan): II when GRE is numbered, else I, which has no header. */
static enum parse_result erspan_1_2(struct layer *layer, struct cursor *c, bool numbered)
{
	if (numbered) {
		cursor_skip(c, 2); /* version, VLAN of the port */
		layer->cut |= (cursor_u16(c) & 0x0400) != 0;
		cursor_skip(c, 4);
	}
	return layer_enter(layer, c, LAYER_ETHERNET);
}

static enum parse_result erspan_3(struct layer *layer, struct cursor *c)
{
	cursor_skip(c, 2);
	bool cut = (cursor_u16(c) & 0x0400) != 0;
	cursor_skip(c, 6); /* time, security group */
	uint16_t flags = cursor_u16(c);
	if ((flags & 1) != 0)
		cursor_skip(c, 8); /* platform subheader */
	layer->cut |= cut;
	/* frame type: 0 Ethernet, 2 IP */
	return layer_enter(layer, c, (flags >> 10 & 0x1f) == 2 ? LAYER_IP : LAYER_ETHERNET);
}

/* RFC 2637 4.1; an acknowledgement alone carries nothing. */
static enum parse_result gre_pptp(struct layer *layer, struct cursor *c, uint16_t flags)
{
	uint16_t length = cursor_u16(c);
	cursor_skip(c, 2); /* call id */
	if ((flags & 0x1000) == 0)
		return layer_other(layer);
	cursor_skip(c, 4);
	if ((flags & 0x0080) != 0)
		cursor_skip(c, 4);
	enum parse_result result = layer_enter(layer, c, LAYER_PPP);
	if (result == PARSE_DONE)
		layer_trim(layer, length);
	return result;
}

enum parse_result tunnel_gre(struct layer *layer, struct vlan_ids *vlan)
{
	enum {
		GRE_CHECKSUM = 0x8000,
		GRE_ROUTING = 0x4000,
		GRE_KEY = 0x2000,
		GRE_SEQUENCE = 0x1000,
		GRE_VERSION = 0x0007,
	};

	struct cursor c = cursor_of(layer->bytes);
	uint16_t flags = cursor_u16(&c);
	uint16_t protocol = cursor_u16(&c);
	if (c.failed)
		return layer_short(layer);
	if ((flags & GRE_VERSION) == 1 && protocol == ETHERTYPE_PPP)
		return gre_pptp(layer, &c, flags);
	if ((flags & GRE_VERSION) != 0)
		return layer_other(layer);

	if ((flags & (GRE_CHECKSUM | GRE_ROUTING)) != 0)
		cursor_skip(&c, 4);
	if ((flags & GRE_KEY) != 0)
		cursor_skip(&c, 4);
	if ((flags & GRE_SEQUENCE) != 0)
		cursor_skip(&c, 4);
	if ((flags & GRE_ROUTING) != 0) {
		uint16_t family;
		uint8_t length;
		do { /* source route entries until an empty one */
			family = cursor_u16(&c);
			cursor_skip(&c, 1);
			length = cursor_u8(&c);
			cursor_skip(&c, length);
		} while (!c.failed && (family != 0 || length != 0));
	}
	if (c.failed)
		return layer_short(layer);

	switch (protocol) {
	case 0x88be:
		return erspan_1_2(layer, &c, (flags & GRE_SEQUENCE) != 0);
	case 0x22eb:
		return erspan_3(layer, &c);
	case 0x883e: /* WCCP: version 2 puts a redirect header before the packet */
		if (c.left > 0 && c.ptr[0] >> 4 != 4)
			cursor_skip(&c, 4);
		return layer_enter(layer, &c, LAYER_IP);
	default:
		if (protocol <= 1500)
			return layer_other(layer);
		return link_ethertype(layer, &c, protocol, vlan);
	}
}

enum parse_result tunnel_etherip(struct layer *layer)
{
	struct cursor c = cursor_of(layer->bytes);
	uint16_t version = cursor_u16(&c);
	if (!c.failed && version != 0x3000)
		return layer_other(layer);
	return layer_enter(layer, &c, LAYER_ETHERNET);
}

static enum parse_result vxlan(struct layer *layer)
{
	struct cursor c = cursor_of(layer->bytes);
	uint8_t flags = cursor_u8(&c);
	cursor_skip(&c, 7);
	if (!c.failed && (flags & 0x08) == 0)
		return layer_other(layer);
	return layer_enter(layer, &c, LAYER_ETHERNET);
}

/* draft-ietf-nvo3-vxlan-gpe: the last reserved byte before the VNI names what follows. */
static enum parse_result vxlan_gpe(struct layer *layer)
{
	struct cursor c = cursor_of(layer->bytes);
	uint8_t flags = cursor_u8(&c);
	cursor_skip(&c, 2);
	uint8_t next = cursor_u8(&c);
	cursor_skip(&c, 4);
	if (c.failed)
		return layer_short(layer);
	if ((flags & 0x08) == 0)
		return layer_other(layer);
	if ((flags & 0x04) == 0 || next == 3)
		return layer_enter(layer, &c, LAYER_ETHERNET);
	if (next == 1 || next == 2)
		return layer_enter(layer, &c, LAYER_IP);
	return next == 5 ? layer_enter(layer, &c, LAYER_MPLS) : layer_other(layer);
}

static enum parse_result geneve(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	uint8_t first = cursor_u8(&c);
	cursor_skip(&c, 1);
	uint16_t protocol = cursor_u16(&c);
	cursor_skip(&c, 4); /* VNI */
	cursor_skip(&c, (first & 0x3fU) * 4U);
	if (c.failed)
		return layer_short(layer);
	if (first >> 6 != 0 || protocol <= 1500)
		return layer_other(layer);
	return link_ethertype(layer, &c, protocol, vlan);
}

/* GTP version 1, user data only. */
static enum parse_result gtp_u(struct layer *layer)
{
	enum { GTP_G_PDU = 255 };

	struct cursor c = cursor_of(layer->bytes);
	uint8_t flags = cursor_u8(&c);
	uint8_t type = cursor_u8(&c);
	cursor_skip(&c, 6); /* length, tunnel */
	if (c.failed)
		return layer_short(layer);
	if (flags >> 4 != 3 || type != GTP_G_PDU)
		return layer_other(layer);
	if ((flags & 0x07) != 0) {
		cursor_skip(&c, 3); /* sequence, N-PDU number: there when any flag is set */
		uint8_t extension = cursor_u8(&c);
		while (extension != 0 && !c.failed) {
			uint8_t length = cursor_u8(&c);
			if (!c.failed && length == 0)
				return layer_other(layer);
			cursor_skip(&c, length * 4U - 2U);
			extension = cursor_u8(&c);
		}
	}
	return layer_enter(layer, &c, LAYER_IP);
}

/* TaZmen Sniffer Protocol: how MikroTik routers send a mirror. */
static enum parse_result tzsp(struct layer *layer)
{
	enum { TZSP_TAG_PADDING = 0, TZSP_TAG_END = 1 };

	struct cursor c = cursor_of(layer->bytes);
	uint8_t version = cursor_u8(&c);
	uint8_t type = cursor_u8(&c);
	uint16_t protocol = cursor_u16(&c);
	if (c.failed)
		return layer_short(layer);
	if (version != 1 || type > 1 || protocol != 1)
		return layer_other(layer);
	for (;;) {
		uint8_t tag = cursor_u8(&c);
		if (c.failed || tag == TZSP_TAG_END)
			return layer_enter(layer, &c, LAYER_ETHERNET);
		if (tag != TZSP_TAG_PADDING)
			cursor_skip(&c, cursor_u8(&c));
	}
}

enum parse_result tunnel_udp(struct layer *layer, uint16_t dst_port, struct vlan_ids *vlan)
{
	switch (dst_port) {
	case 4789:
	case 8472: /* what Linux used before the number was assigned, and still does by default */
		return vxlan(layer);
	case 4790:
		return vxlan_gpe(layer);
	case 6081:
		return geneve(layer, vlan);
	case 6635:
		layer->kind = LAYER_MPLS;
		return PARSE_DONE;
	case 2152:
		return gtp_u(layer);
	case 37008:
		return tzsp(layer);
	default:
		return layer_other(layer);
	}
}
