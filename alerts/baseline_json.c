/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_json.h"

const char *baseline_version_word(uint16_t version)
{
	static const char *const words[] = {"SSL 3.0", "1.0", "1.1", "1.2", "1.3"};
	if (version == 0)
		return NULL;
	if (version < 0x0300)
		return "SSL 2.0";
	return version <= 0x0304 ? words[version - 0x0300] : "unknown";
}

/* A time; null for never. */
static void add_seen(struct json *json, const char *key, int64_t time_s)
{
	if (time_s == 0)
		json_null(json, key);
	else
		json_seconds(json, key, time_s);
}

static void add_endpoint(struct json *json, const char *key, const struct endpoint *endpoint)
{
	json_open_object(json, key);
	json_address(json, "ip", &endpoint->addr);
	json_u64(json, "port", endpoint->port);
	json_close_object(json);
}

static void add_certificate(struct json *json, const struct server_certificate *certificate)
{
	json_open_object(json, NULL);
	json_hex(json, "sha256", certificate->sha256, sizeof certificate->sha256);
	json_hex(json, "key_sha256", certificate->key_sha256, sizeof certificate->key_sha256);
	json_bool(json, "self_signed", certificate->self_signed);
	json_seconds(json, "not_before", certificate->not_before);
	json_seconds(json, "not_after", certificate->not_after);
	add_seen(json, "first_seen", certificate->first_s);
	add_seen(json, "last_seen", certificate->last_s);
	json_u64(json, "sessions", certificate->sessions);
	json_close_object(json);
}

static void add_numbers(struct json *json, const struct server_memory *server)
{
#define SUM(column, field)                      json_u64(json, #column, (uint64_t)server->field);
#define HIGHEST(column, field)                  SUM(column, field)
#define APART(column, field)                    SUM(column, field)
#define EARLIEST(column, field)                 add_seen(json, #column, (int64_t)server->field);
#define LATEST(column, field)                   EARLIEST(column, field)
#define APART_TIME(column, field)               EARLIEST(column, field)
#define VERSION(column, field)                  json_word(json, #column, baseline_version_word(server->field));
#define COLUMN(column, field, type, max, merge) merge(column, field)
#include "alerts/baseline_columns.def"
#undef SUM
#undef HIGHEST
#undef APART
#undef EARLIEST
#undef LATEST
#undef VERSION
#undef APART_TIME
}

void baseline_json_server(struct json *json, const struct server_memory *server)
{
	json_open_object(json, NULL);
	json_open_object(json, "server");
	json_address(json, "ip", &server->endpoint.addr);
	json_u64(json, "port", server->endpoint.port);
	json_text(json, "name", span_str(server->name));
	json_close_object(json);
	json_bool(json, "pinned", server->pinned);
	json_bool(json, "known_to_offer", server_memory_offers(server));
	add_numbers(json, server);
	json_open_array(json, "client_networks");
	for (unsigned i = 0; i < server->network_count; i++) {
		json_open_object(json, NULL);
		json_address(json, "network", &server->networks[i].network);
		json_u64(json, "offers", server->networks[i].offers);
		json_u64(json, "missing", server->networks[i].missing);
		json_close_object(json);
	}
	json_close_array(json);
	json_open_array(json, "certificates");
	for (unsigned i = 0; i < server->certificate_count; i++)
		add_certificate(json, &server->certificates[i]);
	json_close_array(json);
	json_close_object(json);
}

static void add_words(struct json *json, const char *key, const char *list)
{
	json_open_array(json, key);
	while (*list != '\0') {
		size_t len = strcspn(list, " ");
		json_text(json, NULL, span_of(list, len));
		list += len;
		list += strspn(list, " ");
	}
	json_close_array(json);
}

void baseline_json_client(struct json *json, const struct client_exposure *client, bool only_day)
{
	json_open_object(json, NULL);
	json_open_object(json, "client");
	json_address(json, "ip", &client->client);
	json_close_object(json);
	json_u64(json, "sessions", only_day ? client->day_sessions : client->sessions);
	add_seen(json, "first_seen", client->first_s);
	add_seen(json, "last_seen", client->last_s);
	add_words(json, "mechanisms", client->mechanisms);
	json_open_array(json, "servers");
	for (unsigned i = 0; i < client->server_count; i++)
		add_endpoint(json, NULL, &client->servers[i]);
	json_close_array(json);
	json_bool(json, "servers_more", client->servers_more);
	if (client->accounts[0] != '\0')
		add_words(json, "accounts", client->accounts);
	json_close_object(json);
}
