/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/alert.h"

#include "alerts/baseline_json.h"
#include "alerts/readable.h"
#include "alerts/untrusted.h"

struct alert alert_of(const struct finding *finding, const struct observation *observation)
{
	return (struct alert){
	    .finding = *finding,
	    .time_ns = observation->time_ns,
	    .ordinal = observation->ordinal,
	    .session = session_identity_of(&observation->facts),
	    .observation = observation,
	    .count = 1,
	    .first_ns = observation->time_ns,
	    .last_ns = observation->time_ns,
	};
}

static bool digest_u64(struct digest_stream *stream, uint64_t value)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (56 - 8 * i));
	return digest_stream_update(stream, span_of(bytes, sizeof bytes));
}

static bool digest_text(struct digest_stream *stream, const char *text)
{
	struct span bytes = span_str(text == NULL ? "" : text);
	return digest_u64(stream, bytes.len) && digest_stream_update(stream, bytes);
}

bool alert_identify(struct alert *alert, const struct record_origin *origin,
		    struct digester *digester)
{
	uint8_t digest[DIGEST_SHA256_SIZE] = {0};
	char community_id[COMMUNITY_ID_TEXT];
	(void)community_id_text(digester, &alert->session.client, &alert->session.server,
				community_id);
	struct digest_stream *stream = digest_stream_create(digester, DIGEST_SHA256);
	bool done = stream != NULL && digest_text(stream, origin->sensor) &&
		    digest_text(stream, record_tap_name(origin, alert->session.tap)) &&
		    digest_text(stream, community_id) &&
		    digest_u64(stream, (uint64_t)alert->session.start_ns) &&
		    digest_text(stream, rule_info(alert->finding.rule)->id) &&
		    digest_text(stream, alert->finding.reason) &&
		    digest_u64(stream, alert->summary) && digest_stream_finish(stream, digest);
	digest_stream_destroy(stream);
	digest_hex(digest, (ALERT_ID_TEXT - 1) / 2, alert->id);
	return done;
}

static void add_event(struct json *json, const struct alert *alert)
{
	json_open_object(json, "event");
	json_word(json, "kind", "alert");
	json_open_array(json, "category");
	json_word(json, NULL, "intrusion_detection");
	json_word(json, NULL, "network");
	json_close_array(json);
	json_open_array(json, "type");
	json_word(json, NULL, "info");
	json_close_array(json);
	json_word(json, "dataset", "stripwatch.alert");
	json_word(json, "id", alert->id);
	json_u64(json, "severity", severity_number(alert->finding.severity));
	json_text(json, "reason", span_str(alert->finding.message));
	json_time(json, "start", alert->summary != 0 ? alert->first_ns : alert->session.start_ns);
	if (alert->summary != 0)
		json_time(json, "end", alert->last_ns);
	else if (alert->observation != NULL &&
		 (alert->observation->facts.milestones & MILESTONE_CLOSED) != 0)
		json_time(json, "end", alert->observation->facts.end_ns);
	json_close_object(json);
}

/* The first of a space-separated list. */
static struct span first_word(const char *words)
{
	return span_of(words, strcspn(words, " "));
}

static void add_rule(struct json *json, const struct rule_info *rule)
{
	json_open_object(json, "rule");
	json_word(json, "id", rule->id);
	json_word(json, "name", rule->name);
	json_word(json, "description", rule->meaning);
	json_text(json, "reference", first_word(rule->references));
	json_word(json, "ruleset", "stripwatch");
	json_close_object(json);
}

static void add_techniques(struct json *json, const struct rule_info *rule, bool names)
{
	json_open_array(json, names ? "name" : "id");
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++) {
		const struct rule_technique_info *technique = rule_technique_info(bit);
		if ((rule->techniques >> bit & 1) != 0)
			json_word(json, NULL, names ? technique->name : technique->id);
	}
	json_close_array(json);
}

static void add_threat(struct json *json, const struct rule_info *rule)
{
	json_open_object(json, "threat");
	json_word(json, "framework", "MITRE ATT&CK");
	json_open_object(json, "technique");
	add_techniques(json, rule, false);
	add_techniques(json, rule, true);
	json_close_object(json);
	json_close_object(json);
}

