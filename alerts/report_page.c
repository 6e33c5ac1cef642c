/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/report_page.h"

#include "alerts/html.h"
#include "alerts/readable.h"
#include "alerts/report_state.h"
#include "alerts/untrusted.h"

#define HOST_ROWS 50

static void add_wire(const struct report *report, struct buffer *out, struct span text)
{
	struct span piece;
	if (report->options.show_addresses) {
		html_add(out, text);
		return;
	}
	while (address_next_piece(&text, &piece))
		html_add(out, piece);
}

static void add_kept(const struct report *report, struct buffer *out,
		     const struct report_text *text)
{
	add_wire(report, out, span_of(text->bytes, text->len));
}

static void write_head(const struct report *report, struct buffer *out)
{
	buffer_add_text(
	    out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		 "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
		 "<meta name=\"referrer\" content=\"no-referrer\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<title>STARTTLS report</title>\n<style>");
	report_write_style(out);
	buffer_add_text(out, "</style>\n</head>\n<body>\n<header><div class=\"wrap\">\n"
			     "<h1>SMTP STARTTLS report</h1>\n<p>Sensor ");
	html_add_string(out, report->options.sensor);
	if (report->sessions > 0) {
		buffer_add_text(out, " &middot; ");
		buffer_add_short_time(out, report->first_ns);
		buffer_add_text(out, " to ");
		buffer_add_short_time(out, report->last_ns);
		buffer_add_text(out, " UTC");
	}
	buffer_add_text(out, "</p>\n</div></header>\n<main class=\"wrap\">\n");
}

static void write_tile(struct buffer *out, const char *kind, uint64_t value, const char *label)
{
	buffer_add_text(out, "<div class=\"tile ");
	buffer_add_text(out, kind);
	buffer_add_text(out, "\"><b>");
	html_add_count(out, value);
	buffer_add_text(out, "</b><span>");
	buffer_add_text(out, label);
	buffer_add_text(out, "</span></div>\n");
}

static void write_tiles(const struct report *report, struct buffer *out)
{
	uint64_t grave =
	    report->by_severity[SEVERITY_CRITICAL] + report->by_severity[SEVERITY_HIGH];
	buffer_add_text(out, "<div class=\"tiles\">\n");
	write_tile(out, "", report->sessions, "sessions on mail ports");
	write_tile(out, "good", report->upgraded, "protected by TLS");
	write_tile(out, report->in_clear > 0 ? "warn" : "good", report->in_clear,
		   "with mail in the clear");
	write_tile(out, report->with_credentials > 0 ? "bad" : "good", report->with_credentials,
		   "with credentials in the clear");
	write_tile(out, grave > 0 ? "bad" : "good", grave, "high and critical alerts");
	buffer_add_text(out, "</div>\n");
}

static void write_dialogue(const struct report *report, struct buffer *out,
			   const struct report_alert *alert)
{
	struct span dialogue = span_of(alert->dialogue, alert->dialogue_len);
	if (alert->dialogue_cut)
		buffer_add_text(out, "&hellip;\n");
	while (dialogue.len > 0) {
		const uint8_t *end = memchr(dialogue.ptr, '\n', dialogue.len);
		size_t len = end == NULL ? dialogue.len : (size_t)(end - dialogue.ptr);
		buffer_add_text(out, dialogue.ptr[0] == 'C' ? "<span class=\"c\">"
							    : "<span class=\"s\">");
		add_wire(report, out, span_head(dialogue, len));
		buffer_add_text(out, "</span>\n");
		dialogue = span_skip(dialogue, len + 1);
	}
}

static void write_details(const struct report *report, struct buffer *out,
			  const struct report_alert *alert)
{
	const struct rule_info *rule = rule_info(alert->finding.rule);
	buffer_add_text(out, "<details><summary>Evidence</summary><p class=\"facts\">");
	html_add_string(out, rule->meaning);
	buffer_add_text(out, ".<br>Reason <code>");
	html_add_string(out, alert->finding.reason);
	buffer_add_text(out, "</code> &middot; confidence ");
	buffer_add_text(out, confidence_word(alert->finding.confidence));
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++) {
		if ((rule->techniques >> bit & 1) == 0)
			continue;
		buffer_add_text(out, " &middot; ATT&amp;CK ");
		buffer_add_text(out, rule_technique_info(bit)->id);
	}
	buffer_add_text(out, " &middot; id <code>");
	html_add_string(out, alert->id);
	buffer_add_text(out, "</code></p>");
	if (alert->dialogue_len > 0) {
		buffer_add_text(out, "<pre>");
		write_dialogue(report, out, alert);
		buffer_add_text(out, "</pre>");
	}
	buffer_add_text(out, "</details>");
}

