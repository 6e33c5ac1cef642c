/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/record.h"

#include "alerts/rules.h"
#include "decoders/application.h"
#include "decoders/tls_suites.h"

/* A document has a size, and more are nobody's reading. */
#define DOMAINS_TOLD 16 /* of a session's recipients */
#define NAMES_TOLD   64 /* of a certificate */

struct session_identity session_identity_of(const struct session_facts *facts)
{
	return (struct session_identity){
	    .client = facts->client,
	    .server = facts->server,
	    .vlan_outer = facts->vlan_outer,
	    .vlan_inner = facts->vlan_inner,
	    .tap = facts->tap,
	    .start_ns = facts->start_ns,
	};
}

const char *record_tap_name(const struct record_origin *origin, uint32_t tap)
{
	return tap < origin->tap_count ? origin->taps[tap] : NULL;
}

const char *record_interface_name(const struct record_origin *origin, uint32_t tap)
{
	const char *name = record_tap_name(origin, tap);
	return name != NULL ? name : origin->interface;
}

static void add_tri(struct json *json, const char *key, enum tri value)
{
	if (value == TRI_UNKNOWN)
		json_null(json, key);
	else
		json_bool(json, key, value == TRI_TRUE);
}

/* A reply code or another number that 0 stands for none of. */
static void add_code(struct json *json, const char *key, unsigned code)
{
	if (code == 0 || code == REPLY_WITHOUT_CODE)
		json_null(json, key);
	else
		json_u64(json, key, code);
}

/* A count of what was seen. Where some of it may have been missed, none is no number. */
static void add_count(struct json *json, const char *key, uint32_t count, bool whole)
{
	if (count == 0 && !whole)
		json_null(json, key);
	else
		json_u64(json, key, count);
}

static void add_wire_or_null(struct json *json, const char *key, struct span text)
{
	if (text.len == 0)
		json_null(json, key);
	else
		json_wire(json, key, text);
}

static void add_wire(struct json *json, const char *key, struct span text)
{
	if (text.len != 0)
		json_wire(json, key, text);
}

static void add_list(struct json *json, const char *key, struct span list)
{
	if (list.len != 0)
		json_wire_list(json, key, list);
}

/* At most so many of the words of a list. */
static struct span first_words(struct span list, unsigned count)
{
	for (size_t i = 0; i < list.len; i++)
		if (list.ptr[i] == ' ' && --count == 0)
			return span_head(list, i);
	return list;
}

/* An endpoint, and its address as a text, which an identity shows three times. */
struct shown_endpoint {
	uint16_t port;
	size_t len; /* 0: it is not known */
	char text[IP_ADDR_TEXT];
};

static void show_endpoint(struct shown_endpoint *shown, const struct endpoint *endpoint)
{
	shown->port = endpoint->port;
	shown->len = endpoint->addr.version == 0 ? 0 : ip_addr_text(&endpoint->addr, shown->text);
}

static struct span shown_address(const struct shown_endpoint *shown)
{
	return span_of(shown->text, shown->len);
}

static void add_endpoint(struct json *json, const char *key, const struct shown_endpoint *endpoint,
			 const struct session_facts *facts, enum side side)
{
	json_open_object(json, key);
	json_words(json, "address", shown_address(endpoint));
	json_words(json, "ip", shown_address(endpoint));
	json_u64(json, "port", endpoint->port);
	if (facts != NULL) {
		json_u64(json, "bytes", facts->bytes[side]);
		json_u64(json, "packets", facts->packets[side]);
	}
	json_close_object(json);
}

static const char *network_protocol(const struct session_facts *facts)
{
	if (facts != NULL && facts->outcome == OUTCOME_NOT_SMTP)
		return NULL;
	if (facts == NULL || facts->spoke_smtp)
		return "smtp";
	return facts->implicit_tls ? "tls" : NULL;
}

