/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/report.h"

#include "alerts/untrusted.h"

#define NAME_MAX_SHOWN 64
#define DIALOGUE_MAX   1536
#define PATH_MAX_SHOWN 256
#define TIMELINE_BINS  96
#define TIMELINE_FIRST (INT64_C(1000000000)) /* width of a bin at the start: 1 s */
#define HOST_ROWS      50
#define NONE           UINT32_MAX

struct report_text {
	uint16_t len;
	uint8_t bytes[NAME_MAX_SHOWN];
};

struct report_alert {
	struct finding finding;
	struct session_identity session;
	struct report_text server_name;
	int64_t time_ns, last_ns;
	uint64_t count;
	char id[ALERT_ID_TEXT];
	bool summary, dialogue_cut;
	uint16_t dialogue_len;
	uint8_t dialogue[DIALOGUE_MAX];
	uint32_t older, newer; /* of the same severity; NONE at the ends */
};

/* A server (with its port) or a client (port 0). */
struct report_host {
	struct endpoint at; /* addr.version 0: a free slot */
	struct report_text name;
	uint64_t sessions, offered, upgraded, mails, credentials;
	uint32_t rules; /* raised, a set */
};

struct host_table {
	struct report_host *slots;
	uint32_t slot_count; /* a power of two, at least twice the cap */
	uint32_t cap, used;
	uint64_t untold; /* sessions of hosts that found no room */
};

struct report_file {
	char path[PATH_MAX_SHOWN];
	char fault[128];
	uint64_t bytes;
	uint8_t sha256[DIGEST_SHA256_SIZE];
	bool has_sha256, has_fault;
};

/* What became of the sessions that began in one stretch of time. */
enum timeline_kind { TIMELINE_PROTECTED, TIMELINE_CLEAR, TIMELINE_OTHER, TIMELINE_KINDS };

struct timeline {
	int64_t start_ns, width_ns; /* width 0: empty */
	uint32_t bins[TIMELINE_BINS][TIMELINE_KINDS];
};

struct report {
	struct report_options options;
	struct budget *budget;
	uint64_t sessions, upgraded, in_clear, with_credentials, mails;
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t alerts, by_severity[SEVERITY_COUNT], by_rule[RULE_COUNT], untold_alerts;
	int64_t first_ns, last_ns;
	struct timeline timeline;
	struct host_table servers, clients;
	struct report_file *files;
	uint32_t file_count;
	uint64_t untold_files;
	struct report_alert *kept;
	uint32_t kept_count;
	uint32_t oldest[SEVERITY_COUNT], newest[SEVERITY_COUNT];
};

static bool table_init(struct host_table *table, struct budget *budget, uint32_t cap)
{
	uint32_t slots = 16;
	while (slots / 2 < cap && slots < UINT32_C(1) << 30)
		slots *= 2;
	*table = (struct host_table){.slot_count = slots, .cap = cap};
	table->slots = budget_calloc(budget, slots, sizeof *table->slots);
	return table->slots != NULL;
}

static void free_array(struct budget *budget, void *array, size_t count, size_t size)
{
	if (array != NULL)
		budget_free(budget, array, count * size);
}

struct report *report_create(struct budget *budget, const struct report_options *options)
{
	struct report *report = budget_calloc(budget, 1, sizeof *report);
	if (report == NULL)
		return NULL;
	report->options = *options;
	report->budget = budget;
	if (report->options.max_alerts == 0)
		report->options.max_alerts = 1;
	if (report->options.max_inputs == 0)
		report->options.max_inputs = 1;
	for (unsigned i = 0; i < SEVERITY_COUNT; i++)
		report->oldest[i] = report->newest[i] = NONE;
	bool tables = table_init(&report->servers, budget, options->max_hosts);
	tables = table_init(&report->clients, budget, options->max_hosts) && tables;
	report->kept = budget_calloc(budget, report->options.max_alerts, sizeof *report->kept);
	report->files = budget_calloc(budget, report->options.max_inputs, sizeof *report->files);
	if (!tables || report->kept == NULL || report->files == NULL) {
		report_destroy(report);
		return NULL;
	}
	return report;
}

