/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/change_point.h"

#include <stddef.h>

/* ln(CHANGE_POINT_TRIALS) = 13.8156 */
#define THRESHOLD 13816
/* ln((1 - p1) / (1 - p0)) = ln(3 / 4) = -0.2877 for every p0: that is how p1 was chosen. */
#define STEP_UPGRADED (-288)
/* After an alarm the sum stays at most so far above 0; 15 upgraded in a row take it there. */
#define RECOVERY 4320
/* An old path's memory: halved when full, so that it follows slow changes. */
#define QUIET_MAX 100000

struct level {
	unsigned percent;  /* p0 */
	int32_t step_lost; /* ln(p1 / p0), rounded down */
};

static const struct level levels[] = {
    {2, 2583},  /* ln(0.265  / 0.02) */
    {5, 1749},  /* ln(0.2875 / 0.05) */
    {10, 1178}, /* ln(0.325  / 0.10) */
    {20, 693},  /* ln(0.4    / 0.20) */
    {40, 318},  /* ln(0.55   / 0.40) */
};

/* NULL: no level lies above. */
static const struct level *level_of(const struct change_point *test)
{
	/* 1.5 * (lost + 0.5) / (trials + 25) <= percent / 100, in whole numbers */
	uint64_t left = 150 * (2 * (uint64_t)test->quiet_lost + 1);
	uint64_t right = 2 * ((uint64_t)test->quiet_trials + 25);
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		if (left <= right * levels[i].percent)
			return &levels[i];
	return NULL;
}

static void learn(struct change_point *test, uint32_t trials, uint32_t lost)
{
	test->quiet_trials += trials;
	test->quiet_lost += lost;
	if (test->quiet_trials > QUIET_MAX) {
		test->quiet_trials /= 2;
		test->quiet_lost /= 2;
	}
}

unsigned change_point_quiet_percent(const struct change_point *test)
{
	const struct level *level = level_of(test);
	return level == NULL ? 0 : level->percent;
}

void change_point_reset(struct change_point *test)
{
	test->sum = 0;
	test->trials = 0;
	test->lost = 0;
	test->alarm = false;
}

/* Whether a trial of a path of which little is known only adds to what is known. */
static bool is_lesson(const struct change_point *test, enum change_point_trial trial)
{
	return test->quiet_trials < CHANGE_POINT_WARM && trial != TRIAL_STRIPPED &&
	       (trial == TRIAL_FAILED || test->sum == 0);
}

enum change_point_step change_point_trial(struct change_point *test, enum change_point_trial trial)
{
	const bool lost = trial != TRIAL_UPGRADED;
	const struct level *level = level_of(test);
	if (level == NULL || is_lesson(test, trial)) {
		learn(test, 1, lost ? 1 : 0);
		return test->sum == 0 ? CHANGE_POINT_QUIET
		       : test->alarm  ? CHANGE_POINT_GOES_ON
				      : CHANGE_POINT_RISING;
	}
	test->sum += lost ? level->step_lost : STEP_UPGRADED;
	if (test->alarm) {
		if (test->sum <= 0) {
			change_point_reset(test);
			return CHANGE_POINT_RECOVERED;
		}
		if (test->sum > RECOVERY)
			test->sum = RECOVERY;
		return CHANGE_POINT_GOES_ON;
	}
	if (test->trials < QUIET_MAX) {
		test->trials++;
		test->lost += lost ? 1 : 0;
	}
	if (test->sum <= 0) {
		learn(test, test->trials, test->lost);
		change_point_reset(test);
		return CHANGE_POINT_QUIET;
	}
	if (test->sum < THRESHOLD)
		return CHANGE_POINT_RISING;
	test->alarm = true;
	test->sum = RECOVERY;
	return CHANGE_POINT_ALARM;
}
