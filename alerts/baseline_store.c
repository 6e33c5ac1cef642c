/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define BUSY_MS        5000 /* another sensor, or a person, has the file open */
#define HEADER         100  /* of an SQLite file (sqlite.org/fileformat2.html 1.3) */
#define AT_VERSION     60
#define AT_APPLICATION 68
#define FIRST_NUMBER                                                                               \
	5 /* column of the first number: address, port, name and two addresses before */

struct baseline_store {
	sqlite3 *database;
	char *path;
	uint64_t saved; /* server_memory.changed up to which all is in the file */
	bool read_only;
};

static const char schema[] =
    "CREATE TABLE server (address TEXT NOT NULL, port INTEGER NOT NULL, name TEXT NOT NULL,"
    " missing_network TEXT NOT NULL, tempfail_client TEXT NOT NULL"
#define COLUMN(column, field, type, max) ", " #column " INTEGER NOT NULL"
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

static const char select_servers[] = "SELECT address, port, name, missing_network, tempfail_client"
#define COLUMN(column, field, type, max) ", " #column
#include "alerts/baseline_columns.def"
				     " FROM server ORDER BY last_seen, address, port";

static const char insert_server[] =
    "INSERT OR REPLACE INTO server (address, port, name, missing_network, tempfail_client"
#define COLUMN(column, field, type, max) ", " #column
#include "alerts/baseline_columns.def"
    ") VALUES (?, ?, ?, ?, ?"
#define COLUMN(column, field, type, max) ", ?"
#include "alerts/baseline_columns.def"
    ")";

static const char select_networks[] =
    "SELECT network, offers, missing FROM server_network WHERE address = ? AND port = ?"
    " ORDER BY network";
static const char insert_network[] = "INSERT OR REPLACE INTO server_network VALUES (?, ?, ?, ?, ?)";
static const char select_certificates[] =
    "SELECT sha256, key_sha256, issuer, self_signed, not_before, not_after, first_seen, last_seen,"
    " sessions, names FROM server_certificate WHERE address = ? AND port = ?"
    " ORDER BY last_seen DESC, sha256 LIMIT ?";
static const char delete_certificates[] =
    "DELETE FROM server_certificate WHERE address = ? AND port = ?";
static const char insert_certificate[] =
    "INSERT OR REPLACE INTO server_certificate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

static bool refuse(char error[BASELINE_ERROR_MAX], const char *path, const char *reason)
{
	(void)snprintf(error, BASELINE_ERROR_MAX, "%s: %s", path, reason);
	return false;
}

static bool refuse_database(const struct baseline_store *store, char error[BASELINE_ERROR_MAX])
{
	return refuse(error, store->path, sqlite3_errmsg(store->database));
}

/* Looks at the header without SQLite, which might begin to repair what is not ours. */
static bool check_header(const char *path, bool read_only, char error[BASELINE_ERROR_MAX])
{
	uint8_t header[HEADER];
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		return errno == ENOENT && !read_only ? true : refuse(error, path, strerror(errno));
	size_t got = fread(header, 1, sizeof header, file);
	bool failed = ferror(file) != 0;
	(void)fclose(file);
	if (failed)
		return refuse(error, path, "cannot be read");
	if (got == 0 && !read_only)
		return true; /* made, and never written to */
	if (got < sizeof header || memcmp(header, "SQLite format 3", 16) != 0 ||
	    bytes_u32(header + AT_APPLICATION) != BASELINE_APPLICATION)
		return refuse(error, path, "is no baseline; it was left as it is");
	if (bytes_u32(header + AT_VERSION) > BASELINE_VERSION)
		return refuse(error, path,
			      "is a baseline of a newer version; it was left as it is");
	return true;
}

static bool run_sql(struct baseline_store *store, const char *sql, char error[BASELINE_ERROR_MAX])
{
	return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK ||
	       refuse_database(store, error);
}

/* The first column of the first row is this text. */
static bool answers(struct baseline_store *store, const char *sql, const char *text)
{
	sqlite3_stmt *statement = NULL;
	bool same = false;
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		const void *answer = sqlite3_column_text(statement, 0);
		same = answer != NULL && strcmp(answer, text) == 0;
	}
	(void)sqlite3_finalize(statement);
	return same;
}