void report_destroy(struct report *report)
{
	if (report == NULL)
		return;
	struct budget *budget = report->budget;
	free_array(budget, report->servers.slots, report->servers.slot_count,
		   sizeof *report->servers.slots);
	free_array(budget, report->clients.slots, report->clients.slot_count,
		   sizeof *report->clients.slots);
	free_array(budget, report->kept, report->options.max_alerts, sizeof *report->kept);
	free_array(budget, report->files, report->options.max_inputs, sizeof *report->files);
	budget_free(budget, report, sizeof *report);
}

static void copy_text(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

void report_add_input(struct report *report, const struct report_input *input)
{
	if (report->file_count == report->options.max_inputs) {
		report->untold_files++;
		return;
	}
	struct report_file *file = &report->files[report->file_count++];
	copy_text(file->path, sizeof file->path, input->path);
	file->bytes = input->bytes;
	file->has_sha256 = input->has_sha256;
	memcpy(file->sha256, input->sha256, sizeof file->sha256);
	file->has_fault = input->fault != NULL;
	if (input->fault != NULL)
		copy_text(file->fault, sizeof file->fault, input->fault);
}

static void keep_text(struct report_text *to, struct span text)
{
	if (text.len == 0)
		return;
	text = span_head(text, sizeof to->bytes);
	memcpy(to->bytes, text.ptr, text.len);
	to->len = (uint16_t)text.len;
}

static struct report_host *host_at(const struct report *report, struct host_table *table,
				   const struct endpoint *at)
{
	uint8_t bytes[19];
	memcpy(bytes, at->addr.bytes, 16);
	bytes[16] = at->addr.version;
	bytes[17] = (uint8_t)(at->port >> 8);
	bytes[18] = (uint8_t)at->port;
	uint64_t hash = siphash(&report->options.key, span_of(bytes, sizeof bytes));
	for (uint32_t i = (uint32_t)hash;; i++) {
		struct report_host *host = &table->slots[i & (table->slot_count - 1)];
		if (host->at.addr.version == 0) {
			if (table->used == table->cap) {
				table->untold++;
				return NULL;
			}
			table->used++;
			host->at = *at;
			return host;
		}
		if (host->at.port == at->port && ip_addr_equal(&host->at.addr, &at->addr))
			return host;
	}
}

static void host_add(struct report_host *host, const struct session_facts *facts, uint32_t raised,
		     enum session_text_id name)
{
	if (host == NULL)
		return;
	host->sessions++;
	host->offered += facts->offered == TRI_TRUE;
	host->upgraded += facts->tls.established == TRI_TRUE;
	host->mails += facts->mails;
	host->credentials += facts->credentials_in_clear;
	host->rules |= raised;
	if (host->name.len == 0)
		keep_text(&host->name, session_facts_text(facts, name));
}

/* Twice as long a stretch for each bin: two become one. */
static void timeline_widen(struct timeline *timeline)
{
	for (unsigned i = 0; i < TIMELINE_BINS; i++) {
		for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++) {
			uint32_t sum = 0;
			if (2 * i + 1 < TIMELINE_BINS)
				sum = timeline->bins[2 * i][kind] + timeline->bins[2 * i + 1][kind];
			timeline->bins[i][kind] = sum;
		}
	}
	timeline->width_ns *= 2;
}

static void timeline_add(struct timeline *timeline, int64_t time_ns, enum timeline_kind kind)
{
	if (timeline->width_ns == 0) {
		timeline->start_ns = time_ns;
		timeline->width_ns = TIMELINE_FIRST;
	}
	/* Sessions are told when they close: one that began before the first counts with it. */
	uint64_t offset =
	    time_ns < timeline->start_ns ? 0 : (uint64_t)time_ns - (uint64_t)timeline->start_ns;
	while (offset / (uint64_t)timeline->width_ns >= TIMELINE_BINS)
		timeline_widen(timeline);
	timeline->bins[offset / (uint64_t)timeline->width_ns][kind]++;
}

