/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/link.h"

const char *link_type_name(uint32_t link_type)
{
	switch (link_type) {
#define LINK_TYPE(number, name, decoder)                                                           \
	case (number):                                                                             \
		return #name;
#include "decoders/link_types.def"
#undef LINK_TYPE
	default:
		return NULL;
	}
}

/* Tags that say nothing of interest here: the bytes between their EtherType and the next. */
static size_t plain_tag_len(uint16_t ethertype)
{
	switch (ethertype) {
	case 0x8926: /* VN-Tag (Cisco, 802.1Qbh) */
		return 4;
	case 0x893f: /* E-TAG (IEEE 802.1BR) */
	case 0x8909: /* Cisco MetaData: security group tag */
		return 6;
	default:
		return 0;
	}
}

static bool is_vlan_tag(uint16_t ethertype)
{
	/* 0x9100 and 0x9200: stacked tags of before IEEE 802.1ad */
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ || ethertype == 0x9100 ||
	       ethertype == 0x9200;
}

static void vlan_add(struct vlan_ids *ids, uint16_t id)
{
	if (id == 0)
		return;
	if (ids->outer == VLAN_NONE)
		ids->outer = id;
	else if (ids->inner == VLAN_NONE)
		ids->inner = id;
}

enum parse_result link_ethertype(struct layer *layer, struct cursor *c, uint16_t ethertype,
				 struct vlan_ids *vlan)
{
	struct vlan_ids seen = {.outer = VLAN_NONE, .inner = VLAN_NONE};
	size_t skip;
	enum parse_result result;

	for (;;) {
		if (is_vlan_tag(ethertype)) {
			vlan_add(&seen, cursor_u16(c) & 0x0fff);
		} else if ((skip = plain_tag_len(ethertype)) > 0) {
			cursor_skip(c, skip);
		} else {
			break;
		}
		ethertype = cursor_u16(c);
		if (c->failed)
			return layer_short(layer);
	}
	if (seen.outer != VLAN_NONE)
		*vlan = seen;

	switch (ethertype) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
		return layer_enter(layer, c, LAYER_IP);
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_UPSTREAM:
		return layer_enter(layer, c, LAYER_MPLS);
	case ETHERTYPE_PPPOE:
		result = layer_enter(layer, c, LAYER_PPP);
		return result == PARSE_DONE ? link_pppoe(layer, vlan) : result;
	case ETHERTYPE_PPP:
		return layer_enter(layer, c, LAYER_PPP);
	case ETHERTYPE_TEB:
		return layer_enter(layer, c, LAYER_ETHERNET);
	case 0x88e7: /* I-TAG (IEEE 802.1ah): flags and service id, then the customer's frame */
		cursor_skip(c, 4);
		return layer_enter(layer, c, LAYER_ETHERNET);
	case 0x8870: /* LLC in a frame too long for a length field */
		result = layer_enter(layer, c, LAYER_OTHER);
		return result == PARSE_DONE ? link_llc(layer, vlan) : result;
	default:
		break;
	}
	if (ethertype > 1500)
		return layer_other(layer);

	/* IEEE 802.3: a length, then LLC. One beyond the frame's end trims nothing. */
	result = layer_enter(layer, c, LAYER_OTHER);
	if (result != PARSE_DONE)
		return result;
	layer_trim(layer, ethertype);
	return link_llc(layer, vlan);
}

enum parse_result link_ethernet(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 12);
	uint16_t ethertype = cursor_u16(&c);
	if (c.failed)
		return layer_short(layer);
	return link_ethertype(layer, &c, ethertype, vlan);
}

enum parse_result link_llc(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	uint32_t head = cursor_u24(&c); /* DSAP, SSAP, control */
	if (c.failed)
		return layer_short(layer);
	if (head == 0x060603) /* the SAP of IP, RFC 948 */
		return layer_enter(layer, &c, LAYER_IP);
	if (head != 0xaaaa03)
		return layer_other(layer);

	uint32_t oui = cursor_u24(&c);
	uint16_t type = cursor_u16(&c);
	if (c.failed)
		return layer_short(layer);
	if (oui == 0x0080c2 && (type == 0x0001 || type == 0x0007)) {
		cursor_skip(&c, 2); /* RFC 2684 5.2: padding before a bridged Ethernet frame */
		return layer_enter(layer, &c, LAYER_ETHERNET);
	}
	/* RFC 1042, and the bridge tunnel of IEEE 802.1H; a length makes no sense here. */
	if ((oui != 0 && oui != 0x0000f8) || type <= 1500)
		return layer_other(layer);
	return link_ethertype(layer, &c, type, vlan);
}

