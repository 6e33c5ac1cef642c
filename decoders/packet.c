/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/packet.h"

#include "decoders/ip.h"
#include "decoders/tunnel.h"

enum {
	ETHERNET_HEADER = 14,
	IPV4_HEADER = 20,
	UDP_HEADER = 8,
	DNS_PORT = 53,
};

/* What is known of a packet apart from the layer at hand. */
struct walk {
	struct layer layer;
	struct vlan_ids vlan;
	uint32_t place;
	int64_t time_ns;
	bool fragments_conflict;
};

bool packet_decoder_init(struct packet_decoder *decoder, const struct packet_limits *limits,
			 const struct siphash_key *key, struct budget *budget)
{
	*decoder = (struct packet_decoder){
	    .max_layers = limits->max_layers,
	    .want_dns = limits->want_dns,
	};
	return frag_init(&decoder->frag, &limits->frag, key, budget);
}

void packet_decoder_free(struct packet_decoder *decoder)
{
	frag_free(&decoder->frag);
}

static enum packet_outcome count(struct packet_decoder *decoder, enum packet_outcome outcome)
{
	struct packet_counters *counters = &decoder->counters;
	switch (outcome) {
	case PACKET_TCP:
		counters->tcp++;
		break;
	case PACKET_DNS:
		counters->dns++;
		break;
	case PACKET_OTHER:
		counters->other++;
		break;
	case PACKET_FRAGMENT:
		counters->fragments_held++;
		break;
	case PACKET_UNKNOWN_LINK:
		counters->unknown_link++;
		break;
	case PACKET_TRUNCATED:
		counters->truncated++;
		break;
	case PACKET_MALFORMED:
		counters->malformed++;
		break;
	}
	return outcome;
}

static enum packet_outcome failure(enum parse_result result)
{
	return result == PARSE_MORE ? PACKET_TRUNCATED : PACKET_MALFORMED;
}

static enum packet_outcome tcp_outcome(enum parse_result result)
{
	return result == PARSE_DONE ? PACKET_TCP : failure(result);
}

/* Adds a fragment; PARSE_DONE when ip is whole now, extension headers behind it passed over. */
static enum parse_result reassemble(struct packet_decoder *decoder, struct walk *walk,
				    struct ip_datagram *ip)
{
	struct fragment fragment = {
	    .key = {.id = ip->fragment_id,
		    .place = walk->place,
		    .vlan_outer = walk->vlan.outer,
		    .vlan_inner = walk->vlan.inner,
		    .version = ip->src.version,
		    .protocol = ip->src.version == 4 ? ip->protocol : 0},
	    .protocol = ip->protocol,
	    .more = ip->more_fragments,
	    .offset = ip->fragment_offset,
	    .bytes = ip->payload,
	    .bytes_len = ip->payload_len,
	    .time_ns = walk->time_ns,
	};
	memcpy(fragment.key.src, ip->src.bytes, sizeof fragment.key.src);
	memcpy(fragment.key.dst, ip->dst.bytes, sizeof fragment.key.dst);

	struct frag_datagram whole;
	enum parse_result result = frag_add(&decoder->frag, &fragment, &whole);
	if (result != PARSE_DONE)
		return result;
	walk->fragments_conflict |= whole.conflict;
	ip->is_fragment = false;
	ip->protocol = whole.protocol;
	ip->payload = whole.bytes;
	ip->payload_len = (uint32_t)whole.bytes.len;
	return ip_skip_extensions(ip);
}

static void set_network(struct tcp_segment *segment, const struct walk *walk,
			const struct ip_datagram *ip)
{
	segment->src.addr = ip->src;
	segment->dst.addr = ip->dst;
	segment->ttl = ip->ttl;
	segment->vlan_outer = walk->vlan.outer;
	segment->vlan_inner = walk->vlan.inner;
	segment->fragments_conflict = walk->fragments_conflict;
}