void report_add_session(struct report *report, const struct session_facts *facts, uint32_t raised)
{
	bool is_protected = facts->tls.established == TRI_TRUE;
	bool clear = facts->mails > 0 || facts->credentials_in_clear;
	if (report->sessions == 0 || facts->start_ns < report->first_ns)
		report->first_ns = facts->start_ns;
	if (report->sessions == 0 || facts->end_ns > report->last_ns)
		report->last_ns = facts->end_ns;
	report->sessions++;
	report->upgraded += is_protected;
	report->in_clear += facts->mails > 0;
	report->mails += facts->mails;
	report->with_credentials += facts->credentials_in_clear;
	report->outcomes[facts->outcome]++;
	timeline_add(&report->timeline, facts->start_ns,
		     clear          ? TIMELINE_CLEAR
		     : is_protected ? TIMELINE_PROTECTED
				    : TIMELINE_OTHER);
	struct endpoint client = {.addr = facts->client.addr};
	host_add(host_at(report, &report->servers, &facts->server), facts, raised,
		 TEXT_SERVER_NAME);
	host_add(host_at(report, &report->clients, &client), facts, raised, TEXT_CLIENT_NAME);
}

/* A place for an alert of that severity: a free one, or that of the newest less grave one. */
static uint32_t place_for(struct report *report, enum severity severity)
{
	if (report->kept_count < report->options.max_alerts)
		return report->kept_count++;
	report->untold_alerts++;
	for (unsigned less = 0; less < (unsigned)severity; less++) {
		uint32_t index = report->newest[less];
		if (index != NONE) {
			uint32_t older = report->kept[index].older;
			report->newest[less] = older;
			if (older == NONE)
				report->oldest[less] = NONE;
			else
				report->kept[older].newer = NONE;
			return index;
		}
	}
	return NONE;
}

/* A summary goes to the alert that it is the summary of, if that one was kept. */
static bool update_kept(struct report *report, const struct alert *summary)
{
	for (uint32_t i = report->kept_count; i > 0; i--) {
		struct report_alert *kept = &report->kept[i - 1];
		if (kept->finding.rule != summary->finding.rule ||
		    kept->session.start_ns != summary->session.start_ns ||
		    kept->session.client.port != summary->session.client.port ||
		    !ip_addr_equal(&kept->session.client.addr, &summary->session.client.addr) ||
		    strcmp(kept->finding.reason, summary->finding.reason) != 0)
			continue;
		kept->count = summary->count;
		kept->last_ns = summary->last_ns;
		kept->finding.scope = summary->finding.scope;
		return true;
	}
	return false;
}

void report_add_alert(struct report *report, const struct alert *alert)
{
	enum severity severity = alert->finding.severity;
	if (alert->summary != 0 && update_kept(report, alert))
		return;
	report->alerts++;
	report->by_severity[severity]++;
	report->by_rule[alert->finding.rule]++;
	uint32_t index = place_for(report, severity);
	if (index == NONE)
		return;
	struct report_alert *kept = &report->kept[index];
	*kept = (struct report_alert){
	    .finding = alert->finding,
	    .session = alert->session,
	    .time_ns = alert->summary != 0 ? alert->first_ns : alert->time_ns,
	    .last_ns = alert->last_ns,
	    .count = alert->count,
	    .summary = alert->summary != 0,
	    .older = report->newest[severity],
	    .newer = NONE,
	};
	memcpy(kept->id, alert->id, sizeof kept->id);
	if (alert->observation != NULL) {
		struct span dialogue = alert->observation->dialogue;
		kept->dialogue_cut =
		    alert->observation->dialogue_evicted || dialogue.len > DIALOGUE_MAX;
		/* The decision stands at its end. */
		if (dialogue.len > DIALOGUE_MAX)
			dialogue = span_skip(dialogue, dialogue.len - DIALOGUE_MAX);
		if (dialogue.len > 0)
			memcpy(kept->dialogue, dialogue.ptr, dialogue.len);
		kept->dialogue_len = (uint16_t)dialogue.len;
		keep_text(&kept->server_name,
			  session_facts_text(&alert->observation->facts, TEXT_SERVER_NAME));
	}
	if (kept->older == NONE)
		report->oldest[severity] = index;
	else
		report->kept[kept->older].newer = index;
	report->newest[severity] = index;
}

/* --- writing ---------------------------------------------------------------------------- */

