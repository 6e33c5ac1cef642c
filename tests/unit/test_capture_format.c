/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

#include "sensor/capture_format.h"
#include "tests/support/capture_writer.h"

#define MAX_PACKETS 64U

/* What a whole capture comes to. */
struct outcome {
	size_t packets;
	struct capture_record records[MAX_PACKETS];
	uint32_t link_types[MAX_PACKETS];
	enum parse_result result; /* MORE: the bytes ended */
	size_t left;
	const char *problem;
};

/* Reads bytes that lie whole in memory; each call sees a copy of exactly what it may see. */
static void read_all(struct capture_format *format, struct span bytes, bool by_need,
		     struct outcome *outcome)
{
	size_t seen = by_need ? 0 : bytes.len;
	size_t place = 0;
	*outcome = (struct outcome){.packets = 0};
	capture_format_init(format);
	for (;;) {
		struct capture_step step;
		struct span rest = span_skip(bytes, place);
		struct span input = span_head(rest, seen > place ? seen - place : 0);
		uint8_t *copy = malloc(input.len ? input.len : 1);
		if (input.len > 0)
			memcpy(copy, input.ptr, input.len);
		outcome->result = capture_format_next(format, span_of(copy, input.len), &step);
		if (outcome->result == PARSE_DONE && step.has_packet) {
			cr_assert_lt(outcome->packets, MAX_PACKETS);
			struct capture_record *record = &outcome->records[outcome->packets];
			*record = step.record;
			record->frame.ptr = input.ptr + (step.record.frame.ptr - copy);
			outcome->link_types[outcome->packets++] =
			    format->interfaces[step.record.interface].link_type;
		}
		free(copy);
		if (outcome->result == PARSE_DONE) {
			cr_assert_gt(step.advance, 0);
			place = step.advance > bytes.len - place ? bytes.len
								 : place + (size_t)step.advance;
			continue;
		}
		outcome->problem = outcome->result == PARSE_MALFORMED ? step.problem : NULL;
		outcome->left = bytes.len - place;
		if (outcome->result == PARSE_MALFORMED || input.len == rest.len)
			return;
		cr_assert_gt(step.need, input.len, "asks for what it has");
		cr_assert_leq(step.need, CAPTURE_RECORD_MAX);
		seen = place + step.need < bytes.len ? place + step.need : bytes.len;
	}
}

static struct span span_of_bytes(const struct capture_bytes *bytes)
{
	return span_of(bytes->ptr, bytes->len);
}

/* ---- every form of pcap ---- */

static const uint32_t magics[] = {0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34};

Test(capture_format, pcap_forms)
{
	for (size_t m = 0; m < 3; m++)
		for (int big = 0; big < 2; big++)
			for (int by_need = 0; by_need < 2; by_need++) {
				struct capture_bytes bytes = {.big_endian = big};
				pcap_begin(&bytes, magics[m], 4, 100, 1);
				size_t extra = m == 2 ? 8 : 0;
				pcap_add(&bytes, 1700000000, 123456, 60, 60, extra, 1);
				pcap_add(&bytes, 4294967295, 999999, 200, 1500, extra, 2);
				pcap_add(&bytes, 1700000001, 0, 0, 0, extra, 3);
				pcap_add(&bytes, 1700000001, 1, 80, 40, extra, 4);
				struct capture_format format;
				struct outcome got;
				read_all(&format, span_of_bytes(&bytes), by_need, &got);
				cr_assert_eq(got.packets, 4);
				cr_expect_eq(got.result, PARSE_MORE);
				cr_expect_eq(got.left, 0);
				int64_t tick = m == 1 ? 1 : 1000;
				cr_expect_eq(got.records[0].time_ns,
					     1700000000000000000 + 123456 * tick);
				cr_expect_eq(got.records[1].time_ns,
					     4294967295000000000 + 999999 * tick);
				/* Longer than the snaplen says: whole all the same. */
				cr_expect_eq(got.records[1].frame.len, 200);
				cr_expect_eq(got.records[1].len, 1500);
				cr_expect_eq(got.records[2].frame.len, 0);
				cr_expect_eq(got.records[3].len, 80, "len is never below caplen");
				struct capture_bytes frame = {0};
				put_frame(&frame, 2, 200);
				cr_expect(span_equal(got.records[1].frame, span_of_bytes(&frame)));
				capture_bytes_free(&frame);
				capture_format_free(&format);
				capture_bytes_free(&bytes);
			}
}

