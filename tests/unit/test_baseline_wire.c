/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_wire.h"

#include <criterion/criterion.h>

static struct server_memory sample(void)
{
	struct server_memory server = {
	    .endpoint = {.addr = {.bytes = {192, 0, 2, 1}, .version = 4}, .port = 25},
	    .name = "mx.example.org",
	    .network_count = 2,
	    .networks = {{.network = {.bytes = {10, 0, 0, 0}, .version = 4}, .offers = 7},
			 {.network = {.bytes = {0x20, 1, 0xd, 0xb8}, .version = 6}, .missing = 9}},
	    .member_count = 1,
	    .members = {{.name = 99,
			 .offers = 3,
			 .missing = 4,
			 .returns = 2,
			 .alternations = 1,
			 .missing_several = true,
			 .missing_network = {.bytes = {10, 0, 7, 0}, .version = 4}}},
	    .recent_count = 1,
	    .recent = {{.client = {.bytes = {10, 0, 0, 1}, .version = 4}, .offered_s = 5000}},
	    .certificate_count = 1,
	    .certificates = {{.sha256 = {1, 2, 0xfe},
			      .key_sha256 = {3},
			      .issuer = UINT64_MAX - 1,
			      .names = {5, 6},
			      .parents = {7, 0},
			      .name_count = 2,
			      .not_before = -100,
			      .not_after = 2000000000,
			      .first_s = 10,
			      .last_s = 20,
			      .sessions = 4}},
	};
	int64_t number = 1;
#define COLUMN(column, field, type, max, merge) server.field = (type)((max) == 1 ? 1 : number++);
#include "alerts/baseline_columns.def"
	return server;
}

static struct span write(struct buffer *buffer, const struct server_memory *server)
{
	buffer_clear(buffer);
	struct json json = json_into(buffer, false);
	baseline_wire_write(&json, server);
	cr_assert_not(buffer->failed);
	return buffer_span(buffer);
}

Test(baseline_wire, what_is_written_is_read)
{
	struct budget budget;
	struct buffer buffer;
	budget_init(&budget, 1 << 20);
	buffer_init(&buffer, &budget, BASELINE_WIRE_MAX);
	struct server_memory server = sample();
	struct server_memory read = {.endpoint = server.endpoint};
	cr_assert(baseline_wire_read(write(&buffer, &server), &read));
#define COLUMN(column, field, type, max, merge)                                                    \
	cr_expect_eq(read.field, server.field, #column ": %lld", (long long)read.field);
#include "alerts/baseline_columns.def"
	cr_expect_str_eq(read.name, server.name);
	cr_expect_eq(read.endpoint.port, 25);
	cr_expect_eq(read.network_count, 2);
	cr_expect_eq(memcmp(read.networks[1].network.bytes, server.networks[1].network.bytes, 16),
		     0);
	cr_expect_eq(read.networks[0].offers, 7);
	cr_expect_eq(read.member_count, 1);
	cr_expect_eq(read.members[0].name, 99);
	cr_expect_eq(read.members[0].returns, 2);
	cr_expect(read.members[0].missing_several);
	cr_expect_eq(read.members[0].missing_network.bytes[2], 7);
	cr_expect_eq(read.recent_count, 1);
	cr_expect_eq(read.recent[0].offered_s, 5000);
	cr_expect_eq(read.certificate_count, 1);
	cr_expect_eq(read.certificates[0].issuer, UINT64_MAX - 1);
	cr_expect_eq(read.certificates[0].name_count, 2);
	cr_expect_eq(read.certificates[0].names[1], 6);
	cr_expect_eq(read.certificates[0].not_before, -100);
	cr_expect_eq(read.certificates[0].sha256[2], 0xfe);
	cr_expect_lt(buffer.len, BASELINE_WIRE_MAX / 2);
	buffer_free(&buffer);
}

/* From others: cut at every byte, bent at every byte, and things that are no server at all. */
Test(baseline_wire, nothing_that_comes_back_does_harm)
{
	static const char *const others[] = {
	    "",
	    "{}",
	    "[]",
	    "{\"version\":2}",
	    "{\"version\":1,\"sessions\":-5,\"networks\":7,\"certificates\":{\"0\":1}}",
	    "{\"version\":1,\"best_version\":99999999,\"networks\":[{},{\"network\":\"x\"}]}",
	    "{\"version\":1,\"certificates\":[{\"sha256\":\"zz\"}],\"name\":\"\\u0007\\n\"}",
	};
	struct budget budget;
	struct buffer buffer;
	budget_init(&budget, 1 << 20);
	buffer_init(&buffer, &budget, BASELINE_WIRE_MAX);
	struct server_memory server = sample(), read = {.sessions = 0};
	struct span text = write(&buffer, &server);
	for (size_t len = 0; len < text.len; len++)
		cr_expect_not(baseline_wire_read(span_head(text, len), &read));
	for (size_t at = 0; at < text.len; at++) {
		char kept = buffer.bytes[at];
		buffer.bytes[at] = '9';
		if (baseline_wire_read(text, &read)) {
			cr_expect_leq(read.network_count, SERVER_NETWORKS);
			cr_expect_leq(read.certificate_count, SERVER_CERTIFICATES);
		}
		buffer.bytes[at] = kept;
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		bool good = baseline_wire_read(span_str(others[i]), &read);
		cr_expect_eq(good, i >= 4, "%s", others[i]);
		if (good) {
			cr_expect_eq(read.sessions, 0);
			cr_expect_eq(read.network_count + read.certificate_count, 0);
		}
	}
	buffer_free(&buffer);
}

/* Adding what others know: in any order the same, and never twice what is known once. */
Test(baseline_wire, merging_is_commutative)
{
	struct server_memory a = sample(), b = sample(), c = sample();
	b.offers = 100;
	b.offer_last_s = 9000;
	b.best_version = 0x0304;
	b.certificates[0].sha256[0] = 77;
	b.networks[0].network.bytes[1] = 5;
	c.missing_since_offer = 0;
	c.first_s = 1;
	struct server_memory ab = a, ba = b;
	server_memory_merge(&ab, &b);
	server_memory_merge(&ab, &c);
	server_memory_merge(&ba, &c);
	server_memory_merge(&ba, &a);
	cr_expect_eq(ab.tempfail_run, a.tempfail_run, "a run is of who saw it");
	ba.tempfail_run = ab.tempfail_run;
#define COLUMN(column, field, type, max, merge)                                                    \
	cr_expect_eq(ab.field, ba.field, #column ": %lld, %lld", (long long)ab.field,              \
		     (long long)ba.field);
#include "alerts/baseline_columns.def"
	cr_expect_eq(ab.offers, a.offers + 100 + c.offers);
	cr_expect_eq(ab.certificate_count, 2);
	cr_expect_eq(ba.certificate_count, 2);
	cr_expect_eq(ab.network_count, 3);
	cr_expect_eq(ba.network_count, 3);
}