/* Any bytes as HTML text: escaped, one line, no control character. */
static void add_html(struct buffer *out, struct span text)
{
	size_t start = out->len;
	buffer_add_printable(out, text);
	if (out->failed)
		return;
	/* What was printed is in the buffer: make room for the entities from its end. */
	size_t len = out->len - start, extra = 0;
	for (size_t i = start; i < out->len; i++)
		extra += out->bytes[i] == '<' || out->bytes[i] == '>'    ? 3
			 : out->bytes[i] == '&'                          ? 4
			 : out->bytes[i] == '"' || out->bytes[i] == '\'' ? 4
									 : 0;
	if (extra == 0 || !buffer_reserve(out, extra))
		return;
	char *from = out->bytes + start + len, *to = from + extra;
	while (from > out->bytes + start) {
		char c = *--from;
		const char *entity = c == '<'    ? "&lt;"
				     : c == '>'  ? "&gt;"
				     : c == '&'  ? "&amp;"
				     : c == '"'  ? "&#34;"
				     : c == '\'' ? "&#39;"
						 : NULL;
		if (entity == NULL) {
			*--to = c;
			continue;
		}
		size_t size = strlen(entity);
		to -= size;
		memcpy(to, entity, size);
	}
	out->len += extra;
}

static void add_wire(const struct report *report, struct buffer *out, struct span text)
{
	struct span piece;
	if (report->options.show_addresses) {
		add_html(out, text);
		return;
	}
	while (address_next_piece(&text, &piece))
		add_html(out, piece);
}

static void add_kept(const struct report *report, struct buffer *out,
		     const struct report_text *text)
{
	add_wire(report, out, span_of(text->bytes, text->len));
}

static void add_string(struct buffer *out, const char *text)
{
	add_html(out, span_str(text));
}

static void add_endpoint(struct buffer *out, const struct endpoint *at)
{
	char text[IP_ADDR_TEXT];
	size_t len = ip_addr_text(&at->addr, text);
	bool brackets = at->port != 0 && at->addr.version == 6;
	buffer_add_text(out, brackets ? "[" : "");
	buffer_add(out, text, len);
	buffer_add_text(out, brackets ? "]" : "");
	if (at->port != 0) {
		buffer_add_char(out, ':');
		buffer_add_u64(out, at->port);
	}
}

/* "2026-01-02 03:04:05" in UTC. */
static void add_when(struct buffer *out, int64_t time_ns)
{
	size_t at = out->len;
	buffer_add_time(out, time_ns);
	if (out->failed)
		return;
	out->bytes[at + 10] = ' ';
	buffer_truncate(out, at + 19);
}

/* Thousands apart: 1 234 567 with thin spaces. */
static void add_count(struct buffer *out, uint64_t value)
{
	if (value >= 1000) {
		add_count(out, value / 1000);
		buffer_add_text(out, "&#8239;");
		value %= 1000;
		buffer_add_char(out, (char)('0' + value / 100));
		buffer_add_char(out, (char)('0' + value / 10 % 10));
		value %= 10;
	}
	buffer_add_u64(out, value);
}

