/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IEEE 802.11 frames, and the headers that captures put before them. Only data
 * frames that are not protected hold anything to read; a monitor that has the
 * key writes them so. All fields are little-endian.
 */
#include "decoders/link.h"

enum {
	FC_TYPE_MASK = 0x0c, /* first byte of frame control */
	FC_TYPE_DATA = 0x08,
	FC_SUBTYPE_QOS = 0x80,
	FC_SUBTYPE_NULL = 0x40, /* no data */
	FC_TO_DS = 0x01,        /* second byte */
	FC_FROM_DS = 0x02,
	FC_MORE_FRAGMENTS = 0x04,
	FC_PROTECTED = 0x40,
	FC_ORDER = 0x80,
	QOS_AMSDU = 0x80,
	SUBFRAME_HEADER = 14,
};

/* Leaves the header of an aggregate's subframe behind; the layer ends with the subframe. */
static enum parse_result enter_subframe(struct layer *layer)
{
	struct cursor c = cursor_of(layer->bytes);
	cursor_skip(&c, 12); /* addresses */
	uint16_t length = cursor_u16(&c);
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	if (result == PARSE_DONE)
		layer_trim(layer, length);
	return result;
}

enum parse_result link_subframe(struct layer *layer, struct vlan_ids *vlan)
{
	enum parse_result result = enter_subframe(layer);
	return result == PARSE_DONE ? link_llc(layer, vlan) : result;
}

bool link_aggregate(uint32_t link_type, unsigned fcs_len, struct span frame, uint32_t wire_len,
		    struct layer *aggregate)
{
	enum parse_result result = PARSE_DONE;
	struct vlan_ids vlan = {.outer = VLAN_NONE, .inner = VLAN_NONE};

	switch (link_type) {
	case LINKTYPE_IEEE802_11:
	case LINKTYPE_IEEE802_11_PRISM:
	case LINKTYPE_IEEE802_11_RADIOTAP:
	case LINKTYPE_IEEE802_11_AVS:
	case LINKTYPE_PPI:
		break;
	default:
		return false;
	}
	size_t sent = wire_len > frame.len ? wire_len : frame.len;
	sent = sent > fcs_len ? sent - fcs_len : 0;
	*aggregate = (struct layer){.bytes = span_head(frame, sent), .wire_len = sent};
	return link_decode(link_type, aggregate, &vlan, &result) && result == PARSE_DONE &&
	       aggregate->kind == LAYER_AGGREGATE;
}

bool link_aggregate_next(struct layer *aggregate, struct span *bytes, uint32_t *wire_len)
{
	struct layer subframe = *aggregate;
	if (subframe.bytes.len == 0 || enter_subframe(&subframe) != PARSE_DONE)
		return false;
	*bytes = subframe.bytes;
	*wire_len = (uint32_t)subframe.wire_len;
	/* Each but the last is filled up to a multiple of four bytes. */
	size_t taken = (SUBFRAME_HEADER + subframe.wire_len + 3) / 4 * 4;
	aggregate->wire_len -= taken < aggregate->wire_len ? taken : aggregate->wire_len;
	aggregate->bytes = span_skip(aggregate->bytes, taken);
	return true;
}