static bool prepare_file(struct baseline_store *store, char error[BASELINE_ERROR_MAX])
{
	if (answers(store, "SELECT count(*) FROM sqlite_schema", "0")) {
		char identity[80];
		(void)snprintf(identity, sizeof identity,
			       "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
			       BASELINE_APPLICATION, BASELINE_VERSION);
		return run_sql(store, "BEGIN IMMEDIATE;", error) && run_sql(store, schema, error) &&
		       run_sql(store, identity, error);
	}
	if (!answers(store, "PRAGMA quick_check(1)", "ok"))
		return refuse(error, store->path, "is damaged; it was left as it is");
	return true;
}

struct baseline_store *baseline_store_open(const char *path, bool read_only,
					   char error[BASELINE_ERROR_MAX])
{
	if (!check_header(path, read_only, error))
		return NULL;
	struct baseline_store *store = calloc(1, sizeof *store);
	if (store != NULL)
		store->path = strdup(path);
	if (store == NULL || store->path == NULL) {
		(void)refuse(error, path, "out of memory");
		baseline_store_close(store);
		return NULL;
	}
	store->read_only = read_only;
	int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	if (sqlite3_open_v2(path, &store->database, flags, NULL) != SQLITE_OK) {
		(void)refuse_database(store, error);
		baseline_store_close(store);
		return NULL;
	}
	(void)sqlite3_busy_timeout(store->database, BUSY_MS);
	if (!prepare_file(store, error)) {
		baseline_store_close(store);
		return NULL;
	}
	return store;
}

void baseline_store_close(struct baseline_store *store)
{
	if (store == NULL)
		return;
	(void)sqlite3_close_v2(store->database);
	free(store->path);
	free(store);
}

/* ---- reading: the file may have been edited by hand, so nothing in it is trusted ---- */

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