static void add_network(struct json *json, struct digester *digester,
			const struct session_identity *identity, const struct session_facts *facts)
{
	char community_id[COMMUNITY_ID_TEXT];
	json_open_object(json, "network");
	json_word(json, "transport", "tcp");
	json_word(json, "type", identity->server.addr.version == 6 ? "ipv6" : "ipv4");
	json_word(json, "protocol", network_protocol(facts));
	if (community_id_text(digester, &identity->client, &identity->server, community_id))
		json_word(json, "community_id", community_id);
	else
		json_null(json, "community_id");
	if (facts != NULL) {
		add_wire(json, "application", session_facts_text(facts, TEXT_APPLICATION));
		json_u64(json, "bytes", facts->bytes[0] + facts->bytes[1]);
		json_u64(json, "packets", facts->packets[0] + facts->packets[1]);
	}
	if (identity->vlan_outer != VLAN_NONE) {
		json_open_object(json, "vlan");
		json_u64(json, "id", identity->vlan_outer);
		json_close_object(json);
	}
	if (identity->vlan_inner != VLAN_NONE) {
		json_open_object(json, "inner");
		json_open_object(json, "vlan");
		json_u64(json, "id", identity->vlan_inner);
		json_close_object(json);
		json_close_object(json);
	}
	json_close_object(json);
}

static void add_observer(struct json *json, const struct record_origin *origin, uint32_t tap)
{
	json_open_object(json, "observer");
	json_text(json, "name", span_str(origin->sensor));
	json_word(json, "type", "sensor");
	json_word(json, "vendor", "stripwatch");
	json_word(json, "product", "stripwatch");
	json_word(json, "version", origin->version);
	const char *interface = record_interface_name(origin, tap);
	if (interface != NULL) {
		json_open_object(json, "ingress");
		json_open_object(json, "interface");
		json_text(json, "name", span_str(interface));
		json_close_object(json);
		json_close_object(json);
	}
	if (origin->input != NULL) {
		json_open_object(json, "file");
		json_text(json, "path", span_str(origin->input));
		json_close_object(json);
	}
	json_close_object(json);
}

void record_add_identity(struct json *json, const struct record_origin *origin,
			 struct digester *digester, const struct session_identity *identity,
			 const struct session_facts *facts)
{
	struct shown_endpoint client, server;
	show_endpoint(&client, &identity->client);
	show_endpoint(&server, &identity->server);
	if (client.len > 0)
		add_endpoint(json, "source", &client, facts, SIDE_CLIENT);
	if (server.len > 0)
		add_endpoint(json, "destination", &server, facts, SIDE_SERVER);
	if (client.len > 0 && server.len > 0)
		add_network(json, digester, identity, facts);
	if (client.len > 0 || server.len > 0) {
		json_open_object(json, "related");
		json_open_array(json, "ip");
		if (client.len > 0)
			json_words(json, NULL, shown_address(&client));
		if (server.len > 0)
			json_words(json, NULL, shown_address(&server));
		json_close_array(json);
		json_close_object(json);
	}
	add_observer(json, origin, identity->tap);
}

static void add_starttls(struct json *json, const struct session_facts *facts)
{
	json_open_object(json, "starttls");
	add_tri(json, "offered", facts->offered);
	if (facts->masked_offer)
		json_bool(json, "masked", true);
	else
		add_tri(json, "masked", facts->offered == TRI_UNKNOWN ? TRI_UNKNOWN : TRI_FALSE);
	add_tri(json, "requested", facts->requested);
	add_code(json, "reply_code", facts->starttls_code);
	if (facts->offered_anonymous)
		json_bool(json, "anonymous", true);
	json_close_object(json);
}

static void add_plaintext(struct json *json, const struct session_facts *facts)
{
	/* What was never asked cannot have been granted. */
	bool known = facts->commands_whole && (facts->replies_whole || facts->mails == 0);
	json_open_object(json, "plaintext");
	add_count(json, "mails", facts->mails, facts->commands_whole);
	add_count(json, "accepted", facts->accepted, known);
	add_count(json, "recipients", facts->recipients, known);
	add_list(json, "recipient_domains",
		 first_words(session_facts_text(facts, TEXT_RECIPIENT_DOMAINS), DOMAINS_TOLD));
	add_wire(json, "sender_domain", session_facts_text(facts, TEXT_SENDER_DOMAIN));
	add_wire_or_null(json, "auth", session_facts_text(facts, TEXT_AUTH_MECHANISM));
	if (facts->auth_in_clear) {
		json_bool(json, "credentials", facts->credentials_in_clear);
		add_code(json, "auth_reply_code", facts->auth_code);
	}
	/* Only there when accounts may be shown, and then whole, an address or not. */
	struct span account = session_facts_text(facts, TEXT_ACCOUNT);
	if (account.len != 0)
		json_text(json, "account", account);
	json_close_object(json);
}

