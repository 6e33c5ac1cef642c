/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scout fetches nobody sees; that it reads no byte beyond those it is given, whatever
 * they are, the sanitizer does. Blocks end with their last byte.
 */
#include "sensor/capture_scout.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/capture_writer.h"

enum filling { ZEROS, ONES, NOISE, RECORDS, BLOCKS, SHORT_BLOCKS, LIKE_THE_FIRST, FILLINGS };

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 8;
}

static void add_packet(struct capture_bytes *bytes, enum filling filling, uint32_t len)
{
	if (filling == RECORDS)
		pcap_add(bytes, 1700000000, 1, len, len, 0, len);
	else
		pcapng_enhanced(bytes, 0, UINT64_C(1700000000000000), len, len, len);
}

/* At least len bytes of it; packets of less than max bytes. */
static void fill(struct capture_bytes *bytes, enum filling filling, size_t len, uint32_t max,
		 uint32_t *random)
{
	while (bytes->len < len) {
		switch (filling) {
		case ZEROS:
			put_u32(bytes, 0);
			break;
		case ONES:
			put_u32(bytes, UINT32_MAX);
			break;
		case NOISE:
			put_u32(bytes, next_random(random) << 16 ^ next_random(random));
			break;
		case RECORDS:
		case BLOCKS:
			add_packet(bytes, filling, 1 + next_random(random) % max);
			break;
		case SHORT_BLOCKS:
			put_u32(bytes, 6);
			put_u32(bytes, next_random(random) % 40);
			break;
		case LIKE_THE_FIRST:
		case FILLINGS:
		default:
			put_u32(bytes, 0x65656565);
			break;
		}
	}
}

Test(capture_scout, reads_what_it_is_given_and_no_more)
{
	struct capture_interface interface = {.link_type = 1};
	uint32_t random = 1;

	for (unsigned round = 0; round < 400; round++) {
		const enum filling filling = (enum filling)(round % FILLINGS);
		const bool big_endian = round / FILLINGS % 2 != 0;
		const bool is_pcap = round / FILLINGS / 2 % 2 == 0;
		const size_t len = 30000 + next_random(&random) % 200000;
		struct capture_bytes bytes = {.big_endian = big_endian};
		/* Short ones end near the end of the bytes, whatever that is. */
		fill(&bytes, filling, len, round % 2 == 0 ? 3000 : 30, &random);
		const struct capture_format format = {
		    .kind = is_pcap ? CAPTURE_KIND_PCAP : CAPTURE_KIND_PCAPNG,
		    .big_endian = big_endian,
		    .header_len = 16,
		    .plain = true,
		    .interface_count = 1,
		    .interfaces = &interface,
		};
		uint8_t *exact = malloc(len);
		cr_assert_not_null(exact);
		memcpy(exact, bytes.ptr, len);
		capture_scout(&format, span_of(exact, len));
		free(exact);
		capture_bytes_free(&bytes);
	}
}

Test(capture_scout, leaves_alone_what_is_too_short)
{
	const struct capture_format format = {
	    .kind = CAPTURE_KIND_PCAP, .header_len = 16, .plain = true};
	capture_scout(&format, span_of(NULL, 0));
	uint8_t *one = malloc(1);
	cr_assert_not_null(one);
	capture_scout(&format, span_of(one, 1));
	free(one);
}
