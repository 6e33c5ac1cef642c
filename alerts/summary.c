/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/summary.h"

#include "alerts/untrusted.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN 64
/* An IPv6 address in brackets with its port has 47 characters. */
#define LABEL_MAX 64
#define LABEL_MIN 21

/* One server or one client. */
struct host {
	struct endpoint endpoint; /* of a client the port is 0 */
	char name[NAME_SHOWN];
	uint64_t sessions, offered, upgraded;
	uint64_t mails, credentials; /* sessions that sent them in the clear */
	bool used;
};

struct host_table {
	struct host *hosts; /* open addressing */
	size_t size, count, cap;
	uint64_t others; /* sessions of hosts beyond the cap */
	bool no_memory;  /* it could not grow to its cap */
};

struct summary {
	struct host_table servers, clients;
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t alerts[RULE_COUNT], by_severity[SEVERITY_COUNT];
	uint64_t sessions, alert_count;
	bool show_addresses;
};

struct summary *summary_create(size_t hosts, bool show_addresses)
{
	struct summary *summary = calloc(1, sizeof *summary);
	if (summary == NULL)
		return NULL;
	summary->servers.cap = summary->clients.cap = hosts;
	summary->show_addresses = show_addresses;
	return summary;
}

void summary_destroy(struct summary *summary)
{
	if (summary == NULL)
		return;
	free(summary->servers.hosts);
	free(summary->clients.hosts);
	free(summary);
}

static size_t host_slot(const struct host_table *table, const struct endpoint *endpoint)
{
	/* FNV-1a: the table is for people, at the end of a run, and capped. */
	uint64_t hash = 1469598103934665603ULL;
	for (size_t i = 0; i < 16; i++)
		hash = (hash ^ endpoint->addr.bytes[i]) * 1099511628211ULL;
	hash = (hash ^ endpoint->port) * 1099511628211ULL;
	size_t slot = (size_t)(hash ^ hash >> 32) & (table->size - 1);
	while (table->hosts[slot].used &&
	       (table->hosts[slot].endpoint.port != endpoint->port ||
		!ip_addr_equal(&table->hosts[slot].endpoint.addr, &endpoint->addr)))
		slot = (slot + 1) & (table->size - 1);
	return slot;
}

static bool host_table_grow(struct host_table *table)
{
	struct host_table grown = {.size = table->size == 0 ? 64 : table->size * 2};
	grown.hosts = calloc(grown.size, sizeof *grown.hosts);
	if (grown.hosts == NULL)
		return false;
	for (size_t i = 0; i < table->size; i++)
		if (table->hosts[i].used)
			grown.hosts[host_slot(&grown, &table->hosts[i].endpoint)] = table->hosts[i];
	free(table->hosts);
	table->hosts = grown.hosts;
	table->size = grown.size;
	return true;
}

static struct host *host_get(struct host_table *table, const struct endpoint *endpoint)
{
	if (table->count * 2 >= table->size && table->count < table->cap && !host_table_grow(table))
		table->no_memory = true;
	if (table->size == 0)
		return NULL;
	struct host *host = &table->hosts[host_slot(table, endpoint)];
	if (host->used)
		return host;
	if (table->count >= table->cap || table->count + 1 >= table->size)
		return NULL;
	host->used = true;
	host->endpoint = *endpoint;
	table->count++;
	return host;
}

