/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/dns.h"

#include <criterion/criterion.h>

/* A message under construction. */
struct message {
	uint8_t bytes[1024];
	size_t len;
};

static void put(struct message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static void put_u16(struct message *m, unsigned value)
{
	const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};
	put(m, bytes, 2);
}

static void put_name(struct message *m, const char *name)
{
	while (*name != '\0') {
		const char *dot = strchr(name, '.');
		size_t len = dot == NULL ? strlen(name) : (size_t)(dot - name);
		const uint8_t size = (uint8_t)len;
		put(m, &size, 1);
		put(m, name, len);
		name += len + (dot != NULL);
	}
	put(m, "", 1);
}

static void begin(struct message *m, unsigned flags, unsigned answers, unsigned additional,
		  const char *name, unsigned type)
{
	m->len = 0;
	put_u16(m, 0x1234);
	put_u16(m, flags);
	put_u16(m, 1);
	put_u16(m, answers);
	put_u16(m, 0);
	put_u16(m, additional);
	put_name(m, name);
	put_u16(m, type);
	put_u16(m, 1);
}

static void put_record(struct message *m, unsigned type, unsigned ttl, const void *data, size_t len)
{
	put_u16(m, type);
	put_u16(m, 1);
	put_u16(m, 0);
	put_u16(m, ttl);
	put_u16(m, (unsigned)len);
	put(m, data, len);
}

static enum parse_result read_message(const struct message *m, struct dns_answers *answers)
{
	return dns_read(span_of(m->bytes, m->len), answers);
}

static const uint8_t address[] = {192, 0, 2, 25};

Test(dns, reads_an_address_behind_an_alias)
{
	struct message m;
	struct dns_answers answers;
	begin(&m, 0x8180, 2, 0, "MX.Example.org", 1);
	put_u16(&m, 0xc00c);
	put_record(&m, 5, 60, "\4real\4host\7example\0", 19);
	put_name(&m, "real.host.example");
	put_record(&m, 1, 300, address, 4);
	cr_assert_eq(read_message(&m, &answers), PARSE_DONE);
	cr_assert_eq(answers.count, 1);
	const struct dns_fact *fact = &answers.facts[0];
	cr_expect_eq(fact->kind, DNS_FACT_ADDRESS);
	cr_expect_str_eq(fact->name, "real.host.example");
	cr_expect_str_eq(fact->target, "mx.example.org", "the name that was asked for, lower case");
	cr_expect_eq(fact->ttl, 60, "the least of the chain");
	cr_expect_eq(fact->address.version, 4);
	cr_expect_arr_eq(fact->address.bytes, address, 4);
	cr_expect_eq(answers.trust, DNS_TRUST_NONE);
}

Test(dns, reads_mx_and_the_addresses_that_came_with_it)
{
	struct message m;
	struct dns_answers answers;
	begin(&m, 0x8180, 1, 2, "example.org", 15);
	put_u16(&m, 0xc00c);
	put_record(&m, 15, 300, "\0\12\2mx\xc0\x0c", 7);
	put_name(&m, "mx.example.org");
	put_record(&m, 1, 300, address, 4);
	put_name(&m, "bank.example");
	put_record(&m, 1, 300, address, 4);
	cr_assert_eq(read_message(&m, &answers), PARSE_DONE);
	cr_assert_eq(answers.count, 2, "the address of another host is none of its business");
	cr_expect_eq(answers.facts[0].kind, DNS_FACT_MX);
	cr_expect_str_eq(answers.facts[0].name, "example.org");
	cr_expect_str_eq(answers.facts[0].target, "mx.example.org");
	cr_expect_str_eq(answers.facts[1].name, "mx.example.org");
}

Test(dns, reads_tlsa_with_its_port_and_trust)
{
	struct message m;
	struct dns_answers answers;
	uint8_t data[35] = {3, 1, 1, 0xaa};
	begin(&m, 0x81a0, 1, 0, "_25._tcp.mx.example.org", 52);
	put_u16(&m, 0xc00c);
	put_record(&m, 52, 300, data, sizeof data);
	cr_assert_eq(read_message(&m, &answers), PARSE_DONE);
	cr_assert_eq(answers.count, 1);
	cr_expect_eq(answers.trust, DNS_TRUST_AUTHENTICATED);
	cr_expect_eq(answers.facts[0].kind, DNS_FACT_TLSA);
	cr_expect_str_eq(answers.facts[0].name, "mx.example.org");
	cr_expect_eq(answers.facts[0].port, 25);
	cr_expect_eq(answers.facts[0].usage, 3);
	cr_expect_eq(answers.facts[0].data_len, 32);
	cr_expect_eq(answers.facts[0].data[0], 0xaa);
}

