/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/window_ways.h"

#include "sensor/build_kind.h"

#define FIRST_TRIED 2U  /* windows that do not count: whatever comes first waits for something */
#define ALL_TRIED   14U /* with these */
/* Windows that come as was faster. Where misuse is looked for, every other one is mapped. */
#define SETTLED (FINDS_MISUSE ? 0U : 1024U)

/* What was copied is near when it is looked at: that is worth a tenth. */
#define WORTH_OF 10U

bool window_ways_on_trial(const struct window_ways *ways)
{
	return ways->settled == 0;
}

enum window_way window_ways_next(const struct window_ways *ways)
{
	if (!window_ways_on_trial(ways))
		return ways->faster;
	return ways->tried % 2 == 0 ? WINDOW_MAPPED : WINDOW_COPIED;
}

/* Times bytes instead of a division: a trial is of some megabytes, and of milliseconds. */
static bool copies_are_faster(const struct window_ways *ways)
{
	const uint64_t copied = ways->ns[WINDOW_COPIED] * ways->bytes[WINDOW_MAPPED];
	const uint64_t mapped = ways->ns[WINDOW_MAPPED] * ways->bytes[WINDOW_COPIED];
	return copied - copied / WORTH_OF < mapped;
}

void window_ways_came(struct window_ways *ways, enum window_way way, uint64_t ns, uint64_t bytes)
{
	if (!window_ways_on_trial(ways)) {
		ways->settled--;
		return;
	}
	ways->tried++;
	if (ways->tried > FIRST_TRIED) {
		ways->ns[way] += ns;
		ways->bytes[way] += bytes;
	}
	if (ways->tried < ALL_TRIED)
		return;
	const enum window_way faster = copies_are_faster(ways) ? WINDOW_COPIED : WINDOW_MAPPED;
	*ways = (struct window_ways){.settled = SETTLED, .faster = faster};
}