static void add_smtp(struct json *json, const struct session_facts *facts)
{
	json_open_object(json, "smtp");
	add_wire_or_null(json, "server_name", session_facts_text(facts, TEXT_SERVER_NAME));
	add_wire(json, "ehlo_name", session_facts_text(facts, TEXT_EHLO_NAME));
	add_wire_or_null(json, "client_name", session_facts_text(facts, TEXT_CLIENT_NAME));
	add_code(json, "greeting_code", facts->greeting_code);
	if (facts->greeting_masked)
		json_bool(json, "greeting_masked", true);
	add_code(json, "ehlo_refused_code", facts->ehlo_refused_code);
	add_list(json, "capabilities", session_facts_text(facts, TEXT_CAPABILITIES));
	add_list(json, "masked_capabilities", session_facts_text(facts, TEXT_MASKED));
	add_starttls(json, facts);
	add_plaintext(json, facts);
	json_close_object(json);
}

const char *record_tls_version(uint16_t version)
{
	switch (version) {
	case 0x0002:
		return "2.0";
	case 0x0300:
		return "3.0";
	case 0x0301:
		return "1.0";
	case 0x0302:
		return "1.1";
	case 0x0303:
		return "1.2";
	case 0x0304:
		return "1.3";
	default:
		return NULL;
	}
}

static void add_cipher(struct json *json, const struct session_tls *tls)
{
	static const char digits[] = "0123456789ABCDEF";
	const struct tls_suite *suite = tls_suite_find(tls->version, tls->suite);
	if (suite != NULL) {
		json_word(json, "cipher", suite->name);
		return;
	}
	char code[] = "0x0000"; /* not in IANA's registry */
	for (unsigned i = 0; i < 4; i++)
		code[2 + i] = digits[tls->suite >> (12 - 4 * i) & 0xf];
	json_word(json, "cipher", code);
}

static void add_tls_client(struct json *json, const struct session_facts *facts)
{
	struct span sni = session_facts_text(facts, TEXT_SNI);
	if (!facts->tls.has_ja3 && sni.len == 0)
		return;
	json_open_object(json, "client");
	add_wire(json, "server_name", sni);
	if (facts->tls.has_ja3)
		json_hex(json, "ja3", facts->tls.ja3, sizeof facts->tls.ja3);
	json_close_object(json);
}

static const char *key_algorithm(enum certificate_key key)
{
	static const char *const words[] = {
	    [CERTIFICATE_KEY_RSA] = "RSA",     [CERTIFICATE_KEY_DSA] = "DSA",
	    [CERTIFICATE_KEY_DH] = "DH",       [CERTIFICATE_KEY_EC] = "EC",
	    [CERTIFICATE_KEY_EDDSA] = "EdDSA",
	};
	return words[key];
}

static void add_certificate(struct json *json, const struct session_tls *tls,
			    const struct certificate_info *certificate)
{
	json_open_object(json, "hash");
	json_hex(json, "sha256", tls->certificate_sha256, sizeof tls->certificate_sha256);
	json_close_object(json);
	if (certificate == NULL)
		return;
	json_wire(json, "subject", certificate->subject);
	json_wire(json, "issuer", certificate->issuer);
	json_seconds(json, "not_before", certificate->not_before);
	json_seconds(json, "not_after", certificate->not_after);
	json_open_object(json, "x509");
	json_wire(json, "serial_number", certificate->serial);
	json_word(json, "public_key_algorithm", key_algorithm(certificate->key));
	json_u64(json, "public_key_size", certificate->key_bits);
	json_open_array(json, "alternative_names");
	for (unsigned i = 0; i < certificate->name_count && i < NAMES_TOLD; i++)
		json_wire(json, NULL, certificate->names[i]);
	json_close_array(json);
	json_close_object(json);
	json_open_array(json, "problems");
	for (unsigned bit = 0; bit < CERTIFICATE_PROBLEM_COUNT; bit++)
		if ((tls->certificate_problems >> bit & 1) != 0)
			json_word(json, NULL, certificate_problem_word(bit));
	json_close_array(json);
}