Test(dns, reads_the_announcement_of_mta_sts_and_no_other_text)
{
	static const struct {
		const char *name, *text;
		unsigned count;
	} rows[] = {
	    {"_mta-sts.example.org", "v=STSv1; id=20260101;", 1},
	    {"_MTA-STS.Example.org", "v=STSv1;id=1", 1},
	    {"_mta-sts.example.org", "v=STSv2; id=1", 0},
	    {"_mta-sts.example.org", "v=spf1 -all", 0},
	    {"_mta-sts.example.org", "", 0},
	    {"example.org", "v=STSv1; id=1;", 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct message m;
		struct dns_answers answers;
		char text[64];
		text[0] = (char)strlen(rows[i].text);
		memcpy(text + 1, rows[i].text, strlen(rows[i].text));
		begin(&m, 0x8180, 1, 0, rows[i].name, 16);
		put_u16(&m, 0xc00c);
		put_record(&m, 16, 300, text, 1 + strlen(rows[i].text));
		cr_assert_eq(read_message(&m, &answers), PARSE_DONE);
		cr_expect_eq(answers.count, rows[i].count, "row %zu", i);
		if (answers.count == 1)
			cr_expect_str_eq(answers.facts[0].name, "example.org");
	}
}

Test(dns, refuses_queries_errors_and_loops)
{
	struct message m;
	struct dns_answers answers;
	begin(&m, 0x0100, 0, 0, "example.org", 15);
	cr_expect_eq(read_message(&m, &answers), PARSE_MALFORMED, "a query");
	begin(&m, 0x8183, 0, 0, "example.org", 15);
	cr_expect_eq(read_message(&m, &answers), PARSE_MALFORMED, "NXDOMAIN");

	static const uint8_t loop[] = {0x12, 0x34, 0x81, 0x80, 0,    1, 0, 0, 0,
				       0,    0,    0,    0xc0, 0x0c, 0, 1, 0, 1};
	cr_expect_eq(dns_read(span_of(loop, sizeof loop), &answers), PARSE_MALFORMED, "to itself");
	static const uint8_t forward[] = {0x12, 0x34, 0x81, 0x80, 0,    1,    0,  0, 0, 0, 0,
					  0,    1,    'a',  0xc0, 0x10, 0xc0, 12, 0, 1, 0, 1};
	cr_expect_eq(dns_read(span_of(forward, sizeof forward), &answers), PARSE_MALFORMED,
		     "forward");
	/* A label that points back to its own beginning would grow without end. */
	static const uint8_t growing[] = {0x12, 0x34, 0x81, 0x80, 0,    1,    0, 0, 0, 0,
					  0,    0,    1,    'a',  0xc0, 0x0c, 0, 1, 0, 1};
	cr_expect_eq(dns_read(span_of(growing, sizeof growing), &answers), PARSE_MALFORMED,
		     "growing");
}

Test(dns, a_dot_inside_a_label_is_no_border)
{
	struct message m;
	struct dns_answers answers;
	begin(&m, 0x8180, 1, 0, "example.org", 1);
	static const char name[] = "\11mx.bank\001y\7example";
	put(&m, name, sizeof name);
	put_record(&m, 1, 300, address, 4);
	cr_assert_eq(read_message(&m, &answers), PARSE_DONE);
	cr_expect_str_eq(answers.facts[0].name, "mx?bank?y.example");
}

/* However it is cut, a message is no more than MORE, and nothing is read behind its end. */
Test(dns, every_prefix_needs_more)
{
	struct message m;
	struct dns_answers answers;
	begin(&m, 0x8180, 2, 0, "example.org", 15);
	put_u16(&m, 0xc00c);
	put_record(&m, 15, 300, "\0\12\2mx\xc0\x0c", 7);
	put_name(&m, "example.org");
	put_record(&m, 1, 300, address, 4);
	for (size_t len = 0; len < m.len; len++) {
		uint8_t *copy = malloc(len + 1);
		memcpy(copy, m.bytes, len);
		cr_expect_eq(dns_read(span_of(copy, len), &answers), PARSE_MORE, "%zu bytes", len);
		free(copy);
	}
	cr_expect_eq(read_message(&m, &answers), PARSE_DONE);
	/* What the server itself cut (TC) is read as far as it goes. */
	m.bytes[2] |= 2;
	m.len -= 6;
	cr_expect_eq(read_message(&m, &answers), PARSE_DONE);
	cr_expect_eq(answers.count, 1);
}

Test(dns, keeps_no_more_facts_than_there_is_room)
{
	struct message m;
	struct dns_answers answers;
	begin(&m, 0x8180, DNS_FACTS_MAX + 3, 0, "example.org", 1);
	for (unsigned i = 0; i < DNS_FACTS_MAX + 3; i++) {
		put_u16(&m, 0xc00c);
		put_record(&m, 1, 300, address, 4);
	}
	cr_assert_eq(read_message(&m, &answers), PARSE_DONE);
	cr_expect_eq(answers.count, DNS_FACTS_MAX);
	cr_expect_eq(answers.dropped, 3);
}
