/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/html.h"
#include "alerts/readable.h"
#include "alerts/report_page.h"
#include "alerts/report_state.h"

static const char *outcome_colour(enum session_outcome outcome)
{
	switch (outcome) {
	case OUTCOME_UPGRADED:
	case OUTCOME_IMPLICIT_TLS:
		return "#2f855a";
	case OUTCOME_UPGRADE_FAILED:
	case OUTCOME_REFUSED:
	case OUTCOME_MASKED:
		return "#c53030";
	case OUTCOME_NOT_USED:
	case OUTCOME_NOT_OFFERED:
	case OUTCOME_HELO_ONLY:
		return "#b7791f";
	case OUTCOME_UNKNOWN:
	case OUTCOME_NOT_SMTP:
	case OUTCOME_NO_DIALOGUE:
	case OUTCOME_COUNT:
		break;
	}
	return "#94a3b4";
}

static void write_bar(struct buffer *out, uint64_t value, uint64_t most, const char *colour)
{
	buffer_add_text(out, "<svg viewBox=\"0 0 220 14\" preserveAspectRatio=\"none\" "
			     "role=\"img\" aria-hidden=\"true\">"
			     "<rect width=\"220\" height=\"14\" rx=\"3\" fill=\"#eef1f5\"/>"
			     "<rect height=\"14\" rx=\"3\" fill=\"");
	buffer_add_text(out, colour);
	buffer_add_text(out, "\" width=\"");
	uint64_t width = most == 0 ? 0 : value * 220 / most;
	buffer_add_u64(out, value > 0 && width < 2 ? 2 : width);
	buffer_add_text(out, "\"/></svg>");
}

void report_write_outcomes(const struct report *report, struct buffer *out)
{
	uint64_t most = 0;
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		most = report->outcomes[i] > most ? report->outcomes[i] : most;
	buffer_add_text(out, "<section><h2>Outcomes</h2>\n<table class=\"bar\">\n");
	for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
		/* The order of the list, with what could not be told last. */
		enum session_outcome outcome = (enum session_outcome)((i + 1) % OUTCOME_COUNT);
		if (report->outcomes[outcome] == 0)
			continue;
		buffer_add_text(out, "<tr><td>");
		buffer_add_text(out, session_outcome_word(outcome));
		buffer_add_text(out, "</td><td>");
		write_bar(out, report->outcomes[outcome], most, outcome_colour(outcome));
		buffer_add_text(out, "</td><td class=\"n\">");
		html_add_count(out, report->outcomes[outcome]);
		buffer_add_text(out, "</td></tr>\n");
	}
	buffer_add_text(out, "</table></section>\n");
}

void report_write_rules(const struct report *report, struct buffer *out)
{
	static const char *const colours[SEVERITY_COUNT] = {"#64748b", "#b7791f", "#c53030",
							    "#8b1a3a"};
	uint64_t most = 0;
	for (unsigned i = 0; i < RULE_COUNT; i++)
		most = report->by_rule[i] > most ? report->by_rule[i] : most;
	buffer_add_text(out, "<section><h2>Alerts by rule</h2>\n<table class=\"bar\">\n");
	for (unsigned i = 0; i < RULE_COUNT; i++) {
		if (report->by_rule[i] == 0)
			continue;
		const struct rule_info *rule = rule_info((enum rule)i);
		buffer_add_text(out, "<tr><td title=\"");
		html_add_string(out, rule->meaning);
		buffer_add_text(out, "\">");
		buffer_add_text(out, rule->id);
		buffer_add_text(out, "</td><td>");
		write_bar(out, report->by_rule[i], most, colours[rule->severity]);
		buffer_add_text(out, "</td><td class=\"n\">");
		html_add_count(out, report->by_rule[i]);
		buffer_add_text(out, "</td></tr>\n");
	}
	buffer_add_text(out, "</table>");
	if (report->alerts == 0)
		buffer_add_text(out, "<p class=\"note\">Nothing was found.</p>");
	buffer_add_text(out, "</section>\n");
}

#define TIMELINE_WIDTH  1120
#define TIMELINE_HEIGHT 110

