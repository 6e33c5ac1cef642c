/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/frag.h"

#include <criterion/criterion.h>

#define SECOND 1000000000LL

static const struct siphash_key KEY = {.k0 = 1, .k1 = 2};

struct fixture {
	struct budget budget;
	struct frag_table table;
};

static void start(struct fixture *f, uint32_t max_datagrams, size_t max_bytes)
{
	struct frag_limits limits = {
	    .max_datagrams = max_datagrams, .max_bytes = max_bytes, .max_age_ns = 30 * SECOND};
	budget_init(&f->budget, 8U << 20);
	cr_assert(frag_init(&f->table, &limits, &KEY, &f->budget));
}

static void stop(struct fixture *f)
{
	frag_free(&f->table);
	cr_expect_eq(f->budget.used, 0, "memory not given back");
}

static enum parse_result add(struct fixture *f, uint32_t id, uint32_t offset, const char *text,
			     bool more, int64_t time_ns, struct frag_datagram *whole)
{
	struct fragment fragment = {
	    .key = {.id = id, .version = 4, .protocol = 6},
	    .protocol = offset == 0 ? 6 : 99,
	    .more = more,
	    .offset = offset,
	    .bytes = span_str(text),
	    .bytes_len = (uint32_t)strlen(text),
	    .time_ns = time_ns,
	};
	return frag_add(&f->table, &fragment, whole);
}

/*
 * A film strip a row: fragments in the order of arrival, each "offset+text"
 * for one that is not the last and "offset.text" for the last.
 */
static const struct {
	const char *name;
	const char *fragments[6];
	const char *whole; /* NULL: never complete */
	bool conflict;
} strips[] = {
    {"in order", {"0+aaaaaaaa", "8.bbbb"}, "aaaaaaaabbbb", false},
    {"last first", {"8.bbbb", "0+aaaaaaaa"}, "aaaaaaaabbbb", false},
    {"middle last", {"16.cc", "0+aaaaaaaa", "8+bbbbbbbb"}, "aaaaaaaabbbbbbbbcc", false},
    {"a hole", {"0+aaaaaaaa", "16.cc"}, NULL, false},
    {"duplicates", {"0+aaaaaaaa", "0+aaaaaaaa", "8.bb"}, "aaaaaaaabb", false},
    {"the last twice", {"8.bb", "8.bb", "0+aaaaaaaa"}, "aaaaaaaabb", false},
    {"other bytes: the first stay", {"0+aaaaaaaa", "0+xxxxxxxx", "8.bb"}, "aaaaaaaabb", true},
    {"other bytes, other order", {"8.bb", "8.xx", "0+aaaaaaaa"}, "aaaaaaaabb", true},
    {"overlap that agrees",
     {"0+aaaaaaaabbbbbbbb", "8+bbbbbbbbcccccccc", "24.dd"},
     "aaaaaaaabbbbbbbbccccccccdd",
     false},
    {"overlap that does not",
     {"0+aaaaaaaabbbbbbbb", "8+xxxxxxxxcccccccc", "24.dd"},
     "aaaaaaaabbbbbbbbccccccccdd",
     true},
    {"new bytes around old ones",
     {"8+bbbbbbbb", "0+aaaaaaaaxxxxxxxxcccccccc", "24.dd"},
     "aaaaaaaabbbbbbbbccccccccdd",
     true},
    {"teardrop: the last lies inside", {"0+aaaaaaaabbbbbbbb", "8.bb"}, NULL, false},
    {"bytes behind the end", {"8.bb", "16+cccccccc", "0+aaaaaaaa"}, "aaaaaaaabb", true},
    {"two ends, the nearer first", {"8.bb", "8.bbbb", "0+aaaaaaaa"}, "aaaaaaaabb", true},
    {"two ends, the farther first", {"8.bbbb", "8.bb", "0+aaaaaaaa"}, "aaaaaaaabbbb", true},
    {"full unit over the end", {"8.bb", "8+bbbbbbbb", "0+aaaaaaaa"}, "aaaaaaaabb", true},
};