/* UDP (RFC 768): DNS when asked for, else what its port says it carries. */
static enum parse_result open_udp(struct packet_decoder *decoder, struct walk *walk,
				  const struct ip_datagram *ip, struct tcp_segment *segment,
				  bool *is_dns)
{
	struct layer *layer = &walk->layer;
	struct cursor c = cursor_of(layer->bytes);
	uint16_t src_port = cursor_u16(&c);
	uint16_t dst_port = cursor_u16(&c);
	size_t length = cursor_u16(&c);
	cursor_skip(&c, 2);
	size_t room = layer->wire_len;
	enum parse_result result = layer_enter(layer, &c, LAYER_OTHER);
	if (result != PARSE_DONE)
		return result;
	if (length == 0) /* a jumbogram, or segmentation offload */
		length = room;
	if (length < UDP_HEADER || (length > room && !layer->cut))
		return PARSE_MALFORMED;
	layer_trim(layer, length - UDP_HEADER);

	*is_dns = decoder->want_dns && (src_port == DNS_PORT || dst_port == DNS_PORT);
	if (*is_dns) {
		*segment = (struct tcp_segment){
		    .payload = layer->bytes,
		    .payload_len = (uint32_t)layer->wire_len,
		};
		set_network(segment, walk, ip);
		segment->src.port = src_port;
		segment->dst.port = dst_port;
		return PARSE_DONE;
	}
	result = tunnel_udp(layer, dst_port, &walk->vlan);
	if (result == PARSE_MALFORMED)
		return layer_other(layer); /* not that tunnel, then */
	decoder->counters.udp_tunnels += layer->kind != LAYER_OTHER;
	return result;
}

/*
 * Opens the IP layer. True when that was the last: *outcome is set. False: the
 * layer is what the datagram carries.
 */
static bool open_ip(struct packet_decoder *decoder, struct walk *walk, struct tcp_segment *segment,
		    enum packet_outcome *outcome)
{
	struct ip_datagram ip;
	enum parse_result result = ip_parse(&walk->layer, &ip);
	while (result == PARSE_DONE && ip.is_fragment) {
		result = reassemble(decoder, walk, &ip);
		if (result == PARSE_MORE) {
			*outcome = PACKET_FRAGMENT;
			return true;
		}
	}
	if (result != PARSE_DONE) {
		*outcome = failure(result);
		return true;
	}
	walk->layer.bytes = ip.payload;
	walk->layer.wire_len = ip.payload_len;

	bool is_dns = false;
	switch (ip.protocol) {
	case IP_PROTOCOL_TCP:
		set_network(segment, walk, &ip);
		*outcome = tcp_outcome(tcp_parse(ip.payload, ip.payload_len, segment));
		return true;
	case IP_PROTOCOL_UDP:
		result = open_udp(decoder, walk, &ip, segment, &is_dns);
		break;
	case IP_PROTOCOL_GRE:
		decoder->counters.gre++;
		result = tunnel_gre(&walk->layer, &walk->vlan);
		break;
	case IP_PROTOCOL_IPV4:
	case IP_PROTOCOL_IPV6:
		decoder->counters.ip_in_ip++;
		walk->layer.kind = LAYER_IP;
		break;
	case IP_PROTOCOL_ETHERIP:
		result = tunnel_etherip(&walk->layer);
		break;
	case IP_PROTOCOL_MPLS:
		walk->layer.kind = LAYER_MPLS;
		break;
	default:
		walk->layer.kind = LAYER_OTHER;
		break;
	}
	if (result == PARSE_DONE && !is_dns && walk->layer.kind != LAYER_OTHER)
		return false;
	if (result != PARSE_DONE)
		*outcome = failure(result);
	else
		*outcome = is_dns ? PACKET_DNS : PACKET_OTHER;
	return true;
}

