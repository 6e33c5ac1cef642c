/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_store.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct history_limits limits = {
    .servers = 5000, .failures = 8, .sessions = 8, .paths = 8, .clients = 8};

struct place {
	char directory[64], file[96];
	struct budget budget;
	struct history *history;
	char error[BASELINE_ERROR_MAX];
	uint64_t left_out;
};

static struct history *fresh(struct place *place)
{
	struct history_config config = history_config_default(limits);
	history_destroy(place->history);
	place->history = history_create(&place->budget, &config);
	cr_assert_not_null(place->history);
	return place->history;
}

static void begin(struct place *place)
{
	memset(place, 0, sizeof *place);
	budget_init(&place->budget, 64 << 20);
	(void)snprintf(place->directory, sizeof place->directory, "/tmp/baseline-XXXXXX");
	cr_assert_not_null(mkdtemp(place->directory));
	(void)snprintf(place->file, sizeof place->file, "%s/known.db", place->directory);
	fresh(place);
}

static void end(struct place *place)
{
	history_destroy(place->history);
	static const char *const beside[] = {"-journal", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
		char path[112];
		(void)snprintf(path, sizeof path, "%s%s", place->file, beside[i]);
		(void)unlink(path);
	}
	(void)unlink(place->file);
	(void)rmdir(place->directory);
}

/* One closed session with an offer. */
static void teach(struct history *history, unsigned server, int64_t at)
{
	static uint64_t id;
	struct observation observation = {.time_ns = at * 1000000000};
	struct session_facts *facts = &observation.facts;
	facts->id = ++id;
	facts->start_ns = observation.time_ns;
	facts->client.addr = (struct ip_addr){.bytes = {10, 0, 0, 1}, .version = 4};
	facts->server.addr = (struct ip_addr){
	    .bytes = {192, 0, (uint8_t)(server >> 8), (uint8_t)server}, .version = 4};
	facts->server.port = 25;
	facts->bytes[0] = facts->bytes[1] = 10;
	facts->visibility = VISIBILITY_FULL;
	facts->spoke_smtp = true;
	facts->offered = TRI_TRUE;
	facts->ehlo_accepted = 1;
	facts->milestones = observation.new_milestones = MILESTONE_EHLO_REPLY | MILESTONE_CLOSED;
	history_learn(history, &observation);
}

static const struct server_memory *known(const struct history *history, unsigned server)
{
	const struct server_memory *found = NULL;
	while ((found = history_next_server(history, found)) != NULL)
		if (found->endpoint.addr.bytes[2] == server >> 8 &&
		    found->endpoint.addr.bytes[3] == (server & 0xff))
			return found;
	return NULL;
}

static const struct server_memory *known_server(const struct place *place, unsigned server)
{
	return known(place->history, server);
}

/* By the tool that a person has: one command after the other; then may be NULL. */
static void run_commands_on(const char *file, const char *first, const char *then)
{
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		(void)execlp("sqlite3", "sqlite3", file, first, then, (char *)NULL);
		_exit(127);
	}
	int status = 0;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "sqlite3: %d", status);
}

static void run_sql_on(const char *file, const char *sql)
{
	run_commands_on(file, sql, NULL);
}

Test(baseline_store, what_is_saved_is_loaded)
{
	struct place place;
	begin(&place);
	for (unsigned i = 0; i < 4; i++)
		teach(place.history, 7, 1000 + i);
	teach(place.history, 8, 2000);
	struct server_memory *server =
	    history_restore_server(place.history, &known(place.history, 7)->endpoint);
	server->best_version = 0x0304;
	server->missing_network = (struct ip_addr){.bytes = {10, 0, 9, 0}, .version = 4};
	const struct server_certificate certificate = {.sha256 = {1},
						       .key_sha256 = {2},
						       .issuer = UINT64_MAX,
						       .names = {3},
						       .parents = {4},
						       .name_count = 1,
						       .self_signed = true,
						       .not_before = -5,
						       .not_after = 500};
	server_memory_learn_certificate(server, &certificate, 1500);
	const struct server_memory before = *server;

	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_expect(baseline_store_save(store, place.history, place.error), "%s", place.error);
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error), "%s",
		  place.error);
	const struct server_memory *after = known(place.history, 7);
	cr_assert_not_null(after);
