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
    .servers = 5000, .failures = 8, .sessions = 8, .paths = 8};

struct place {
	char directory[64], file[96];
	struct budget budget;
	struct history *history;
	char error[BASELINE_ERROR_MAX];
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
	char journal[112];
	(void)snprintf(journal, sizeof journal, "%s-journal", place->file);
	(void)unlink(journal);
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
		if (found->endpoint.addr.bytes[3] == server)
			return found;
	return NULL;
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
	server->pinned = true;
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

	struct baseline_store *store = baseline_store_open(place.file, false, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_expect(baseline_store_save(store, place.history, place.error), "%s", place.error);
	cr_expect(baseline_store_load(store, fresh(&place), place.error), "%s", place.error);
	const struct server_memory *after = known(place.history, 7);
	cr_assert_not_null(after);
#define COLUMN(column, field, type, max)                                                           \
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
	struct baseline_store *store = baseline_store_open(place.file, false, place.error);
	teach(place.history, 1, 100);
	cr_expect(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);

	store = baseline_store_open(place.file, false, place.error);
	cr_assert_not_null(store, "%s", place.error);
	cr_expect(baseline_store_load(store, fresh(&place), place.error));
	teach(place.history, 1, 200);
	teach(place.history, 2, 300);
	cr_expect(baseline_store_save(store, place.history, place.error));
	cr_expect(baseline_store_load(store, fresh(&place), place.error));
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
	struct baseline_store *store = baseline_store_open(place.file, false, place.error);
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
	    {"newer", "newer version", 63, 2},
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
		store = baseline_store_open(place.file, false, place.error);
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
	cr_expect_null(baseline_store_open(place.file, true, place.error));
	cr_expect_not_null(strstr(place.error, "No such file"), "%s", place.error);
	struct baseline_store *store = baseline_store_open(place.file, false, place.error);
	baseline_store_close(store);
	store = baseline_store_open(place.file, true, place.error);
	cr_assert_not_null(store, "%s", place.error);
	teach(place.history, 1, 100);
	cr_expect_not(baseline_store_save(store, place.history, place.error));
	baseline_store_close(store);
	end(&place);
}

/* A child saves without end and is killed; what is left opens and holds whole saves. */
Test(baseline_store, survives_kill_at_any_moment, .timeout = 60)
{
	struct place place;
	begin(&place);
	for (unsigned round = 0; round < 8; round++) {
		pid_t child = fork();
		cr_assert_geq(child, 0);
		if (child == 0) {
			struct baseline_store *store =
			    baseline_store_open(place.file, false, place.error);
			if (store == NULL ||
			    !baseline_store_load(store, fresh(&place), place.error))
				_exit(3);
			for (;;) {
				for (unsigned i = 0; i < 50; i++)
					teach(place.history, i, 100);
				if (!baseline_store_save(store, place.history, place.error))
					_exit(4);
			}
		}
		(void)usleep(40000 + round * 7001);
		(void)kill(child, SIGKILL);
		int status = 0;
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_expect(WIFSIGNALED(status), "round %u: it ended with %d", round,
			  WEXITSTATUS(status));
		struct baseline_store *store = baseline_store_open(place.file, false, place.error);
		cr_assert_not_null(store, "round %u: %s", round, place.error);
		cr_expect(baseline_store_load(store, fresh(&place), place.error), "%s",
			  place.error);
		baseline_store_close(store);
		const struct server_memory *first = known(place.history, 0);
		const struct server_memory *server = NULL;
		while ((server = history_next_server(place.history, server)) != NULL)
			cr_expect_eq(server->offers, first->offers, "half a save");
	}
	end(&place);
}