static enum packet_outcome walk_layers(struct packet_decoder *decoder, struct walk *walk,
				       struct tcp_segment *segment)
{
	for (uint32_t n = 0; n < decoder->max_layers; n++) {
		enum packet_outcome outcome;
		enum parse_result result = PARSE_DONE;
		switch (walk->layer.kind) {
		case LAYER_IP:
			if (open_ip(decoder, walk, segment, &outcome))
				return outcome;
			break;
		case LAYER_ETHERNET:
			decoder->counters.ethernet_inside++;
			result = link_ethernet(&walk->layer, &walk->vlan);
			break;
		case LAYER_MPLS:
			decoder->counters.mpls++;
			result = tunnel_mpls(&walk->layer);
			break;
		case LAYER_PPP:
			decoder->counters.ppp++;
			result = link_ppp(&walk->layer, &walk->vlan);
			break;
		case LAYER_AGGREGATE:
			result = link_subframe(&walk->layer, &walk->vlan);
			break;
		case LAYER_OTHER:
			return PACKET_OTHER;
		}
		if (result != PARSE_DONE)
			return failure(result);
	}
	decoder->counters.too_deep++;
	return PACKET_OTHER;
}

static enum packet_outcome decode_any(struct packet_decoder *decoder, uint32_t link_type,
				      uint32_t place, int64_t time_ns, struct span frame,
				      size_t wire_len, struct tcp_segment *segment)
{
	struct walk walk = {
	    .layer = {.kind = LAYER_OTHER, .bytes = frame, .wire_len = wire_len},
	    .vlan = {.outer = VLAN_NONE, .inner = VLAN_NONE},
	    .place = place,
	    .time_ns = time_ns,
	};
	enum parse_result result;
	if (!link_decode(link_type, &walk.layer, &walk.vlan, &result))
		return PACKET_UNKNOWN_LINK;
	return result == PARSE_DONE ? walk_layers(decoder, &walk, segment) : failure(result);
}

/* Ethernet, untagged, IPv4 without options, TCP, in one piece: what most frames are. */
static bool is_plain(uint32_t link_type, struct span frame, size_t wire_len)
{
	if (link_type != LINKTYPE_ETHERNET || frame.len < ETHERNET_HEADER + IPV4_HEADER)
		return false;
	const uint8_t *ip = frame.ptr + ETHERNET_HEADER;
	uint16_t total = bytes_u16(ip + 2);
	return bytes_u16(ip - 2) == ETHERTYPE_IPV4 && ip[0] == 0x45 && ip[9] == IP_PROTOCOL_TCP &&
	       (bytes_u16(ip + 6) & 0x3fff) == 0 && total >= IPV4_HEADER &&
	       total <= wire_len - ETHERNET_HEADER;
}

static enum parse_result decode_plain(struct span frame, struct tcp_segment *segment)
{
	const uint8_t *ip = frame.ptr + ETHERNET_HEADER;
	uint32_t payload_len = bytes_u16(ip + 2) - (uint32_t)IPV4_HEADER;
	size_t captured = frame.len - ETHERNET_HEADER - IPV4_HEADER;

	segment->src.addr = (struct ip_addr){.version = 4};
	memcpy(segment->src.addr.bytes, ip + 12, 4);
	segment->dst.addr = (struct ip_addr){.version = 4};
	memcpy(segment->dst.addr.bytes, ip + 16, 4);
	segment->ttl = ip[8];
	segment->vlan_outer = VLAN_NONE;
	segment->vlan_inner = VLAN_NONE;
	segment->fragments_conflict = false;
	return tcp_parse(span_head(span_of(ip + IPV4_HEADER, captured), payload_len), payload_len,
			 segment);
}

enum packet_outcome packet_decode(struct packet_decoder *decoder, uint32_t link_type,
				  unsigned fcs_len, uint32_t place, int64_t time_ns,
				  struct span frame, uint32_t wire_len, struct tcp_segment *segment)
{
	size_t sent = wire_len > frame.len ? wire_len : frame.len;
	if (fcs_len > 0) {
		sent = sent > fcs_len ? sent - fcs_len : 0;
		frame = span_head(frame, sent);
	}
	if (is_plain(link_type, frame, sent))
		return count(decoder, tcp_outcome(decode_plain(frame, segment)));
	return count(decoder, decode_any(decoder, link_type, place, time_ns, frame, sent, segment));
}