#define COLUMN(column, field, type, max, merge)                                                    \
	cr_expect_eq(after->field, before.field, #column ": %lld", (long long)after->field);
#include "alerts/baseline_columns.def"
	cr_expect_eq(after->network_count, 1);
	cr_expect_eq(after->networks[0].offers, 4);
	cr_expect_eq(after->missing_network.bytes[2], 9);
	cr_expect_eq(after->certificate_count, 1);
	struct server_certificate expected = before.certificates[0];
	cr_expect_eq(memcmp(&after->certificates[0].names, &expected.names, sizeof expected.names),
		     0);
	cr_expect_eq(after->certificates[0].issuer, UINT64_MAX);
	cr_expect_eq(after->certificates[0].not_before, -5);
	cr_expect_eq(known(place.history, 8)->offers, 1);
	baseline_store_close(store);
	end(&place);
}

Test(baseline_store, later_saves_add_and_forget_nothing)
{
	struct place place;
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	teach(place.history, 1, 100);
	cr_expect(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);

	store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error));
	teach(place.history, 1, 200);
	teach(place.history, 2, 300);
	cr_expect(baseline_store_save(store, place.history, place.error));
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error));
	cr_expect_eq(known(place.history, 1)->offers, 2);
	cr_expect_eq(known(place.history, 2)->offers, 1);
	baseline_store_close(store);
	end(&place);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "rb");
	cr_assert_not_null(file);
	size_t got = fread(bytes, 1, size, file);
	(void)fclose(file);
	return got;
}

/* What must be refused, and stay byte for byte what it was. */
Test(baseline_store, foreign_newer_and_damaged_files_are_refused_and_left)
{
	static uint8_t good[1 << 20], bad[1 << 20], after[1 << 20];
	struct place place;
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	for (unsigned i = 1; i < 250; i++)
		teach(place.history, i, 100);
	cr_assert(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);
	size_t size = read_file(place.file, good, sizeof good);
	cr_assert_gt(size, 8192);

	static const struct {
		const char *name, *expected;
		size_t at;
		int byte; /* -1: a text file; -2: cut at at; else written at at */
	} cases[] = {
	    {"text", "is no baseline", 0, -1},
	    {"another program's database", "is no baseline", 68, 0x11},
	    {"newer", "newer version", 63, BASELINE_VERSION + 1},
	    {"of no version", "no version that ever was", 63, 0},
	    {"a page overwritten", "", 4096, 0xff},
	    {"cut short", "", 4096 + 100, -2},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t length = size;
		memcpy(bad, good, size);
		if (cases[i].byte == -1) {
			length = 200;
			memset(bad, 'x', length);
		} else if (cases[i].byte == -2) {
			length = cases[i].at;
		} else {
			bad[cases[i].at] = (uint8_t)cases[i].byte;
		}
		write_file(place.file, bad, length);
		place.error[0] = '\0';
		store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
		cr_expect_null(store, "%s was taken", cases[i].name);
		cr_expect_not_null(strstr(place.error, cases[i].expected), "%s: %s", cases[i].name,
				   place.error);
		cr_expect_not_null(strstr(place.error, "known.db"), "%s", place.error);
		baseline_store_close(store);
		cr_expect_eq(read_file(place.file, after, sizeof after), length);
		cr_expect_eq(memcmp(after, bad, length), 0, "%s was changed", cases[i].name);
	}
	end(&place);
}

Test(baseline_store, reading_only_needs_a_file_and_writes_nothing)
{
	struct place place;
	begin(&place);
	cr_expect_null(baseline_store_open(place.file, BASELINE_READ, place.error));
	cr_expect_not_null(strstr(place.error, "No such file"), "%s", place.error);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	baseline_store_close(store);
	store = baseline_store_open(place.file, BASELINE_READ, place.error);
	cr_assert_not_null(store, "%s", place.error);
	teach(place.history, 1, 100);
	cr_expect_not(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);
	end(&place);
}