static void add_dialogue(struct json *json, struct span dialogue)
{
	json_open_array(json, "dialogue");
	while (dialogue.len > 0) {
		const uint8_t *end = memchr(dialogue.ptr, '\n', dialogue.len);
		size_t len = end == NULL ? dialogue.len : (size_t)(end - dialogue.ptr);
		json_wire(json, NULL, span_head(dialogue, len));
		dialogue = span_skip(dialogue, len + 1);
	}
	json_close_array(json);
}

static void add_evidence(struct json *json, const struct alert *alert)
{
	json_open_object(json, "evidence");
	if (alert->observation != NULL) {
		add_dialogue(json, alert->observation->dialogue);
		if (alert->observation->dialogue_evicted)
			json_bool(json, "dialogue_evicted", true);
	}
	for (size_t i = 0; i < alert->detail_count; i++) {
		const struct alert_detail *detail = &alert->details[i];
		if (detail->text.ptr != NULL)
			json_wire(json, detail->name, detail->text);
		else
			json_u64(json, detail->name, detail->number);
	}
	if (alert->pcap.path != NULL) {
		json_text(json, "pcap", span_str(alert->pcap.path));
		json_hex(json, "sha256", alert->pcap.sha256, sizeof alert->pcap.sha256);
	}
	json_close_object(json);
}

static void add_references(struct json *json, const struct rule_info *rule)
{
	json_wire_list(json, "references", span_str(rule->references));
	json_open_array(json, "attack");
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++) {
		const struct rule_technique_info *technique = rule_technique_info(bit);
		if ((rule->techniques >> bit & 1) == 0)
			continue;
		json_open_object(json, NULL);
		json_word(json, "id", technique->id);
		json_word(json, "version", technique->version);
		json_close_object(json);
	}
	json_close_array(json);
	json_open_array(json, "compliance");
	for (unsigned bit = 0; bit < COMPLIANCE_COUNT; bit++)
		if ((rule->compliance >> bit & 1) != 0)
			json_word(json, NULL, rule_compliance_text(bit));
	json_close_array(json);
}

void alert_add_basis(struct json *json, const struct finding_basis *basis)
{
	if (basis->known == NULL)
		return;
	json_open_object(json, "known");
	json_word(json, "fact", basis->known);
	if (basis->pinned)
		json_bool(json, "pinned", true);
	if (basis->sessions > 0)
		json_u64(json, "sessions", basis->sessions);
	if (basis->networks > 0) {
		json_u64(json, "client_networks", basis->networks);
		json_bool(json, "client_networks_more", basis->networks_more);
	}
	if (basis->servers > 0)
		json_u64(json, "servers", basis->servers);
	if (basis->days > 0)
		json_u64(json, "days", basis->days);
	if (basis->usual_percent > 0)
		json_u64(json, "usual_percent", basis->usual_percent);
	if (basis->first_s != 0)
		json_seconds(json, "first", basis->first_s);
	if (basis->last_s != 0)
		json_seconds(json, "last", basis->last_s);
	if (basis->has_certificate)
		json_hex(json, "certificate_sha256", basis->certificate, sizeof basis->certificate);
	json_close_object(json);
	if (basis->seen != NULL)
		json_word(json, "seen", basis->seen);
}

static void add_exposed(struct json *json, const struct exposure_day *day)
{
	json_open_object(json, "exposed");
	json_seconds(json, "day", day->day * EXPOSURE_DAY_S);
	json_u64(json, "clients", day->clients);
	json_u64(json, "sessions", day->sessions);
	json_open_array(json, "worst");
	for (unsigned i = 0; i < day->row_count; i++)
		baseline_json_client(json, &day->rows[i], true);
	json_close_array(json);
	json_close_object(json);
}

