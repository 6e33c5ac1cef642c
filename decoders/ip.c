/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/ip.h"

enum {
	IPV4_HEADER_MIN = 20,
	IPV6_HEADER = 40,
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_OFFSET_MASK = 0x1fff,
	EXTENSION_HOP_BY_HOP = 0,
	EXTENSION_ROUTING = 43,
	EXTENSION_FRAGMENT = 44,
	EXTENSION_DESTINATION = 60,
	EXTENSION_MOBILITY = 135,
	EXTENSION_HIP = 139,
	EXTENSION_SHIM6 = 140,
	OPTION_PAD1 = 0,
	OPTION_JUMBO = 0xc2, /* RFC 2675 */
	/* No stack sends more; a packet made of nothing else costs no more than this. */
	MAX_EXTENSIONS = 32,
};

static void set_ipv4(struct ip_addr *addr, const uint8_t *bytes)
{
	*addr = (struct ip_addr){.version = 4};
	memcpy(addr->bytes, bytes, 4);
}

static void set_ipv6(struct ip_addr *addr, const uint8_t *bytes)
{
	memcpy(addr->bytes, bytes, 16);
	addr->version = 6;
}

static enum parse_result parse_ipv4(const struct layer *layer, struct ip_datagram *datagram)
{
	if (layer->bytes.len < IPV4_HEADER_MIN)
		return layer_short(layer);
	const uint8_t *header = layer->bytes.ptr;
	size_t header_len = (header[0] & 0x0fU) * 4U;
	size_t total = bytes_u16(header + 2);
	if (total == 0)
		total = layer->wire_len <= UINT32_MAX ? layer->wire_len : UINT32_MAX;
	if (header_len < IPV4_HEADER_MIN || total < header_len)
		return PARSE_MALFORMED;
	if (total > layer->wire_len && !layer->cut)
		return PARSE_MALFORMED;

	uint16_t fragment = bytes_u16(header + 6);
	set_ipv4(&datagram->src, header + 12);
	set_ipv4(&datagram->dst, header + 16);
	datagram->ttl = header[8];
	datagram->protocol = header[9];
	datagram->is_fragment = (fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) != 0;
	datagram->more_fragments = (fragment & IPV4_MORE_FRAGMENTS) != 0;
	datagram->fragment_id = bytes_u16(header + 4);
	datagram->fragment_offset = (fragment & IPV4_OFFSET_MASK) * 8U;
	datagram->payload = span_skip(span_head(layer->bytes, total), header_len);
	datagram->payload_len = (uint32_t)(total - header_len);
	if (datagram->is_fragment || datagram->protocol != IP_PROTOCOL_AH)
		return PARSE_DONE;
	return ip_skip_extensions(datagram);
}

/* The jumbo payload length in a hop-by-hop header at the payload's start, 0 without one. */
static uint32_t jumbo_length(struct span payload)
{
	struct cursor c = cursor_of(payload);
	cursor_skip(&c, 1);
	size_t len = (cursor_u8(&c) + 1U) * 8U;
	struct cursor options = cursor_sub(&c, len - 2);
	while (options.left > 0 && !options.failed) {
		uint8_t type = cursor_u8(&options);
		if (type == OPTION_PAD1)
			continue;
		uint8_t option_len = cursor_u8(&options);
		if (type == OPTION_JUMBO && option_len == 4)
			return cursor_u32(&options);
		cursor_skip(&options, option_len);
	}
	return 0;
}