/* A file and its journal as a kill in the middle of a write leaves them. */
static void copy_in_the_middle_of_a_write(const char *from, const char *to)
{
	static const char write[] =
	    "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN IMMEDIATE; CREATE TABLE "
	    "x(a);"
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
	    "INSERT INTO x SELECT randomblob(500) FROM n;";
	char copy[512];
	(void)snprintf(copy, sizeof copy, ".shell cp %s %s; cp %s-journal %s-journal", from, to,
		       from, to);
	run_commands_on(from, write, copy);
}

Test(baseline_store, who_only_reads_finishes_what_a_killed_run_began)
{
	struct place place;
	char whole[96];
	begin(&place);
	teach(place.history, 1, 100);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert(baseline_store_save(store, place.history, place.error), "%s", place.error);
	baseline_store_close(store);
	(void)snprintf(whole, sizeof whole, "%s", place.file);
	(void)snprintf(place.file, sizeof place.file, "%s/killed.db", place.directory);
	copy_in_the_middle_of_a_write(whole, place.file);
	(void)unlink(whole);

	store = baseline_store_open(place.file, BASELINE_READ, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error), "%s",
		  place.error);
	cr_expect_not_null(known_server(&place, 1));
	baseline_store_close(store);
	end(&place);
}

/* What a person decides while a sensor runs reaches it with its next save, and is not undone. */
Test(baseline_store, decisions_reach_a_running_sensor)
{
	struct place place;
	bool known = false;
	begin(&place);
	struct baseline_store *sensor =
	    baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(sensor, "%s", place.error);
	cr_assert(baseline_store_load(sensor, place.history, &place.left_out, place.error));
	for (unsigned i = 0; i < 4; i++) {
		teach(place.history, 1, 1000 + i);
		teach(place.history, 2, 1000 + i);
	}
	cr_expect(baseline_store_save(sensor, place.history, place.error), "%s", place.error);

	struct baseline_store *person = baseline_store_open(place.file, BASELINE_EDIT, place.error);
	cr_assert_not_null(person, "%s", place.error);
	const struct endpoint unseen = {.addr = {.bytes = {192, 0, 0, 9}, .version = 4},
					.port = 25};
	struct endpoint first = known_server(&place, 1)->endpoint;
	cr_expect(baseline_store_forget(person, &first, &known, place.error), "%s", place.error);
	cr_expect(known);
	cr_expect(baseline_store_pin(person, &unseen, true, &known, place.error), "%s",
		  place.error);
	baseline_store_close(person);

	teach(place.history, 2, 2000);
	cr_expect(baseline_store_save(sensor, place.history, place.error), "%s", place.error);
	cr_expect_null(known_server(&place, 1), "it was forgotten");
	cr_assert_not_null(known_server(&place, 9));
	cr_expect(server_memory_offers(known_server(&place, 9)), "it was pinned");
	teach(place.history, 1, 3000);
	cr_expect(baseline_store_save(sensor, place.history, place.error), "%s", place.error);

	person = baseline_store_open(place.file, BASELINE_EDIT, place.error);
	cr_expect(baseline_store_pin(person, &unseen, false, &known, place.error));
	cr_expect(known);
	baseline_store_close(person);
	cr_expect(baseline_store_save(sensor, place.history, place.error), "%s", place.error);
	cr_expect_not(server_memory_offers(known_server(&place, 9)));
	baseline_store_close(sensor);

	sensor = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_expect(baseline_store_load(sensor, fresh(&place), &place.left_out, place.error));
	cr_expect_eq(known_server(&place, 1)->offers, 1, "what came after the forgetting alone");
	cr_expect_eq(known_server(&place, 2)->offers, 5);
	baseline_store_close(sensor);
	end(&place);
}

