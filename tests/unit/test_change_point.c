/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/change_point.h"

#include <criterion/criterion.h>

static void quiet(struct change_point *test, unsigned trials, unsigned lost_each)
{
	for (unsigned i = 1; i <= trials; i++)
		(void)change_point_trial(
		    test, lost_each != 0 && i % lost_each == 0 ? TRIAL_FAILED : TRIAL_UPGRADED);
}

/* The quiet share sets p0; six losses in a row tell against 2 %. */
Test(change_point, the_quiet_share_sets_how_many_losses_it_takes)
{
	static const struct {
		unsigned trials, lost_each, percent, losses;
	} cases[] = {
	    {20, 0, 2, 6},      {1000, 0, 2, 6},    {1000, 40, 5, 8},
	    {1000, 20, 10, 12}, {1000, 10, 20, 20}, {1000, 5, 40, 44},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct change_point test = {.sum = 0};
		quiet(&test, cases[i].trials, cases[i].lost_each);
		cr_expect_eq(change_point_quiet_percent(&test), cases[i].percent, "case %zu: %u", i,
			     change_point_quiet_percent(&test));
		for (unsigned n = 0; n < 40; n++)
			(void)change_point_trial(&test, TRIAL_UPGRADED);
		unsigned losses = 1;
		while (losses < 100 &&
		       change_point_trial(&test, TRIAL_FAILED) != CHANGE_POINT_ALARM)
			losses++;
		cr_expect_eq(losses, cases[i].losses, "case %zu: %u losses", i, losses);
		unsigned upgraded = 1;
		while (upgraded < 100 &&
		       change_point_trial(&test, TRIAL_UPGRADED) != CHANGE_POINT_RECOVERED)
			upgraded++;
		cr_expect_eq(upgraded, 15, "case %zu: %u", i, upgraded);
	}
}

Test(change_point, warming_up_or_always_lost_raises_nothing)
{
	struct change_point test = {.sum = 0};
	for (unsigned n = 0; n < CHANGE_POINT_WARM; n++)
		cr_expect_eq(change_point_trial(&test, TRIAL_FAILED), CHANGE_POINT_QUIET);
	for (unsigned n = 0; n < 1000; n++)
		cr_expect_eq(change_point_trial(&test, TRIAL_FAILED), CHANGE_POINT_QUIET,
			     "there is no share to fall");
}

/* A path of which nothing is known, to servers of which much is. */
Test(change_point, a_new_path_that_is_stripped_raises_at_once)
{
	struct change_point test = {.sum = 0};
	unsigned losses = 1;
	while (losses < 100 && change_point_trial(&test, TRIAL_STRIPPED) != CHANGE_POINT_ALARM)
		losses++;
	cr_expect_eq(losses, 8, "%u losses", losses);
}

Test(change_point, an_alarm_teaches_nothing)
{
	struct change_point test = {.sum = 0};
	quiet(&test, 200, 0);
	const uint32_t trials = test.quiet_trials;
	for (unsigned n = 0; n < 500; n++)
		(void)change_point_trial(&test, TRIAL_FAILED);
	cr_expect(test.alarm);
	cr_expect_eq(test.quiet_trials, trials);
	cr_expect_eq(test.quiet_lost, 0);
}