/* padded: the driver filled the header up to a multiple of four bytes. */
static enum parse_result wifi_frame(struct layer *layer, bool padded, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	uint8_t type = cursor_u8(&c);
	uint8_t flags = cursor_u8(&c);
	cursor_skip(&c, 20); /* duration, three addresses */
	uint16_t sequence = cursor_u16le(&c);
	if (c.failed)
		return layer_short(layer);
	if ((type & FC_TYPE_MASK) != FC_TYPE_DATA || (type & FC_SUBTYPE_NULL) != 0 ||
	    (flags & FC_PROTECTED) != 0)
		return layer_other(layer);
	/* Fragments of the link are not put together: they are as good as never seen unencrypted.
	 */
	if ((flags & FC_MORE_FRAGMENTS) != 0 || (sequence & 0x0f) != 0)
		return layer_other(layer);

	size_t header = 24;
	bool aggregate = false;
	if ((flags & FC_TO_DS) != 0 && (flags & FC_FROM_DS) != 0) {
		cursor_skip(&c, 6); /* fourth address */
		header += 6;
	}
	if ((type & FC_SUBTYPE_QOS) != 0) {
		aggregate = (cursor_u16le(&c) & QOS_AMSDU) != 0;
		header += 2;
		if ((flags & FC_ORDER) != 0) {
			cursor_skip(&c, 4); /* HT control */
			header += 4;
		}
	}
	if (padded)
		cursor_skip(&c, (4 - header % 4) % 4);
	if (aggregate)
		return layer_enter(layer, &c, LAYER_AGGREGATE);
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	return result == PARSE_DONE ? link_llc(layer, vlan) : result;
}

enum parse_result link_wifi(struct layer *layer, struct vlan_ids *vlan)
{
	return wifi_frame(layer, false, vlan);
}

/* The flags field of radiotap (https://www.radiotap.org/fields/Flags.html), 0 without one. */
static uint8_t radiotap_flags(struct cursor c)
{
	enum { PRESENT_TSFT = 1, PRESENT_FLAGS = 2 };

	uint32_t present = cursor_u32le(&c);
	size_t read = 8; /* the fixed header and the first word of bits; alignment counts from 0 */
	for (uint32_t more = present; (more >> 31) != 0 && !c.failed; read += 4)
		more = cursor_u32le(&c);
	if ((present & PRESENT_FLAGS) == 0)
		return 0;
	if ((present & PRESENT_TSFT) != 0)
		cursor_skip(&c, (8 - read % 8) % 8 + 8);
	return cursor_u8(&c);
}

enum parse_result link_wifi_radiotap(struct layer *layer, struct vlan_ids *vlan)
{
	enum { FLAG_FCS = 0x10, FLAG_DATA_PAD = 0x20, FCS_LEN = 4 };

	struct cursor c = cursor_of(layer->bytes);
	uint8_t version = cursor_u8(&c);
	cursor_skip(&c, 1);
	size_t length = cursor_u16le(&c);
	if (c.failed)
		return layer_short(layer);
	if (version != 0 || length < 8)
		return PARSE_MALFORMED;
	struct cursor fields = cursor_sub(&c, length - 4);
	if (c.failed)
		return layer_short(layer);
	uint8_t flags = radiotap_flags(fields);
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	if (result != PARSE_DONE)
		return result;
	if ((flags & FLAG_FCS) != 0 && layer->wire_len >= FCS_LEN)
		layer_trim(layer, layer->wire_len - FCS_LEN);
	return wifi_frame(layer, (flags & FLAG_DATA_PAD) != 0, vlan);
}

/* AVS: a magic number and the header's length, big-endian. */
enum parse_result link_wifi_avs(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	uint32_t magic = cursor_u32(&c);
	size_t length = cursor_u32(&c);
	if (c.failed)
		return layer_short(layer);
	if ((magic & 0xfffff000) != 0x80211000 || length < 8)
		return PARSE_MALFORMED;
	cursor_skip(&c, length - 8);
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	return result == PARSE_DONE ? wifi_frame(layer, false, vlan) : result;
}

/* Prism: message code and length in the byte order of the machine that captured, or AVS. */
enum parse_result link_wifi_prism(struct layer *layer, struct vlan_ids *vlan)
{
	struct cursor c = cursor_of(layer->bytes);
	uint32_t code = cursor_u32(&c);
	size_t length = cursor_u32le(&c);
	if (c.failed)
		return layer_short(layer);
	if ((code & 0xfffff000) == 0x80211000)
		return link_wifi_avs(layer, vlan);
	if (length > 0xffff)
		length = __builtin_bswap32((uint32_t)length);
	if (length < 8)
		return PARSE_MALFORMED;
	cursor_skip(&c, length - 8);
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	return result == PARSE_DONE ? wifi_frame(layer, false, vlan) : result;
}