static const char STYLE[] =
    ":root{--ink:#1c2733;--soft:#5c6b7a;--line:#dde3ea;--paper:#fff;--ground:#f3f5f8;"
    "--good:#2f855a;--bad:#c53030;--warn:#b7791f;--mute:#94a3b4;--critical:#8b1a3a;--accent:#"
    "22577a}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--ground);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "header{background:linear-gradient(120deg,#16324a,#22577a);color:#fff;padding:28px 0}"
    "header h1{margin:0;font-size:26px;letter-spacing:.2px}"
    "header p{margin:4px 0 0;opacity:.85}"
    ".wrap{max-width:1180px;margin:0 auto;padding:0 24px}"
    "main.wrap{padding-top:24px;padding-bottom:48px}"
    ".tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:14px;margin-bottom:20px}"
    ".tile{background:var(--paper);border:1px solid var(--line);border-top:4px solid var(--mute);"
    "border-radius:8px;padding:14px 16px}"
    ".tile b{display:block;font-size:28px;line-height:1.15;font-variant-numeric:tabular-nums}"
    ".tile span{color:var(--soft);font-size:13px}"
    ".tile.good{border-top-color:var(--good)}.tile.bad{border-top-color:var(--bad)}"
    ".tile.warn{border-top-color:var(--warn)}"
    "section{background:var(--paper);border:1px solid var(--line);border-radius:8px;"
    "padding:18px 20px;margin-bottom:20px}"
    "h2{font-size:17px;margin:0 0 12px}h2 small{font-weight:400;color:var(--soft);margin-left:8px}"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:20px}.two section{margin-bottom:20px}"
    "table{width:100%;border-collapse:collapse;font-size:13.5px}"
    "th{text-align:left;color:var(--soft);font-weight:600;border-bottom:2px solid var(--line);"
    "padding:6px 8px;white-space:nowrap}"
    "td{border-bottom:1px solid var(--line);padding:7px 8px;vertical-align:top}"
    "tr:last-child td{border-bottom:0}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "th.n{text-align:right}.hot{color:var(--bad);font-weight:600}"
    ".mono,pre,code{font-family:ui-monospace,'DejaVu Sans "
    "Mono',Menlo,Consolas,monospace;font-size:12.5px}"
    ".addr{white-space:nowrap}.name{color:var(--soft);overflow-wrap:anywhere}"
    ".sev{display:inline-block;min-width:66px;text-align:center;border-radius:4px;color:#fff;"
    "font-size:11.5px;font-weight:600;padding:2px 7px;text-transform:uppercase;letter-spacing:.4px}"
    ".critical{background:var(--critical)}.high{background:var(--bad)}"
    ".medium{background:var(--warn)}.low{background:#64748b}"
    "details summary{cursor:pointer;color:var(--accent);font-size:12.5px;margin-top:3px}"
    "pre{background:#f7f9fb;border:1px solid var(--line);border-radius:6px;padding:10px 12px;"
    "margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere}"
    "pre .c{color:#22577a}pre .s{color:#374151}"
    ".facts{margin:4px 0;color:var(--soft);font-size:12.5px}"
    ".note{color:var(--soft);font-size:13px;margin:10px 0 0}"
    ".key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}"
    ".bar td{border:0;padding:4px 8px}.bar td:nth-child(2){width:55%}"
    ".bar svg{display:block;width:100%;height:14px}"
    "footer{color:var(--soft);font-size:12.5px;padding-bottom:40px}"
    "@media(max-width:860px){.tiles{grid-template-columns:repeat(2,1fr)}.two{grid-template-columns:"
    "1fr}"
    "section{overflow-x:auto}}"
    "@media print{body{background:#fff;font-size:11px}header{background:none;color:#000;padding:0}"
    "section,.tile{break-inside:avoid;border-color:#bbb}.wrap{max-width:none;padding:0}"
    "tr{break-inside:avoid}svg,.sev,.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    "}";

static void write_head(const struct report *report, struct buffer *out)
{
	buffer_add_text(
	    out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		 "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
		 "<meta name=\"referrer\" content=\"no-referrer\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<title>STARTTLS report</title>\n<style>");
	buffer_add(out, STYLE, sizeof STYLE - 1);
	buffer_add_text(out, "</style>\n</head>\n<body>\n<header><div class=\"wrap\">\n"
			     "<h1>SMTP STARTTLS report</h1>\n<p>Sensor ");
	add_string(out, report->options.sensor);
	if (report->sessions > 0) {
		buffer_add_text(out, " &middot; ");
		add_when(out, report->first_ns);
		buffer_add_text(out, " to ");
		add_when(out, report->last_ns);
		buffer_add_text(out, " UTC");
	}
	buffer_add_text(out, "</p>\n</div></header>\n<main class=\"wrap\">\n");
}

static void write_tile(struct buffer *out, const char *kind, uint64_t value, const char *label)
{
	buffer_add_text(out, "<div class=\"tile ");
	buffer_add_text(out, kind);
	buffer_add_text(out, "\"><b>");
	add_count(out, value);
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
	buffer_add_text(out, "<svg viewBox=\"0 0 220 14\" preserveAspectRatio=\"none\" role=\"img\" aria-hidden=\"true\">"
			     "<rect width=\"220\" height=\"14\" rx=\"3\" fill=\"#eef1f5\"/>"
			     "<rect height=\"14\" rx=\"3\" fill=\"");
	buffer_add_text(out, colour);
	buffer_add_text(out, "\" width=\"");
	uint64_t width = most == 0 ? 0 : value * 220 / most;
	buffer_add_u64(out, value > 0 && width < 2 ? 2 : width);
	buffer_add_text(out, "\"/></svg>");
}

