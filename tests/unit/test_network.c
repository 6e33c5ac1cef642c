/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/network.h"

#include <criterion/criterion.h>

static struct ip_addr addr(const char *text)
{
	struct ip_addr result;
	cr_assert(ip_addr_parse(text, strlen(text), &result), "%s", text);
	return result;
}

Test(network, covers_what_its_prefix_says)
{
	static const struct {
		const char *network, *inside, *outside;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
	    {"192.0.2.77/24", "192.0.2.0", "192.0.3.0"},
	    {"0.0.0.0/0", "203.0.113.9", "::1"},
	    {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
	    {"::/0", "2001:db8::1", "192.0.2.1"},
	    {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct network network;
		cr_assert(network_parse(span_str(cases[i].network), &network), "%s",
			  cases[i].network);
		struct ip_addr inside = addr(cases[i].inside), outside = addr(cases[i].outside);
		cr_expect(network_covers(&network, &inside), "%s", cases[i].network);
		cr_expect_not(network_covers(&network, &outside), "%s", cases[i].network);
	}
	const struct network any = {.prefix_len = 0};
	struct ip_addr v6 = addr("2001:db8::1");
	cr_expect(network_covers(&any, &v6));
}

Test(network, refuses_what_is_none)
{
	static const char *const texts[] = {"",
					    "/",
					    "/24",
					    "192.0.2.1/",
					    "192.0.2.1/33",
					    "192.0.2.1/-1",
					    "192.0.2.1/2 ",
					    "2001:db8::/129",
					    "192.0.2",
					    "mx.example.org",
					    "192.0.2.1/24/24",
					    "192.0.2.1/0000024"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct network network;
		cr_expect_not(network_parse(span_str(texts[i]), &network), "%s", texts[i]);
	}
}

Test(network, reads_numbers_up_to_their_end)
{
	unsigned number = 7;
	cr_expect(number_parse(span_str("65535"), 65535, &number) && number == 65535);
	cr_expect(number_parse(span_str("000000"), 1, &number) && number == 0);
	number = 7;
	cr_expect_not(number_parse(span_str("65536"), 65535, &number));
	cr_expect_not(number_parse(span_str("4294967297"), 65535, &number));
	cr_expect_not(number_parse(span_str(""), 65535, &number));
	cr_expect_not(number_parse(span_str("1a"), 65535, &number));
	cr_expect_eq(number, 7);
}
