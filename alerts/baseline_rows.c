/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_rows.h"

#include <sqlite3.h>
#include <stdio.h>

#define FIRST_NUMBER                                                                               \
	5 /* column of the first number: address, port, name and two addresses before */

const char baseline_schema[] =
    "CREATE TABLE server (address TEXT NOT NULL, port INTEGER NOT NULL, name TEXT NOT NULL,"
    " missing_network TEXT NOT NULL, tempfail_client TEXT NOT NULL"
#define COLUMN(column, field, type, max, merge) ", " #column " INTEGER NOT NULL"
#include "alerts/baseline_columns.def"
    ", PRIMARY KEY (address, port)) WITHOUT ROWID;"
    "CREATE TABLE server_network (address TEXT NOT NULL, port INTEGER NOT NULL,"
    " network TEXT NOT NULL, offers INTEGER NOT NULL, missing INTEGER NOT NULL,"
    " PRIMARY KEY (address, port, network)) WITHOUT ROWID;"
    "CREATE TABLE server_certificate (address TEXT NOT NULL, port INTEGER NOT NULL,"
    " sha256 BLOB NOT NULL, key_sha256 BLOB NOT NULL, issuer INTEGER NOT NULL,"
    " self_signed INTEGER NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,"
    " first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, sessions INTEGER NOT NULL,"
    " names BLOB NOT NULL, PRIMARY KEY (address, port, sha256)) WITHOUT ROWID;";

#define SERVER_COLUMNS "address, port, name, missing_network, tempfail_client"
#define CLIENT_COLUMNS                                                                             \
	"address, first_seen, last_seen, sessions, servers, servers_more, mechanisms, accounts"

const char baseline_select_servers[] =
    "SELECT * FROM (SELECT " SERVER_COLUMNS
#define COLUMN(column, field, type, max, merge) ", " #column
#include "alerts/baseline_columns.def"
    " FROM server ORDER BY last_seen DESC, address DESC, port DESC LIMIT ?)"
    " ORDER BY last_seen, address, port";

static const char one_server[] = "SELECT " SERVER_COLUMNS
#define COLUMN(column, field, type, max, merge) ", " #column
#include "alerts/baseline_columns.def"
				 " FROM server WHERE address = ? AND port = ?";

static const char put_server[] = "INSERT OR REPLACE INTO server (" SERVER_COLUMNS
#define COLUMN(column, field, type, max, merge) ", " #column
#include "alerts/baseline_columns.def"
				 ") VALUES (?, ?, ?, ?, ?"
#define COLUMN(column, field, type, max, merge) ", ?"
#include "alerts/baseline_columns.def"
				 ")";

const char baseline_select_clients[] =
    "SELECT * FROM (SELECT " CLIENT_COLUMNS " FROM client ORDER BY last_seen DESC, address DESC"
    " LIMIT ?) ORDER BY last_seen, address";

static bool prepare(sqlite3 *database, const char *sql, sqlite3_stmt **statement)
{
	return sqlite3_prepare_v2(database, sql, -1, statement, NULL) == SQLITE_OK;
}

