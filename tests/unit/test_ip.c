/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/ip.h"
#include "tests/support/frame.h"

#include <criterion/criterion.h>

/* One datagram in front of a guard page; wire_len 0: as long as the bytes. */
static enum parse_result parse(const char *const layers[FRAME_LAYERS], size_t wire_len,
			       struct ip_datagram *ip)
{
	struct frame frame;
	frame_build(&frame, layers);
	struct layer layer = {
	    .kind = LAYER_IP,
	    .bytes = span_of(guarded_copy(span_of(frame.bytes, frame.len)), frame.len),
	    .wire_len = wire_len != 0 ? wire_len : frame.len,
	};
	return ip_parse(&layer, ip);
}

#define V4(length, fragment, protocol)                                                             \
	"4500" length "1234" fragment "40" protocol "0000 c0000201 c6336402"
#define V6(length, next)                                                                           \
	"60000000" length next                                                                     \
	"40 20010db8000000000000000000000001 20010db8000000000000000000000002"

/* What a well-formed datagram holds. */
static const struct {
	const char *name;
	const char *layers[FRAME_LAYERS];
	uint8_t protocol;
	uint32_t payload_len;
	bool is_fragment, more;
	uint32_t offset, id;
} rows[] = {
    {"plain", {V4("0018", "4000", "06") "41424344"}, 6, 4, false, false, 0, 0x1234},
    {"padding is no payload",
     {V4("0018", "0000", "06") "41424344 0000"},
     6,
     4,
     false,
     false,
     0,
     0x1234},
    {"length 0 of offload", {V4("0000", "0000", "06") "41424344"}, 6, 4, false, false, 0, 0x1234},
    {"IPv4 options",
     {"4600 001c 1234 0000 4006 0000 c0000201 c6336402 94040000 41424344"},
     6,
     4,
     false,
     false,
     0,
     0x1234},
    {"first fragment", {V4("001c", "2000", "06") "4142434445464748"}, 6, 8, true, true, 0, 0x1234},
    {"last fragment", {V4("0018", "0003", "06") "41424344"}, 6, 4, true, false, 24, 0x1234},
    {"IPv4, AH",
     {V4("0030", "0000", "33") "0604 0000 00000001 00000001 000000000000000000000000 41424344"},
     6,
     4,
     false,
     false,
     0,
     0x1234},
    {"a fragment of AH is not opened",
     {V4("0018", "2000", "33") "06040000"},
     51,
     4,
     true,
     true,
     0,
     0x1234},
    {"IPv4 has no hop-by-hop",
     {V4("001c", "0000", "00") "0600000000000000"},
     0,
     8,
     false,
     false,
     0,
     0x1234},
    {"IPv6", {V6("0004", "06") "41424344"}, 6, 4, false, false, 0, 0},
    {"IPv6, padding", {V6("0004", "06") "41424344 4142"}, 6, 4, false, false, 0, 0},
    {"IPv6, length 0 of offload", {V6("0000", "06") "41424344"}, 6, 4, false, false, 0, 0},
    {"IPv6, jumbo", {V6("0000", "00") "0600 c204 0000000c 41424344"}, 6, 4, false, false, 0, 0},
    {"IPv6, all extensions",
     {V6("0040", "00") "3c00010400000000" /* hop-by-hop, then destination */
		       "2b00010400000000" /* routing */
		       "8700000000000000" /* mobility */
		       "8b00000000000000" /* HIP */
		       "8c00000000000000" /* shim6 */
		       "3300000000000000" /* AH follows */
		       "0601 0000 00000001 00000001"
		       "41424344"},
     6,
     4,
     false,
     false,
     0,
     0},
    {"IPv6 fragment",
     {V6("0010", "2c") "06000009 deadbeef 4142434445464748"},
     6,
     8,
     true,
     true,
     8,
     0xdeadbeef},
    {"IPv6 atomic fragment",
     {V6("000c", "2c") "06000000 deadbeef 41424344"},
     6,
     4,
     false,
     false,
     0,
     0},
};

