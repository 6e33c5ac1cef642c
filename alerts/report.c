/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/report.h"

#include "alerts/report_state.h"

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
