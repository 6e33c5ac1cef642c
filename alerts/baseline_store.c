/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_store.h"

#include "alerts/baseline_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BUSY_LEARN_MS  250  /* a sensor does not wait for people: the next save comes soon */
#define BUSY_MS        5000 /* a person waits for a sensor */
#define HEADER         100  /* of an SQLite file (sqlite.org/fileformat2.html 1.3) */
#define AT_VERSION     60
#define AT_APPLICATION 68
#define OLDEST_VERSION 1 /* from which the file is brought up to date */

struct baseline_store {
	sqlite3 *database;
	char *path;
	enum baseline_access access;
	bool accepted;   /* it is a whole baseline: only then is anything written at its close */
	uint64_t saved;  /* history_changes() up to which all is in the file */
	int64_t decided; /* PRAGMA data_version when decisions were last taken over */
	struct baseline_statements statements;
	sqlite3_stmt *servers, *clients; /* under way: baseline_store_next_...() */
};

/* What a person decides stands apart from what is learnt, so that neither overwrites the other. */
static const char schema_2[] =
    "CREATE TABLE server_pin (address TEXT NOT NULL, port INTEGER NOT NULL,"
    " PRIMARY KEY (address, port)) WITHOUT ROWID;"
    "CREATE TABLE server_forgotten (address TEXT NOT NULL, port INTEGER NOT NULL,"
    " PRIMARY KEY (address, port)) WITHOUT ROWID;"
    "CREATE TABLE client (address TEXT NOT NULL PRIMARY KEY, first_seen INTEGER NOT NULL,"
    " last_seen INTEGER NOT NULL, sessions INTEGER NOT NULL, servers TEXT NOT NULL,"
    " servers_more INTEGER NOT NULL, mechanisms TEXT NOT NULL, accounts TEXT NOT NULL)"
    " WITHOUT ROWID;";

static const char schema_3[] =
    "CREATE TABLE server_member (address TEXT NOT NULL, port INTEGER NOT NULL,"
    " name INTEGER NOT NULL, offers INTEGER NOT NULL, missing INTEGER NOT NULL,"
    " returns INTEGER NOT NULL, alternations INTEGER NOT NULL, missing_several INTEGER NOT NULL,"
    " PRIMARY KEY (address, port, name)) WITHOUT ROWID;";

static const char schema_4[] =
    "CREATE TABLE server_recent (address TEXT NOT NULL, port INTEGER NOT NULL,"
    " client TEXT NOT NULL, offered INTEGER NOT NULL, missing INTEGER NOT NULL,"
    " PRIMARY KEY (address, port, client)) WITHOUT ROWID;";

static const char from_1_to_2[] =
    "INSERT INTO server_pin SELECT address, port FROM server WHERE pinned <> 0;"
    "ALTER TABLE server DROP COLUMN pinned;";

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
static bool check_header(const char *path, enum baseline_access access,
			 char error[BASELINE_ERROR_MAX])
{
	uint8_t header[HEADER];
	bool may_be_new = access == BASELINE_LEARN;
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		return errno == ENOENT && may_be_new ? true : refuse(error, path, strerror(errno));
	size_t got = fread(header, 1, sizeof header, file);
	bool failed = ferror(file) != 0;
	(void)fclose(file);
	if (failed)
		return refuse(error, path, "cannot be read");
	if (got == 0 && may_be_new)
		return true; /* made, and never written to */
	if (got < sizeof header || memcmp(header, "SQLite format 3", 16) != 0 ||
	    bytes_u32(header + AT_APPLICATION) != BASELINE_APPLICATION)
		return refuse(error, path, "is no baseline; it was left as it is");
	uint32_t version = bytes_u32(header + AT_VERSION);
	if (version > BASELINE_VERSION)
		return refuse(error, path,
			      "is a baseline of a newer version; it was left as it is");
	if (version < OLDEST_VERSION)
		return refuse(error, path,
			      "is a baseline of no version that ever was; it was left "
			      "as it is");
	if (version < BASELINE_VERSION && access != BASELINE_LEARN)
		return refuse(error, path,
			      "is a baseline of an older version; a run that learns brings it up "
			      "to date");
	return true;
}

static bool run_sql(struct baseline_store *store, const char *sql, char error[BASELINE_ERROR_MAX])
{
	return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK ||
	       refuse_database(store, error);
}

