/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tunnel.h"
#include "tests/support/frame.h"

#include <criterion/criterion.h>

#define MACS  "020000000002 020000000001 "
#define OUTER MACS "0800"
#define INNER MACS "8100 0007 0800"

static const struct frame_row rows[] = {
    {"IP in IP", LINKTYPE_ETHERNET, {OUTER, "ip4 4", "ip4 6", "tcp"}, 0, 0},
    {"6in4", LINKTYPE_ETHERNET, {OUTER, "ip4 41", "ip6 6", "tcp"}, 0, 0},
    {"4in6", LINKTYPE_ETHERNET, {MACS "86dd", "ip6 4", "ip4 6", "tcp"}, 0, 0},
    {"6in6", LINKTYPE_ETHERNET, {MACS "86dd", "ip6 41", "ip6 6", "tcp"}, 0, 0},
    {"the outer VLAN stays when the inner frame has none",
     LINKTYPE_ETHERNET,
     {MACS "8100 0003 0800", "ip4 47", "0000 6558", MACS "0800", "ip4 6", "tcp"},
     3,
     0},
    {"the inner VLAN wins",
     LINKTYPE_ETHERNET,
     {MACS "8100 0003 8100 0004 0800", "ip4 47", "0000 6558", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"GRE, IPv4", LINKTYPE_ETHERNET, {OUTER, "ip4 47", "0000 0800", "ip4 6", "tcp"}, 0, 0},
    {"GRE, IPv6, all options",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "b000 86dd 00000000 00000001 00000002", "ip6 6", "tcp"},
     0,
     0},
    {"GRE with routing",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "4000 0800 00000000 0800 00 04 c0000201 0000 00 00", "ip4 6", "tcp"},
     0,
     0},
    {"GRE, MPLS", LINKTYPE_ETHERNET, {OUTER, "ip4 47", "0000 8847 00064140", "ip4 6", "tcp"}, 0, 0},
    {"GRE, PPP", LINKTYPE_ETHERNET, {OUTER, "ip4 47", "0000 880b 0021", "ip4 6", "tcp"}, 0, 0},
    {"PPTP",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "3081 880b 0034 0001 00000001 00000001 ff03 0021", "ip4 6", "tcp"},
     0,
     0},
    {"WCCP 2", LINKTYPE_ETHERNET, {OUTER, "ip4 47", "0000 883e 00000000", "ip4 6", "tcp"}, 0, 0},
    {"ERSPAN I", LINKTYPE_ETHERNET, {OUTER, "ip4 47", "0000 88be", INNER, "ip4 6", "tcp"}, 7, 0},
    {"ERSPAN II",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "1000 88be 00000001 10050001 00000000", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"ERSPAN III",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "1000 22eb 00000001 20050001 00000000 0000 0000", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"ERSPAN III with subheader",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "1000 22eb 00000001 20050001 00000000 0000 0001 0000000000000000", INNER,
      "ip4 6", "tcp"},
     7,
     0},
    {"ERSPAN III, IP",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 47", "1000 22eb 00000001 20050001 00000000 0000 0800", "ip4 6", "tcp"},
     0,
     0},
    {"EtherIP", LINKTYPE_ETHERNET, {OUTER, "ip4 97", "3000", INNER, "ip4 6", "tcp"}, 7, 0},
    {"MPLS in IP", LINKTYPE_ETHERNET, {OUTER, "ip4 137", "00064140", "ip6 6", "tcp"}, 0, 0},
    {"VXLAN",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 4789", "08000000 00000100", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"VXLAN, Linux's port, over IPv6",
     LINKTYPE_ETHERNET,
     {MACS "86dd", "ip6 17", "udp 8472", "08000000 00000100", MACS "86dd", "ip6 6", "tcp"},
     0,
     0},
    {"VXLAN-GPE",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 4790", "0c000001 00000100", "ip4 6", "tcp"},
     0,
     0},
    {"GENEVE with options",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 6081", "0200 6558 00000100 0102800100000001", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"GENEVE, IPv6",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 6081", "0000 86dd 00000100", "ip6 6", "tcp"},
     0,
     0},
    {"MPLS in UDP",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 6635", "00064140", "ip4 6", "tcp"},
     0,
     0},
    {"GTP-U",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 2152", "30ff 0030 00000001", "ip4 6", "tcp"},
     0,
     0},
    {"GTP-U with an extension",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 2152", "34ff 0038 00000001 000000 85 01 1000 00", "ip4 6", "tcp"},
     0,
     0},
    {"TZSP",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 37008", "01 00 0001 00 0a0101 01", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"MPLS, three labels",
     LINKTYPE_ETHERNET,
     {MACS "8847 00064040 00065040 00066140", "ip6 6", "tcp"},
     0,
     0},
    {"pseudowire with control word",
     LINKTYPE_ETHERNET,
     {MACS "8847 00064140 00000000", INNER, "ip4 6", "tcp"},
     7,
     0},
    {"pseudowire without", LINKTYPE_ETHERNET, {MACS "8847 00064140", INNER, "ip4 6", "tcp"}, 7, 0},
    {"pseudowire to an address like IPv4",
     LINKTYPE_ETHERNET,
     {MACS "8847 00064140 46000f000002 020000000001 0800", "ip4 6", "tcp"},
     0,
     0},
    {"tunnels in tunnels",
     LINKTYPE_ETHERNET,
     {OUTER, "ip4 17", "udp 4789", "08000000 00000100", MACS "86dd", "ip6 47", "0000 0800", "ip4 4",
      "ip4 6", "tcp"},
     0,
     0},
};