Test(ip, datagrams)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ip_datagram ip;
		cr_expect_eq(parse(rows[i].layers, 0, &ip), PARSE_DONE, "%s", rows[i].name);
		cr_expect_eq(ip.protocol, rows[i].protocol, "%s: protocol %u", rows[i].name,
			     ip.protocol);
		cr_expect_eq(ip.payload_len, rows[i].payload_len, "%s: length %u", rows[i].name,
			     ip.payload_len);
		cr_expect_eq(ip.payload.len, rows[i].payload_len, "%s", rows[i].name);
		cr_expect_eq(ip.is_fragment, rows[i].is_fragment, "%s", rows[i].name);
		cr_expect_eq(ip.more_fragments, rows[i].more, "%s", rows[i].name);
		cr_expect_eq(ip.fragment_offset, rows[i].offset, "%s", rows[i].name);
		cr_expect_eq(ip.fragment_id, rows[i].id, "%s", rows[i].name);
		cr_expect_eq(ip.ttl, 64, "%s", rows[i].name);
	}
}

/* Any prefix: never DONE with a payload that was not captured, never a read too far. */
Test(ip, every_prefix)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct frame frame;
		frame_build(&frame, rows[i].layers);
		for (size_t len = 0; len < frame.len; len++) {
			struct ip_datagram ip;
			struct layer layer = {
			    .kind = LAYER_IP,
			    .bytes = span_of(guarded_copy(span_of(frame.bytes, len)), len),
			    .wire_len = frame.len,
			};
			enum parse_result result = ip_parse(&layer, &ip);
			cr_expect_neq(result, PARSE_MALFORMED, "%s at %zu", rows[i].name, len);
			if (result == PARSE_DONE)
				cr_expect_leq(ip.payload.len, ip.payload_len, "%s at %zu",
					      rows[i].name, len);
		}
	}
}

static const struct {
	const char *name;
	const char *layers[FRAME_LAYERS];
	size_t wire_len;
	enum parse_result result;
} bad[] = {
    {"empty", {""}, 0, PARSE_MALFORMED},
    {"empty, cut", {""}, 20, PARSE_MORE},
    {"version 3", {"30"}, 0, PARSE_MALFORMED},
    {"length below the header", {V4("0013", "0000", "06")}, 0, PARSE_MALFORMED},
    {"longer than its layer", {V4("0019", "0000", "06") "41424344"}, 0, PARSE_MALFORMED},
    {"IPv6, longer than its layer", {V6("0005", "06") "41424344"}, 0, PARSE_MALFORMED},
    {"IPv6, extension beyond the end", {V6("0008", "00") "0601000000000000"}, 0, PARSE_MALFORMED},
    {"IPv6, extension of 4 bytes", {V6("0004", "3c") "06000000"}, 0, PARSE_MALFORMED},
    {"IPv6, extension cut", {V6("0010", "3c") "0601000000000000"}, 56, PARSE_MORE},
};

Test(ip, what_is_no_datagram)
{
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct ip_datagram ip;
		cr_expect_eq(parse(bad[i].layers, bad[i].wire_len, &ip), bad[i].result, "%s",
			     bad[i].name);
	}
}

Test(ip, extensions_have_an_end)
{
	static const char eight[] = "3c00000000000000 3c00000000000000 3c00000000000000"
				    "3c00000000000000 3c00000000000000 3c00000000000000"
				    "3c00000000000000 3c00000000000000";
	const char *const layers[FRAME_LAYERS] = {"ip6 60", eight, eight, eight, eight, eight};
	struct ip_datagram ip;
	cr_expect_eq(parse(layers, 0, &ip), PARSE_MALFORMED);
}

Test(ip, last_stop_of_a_route)
{
	static const struct {
		const char *name, *header, *dst;
	} routes[] = {
	    {"segments, one left", "0602 04 01 00000000 20010db80000000000000000000000ff",
	     "2001:db8::ff"},
	    {"segments, none left", "0602 04 00 00000000 20010db80000000000000000000000ff",
	     "2001:db8::2"},
	    {"mobile host", "0602 02 01 00000000 20010db80000000000000000000000ff", "2001:db8::ff"},
	    {"unknown type", "0602 07 01 00000000 20010db80000000000000000000000ff", "2001:db8::2"},
	};
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		const char *const layers[FRAME_LAYERS] = {"ip6 43", routes[i].header, "41424344"};
		char text[IP_ADDR_TEXT];
		struct ip_datagram ip;
		cr_expect_eq(parse(layers, 0, &ip), PARSE_DONE);
		(void)ip_addr_text(&ip.dst, text);
		cr_expect_str_eq(text, routes[i].dst, "%s", routes[i].name);
	}
}
