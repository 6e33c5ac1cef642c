/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/link.h"
#include "tests/support/frame.h"

#include <criterion/criterion.h>

#define MACS      "020000000002 020000000001 "
#define SNAP      "aaaa03 000000 "
#define WIFI_ADDR "0000 020000000001 020000000002 020000000003 "

static const struct frame_row rows[] = {
    {"ethernet, IPv4", LINKTYPE_ETHERNET, {MACS "0800", "ip4 6", "tcp"}, 0, 0},
    {"ethernet, IPv6", LINKTYPE_ETHERNET, {MACS "86dd", "ip6 6", "tcp"}, 0, 0},
    {"802.1Q", LINKTYPE_ETHERNET, {MACS "8100 6064 0800", "ip4 6", "tcp"}, 100, 0},
    {"802.1ad", LINKTYPE_ETHERNET, {MACS "88a8 0064 8100 00c8 86dd", "ip6 6", "tcp"}, 100, 200},
    {"old QinQ", LINKTYPE_ETHERNET, {MACS "9100 0064 8100 00c8 0800", "ip4 6", "tcp"}, 100, 200},
    {"0x9200", LINKTYPE_ETHERNET, {MACS "9200 0064 8100 0fff 0800", "ip4 6", "tcp"}, 100, 4095},
    {"three tags: the outer two count",
     LINKTYPE_ETHERNET,
     {MACS "8100 0001 8100 0002 8100 0003 0800", "ip4 6", "tcp"},
     1,
     2},
    {"priority tag is no VLAN", LINKTYPE_ETHERNET, {MACS "8100 e000 0800", "ip4 6", "tcp"}, 0, 0},
    {"priority tag, then VLAN",
     LINKTYPE_ETHERNET,
     {MACS "8100 e000 8100 0007 0800", "ip4 6", "tcp"},
     7,
     0},
    {"VN-Tag", LINKTYPE_ETHERNET, {MACS "8926 00000000 8100 0007 0800", "ip4 6", "tcp"}, 7, 0},
    {"E-TAG", LINKTYPE_ETHERNET, {MACS "893f 000000000000 0800", "ip4 6", "tcp"}, 0, 0},
    {"Cisco MetaData", LINKTYPE_ETHERNET, {MACS "8909 010100010064 0800", "ip4 6", "tcp"}, 0, 0},
    {"802.1ah",
     LINKTYPE_ETHERNET,
     {MACS "88a8 0005 88e7 00000001", MACS "8100 0006 0800", "ip4 6", "tcp"},
     6,
     0},
    {"802.3 SNAP", LINKTYPE_ETHERNET, {MACS, "len2 0", SNAP "0800", "ip4 6", "tcp"}, 0, 0},
    {"802.1H SNAP",
     LINKTYPE_ETHERNET,
     {MACS, "len2 0", "aaaa03 0000f8 0800", "ip4 6", "tcp"},
     0,
     0},
    {"LLC, SAP of IP", LINKTYPE_ETHERNET, {MACS, "len2 0", "060603", "ip4 6", "tcp"}, 0, 0},
    {"jumbo LLC", LINKTYPE_ETHERNET, {MACS "8870", SNAP "86dd", "ip6 6", "tcp"}, 0, 0},
    {"PPPoE", LINKTYPE_ETHERNET, {MACS "8864 1100 0001", "len2 0", "0021", "ip4 6", "tcp"}, 0, 0},
    {"PPPoE in a VLAN, IPv6, short protocol",
     LINKTYPE_ETHERNET,
     {MACS "8100 0007 8864 1100 0001", "len2 0", "57", "ip6 6", "tcp"},
     7,
     0},
    {"MPLS, IPv4", LINKTYPE_ETHERNET, {MACS "8847 00064140", "ip4 6", "tcp"}, 0, 0},
    {"PPP", LINKTYPE_PPP, {"ff03 0021", "ip4 6", "tcp"}, 0, 0},
    {"PPP without address", LINKTYPE_PPP, {"0057", "ip6 6", "tcp"}, 0, 0},
    {"PPP, compressed protocol", LINKTYPE_PPP, {"21", "ip4 6", "tcp"}, 0, 0},
    {"PPP, MPLS", LINKTYPE_PPP, {"ff03 0281 00064140", "ip4 6", "tcp"}, 0, 0},
    {"PPP in HDLC", LINKTYPE_PPP_HDLC, {"ff03 0021", "ip4 6", "tcp"}, 0, 0},
    {"Cisco in HDLC", LINKTYPE_PPP_HDLC, {"0f00 0800", "ip4 6", "tcp"}, 0, 0},
    {"PPPoE bare", LINKTYPE_PPP_ETHER, {"1100 0001", "len2 0", "0021", "ip4 6", "tcp"}, 0, 0},
    {"PPP with direction", LINKTYPE_PPP_WITH_DIR, {"01 ff03 0021", "ip4 6", "tcp"}, 0, 0},
    {"Cisco HDLC", LINKTYPE_C_HDLC, {"0f00 86dd", "ip6 6", "tcp"}, 0, 0},
    {"Cisco HDLC with direction", LINKTYPE_C_HDLC_WITH_DIR, {"00 0f00 0800", "ip4 6", "tcp"}, 0, 0},
    {"ATM, LLC", LINKTYPE_ATM_RFC1483, {SNAP "0800", "ip4 6", "tcp"}, 0, 0},
    {"ATM, bridged",
     LINKTYPE_ATM_RFC1483,
     {"aaaa03 0080c2 0007 0000", MACS "0800", "ip4 6", "tcp"},
     0,
     0},
    {"raw, IPv4", LINKTYPE_RAW, {"ip4 6", "tcp"}, 0, 0},
    {"raw, IPv6", LINKTYPE_RAW, {"ip6 6", "tcp"}, 0, 0},
    {"raw, 12", 12, {"ip4 6", "tcp"}, 0, 0},
    {"raw, 14", 14, {"ip6 6", "tcp"}, 0, 0},
    {"IPv4 link", LINKTYPE_IPV4, {"ip4 6", "tcp"}, 0, 0},
    {"IPv6 link", LINKTYPE_IPV6, {"ip6 6", "tcp"}, 0, 0},
    {"null, little-endian", LINKTYPE_NULL, {"02000000", "ip4 6", "tcp"}, 0, 0},
    {"null, big-endian", LINKTYPE_NULL, {"00000002", "ip4 6", "tcp"}, 0, 0},
    {"null, Linux IPv6", LINKTYPE_NULL, {"0a000000", "ip6 6", "tcp"}, 0, 0},
    {"null, Windows IPv6", LINKTYPE_NULL, {"17000000", "ip6 6", "tcp"}, 0, 0},
    {"null, OpenBSD IPv6", LINKTYPE_NULL, {"00000018", "ip6 6", "tcp"}, 0, 0},
    {"null, FreeBSD IPv6", LINKTYPE_NULL, {"1c000000", "ip6 6", "tcp"}, 0, 0},
    {"null, Darwin IPv6", LINKTYPE_NULL, {"1e000000", "ip6 6", "tcp"}, 0, 0},
    {"loop", LINKTYPE_LOOP, {"00000002", "ip4 6", "tcp"}, 0, 0},
    {"enc", LINKTYPE_ENC, {"02000000 00000000 00000000", "ip4 6", "tcp"}, 0, 0},
    {"pflog", LINKTYPE_PFLOG, {"0502 0000 0000 0000", "ip4 6", "tcp"}, 0, 0},
    {"Linux cooked",
     LINKTYPE_LINUX_SLL,
     {"0000 0001 0006 0200000000010000 0800", "ip4 6", "tcp"},
     0,
     0},
    {"Linux cooked, tagged",
     LINKTYPE_LINUX_SLL,
     {"0000 0001 0006 0200000000010000 8100 0007 86dd", "ip6 6", "tcp"},
     7,
     0},
    {"Linux cooked, LLC",
     LINKTYPE_LINUX_SLL,
     {"0000 0001 0006 0200000000010000 0004", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"Linux cooked 2",
     LINKTYPE_LINUX_SLL2,
     {"86dd 0000 00000002 0001 00 06 0200000000010000", "ip6 6", "tcp"},
     0,
     0},
    {"FireWire",
     LINKTYPE_APPLE_IP_OVER_IEEE1394,
     {"0200000000000001 0200000000000002 0800", "ip4 6", "tcp"},
     0,
     0},
    {"InfiniBand",
     LINKTYPE_IPOIB,
     {"00000000000000000000 00000000000000000000 00000000000000000000 00000000000000000000"
      "0800 0000",
      "ip4 6", "tcp"},
     0,
     0},
    {"802.11 from the AP",
     LINKTYPE_IEEE802_11,
     {"0802 " WIFI_ADDR "1000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"802.11 QoS",
     LINKTYPE_IEEE802_11,
     {"8801 " WIFI_ADDR "1000 0000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"802.11 QoS with HT control",
     LINKTYPE_IEEE802_11,
     {"8881 " WIFI_ADDR "1000 0000 00000000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"802.11 four addresses",
     LINKTYPE_IEEE802_11,
     {"0803 " WIFI_ADDR "1000 020000000004", SNAP "86dd", "ip6 6", "tcp"},
     0,
     0},
    {"802.11 A-MSDU",
     LINKTYPE_IEEE802_11,
     {"8802 " WIFI_ADDR "1000 8000", MACS, "len2 0", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"radiotap",
     LINKTYPE_IEEE802_11_RADIOTAP,
     {"00 00 0800 00000000", "0802 " WIFI_ADDR "1000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"radiotap, padded header after TSFT and a second word of bits",
     LINKTYPE_IEEE802_11_RADIOTAP,
     {"00 00 1a00 03000080 00000000 00000000 0000000000000000 20 00",
      "8802 " WIFI_ADDR "1000 0000 0000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"AVS",
     LINKTYPE_IEEE802_11_AVS,
     {"80211001 0000000c 00000000", "0802 " WIFI_ADDR "1000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"Prism",
     LINKTYPE_IEEE802_11_PRISM,
     {"44000000 0c000000 00000000", "0802 " WIFI_ADDR "1000", SNAP "0800", "ip4 6", "tcp"},
     0,
     0},
    {"PPI", LINKTYPE_PPI, {"0000 0800 01000000", MACS "8100 0007 0800", "ip4 6", "tcp"}, 7, 0},
    {"MPLS link", LINKTYPE_MPLS, {"00064140", "ip6 6", "tcp"}, 0, 0},
    {"NFLOG, little-endian",
     LINKTYPE_NFLOG,
     {"02 00 0000 0800 0100 0800 0000 3400 0900", "ip4 6", "tcp"},
     0,
     0},
    {"NFLOG, big-endian",
     LINKTYPE_NFLOG,
     {"0a 00 0000 0005 000a 78000000 0048 0009", "ip6 6", "tcp"},
     0,
     0},
};

Test(link, every_link_type_whole_and_at_every_length)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *wrong = frame_row_check(&rows[i]);
		cr_expect_null(wrong, "%s: %s", rows[i].name, wrong);
	}
}

Test(link, every_listed_link_type_is_tested)
{
	static const uint32_t numbers[] = {
#define LINK_TYPE(number, name, decoder) number,
#include "decoders/link_types.def"
#undef LINK_TYPE
	};
	for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
		bool tested = false;
		for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
			tested |= rows[i].link_type == numbers[n];
		cr_expect(tested, "link type %u", numbers[n]);
	}
}

Test(link, names)
{
	cr_assert_str_eq(link_type_name(0), "NULL");
	cr_assert_str_eq(link_type_name(1), "ETHERNET");
	cr_assert_null(link_type_name(147));
}

/* Frames that hold nothing for us, or make no sense. */
static const struct {
	const char *name;
	uint32_t link_type;
	const char *layers[FRAME_LAYERS];
	enum packet_outcome outcome;
} others[] = {
    {"ARP", LINKTYPE_ETHERNET, {MACS "0806 0001"}, PACKET_OTHER},
    {"spanning tree", LINKTYPE_ETHERNET, {MACS "0003 424203"}, PACKET_OTHER},
    {"PPPoE discovery", LINKTYPE_ETHERNET, {MACS "8863 1109 0000 0000"}, PACKET_OTHER},
    {"PPPoE of another version", LINKTYPE_ETHERNET, {MACS "8864 2100 0001 0000"}, PACKET_MALFORMED},
    {"LCP", LINKTYPE_PPP, {"ff03 c021 0101"}, PACKET_OTHER},
    {"IP of version 5", LINKTYPE_RAW, {"55000000"}, PACKET_MALFORMED},
    {"IP header of 16 bytes",
     LINKTYPE_RAW,
     {"44000028 00000000 40060000 c0000201 c6336402"},
     PACKET_MALFORMED},
    {"802.11 beacon", LINKTYPE_IEEE802_11, {"8000 " WIFI_ADDR "1000"}, PACKET_OTHER},
    {"802.11 protected",
     LINKTYPE_IEEE802_11,
     {"0842 " WIFI_ADDR "1000", SNAP "0800", "ip4 6", "tcp"},
     PACKET_OTHER},
    {"802.11 null", LINKTYPE_IEEE802_11, {"4801 " WIFI_ADDR "1000"}, PACKET_OTHER},
    {"802.11 fragment",
     LINKTYPE_IEEE802_11,
     {"0806 " WIFI_ADDR "1000", SNAP "0800", "ip4 6", "tcp"},
     PACKET_OTHER},
    {"radiotap of another version",
     LINKTYPE_IEEE802_11_RADIOTAP,
     {"01 00 0800 00000000"},
     PACKET_MALFORMED},
    {"PPI in PPI", LINKTYPE_PPI, {"0000 0800 c0000000"}, PACKET_OTHER},
    {"other address family", LINKTYPE_NULL, {"07000000"}, PACKET_OTHER},
    {"netlink", LINKTYPE_LINUX_SLL, {"0004 0338 0000 0000000000000000 0800"}, PACKET_OTHER},
    {"NFLOG without a packet", LINKTYPE_NFLOG, {"02 00 0000 0800 0100 0800 0000"}, PACKET_OTHER},
    {"NFLOG attribute too short",
     LINKTYPE_NFLOG,
     {"02 00 0000 0300 0100 00000000"},
     PACKET_MALFORMED},
    {"unknown", 147, {"00"}, PACKET_UNKNOWN_LINK},
};

Test(link, frames_without_a_segment)
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
		cr_expect_eq(packet_decode(&decoder, others[i].link_type, 0, 0, 0, bytes,
					   (uint32_t)frame.len, &segment),
			     others[i].outcome, "%s", others[i].name);
	}
	packet_decoder_free(&decoder);
}