Test(frag, film_strips)
{
	for (size_t i = 0; i < sizeof strips / sizeof strips[0]; i++) {
		struct fixture f;
		struct frag_datagram whole = {0};
		enum parse_result result = PARSE_MORE;
		start(&f, 4, 1U << 20);
		for (size_t n = 0; n < 6 && strips[i].fragments[n] != NULL; n++) {
			char *rest;
			uint32_t offset = (uint32_t)strtoul(strips[i].fragments[n], &rest, 10);
			cr_expect_eq(result, PARSE_MORE, "%s: whole too early", strips[i].name);
			result = add(&f, 1, offset, rest + 1, *rest == '+', 0, &whole);
		}
		if (strips[i].whole == NULL) {
			cr_expect_eq(result, PARSE_MORE, "%s", strips[i].name);
		} else {
			cr_expect_eq(result, PARSE_DONE, "%s", strips[i].name);
			cr_expect(span_equal(whole.bytes, span_str(strips[i].whole)), "%s: %.*s",
				  strips[i].name, (int)whole.bytes.len,
				  (const char *)whole.bytes.ptr);
			cr_expect_eq(whole.protocol, 6, "%s", strips[i].name);
			cr_expect_eq(whole.conflict, strips[i].conflict, "%s", strips[i].name);
			cr_expect_eq(f.table.counters.reassembled, 1);
		}
		stop(&f);
	}
}

/* The same datagram cut into units of 8 in every order of 5 gives the same bytes. */
Test(frag, any_order)
{
	static const char text[] = "00000000111111112222222233333333444";
	for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5; code++) {
		unsigned order[5], rest = code, seen = 0;
		for (unsigned n = 0; n < 5; n++, rest /= 5) {
			order[n] = rest % 5;
			seen |= 1U << order[n];
		}
		if (seen != 31)
			continue;
		struct fixture f;
		struct frag_datagram whole = {0};
		enum parse_result result = PARSE_MORE;
		start(&f, 1, 1U << 20);
		for (unsigned n = 0; n < 5; n++) {
			char part[9] = "";
			memcpy(part, text + order[n] * 8, order[n] == 4 ? 3 : 8);
			cr_expect_eq(result, PARSE_MORE);
			result = add(&f, 1, order[n] * 8, part, order[n] != 4, 0, &whole);
		}
		cr_expect_eq(result, PARSE_DONE);
		cr_expect(span_equal(whole.bytes, span_str(text)));
		cr_expect_not(whole.conflict);
		stop(&f);
	}
}

Test(frag, keys_keep_datagrams_apart)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 8, 1U << 20);
	cr_expect_eq(add(&f, 1, 0, "aaaaaaaa", true, 0, &whole), PARSE_MORE);
	cr_expect_eq(add(&f, 2, 8, "bb", false, 0, &whole), PARSE_MORE);

	struct fragment vlan = {.key = {.id = 1, .version = 4, .protocol = 6, .vlan_outer = 5},
				.offset = 8,
				.bytes = span_str("cc"),
				.bytes_len = 2};
	cr_expect_eq(frag_add(&f.table, &vlan, &whole), PARSE_MORE);
	struct fragment tap = {.key = {.id = 1, .version = 4, .protocol = 6, .place = 1},
			       .offset = 8,
			       .bytes = span_str("ee"),
			       .bytes_len = 2};
	cr_expect_eq(frag_add(&f.table, &tap, &whole), PARSE_MORE);
	cr_assert_eq(add(&f, 1, 8, "dd", false, 0, &whole), PARSE_DONE);
	cr_expect(span_equal(whole.bytes, span_str("aaaaaaaadd")));
	stop(&f);
}

/* What comes behind a whole datagram is compared with it, and a contradiction told with it. */
Test(frag, another_version_behind_the_whole)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 4, 1 << 20);
	cr_assert_eq(add(&f, 1, 0, "aaaaaaaa", true, 0, &whole), PARSE_MORE);
	cr_assert_eq(add(&f, 1, 8, "bbbb", false, 0, &whole), PARSE_DONE);
	cr_expect_not(whole.conflict);
	cr_expect_eq(add(&f, 1, 8, "bbbb", false, SECOND / 2, &whole), PARSE_MORE, "a copy");
	cr_assert_eq(add(&f, 1, 8, "bbxb", false, SECOND / 2, &whole), PARSE_DONE);
	cr_expect(whole.conflict);
	cr_expect(span_equal(whole.bytes, span_str("aaaaaaaabbbb")), "the first stays");
	cr_expect_eq(add(&f, 1, 8, "bbbbb", false, SECOND / 2, &whole), PARSE_DONE, "another end");
	cr_expect_eq(add(&f, 1, 16, "cccccccc", true, SECOND, &whole), PARSE_DONE, "behind it");
	cr_expect_eq(f.table.counters.conflicts, 3);
	cr_expect_eq(f.table.counters.reassembled, 1);
	/* Later it is another datagram of the same number. */
	cr_expect_eq(add(&f, 1, 0, "xxxxxxxx", true, 2 * SECOND, &whole), PARSE_MORE);
	cr_assert_eq(add(&f, 1, 8, "yyyy", false, 2 * SECOND, &whole), PARSE_DONE);
	cr_expect_not(whole.conflict);
	cr_expect_eq(f.table.counters.evicted + f.table.counters.expired, 0);
	stop(&f);
}

