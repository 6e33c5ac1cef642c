/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_wire.h"

#include "alerts/json_read.h"

#include <stdio.h>

#define WIRE_VERSION 1
#define PATH_MAX_LEN 48

/* ---- writing ---- */

static void add_hash(struct json *json, const char *key, uint64_t hash)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(hash >> (56 - 8 * i));
	json_hex(json, key, bytes, sizeof bytes);
}

static void add_certificate(struct json *json, const struct server_certificate *certificate)
{
	json_open_object(json, NULL);
	json_hex(json, "sha256", certificate->sha256, sizeof certificate->sha256);
	json_hex(json, "key_sha256", certificate->key_sha256, sizeof certificate->key_sha256);
	add_hash(json, "issuer", certificate->issuer);
	json_u64(json, "self_signed", certificate->self_signed);
	json_i64(json, "not_before", certificate->not_before);
	json_i64(json, "not_after", certificate->not_after);
	json_i64(json, "first_seen", certificate->first_s);
	json_i64(json, "last_seen", certificate->last_s);
	json_u64(json, "sessions", certificate->sessions);
	json_open_array(json, "names");
	for (unsigned i = 0; i < certificate->name_count; i++) {
		add_hash(json, NULL, certificate->names[i]);
		add_hash(json, NULL, certificate->parents[i]);
	}
	json_close_array(json);
	json_close_object(json);
}

static void add_member(struct json *json, const struct server_member *member)
{
	json_open_object(json, NULL);
	add_hash(json, "name", member->name);
	json_u64(json, "offers", member->offers);
	json_u64(json, "missing", member->missing);
	json_u64(json, "returns", member->returns);
	json_u64(json, "alternations", member->alternations);
	json_u64(json, "missing_several", member->missing_several);
	if (member->missing_network.version != 0)
		json_address(json, "missing_network", &member->missing_network);
	json_close_object(json);
}

void baseline_wire_write(struct json *json, const struct server_memory *server)
{
	json_open_object(json, NULL);
	json_u64(json, "version", WIRE_VERSION);
	json_text(json, "name", span_str(server->name));
#define COLUMN(column, field, type, max, merge) json_i64(json, #column, (int64_t)server->field);
#include "alerts/baseline_columns.def"
	json_open_array(json, "networks");
	for (unsigned i = 0; i < server->network_count; i++) {
		json_open_object(json, NULL);
		json_address(json, "network", &server->networks[i].network);
		json_u64(json, "offers", server->networks[i].offers);
		json_u64(json, "missing", server->networks[i].missing);
		json_close_object(json);
	}
	json_close_array(json);
	json_open_array(json, "members");
	for (unsigned i = 0; i < server->member_count; i++)
		add_member(json, &server->members[i]);
	json_close_array(json);
	json_open_array(json, "recent");
	for (unsigned i = 0; i < server->recent_count; i++) {
		json_open_object(json, NULL);
		json_address(json, "client", &server->recent[i].client);
		json_i64(json, "offered", server->recent[i].offered_s);
		json_i64(json, "missing", server->recent[i].missing_s);
		json_close_object(json);
	}
	json_close_array(json);
	json_open_array(json, "certificates");
	for (unsigned i = 0; i < server->certificate_count; i++)
		add_certificate(json, &server->certificates[i]);
	json_close_array(json);
	json_close_object(json);
}

/* ---- reading ---- */

/* A member of an element: "networks.2.offers". */
struct place {
	const struct json_document *document;
	const char *list;
	unsigned index;
};

static const char *path_of(const struct place *place, const char *member, char path[PATH_MAX_LEN])
{
	(void)snprintf(path, PATH_MAX_LEN, "%s.%u.%s", place->list, place->index, member);
	return path;
}

static int64_t read_number(const struct json_document *document, const char *path, int64_t max)
{
	int64_t number;
	if (!json_read_integer(document, path, &number) || number < 0)
		return 0;
	return number > max ? max : number;
}

static int64_t place_number(const struct place *place, const char *member, int64_t max)
{
	char path[PATH_MAX_LEN];
	return read_number(place->document, path_of(place, member, path), max);
}

static bool place_address(const struct place *place, const char *member, struct ip_addr *address)
{
	char path[PATH_MAX_LEN];
	struct span text = json_read_text(place->document, path_of(place, member, path));
	return text.len > 0 && ip_addr_parse((const char *)text.ptr, text.len, address);
}

static bool read_hex(struct span text, uint8_t *bytes, size_t size)
{
	if (text.len != 2 * size)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		unsigned digit = c >= '0' && c <= '9'   ? c - (unsigned)'0'
				 : c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10U
							: 16;
		if (digit > 15)
			return false;
		bytes[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
	}
	return true;
}

static bool place_hex(const struct place *place, const char *member, uint8_t *bytes, size_t size)
{
	char path[PATH_MAX_LEN];
	return read_hex(json_read_text(place->document, path_of(place, member, path)), bytes, size);
}