static void write_alert(const struct report *report, struct buffer *out,
			const struct report_alert *alert)
{
	const char *severity = severity_word(alert->finding.severity);
	buffer_add_text(out, "<tr><td><span class=\"sev ");
	buffer_add_text(out, severity);
	buffer_add_text(out, "\">");
	buffer_add_text(out, severity);
	buffer_add_text(out, "</span></td><td class=\"addr\">");
	buffer_add_short_time(out, alert->time_ns);
	buffer_add_text(out, "</td><td class=\"mono\"><span class=\"addr\">");
	if (alert->session.client.addr.version != 0)
		buffer_add_endpoint(out, &(struct endpoint){.addr = alert->session.client.addr});
	buffer_add_text(out, "</span><br><span class=\"addr\">&rarr; ");
	if (alert->session.server.addr.version != 0)
		buffer_add_endpoint(out, &alert->session.server);
	buffer_add_text(out, "</span><br><span class=\"name\">");
	add_kept(report, out, &alert->server_name);
	buffer_add_text(out, "</span></td><td><b>");
	buffer_add_text(out, rule_info(alert->finding.rule)->id);
	buffer_add_text(out, "</b>");
	if (alert->count > 1) {
		buffer_add_text(out, " &times;&#8239;");
		html_add_count(out, alert->count);
	}
	if (alert->finding.scope != NULL) {
		buffer_add_text(out, " &middot; ");
		buffer_add_text(out, alert->finding.scope);
	}
	buffer_add_text(out, "<br>");
	html_add_string(out, alert->finding.message);
	write_details(report, out, alert);
	buffer_add_text(out, "</td></tr>\n");
}

static void write_left_out(struct buffer *out, uint64_t count, const char *what)
{
	if (count == 0)
		return;
	buffer_add_text(out, "<p class=\"note\">");
	html_add_count(out, count);
	buffer_add_text(out, " more ");
	buffer_add_text(out, what);
	buffer_add_text(out, " not listed here.</p>\n");
}

/* The alerts of one severity, oldest first. */
static void write_alerts_of(const struct report *report, struct buffer *out, enum severity severity)
{
	for (uint32_t i = report->oldest[severity]; i != NONE; i = report->kept[i].newer)
		write_alert(report, out, &report->kept[i]);
}

static void write_alerts(const struct report *report, struct buffer *out)
{
	if (report->alerts == 0)
		return;
	buffer_add_text(out, "<section><h2>Alerts<small>gravest first; times in UTC</small></h2>\n"
			     "<table><thead><tr><th>Severity</th><th>Time</th><th>Client and server"
			     "</th><th>What was found</th></tr></thead><tbody>\n");
	for (unsigned i = SEVERITY_COUNT; i > 0; i--)
		write_alerts_of(report, out, (enum severity)(i - 1));
	buffer_add_text(out, "</tbody></table>\n");
	write_left_out(out, report->untold_alerts, "alerts, of the least severity,");
	buffer_add_text(out, "</section>\n");
}

/* Negative, 0, positive: what exposed most comes first; the address makes it a total order. */
static int host_compare(const struct report_host *a, const struct report_host *b)
{
	if (a->credentials != b->credentials)
		return a->credentials > b->credentials ? -1 : 1;
	if (a->mails != b->mails)
		return a->mails > b->mails ? -1 : 1;
	if (a->sessions != b->sessions)
		return a->sessions > b->sessions ? -1 : 1;
	int order = ip_addr_compare(&a->at.addr, &b->at.addr);
	return order != 0 ? order : (int)a->at.port - (int)b->at.port;
}

/* The worst HOST_ROWS of a table by selection into a small sorted list. */
static unsigned worst_hosts(const struct host_table *table,
			    const struct report_host *worst[HOST_ROWS])
{
	unsigned count = 0;
	for (uint32_t i = 0; i < table->slot_count; i++) {
		const struct report_host *host = &table->slots[i];
		if (host->at.addr.version == 0)
			continue;
		if (count == HOST_ROWS && host_compare(host, worst[count - 1]) > 0)
			continue;
		unsigned at = count < HOST_ROWS ? count++ : count - 1;
		while (at > 0 && host_compare(host, worst[at - 1]) < 0) {
			worst[at] = worst[at - 1];
			at--;
		}
		worst[at] = host;
	}
	return count;
}