/* A decision that is made while others are taken over waits for the next time; it is not lost. */
Test(baseline_store, a_decision_made_at_the_same_time_is_not_lost)
{
	struct place place;
	bool known = false;
	char locked[112], lock[160];
	begin(&place);
	struct baseline_store *sensor =
	    baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(sensor, "%s", place.error);
	cr_assert(baseline_store_load(sensor, place.history, &place.left_out, place.error));
	teach(place.history, 1, 1000);
	teach(place.history, 2, 1000);
	cr_expect(baseline_store_save(sensor, place.history, place.error), "%s", place.error);
	struct baseline_store *person = baseline_store_open(place.file, BASELINE_EDIT, place.error);
	struct endpoint second = known_server(&place, 2)->endpoint;
	cr_assert_not_null(person, "%s", place.error);
	cr_expect(baseline_store_forget(person, &second, &known, place.error), "%s", place.error);
	baseline_store_close(person);

	(void)snprintf(locked, sizeof locked, "%s/locked", place.directory);
	(void)snprintf(lock, sizeof lock, ".system touch %s; sleep 0.1", locked);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		(void)execlp("sqlite3", "sqlite3", place.file,
			     "BEGIN IMMEDIATE; INSERT INTO server_forgotten SELECT address, port "
			     "FROM server",
			     lock, "COMMIT", (char *)NULL);
		_exit(127);
	}
	while (access(locked, F_OK) != 0 && waitpid(child, NULL, WNOHANG) == 0)
		(void)usleep(1000);
	while (!baseline_store_save(sensor, place.history, place.error))
		(void)usleep(1000);
	(void)waitpid(child, NULL, 0);
	cr_expect(baseline_store_save(sensor, place.history, place.error), "%s", place.error);
	cr_expect_null(known_server(&place, 2), "it was forgotten before");
	cr_expect_null(known_server(&place, 1), "it was forgotten meanwhile");
	baseline_store_close(sensor);
	(void)unlink(locked);
	end(&place);
}

/* What memory gave up for room is added to, not written over, when it is seen again. */
Test(baseline_store, what_was_given_up_for_room_is_recalled)
{
	struct place place;
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	for (unsigned i = 0; i < 4; i++)
		teach(place.history, 1, 1000 + i);
	cr_expect(baseline_store_save(store, place.history, place.error));
	for (unsigned i = 0; i < limits.servers; i++)
		teach(place.history, 10 + i, 2000);
	cr_expect_null(known_server(&place, 1));
	cr_expect(baseline_store_save(store, place.history, place.error));
	teach(place.history, 1, 3000);
	cr_expect(baseline_store_save(store, place.history, place.error), "%s", place.error);
	cr_expect_eq(known_server(&place, 1)->offers, 5);
	cr_expect_eq(known_server(&place, 1)->offer_first_s, 1000);
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error));
	cr_expect_eq(place.left_out, 1, "%llu", (unsigned long long)place.left_out);
	cr_expect_eq(known_server(&place, 1)->offers, 5);
	baseline_store_close(store);
	end(&place);
}

Test(baseline_store, what_is_aged_or_beyond_the_cap_goes_but_the_pinned)
{
	enum { NOW = 100000000 };
	struct place place;
	uint64_t pruned = 0;
	bool known = false;
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	teach(place.history, 1, NOW - SERVER_AGE_S - 2);
	teach(place.history, 2, NOW - SERVER_AGE_S - 2);
	for (unsigned i = 3; i < 10; i++)
		teach(place.history, i, NOW - 10 + i);
	cr_expect(baseline_store_save(store, place.history, place.error));
	struct endpoint pinned = known_server(&place, 2)->endpoint;
	cr_expect(baseline_store_pin(store, &pinned, true, &known, place.error));
	cr_expect(baseline_store_prune(store, 100, 100, NOW - 86400, &pruned, place.error), "%s",
		  place.error);
	cr_expect_eq(pruned, 0, "the host's clock says that none is aged");
	cr_expect(baseline_store_prune(store, 100, 100, NOW, &pruned, place.error), "%s",
		  place.error);
	cr_expect_eq(pruned, 1);
	cr_expect(baseline_store_prune(store, 4, 100, NOW, &pruned, place.error), "%s",
		  place.error);
	cr_expect_eq(pruned, 3);
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error));
	cr_expect_null(known_server(&place, 1));
	cr_expect_not_null(known_server(&place, 2));
	cr_expect_null(known_server(&place, 5));
	cr_expect_not_null(known_server(&place, 6));
	baseline_store_close(store);
	end(&place);
}

