/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain from a captured frame to the TCP segment in it: link, tunnels, IP,
 * fragments, TCP. One call takes a frame; nothing is allocated but for fragments.
 */
#ifndef DECODERS_PACKET_H
#define DECODERS_PACKET_H

#include "decoders/frag.h"
#include "decoders/link.h"
#include "decoders/tcp.h"

enum packet_outcome {
	PACKET_TCP,   /* *segment is set */
	PACKET_DNS,   /* UDP with port 53: of *segment the endpoints, ttl, VLANs and payload are set
		       */
	PACKET_OTHER, /* nothing of interest */
	PACKET_FRAGMENT,     /* held until its datagram is whole, or dropped at a cap */
	PACKET_UNKNOWN_LINK, /* no decoder for this link type */
	PACKET_TRUNCATED,    /* the capture was cut inside a header */
	PACKET_MALFORMED,    /* a header that makes no sense: to the receiver neither */
};

struct packet_limits {
	uint32_t max_layers; /* headers opened per packet (tunnels in tunnels); 16 is plenty */
	bool want_dns;       /* PACKET_DNS instead of PACKET_OTHER */
	struct frag_limits frag;
};

struct packet_counters {
#define PACKET_COUNTER(name, meaning) uint64_t name;
#include "decoders/packet_counters.def"
#undef PACKET_COUNTER
};

struct packet_decoder {
	struct packet_counters counters;
	struct frag_table frag; /* with counters of its own */
	/* private */
	uint32_t max_layers;
	bool want_dns;
};

/* False when the budget has no room for the table of fragments. budget must outlive it. */
bool packet_decoder_init(struct packet_decoder *decoder, const struct packet_limits *limits,
			 const struct siphash_key *key, struct budget *budget);

void packet_decoder_free(struct packet_decoder *decoder);

/*
 * Reads one frame as captured. wire_len is its length on the wire, fcs_len how
 * many bytes of check sequence end it there. place is a number for where it was
 * captured, time_ns packet time: only fragments of one place are put together, and
 * only while they are young. *segment is undefined unless the outcome says otherwise; its
 * spans are valid as long as frame is, after a reassembly until the next call.
 * Its addresses are the innermost; its VLAN ids those of the innermost Ethernet
 * layer that has any.
 */
enum packet_outcome packet_decode(struct packet_decoder *decoder, uint32_t link_type,
				  unsigned fcs_len, uint32_t place, int64_t time_ns,
				  struct span frame, uint32_t wire_len,
				  struct tcp_segment *segment);

#endif