enum parse_result link_ppp(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	struct cursor c = cursor_of(layer->bytes);
	/* RFC 1661 2, 6.5, 6.6: all-stations address, control, and a first octet may be left out.
	 */
	uint16_t protocol = cursor_u8(&c);
	if (protocol == 0xff) {
		cursor_skip(&c, 1);
		protocol = cursor_u8(&c);
	}
	if ((protocol & 1) == 0)
		protocol = (uint16_t)(protocol << 8 | cursor_u8(&c));
	if (c.failed)
		return layer_short(layer);

	switch (protocol) {
	case 0x0021: /* RFC 1332 */
	case 0x0057: /* RFC 5072 */
		return layer_enter(layer, &c, LAYER_IP);
	case 0x0281: /* RFC 3032 4.3 */
	case 0x0283:
		return layer_enter(layer, &c, LAYER_MPLS);
	default:
		return layer_other(layer);
	}
}

enum parse_result link_pppoe(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	struct cursor c = cursor_of(layer->bytes);
	uint8_t version_type = cursor_u8(&c);
	uint8_t code = cursor_u8(&c);
	cursor_skip(&c, 2); /* session id */
	uint16_t length = cursor_u16(&c);
	if (c.failed)
		return layer_short(layer);
	if (version_type != 0x11)
		return PARSE_MALFORMED;
	if (code != 0)
		return layer_other(layer);
	enum parse_result result = layer_enter(layer, &c, LAYER_PPP);
	if (result == PARSE_DONE)
		layer_trim(layer, length);
	return result;
}

static enum parse_result link_cisco_hdlc(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 2); /* address, control */
	uint16_t ethertype = cursor_u16(&c);
	if (c.failed)
		return layer_short(layer);
	if (ethertype <= 1500)
		return layer_other(layer);
	return link_ethertype(layer, &c, ethertype, vlan);
}

static enum parse_result link_ppp_hdlc(struct layer *layer, struct vlan_ids *vlan)
{
	uint8_t address = layer->bytes.len > 0 ? layer->bytes.ptr[0] : 0;
	if (address == 0x0f || address == 0x8f) /* Cisco's unicast and multicast, no PPP */
		return link_cisco_hdlc(layer, vlan);
	return link_ppp(layer, vlan);
}

/* One byte that says sent or received stands before the frame. */
static enum parse_result skip_direction(struct layer *layer)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 1);
	return layer_enter(layer, &c, layer->kind);
}

static enum parse_result link_ppp_with_dir(struct layer *layer, struct vlan_ids *vlan)
{
	enum parse_result result = skip_direction(layer);
	return result == PARSE_DONE ? link_ppp_hdlc(layer, vlan) : result;
}

static enum parse_result link_cisco_hdlc_with_dir(struct layer *layer, struct vlan_ids *vlan)
{
	enum parse_result result = skip_direction(layer);
	return result == PARSE_DONE ? link_cisco_hdlc(layer, vlan) : result;
}

static enum parse_result link_raw(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	layer->kind = LAYER_IP;
	return PARSE_DONE;
}

static enum parse_result link_mpls(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	layer->kind = LAYER_MPLS;
	return PARSE_DONE;
}

/* Whether an address family means IP: AF_INET is 2 everywhere, AF_INET6 is not. */
static bool family_is_ip(uint32_t family)
{
	switch (family) {
	case 2:
	case 10: /* Linux */
	case 23: /* Windows */
	case 24: /* NetBSD, OpenBSD, BSD/OS */
	case 26: /* illumos, Solaris */
	case 28: /* FreeBSD, DragonFly */
	case 30: /* Darwin */
		return true;
	default:
		return false;
	}
}

/* BSD loopback: an address family in the capturing machine's byte order (LOOP: big-endian). */
static enum parse_result link_loopback(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	struct cursor c = cursor_of(layer->bytes);
	uint32_t family = cursor_u32(&c);
	if (family > 0xffff)
		family = __builtin_bswap32(family);
	if (!c.failed && !family_is_ip(family))
		return layer_other(layer);
	return layer_enter(layer, &c, LAYER_IP);
}

/* OpenBSD's IPsec interface: family, SPI, flags, all in host order. */
static enum parse_result link_enc(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	struct cursor c = cursor_of(layer->bytes);
	uint32_t family = cursor_u32(&c);
	if (family > 0xffff)
		family = __builtin_bswap32(family);
	cursor_skip(&c, 8);
	if (!c.failed && !family_is_ip(family))
		return layer_other(layer);
	return layer_enter(layer, &c, LAYER_IP);
}

/* The BSD packet filter's log: its length without padding, the address family, more. */
static enum parse_result link_pflog(struct layer *layer, struct vlan_ids *vlan)
{
	(void)vlan;
	struct cursor c = cursor_of(layer->bytes);
	size_t length = cursor_u8(&c);
	uint8_t family = cursor_u8(&c);
	if (!c.failed && length < 2)
		return PARSE_MALFORMED;
	if (!c.failed)
		cursor_skip(&c, (length + 3) / 4 * 4 - 2);
	if (!c.failed && !family_is_ip(family))
		return layer_other(layer);
	return layer_enter(layer, &c, LAYER_IP);
}