/* A file of the version before is brought up to date by a run that learns, and by no other. */
Test(baseline_store, an_older_version_is_brought_up_to_date)
{
	static const uint8_t first_version[] = {0, 0, 0, 1};
	struct place place;
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	teach(place.history, 1, 1000);
	cr_expect(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);
	char command[400];
	(void)snprintf(command, sizeof command,
		       "DROP TABLE server_pin; DROP TABLE server_forgotten; DROP TABLE client;"
		       "DROP TABLE server_member; DROP TABLE server_recent;"
		       "ALTER TABLE server ADD COLUMN pinned INTEGER NOT NULL DEFAULT 1;");
	run_sql_on(place.file, command);
	FILE *file = fopen(place.file, "r+b");
	cr_assert_not_null(file);
	cr_assert_eq(fseek(file, 60, SEEK_SET), 0);
	cr_assert_eq(fwrite(first_version, 1, 4, file), 4);
	cr_assert_eq(fclose(file), 0);

	cr_expect_null(baseline_store_open(place.file, BASELINE_READ, place.error));
	cr_expect_not_null(strstr(place.error, "older version"), "%s", place.error);
	store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error));
	cr_expect_eq(known_server(&place, 1)->offers, 1);
	cr_expect(known_server(&place, 1)->pinned);
	baseline_store_close(store);
	store = baseline_store_open(place.file, BASELINE_READ, place.error);
	cr_expect_not_null(store, "%s", place.error);
	baseline_store_close(store);
	end(&place);
}

/* By hand or by a bent tool: what is out of bounds is brought back, what names nobody is passed
 * over. */