static void read_server(sqlite3_stmt *row, struct server_memory *server)
{
	const void *name = sqlite3_column_text(row, 2);
	(void)snprintf(server->name, sizeof server->name, "%s",
		       name == NULL ? "" : (const char *)name);
	server->missing_network = column_address(row, 3);
	server->tempfail_client = column_address(row, 4);
	int column = FIRST_NUMBER;
#define COLUMN(name, field, type, max) server->field = (type)column_number(row, column++, max);
#include "alerts/baseline_columns.def"
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

/* The prepared statements of a load or a save. */
struct statements {
	sqlite3_stmt *server, *network, *certificate, *forget;
};

static bool prepare(struct baseline_store *store, const char *sql, sqlite3_stmt **statement,
		    char error[BASELINE_ERROR_MAX])
{
	return sqlite3_prepare_v2(store->database, sql, -1, statement, NULL) == SQLITE_OK ||
	       refuse_database(store, error);
}

static void finalize(struct statements *statements)
{
	(void)sqlite3_finalize(statements->server);
	(void)sqlite3_finalize(statements->network);
	(void)sqlite3_finalize(statements->certificate);
	(void)sqlite3_finalize(statements->forget);
}

static void bind_server(sqlite3_stmt *statement, const char *address, uint16_t port)
{
	(void)sqlite3_bind_text(statement, 1, address, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_int(statement, 2, port);
}

static bool load_server(struct statements *statements, struct history *history)
{
	struct endpoint endpoint = {
	    .addr = column_address(statements->server, 0),
	    .port = (uint16_t)column_number(statements->server, 1, UINT16_MAX),
	};
	if (endpoint.addr.version == 0)
		return true; /* no server of ours wrote that */
	struct server_memory *server = history_restore_server(history, &endpoint);
	if (server == NULL)
		return true; /* counted by the history */
	read_server(statements->server, server);
	char address[IP_ADDR_TEXT];
	(void)ip_addr_text(&endpoint.addr, address);
	bind_server(statements->network, address, endpoint.port);
	while (sqlite3_step(statements->network) == SQLITE_ROW)
		read_network(statements->network, server);
	bind_server(statements->certificate, address, endpoint.port);
	(void)sqlite3_bind_int(statements->certificate, 3, SERVER_CERTIFICATES);
	while (sqlite3_step(statements->certificate) == SQLITE_ROW)
		read_certificate(statements->certificate, server);
	return sqlite3_reset(statements->network) == SQLITE_OK &&
	       sqlite3_reset(statements->certificate) == SQLITE_OK;
}

bool baseline_store_load(struct baseline_store *store, struct history *history,
			 char error[BASELINE_ERROR_MAX])
{
	struct statements statements = {.server = NULL};
	bool good = prepare(store, select_servers, &statements.server, error) &&
		    prepare(store, select_networks, &statements.network, error) &&
		    prepare(store, select_certificates, &statements.certificate, error);
	int step = SQLITE_DONE;
	while (good && (step = sqlite3_step(statements.server)) == SQLITE_ROW)
		good = load_server(&statements, history) || refuse_database(store, error);
	if (good && step != SQLITE_DONE)
		good = refuse_database(store, error);
	finalize(&statements);
	store->saved = history_changes(history);
	return good;
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

static bool save_certificate(sqlite3_stmt *statement, const struct server_certificate *certificate)
{
	uint8_t names[16 * SERVER_CERTIFICATE_NAMES];
	int size = 0;
	for (unsigned i = 0; i < certificate->name_count; i++, size += 16) {
		put_u64(names + size, certificate->names[i]);
		put_u64(names + size + 8, certificate->parents[i]);
	}
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

static bool save_server(struct statements *statements, const struct server_memory *server)
{
	char address[IP_ADDR_TEXT];
	(void)ip_addr_text(&server->endpoint.addr, address);
	bind_server(statements->server, address, server->endpoint.port);
	(void)sqlite3_bind_text(statements->server, 3, server->name, -1, SQLITE_TRANSIENT);
	bind_address(statements->server, 4, &server->missing_network);
	bind_address(statements->server, 5, &server->tempfail_client);
	int column = FIRST_NUMBER;
#define COLUMN(name, field, type, max)                                                             \
	(void)sqlite3_bind_int64(statements->server, ++column, (int64_t)server->field);
#include "alerts/baseline_columns.def"
	bool good = done(statements->server);
	for (unsigned i = 0; good && i < server->network_count; i++) {
		bind_server(statements->network, address, server->endpoint.port);
		bind_address(statements->network, 3, &server->networks[i].network);
		(void)sqlite3_bind_int64(statements->network, 4, server->networks[i].offers);
		(void)sqlite3_bind_int64(statements->network, 5, server->networks[i].missing);
		good = done(statements->network);
	}
	bind_server(statements->forget, address, server->endpoint.port);
	good = good && done(statements->forget);
	for (unsigned i = 0; good && i < server->certificate_count; i++) {
		bind_server(statements->certificate, address, server->endpoint.port);
		good = save_certificate(statements->certificate, &server->certificates[i]);
	}
	return good;
}

bool baseline_store_save(struct baseline_store *store, const struct history *history,
			 char error[BASELINE_ERROR_MAX])
{
	if (store->read_only)
		return refuse(error, store->path, "is open for reading only");
	if (history_changes(history) == store->saved)
		return true;
	struct statements statements = {.server = NULL};
	bool good = prepare(store, insert_server, &statements.server, error) &&
		    prepare(store, insert_network, &statements.network, error) &&
		    prepare(store, insert_certificate, &statements.certificate, error) &&
		    prepare(store, delete_certificates, &statements.forget, error) &&
		    run_sql(store, "BEGIN IMMEDIATE", error);
	bool begun = good;
	for (const struct server_memory *server = history_next_server(history, NULL);
	     good && server != NULL; server = history_next_server(history, server))
		if (server->changed > store->saved && !save_server(&statements, server))
			good = refuse_database(store, error);
	finalize(&statements);
	good = good && run_sql(store, "COMMIT", error);
	if (good)
		store->saved = history_changes(history);
	else if (begun)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}
