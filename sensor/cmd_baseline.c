/* SPDX-License-Identifier: Apache-2.0 */
/* stripwatch baseline: what a sensor has learnt, for people and for programs. */
#include "alerts/baseline_json.h"
#include "alerts/baseline_store.h"
#include "sensor/baseline_filter.h"
#include "sensor/commands.h"
#include "sensor/limits.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* The rows go out as they come from the file: it may hold more than memory would. */
struct listing {
	struct baseline_store *store;
	struct baseline_filter filter;
	bool json;
	struct budget budget;
	struct buffer line;
	uint64_t rows, passed_over;
};

static void complain(const char *sentence)
{
	fprintf(stderr, "stripwatch: %s\n", sentence);
}

static void endpoint_text(const struct endpoint *endpoint, char *text, size_t size)
{
	char address[IP_ADDR_TEXT];
	(void)ip_addr_text(&endpoint->addr, address);
	(void)snprintf(text, size, endpoint->addr.version == 6 ? "[%s]:%u" : "%s:%u", address,
		       endpoint->port);
}

/* "2026-01-02 03:04", or "-" for never. */
static void time_text(int64_t time_s, char text[24])
{
	time_t time = (time_t)time_s;
	struct tm parts;
	if (time_s == 0 || gmtime_r(&time, &parts) == NULL ||
	    strftime(text, 24, "%Y-%m-%d %H:%M", &parts) == 0)
		(void)snprintf(text, 24, "-");
}

static void print_server(struct listing *listing, const struct server_memory *server)
{
	char place[64], last[24];
	if (listing->rows == 0)
		printf("%-24s %9s %9s %8s %8s %8s  %-4s %-16s  %-6s %s\n", "SERVER", "SESSIONS",
		       "OFFERED", "MISSING", "REFUSED", "UPGRADED", "TLS", "LAST SEEN", "OFFERS",
		       "NAME");
	endpoint_text(&server->endpoint, place, sizeof place);
	time_text(server->last_s, last);
	const char *version = baseline_version_word(server->best_version);
	const char *state = server->pinned                              ? "pinned"
			    : server_memory_offers(server)              ? "known"
			    : server->offers > 0 && server->missing > 0 ? "varies"
			    : server->offers > 0                        ? "few"
									: "never";
	printf("%-24s %9" PRIu32 " %9" PRIu32 " %8" PRIu32 " %8" PRIu32 " %8" PRIu32
	       "  %-4s %-16s  %-6s %s\n",
	       place, server->sessions, server->offers, server->missing, server->refused,
	       server->entered, version == NULL ? "-" : version, last, state, server->name);
}

static void print_client(struct listing *listing, const struct client_exposure *client)
{
	char address[IP_ADDR_TEXT], first[24], last[24], server[64] = "-";
	if (listing->rows == 0)
		printf("%-24s %9s  %-16s  %-16s  %-20s %s\n", "CLIENT", "SESSIONS", "FIRST SEEN",
		       "LAST SEEN", "MECHANISMS", "SERVERS");
	(void)ip_addr_text(&client->client, address);
	time_text(client->first_s, first);
	time_text(client->last_s, last);
	printf("%-24s %9" PRIu32 "  %-16s  %-16s  %-20s", address, client->sessions, first, last,
	       client->mechanisms[0] == '\0' ? "-" : client->mechanisms);
	for (unsigned i = 0; i < client->server_count; i++) {
		endpoint_text(&client->servers[i], server, sizeof server);
		printf(" %s", server);
	}
	printf("%s\n", client->servers_more ? " and more" : "");
	if (client->accounts[0] != '\0')
		printf("%-24s accounts: %s\n", "", client->accounts);
}

/* One line of JSON out of the buffer. */
static bool put_line(struct listing *listing)
{
	buffer_add_char(&listing->line, '\n');
	bool good = !listing->line.failed &&
		    fwrite(listing->line.bytes, 1, listing->line.len, stdout) == listing->line.len;
	buffer_clear(&listing->line);
	return good;
}

static bool list_servers(struct listing *listing, char error[BASELINE_ERROR_MAX])
{
	struct server_memory server;
	enum baseline_step step;
	while ((step = baseline_store_next_server(listing->store, &server, error)) ==
	       BASELINE_ROW) {
		if (!baseline_filter_server(&listing->filter, &server)) {
			listing->passed_over++;
			continue;
		}
		struct json json = json_into(&listing->line, false);
		if (!listing->json)
			print_server(listing, &server);
		else if (baseline_json_server(&json, &server), !put_line(listing))
			return true; /* said at the end, of standard output as a whole */
		listing->rows++;
	}
	return step == BASELINE_END;
}

