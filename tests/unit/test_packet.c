/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/packet.h"
#include "tests/support/frame.h"

#include <criterion/criterion.h>

#define MACS "020000000002 020000000001 "

struct fixture {
	struct budget budget;
	struct packet_decoder decoder;
	struct tcp_segment segment;
};

static void start(struct fixture *f, bool want_dns)
{
	struct packet_limits limits = frame_limits();
	struct siphash_key key = {.k0 = 1, .k1 = 2};
	limits.want_dns = want_dns;
	budget_init(&f->budget, 4U << 20);
	cr_assert(packet_decoder_init(&f->decoder, &limits, &key, &f->budget));
}

static void stop(struct fixture *f)
{
	packet_decoder_free(&f->decoder);
	cr_expect_eq(f->budget.used, 0, "memory not given back");
}

static enum packet_outcome decode(struct fixture *f, uint32_t link_type,
				  const char *const layers[FRAME_LAYERS])
{
	struct frame frame;
	frame_build(&frame, layers);
	struct span bytes = span_of(guarded_copy(span_of(frame.bytes, frame.len)), frame.len);
	return packet_decode(&f->decoder, link_type, 0, 0, 0, bytes, (uint32_t)frame.len,
			     &f->segment);
}

/* The straight path and the general one see the same in the same datagram. */
Test(packet, straight_path_is_the_general_one)
{
	const char *const plain[FRAME_LAYERS] = {MACS "0800", "ip4 6", "tcp"};
	const char *const raw[FRAME_LAYERS] = {"ip4 6", "tcp"};
	struct frame frames[2];
	frame_build(&frames[0], plain);
	frame_build(&frames[1], raw);

	/* Every value of every header byte: both paths say the same of it. */
	for (size_t at = 0; at < 40; at++) {
		for (unsigned value = 0; value < 256; value++) {
			struct fixture f[2];
			enum packet_outcome outcome[2];
			frames[0].bytes[14 + at] = (uint8_t)value;
			uint8_t kept = frames[1].bytes[at];
			frames[1].bytes[at] = (uint8_t)value;
			for (unsigned i = 0; i < 2; i++) {
				start(&f[i], false);
				outcome[i] = packet_decode(
				    &f[i].decoder, i == 0 ? LINKTYPE_ETHERNET : LINKTYPE_RAW, 0, 0,
				    0, span_of(frames[i].bytes, frames[i].len),
				    (uint32_t)frames[i].len, &f[i].segment);
			}
			cr_expect_eq(outcome[0], outcome[1], "byte %zu = %u", at, value);
			if (outcome[0] == PACKET_TCP && outcome[1] == PACKET_TCP) {
				const struct tcp_segment *a = &f[0].segment, *b = &f[1].segment;
				cr_expect(ip_addr_equal(&a->src.addr, &b->src.addr) &&
					  ip_addr_equal(&a->dst.addr, &b->dst.addr) &&
					  a->src.port == b->src.port && a->seq == b->seq &&
					  a->ack == b->ack && a->flags == b->flags &&
					  a->ttl == b->ttl && a->payload_len == b->payload_len &&
					  span_equal(a->payload, b->payload));
			}
			frames[0].bytes[14 + at] = kept;
			frames[1].bytes[at] = kept;
			stop(&f[0]);
			stop(&f[1]);
		}
	}
}

#define NO_LENGTH "4500 0000 0001 4000 4006 0000 c0000201 c6336402"