static void write_number(struct buffer *out, uint64_t value, bool hot)
{
	buffer_add_text(out, hot && value > 0 ? "<td class=\"n hot\">" : "<td class=\"n\">");
	html_add_count(out, value);
	buffer_add_text(out, "</td>");
}

static void write_hosts(const struct report *report, struct buffer *out, const char *title,
			const struct host_table *table)
{
	const struct report_host *worst[HOST_ROWS];
	unsigned count = worst_hosts(table, worst);
	buffer_add_text(out, "<section><h2>");
	buffer_add_text(out, title);
	buffer_add_text(out, "<small>");
	html_add_count(out, table->used);
	buffer_add_text(out, ", worst first</small></h2>\n<table><thead><tr><th>Address</th>"
			     "<th class=\"n\">Sessions</th><th class=\"n\">Offered</th>"
			     "<th class=\"n\">TLS</th><th class=\"n\">Clear mail</th>"
			     "<th class=\"n\">Credentials</th></tr></thead><tbody>\n");
	for (unsigned i = 0; i < count; i++) {
		const struct report_host *host = worst[i];
		buffer_add_text(out, "<tr><td><span class=\"mono addr\">");
		buffer_add_endpoint(out, &host->at);
		buffer_add_text(out, "</span><br><span class=\"name\">");
		add_kept(report, out, &host->name);
		buffer_add_text(out, "</span></td>");
		write_number(out, host->sessions, false);
		write_number(out, host->offered, false);
		write_number(out, host->upgraded, false);
		write_number(out, host->mails, true);
		write_number(out, host->credentials, true);
		buffer_add_text(out, "</tr>\n");
	}
	buffer_add_text(out, "</tbody></table>\n");
	write_left_out(out, table->used - count, "are");
	write_left_out(out, table->untold, "sessions, of hosts for which there was no room, are");
	buffer_add_text(out, "</section>\n");
}

static void write_inputs(const struct report *report, struct buffer *out)
{
	if (report->file_count == 0)
		return;
	buffer_add_text(out, "<section><h2>Input</h2>\n<table><thead><tr><th>File</th>"
			     "<th class=\"n\">Bytes</th><th>SHA-256</th></tr></thead><tbody>\n");
	for (uint32_t i = 0; i < report->file_count; i++) {
		const struct report_file *file = &report->files[i];
		buffer_add_text(out, "<tr><td class=\"name\">");
		html_add_string(out, file->path);
		if (file->has_fault) {
			buffer_add_text(out, "<br><span class=\"hot\">");
			html_add_string(out, file->fault);
			buffer_add_text(out, "</span>");
		}
		buffer_add_text(out, "</td>");
		write_number(out, file->bytes, false);
		buffer_add_text(out, "<td class=\"mono name\">");
		if (file->has_sha256)
			buffer_add_hex(out, file->sha256, sizeof file->sha256);
		buffer_add_text(out, "</td></tr>\n");
	}
	buffer_add_text(out, "</tbody></table>\n");
	write_left_out(out, report->untold_files, "files are");
	buffer_add_text(out, "</section>\n");
}

bool report_write(const struct report *report, struct buffer *out)
{
	write_head(report, out);
	write_tiles(report, out);
	buffer_add_text(out, "<div class=\"two\">\n");
	report_write_outcomes(report, out);
	report_write_rules(report, out);
	buffer_add_text(out, "</div>\n");
	report_write_timeline(report, out);
	write_alerts(report, out);
	buffer_add_text(out, "<div class=\"two\">\n");
	write_hosts(report, out, "Clients", &report->clients);
	write_hosts(report, out, "Servers", &report->servers);
	buffer_add_text(out, "</div>\n");
	write_inputs(report, out);
	buffer_add_text(out, "<footer>Made by stripwatch ");
	html_add_string(out, report->options.version);
	buffer_add_text(out, ". No part of an AUTH exchange and no message content is in this "
			     "report.</footer>\n</main>\n</body>\n</html>\n");
	return !out->failed;
}