Test(capture_format, network_field)
{
	static const struct {
		uint32_t network, link_type, fcs_len;
	} cases[] = {
	    {1, 1, 0},          {101, 101, 0},      {0x14000001, 1, 2},
	    {0x24000001, 1, 4}, {0x40000001, 1, 0}, /* a length without the bit that says it is one
						     */
	    {276, 276, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct capture_bytes bytes = {0};
		pcap_begin(&bytes, magics[0], 4, 0, cases[i].network);
		pcap_add(&bytes, 1, 2, 64, 64, 0, 1);
		struct capture_format format;
		struct outcome got;
		read_all(&format, span_of_bytes(&bytes), true, &got);
		cr_assert_eq(got.packets, 1);
		cr_expect_eq(got.link_types[0], cases[i].link_type);
		cr_expect_eq(got.records[0].fcs_len, cases[i].fcs_len);
		capture_format_free(&format);
		capture_bytes_free(&bytes);
	}
}

Test(capture_format, old_versions_have_the_lengths_swapped)
{
	static const struct {
		uint16_t minor;
		uint32_t first, second; /* as stored; 40 bytes follow */
	} cases[] = {{2, 60, 40}, {2, 40, 40}, {3, 60, 40}, {3, 40, 60}, {4, 40, 60}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct capture_bytes bytes = {0};
		pcap_begin(&bytes, magics[0], cases[i].minor, 65535, 1);
		put_u32(&bytes, 5);
		put_u32(&bytes, 6);
		put_u32(&bytes, cases[i].first);
		put_u32(&bytes, cases[i].second);
		put_frame(&bytes, 1, 40);
		struct capture_format format;
		struct outcome got;
		read_all(&format, span_of_bytes(&bytes), true, &got);
		cr_assert_eq(got.packets, 1, "case %zu", i);
		cr_expect_eq(got.records[0].frame.len, 40, "case %zu", i);
		cr_expect_eq(got.left, 0, "case %zu", i);
		capture_format_free(&format);
		capture_bytes_free(&bytes);
	}
}

/* ---- pcapng ---- */

Test(capture_format, resolutions_and_offsets)
{
	static const struct {
		uint8_t resolution;
		uint64_t ticks;
		int64_t offset_s;
		int64_t time_ns;
	} cases[] = {
	    {6, 1700000000123456, 0, 1700000000123456000},
	    {9, 1700000000123456789, 0, 1700000000123456789},
	    {3, 1700000000123, 0, 1700000000123000000},
	    {0, 1700000000, 0, 1700000000000000000},
	    {12, 1700000000123456789, 0, 1700000000123456}, /* ps */
	    {19, 17000000000000000000U, 0, 1700000000},
	    {0x80, 1700000000, 0, 1700000000000000000},
	    {0x80 | 10, (1700000000ULL << 10) | 512, 0, 1700000000500000000},
	    {0x80 | 32, (1700000000ULL << 32) | 0x80000000, 0, 1700000000500000000},
	    {0x80 | 63, (1ULL << 63) | (1ULL << 62), 0, 1500000000},
	    {6, 123456, 1700000000, 1700000000123456000},
	    {6, 1700000000123456, -3600, 1699996400123456000},
	    {6, UINT64_MAX, 0, CAPTURE_TIME_MAX},
	    {0, UINT64_MAX, INT64_MAX, CAPTURE_TIME_MAX},
	    {9, 0, INT64_MIN, -CAPTURE_TIME_MAX / 1000000000 * 1000000000},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int big = 0; big < 2; big++) {
			struct capture_bytes bytes = {.big_endian = big};
			pcapng_section(&bytes);
			pcapng_interface(&bytes, 1, 0, cases[i].resolution, cases[i].offset_s,
					 NULL);
			pcapng_enhanced(&bytes, 0, cases[i].ticks, 61, 61, 1);
			struct capture_format format;
			struct outcome got;
			read_all(&format, span_of_bytes(&bytes), true, &got);
			cr_assert_eq(got.packets, 1, "case %zu", i);
			cr_expect_eq(got.records[0].time_ns, cases[i].time_ns, "case %zu: %lld", i,
				     (long long)got.records[0].time_ns);
			capture_format_free(&format);
			capture_bytes_free(&bytes);
		}
}

/* Two sections of different byte order, every block, three link types. */
static void write_mixture(struct capture_bytes *bytes)
{
	pcapng_section(bytes);
	pcapng_interface(bytes, 1, 0, 6, 0, "eth0");
	size_t begin = block_begin(bytes, 5); /* statistics: passed over */
	put_frame(bytes, 9, 33);
	block_end(bytes, begin);
	pcapng_interface(bytes, 113, 96, 9, 0, "any");
	pcapng_enhanced(bytes, 1, 1700000000000000001, 50, 90, 1);
	pcapng_enhanced(bytes, 0, 1700000000000002, 61, 61, 2);
	pcapng_simple(bytes, 70, 70, 3);
	pcapng_obsolete(bytes, 1, 1700000000000000004, 43, 44, 4);
	begin = block_begin(bytes, 0x80000bad); /* larger than any window */
	put_frame(bytes, 9, CAPTURE_RECORD_MAX + 5);
	block_end(bytes, begin);
	bytes->big_endian = !bytes->big_endian;
	pcapng_section(bytes);
	pcapng_interface(bytes, 276, 60, 6, 0, NULL);
	pcapng_simple(bytes, 60, 1500, 5);
	pcapng_enhanced(bytes, 0, 1700000001000000, 0, 0, 6);
	begin = block_begin(bytes, 6); /* with flags: 4 bytes of FCS, and a comment */
	put_u32(bytes, 0);
	put_u32(bytes, 0);
	put_u32(bytes, 7);
	put_u32(bytes, 5);
	put_u32(bytes, 5);
	put_frame(bytes, 7, 5);
	put_bytes(bytes, "\0\0\0", 3);
	block_option(bytes, 1, "why", 3);
	put_u16(bytes, 2);
	put_u16(bytes, 4);
	put_u32(bytes, 4 << 5);
	block_option(bytes, 0, NULL, 0);
	block_end(bytes, begin);
}

Test(capture_format, sections_blocks_and_link_types)
{
	static const struct {
		uint32_t link_type, interface, caplen, len;
		int64_t time_ns;
	} expected[] = {
	    {113, 1, 50, 90, 1700000000000000001},
	    {1, 0, 61, 61, 1700000000000002000},
	    {1, 0, 70, 70, 1700000000000002000},
	    {113, 1, 43, 44, 1700000000000000004},
	    {276, 0, 60, 1500, 1700000000000000004},
	    {276, 0, 0, 0, 1700000001000000000},
	    {276, 0, 5, 5, 7000},
	};
	for (int big = 0; big < 2; big++)
		for (int by_need = 0; by_need < 2; by_need++) {
			struct capture_bytes bytes = {.big_endian = big};
			write_mixture(&bytes);
			struct capture_format format;
			struct outcome got;
			read_all(&format, span_of_bytes(&bytes), by_need, &got);
			cr_assert_eq(got.packets, 7, "%zu, %s", got.packets, got.problem);
			cr_expect_eq(got.result, PARSE_MORE);
			cr_expect_eq(got.left, 0);
			for (size_t i = 0; i < 7; i++) {
				const struct capture_record *record = &got.records[i];
				cr_expect_eq(got.link_types[i], expected[i].link_type, "%zu", i);
				cr_expect_eq(record->interface, expected[i].interface, "%zu", i);
				cr_expect_eq(record->frame.len, expected[i].caplen, "%zu", i);
				cr_expect_eq(record->len, expected[i].len, "%zu", i);
				cr_expect_eq(record->time_ns, expected[i].time_ns, "%zu", i);
				struct capture_bytes frame = {0};
				put_frame(&frame, (uint32_t)i + 1, expected[i].caplen);
				cr_expect(span_equal(record->frame, span_of_bytes(&frame)), "%zu",
					  i);
				capture_bytes_free(&frame);
			}
			cr_expect_eq(got.records[6].fcs_len, 4);
			capture_format_free(&format);
			capture_bytes_free(&bytes);
		}
}

/* ---- damage ---- */

static void patch_u32(struct capture_bytes *bytes, size_t at, uint32_t value)
{
	struct capture_bytes four = {.big_endian = bytes->big_endian};
	put_u32(&four, value);
	memcpy(bytes->ptr + at, four.ptr, 4);
	capture_bytes_free(&four);
}

Test(capture_format, damage_is_named_and_what_came_before_stands)
{
	/* The file is: section (48), interface (48), packet 100 in 132, packet 100 in 132. */
	static const struct {
		size_t at; /* from the start of the second packet block */
		uint32_t value;
		const char *problem;
	} cases[] = {
	    {4, 8, "impossible length of a block"},
	    {4, 131, "impossible length of a block"},
	    {4, 0xfffffffc, "length of a block cannot be true"},
	    {4, 28, "the two lengths of a block differ"},
	    {128, 128, "the two lengths of a block differ"},
	    {8, 1, "packet of an interface that was not described"},
	    {20, 101, "captured length goes past the end of its block"},
	    {20, 0xffffffff, "captured length of a packet cannot be true"},
	    {0, 0x0a0d0d0a, "section header without a byte-order magic"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int big = 0; big < 2; big++) {
			struct capture_bytes bytes = {.big_endian = big};
			pcapng_section(&bytes);
			pcapng_interface(&bytes, 1, 0, 6, 0, "eth0");
			pcapng_enhanced(&bytes, 0, 1, 100, 100, 1);
			size_t second = bytes.len;
			pcapng_enhanced(&bytes, 0, 2, 100, 100, 2);
			patch_u32(&bytes, second + cases[i].at, cases[i].value);
			struct capture_format format;
			struct outcome got;
			read_all(&format, span_of_bytes(&bytes), true, &got);
			cr_expect_eq(got.packets, 1, "case %zu", i);
			cr_assert_eq(got.result, PARSE_MALFORMED, "case %zu", i);
			cr_expect_str_eq(got.problem, cases[i].problem, "case %zu", i);
			cr_expect_eq(bytes.len - got.left, second, "case %zu", i);
			capture_format_free(&format);
			capture_bytes_free(&bytes);
		}
}

Test(capture_format, insane_caplen_in_pcap)
{
	struct capture_bytes bytes = {0};
	pcap_begin(&bytes, magics[0], 4, 65535, 1);
	pcap_add(&bytes, 1, 1, 60, 60, 0, 1);
	size_t second = bytes.len;
	pcap_add(&bytes, 1, 1, 60, 60, 0, 1);
	patch_u32(&bytes, second + 8, CAPTURE_FRAME_MAX + 1);
	struct capture_format format;
	struct outcome got;
	read_all(&format, span_of_bytes(&bytes), true, &got);
	cr_expect_eq(got.packets, 1);
	cr_expect_eq(got.result, PARSE_MALFORMED);
	cr_expect_eq(bytes.len - got.left, second);
	capture_format_free(&format);
	capture_bytes_free(&bytes);
}

Test(capture_format, what_is_no_capture)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum parse_result result;
	} cases[] = {
	    {"", 0, PARSE_MORE},
	    {"abc", 3, PARSE_MORE},
	    {"abcd", 4, PARSE_MALFORMED},
	    {"\x0a\x0d\x0d\x0a\0\0\0\0text", 12, PARSE_MALFORMED},
	    {"\xd4\xc3\xb2\xa1\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PARSE_MALFORMED},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct capture_format format;
		struct outcome got;
		read_all(&format, span_of(cases[i].bytes, cases[i].len), true, &got);
		cr_expect_eq(got.result, cases[i].result, "case %zu", i);
		cr_expect_eq(got.packets, 0);
		capture_format_free(&format);
	}
}

Test(capture_format, cut_anywhere_it_asks_for_more)
{
	struct capture_bytes bytes = {0};
	pcapng_section(&bytes);
	pcapng_interface(&bytes, 1, 0, 6, 0, "eth0");
	pcapng_enhanced(&bytes, 0, 1, 30, 30, 1);
	pcapng_simple(&bytes, 30, 30, 2);
	struct outcome whole;
	for (size_t len = 0; len <= bytes.len; len++) {
		struct capture_format format;
		read_all(&format, span_of(bytes.ptr, len), len % 2 == 0, &whole);
		cr_assert_eq(whole.result, PARSE_MORE, "cut at %zu: %s", len, whole.problem);
		capture_format_free(&format);
	}
	cr_expect_eq(whole.packets, 2);
	capture_bytes_free(&bytes);
}

/* Any flipped byte and any random bytes: no crash, progress, and an end. */
Test(capture_format, any_single_damage_is_survived)
{
	struct capture_bytes bytes = {0};
	pcapng_section(&bytes);
	pcapng_interface(&bytes, 1, 64, 0x80 | 20, 77, "eth0");
	pcapng_enhanced(&bytes, 0, 1, 30, 30, 1);
	pcapng_obsolete(&bytes, 0, 1, 30, 30, 2);
	pcapng_simple(&bytes, 30, 30, 3);
	for (size_t at = 0; at < bytes.len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes.ptr[at] ^= (uint8_t)(1U << bit);
			struct capture_format format;
			struct outcome got;
			read_all(&format, span_of_bytes(&bytes), true, &got);
			cr_expect_neq(got.result, PARSE_DONE);
			capture_format_free(&format);
			bytes.ptr[at] ^= (uint8_t)(1U << bit);
		}
	capture_bytes_free(&bytes);
}