static void write_outcomes(const struct report *report, struct buffer *out)
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
		add_count(out, report->outcomes[outcome]);
		buffer_add_text(out, "</td></tr>\n");
	}
	buffer_add_text(out, "</table></section>\n");
}

static void write_rules(const struct report *report, struct buffer *out)
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
		add_string(out, rule->meaning);
		buffer_add_text(out, "\">");
		buffer_add_text(out, rule->id);
		buffer_add_text(out, "</td><td>");
		write_bar(out, report->by_rule[i], most, colours[rule->severity]);
		buffer_add_text(out, "</td><td class=\"n\">");
		add_count(out, report->by_rule[i]);
		buffer_add_text(out, "</td></tr>\n");
	}
	buffer_add_text(out, "</table>");
	if (report->alerts == 0)
		buffer_add_text(out, "<p class=\"note\">Nothing was found.</p>");
	buffer_add_text(out, "</section>\n");
}

/* In the largest unit that leaves at least 2: the timeline's steps double, so it is rounded. */
static void add_duration(struct buffer *out, uint64_t seconds)
{
	static const struct {
		uint32_t seconds;
		const char *name;
	} units[] = {{86400, " days"}, {3600, " hours"}, {60, " minutes"}};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (seconds < 2 * (uint64_t)units[i].seconds)
			continue;
		buffer_add_text(out, "about ");
		add_count(out, (seconds + units[i].seconds / 2) / units[i].seconds);
		buffer_add_text(out, units[i].name);
		return;
	}
	add_count(out, seconds);
	buffer_add_text(out, seconds == 1 ? " second" : " seconds");
}

#define TIMELINE_WIDTH  1120
#define TIMELINE_HEIGHT 110