/* Everything but printable ASCII replaced by '?', for a terminal. */
size_t terminal_text(struct span text, char *out, size_t size)
{
	size_t len = 0;
	for (size_t i = 0; i < text.len && len + 1 < size; i++) {
		uint8_t c = text.ptr[i];
		out[len++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	if (size > 0)
		out[len] = '\0';
	return len;
}

static void keep_name(struct host *host, struct span name, bool show_addresses)
{
	struct span piece;
	size_t len = 0;
	if (show_addresses) {
		(void)terminal_text(name, host->name, sizeof host->name);
		return;
	}
	while (address_next_piece(&name, &piece))
		len += terminal_text(piece, host->name + len, sizeof host->name - len);
}

static void host_count(const struct summary *summary, struct host_table *table,
		       const struct endpoint *endpoint, const struct session_facts *facts,
		       struct span name)
{
	struct host *host = host_get(table, endpoint);
	if (host == NULL) {
		table->others++;
		return;
	}
	host->sessions++;
	host->offered += facts->offered == TRI_TRUE;
	host->upgraded +=
	    facts->outcome == OUTCOME_UPGRADED || facts->outcome == OUTCOME_IMPLICIT_TLS;
	host->mails += facts->mails > 0;
	host->credentials += facts->credentials_in_clear;
	if (host->name[0] == '\0')
		keep_name(host, name, summary->show_addresses);
}

void summary_session(struct summary *summary, const struct session_facts *facts)
{
	struct endpoint client = {.addr = facts->client.addr};
	summary->sessions++;
	summary->outcomes[facts->outcome]++;
	host_count(summary, &summary->servers, &facts->server, facts,
		   session_facts_text(facts, TEXT_SERVER_NAME));
	host_count(summary, &summary->clients, &client, facts,
		   session_facts_text(facts, TEXT_CLIENT_NAME));
}

void summary_alert(struct summary *summary, enum rule rule, enum severity severity)
{
	summary->alert_count++;
	summary->alerts[rule]++;
	summary->by_severity[severity]++;
}

bool summary_reached(const struct summary *summary, enum severity severity)
{
	for (unsigned i = severity; i < SEVERITY_COUNT; i++)
		if (summary->by_severity[i] > 0)
			return true;
	return false;
}

uint64_t summary_sessions(const struct summary *summary)
{
	return summary->sessions;
}

uint64_t summary_alerts(const struct summary *summary)
{
	return summary->alert_count;
}

/* Worst first: credentials, then mail in the clear, then what was not upgraded; then by address. */
static int compare_hosts(const void *a, const void *b)
{
	const struct host *x = a, *y = b;
	if (x->credentials != y->credentials)
		return x->credentials > y->credentials ? -1 : 1;
	if (x->mails != y->mails)
		return x->mails > y->mails ? -1 : 1;
	if (x->sessions != y->sessions)
		return x->sessions > y->sessions ? -1 : 1;
	int order = ip_addr_compare(&x->endpoint.addr, &y->endpoint.addr);
	return order != 0 ? order : (int)x->endpoint.port - (int)y->endpoint.port;
}

static struct host *sorted_hosts(const struct host_table *table)
{
	struct host *sorted = calloc(table->count > 0 ? table->count : 1, sizeof *sorted);
	size_t n = 0;
	if (sorted == NULL)
		return NULL;
	for (size_t i = 0; i < table->size && n < table->count; i++)
		if (table->hosts[i].used)
			sorted[n++] = table->hosts[i];
	qsort(sorted, n, sizeof *sorted, compare_hosts);
	return sorted;
}

static void host_label(const struct host *host, char *label, size_t size)
{
	char address[IP_ADDR_TEXT];
	(void)ip_addr_text(&host->endpoint.addr, address);
	if (host->endpoint.port == 0)
		(void)snprintf(label, size, "%s", address);
	else
		(void)snprintf(label, size, host->endpoint.addr.version == 6 ? "[%s]:%u" : "%s:%u",
			       address, host->endpoint.port);
}

/* Width of the first column: the longest label that is shown (IPv6 ones are long), or the title. */
static int label_width(const struct host *hosts, size_t count, size_t title)
{
	size_t width = title < LABEL_MIN ? LABEL_MIN : title;
	for (size_t i = 0; i < count; i++) {
		char label[LABEL_MAX];
		host_label(&hosts[i], label, sizeof label);
		if (strlen(label) > width)
			width = strlen(label);
	}
	return (int)width;
}

static bool print_servers(const struct host_table *table, FILE *out, size_t rows)
{
	struct host *sorted = sorted_hosts(table);
	if (sorted == NULL || table->count == 0) {
		free(sorted);
		return sorted != NULL;
	}
	size_t shown = table->count < rows ? table->count : rows;
	char title[LABEL_MAX];
	int title_len = snprintf(title, sizeof title, "Servers (%zu)", table->count);
	int width = label_width(sorted, shown, (size_t)title_len);

	fprintf(out, "\n%-*s  sessions  offered  upgraded  mail in clear\n", width + 2, title);
	for (size_t i = 0; i < shown; i++) {
		char label[LABEL_MAX];
		host_label(&sorted[i], label, sizeof label);
		fprintf(out, "  %-*s %9" PRIu64 " %8" PRIu64 " %9" PRIu64 " %14" PRIu64 "%s%s\n",
			width, label, sorted[i].sessions, sorted[i].offered, sorted[i].upgraded,
			sorted[i].mails, sorted[i].name[0] != '\0' ? "  " : "", sorted[i].name);
	}
	if (table->count > rows)
		fprintf(out, "  ... and %zu more\n", table->count - rows);
	if (table->others > 0)
		fprintf(out, "  (%" PRIu64 " sessions of further servers are not listed)\n",
			table->others);
	free(sorted);
	return true;
}

static bool print_clients(const struct host_table *table, FILE *out, size_t rows)
{
	struct host *sorted = sorted_hosts(table);
	size_t exposed = 0;

	for (size_t i = 0; sorted != NULL && i < table->count; i++)
		exposed += sorted[i].mails > 0 || sorted[i].credentials > 0;
	size_t shown = exposed < rows ? exposed : rows;
	int width = label_width(sorted, shown, 0);

	if (exposed > 0)
		fprintf(out,
			"\nClients that sent credentials or mail in the clear (%zu)\n"
			"  %-*s credentials       mail  sessions\n",
			exposed, width, "");
	for (size_t i = 0; i < shown; i++) {
		char label[LABEL_MAX];
		host_label(&sorted[i], label, sizeof label);
		fprintf(out, "  %-*s %11" PRIu64 " %10" PRIu64 " %9" PRIu64 "%s%s\n", width, label,
			sorted[i].credentials, sorted[i].mails, sorted[i].sessions,
			sorted[i].name[0] != '\0' ? "  " : "", sorted[i].name);
	}
	if (exposed > rows)
		fprintf(out, "  ... and %zu more\n", exposed - rows);
	free(sorted);
	return sorted != NULL;
}

/* The title of the findings, with how many there are of each severity, worst first. Repeats that
 * were folded into one alert count here. */
static void print_severities(const struct summary *summary, FILE *out)
{
	const char *before = ": ";

	if (summary->alert_count == 0)
		return;
	fprintf(out, "\nFindings (%" PRIu64, summary->alert_count);
	for (unsigned i = SEVERITY_COUNT; i-- > 0;) {
		if (summary->by_severity[i] == 0)
			continue;
		fprintf(out, "%s%" PRIu64 " %s", before, summary->by_severity[i],
			severity_word((enum severity)i));
		before = ", ";
	}
	fputs(")\n", out);
}

bool summary_print(const struct summary *summary, FILE *out, size_t rows)
{
	fprintf(out, "Sessions (%" PRIu64 ")\n", summary->sessions);
	for (unsigned i = 0; i < OUTCOME_COUNT; i++)
		if (summary->outcomes[i] > 0)
			fprintf(out, "  %-16s %10" PRIu64 "\n",
				session_outcome_word((enum session_outcome)i),
				summary->outcomes[i]);
	print_severities(summary, out);
	for (unsigned i = 0; i < RULE_COUNT; i++)
		if (summary->alerts[i] > 0)
			fprintf(out, "  %-24s %10" PRIu64 "\n", rule_info((enum rule)i)->id,
				summary->alerts[i]);
	bool clients = print_clients(&summary->clients, out, rows);
	bool servers = print_servers(&summary->servers, out, rows);
	return clients && servers && !summary->clients.no_memory && !summary->servers.no_memory;
}
