/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/timeline.h"

#include <criterion/criterion.h>

#define SECOND INT64_C(1000000000)
#define DAY    (86400 * SECOND)
#define YEAR   (365 * DAY)

/* Adds count sessions from start on, one each step. */
static void add(struct timeline *timeline, int64_t start_ns, int64_t step_ns, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		timeline_add(timeline, start_ns + (int64_t)i * step_ns, TIMELINE_CLEAR);
}

static uint64_t drawn(const struct timeline_chart *chart)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < chart->bars; i++)
		for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++)
			sum += chart->sessions[i][kind];
	return sum;
}

Test(timeline, empty)
{
	static struct timeline timeline;
	struct timeline_chart chart;
	timeline_draw(&timeline, &chart);
	cr_expect_eq(chart.bars, 0);
}

Test(timeline, ranges)
{
	static const struct {
		const char *name;
		struct {
			int64_t start_ns, step_ns;
			unsigned count;
		} runs[3];
		int64_t start_s, width_s;
		unsigned bars;
		uint64_t before, after;
	} cases[] = {
	    {"one session", {{50 * SECOND, 0, 1}}, 50, 1, 1, 0, 0},
	    {"as many seconds as bars", {{0, SECOND, 96}}, 0, 1, 96, 0, 0},
	    {"one more", {{0, SECOND, 97}}, 0, 2, 49, 0, 0},
	    {"before 1970", {{-3 * SECOND / 2, SECOND, 3}}, -2, 1, 3, 0, 0},
	    {"backwards", {{9 * SECOND, -SECOND, 10}}, 0, 1, 10, 0, 0},
	    {"time 0 before a minute of today",
	     {{0, 0, 1}, {56 * YEAR, SECOND, 60}},
	     56 * YEAR / SECOND,
	     1,
	     60,
	     1,
	     0},
	    {"the same, told last",
	     {{56 * YEAR, SECOND, 60}, {0, 0, 1}},
	     56 * YEAR / SECOND,
	     1,
	     60,
	     1,
	     0},
	    {"years after", {{0, SECOND, 60}, {56 * YEAR, 0, 2}}, 0, 1, 60, 0, 2},
	    {"both",
	     {{0, 0, 1}, {28 * YEAR, SECOND, 60}, {56 * YEAR, 0, 2}},
	     28 * YEAR / SECOND,
	     1,
	     60,
	     1,
	     2},
	    {"two alike: the later",
	     {{0, SECOND, 60}, {56 * YEAR, SECOND, 60}},
	     56 * YEAR / SECOND,
	     1,
	     60,
	     60,
	     0},
	    {"hours at both ends of days",
	     {{0, 60 * SECOND, 480}, {3 * DAY, 60 * SECOND, 480}},
	     0,
	     4096,
	     71,
	     0,
	     0},
	    {"few, far between", {{0, 30 * SECOND, 4}}, 0, 1, 91, 0, 0},
	    {"a night is no gap",
	     {{0, 60 * SECOND, 720}, {DAY, 60 * SECOND, 720}},
	     0,
	     2048,
	     64,
	     0,
	     0},
	    {"few bars may stand apart", {{0, 0, 1}, {30 * SECOND, 0, 1}}, 0, 1, 31, 0, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		static struct timeline timeline;
		struct timeline_chart chart;
		unsigned all = 0;
		timeline = (struct timeline){.width_s = 0};
		for (size_t run = 0; run < 3; run++) {
			add(&timeline, cases[i].runs[run].start_ns, cases[i].runs[run].step_ns,
			    cases[i].runs[run].count);
			all += cases[i].runs[run].count;
		}
		timeline_draw(&timeline, &chart);
		cr_expect_eq(chart.start_s, cases[i].start_s, "%s: from %ld", cases[i].name,
			     (long)chart.start_s);
		cr_expect_eq(chart.width_s, cases[i].width_s, "%s: each %ld", cases[i].name,
			     (long)chart.width_s);
		cr_expect_eq(chart.bars, cases[i].bars, "%s: %u bars", cases[i].name, chart.bars);
		cr_expect_eq(chart.left_before, cases[i].before, "%s", cases[i].name);
		cr_expect_eq(chart.left_after, cases[i].after, "%s", cases[i].name);
		cr_expect_eq(drawn(&chart) + chart.left_before + chart.left_after, all, "%s",
			     cases[i].name);
	}
}

Test(timeline, full_widens_and_loses_nothing)
{
	static struct timeline timeline;
	struct timeline_chart chart;
	add(&timeline, 0, 10 * SECOND, 5000);
	timeline_add(&timeline, INT64_MAX, TIMELINE_OTHER);
	timeline_add(&timeline, INT64_MIN, TIMELINE_PROTECTED);
	cr_expect_leq(timeline.count, TIMELINE_CAP);
	timeline_draw(&timeline, &chart);
	cr_expect_eq(drawn(&chart), 5000);
	cr_expect_eq(chart.left_before, 1);
	cr_expect_eq(chart.left_after, 1);
	cr_expect_geq(chart.bars, 48, "%u bars", chart.bars);
	for (unsigned i = 0; i < chart.bars; i++)
		cr_expect_neq(chart.sessions[i][TIMELINE_CLEAR], 0, "bar %u", i);
	cr_expect_eq(chart.sessions[0][TIMELINE_CLEAR], chart.highest);
}