static bool place_hash(const struct place *place, const char *member, uint64_t *hash)
{
	uint8_t bytes[8];
	if (!place_hex(place, member, bytes, sizeof bytes))
		return false;
	*hash = (uint64_t)bytes_u32(bytes) << 32 | bytes_u32(bytes + 4);
	return true;
}

static void read_names(const struct place *place, struct server_certificate *certificate)
{
	for (unsigned i = 0; i < SERVER_CERTIFICATE_NAMES; i++) {
		char name[16], parent[16];
		(void)snprintf(name, sizeof name, "names.%u", 2 * i);
		(void)snprintf(parent, sizeof parent, "names.%u", 2 * i + 1);
		if (!place_hash(place, name, &certificate->names[i]) ||
		    !place_hash(place, parent, &certificate->parents[i]))
			return;
		certificate->name_count++;
	}
}

static bool read_certificate(const struct place *place, struct server_certificate *certificate)
{
	char path[PATH_MAX_LEN];
	*certificate = (struct server_certificate){
	    .self_signed = place_number(place, "self_signed", 1) != 0,
	    .first_s = place_number(place, "first_seen", INT64_MAX),
	    .last_s = place_number(place, "last_seen", INT64_MAX),
	    .sessions = (uint32_t)place_number(place, "sessions", UINT32_MAX),
	};
	if (!place_hex(place, "sha256", certificate->sha256, sizeof certificate->sha256) ||
	    !place_hex(place, "key_sha256", certificate->key_sha256,
		       sizeof certificate->key_sha256) ||
	    !place_hash(place, "issuer", &certificate->issuer) ||
	    !json_read_integer(place->document, path_of(place, "not_before", path),
			       &certificate->not_before) ||
	    !json_read_integer(place->document, path_of(place, "not_after", path),
			       &certificate->not_after))
		return false;
	read_names(place, certificate);
	return true;
}

static bool read_member(const struct place *place, struct server_member *member)
{
	*member = (struct server_member){
	    .offers = (uint32_t)place_number(place, "offers", UINT32_MAX),
	    .missing = (uint32_t)place_number(place, "missing", UINT32_MAX),
	    .returns = (uint32_t)place_number(place, "returns", UINT32_MAX),
	    .alternations = (uint32_t)place_number(place, "alternations", UINT32_MAX),
	    .missing_several = place_number(place, "missing_several", 1) != 0,
	};
	(void)place_address(place, "missing_network", &member->missing_network);
	return place_hash(place, "name", &member->name);
}

static void read_lists(const struct json_document *document, struct server_memory *server)
{
	for (unsigned i = 0; i < SERVER_NETWORKS; i++) {
		const struct place place = {document, "networks", i};
		struct server_network network = {
		    .offers = (uint32_t)place_number(&place, "offers", UINT32_MAX),
		    .missing = (uint32_t)place_number(&place, "missing", UINT32_MAX),
		};
		if (place_address(&place, "network", &network.network))
			server->networks[server->network_count++] = network;
	}
	for (unsigned i = 0; i < SERVER_MEMBERS; i++) {
		const struct place place = {document, "members", i};
		struct server_member member;
		if (read_member(&place, &member))
			server->members[server->member_count++] = member;
	}
	for (unsigned i = 0; i < SERVER_RECENT; i++) {
		const struct place place = {document, "recent", i};
		struct server_recent recent = {
		    .offered_s = place_number(&place, "offered", INT64_MAX),
		    .missing_s = place_number(&place, "missing", INT64_MAX),
		};
		if (place_address(&place, "client", &recent.client))
			server->recent[server->recent_count++] = recent;
	}
	for (unsigned i = 0; i < SERVER_CERTIFICATES; i++) {
		const struct place place = {document, "certificates", i};
		if (read_certificate(&place, &server->certificates[server->certificate_count]))
			server->certificate_count++;
	}
	for (unsigned i = server->certificate_count; i < SERVER_CERTIFICATES; i++)
		server->certificates[i] = (struct server_certificate){.sessions = 0};
}

static void read_name(struct span name, struct server_memory *server)
{
	name = span_head(name, SERVER_NAME_MAX);
	for (size_t i = 0; i < name.len; i++)
		server->name[i] = name.ptr[i] > ' ' && name.ptr[i] < 0x7f ? (char)name.ptr[i] : '?';
	server->name[name.len] = '\0';
}

bool baseline_wire_read(struct span text, struct server_memory *server)
{
	int64_t version;
	if (text.len > BASELINE_WIRE_MAX)
		return false;
	struct json_document *document = json_read(text);
	if (document == NULL)
		return false;
	bool good = json_read_integer(document, "version", &version) && version == WIRE_VERSION;
	*server = (struct server_memory){.endpoint = server->endpoint};
	if (good) {
		read_name(json_read_text(document, "name"), server);
#define COLUMN(column, field, type, max, merge)                                                    \
	server->field = (type)read_number(document, #column, max);
#include "alerts/baseline_columns.def"
		read_lists(document, server);
	}
	json_document_free(document);
	return good;
}