static void add_tls_server(struct json *json, const struct session_tls *tls,
			   const struct certificate_info *certificate)
{
	static const uint8_t none[sizeof tls->certificate_sha256];
	bool visible = memcmp(tls->certificate_sha256, none, sizeof none) != 0;
	if (!tls->has_ja3s && !visible)
		return;
	json_open_object(json, "server");
	if (tls->has_ja3s)
		json_hex(json, "ja3s", tls->ja3s, sizeof tls->ja3s);
	if (visible)
		add_certificate(json, tls, certificate);
	json_close_object(json);
}

static void add_tls(struct json *json, const struct session_facts *facts,
		    const struct certificate_info *certificate)
{
	const struct session_tls *tls = &facts->tls;
	json_open_object(json, "tls");
	add_tri(json, "established", tls->established);
	const char *version = record_tls_version(tls->version);
	if (tls->server_hello && version != NULL) {
		json_word(json, "version", version);
		json_word(json, "version_protocol", tls->version > 0x0300 ? "tls" : "ssl");
		add_cipher(json, tls);
		json_bool(json, "resumed", tls->resumed);
	}
	add_wire(json, "next_protocol", session_facts_text(facts, TEXT_ALPN));
	add_tls_client(json, facts);
	add_tls_server(json, tls, certificate);
	json_close_object(json);
}

void record_add_dialogue(struct json *json, const struct session_facts *facts,
			 const struct certificate_info *certificate)
{
	add_smtp(json, facts);
	add_tls(json, facts, certificate);
}

void record_add_state(struct json *json, const struct session_facts *facts)
{
	bool closed = (facts->milestones & MILESTONE_CLOSED) != 0;
	json_word(json, "schema", RECORD_SCHEMA);
	/* Before the end the outcome may still change. */
	json_word(json, "outcome", closed ? session_outcome_word(facts->outcome) : NULL);
	json_word(json, "visibility", session_visibility_word(facts->visibility));
	json_word(json, "closed_by", closed ? session_closed_by_word(facts->closed_by) : NULL);
	if (facts->gaps[0] + facts->gaps[1] != 0) {
		json_open_object(json, "gaps");
		json_u64(json, "count", (uint64_t)facts->gaps[0] + facts->gaps[1]);
		json_u64(json, "bytes", facts->gap_bytes[0] + facts->gap_bytes[1]);
		json_close_object(json);
	}
	if (facts->tls.risks != 0) {
		json_open_array(json, "risks");
		for (unsigned bit = 0; bit < APPLICATION_RISK_COUNT; bit++)
			if ((facts->tls.risks >> bit & 1) != 0)
				json_word(json, NULL, application_risk_word(bit));
		json_close_array(json);
	}
}

bool record_write(const struct record_origin *origin, struct digester *digester,
		  const struct session_facts *facts, const struct certificate_info *certificate,
		  uint32_t raised, struct buffer *out)
{
	size_t start = out->len;
	struct json json = json_into(out, origin->show_addresses);
	struct session_identity identity = session_identity_of(facts);
	char start_time[BUFFER_TIME_TEXT];
	const struct span started = span_of(start_time, sizeof start_time);

	buffer_put_time(start_time, facts->start_ns);
	json_open_object(&json, NULL);
	json_words(&json, "@timestamp", started);
	json_open_object(&json, "ecs");
	json_word(&json, "version", RECORD_ECS_VERSION);
	json_close_object(&json);
	json_open_object(&json, "event");
	json_word(&json, "kind", "event");
	json_open_array(&json, "category");
	json_word(&json, NULL, "network");
	json_close_array(&json);
	json_open_array(&json, "type");
	json_word(&json, NULL, "connection");
	json_word(&json, NULL, "protocol");
	json_close_array(&json);
	json_word(&json, "dataset", "stripwatch.session");
	json_words(&json, "start", started);
	json_time(&json, "end", facts->end_ns);
	json_i64(&json, "duration", facts->end_ns - facts->start_ns);
	json_close_object(&json);
	record_add_identity(&json, origin, digester, &identity, facts);
	record_add_dialogue(&json, facts, certificate);
	json_open_object(&json, "stripwatch");
	record_add_state(&json, facts);
	json_open_array(&json, "alerts");
	for (unsigned rule = 0; rule < RULE_COUNT; rule++)
		if ((raised >> rule & 1) != 0)
			json_word(&json, NULL, rule_info((enum rule)rule)->id);
	json_close_array(&json);
	json_close_object(&json);
	json_close_object(&json);
	if (out->failed) {
		buffer_truncate(out, start);
		return false;
	}
	return true;
}