Test(baseline_store, rows_that_make_no_sense_do_no_harm)
{
	struct place place;
	struct server_memory row;
	struct client_exposure client;
	unsigned clients = 0;
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(store, "%s", place.error);
	teach(place.history, 1, 1000);
	teach(place.history, 2, 1000);
	cr_assert(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);
	run_sql_on(place.file,
		   "UPDATE server SET sessions = -5, offers = 99999999999, returns = 'many',"
		   " best_version = 70000, name = 'mx' || char(7) || char(200)"
		   "  WHERE address = '192.0.0.1';"
		   "UPDATE server SET address = 'nobody' WHERE address = '192.0.0.2';"
		   "INSERT INTO server_certificate VALUES"
		   " ('192.0.0.1', 25, x'01', x'02', 1, 0, 0, 0, 0, 0, 1, x''),"
		   " ('192.0.0.1', 25, zeroblob(32), x'02', 1, 0, 0, 0, 0, 0, 1, x''),"
		   " ('192.0.0.1', 25, randomblob(32), zeroblob(32), 1, 0, 0, 0, 0, 0, -1,"
		   "  zeroblob(1000));"
		   "INSERT INTO server_member VALUES ('192.0.0.1', 25, 1, -1, 0, 0, 0, 7),"
		   " ('192.0.0.1', 25, 2, 0, 0, 0, 0, 0), ('192.0.0.1', 25, 3, 0, 0, 0, 0, 0),"
		   " ('192.0.0.1', 25, 4, 0, 0, 0, 0, 0), ('192.0.0.1', 25, 5, 0, 0, 0, 0, 0),"
		   " ('192.0.0.1', 25, 6, 0, 0, 0, 0, 0), ('192.0.0.1', 25, 7, 0, 0, 0, 0, 0),"
		   " ('192.0.0.1', 25, 8, 0, 0, 0, 0, 0), ('192.0.0.1', 25, 9, 0, 0, 0, 0, 0);"
		   "INSERT INTO server_recent VALUES ('192.0.0.1', 25, 'x', 1, 1);"
		   "INSERT INTO client VALUES ('10.0.0.1', -1, 5, 3,"
		   " 'junk 192.0.2.1:25  [2001:db8::1]:587 x:y :', 9, 'PLAIN', ''),"
		   " ('nobody', 1, 1, 1, '', 0, '', '');");
	store = baseline_store_open(place.file, BASELINE_READ, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_assert_eq(baseline_store_next_server(store, &row, place.error), BASELINE_ROW);
	cr_expect_eq(row.sessions, 0);
	cr_expect_eq(row.offers, UINT32_MAX);
	cr_expect_eq(row.returns, 0);
	cr_expect_eq(row.best_version, UINT16_MAX);
	cr_expect_eq(strncmp(row.name, "mx?", 3), 0, "%s", row.name);
	cr_expect_eq(row.certificate_count, 1, "those without whole digests are none");
	cr_expect_eq(row.certificates[0].sessions, 0);
	cr_expect_eq(row.certificates[0].name_count, SERVER_CERTIFICATE_NAMES);
	cr_expect_leq(row.member_count, SERVER_MEMBERS);
	unsigned several = 0;
	for (unsigned i = 0; i < row.member_count; i++)
		several += row.members[i].missing_several ? 1 : 0;
	cr_expect_eq(several, 1);
	cr_expect_eq(baseline_store_next_server(store, &row, place.error), BASELINE_END,
		     "an address that is none names no server");
	while (baseline_store_next_client(store, &client, place.error) == BASELINE_ROW) {
		clients++;
		cr_expect_eq(client.first_s, 0);
		cr_expect_eq(client.sessions, 3);
		cr_expect_eq(client.server_count, 2);
		cr_expect_eq(client.servers[1].port, 587);
		cr_expect_eq(client.servers[1].addr.version, 6);
		cr_expect(client.servers_more);
	}
	cr_expect_eq(clients, 1);
	baseline_store_close(store);
	end(&place);
}

/* Whoever is written to while another holds the file says so, and loses nothing by it. */
Test(baseline_store, a_file_that_another_holds_is_written_later, .timeout = 60)
{
	struct place place;
	int commands[2], answers[2];
	char ready[16] = "";
	begin(&place);
	struct baseline_store *store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
	cr_assert_not_null(store, "%s", place.error);
	teach(place.history, 1, 1000);
	cr_assert(baseline_store_save(store, place.history, place.error));
	cr_assert_eq(pipe(commands), 0);
	cr_assert_eq(pipe(answers), 0);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		(void)dup2(commands[0], 0);
		(void)dup2(answers[1], 1);
		(void)close(commands[1]);
		(void)execlp("sqlite3", "sqlite3", place.file, (char *)NULL);
		_exit(127);
	}
	static const char hold[] = "BEGIN IMMEDIATE;\nSELECT 'held';\n";
	cr_assert_eq(write(commands[1], hold, sizeof hold - 1), (ssize_t)sizeof hold - 1);
	cr_assert_gt(read(answers[0], ready, sizeof ready - 1), 0);
	cr_assert_eq(strncmp(ready, "held", 4), 0, "%s", ready);

	teach(place.history, 1, 2000);
	cr_expect_not(baseline_store_save(store, place.history, place.error));
	cr_expect_not_null(strstr(place.error, "known.db: database is locked"), "%s", place.error);
	(void)close(commands[1]);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_expect(baseline_store_save(store, place.history, place.error), "%s", place.error);
	cr_assert(baseline_store_load(store, fresh(&place), &place.left_out, place.error));
	cr_expect_eq(known_server(&place, 1)->offers, 2);
	baseline_store_close(store);
	(void)close(commands[0]);
	(void)close(answers[0]);
	(void)close(answers[1]);
	end(&place);
}

