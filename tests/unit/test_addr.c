/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/addr.h"

#include <criterion/criterion.h>
#include <string.h>

static bool parse(const char *text, struct ip_addr *addr)
{
	return ip_addr_parse(text, strlen(text), addr);
}

/* RFC 5952: what goes in, and the one text that comes out. */
Test(addr, text_there_and_back)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"0.0.0.0", "0.0.0.0"},
	    {"255.255.255.255", "255.255.255.255"},
	    {"192.0.2.10", "192.0.2.10"},
	    {"::", "::"},
	    {"::1", "::1"},
	    {"1::", "1::"},
	    {"2001:DB8::1", "2001:db8::1"},
	    {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
	    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
	    {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
	    {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ip_addr addr;
		char text[IP_ADDR_TEXT];
		cr_assert(parse(rows[i].in, &addr), "%s", rows[i].in);
		cr_expect_eq(ip_addr_text(&addr, text), strlen(rows[i].out));
		cr_expect_str_eq(text, rows[i].out);
	}
}

Test(addr, what_is_no_address)
{
	static const char *const rows[] = {"",
					   "1.2.3",
					   "1.2.3.4.5",
					   "1.2.3.256",
					   "1.2.3.4 ",
					   "1..2.3",
					   ":",
					   ":::",
					   "1::2::3",
					   "1:2:3:4:5:6:7",
					   "1:2:3:4:5:6:7:8:9",
					   "12345::",
					   "g::",
					   "::1.2.3",
					   "1:",
					   "::1:",
					   "1:2:3:4:5:6:7:1.2.3.4",
					   "1.2.3.0004"};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ip_addr addr = {.version = 99};
		cr_expect_not(parse(rows[i], &addr), "'%s'", rows[i]);
		cr_expect_eq(addr.version, 99, "'%s' changed the result", rows[i]);
	}
}

Test(addr, literals)
{
	static const struct {
		const char *literal, *address; /* NULL: none */
	} rows[] = {
	    {"192.0.2.25", "192.0.2.25"},
	    {"[192.0.2.25]", "192.0.2.25"},
	    {"[IPv6:2001:DB8::25]", "2001:db8::25"},
	    {"[ipv6:2001:db8::25]", "2001:db8::25"},
	    {"[2001:db8::25]", "2001:db8::25"},
	    {"2001:db8::25", "2001:db8::25"},
	    {"[192.0.2.25", NULL},
	    {"192.0.2.25]", NULL},
	    {"[]", NULL},
	    {"[", NULL},
	    {"[IPv6:]", NULL},
	    {"IPv6:2001:db8::25", NULL},
	    {"[IPv6:192.0.2.25]", NULL},
	    {"[mx.example.org]", NULL},
	    {"mx.example.org", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ip_addr addr = {0};
		char text[IP_ADDR_TEXT];
		cr_expect_eq(ip_addr_parse_literal(rows[i].literal, strlen(rows[i].literal), &addr),
			     rows[i].address != NULL, "'%s'", rows[i].literal);
		(void)ip_addr_text(&addr, text);
		cr_expect_str_eq(text, rows[i].address != NULL ? rows[i].address : "");
	}
}

Test(addr, no_address_is_an_empty_text)
{
	struct ip_addr none = {0};
	char text[IP_ADDR_TEXT] = "x";
	cr_expect_eq(ip_addr_text(&none, text), 0);
	cr_expect_str_eq(text, "");
}

Test(addr, order)
{
	struct ip_addr low, high, six;
	cr_assert(parse("1.2.3.4", &low) && parse("1.2.3.5", &high) && parse("::", &six));
	cr_expect_lt(ip_addr_compare(&low, &high), 0);
	cr_expect_gt(ip_addr_compare(&high, &low), 0);
	cr_expect_lt(ip_addr_compare(&high, &six), 0, "version first");
	cr_expect(ip_addr_equal(&low, &low));
	cr_expect_not(ip_addr_equal(&low, &high));
}

Test(addr, network)
{
	static const struct {
		const char *addr;
		unsigned prefix_len;
		const char *network;
	} rows[] = {
	    {"192.0.2.255", 0, "0.0.0.0"},
	    {"192.0.2.255", 24, "192.0.2.0"},
	    {"192.0.2.255", 25, "192.0.2.128"},
	    {"192.0.2.255", 32, "192.0.2.255"},
	    {"2001:db8:1:2:3::4", 64, "2001:db8:1:2::"},
	    {"2001:db8::ff", 121, "2001:db8::80"},
	    {"2001:db8::ff", 128, "2001:db8::ff"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct ip_addr addr, want;
		cr_assert(parse(rows[i].addr, &addr) && parse(rows[i].network, &want));
		struct ip_addr got = ip_addr_network(&addr, rows[i].prefix_len);
		cr_expect(ip_addr_equal(&got, &want), "%s/%u", rows[i].addr, rows[i].prefix_len);
	}
}