/* Those kept for that give way to one another, and to what is not whole yet, uncounted. */
Test(frag, whole_datagrams_are_kept_for_a_while_only)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 64, 1 << 20);
	for (uint32_t id = 0; id < 3 * FRAG_WHOLE_MAX; id++) {
		cr_assert_eq(add(&f, id, 0, "aaaaaaaa", true, 0, &whole), PARSE_MORE);
		cr_assert_eq(add(&f, id, 8, "bb", false, 0, &whole), PARSE_DONE);
		cr_assert(span_equal(whole.bytes, span_str("aaaaaaaabb")));
	}
	cr_expect_eq(add(&f, 3 * FRAG_WHOLE_MAX - 1, 8, "cc", false, 0, &whole), PARSE_DONE);
	cr_expect_eq(add(&f, 0, 8, "cc", false, 0, &whole), PARSE_MORE, "forgotten");
	cr_expect_eq(f.table.counters.evicted, 0);
	stop(&f);
}

Test(frag, malformed)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 4, 1U << 20);
	cr_expect_eq(add(&f, 1, 0, "", true, 0, &whole), PARSE_MALFORMED);
	cr_expect_eq(add(&f, 1, 0, "aaaa", true, 0, &whole), PARSE_MALFORMED, "not a unit");
	cr_expect_eq(add(&f, 1, 65528, "aaaaaaaa", false, 0, &whole), PARSE_MALFORMED,
		     "beyond the longest datagram");
	cr_expect_eq(add(&f, 1, 65528, "aaaaaaa", false, 0, &whole), PARSE_MORE);
	cr_expect_eq(f.table.counters.malformed, 3);
	stop(&f);
}

Test(frag, a_cut_fragment_is_of_no_use)
{
	struct fixture f;
	struct frag_datagram whole;
	struct fragment cut = {
	    .key = {.id = 1}, .more = true, .bytes = span_str("aaaa"), .bytes_len = 8};
	start(&f, 4, 1U << 20);
	cr_expect_eq(frag_add(&f.table, &cut, &whole), PARSE_MORE);
	cr_expect_eq(f.table.counters.cut, 1);
	stop(&f);
}

Test(frag, age)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 4, 1U << 20);
	cr_expect_eq(add(&f, 1, 0, "aaaaaaaa", true, 0, &whole), PARSE_MORE);
	cr_expect_eq(add(&f, 2, 0, "aaaaaaaa", true, SECOND, &whole), PARSE_MORE);
	/* Just in time for 2, too late for 1; time that runs backwards ages nothing. */
	cr_expect_eq(add(&f, 2, 8, "bb", false, 31 * SECOND, &whole), PARSE_DONE);
	cr_expect_eq(f.table.counters.expired, 1);
	cr_expect_eq(add(&f, 1, 8, "bb", false, 31 * SECOND, &whole), PARSE_MORE);
	cr_expect_eq(add(&f, 1, 0, "aaaaaaaa", true, -SECOND, &whole), PARSE_DONE);
	cr_expect_eq(add(&f, 3, 0, "aaaaaaaa", true, INT64_MIN, &whole), PARSE_MORE);
	cr_expect_eq(add(&f, 3, 8, "bb", false, INT64_MAX, &whole), PARSE_MORE);
	cr_expect_eq(f.table.counters.expired, 2);
	stop(&f);
}