static bool list_clients(struct listing *listing, char error[BASELINE_ERROR_MAX])
{
	struct client_exposure client;
	enum baseline_step step;
	while ((step = baseline_store_next_client(listing->store, &client, error)) ==
	       BASELINE_ROW) {
		if (!baseline_filter_client(&listing->filter, &client)) {
			listing->passed_over++;
			continue;
		}
		struct json json = json_into(&listing->line, false);
		if (!listing->json)
			print_client(listing, &client);
		else if (baseline_json_client(&json, &client, false), !put_line(listing))
			return true;
		listing->rows++;
	}
	return step == BASELINE_END;
}

static int list(struct baseline_store *store, const struct options *options)
{
	char error[BASELINE_FILTER_ERROR_MAX];
	struct listing listing = {.store = store, .json = options->json};
	budget_init(&listing.budget, LIMIT_DOCUMENT * 2);
	buffer_init(&listing.line, &listing.budget, LIMIT_DOCUMENT);
	if (!baseline_filter_create(options, (int64_t)time(NULL), &listing.filter, error)) {
		complain(error);
		return STATUS_WRONG_USE;
	}
	bool good = options->baseline_clients ? list_clients(&listing, error)
					      : list_servers(&listing, error);
	const char *noun = options->baseline_clients ? "client" : "server";
	if (good && !options->json)
		printf("%s%" PRIu64 " %s%s%s", listing.rows > 0 ? "\n" : "", listing.rows, noun,
		       listing.rows == 1 ? "" : "s", listing.passed_over > 0 ? "" : "\n");
	if (good && !options->json && listing.passed_over > 0)
		printf(", %" PRIu64 " passed over by the filters\n", listing.passed_over);
	if (!good)
		complain(error);
	buffer_free(&listing.line);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("standard output could not be written");
		good = false;
	}
	return good ? STATUS_DONE : STATUS_INCOMPLETE;
}

enum edit { EDIT_PIN, EDIT_UNPIN, EDIT_FORGET };

static bool check_places(const struct option_list *servers, const char *option)
{
	struct baseline_place place;
	for (size_t i = 0; i < servers->count; i++) {
		if (baseline_place_parse(servers->items[i], &place) && place.port != 0)
			continue;
		fprintf(stderr, "stripwatch: --%s: \"%s\" is not ADDR:PORT\n", option,
			servers->items[i]);
		return false;
	}
	return true;
}

static int edit_servers(struct baseline_store *store, const struct option_list *servers,
			enum edit edit)
{
	static const char *const done[] = {"is pinned: it must offer STARTTLS from now on",
					   "is not pinned any more", "is forgotten"};
	static const char *const idle[] = {"was pinned already", "was not pinned",
					   "is not in the baseline"};
	int status = STATUS_DONE;
	for (size_t i = 0; i < servers->count; i++) {
		char error[BASELINE_ERROR_MAX];
		struct baseline_place place;
		bool known = false;
		(void)baseline_place_parse(servers->items[i], &place);
		struct endpoint server = {.addr = place.addr, .port = place.port};
		bool good =
		    edit == EDIT_FORGET
			? baseline_store_forget(store, &server, &known, error)
			: baseline_store_pin(store, &server, edit == EDIT_PIN, &known, error);
		if (!good) {
			complain(error);
			return STATUS_INCOMPLETE;
		}
		if (known)
			printf("%s %s\n", servers->items[i], done[edit]);
		else
			fprintf(stderr, "stripwatch: %s %s\n", servers->items[i], idle[edit]);
		if (!known && edit != EDIT_PIN)
			status = STATUS_INCOMPLETE;
	}
	return status;
}

static int edit(struct baseline_store *store, const struct options *options)
{
	const struct option_list *const lists[] = {
	    [EDIT_PIN] = &options->baseline_pin,
	    [EDIT_UNPIN] = &options->baseline_unpin,
	    [EDIT_FORGET] = &options->baseline_forget,
	};
	int status = STATUS_DONE;
	for (unsigned i = EDIT_PIN; i <= EDIT_FORGET; i++) {
		int result = edit_servers(store, lists[i], (enum edit)i);
		status = result == STATUS_DONE ? status : result;
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_INCOMPLETE;
	return status;
}

int cmd_baseline(const struct options *options)
{
	char error[BASELINE_ERROR_MAX];
	bool edits = options->baseline_pin.count + options->baseline_unpin.count +
			 options->baseline_forget.count >
		     0;
	if (!check_places(&options->baseline_pin, "pin") ||
	    !check_places(&options->baseline_unpin, "unpin") ||
	    !check_places(&options->baseline_forget, "forget"))
		return STATUS_WRONG_USE;
	struct baseline_store *store = baseline_store_open(
	    options->inputs.items[0], edits ? BASELINE_EDIT : BASELINE_READ, error);
	if (store == NULL) {
		complain(error);
		return STATUS_INCOMPLETE;
	}
	int status = edits ? edit(store, options) : list(store, options);
	baseline_store_close(store);
	return status;
}
