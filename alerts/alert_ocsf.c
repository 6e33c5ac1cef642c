/* SPDX-License-Identifier: Apache-2.0 */
/* OCSF 1.3, class Detection Finding (schema.ocsf.io/1.3.0/classes/detection_finding). */
#include "alerts/alert_format.h"

#include "decoders/tls_suites.h"

#define OCSF_CATEGORY_FINDINGS 2
#define OCSF_DETECTION_FINDING 2004
#define OCSF_CREATE            1
#define OCSF_UPDATE            2

struct ocsf_word {
	unsigned id;
	const char *word;
};

static const struct ocsf_word severities[SEVERITY_COUNT] = {
    [SEVERITY_LOW] = {2, "Low"},
    [SEVERITY_MEDIUM] = {3, "Medium"},
    [SEVERITY_HIGH] = {4, "High"},
    [SEVERITY_CRITICAL] = {5, "Critical"},
};

/* Nothing in OCSF is above high. */
static const struct ocsf_word confidences[CONFIDENCE_COUNT] = {
    [CONFIDENCE_LOW] = {1, "Low"},
    [CONFIDENCE_MEDIUM] = {2, "Medium"},
    [CONFIDENCE_HIGH] = {3, "High"},
    [CONFIDENCE_CERTAIN] = {3, "High"},
};

/* timestamp_t: milliseconds. Rounded down, before 1970 as well. */
static void add_time(struct json *json, const char *key, int64_t time_ns)
{
	int64_t ms = time_ns / 1000000;
	json_i64(json, key, time_ns % 1000000 < 0 ? ms - 1 : ms);
}

static void add_class(struct json *json, const struct alert *alert)
{
	unsigned activity = alert->summary != 0 ? OCSF_UPDATE : OCSF_CREATE;
	json_u64(json, "category_uid", OCSF_CATEGORY_FINDINGS);
	json_word(json, "category_name", "Findings");
	json_u64(json, "class_uid", OCSF_DETECTION_FINDING);
	json_word(json, "class_name", "Detection Finding");
	json_u64(json, "activity_id", activity);
	json_word(json, "activity_name", activity == OCSF_UPDATE ? "Update" : "Create");
	json_u64(json, "type_uid", OCSF_DETECTION_FINDING * 100 + activity);
	add_time(json, "time", alert->time_ns);
	json_u64(json, "severity_id", severities[alert->finding.severity].id);
	json_word(json, "severity", severities[alert->finding.severity].word);
	json_u64(json, "confidence_id", confidences[alert->finding.confidence].id);
	json_word(json, "confidence", confidences[alert->finding.confidence].word);
	json_u64(json, "status_id", 1);
	json_word(json, "status", "New");
	json_bool(json, "is_alert", true);
	json_text(json, "message", span_str(alert->finding.message));
	json_u64(json, "count", alert->count);
	add_time(json, "start_time",
		 alert->summary != 0 ? alert->first_ns : alert->session.start_ns);
	if (alert->summary != 0)
		add_time(json, "end_time", alert->last_ns);
}

static void add_metadata(struct json *json, const struct alert *alert,
			 const struct record_origin *origin)
{
	json_open_object(json, "metadata");
	json_word(json, "version", "1.3.0");
	json_word(json, "uid", alert->id);
	json_text(json, "log_provider", span_str(origin->sensor));
	json_open_object(json, "product");
	json_word(json, "name", "stripwatch");
	json_word(json, "vendor_name", "stripwatch");
	json_word(json, "version", origin->version);
	json_close_object(json);
	json_close_object(json);
}

static void add_finding(struct json *json, const struct alert *alert)
{
	const struct rule_info *rule = rule_info(alert->finding.rule);
	json_open_object(json, "finding_info");
	json_word(json, "uid", alert->id);
	json_word(json, "title", rule->name);
	json_word(json, "desc", rule->meaning);
	json_wire(json, "src_url", span_of(rule->references, strcspn(rule->references, " ")));
	json_open_array(json, "types");
	json_word(json, NULL, alert->finding.reason);
	json_close_array(json);
	json_open_object(json, "analytic");
	json_word(json, "uid", rule->id);
	json_word(json, "name", rule->name);
	json_u64(json, "type_id", 1);
	json_word(json, "type", "Rule");
	json_close_object(json);
	json_open_array(json, "attacks");
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++) {
		const struct rule_technique_info *technique = rule_technique_info(bit);
		if ((rule->techniques >> bit & 1) == 0)
			continue;
		json_open_object(json, NULL);
		json_word(json, "version", technique->version);
		json_open_object(json, "technique");
		json_word(json, "uid", technique->id);
		json_word(json, "name", technique->name);
		json_close_object(json);
		json_close_object(json);
	}
	json_close_array(json);
	json_close_object(json);
}

static void add_endpoint(struct json *json, const char *key, const struct endpoint *endpoint,
			 struct span name)
{
	json_open_object(json, key);
	json_address(json, "ip", &endpoint->addr);
	json_u64(json, "port", endpoint->port);
	if (name.len > 0)
		json_wire(json, "hostname", name);
	json_close_object(json);
}

static void add_tls(struct json *json, const struct session_facts *facts)
{
	const struct tls_suite *suite = tls_suite_find(facts->tls.version, facts->tls.suite);
	const char *version = record_tls_version(facts->tls.version);
	struct span sni = session_facts_text(facts, TEXT_SNI);
	if (!facts->tls.server_hello || version == NULL)
		return;
	json_open_object(json, "tls");
	json_word(json, "version", version);
	if (suite != NULL)
		json_word(json, "cipher", suite->name);
	if (sni.len > 0)
		json_wire(json, "sni", sni);
	json_close_object(json);
}

static void add_evidence(struct json *json, const struct alert *alert, struct digester *digester)
{
	const struct session_identity *session = &alert->session;
	const struct session_facts *facts =
	    alert->observation == NULL ? NULL : &alert->observation->facts;
	struct span client = {.ptr = NULL, .len = 0}, server = client;
	char community_id[COMMUNITY_ID_TEXT];
	if (facts != NULL) {
		client = session_facts_text(facts, TEXT_CLIENT_NAME);
		server = session_facts_text(facts, TEXT_SERVER_NAME);
	}
	json_open_array(json, "evidences");
	if (session->client.addr.version != 0 && session->server.addr.version != 0) {
		json_open_object(json, NULL);
		add_endpoint(json, "src_endpoint", &session->client, client);
		add_endpoint(json, "dst_endpoint", &session->server, server);
		json_open_object(json, "connection_info");
		json_u64(json, "direction_id", 0);
		json_word(json, "protocol_name", "tcp");
		json_u64(json, "protocol_num", 6);
		if (community_id_text(digester, &session->client, &session->server, community_id))
			json_word(json, "community_uid", community_id);
		json_close_object(json);
		if (facts != NULL)
			add_tls(json, facts);
		json_close_object(json);
	}
	json_close_array(json);
}

void alert_add_ocsf(struct json *json, const struct alert *alert,
		    const struct record_origin *origin, struct digester *digester)
{
	json_open_object(json, NULL);
	add_class(json, alert);
	add_metadata(json, alert, origin);
	add_finding(json, alert);
	add_evidence(json, alert, digester);
	json_open_object(json, "unmapped");
	json_word(json, "rule", rule_info(alert->finding.rule)->id);
	json_word(json, "reason", alert->finding.reason);
	if (alert->finding.scope != NULL)
		json_word(json, "scope", alert->finding.scope);
	alert_add_basis(json, &alert->finding.basis);
	json_bool(json, "summary", alert->summary != 0);
	json_close_object(json);
	json_close_object(json);
}