static void write_timeline(const struct report *report, struct buffer *out)
{
	static const char *const colours[TIMELINE_KINDS] = {"#2f855a", "#c53030", "#94a3b4"};
	const struct timeline *timeline = &report->timeline;
	uint64_t most = 0;
	unsigned used = 0;
	for (unsigned i = 0; i < TIMELINE_BINS; i++) {
		uint64_t sum = 0;
		for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++)
			sum += timeline->bins[i][kind];
		most = sum > most ? sum : most;
		used = sum > 0 ? i + 1 : used;
	}
	if (used < 2)
		return;
	unsigned step = TIMELINE_WIDTH / used;
	buffer_add_text(out, "<section><h2>Sessions over time<small>each bar ");
	add_duration(out, (uint64_t)(timeline->width_ns / 1000000000));
	buffer_add_text(out, ", the highest ");
	add_count(out, most);
	buffer_add_text(
	    out,
	    " sessions</small></h2>\n<svg viewBox=\"0 0 1120 110\" width=\"100%\" role=\"img\" "
	    "aria-label=\"Sessions over time\"><rect y=\"109\" width=\"1120\" height=\"1\" "
	    "fill=\"#dde3ea\"/>\n");
	for (unsigned i = 0; i < used; i++) {
		unsigned base = TIMELINE_HEIGHT;
		for (unsigned kind = 0; kind < TIMELINE_KINDS; kind++) {
			uint64_t value = timeline->bins[i][kind];
			if (value == 0)
				continue;
			unsigned height = (unsigned)(value * (TIMELINE_HEIGHT - 4) / most);
			height = height < 1 ? 1 : height > base ? base : height;
			base -= height;
			buffer_add_text(out, "<rect x=\"");
			buffer_add_u64(out, (uint64_t)i * step);
			buffer_add_text(out, "\" y=\"");
			buffer_add_u64(out, base);
			buffer_add_text(out, "\" width=\"");
			buffer_add_u64(out, step > 3 ? step - 2 : step);
			buffer_add_text(out, "\" height=\"");
			buffer_add_u64(out, height);
			buffer_add_text(out, "\" fill=\"");
			buffer_add_text(out, colours[kind]);
			buffer_add_text(out, "\"/>");
		}
	}
	buffer_add_text(
	    out, "</svg>\n<p class=\"note\">"
		 "<svg class=\"key\" width=\"10\" height=\"10\"><rect width=\"10\" height=\"10\" "
		 "fill=\"#2f855a\"/></svg>TLS"
		 "<svg class=\"key\" width=\"10\" height=\"10\"><rect width=\"10\" height=\"10\" "
		 "fill=\"#c53030\"/></svg>mail or credentials in the clear"
		 "<svg class=\"key\" width=\"10\" height=\"10\"><rect width=\"10\" height=\"10\" "
		 "fill=\"#94a3b4\"/></svg>neither</p></section>\n");
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
	add_string(out, rule->meaning);
	buffer_add_text(out, ".<br>Reason <code>");
	add_string(out, alert->finding.reason);
	buffer_add_text(out, "</code> &middot; confidence ");
	buffer_add_text(out, confidence_word(alert->finding.confidence));
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++) {
		if ((rule->techniques >> bit & 1) == 0)
			continue;
		buffer_add_text(out, " &middot; ATT&amp;CK ");
		buffer_add_text(out, rule_technique_info(bit)->id);
	}
	buffer_add_text(out, " &middot; id <code>");
	add_string(out, alert->id);
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
	add_when(out, alert->time_ns);
	buffer_add_text(out, "</td><td class=\"mono\"><span class=\"addr\">");
	if (alert->session.client.addr.version != 0)
		add_endpoint(out, &(struct endpoint){.addr = alert->session.client.addr});
	buffer_add_text(out, "</span><br><span class=\"addr\">&rarr; ");
	if (alert->session.server.addr.version != 0)
		add_endpoint(out, &alert->session.server);
	buffer_add_text(out, "</span><br><span class=\"name\">");
	add_kept(report, out, &alert->server_name);
	buffer_add_text(out, "</span></td><td><b>");
	buffer_add_text(out, rule_info(alert->finding.rule)->id);
	buffer_add_text(out, "</b>");
	if (alert->count > 1) {
		buffer_add_text(out, " &times;&#8239;");
		add_count(out, alert->count);
	}
	if (alert->finding.scope != NULL) {
		buffer_add_text(out, " &middot; ");
		buffer_add_text(out, alert->finding.scope);
	}
	buffer_add_text(out, "<br>");
	add_string(out, alert->finding.message);
	write_details(report, out, alert);
	buffer_add_text(out, "</td></tr>\n");
}

static void write_left_out(struct buffer *out, uint64_t count, const char *what)
{
	if (count == 0)
		return;
	buffer_add_text(out, "<p class=\"note\">");
	add_count(out, count);
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
	add_count(out, value);
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
	add_count(out, table->used);
	buffer_add_text(out, ", worst first</small></h2>\n<table><thead><tr><th>Address</th>"
			     "<th class=\"n\">Sessions</th><th class=\"n\">Offered</th>"
			     "<th class=\"n\">TLS</th><th class=\"n\">Clear mail</th>"
			     "<th class=\"n\">Credentials</th></tr></thead><tbody>\n");
	for (unsigned i = 0; i < count; i++) {
		const struct report_host *host = worst[i];
		buffer_add_text(out, "<tr><td><span class=\"mono addr\">");
		add_endpoint(out, &host->at);
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
		add_string(out, file->path);
		if (file->has_fault) {
			buffer_add_text(out, "<br><span class=\"hot\">");
			add_string(out, file->fault);
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
	write_outcomes(report, out);
	write_rules(report, out);
	buffer_add_text(out, "</div>\n");
	write_timeline(report, out);
	write_alerts(report, out);
	buffer_add_text(out, "<div class=\"two\">\n");
	write_hosts(report, out, "Clients", &report->clients);
	write_hosts(report, out, "Servers", &report->servers);
	buffer_add_text(out, "</div>\n");
	write_inputs(report, out);
	buffer_add_text(out, "<footer>Made by stripwatch ");
	add_string(out, report->options.version);
	buffer_add_text(out, ". No part of an AUTH exchange and no message content is in this "
			     "report.</footer>\n</main>\n</body>\n</html>\n");
	return !out->failed;
}
