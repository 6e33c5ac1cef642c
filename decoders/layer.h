/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer of a packet on its way through the decoders: what it is, and its
 * bytes. Each link and tunnel decoder takes a layer and turns it into the next
 * one inside it.
 *
 * Two lengths travel along. bytes.len is what the capture holds, wire_len what
 * was sent: a header that is missing because the capture was cut (PARSE_MORE)
 * says nothing about the network, one that was never sent (PARSE_MALFORMED)
 * does.
 */
#ifndef DECODERS_LAYER_H
#define DECODERS_LAYER_H

#include "decoders/parse.h"
#include "decoders/span.h"
#include "decoders/tcp.h"

enum layer_kind {
	LAYER_ETHERNET,  /* a frame with its addresses, without preamble and check sequence */
	LAYER_IP,        /* IPv4 or IPv6, as its version field says */
	LAYER_PPP,       /* from the protocol field, or address and control before it, on */
	LAYER_MPLS,      /* from the first label on */
	LAYER_AGGREGATE, /* an A-MSDU (IEEE 802.11 9.3.2.2), from its first subframe on */
	LAYER_OTHER,     /* well-formed, and nothing that can hold TCP as far as is known */
};

struct layer {
	enum layer_kind kind;
	bool cut;          /* a mirror says that it shortened the packet before sending it on */
	struct span bytes; /* as captured */
	size_t wire_len;   /* as sent; never below bytes.len */
};

/*
 * The VLAN ids (IEEE 802.1Q) of the innermost layer that has any. Of more than
 * two tags the outermost two count. A priority tag (id 0) is no VLAN.
 */
struct vlan_ids {
	uint16_t outer; /* VLAN_NONE when untagged */
	uint16_t inner; /* VLAN_NONE unless there were two */
};

/* What to make of a layer that ends inside its header. */
static inline enum parse_result layer_short(const struct layer *layer)
{
	return layer->cut || layer->bytes.len < layer->wire_len ? PARSE_MORE : PARSE_MALFORMED;
}

/* The layer ends after len bytes, as a header says: what follows is padding. */
static inline void layer_trim(struct layer *layer, size_t len)
{
	layer->bytes = span_head(layer->bytes, len);
	if (len < layer->wire_len)
		layer->wire_len = len;
}

/* Goes on to what stands where the cursor is, which began at the layer's first byte. */
static inline enum parse_result layer_enter(struct layer *layer, struct cursor *c,
					    enum layer_kind kind)
{
	if (c->failed)
		return layer_short(layer);
	layer->wire_len -= layer->bytes.len - c->left;
	layer->bytes = cursor_rest(c);
	layer->kind = kind;
	return PARSE_DONE;
}

/* Nothing in here for us. */
static inline enum parse_result layer_other(struct layer *layer)
{
	layer->kind = LAYER_OTHER;
	return PARSE_DONE;
}

#endif