Test(packet, trailer_and_check_sequence_are_no_payload)
{
	static const struct {
		const char *name;
		uint32_t link_type;
		const char *layers[FRAME_LAYERS];
		unsigned fcs_len;
	} rows[] = {
	    {"padding",
	     LINKTYPE_ETHERNET,
	     {MACS "0800", "4500 0030 0001 4000 4006 0000 c0000201 c6336402", "tcp", "000000"},
	     0},
	    {"check sequence",
	     LINKTYPE_ETHERNET,
	     {MACS "0800", "4500 0030 0001 4000 4006 0000 c0000201 c6336402", "tcp", "11223344"},
	     4},
	    /* Where the datagram does not say how long it is, the layer around it has to. */
	    {"check sequence, no length",
	     LINKTYPE_ETHERNET,
	     {MACS "0800", NO_LENGTH, "tcp", "11223344"},
	     4},
	    {"PPPoE's length, no other",
	     LINKTYPE_ETHERNET,
	     {MACS "8864 1100 0001 0032 0021", NO_LENGTH, "tcp", "0000"},
	     0},
	    {"802.3 length, no other",
	     LINKTYPE_ETHERNET,
	     {MACS "0038 aaaa03 000000 0800", NO_LENGTH, "tcp", "0000"},
	     0},
	    {"radiotap's check sequence, no length",
	     LINKTYPE_IEEE802_11_RADIOTAP,
	     {"00 00 0900 02000000 10", "0802 0000 020000000001 020000000002 020000000003 1000",
	      "aaaa03 000000 0800", NO_LENGTH, "tcp", "11223344"},
	     0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct fixture f;
		struct frame frame;
		start(&f, false);
		frame_build(&frame, rows[i].layers);
		cr_expect_eq(packet_decode(&f.decoder, rows[i].link_type, rows[i].fcs_len, 0, 0,
					   span_of(frame.bytes, frame.len), (uint32_t)frame.len,
					   &f.segment),
			     PACKET_TCP, "%s", rows[i].name);
		cr_expect(span_equal(f.segment.payload, span_str("EHLO a\r\n")), "%s",
			  rows[i].name);
		cr_expect_eq(f.segment.payload_len, 8, "%s", rows[i].name);
		stop(&f);
	}
}

/* What a sending host's offload leaves: more than 65,535 bytes and a length of 0. */
Test(packet, segmentation_offload)
{
	static uint8_t big[70000] = {0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6};
	struct fixture f;
	start(&f, false);
	big[20 + 12] = 0x50;
	cr_assert_eq(packet_decode(&f.decoder, LINKTYPE_RAW, 0, 0, 0, span_of(big, sizeof big),
				   sizeof big, &f.segment),
		     PACKET_TCP);
	cr_expect_eq(f.segment.payload_len, sizeof big - 40);
	stop(&f);
}

Test(packet, dns_when_asked_for)
{
	const char *const query[FRAME_LAYERS] = {MACS "8100 0007 0800", "ip4 17", "udp 53", "0102"};
	struct fixture f;
	start(&f, false);
	cr_expect_eq(decode(&f, LINKTYPE_ETHERNET, query), PACKET_OTHER);
	stop(&f);
	start(&f, true);
	cr_assert_eq(decode(&f, LINKTYPE_ETHERNET, query), PACKET_DNS);
	cr_expect_eq(f.segment.src.port, 1111);
	cr_expect_eq(f.segment.dst.port, 53);
	cr_expect_eq(f.segment.vlan_outer, 7);
	cr_expect_eq(f.segment.payload_len, 2);
	cr_expect_eq(f.segment.payload.len, 2);
	cr_expect_eq(f.decoder.counters.dns, 1);
	stop(&f);
}

/* Fragments of the packet, of the packet in a tunnel, and of the tunnel's own packet. */
Test(packet, fragments)
{
	static const struct {
		const char *name;
		uint32_t link_type;
		const char *pieces[3][FRAME_LAYERS];
	} rows[] = {
	    {"IPv4",
	     LINKTYPE_RAW,
	     {{"4500 0024 0001 2000 4006 0000 c0000201 c6336402",
	       "9c400019 01020304 05060708 50181000"},
	      {"4500 0020 0001 0002 4006 0000 c0000201 c6336402", "00000000 45484c4f 20610d0a"}}},
	    {"IPv4, in three, the tail first",
	     LINKTYPE_RAW,
	     {{"4500 0018 0001 0003 4006 0000 c0000201 c6336402", "20610d0a"},
	      {"4500 001c 0001 2002 4006 0000 c0000201 c6336402", "00000000 45484c4f"},
	      {"4500 0024 0001 2000 4006 0000 c0000201 c6336402",
	       "9c400019 01020304 05060708 50181000"}}},
	    {"IPv6",
	     LINKTYPE_RAW,
	     {{"ip6 44", "06000001 deadbeef", "9c400019 01020304 05060708 50181000"},
	      {"ip6 44", "06000010 deadbeef", "00000000 45484c4f 20610d0a"}}},
	    {"IPv6, options inside, the next header of later fragments says nothing",
	     LINKTYPE_RAW,
	     {{"ip6 44", "3c000001 deadbeef",
	       "0600000000000000 9c400019 01020304 05060708 50181000"},
	      {"ip6 44", "00000018 deadbeef", "00000000 45484c4f 20610d0a"}}},
	    {"in VXLAN",
	     LINKTYPE_ETHERNET,
	     {{MACS "0800", "ip4 17", "udp 4789", "08000000 00000100", MACS "0800",
	       "4500 0024 0001 2000 4006 0000 c0000201 c6336402",
	       "9c400019 01020304 05060708 50181000"},
	      {MACS "0800", "ip4 17", "udp 4789", "08000000 00000100", MACS "0800",
	       "4500 0020 0001 0002 4006 0000 c0000201 c6336402", "00000000 45484c4f 20610d0a"}}},
	    {"around an IP tunnel",
	     LINKTYPE_RAW,
	     {{"4500 002c 0001 2000 4004 0000 01020304 01020305",
	       "4500 0030 0001 4000 4006 0000 c0000201 c6336402", "9c400019"},
	      {"4500 002c 0001 0003 4004 0000 01020304 01020305",
	       "01020304 05060708 50181000 00000000 45484c4f 20610d0a"}}},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct fixture f;
		enum packet_outcome outcome = PACKET_FRAGMENT;
		start(&f, false);
		for (size_t n = 0; n < 3 && rows[i].pieces[n][0] != NULL; n++) {
			cr_expect_eq(outcome, PACKET_FRAGMENT, "%s", rows[i].name);
			outcome = decode(&f, rows[i].link_type, rows[i].pieces[n]);
		}
		cr_expect_eq(outcome, PACKET_TCP, "%s: %d", rows[i].name, (int)outcome);
		if (outcome == PACKET_TCP) {
			cr_expect(span_equal(f.segment.payload, span_str("EHLO a\r\n")), "%s",
				  rows[i].name);
			cr_expect_eq(f.segment.payload_len, 8, "%s", rows[i].name);
			cr_expect_eq(f.segment.dst.port, 25, "%s", rows[i].name);
			cr_expect_not(f.segment.fragments_conflict, "%s", rows[i].name);
		}
		stop(&f);
	}
}

Test(packet, fragments_that_disagree_mark_the_segment)
{
	const char *const first[FRAME_LAYERS] = {"4500 0024 0001 2000 4006 0000 c0000201 c6336402",
						 "9c400019 01020304 05060708 50181000"};
	const char *const other[FRAME_LAYERS] = {"4500 0024 0001 2000 4006 0000 c0000201 c6336402",
						 "9c400019 01020304 05060708 50141000"};
	const char *const last[FRAME_LAYERS] = {"4500 0020 0001 0002 4006 0000 c0000201 c6336402",
						"00000000 45484c4f 20610d0a"};
	struct fixture f;
	start(&f, false);
	cr_expect_eq(decode(&f, LINKTYPE_RAW, first), PACKET_FRAGMENT);
	cr_expect_eq(decode(&f, LINKTYPE_RAW, other), PACKET_FRAGMENT);
	cr_assert_eq(decode(&f, LINKTYPE_RAW, last), PACKET_TCP);
	cr_expect(f.segment.fragments_conflict);
	cr_expect_eq(f.segment.flags, TCP_PSH | TCP_ACK);
	stop(&f);
}

/* Each packet is in exactly one outcome's counter. */
Test(packet, outcomes_add_up)
{
	static const char *const rows[][FRAME_LAYERS] = {
	    {"ip4 6", "tcp"},
	    {"ip4 17", "udp 53", "00"},
	    {"ip4 1", "00"},
	    {"4500 001c 0001 2000 4006 0000 c0000201 c6336402", "0000000000000000"},
	    {"30"},
	    {""},
	};
	struct fixture f;
	start(&f, true);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		(void)decode(&f, LINKTYPE_RAW, rows[i]);
	(void)packet_decode(&f.decoder, LINKTYPE_RAW, 0, 0, 0, span_str("E"), 40, &f.segment);
	(void)packet_decode(&f.decoder, 147, 0, 0, 0, span_str("E"), 40, &f.segment);
	const struct packet_counters *c = &f.decoder.counters;
	cr_expect_eq(c->tcp, 1);
	cr_expect_eq(c->dns, 1);
	cr_expect_eq(c->other, 1);
	cr_expect_eq(c->fragments_held, 1);
	cr_expect_eq(c->malformed, 2);
	cr_expect_eq(c->truncated, 1);
	cr_expect_eq(c->unknown_link, 1);
	stop(&f);
}
