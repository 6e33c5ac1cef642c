/* SPDX-License-Identifier: Apache-2.0 */
/* Suricata's EVE (docs.suricata.io, "Eve JSON Format"). */
#include "alerts/alert_format.h"

#include "decoders/tls_suites.h"

#define EVE_FIRST_SIGNATURE 1025001

/* "2026-01-02T03:04:05.678901+0000" */
static void add_timestamp(struct json *json, const char *key, int64_t time_ns)
{
	char text[40];
	struct buffer *out = json->out;
	size_t at = out->len;
	/* Written by the one that knows calendars, then taken back out for its other zone. */
	buffer_add_time(out, time_ns);
	size_t len = out->failed ? 0 : out->len - at - 1;
	if (len == 0 || len + 5 > sizeof text)
		return;
	memcpy(text, out->bytes + at, len);
	memcpy(text + len, "+0000", 5);
	buffer_truncate(out, at);
	json_text(json, key, span_of(text, len + 5));
}

static void add_endpoints(struct json *json, const struct alert *alert, struct digester *digester)
{
	const struct session_identity *session = &alert->session;
	char community_id[COMMUNITY_ID_TEXT];
	if (session->client.addr.version != 0) {
		json_address(json, "src_ip", &session->client.addr);
		json_u64(json, "src_port", session->client.port);
	}
	if (session->server.addr.version != 0) {
		json_address(json, "dest_ip", &session->server.addr);
		json_u64(json, "dest_port", session->server.port);
	}
	json_word(json, "proto", "TCP");
	json_word(json, "app_proto", "smtp");
	if (community_id_text(digester, &session->client, &session->server, community_id))
		json_word(json, "community_id", community_id);
	if (session->vlan_outer != VLAN_NONE && session->client.addr.version != 0) {
		json_open_array(json, "vlan");
		json_u64(json, NULL, session->vlan_outer);
		if (session->vlan_inner != VLAN_NONE)
			json_u64(json, NULL, session->vlan_inner);
		json_close_array(json);
	}
}

/* Metadata values are arrays of strings in EVE. */
static void add_metadata(struct json *json, const char *key, const char *value)
{
	json_open_array(json, key);
	json_word(json, NULL, value);
	json_close_array(json);
}

static void add_signature(struct json *json, const struct alert *alert)
{
	const struct rule_info *rule = rule_info(alert->finding.rule);
	json_open_object(json, "alert");
	json_word(json, "action", "allowed"); /* a passive sensor blocks nothing */
	json_u64(json, "gid", 1);
	json_u64(json, "signature_id", EVE_FIRST_SIGNATURE + (uint64_t)alert->finding.rule);
	json_u64(json, "rev", 1);
	json_word(json, "signature", rule->name);
	json_word(json, "category", "SMTP STARTTLS downgrade");
	json_u64(json, "severity", (uint64_t)(SEVERITY_COUNT - alert->finding.severity));
	json_open_object(json, "metadata");
	add_metadata(json, "rule", rule->id);
	add_metadata(json, "confidence", confidence_word(alert->finding.confidence));
	json_open_array(json, "mitre_technique_id");
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++)
		if ((rule->techniques >> bit & 1) != 0)
			json_word(json, NULL, rule_technique_info(bit)->id);
	json_close_array(json);
	json_close_object(json);
	json_close_object(json);
}

static void add_tls(struct json *json, const struct session_facts *facts)
{
	const struct tls_suite *suite = tls_suite_find(facts->tls.version, facts->tls.suite);
	const char *version = record_tls_version(facts->tls.version);
	struct span sni = session_facts_text(facts, TEXT_SNI);
	if (!facts->tls.server_hello || version == NULL)
		return;
	char name[] = "TLS 1.2";
	memcpy(name, facts->tls.version > 0x0300 ? "TLS" : "SSL", 3);
	memcpy(name + 4, version, 3);
	json_open_object(json, "tls");
	json_word(json, "version", name);
	json_word(json, "from_proto", "smtp");
	if (sni.len > 0)
		json_wire(json, "sni", sni);
	if (suite != NULL)
		json_word(json, "cipher_suite", suite->name);
	json_close_object(json);
}

static void add_session(struct json *json, const struct session_facts *facts)
{
	struct span name = session_facts_text(facts, TEXT_CLIENT_NAME);
	if (name.len > 0) {
		json_open_object(json, "smtp");
		json_wire(json, "helo", name);
		json_close_object(json);
	}
	add_tls(json, facts);
}

static void add_own(struct json *json, const struct alert *alert)
{
	json_open_object(json, "stripwatch");
	json_word(json, "id", alert->id);
	json_word(json, "reason", alert->finding.reason);
	json_text(json, "message", span_str(alert->finding.message));
	json_word(json, "severity", severity_word(alert->finding.severity));
	if (alert->finding.scope != NULL)
		json_word(json, "scope", alert->finding.scope);
	alert_add_basis(json, &alert->finding.basis);
	json_u64(json, "count", alert->count);
	json_bool(json, "summary", alert->summary != 0);
	json_close_object(json);
}

void alert_add_eve(struct json *json, const struct alert *alert, const struct record_origin *origin,
		   struct digester *digester)
{
	const char *interface = record_interface_name(origin, alert->session.tap);
	json_open_object(json, NULL);
	add_timestamp(json, "timestamp", alert->time_ns);
	json_word(json, "event_type", "alert");
	json_text(json, "host", span_str(origin->sensor));
	if (interface != NULL)
		json_text(json, "in_iface", span_str(interface));
	if (origin->input != NULL)
		json_text(json, "pcap_filename", span_str(origin->input));
	add_endpoints(json, alert, digester);
	add_signature(json, alert);
	if (alert->observation != NULL)
		add_session(json, &alert->observation->facts);
	add_own(json, alert);
	json_close_object(json);
}