bool baseline_prepare(sqlite3 *database, bool read_only, struct baseline_statements *statements)
{
	bool good =
	    prepare(database, one_server, &statements->one_server) &&
	    prepare(database,
		    "SELECT network, offers, missing FROM server_network"
		    " WHERE address = ? AND port = ? ORDER BY network",
		    &statements->networks) &&
	    prepare(database,
		    "SELECT name, offers, missing, returns, alternations, missing_several"
		    " FROM server_member WHERE address = ? AND port = ? ORDER BY name",
		    &statements->members) &&
	    prepare(database,
		    "SELECT client, offered, missing FROM server_recent"
		    " WHERE address = ? AND port = ? ORDER BY offered, client",
		    &statements->recent) &&
	    prepare(database,
		    "SELECT sha256, key_sha256, issuer, self_signed, not_before, not_after,"
		    " first_seen, last_seen, sessions, names FROM server_certificate"
		    " WHERE address = ? AND port = ? ORDER BY last_seen DESC, sha256 LIMIT ?",
		    &statements->certificates) &&
	    prepare(database, "SELECT " CLIENT_COLUMNS " FROM client WHERE address = ?",
		    &statements->one_client) &&
	    prepare(database, "SELECT 1 FROM server_pin WHERE address = ? AND port = ?",
		    &statements->pin);
	if (!good || read_only)
		return good;
	return prepare(database, put_server, &statements->put_server) &&
	       prepare(database,
		       "INSERT OR REPLACE INTO server_member VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		       &statements->put_member) &&
	       prepare(database, "DELETE FROM server_member WHERE address = ? AND port = ?",
		       &statements->drop_members) &&
	       prepare(database, "INSERT OR REPLACE INTO server_recent VALUES (?, ?, ?, ?, ?)",
		       &statements->put_recent) &&
	       prepare(database, "DELETE FROM server_recent WHERE address = ? AND port = ?",
		       &statements->drop_recent) &&
	       prepare(database, "INSERT OR REPLACE INTO server_network VALUES (?, ?, ?, ?, ?)",
		       &statements->put_network) &&
	       prepare(database,
		       "INSERT OR REPLACE INTO server_certificate"
		       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       &statements->put_certificate) &&
	       prepare(database, "DELETE FROM server_network WHERE address = ? AND port = ?",
		       &statements->drop_networks) &&
	       prepare(database, "DELETE FROM server_certificate WHERE address = ? AND port = ?",
		       &statements->drop_certificates) &&
	       prepare(database,
		       "INSERT OR REPLACE INTO client (" CLIENT_COLUMNS
		       ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		       &statements->put_client);
}

void baseline_finalize(struct baseline_statements *statements)
{
	(void)sqlite3_finalize(statements->one_server);
	(void)sqlite3_finalize(statements->networks);
	(void)sqlite3_finalize(statements->certificates);
	(void)sqlite3_finalize(statements->put_server);
	(void)sqlite3_finalize(statements->members);
	(void)sqlite3_finalize(statements->recent);
	(void)sqlite3_finalize(statements->put_recent);
	(void)sqlite3_finalize(statements->drop_recent);
	(void)sqlite3_finalize(statements->put_member);
	(void)sqlite3_finalize(statements->drop_members);
	(void)sqlite3_finalize(statements->put_network);
	(void)sqlite3_finalize(statements->put_certificate);
	(void)sqlite3_finalize(statements->drop_networks);
	(void)sqlite3_finalize(statements->drop_certificates);
	(void)sqlite3_finalize(statements->one_client);
	(void)sqlite3_finalize(statements->put_client);
	(void)sqlite3_finalize(statements->pin);
	*statements = (struct baseline_statements){.one_server = NULL};
}

/* ---- reading ---- */

static struct ip_addr column_address(sqlite3_stmt *row, int column)
{
	struct ip_addr address = {.version = 0};
	const void *text = sqlite3_column_text(row, column);
	if (text != NULL)
		(void)ip_addr_parse(text, strlen(text), &address);
	return address;
}

static int64_t column_number(sqlite3_stmt *row, int column, int64_t max)
{
	int64_t number = sqlite3_column_int64(row, column);
	if (number < 0)
		return 0;
	return number > max ? max : number;
}

static uint32_t column_count(sqlite3_stmt *row, int column)
{
	return (uint32_t)column_number(row, column, UINT32_MAX);
}

/* Printable characters alone: an output may be a terminal. */
static void column_text(sqlite3_stmt *row, int column, char *text, size_t size)
{
	const void *bytes = sqlite3_column_text(row, column);
	(void)snprintf(text, size, "%s", bytes == NULL ? "" : (const char *)bytes);
	for (char *at = text; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

static bool column_digest(sqlite3_stmt *row, int column, uint8_t digest[DIGEST_SHA256_SIZE])
{
	const void *bytes = sqlite3_column_blob(row, column);
	if (bytes == NULL || sqlite3_column_bytes(row, column) != DIGEST_SHA256_SIZE)
		return false;
	memcpy(digest, bytes, DIGEST_SHA256_SIZE);
	return true;
}

static void put_u64(uint8_t bytes[8], uint64_t number)
{
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(number >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t bytes[8])
{
	return (uint64_t)bytes_u32(bytes) << 32 | bytes_u32(bytes + 4);
}

static void read_names(sqlite3_stmt *row, int column, struct server_certificate *certificate)
{
	const uint8_t *bytes = sqlite3_column_blob(row, column);
	int size = sqlite3_column_bytes(row, column);
	for (int at = 0; at + 16 <= size && certificate->name_count < SERVER_CERTIFICATE_NAMES;
	     at += 16) {
		certificate->names[certificate->name_count] = get_u64(bytes + at);
		certificate->parents[certificate->name_count] = get_u64(bytes + at + 8);
		certificate->name_count++;
	}
}

static void read_member(sqlite3_stmt *row, struct server_memory *server)
{
	if (server->member_count == SERVER_MEMBERS)
		return;
	server->members[server->member_count++] = (struct server_member){
	    .name = (uint64_t)sqlite3_column_int64(row, 0),
	    .offers = column_count(row, 1),
	    .missing = column_count(row, 2),
	    .returns = column_count(row, 3),
	    .alternations = column_count(row, 4),
	    .missing_several = sqlite3_column_int64(row, 5) != 0,
	};
}

static void read_recent(sqlite3_stmt *row, struct server_memory *server)
{
	struct server_recent recent = {
	    .client = column_address(row, 0),
	    .offered_s = column_number(row, 1, INT64_MAX),
	    .missing_s = column_number(row, 2, INT64_MAX),
	};
	if (server->recent_count < SERVER_RECENT && recent.client.version != 0)
		server->recent[server->recent_count++] = recent;
}

static void read_network(sqlite3_stmt *row, struct server_memory *server)
{
	if (server->network_count == SERVER_NETWORKS)
		return;
	server->networks[server->network_count++] = (struct server_network){
	    .network = column_address(row, 0),
	    .offers = column_count(row, 1),
	    .missing = column_count(row, 2),
	};
}

static void read_certificate(sqlite3_stmt *row, struct server_memory *server)
{
	struct server_certificate certificate = {
	    .issuer = (uint64_t)sqlite3_column_int64(row, 2),
	    .self_signed = sqlite3_column_int64(row, 3) != 0,
	    .not_before = sqlite3_column_int64(row, 4),
	    .not_after = sqlite3_column_int64(row, 5),
	    .first_s = column_number(row, 6, INT64_MAX),
	    .last_s = column_number(row, 7, INT64_MAX),
	    .sessions = column_count(row, 8),
	};
	if (server->certificate_count == SERVER_CERTIFICATES ||
	    !column_digest(row, 0, certificate.sha256) ||
	    !column_digest(row, 1, certificate.key_sha256))
		return;
	read_names(row, 9, &certificate);
	server->certificates[server->certificate_count++] = certificate;
}

void baseline_bind_endpoint(sqlite3_stmt *statement, const struct endpoint *endpoint)
{
	char address[IP_ADDR_TEXT];
	(void)ip_addr_text(&endpoint->addr, address);
	(void)sqlite3_bind_text(statement, 1, address, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_int(statement, 2, endpoint->port);
}

struct endpoint baseline_read_endpoint(sqlite3_stmt *row)
{
	return (struct endpoint){
	    .addr = column_address(row, 0),
	    .port = (uint16_t)column_number(row, 1, UINT16_MAX),
	};
}

bool baseline_read_server(struct baseline_statements *statements, sqlite3_stmt *row,
			  struct server_memory *server)
{
	*server = (struct server_memory){.endpoint = baseline_read_endpoint(row)};
	if (server->endpoint.addr.version == 0)
		return false;
	column_text(row, 2, server->name, sizeof server->name);
	server->missing_network = column_address(row, 3);
	server->tempfail_client = column_address(row, 4);
	int column = FIRST_NUMBER;
#define COLUMN(name, field, type, max, merge)                                                      \
	server->field = (type)column_number(row, column++, max);
#include "alerts/baseline_columns.def"
	baseline_bind_endpoint(statements->networks, &server->endpoint);
	while (sqlite3_step(statements->networks) == SQLITE_ROW)
		read_network(statements->networks, server);
	baseline_bind_endpoint(statements->certificates, &server->endpoint);
	(void)sqlite3_bind_int(statements->certificates, 3, SERVER_CERTIFICATES);
	while (sqlite3_step(statements->certificates) == SQLITE_ROW)
		read_certificate(statements->certificates, server);
	(void)sqlite3_reset(statements->networks);
	baseline_bind_endpoint(statements->members, &server->endpoint);
	while (sqlite3_step(statements->members) == SQLITE_ROW)
		read_member(statements->members, server);
	(void)sqlite3_reset(statements->members);
	baseline_bind_endpoint(statements->recent, &server->endpoint);
	while (sqlite3_step(statements->recent) == SQLITE_ROW)
		read_recent(statements->recent, server);
	(void)sqlite3_reset(statements->recent);
	(void)sqlite3_reset(statements->certificates);
	return true;
}

bool baseline_find_server(struct baseline_statements *statements, const struct endpoint *endpoint,
			  struct server_memory *server)
{
	baseline_bind_endpoint(statements->one_server, endpoint);
	bool found = sqlite3_step(statements->one_server) == SQLITE_ROW &&
		     baseline_read_server(statements, statements->one_server, server);
	(void)sqlite3_reset(statements->one_server);
	return found;
}

bool baseline_is_pinned(struct baseline_statements *statements, const struct endpoint *endpoint)
{
	baseline_bind_endpoint(statements->pin, endpoint);
	bool pinned = sqlite3_step(statements->pin) == SQLITE_ROW;
	(void)sqlite3_reset(statements->pin);
	return pinned;
}

/* "192.0.2.1:25 [2001:db8::1]:587" */
static void add_endpoint(char *list, size_t size, const struct endpoint *endpoint)
{
	char address[IP_ADDR_TEXT], text[IP_ADDR_TEXT + 10];
	(void)ip_addr_text(&endpoint->addr, address);
	(void)snprintf(text, sizeof text, endpoint->addr.version == 6 ? "[%s]:%u" : "%s:%u",
		       address, endpoint->port);
	exposure_add_word(list, size, span_str(text));
}

static void read_endpoints(const char *list, struct client_exposure *client)
{
	while (*list != '\0') {
		size_t len = strcspn(list, " ");
		size_t colon = len;
		struct endpoint server = {.port = 0};
		while (colon > 0 && list[colon - 1] != ':')
			colon--;
		for (size_t i = colon; i < len && list[i] >= '0' && list[i] <= '9'; i++)
			server.port = (uint16_t)(server.port * 10 + (list[i] - '0'));
		const char *address = list;
		size_t size = colon > 0 ? colon - 1 : 0;
		if (size > 2 && list[0] == '[') {
			address++;
			size -= 2;
		}
		if (ip_addr_parse(address, size, &server.addr))
			exposure_add_server(client, &server);
		list += len;
		list += strspn(list, " ");
	}
}

bool baseline_read_client(sqlite3_stmt *row, struct client_exposure *client)
{
	char servers[EXPOSURE_SERVERS * (IP_ADDR_TEXT + 10)];
	*client = (struct client_exposure){
	    .client = column_address(row, 0),
	    .first_s = column_number(row, 1, INT64_MAX),
	    .last_s = column_number(row, 2, INT64_MAX),
	    .sessions = column_count(row, 3),
	};
	column_text(row, 4, servers, sizeof servers);
	read_endpoints(servers, client);
	client->servers_more |= column_number(row, 5, 1) != 0;
	column_text(row, 6, client->mechanisms, sizeof client->mechanisms);
	column_text(row, 7, client->accounts, sizeof client->accounts);
	return client->client.version != 0;
}

bool baseline_find_client(struct baseline_statements *statements, const struct ip_addr *address,
			  struct client_exposure *client)
{
	char text[IP_ADDR_TEXT];
	(void)ip_addr_text(address, text);
	(void)sqlite3_bind_text(statements->one_client, 1, text, -1, SQLITE_TRANSIENT);
	bool found = sqlite3_step(statements->one_client) == SQLITE_ROW &&
		     baseline_read_client(statements->one_client, client);
	(void)sqlite3_reset(statements->one_client);
	return found;
}

/* ---- writing ---- */

static bool done(sqlite3_stmt *statement)
{
	bool good = sqlite3_step(statement) == SQLITE_DONE;
	return sqlite3_reset(statement) == SQLITE_OK && good;
}

static void bind_address(sqlite3_stmt *statement, int at, const struct ip_addr *address)
{
	char text[IP_ADDR_TEXT] = "";
	if (address->version != 0)
		(void)ip_addr_text(address, text);
	(void)sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

static bool write_certificate(sqlite3_stmt *statement, const struct endpoint *endpoint,
			      const struct server_certificate *certificate)
{
	uint8_t names[16 * SERVER_CERTIFICATE_NAMES];
	int size = 0;
	for (unsigned i = 0; i < certificate->name_count; i++, size += 16) {
		put_u64(names + size, certificate->names[i]);
		put_u64(names + size + 8, certificate->parents[i]);
	}
	baseline_bind_endpoint(statement, endpoint);
	(void)sqlite3_bind_blob(statement, 3, certificate->sha256, DIGEST_SHA256_SIZE,
				SQLITE_TRANSIENT);
	(void)sqlite3_bind_blob(statement, 4, certificate->key_sha256, DIGEST_SHA256_SIZE,
				SQLITE_TRANSIENT);
	(void)sqlite3_bind_int64(statement, 5, (int64_t)certificate->issuer);
	(void)sqlite3_bind_int64(statement, 6, certificate->self_signed);
	(void)sqlite3_bind_int64(statement, 7, certificate->not_before);
	(void)sqlite3_bind_int64(statement, 8, certificate->not_after);
	(void)sqlite3_bind_int64(statement, 9, certificate->first_s);
	(void)sqlite3_bind_int64(statement, 10, certificate->last_s);
	(void)sqlite3_bind_int64(statement, 11, certificate->sessions);
	(void)sqlite3_bind_blob(statement, 12, names, size, SQLITE_TRANSIENT);
	return done(statement);
}

static bool write_members(struct baseline_statements *statements,
			  const struct server_memory *server)
{
	bool good = true;
	for (unsigned i = 0; good && i < server->member_count; i++) {
		const struct server_member *member = &server->members[i];
		sqlite3_stmt *put = statements->put_member;
		baseline_bind_endpoint(put, &server->endpoint);
		(void)sqlite3_bind_int64(put, 3, (int64_t)member->name);
		(void)sqlite3_bind_int64(put, 4, member->offers);
		(void)sqlite3_bind_int64(put, 5, member->missing);
		(void)sqlite3_bind_int64(put, 6, member->returns);
		(void)sqlite3_bind_int64(put, 7, member->alternations);
		(void)sqlite3_bind_int64(put, 8, member->missing_several);
		good = done(put);
	}
	return good;
}

static bool write_recent(struct baseline_statements *statements, const struct server_memory *server)
{
	bool good = true;
	for (unsigned i = 0; good && i < server->recent_count; i++) {
		sqlite3_stmt *put = statements->put_recent;
		baseline_bind_endpoint(put, &server->endpoint);
		bind_address(put, 3, &server->recent[i].client);
		(void)sqlite3_bind_int64(put, 4, server->recent[i].offered_s);
		(void)sqlite3_bind_int64(put, 5, server->recent[i].missing_s);
		good = done(put);
	}
	return good;
}

static bool write_details(struct baseline_statements *statements,
			  const struct server_memory *server)
{
	baseline_bind_endpoint(statements->drop_networks, &server->endpoint);
	baseline_bind_endpoint(statements->drop_certificates, &server->endpoint);
	baseline_bind_endpoint(statements->drop_members, &server->endpoint);
	baseline_bind_endpoint(statements->drop_recent, &server->endpoint);
	bool good = done(statements->drop_networks) && done(statements->drop_certificates) &&
		    done(statements->drop_members) && done(statements->drop_recent) &&
		    write_members(statements, server) && write_recent(statements, server);
	for (unsigned i = 0; good && i < server->network_count; i++) {
		baseline_bind_endpoint(statements->put_network, &server->endpoint);
		bind_address(statements->put_network, 3, &server->networks[i].network);
		(void)sqlite3_bind_int64(statements->put_network, 4, server->networks[i].offers);
		(void)sqlite3_bind_int64(statements->put_network, 5, server->networks[i].missing);
		good = done(statements->put_network);
	}
	for (unsigned i = 0; good && i < server->certificate_count; i++)
		good = write_certificate(statements->put_certificate, &server->endpoint,
					 &server->certificates[i]);
	return good;
}

bool baseline_write_server(struct baseline_statements *statements,
			   const struct server_memory *server)
{
	sqlite3_stmt *put = statements->put_server;
	baseline_bind_endpoint(put, &server->endpoint);
	(void)sqlite3_bind_text(put, 3, server->name, -1, SQLITE_TRANSIENT);
	bind_address(put, 4, &server->missing_network);
	bind_address(put, 5, &server->tempfail_client);
	int column = FIRST_NUMBER;
#define COLUMN(name, field, type, max, merge)                                                      \
	(void)sqlite3_bind_int64(put, ++column, (int64_t)server->field);
#include "alerts/baseline_columns.def"
	return done(put) && write_details(statements, server);
}

bool baseline_write_client(struct baseline_statements *statements,
			   const struct client_exposure *client)
{
	char servers[EXPOSURE_SERVERS * (IP_ADDR_TEXT + 10)] = "";
	sqlite3_stmt *put = statements->put_client;
	for (unsigned i = 0; i < client->server_count; i++)
		add_endpoint(servers, sizeof servers, &client->servers[i]);
	bind_address(put, 1, &client->client);
	(void)sqlite3_bind_int64(put, 2, client->first_s);
	(void)sqlite3_bind_int64(put, 3, client->last_s);
	(void)sqlite3_bind_int64(put, 4, client->sessions);
	(void)sqlite3_bind_text(put, 5, servers, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_int(put, 6, client->servers_more);
	(void)sqlite3_bind_text(put, 7, client->mechanisms, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_text(put, 8, client->accounts, -1, SQLITE_TRANSIENT);
	return done(put);
}
