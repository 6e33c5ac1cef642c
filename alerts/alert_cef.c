/* SPDX-License-Identifier: Apache-2.0 */
/* ArcSight's Common Event Format, version 0 ("Implementing ArcSight Common Event Format", rev. 23).
 */
#include "alerts/alert_format.h"

#include "alerts/untrusted.h"

#include <stdio.h>

#define CEF_VENDOR  "stripwatch"
#define CEF_PRODUCT "stripwatch"
/* What a name may claim: the dictionary gives a host name 1023 characters, DNS 255. */
#define NAME_MAX_BYTES 255

/* 0 to 3 is low, to 6 medium, to 8 high, to 10 very high. */
static const unsigned severities[SEVERITY_COUNT] = {
    [SEVERITY_LOW] = 3, [SEVERITY_MEDIUM] = 6, [SEVERITY_HIGH] = 8, [SEVERITY_CRITICAL] = 10};

/* In a header field '|' and '\' are escaped, in an extension '=' and '\'; no line ever breaks. */
static void add_escaped(struct buffer *out, struct span text, char special)
{
	struct cursor rest = cursor_of(text);

	while (rest.left > 0) {
		const uint8_t *start = rest.ptr;
		uint32_t character = utf8_next(&rest);
		if (character == '\n' && special == '=')
			buffer_add_text(out, "\\n");
		else if (character == '\r' && special == '=')
			buffer_add_text(out, "\\r");
		else if (character_is_hostile(character))
			buffer_add_char(out, '?');
		else if (character == UTF8_REPLACEMENT)
			buffer_add_text(out, "\xef\xbf\xbd");
		else {
			if (character == (uint32_t)special || character == '\\')
				buffer_add_char(out, '\\');
			buffer_add(out, start, (size_t)(rest.ptr - start));
		}
	}
}

static void add_header(struct buffer *out, const char *text)
{
	add_escaped(out, span_str(text), '|');
	buffer_add_char(out, '|');
}

static void begin_value(struct buffer *out, const char *key)
{
	buffer_add_text(out, key);
	buffer_add_char(out, '=');
}

static void add_text(struct buffer *out, const char *key, const char *text)
{
	begin_value(out, key);
	add_escaped(out, span_str(text), '=');
	buffer_add_char(out, ' ');
}

static void add_number(struct buffer *out, const char *key, uint64_t number)
{
	begin_value(out, key);
	buffer_add_u64(out, number);
	buffer_add_char(out, ' ');
}

/* Milliseconds since 1970, rounded down. */
static void add_time(struct buffer *out, const char *key, int64_t time_ns)
{
	int64_t ms = time_ns / 1000000;

	begin_value(out, key);
	buffer_add_i64(out, time_ns % 1000000 < 0 ? ms - 1 : ms);
	buffer_add_char(out, ' ');
}

/* A name off the wire; the local part of an address in it is hidden unless it may be shown. */
static void add_name(struct buffer *out, const char *key, struct span name, bool show_addresses)
{
	struct span piece;

	if (name.len == 0)
		return;
	name = span_head(name, NAME_MAX_BYTES);
	begin_value(out, key);
	if (show_addresses) {
		add_escaped(out, name, '=');
	} else {
		while (address_next_piece(&name, &piece))
			add_escaped(out, piece, '=');
	}
	buffer_add_char(out, ' ');
}

/* src and dst are for IPv4 alone; IPv6 has fields of its own, with labels. */
static void add_endpoint(struct buffer *out, const struct endpoint *endpoint, bool source)
{
	char text[IP_ADDR_TEXT];

	if (endpoint->addr.version == 0)
		return;
	text[ip_addr_text(&endpoint->addr, text)] = '\0';
	if (endpoint->addr.version == 4) {
		add_text(out, source ? "src" : "dst", text);
	} else {
		add_text(out, source ? "c6a2" : "c6a3", text);
		add_text(out, source ? "c6a2Label" : "c6a3Label",
			 source ? "Source IPv6 Address" : "Destination IPv6 Address");
	}
	add_number(out, source ? "spt" : "dpt", endpoint->port);
}

bool alert_write_cef(const struct alert *alert, const struct record_origin *origin,
		     struct buffer *out)
{
	const struct rule_info *rule = rule_info(alert->finding.rule);
	const char *interface = record_interface_name(origin, alert->session.tap);
	size_t start = out->len;

	buffer_add_text(out, "CEF:0|" CEF_VENDOR "|" CEF_PRODUCT "|");
	add_header(out, origin->version);
	add_header(out, rule->id);
	add_header(out, rule->name);
	buffer_add_u64(out, severities[alert->finding.severity]);
	buffer_add_char(out, '|');

	add_time(out, "rt", alert->time_ns);
	add_text(out, "externalId", alert->id);
	add_text(out, "dvchost", origin->sensor);
	add_text(out, "cat", "SMTP STARTTLS downgrade");
	add_text(out, "reason", alert->finding.reason);
	add_endpoint(out, &alert->session.client, true);
	add_endpoint(out, &alert->session.server, false);
	add_text(out, "proto", "TCP");
	add_text(out, "app", "SMTP");
	if (alert->observation != NULL) {
		const struct session_facts *facts = &alert->observation->facts;
		add_name(out, "shost", session_facts_text(facts, TEXT_CLIENT_NAME),
			 origin->show_addresses);
		add_name(out, "dhost", session_facts_text(facts, TEXT_SERVER_NAME),
			 origin->show_addresses);
	}
	if (interface != NULL)
		add_text(out, "deviceInboundInterface", interface);
	add_text(out, "cs1Label", "Confidence");
	add_text(out, "cs1", confidence_word(alert->finding.confidence));
	if (alert->finding.scope != NULL) {
		add_text(out, "cs2Label", "Scope");
		add_text(out, "cs2", alert->finding.scope);
	}
	add_number(out, "cnt", alert->count);
	if (alert->summary != 0) {
		add_time(out, "start", alert->first_ns);
		add_time(out, "end", alert->last_ns);
	}
	/* Last, so that a reader who splits at blanks and '=' loses least. */
	begin_value(out, "msg");
	add_escaped(out, span_str(alert->finding.message), '=');
	if (out->failed) {
		buffer_truncate(out, start);
		return false;
	}
	return true;
}