Test(tunnel, every_tunnel_whole_and_at_every_length)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *wrong = frame_row_check(&rows[i]);
		cr_expect_null(wrong, "%s: %s", rows[i].name, wrong);
	}
}

static const struct {
	const char *name;
	const char *layers[FRAME_LAYERS];
	enum packet_outcome outcome;
} others[] = {
    {"no VXLAN on its port", {"ip4 17", "udp 4789", "00000000 00000100 41414141"}, PACKET_OTHER},
    {"no GENEVE", {"ip4 17", "udp 6081", "c000 6558 00000100"}, PACKET_OTHER},
    {"GTP-U echo", {"ip4 17", "udp 2152", "3201 0004 00000000 00000000"}, PACKET_OTHER},
    {"GTP-U extension of no length",
     {"ip4 17", "udp 2152", "34ff 0004 00000000 000000 85 00"},
     PACKET_OTHER},
    {"PPTP acknowledgement", {"ip4 47", "2081 880b 0000 0001 00000001"}, PACKET_OTHER},
    {"GRE keep-alive", {"ip4 47", "0000 0000"}, PACKET_OTHER},
    {"UDP shorter than its header", {"ip4 17", "0457 0035 0007 0000"}, PACKET_MALFORMED},
    {"UDP longer than its datagram", {"ip4 17", "0457 0035 0009 0000"}, PACKET_MALFORMED},
    {"labels without end", {"ip4 137", "00064040 00064040"}, PACKET_MALFORMED},
    {"ICMP", {"ip4 1", "0800 0000"}, PACKET_OTHER},
};

Test(tunnel, packets_without_a_segment)
{
	struct budget budget;
	struct packet_decoder decoder;
	struct packet_limits limits = frame_limits();
	struct siphash_key key = {0};
	struct tcp_segment segment;
	budget_init(&budget, 1U << 20);
	cr_assert(packet_decoder_init(&decoder, &limits, &key, &budget));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		struct frame frame;
		frame_build(&frame, others[i].layers);
		struct span bytes =
		    span_of(guarded_copy(span_of(frame.bytes, frame.len)), frame.len);
		cr_expect_eq(packet_decode(&decoder, LINKTYPE_RAW, 0, 0, 0, bytes,
					   (uint32_t)frame.len, &segment),
			     others[i].outcome, "%s", others[i].name);
	}
	packet_decoder_free(&decoder);
}

/* The mirror cut the frame and says so: the datagram is longer than what it sent on. */
Test(tunnel, erspan_says_that_it_cut)
{
	struct budget budget;
	struct packet_decoder decoder;
	struct packet_limits limits = frame_limits();
	struct siphash_key key = {0};
	struct tcp_segment segment;
	struct frame frame;
	static const struct frame_row row = {
	    .layers = {"ip4 47", "1000 88be 00000001 10050401 00000000",
		       MACS "0800"
			    "4500 0100 0001 4000 40060000 c0000201 c6336402",
		       "tcp"}};

	budget_init(&budget, 1U << 20);
	cr_assert(packet_decoder_init(&decoder, &limits, &key, &budget));
	frame_build(&frame, row.layers);
	cr_assert_eq(packet_decode(&decoder, LINKTYPE_RAW, 0, 0, 0, span_of(frame.bytes, frame.len),
				   (uint32_t)frame.len, &segment),
		     PACKET_TCP);
	cr_expect_eq(segment.payload.len, 8);
	cr_expect_eq(segment.payload_len, 256 - 20 - 20);
	packet_decoder_free(&decoder);
}

Test(tunnel, nesting_has_an_end)
{
	struct budget budget;
	struct packet_decoder decoder;
	struct packet_limits limits = frame_limits();
	struct siphash_key key = {0};
	struct tcp_segment segment;
	struct frame frame;
	static const struct frame_row row = {.layers = {"ip4 4", "ip4 4", "ip4 6", "tcp"}};

	budget_init(&budget, 1U << 20);
	limits.max_layers = 2;
	cr_assert(packet_decoder_init(&decoder, &limits, &key, &budget));
	frame_build(&frame, row.layers);
	cr_assert_eq(packet_decode(&decoder, LINKTYPE_RAW, 0, 0, 0, span_of(frame.bytes, frame.len),
				   (uint32_t)frame.len, &segment),
		     PACKET_OTHER);
	cr_expect_eq(decoder.counters.too_deep, 1);
	packet_decoder_free(&decoder);
}