/* The whole number that a statement answers; -1 when it fails. */
static int64_t ask_number(struct baseline_store *store, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	int64_t number = -1;
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	(void)sqlite3_finalize(statement);
	return number;
}

static bool is_whole(struct baseline_store *store)
{
	sqlite3_stmt *statement = NULL;
	bool whole = false;
	if (sqlite3_prepare_v2(store->database, "PRAGMA quick_check(1)", -1, &statement, NULL) ==
		SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		const void *answer = sqlite3_column_text(statement, 0);
		whole = answer != NULL && strcmp(answer, "ok") == 0;
	}
	(void)sqlite3_finalize(statement);
	return whole;
}

/* Makes the tables of a new file, or those that an older one lacks. */
static bool bring_up_to_date(struct baseline_store *store, int64_t version,
			     char error[BASELINE_ERROR_MAX])
{
	char identity[80];
	(void)snprintf(identity, sizeof identity,
		       "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		       BASELINE_APPLICATION, BASELINE_VERSION);
	bool good = run_sql(store, "BEGIN IMMEDIATE", error);
	if (good && version == 0)
		good = run_sql(store, baseline_schema, error);
	if (good && version < 2)
		good = run_sql(store, schema_2, error);
	if (good && version < 3)
		good = run_sql(store, schema_3, error);
	good = good && run_sql(store, schema_4, error);
	if (good && version == 1)
		good = run_sql(store, from_1_to_2, error);
	good = good && run_sql(store, identity, error) && run_sql(store, "COMMIT", error);
	if (!good)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}

static bool prepare_file(struct baseline_store *store, char error[BASELINE_ERROR_MAX])
{
	bool learn = store->access == BASELINE_LEARN;
	int64_t tables = ask_number(store, "SELECT count(*) FROM sqlite_schema");
	if (tables != 0 && !is_whole(store))
		return refuse(error, store->path, "is damaged; it was left as it is");
	int64_t version = tables == 0 ? 0 : ask_number(store, "PRAGMA user_version");
	if (learn && version < BASELINE_VERSION && !bring_up_to_date(store, version, error))
		return false;
	if (!baseline_prepare(store->database, store->access == BASELINE_READ, &store->statements))
		return refuse_database(store, error);
	store->accepted = true;
	if (!learn)
		return true;
	/* NORMAL: a crash of the program loses nothing that was saved, a power cut the last saves.
	 */
	return run_sql(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", error);
}

/*
 * A run that was killed in the middle of a write leaves a journal, which only a writer may roll
 * back: done here for those who read, as long as the file may be written at all.
 */
static void finish_write(struct baseline_store *store)
{
	sqlite3 *writer = NULL;
	if (ask_number(store, "SELECT count(*) FROM sqlite_schema") >= 0)
		return;
	int why = sqlite3_extended_errcode(store->database);
	if (why != SQLITE_READONLY_ROLLBACK && why != SQLITE_READONLY_RECOVERY &&
	    why != SQLITE_READONLY_CANTINIT)
		return;
	if (sqlite3_open_v2(store->path, &writer, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
		(void)sqlite3_busy_timeout(writer, BUSY_MS);
		(void)sqlite3_exec(writer, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	}
	(void)sqlite3_close_v2(writer);
}

/*
 * SQLite would make the file readable by everybody; it names hosts and accounts, so it is for the
 * owner and the group. What is there already stays as it is. Whether it can be made is SQLite's to
 * say.
 */
static void make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd >= 0)
		(void)close(fd);
}

struct baseline_store *baseline_store_open(const char *path, enum baseline_access access,
					   char error[BASELINE_ERROR_MAX])
{
	static const int flags[] = {
	    [BASELINE_LEARN] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	    [BASELINE_READ] = SQLITE_OPEN_READONLY,
	    [BASELINE_EDIT] = SQLITE_OPEN_READWRITE,
	};
	if (!check_header(path, access, error))
		return NULL;
	struct baseline_store *store = calloc(1, sizeof *store);
	if (store != NULL)
		store->path = strdup(path);
	if (store == NULL || store->path == NULL) {
		(void)refuse(error, path, "out of memory");
		baseline_store_close(store);
		return NULL;
	}
	store->access = access;
	if (access == BASELINE_LEARN)
		make_file(path);
	if (sqlite3_open_v2(path, &store->database, flags[access], NULL) != SQLITE_OK) {
		(void)refuse_database(store, error);
		baseline_store_close(store);
		return NULL;
	}
	(void)sqlite3_busy_timeout(store->database, BUSY_MS);
	/* What is refused stays as it is, with all that stands beside it. */
	(void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (access == BASELINE_READ)
		finish_write(store);
	if (!prepare_file(store, error)) {
		baseline_store_close(store);
		return NULL;
	}
	if (access == BASELINE_LEARN)
		(void)sqlite3_busy_timeout(store->database, BUSY_LEARN_MS);
	return store;
}

void baseline_store_close(struct baseline_store *store)
{
	if (store == NULL)
		return;
	(void)sqlite3_finalize(store->servers);
	(void)sqlite3_finalize(store->clients);
	baseline_finalize(&store->statements);
	if (store->accepted) {
		(void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
		/* One file, as a copy of it has to be. Refused while another has it open: so be it.
		 */
		if (store->access == BASELINE_LEARN)
			(void)sqlite3_exec(store->database, "PRAGMA journal_mode = DELETE", NULL,
					   NULL, NULL);
	}
	(void)sqlite3_close_v2(store->database);
	free(store->path);
	free(store);
}

/* Rows of a table that are aged, or beyond a cap. */
static void add_gone(char *sql, size_t size, const char *table, int64_t now_s, uint32_t cap)
{
	size_t len = strlen(sql);
	(void)snprintf(
	    sql + len, size - len,
	    "(last_seen < min((SELECT max(last_seen) FROM %s), %lld) - %lld OR last_seen <"
	    " (SELECT last_seen FROM %s ORDER BY last_seen DESC LIMIT 1 OFFSET %lu))",
	    table, (long long)now_s, (long long)SERVER_AGE_S, table, (unsigned long)cap - 1);
}

bool baseline_store_prune(struct baseline_store *store, uint32_t servers, uint32_t clients,
			  int64_t now_s, uint64_t *pruned, char error[BASELINE_ERROR_MAX])
{
	char select[700] = "CREATE TEMP TABLE gone AS SELECT address, port FROM server WHERE ";
	char client[700] = "DELETE FROM client WHERE ";
	add_gone(select, sizeof select, "server", now_s, servers);
	add_gone(client, sizeof client, "client", now_s, clients);
	size_t len = strlen(select);
	(void)snprintf(select + len, sizeof select - len,
		       " AND (address, port) NOT IN (SELECT address, port FROM server_pin)");
	bool good =
	    run_sql(store, "BEGIN IMMEDIATE", error) && run_sql(store, select, error) &&
	    run_sql(store,
		    "DELETE FROM server WHERE (address, port) IN (SELECT * FROM gone);"
		    "DELETE FROM server_network WHERE (address, port) IN (SELECT * FROM gone);"
		    "DELETE FROM server_member WHERE (address, port) IN (SELECT * FROM gone);"
		    "DELETE FROM server_recent WHERE (address, port) IN (SELECT * FROM gone);"
		    "DELETE FROM server_certificate WHERE (address, port) IN (SELECT * FROM gone);",
		    error) &&
	    run_sql(store, client, error);
	int64_t gone = good ? ask_number(store, "SELECT count(*) FROM temp.gone") : 0;
	*pruned = gone > 0 ? (uint64_t)gone : 0;
	good = good && run_sql(store, "DROP TABLE temp.gone; COMMIT", error);
	if (!good)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}

/* ---- what a person decided ---- */

/* Calls for each row of a table of endpoints. */
static bool take_endpoints(struct baseline_store *store, const char *sql, struct history *history,
			   bool forget, char error[BASELINE_ERROR_MAX])
{
	sqlite3_stmt *statement = NULL;
	int step = SQLITE_ERROR;
	if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK) {
		while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
			struct endpoint server = baseline_read_endpoint(statement);
			if (forget)
				history_forget_server(history, &server);
			else if (server.addr.version != 0)
				history_pin_server(history, &server);
		}
	}
	(void)sqlite3_finalize(statement);
	return step == SQLITE_DONE || refuse_database(store, error);
}

/*
 * Takes over what was decided since the last time, if anybody wrote to the file. In one
 * transaction: what is decided between looking and deleting is not to go unseen.
 */
static bool take_decisions(struct baseline_store *store, struct history *history,
			   char error[BASELINE_ERROR_MAX])
{
	const bool learn = store->access == BASELINE_LEARN;
	int64_t version = ask_number(store, "PRAGMA data_version");
	if (version == store->decided)
		return true;
	if (learn && !run_sql(store, "BEGIN IMMEDIATE", error))
		return false;
	history_unpin_all(history);
	bool good =
	    take_endpoints(store, "SELECT address, port FROM server_forgotten", history, true,
			   error) &&
	    take_endpoints(store, "SELECT address, port FROM server_pin", history, false, error);
	if (good && learn)
		good = run_sql(store, "DELETE FROM server_forgotten; COMMIT", error);
	if (good)
		store->decided = version;
	else if (learn)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}

/* Whether the last statement changed a row. */
static bool changed(struct baseline_store *store)
{
	return sqlite3_changes(store->database) > 0;
}

/* Runs a statement about one server. */
static bool about(struct baseline_store *store, const char *sql, const struct endpoint *server,
		  bool *known, char error[BASELINE_ERROR_MAX])
{
	sqlite3_stmt *statement = NULL;
	bool good = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) == SQLITE_OK;
	if (good) {
		baseline_bind_endpoint(statement, server);
		good = sqlite3_step(statement) == SQLITE_DONE;
		*known |= good && changed(store);
	}
	(void)sqlite3_finalize(statement);
	return good || refuse_database(store, error);
}

bool baseline_store_forget(struct baseline_store *store, const struct endpoint *server, bool *known,
			   char error[BASELINE_ERROR_MAX])
{
	static const char *const tables[] = {
	    "DELETE FROM server WHERE address = ? AND port = ?",
	    "DELETE FROM server_network WHERE address = ? AND port = ?",
	    "DELETE FROM server_member WHERE address = ? AND port = ?",
	    "DELETE FROM server_recent WHERE address = ? AND port = ?",
	    "DELETE FROM server_certificate WHERE address = ? AND port = ?",
	    "DELETE FROM server_pin WHERE address = ? AND port = ?",
	};
	bool ignored = false;
	*known = false;
	bool good = run_sql(store, "BEGIN IMMEDIATE", error);
	for (size_t i = 0; good && i < sizeof tables / sizeof tables[0]; i++)
		good = about(store, tables[i], server, known, error);
	/* For a sensor that has it in memory, and would write it again. */
	good = good &&
	       about(store, "INSERT OR REPLACE INTO server_forgotten VALUES (?, ?)", server,
		     &ignored, error) &&
	       run_sql(store, "COMMIT", error);
	if (!good)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}

bool baseline_store_pin(struct baseline_store *store, const struct endpoint *server, bool pin,
			bool *known, char error[BASELINE_ERROR_MAX])
{
	struct server_memory unseen;
	*known = false;
	if (!pin) {
		bool ignored = false;
		return about(store, "DELETE FROM server_pin WHERE address = ? AND port = ?", server,
			     known, error) &&
		       about(store,
			     "DELETE FROM server WHERE address = ? AND port = ? AND last_seen = 0",
			     server, &ignored, error);
	}
	bool good =
	    run_sql(store, "BEGIN IMMEDIATE", error) &&
	    about(store, "INSERT OR IGNORE INTO server_pin VALUES (?, ?)", server, known, error);
	/* A server that was never seen is listed all the same. */
	if (good && !baseline_find_server(&store->statements, server, &unseen)) {
		unseen = (struct server_memory){.endpoint = *server};
		good = baseline_write_server(&store->statements, &unseen) ||
		       refuse_database(store, error);
	}
	good = good && run_sql(store, "COMMIT", error);
	if (!good)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}

/* ---- reading ---- */

/* The next row of a select whose last parameter is how many; it is prepared with the first. */
static int next_row(struct baseline_store *store, const char *sql, int64_t limit,
		    sqlite3_stmt **rows)
{
	if (*rows == NULL && sqlite3_prepare_v2(store->database, sql, -1, rows, NULL) != SQLITE_OK)
		return SQLITE_ERROR;
	if (!sqlite3_stmt_busy(*rows))
		(void)sqlite3_bind_int64(*rows, 1, limit);
	return sqlite3_step(*rows);
}

static enum baseline_step end_rows(struct baseline_store *store, int step, sqlite3_stmt **rows,
				   char error[BASELINE_ERROR_MAX])
{
	if (step != SQLITE_DONE)
		(void)refuse_database(store, error);
	(void)sqlite3_finalize(*rows);
	*rows = NULL;
	return step == SQLITE_DONE ? BASELINE_END : BASELINE_FAILED;
}

static enum baseline_step next_server(struct baseline_store *store, int64_t limit,
				      struct server_memory *server, char error[BASELINE_ERROR_MAX])
{
	int step;
	while ((step = next_row(store, baseline_select_servers, limit, &store->servers)) ==
	       SQLITE_ROW)
		if (baseline_read_server(&store->statements, store->servers, server))
			return BASELINE_ROW;
	return end_rows(store, step, &store->servers, error);
}

static enum baseline_step next_client(struct baseline_store *store, int64_t limit,
				      struct client_exposure *client,
				      char error[BASELINE_ERROR_MAX])
{
	int step;
	while ((step = next_row(store, baseline_select_clients, limit, &store->clients)) ==
	       SQLITE_ROW)
		if (baseline_read_client(store->clients, client))
			return BASELINE_ROW;
	return end_rows(store, step, &store->clients, error);
}

enum baseline_step baseline_store_next_server(struct baseline_store *store,
					      struct server_memory *server,
					      char error[BASELINE_ERROR_MAX])
{
	enum baseline_step step = next_server(store, -1, server, error);
	if (step == BASELINE_ROW)
		server->pinned = baseline_is_pinned(&store->statements, &server->endpoint);
	return step;
}

enum baseline_step baseline_store_next_client(struct baseline_store *store,
					      struct client_exposure *client,
					      char error[BASELINE_ERROR_MAX])
{
	return next_client(store, -1, client, error);
}

bool baseline_store_load(struct baseline_store *store, struct history *history, uint64_t *left_out,
			 char error[BASELINE_ERROR_MAX])
{
	struct server_memory server;
	struct client_exposure client;
	enum baseline_step step;
	int64_t loaded = 0;
	while ((step = next_server(store, history_server_cap(history), &server, error)) ==
	       BASELINE_ROW) {
		struct server_memory *known = history_restore_server(history, &server.endpoint);
		loaded++;
		if (known == NULL)
			continue; /* counted by the history */
		*known = server;
		known->in_store = true;
	}
	while (step == BASELINE_END && (step = next_client(store, history_client_cap(history),
							   &client, error)) == BASELINE_ROW) {
		struct client_exposure *known = history_restore_client(history, &client.client);
		step = BASELINE_END;
		if (known == NULL)
			continue;
		*known = client;
		known->in_store = true;
	}
	int64_t all = ask_number(store, "SELECT count(*) FROM server");
	*left_out = all > loaded ? (uint64_t)(all - loaded) : 0;
	store->decided = -1;
	bool good = step == BASELINE_END && take_decisions(store, history, error);
	store->saved = history_changes(history);
	return good;
}

/* ---- writing ---- */

/* What the file may know of it from before it was given up for room. */
static void recall_server(struct baseline_store *store, struct server_memory *server)
{
	struct server_memory before;
	if (!server->in_store &&
	    baseline_find_server(&store->statements, &server->endpoint, &before) &&
	    !server_memory_is_aged(&before, server->last_s))
		server_memory_merge(server, &before);
	server->in_store = true;
}

static void recall_client(struct baseline_store *store, struct client_exposure *client)
{
	struct client_exposure before;
	if (!client->in_store && baseline_find_client(&store->statements, &client->client, &before))
		exposure_merge(client, &before);
	client->in_store = true;
}

bool baseline_store_save(struct baseline_store *store, struct history *history,
			 char error[BASELINE_ERROR_MAX])
{
	if (store->access != BASELINE_LEARN)
		return refuse(error, store->path, "is open for reading only");
	bool good = take_decisions(store, history, error);
	uint64_t changes = history_changes(history);
	if (!good || changes == store->saved)
		return good;
	good = run_sql(store, "BEGIN IMMEDIATE", error);
	bool begun = good;
	struct server_memory *server = history_changed_server(history, store->saved);
	for (; good && server != NULL; server = history_changed_next(history, server)) {
		recall_server(store, server);
		good = baseline_write_server(&store->statements, server) ||
		       refuse_database(store, error);
	}
	struct client_exposure *client = history_changed_client(history, store->saved);
	for (; good && client != NULL; client = history_changed_next_client(history, client)) {
		recall_client(store, client);
		good = baseline_write_client(&store->statements, client) ||
		       refuse_database(store, error);
	}
	good = good && run_sql(store, "COMMIT", error);
	if (good)
		store->saved = changes;
	else if (begun)
		(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	return good;
}