/* A table goes while the file is open: each use says which, and what was there stays. */
Test(baseline_store, a_table_that_goes_is_named)
{
	static const char *const tables[] = {
	    "server",        "server_network", "server_certificate", "server_member",
	    "server_recent", "server_pin",     "server_forgotten",   "client"};
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		struct place place;
		char sql[64];
		bool known = false;
		uint64_t pruned = 0;
		begin(&place);
		struct baseline_store *store =
		    baseline_store_open(place.file, BASELINE_LEARN, place.error);
		cr_assert_not_null(store, "%s", place.error);
		teach(place.history, 1, 1000);
		cr_assert(baseline_store_save(store, place.history, place.error));
		const struct endpoint server = known_server(&place, 1)->endpoint;
		(void)snprintf(sql, sizeof sql, "DROP TABLE %s;", tables[i]);
		run_sql_on(place.file, sql);
		unsigned failed = 0;
		const bool worked[] = {
		    baseline_store_forget(store, &server, &known, place.error),
		    baseline_store_prune(store, 10, 10, 5000, &pruned, place.error),
		    baseline_store_pin(store, &server, true, &known, place.error),
		    baseline_store_pin(store, &server, false, &known, place.error),
		    baseline_store_load(store, fresh(&place), &place.left_out, place.error),
		};
		for (size_t j = 0; j < sizeof worked / sizeof worked[0]; j++)
			failed += worked[j] ? 0 : 1;
		cr_expect_gt(failed, 0, "%s is not missed", tables[i]);
		cr_expect_not_null(strstr(place.error, tables[i]), "%s: %s", tables[i],
				   place.error);
		baseline_store_close(store);
		store = baseline_store_open(place.file, BASELINE_LEARN, place.error);
		cr_expect(store == NULL || !baseline_store_load(store, fresh(&place),
								&place.left_out, place.error),
			  "without %s", tables[i]);
		baseline_store_close(store);
		end(&place);
	}
}

Test(baseline_store, what_is_no_file_of_ours_is_named)
{
	struct place place;
	begin(&place);
	cr_expect_null(baseline_store_open(place.directory, BASELINE_LEARN, place.error));
	cr_expect_not_null(strstr(place.error, "cannot be read"), "%s", place.error);
	write_file(place.file, (const uint8_t *)"", 0);
	cr_expect_null(baseline_store_open(place.file, BASELINE_READ, place.error));
	cr_expect_not_null(strstr(place.error, "is no baseline"), "%s", place.error);
	cr_expect_null(
	    baseline_store_open("/does/not/exist/known.db", BASELINE_LEARN, place.error));
	cr_expect_not_null(strstr(place.error, "/does/not/exist/known.db: "), "%s", place.error);
	end(&place);
}

/* A child saves without end and is killed; what is left opens and holds whole saves. */
Test(baseline_store, survives_kill_at_any_moment, .timeout = 60)
{
	enum { KILLS = 40 };
	struct place place;
	unsigned grown = 0;
	uint32_t before = 0;
	unsigned short random[3] = {1, 2, (unsigned short)getpid()};
	begin(&place);
	for (unsigned round = 0; round < KILLS; round++) {
		pid_t child = fork();
		cr_assert_geq(child, 0);
		if (child == 0) {
			struct baseline_store *store =
			    baseline_store_open(place.file, BASELINE_LEARN, place.error);
			if (store == NULL || !baseline_store_load(store, fresh(&place),
								  &place.left_out, place.error))
				_exit(3);
			for (;;) {
				for (unsigned i = 0; i < 50; i++)
					teach(place.history, i, 100);
				if (!baseline_store_save(store, place.history, place.error))
					_exit(4);
			}
		}
		(void)usleep((useconds_t)(20000 + nrand48(random) % 130000));
		(void)kill(child, SIGKILL);
		int status = 0;
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_expect(WIFSIGNALED(status), "round %u: it ended with %d", round,
			  WEXITSTATUS(status));
		struct baseline_store *store =
		    baseline_store_open(place.file, BASELINE_LEARN, place.error);
		cr_assert_not_null(store, "round %u: %s", round, place.error);
		cr_expect(baseline_store_load(store, fresh(&place), &place.left_out, place.error),
			  "%s", place.error);
		baseline_store_close(store);
		const struct server_memory *first = known(place.history, 0);
		const struct server_memory *server = NULL;
		while ((server = history_next_server(place.history, server)) != NULL)
			cr_expect_eq(server->offers, first->offers, "half a save");
		uint32_t offers = first == NULL ? 0 : first->offers;
		cr_expect_geq(offers, before, "round %u: what was saved is gone", round);
		grown += offers > before ? 1 : 0;
		before = offers;
	}
	fprintf(stderr,
		"baseline_store: %d kills at random moments, %u with saves before, %u "
		"sessions kept\n",
		KILLS, grown, before);
	cr_expect_gt(grown, 0);
	end(&place);
}
