/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/heartbeat.h"
#include "sensor/counters.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static bool word_is(struct span word, const char *text)
{
	return span_equal(word, span_str(text));
}

Test(heartbeat, keeps_names_and_values_in_order)
{
	struct heartbeat beat = {.count = 0};
	struct span words[2 * HEARTBEAT_FIELDS_MAX];

	cr_assert(heartbeat_add_text(&beat, span_str("version"), span_str("1.2")));
	cr_assert(heartbeat_add_number(&beat, span_str("packets"), UINT64_MAX));
	cr_assert(heartbeat_add_time(&beat, span_str("time"), INT64_C(1767323045999999999)));
	struct heartbeat copy = beat;
	memset(&beat, 0xff, sizeof beat);
	heartbeat_words(&copy, words);
	cr_assert_eq(copy.count, 3);
	cr_assert(word_is(words[0], "version") && word_is(words[1], "1.2"));
	cr_assert(word_is(words[2], "packets") && word_is(words[3], "18446744073709551615"));
	cr_assert(word_is(words[4], "time") && word_is(words[5], "2026-01-02T03:04:05Z"));
}

Test(heartbeat, refuses_what_does_not_fit)
{
	static char large[HEARTBEAT_BYTES_MAX + 1];
	struct heartbeat beat = {.count = 0};

	memset(large, 'x', sizeof large - 1);
	cr_assert_not(heartbeat_add_text(&beat, span_str("n"), span_str(large)));
	cr_assert_not(heartbeat_add_text(&beat, span_str(large), span_str("v")));
	cr_assert_eq(beat.used, 0);
	for (size_t i = 0; i < HEARTBEAT_FIELDS_MAX; i++)
		cr_assert(heartbeat_add_number(&beat, span_str("n"), i));
	cr_assert_not(heartbeat_add_number(&beat, span_str("n"), 0));
}

Test(heartbeat, holds_sixteen_interfaces_with_the_longest_names)
{
	struct counters_interface interfaces[16];
	struct counters counters;
	struct heartbeat beat = {.count = 0};

	memset(&counters, 0xff, sizeof counters);
	for (size_t i = 0; i < 16; i++)
		interfaces[i] = (struct counters_interface){"fifteen_letters", UINT64_MAX,
							    UINT64_MAX, UINT64_MAX};
	counters_tell(&counters, INT64_MAX, INT64_MAX, interfaces, 16, &beat);
	cr_assert_eq(beat.count, 3 + sizeof counters / sizeof(uint64_t) + 48);
	/* What the sink adds: a time and as many numbers as there are here. */
	for (size_t i = 0; i < 30; i++)
		cr_assert(
		    heartbeat_add_number(&beat, span_str("outbox_write_errors_"), UINT64_MAX));
}