static void add_stripwatch(struct json *json, const struct alert *alert,
			   const struct rule_info *rule)
{
	json_open_object(json, "stripwatch");
	if (alert->observation != NULL)
		record_add_state(json, &alert->observation->facts);
	else
		json_word(json, "schema", RECORD_SCHEMA);
	json_word(json, "severity", severity_word(alert->finding.severity));
	json_word(json, "confidence", confidence_word(alert->finding.confidence));
	json_word(json, "reason", alert->finding.reason);
	if (alert->finding.scope != NULL)
		json_word(json, "scope", alert->finding.scope);
	alert_add_basis(json, &alert->finding.basis);
	json_u64(json, "count", alert->count);
	json_bool(json, "summary", alert->summary != 0);
	if (alert->summary != 0) {
		json_time(json, "first", alert->first_ns);
		json_time(json, "last", alert->last_ns);
	}
	if (alert->exposed != NULL)
		add_exposed(json, alert->exposed);
	add_evidence(json, alert);
	add_references(json, rule);
	json_close_object(json);
}

bool alert_write(const struct alert *alert, const struct record_origin *origin,
		 struct digester *digester, struct buffer *out)
{
	size_t start = out->len;
	const struct rule_info *rule = rule_info(alert->finding.rule);
	const struct observation *observation = alert->observation;
	struct json json = json_into(out, origin->show_addresses);

	json_open_object(&json, NULL);
	json_time(&json, "@timestamp", alert->time_ns);
	json_open_object(&json, "ecs");
	json_word(&json, "version", RECORD_ECS_VERSION);
	json_close_object(&json);
	json_text(&json, "message", span_str(alert->finding.message));
	json_open_object(&json, "log");
	json_word(&json, "level", severity_log_level(alert->finding.severity));
	json_close_object(&json);
	add_event(&json, alert);
	add_rule(&json, rule);
	add_threat(&json, rule);
	record_add_identity(&json, origin, digester, &alert->session,
			    observation == NULL ? NULL : &observation->facts);
	if (observation != NULL)
		record_add_dialogue(&json, &observation->facts, observation->certificate);
	add_stripwatch(&json, alert, rule);
	json_close_object(&json);
	if (out->failed) {
		buffer_truncate(out, start);
		return false;
	}
	return true;
}

void alert_line(const struct alert *alert, bool colour, struct buffer *out)
{
	static const char *const words[SEVERITY_COUNT] = {"LOW     ", "MEDIUM  ", "HIGH    ",
							  "CRITICAL"};
	static const char *const colours[SEVERITY_COUNT] = {"\x1b[36m", "\x1b[33m", "\x1b[31m",
							    "\x1b[1;37;41m"};
	buffer_add_short_time(out, alert->time_ns);
	buffer_add_char(out, ' ');
	if (colour)
		buffer_add_text(out, colours[alert->finding.severity]);
	buffer_add_text(out, words[alert->finding.severity]);
	if (colour)
		buffer_add_text(out, "\x1b[0m");
	buffer_add_char(out, ' ');
	if (alert->session.client.addr.version != 0) {
		buffer_add_endpoint(out, &(struct endpoint){.addr = alert->session.client.addr});
		buffer_add_text(out, " -> ");
	}
	if (alert->session.server.addr.version != 0) {
		buffer_add_endpoint(out, &alert->session.server);
		buffer_add_char(out, ' ');
	}
	if (alert->observation != NULL) {
		struct span name = session_facts_text(&alert->observation->facts, TEXT_SERVER_NAME);
		if (name.len > 0) {
			buffer_add_char(out, '(');
			buffer_add_printable(out, span_head(name, 64));
			buffer_add_text(out, ") ");
		}
	}
	if (colour)
		buffer_add_text(out, "\x1b[1m");
	buffer_add_text(out, rule_info(alert->finding.rule)->id);
	if (colour)
		buffer_add_text(out, "\x1b[0m");
	buffer_add_text(out, ": ");
	buffer_add_printable(out, span_str(alert->finding.message));
	if (alert->summary != 0) {
		buffer_add_text(out, " [");
		buffer_add_u64(out, alert->count);
		buffer_add_text(out, alert->count == 1 ? " session]" : " sessions]");
	}
}