/* What the protocol field of a Linux cooked frame says of the bytes at the cursor. */
static enum parse_result linux_protocol(struct layer *layer, struct cursor *c, uint16_t arphrd,
					uint16_t protocol, struct vlan_ids *vlan)
{
	if (c->failed)
		return layer_short(layer);
	/* netlink, 802.11 with a capture's header: no EtherType in protocol */
	if (arphrd == 824 || (arphrd >= 801 && arphrd <= 803))
		return layer_other(layer);
	if (protocol == 0x0004) { /* LINUX_SLL_P_802_2 */
		enum parse_result result = layer_enter(layer, c, LAYER_OTHER);
		return result == PARSE_DONE ? link_llc(layer, vlan) : result;
	}
	if (protocol <= 1500)
		return layer_other(layer);
	return link_ethertype(layer, c, protocol, vlan);
}

static enum parse_result link_linux_sll(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 2); /* packet type */
	uint16_t arphrd = cursor_u16(&c);
	cursor_skip(&c, 10); /* address */
	uint16_t protocol = cursor_u16(&c);
	return linux_protocol(layer, &c, arphrd, protocol, vlan);
}

static enum parse_result link_linux_sll2(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	uint16_t protocol = cursor_u16(&c);
	cursor_skip(&c, 6); /* reserved, interface */
	uint16_t arphrd = cursor_u16(&c);
	cursor_skip(&c, 10); /* packet type, address */
	return linux_protocol(layer, &c, arphrd, protocol, vlan);
}

static enum parse_result link_firewire(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 16); /* two EUI-64 */
	uint16_t ethertype = cursor_u16(&c);
	return c.failed ? layer_short(layer) : link_ethertype(layer, &c, ethertype, vlan);
}

static enum parse_result link_ipoib(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 40); /* global routing header */
	uint16_t ethertype = cursor_u16(&c);
	cursor_skip(&c, 2); /* RFC 4391 6: reserved */
	return c.failed ? layer_short(layer) : link_ethertype(layer, &c, ethertype, vlan);
}

/*
 * Netfilter's log: family, version, resource id, then attributes of which one
 * is the packet. Lengths and types are in the byte order of the machine that
 * captured: whichever makes the first attribute fit.
 */
static enum parse_result link_nflog(struct layer *layer, struct vlan_ids *vlan)
{
	enum { NFULA_PAYLOAD = 9 };

	(void)vlan;
	struct cursor c = cursor_of(layer->bytes);
	uint8_t family = cursor_u8(&c);
	uint8_t version = cursor_u8(&c);
	cursor_skip(&c, 2);
	if (c.failed)
		return layer_short(layer);
	if (version != 0 || !family_is_ip(family))
		return layer_other(layer);

	struct cursor probe = c;
	bool swapped = cursor_u16le(&probe) > layer->wire_len;
	while (c.left > 0) {
		size_t length = swapped ? cursor_u16(&c) : cursor_u16le(&c);
		uint16_t type = swapped ? cursor_u16(&c) : cursor_u16le(&c);
		if (c.failed)
			return layer_short(layer);
		if (length < 4)
			return PARSE_MALFORMED;
		if ((type & 0x7fff) == NFULA_PAYLOAD) {
			enum parse_result result = layer_enter(layer, &c, LAYER_IP);
			if (result == PARSE_DONE)
				layer_trim(layer, length - 4);
			return result;
		}
		cursor_skip(&c, (length + 3) / 4 * 4 - 4);
		if (c.failed)
			return layer_short(layer);
	}
	return layer->bytes.len < layer->wire_len ? PARSE_MORE : layer_other(layer);
}

/* The frame behind a PPI header, which names its link type; never another PPI. */
static enum parse_result link_ppi(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 2); /* version, flags */
	size_t length = cursor_u16le(&c);
	uint32_t inner = cursor_u32le(&c);
	if (c.failed)
		return layer_short(layer);
	if (length < 8)
		return PARSE_MALFORMED;
	if (inner == LINKTYPE_PPI)
		return layer_other(layer);
	cursor_skip(&c, length - 8);
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	if (result == PARSE_DONE && !link_decode(inner, layer, vlan, &result))
		return layer_other(layer);
	return result;
}

bool link_decode(uint32_t link_type, struct layer *layer, struct vlan_ids *vlan,
		 enum parse_result *result)
{
	switch (link_type) {
#define LINK_TYPE(number, name, decoder)                                                           \
	case (number):                                                                             \
		*result = link_##decoder(layer, vlan);                                             \
		return true;
#include "decoders/link_types.def"
#undef LINK_TYPE
	default:
		return false;
	}
}
