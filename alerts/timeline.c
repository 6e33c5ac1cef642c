/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/timeline.h"

#include <string.h>

/* The stretch of that width in which something lies: rounded down, before 1970 as well. */
static int64_t divide_down(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

static void add_sessions(uint64_t to[TIMELINE_KINDS], const uint64_t from[TIMELINE_KINDS])
{
	for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++)
		to[kind] += from[kind];
}

/* Stretches of twice the length: neighbours that fall into the same become one. */
static void widen(struct timeline *timeline)
{
	uint32_t kept = 0;
	timeline->width_s *= 2;
	for (uint32_t i = 0; i < timeline->count; i++) {
		struct timeline_stretch stretch = timeline->stretches[i];
		stretch.number = divide_down(stretch.number, 2);
		if (kept > 0 && timeline->stretches[kept - 1].number == stretch.number)
			add_sessions(timeline->stretches[kept - 1].sessions, stretch.sessions);
		else
			timeline->stretches[kept++] = stretch;
	}
	timeline->count = kept;
}

/* Where that stretch is, or would be. From the end: sessions come nearly in the order of time. */
static uint32_t place_of(const struct timeline *timeline, int64_t number)
{
	uint32_t at = timeline->count;
	while (at > 0 && timeline->stretches[at - 1].number >= number)
		at--;
	return at;
}

static bool is_at(const struct timeline *timeline, uint32_t at, int64_t number)
{
	return at < timeline->count && timeline->stretches[at].number == number;
}

void timeline_add(struct timeline *timeline, int64_t time_ns, enum timeline_kind kind)
{
	int64_t time_s = divide_down(time_ns, 1000000000);
	if (timeline->width_s == 0)
		timeline->width_s = 1;
	int64_t number = divide_down(time_s, timeline->width_s);
	uint32_t at = place_of(timeline, number);
	while (!is_at(timeline, at, number) && timeline->count == TIMELINE_CAP) {
		widen(timeline);
		number = divide_down(time_s, timeline->width_s);
		at = place_of(timeline, number);
	}
	struct timeline_stretch *stretch = &timeline->stretches[at];
	if (!is_at(timeline, at, number)) {
		memmove(stretch + 1, stretch, (timeline->count - at) * sizeof *stretch);
		*stretch = (struct timeline_stretch){.number = number};
		timeline->count++;
	}
	stretch->sessions[kind]++;
}

static uint64_t sessions_in(const struct timeline *timeline, uint32_t first, uint32_t end)
{
	uint64_t sum = 0;
	for (uint32_t i = first; i < end; i++)
		for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++)
			sum += timeline->stretches[i].sessions[kind];
	return sum;
}

/* How many stretches become one bar, so that first to the one before end fit the chart. */
static int64_t stretches_a_bar(const struct timeline *timeline, uint32_t first, uint32_t end)
{
	int64_t from = timeline->stretches[first].number, to = timeline->stretches[end - 1].number;
	int64_t each = 1;
	while (divide_down(to, each) - divide_down(from, each) >= TIMELINE_BARS)
		each *= 2;
	return each;
}

/* The bars that are empty, and the longest run of them. */
struct gaps {
	int64_t empty, widest;
	uint32_t behind_widest; /* the stretch there */
};

static struct gaps gaps_between(const struct timeline *timeline, uint32_t first, uint32_t end,
				int64_t each)
{
	struct gaps gaps = {.empty = 0};
	for (uint32_t i = first + 1; i < end; i++) {
		int64_t empty = divide_down(timeline->stretches[i].number, each) -
				divide_down(timeline->stretches[i - 1].number, each) - 1;
		if (empty <= 0)
			continue;
		gaps.empty += empty;
		if (empty > gaps.widest) {
			gaps.widest = empty;
			gaps.behind_widest = i;
		}
	}
	return gaps;
}

static bool shows_enough(const struct gaps *gaps, int64_t bars)
{
	return bars <= TIMELINE_BARS / 2 || gaps->empty * 8 <= bars * 7 || gaps->widest * 3 <= bars;
}

void timeline_draw(const struct timeline *timeline, struct timeline_chart *chart)
{
	uint32_t first = 0, end = timeline->count;
	*chart = (struct timeline_chart){.bars = 0};
	while (end > first) {
		int64_t each = stretches_a_bar(timeline, first, end);
		int64_t start = divide_down(timeline->stretches[first].number, each);
		int64_t bars = divide_down(timeline->stretches[end - 1].number, each) - start + 1;
		struct gaps gaps = gaps_between(timeline, first, end, each);
		if (shows_enough(&gaps, bars)) {
			chart->start_s = start * each * timeline->width_s;
			chart->width_s = each * timeline->width_s;
			chart->bars = (unsigned)bars;
			break;
		}
		uint32_t behind = gaps.behind_widest;
		uint64_t before = sessions_in(timeline, first, behind),
			 after = sessions_in(timeline, behind, end);
		if (before > after) {
			chart->left_after += after;
			end = behind;
		} else {
			chart->left_before += before;
			first = behind;
		}
	}
	for (uint32_t i = first; i < end; i++) {
		int64_t time_s = timeline->stretches[i].number * timeline->width_s;
		uint64_t *bar = chart->sessions[(time_s - chart->start_s) / chart->width_s];
		uint64_t height = 0;
		add_sessions(bar, timeline->stretches[i].sessions);
		for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++)
			height += bar[kind];
		chart->highest = height > chart->highest ? height : chart->highest;
	}
}