static const struct {
	const char *colour, *meaning;
} timeline_kinds[TIMELINE_KINDS] = {
    [TIMELINE_PROTECTED] = {"#2f855a", "TLS"},
    [TIMELINE_CLEAR] = {"#c53030", "mail or credentials in the clear"},
    [TIMELINE_OTHER] = {"#94a3b4", "neither"},
};

static void write_column(struct buffer *out, const struct timeline_chart *chart, unsigned bar)
{
	unsigned step = TIMELINE_WIDTH / chart->bars, base = TIMELINE_HEIGHT;
	for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++) {
		uint64_t value = chart->sessions[bar][kind];
		if (value == 0)
			continue;
		unsigned height = (unsigned)(value * (TIMELINE_HEIGHT - 4) / chart->highest);
		height = height < 1 ? 1 : height > base ? base : height;
		base -= height;
		buffer_add_text(out, "<rect x=\"");
		buffer_add_u64(out, (uint64_t)bar * step);
		buffer_add_text(out, "\" y=\"");
		buffer_add_u64(out, base);
		buffer_add_text(out, "\" width=\"");
		buffer_add_u64(out, step > 3 ? step - 2 : step);
		buffer_add_text(out, "\" height=\"");
		buffer_add_u64(out, height);
		buffer_add_text(out, "\" fill=\"");
		buffer_add_text(out, timeline_kinds[kind].colour);
		buffer_add_text(out, "\"/>");
	}
}

/* Its beginning and its end; the bars may end before the right edge does. */
static void write_axis(struct buffer *out, const struct timeline_chart *chart)
{
	unsigned drawn = TIMELINE_WIDTH / chart->bars * chart->bars;
	int64_t end_s = chart->start_s + chart->width_s * (int64_t)chart->bars;
	buffer_add_text(out, "<div class=\"axis\" style=\"width:");
	buffer_add_u64(out, (uint64_t)drawn * 100 / TIMELINE_WIDTH);
	buffer_add_text(out, "%\"><span>");
	buffer_add_short_time(out, chart->start_s * 1000000000);
	buffer_add_text(out, "</span><span>");
	buffer_add_short_time(out, end_s * 1000000000);
	buffer_add_text(out, "</span></div>\n");
}

static void write_left_of_chart(struct buffer *out, uint64_t count, const char *when)
{
	if (count == 0)
		return;
	buffer_add_text(out, "<p class=\"note\">Not in this chart: ");
	html_add_count(out, count);
	buffer_add_text(out,
			count == 1 ? " session that began long " : " sessions that began long ");
	buffer_add_text(out, when);
	buffer_add_text(out, " these.</p>\n");
}

void report_write_timeline(const struct report *report, struct buffer *out)
{
	struct timeline_chart chart;
	timeline_draw(&report->timeline, &chart);
	if (chart.bars < 2)
		return;
	buffer_add_text(out, "<section><h2>Sessions over time<small>each bar ");
	html_add_duration(out, (uint64_t)chart.width_s);
	buffer_add_text(out, ", the highest ");
	html_add_count(out, chart.highest);
	buffer_add_text(out, chart.highest == 1 ? " session" : " sessions");
	buffer_add_text(
	    out, "; times in UTC</small></h2>\n"
		 "<svg viewBox=\"0 0 1120 110\" width=\"100%\" role=\"img\" "
		 "aria-label=\"Sessions over time\"><rect y=\"109\" width=\"1120\" height=\"1\" "
		 "fill=\"#dde3ea\"/>\n");
	for (unsigned i = 0; i < chart.bars; i++)
		write_column(out, &chart, i);
	buffer_add_text(out, "</svg>\n");
	write_axis(out, &chart);
	buffer_add_text(out, "<p class=\"note\">");
	for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++) {
		buffer_add_text(out, "<svg class=\"key\" width=\"10\" height=\"10\">"
				     "<rect width=\"10\" height=\"10\" fill=\"");
		buffer_add_text(out, timeline_kinds[kind].colour);
		buffer_add_text(out, "\"/></svg>");
		buffer_add_text(out, timeline_kinds[kind].meaning);
	}
	buffer_add_text(out, "</p>\n");
	write_left_of_chart(out, chart.left_before, "before");
	write_left_of_chart(out, chart.left_after, "after");
	buffer_add_text(out, "</section>\n");
}