static enum parse_result parse_ipv6(const struct layer *layer, struct ip_datagram *datagram)
{
	if (layer->bytes.len < IPV6_HEADER)
		return layer_short(layer);
	const uint8_t *header = layer->bytes.ptr;
	size_t room = layer->wire_len - IPV6_HEADER;
	size_t length = bytes_u16(header + 4);
	set_ipv6(&datagram->src, header + 8);
	set_ipv6(&datagram->dst, header + 24);
	datagram->ttl = header[7];
	datagram->protocol = header[6];
	datagram->is_fragment = false;
	datagram->more_fragments = false;
	datagram->fragment_id = 0;
	datagram->fragment_offset = 0;
	if (length == 0 && datagram->protocol == EXTENSION_HOP_BY_HOP)
		length = jumbo_length(span_skip(layer->bytes, IPV6_HEADER));
	if (length == 0)
		length = room <= UINT32_MAX ? room : UINT32_MAX;
	if (length > room && !layer->cut)
		return PARSE_MALFORMED;
	datagram->payload = span_head(span_skip(layer->bytes, IPV6_HEADER), length);
	datagram->payload_len = (uint32_t)length;
	return ip_skip_extensions(datagram);
}

enum parse_result ip_parse(const struct layer *layer, struct ip_datagram *datagram)
{
	if (layer->bytes.len == 0)
		return layer_short(layer);
	switch (layer->bytes.ptr[0] >> 4) {
	case 4:
		return parse_ipv4(layer, datagram);
	case 6:
		return parse_ipv6(layer, datagram);
	default:
		return PARSE_MALFORMED;
	}
}

/*
 * While segments are left, the header's own destination is a stop on the way:
 * the last one is first in a segment routing list (RFC 8754) and at the end of
 * the older types' lists (RFC 6275, RFC 5095).
 */
static void take_last_stop(struct ip_datagram *datagram, struct span header)
{
	uint8_t type = header.ptr[2], segments_left = header.ptr[3];
	if (segments_left == 0 || header.len < 8 + 16)
		return;
	if (type == 4)
		set_ipv6(&datagram->dst, header.ptr + 8);
	else if (type == 0 || type == 2)
		set_ipv6(&datagram->dst, header.ptr + header.len - 16);
}

/* The length of the extension header that begins with these bytes; 0: it is none. */
static size_t extension_len(const struct ip_datagram *datagram, uint8_t second_byte)
{
	if (datagram->protocol == IP_PROTOCOL_AH)
		return (second_byte + 2U) * 4U; /* RFC 4302 2.2 */
	if (datagram->src.version != 6)
		return 0;
	switch (datagram->protocol) {
	case EXTENSION_HOP_BY_HOP:
	case EXTENSION_ROUTING:
	case EXTENSION_DESTINATION:
	case EXTENSION_MOBILITY:
	case EXTENSION_HIP:
	case EXTENSION_SHIM6:
		return (second_byte + 1U) * 8U;
	case EXTENSION_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

enum parse_result ip_skip_extensions(struct ip_datagram *datagram)
{
	for (unsigned n = 0; extension_len(datagram, 0) != 0; n++) {
		struct span all = datagram->payload;
		if (n == MAX_EXTENSIONS)
			return PARSE_MALFORMED;
		if (all.len < 8)
			return datagram->payload_len < 8 ? PARSE_MALFORMED : PARSE_MORE;
		size_t len = extension_len(datagram, all.ptr[1]);
		if (len > datagram->payload_len)
			return PARSE_MALFORMED;
		if (len > all.len)
			return PARSE_MORE;

		uint8_t this_header = datagram->protocol;
		datagram->protocol = all.ptr[0];
		datagram->payload = span_skip(all, len);
		datagram->payload_len -= (uint32_t)len;
		if (this_header == EXTENSION_ROUTING)
			take_last_stop(datagram, span_head(all, len));
		if (this_header != EXTENSION_FRAGMENT)
			continue;
		uint16_t field = bytes_u16(all.ptr + 2);
		if ((field & 0xfff9) == 0)
			continue; /* atomic: a whole datagram, never mixed with others (RFC 6946) */
		datagram->is_fragment = true;
		datagram->more_fragments = (field & 1) != 0;
		datagram->fragment_offset = field & 0xfff8;
		datagram->fragment_id = bytes_u32(all.ptr + 4);
		return PARSE_DONE;
	}
	return PARSE_DONE;
}
