/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tcp.h"
#include "tests/support/frame.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A header of 20 bytes plus options, as hex; the data offset is in it. */
static enum parse_result parse(const char *hex, uint32_t wire_len, struct tcp_segment *segment)
{
	struct frame frame;
	const char *const layers[FRAME_LAYERS] = {hex};
	frame_build(&frame, layers);
	struct span bytes = span_of(guarded_copy(span_of(frame.bytes, frame.len)), frame.len);
	return tcp_parse(bytes, wire_len != 0 ? wire_len : (uint32_t)frame.len, segment);
}

#define PORTS_SEQ_ACK "0019 9c40 11223344 55667788 "

Test(tcp, fields)
{
	struct tcp_segment s;
	cr_assert_eq(parse(PORTS_SEQ_ACK "50 39 abcd 0000 0102 4142", 0, &s), PARSE_DONE);
	cr_expect_eq(s.src.port, 25);
	cr_expect_eq(s.dst.port, 40000);
	cr_expect_eq(s.seq, 0x11223344);
	cr_expect_eq(s.ack, 0x55667788);
	cr_expect_eq(s.flags, TCP_URG | TCP_ACK | TCP_PSH | TCP_FIN);
	cr_expect_eq(s.window, 0xabcd);
	cr_expect_eq(s.urgent, 0x0102);
	cr_expect(span_equal(s.payload, span_str("AB")));
	cr_expect_eq(s.payload_len, 2);
	cr_expect_not(s.has_timestamp);
}

Test(tcp, options)
{
	static const struct {
		const char *name, *hex;
		bool has_timestamp;
	} rows[] = {
	    {"as usual", "80 10 0000 0000 0000 0101080a 01020304 00000000", true},
	    {"of a SYN", "a0 02 0000 0000 0000 020405b4 0402 080a 01020304 00000000 01 030307",
	     true},
	    {"after an end", "80 10 0000 0000 0000 0000080a 01020304 00000000", false},
	    {"wrong length of a timestamp", "80 10 0000 0000 0000 01010809 01020304 000000 00",
	     false},
	    {"length 0", "60 10 0000 0000 0000 0500080a", false},
	    {"length beyond the header", "60 10 0000 0000 0000 0101080a", false},
	    {"kind without length", "60 10 0000 0000 0000 01010108", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char hex[256];
		struct tcp_segment s;
		(void)snprintf(hex, sizeof hex, "%s%s", PORTS_SEQ_ACK, rows[i].hex);
		cr_expect_eq(parse(hex, 0, &s), PARSE_DONE, "%s", rows[i].name);
		cr_expect_eq(s.has_timestamp, rows[i].has_timestamp, "%s", rows[i].name);
		cr_expect_eq(s.timestamp, rows[i].has_timestamp ? 0x01020304 : 0, "%s",
			     rows[i].name);
		cr_expect_eq(s.payload_len, 0, "%s", rows[i].name);
	}
}

Test(tcp, what_cannot_be_a_header)
{
	static const struct {
		const char *name, *hex;
		uint32_t wire_len;
		enum parse_result result;
	} rows[] = {
	    {"empty", "", 0, PARSE_MALFORMED},
	    {"19 bytes", PORTS_SEQ_ACK "5010 0000 0000 00", 0, PARSE_MALFORMED},
	    {"19 of 20 bytes", PORTS_SEQ_ACK "5010 0000 0000 00", 20, PARSE_MORE},
	    {"offset below the header", PORTS_SEQ_ACK "4010 0000 0000 0000", 0, PARSE_MALFORMED},
	    {"offset beyond the datagram", PORTS_SEQ_ACK "6010 0000 0000 0000", 0, PARSE_MALFORMED},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tcp_segment s;
		cr_expect_eq(parse(rows[i].hex, rows[i].wire_len, &s), rows[i].result, "%s",
			     rows[i].name);
	}
}

Test(tcp, cut_by_the_capture)
{
	struct tcp_segment s;
	cr_assert_eq(parse(PORTS_SEQ_ACK "8010 0000 0000 0000 0101", 132, &s), PARSE_DONE);
	cr_expect_eq(s.payload.len, 0);
	cr_expect_eq(s.payload_len, 100);
	cr_expect_not(s.has_timestamp);
	cr_expect(tcp_checksum_ok(&s), "it cannot be told");
}

static void set_addresses(struct tcp_segment *s, const char *src, const char *dst)
{
	cr_assert(ip_addr_parse(src, strlen(src), &s->src.addr));
	cr_assert(ip_addr_parse(dst, strlen(dst), &s->dst.addr));
}

/* Checksums computed by another implementation (Scapy). */
Test(tcp, checksum)
{
	static const struct {
		const char *src, *dst, *hex;
	} rows[] = {
	    {"192.0.2.1", "198.51.100.2",
	     "9c4000190000000700000009501820004821000045484c4f20610d0a"},
	    {"192.0.2.1", "198.51.100.2", "9c40001900000007000000095018200033c400006f6464"},
	    {"2001:db8::1", "2001:db8::2", "9c400019000000070000000950182000f0340000515549540d0a"},
	    {"2001:db8::1", "2001:db8:ffff::2",
	     "9c40001900000007000000095018200098d80000ffffffffffffffffffffffffffffffffffffffffff"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tcp_segment s = {0};
		set_addresses(&s, rows[i].src, rows[i].dst);
		cr_assert_eq(parse(rows[i].hex, 0, &s), PARSE_DONE);
		cr_expect(tcp_checksum_ok(&s), "row %zu", i);
		s.src.addr.bytes[3] ^= 1;
		cr_expect_not(tcp_checksum_ok(&s), "row %zu, another address", i);
	}
}
