/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/window_ways.h"

#include "sensor/build_kind.h"

#include <criterion/criterion.h>

#define BYTES 262144U /* of a copied window; a mapped one has twice as many */

/* Lets windows come until a trial is over; a byte of each way takes so many picoseconds. */
static void try_both(struct window_ways *ways, uint64_t mapped_ps, uint64_t copied_ps)
{
	unsigned times[WINDOW_WAYS] = {0};

	for (unsigned i = 0; window_ways_on_trial(ways) && i < 14; i++) {
		const enum window_way way = window_ways_next(ways);
		const uint64_t bytes = way == WINDOW_MAPPED ? 2 * BYTES : BYTES;
		const uint64_t ps = way == WINDOW_MAPPED ? mapped_ps : copied_ps;
		/* What comes first takes much longer, whichever it is. */
		window_ways_came(ways, way, i < 2 ? 1000000000U : bytes * ps / 1000, bytes);
		times[way]++;
	}
	cr_expect_eq(times[WINDOW_MAPPED], 7);
	cr_expect_eq(times[WINDOW_COPIED], 7);
}

Test(window_ways, the_faster_one_is_taken)
{
	static const struct {
		uint64_t mapped_ps, copied_ps;
		enum window_way faster;
	} cases[] = {
	    {60, 110, WINDOW_MAPPED},  {225, 165, WINDOW_COPIED}, {200, 200, WINDOW_COPIED},
	    {200, 215, WINDOW_COPIED}, {200, 230, WINDOW_MAPPED}, {0, 0, WINDOW_MAPPED},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct window_ways ways = {.tried = 0};
		try_both(&ways, cases[i].mapped_ps, cases[i].copied_ps);
		cr_expect_eq(ways.faster, cases[i].faster, "%zu", i);
		if (FINDS_MISUSE)
			continue;
		cr_expect_not(window_ways_on_trial(&ways));
		cr_expect_eq(window_ways_next(&ways), cases[i].faster);
	}
}

/* What it is like may change: another program comes, or goes. */
Test(window_ways, are_tried_again)
{
	struct window_ways ways = {.tried = 0};

	try_both(&ways, 60, 110);
	for (unsigned i = 0; i < 2000 && !window_ways_on_trial(&ways); i++)
		window_ways_came(&ways, window_ways_next(&ways), 0, BYTES);
	cr_assert(window_ways_on_trial(&ways));
	try_both(&ways, 225, 165);
	cr_expect_eq(ways.faster, WINDOW_COPIED);
}