Test(frag, flood_stays_within_its_caps)
{
	struct fixture f;
	struct frag_datagram whole;
	size_t most = 0;
	start(&f, 1000, 100000);
	for (uint32_t id = 0; id < 20000; id++) {
		(void)add(&f, id, 8 * (id % 8000), "aaaaaaaa", true, id, &whole);
		most = f.table.bytes > most ? f.table.bytes : most;
	}
	cr_expect_leq(most, 100000);
	cr_expect_gt(f.table.counters.evicted, 10000);
	/* And still works. */
	(void)add(&f, 99999, 0, "aaaaaaaa", true, 20000, &whole);
	cr_expect_eq(add(&f, 99999, 8, "b", false, 20000, &whole), PARSE_DONE);
	stop(&f);
}

Test(frag, oldest_goes_when_all_places_are_taken)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 2, 1U << 20);
	for (uint32_t id = 1; id <= 3; id++)
		(void)add(&f, id, 0, "aaaaaaaa", true, 0, &whole);
	cr_expect_eq(f.table.counters.evicted, 1);
	cr_expect_eq(add(&f, 2, 8, "b", false, 0, &whole), PARSE_DONE);
	cr_expect_eq(add(&f, 3, 8, "b", false, 0, &whole), PARSE_DONE);
	cr_expect_eq(add(&f, 1, 8, "b", false, 0, &whole), PARSE_MORE);
	stop(&f);
}

Test(frag, a_datagram_larger_than_the_cap)
{
	struct fixture f;
	struct frag_datagram whole;
	start(&f, 4, 5000);
	cr_expect_eq(add(&f, 1, 0, "aaaaaaaa", true, 0, &whole), PARSE_MORE);
	cr_expect_eq(add(&f, 1, 8000, "bbbbbbbb", true, 0, &whole), PARSE_MORE);
	cr_expect_eq(f.table.counters.evicted, 1);
	cr_expect_eq(f.table.bytes, 0);
	stop(&f);
}

/* Every allocation refused once: nothing leaks, nothing crashes, the next datagram comes through.
 */
Test(frag, every_allocation_may_fail)
{
	for (uint64_t fail = 1; fail <= 6; fail++) {
		struct budget budget;
		struct fixture f;
		struct frag_datagram whole;
		struct frag_limits limits = {
		    .max_datagrams = 4, .max_bytes = 1U << 20, .max_age_ns = SECOND};
		budget_init(&budget, 1U << 20);
		budget.fail_at = fail;
		f.budget = budget;
		if (!frag_init(&f.table, &limits, &KEY, &f.budget)) {
			cr_expect_leq(fail, 2);
			cr_expect_eq(f.budget.used, 0);
			continue;
		}
		(void)add(&f, 1, 0, "aaaaaaaa", true, 0, &whole);
		(void)add(&f, 1, 4000, "aaaaaaaa", true, 0, &whole);
		(void)add(&f, 1, 16000, "aaaaaaaa", true, 0, &whole);
		if (fail <= 5)
			cr_expect_eq(f.table.counters.no_memory, 1, "%d", (int)fail);
		f.budget.fail_at = 0;
		(void)add(&f, 2, 0, "aaaaaaaa", true, 0, &whole);
		cr_expect_eq(add(&f, 2, 8, "b", false, 0, &whole), PARSE_DONE);
		stop(&f);
	}
}

/* The bytes of one whole datagram are the fragment of another (tunnel in tunnel). */
Test(frag, a_fragment_out_of_a_whole_datagram)
{
	struct fixture f;
	struct frag_datagram outer, inner;
	start(&f, 4, 1U << 20);
	(void)add(&f, 1, 0, "aaaaaaaa", true, 0, &outer);
	cr_assert_eq(add(&f, 1, 8, "bbbbbbbb", false, 0, &outer), PARSE_DONE);
	struct fragment part = {
	    .key = {.id = 2}, .more = true, .bytes = outer.bytes, .bytes_len = 16};
	cr_expect_eq(frag_add(&f.table, &part, &inner), PARSE_MORE);
	struct fragment last = {
	    .key = {.id = 2}, .offset = 16, .bytes = span_str("c"), .bytes_len = 1};
	cr_assert_eq(frag_add(&f.table, &last, &inner), PARSE_DONE);
	cr_expect(span_equal(inner.bytes, span_str("aaaaaaaabbbbbbbbc")));
	stop(&f);
}
