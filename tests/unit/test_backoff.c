/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/backoff.h"

#include <criterion/criterion.h>

Test(backoff, doubles_up_to_its_end_and_leaves_half_to_chance)
{
	struct backoff backoff;
	unsigned longest[40] = {0};
	bool differs = false;

	backoff_init(&backoff, 200, 30000);
	for (unsigned round = 0; round < 200; round++) {
		unsigned first = 0;
		for (unsigned i = 0; i < 40; i++) {
			unsigned full = i < 8 ? 200U << i : 30000;
			unsigned pause = backoff_next(&backoff);
			cr_assert(pause >= (full < 30000 ? full : 30000) / 2 &&
				      pause <= (full < 30000 ? full : 30000),
				  "pause %u is %u ms", i, pause);
			if (pause > longest[i])
				longest[i] = pause;
			if (i == 0)
				first = pause;
		}
		differs = differs || first != longest[0];
		backoff_reset(&backoff);
	}
	cr_assert(differs, "nothing is left to chance");
}
