/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/baseline_filter.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Decimal digits and nothing else. */
static bool read_digits(const char *text, size_t len, uint64_t max, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(text[i] - '0');
		if (*number > max)
			return false;
	}
	return len > 0;
}

bool baseline_place_parse(const char *text, struct baseline_place *place)
{
	const char *slash = strchr(text, '/'), *last = strrchr(text, ':');
	size_t len = strlen(text);
	uint64_t number;
	*place = (struct baseline_place){.port = 0};
	if (ip_addr_parse(text, len, &place->addr)) {
		place->prefix_len = place->addr.version == 4 ? 32 : 128;
		return true;
	}
	if (slash != NULL) {
		if (!ip_addr_parse(text, (size_t)(slash - text), &place->addr) ||
		    !read_digits(slash + 1, strlen(slash + 1), place->addr.version == 4 ? 32 : 128,
				 &number))
			return false;
		place->prefix_len = (unsigned)number;
		place->addr = ip_addr_network(&place->addr, place->prefix_len);
		return true;
	}
	if (last == NULL || last == text ||
	    !read_digits(last + 1, strlen(last + 1), 65535, &number) || number == 0)
		return false;
	size_t size = (size_t)(last - text);
	bool brackets = text[0] == '[' && size > 2 && text[size - 1] == ']';
	if (!ip_addr_parse(text + (brackets ? 1 : 0), size - (brackets ? 2 : 0), &place->addr) ||
	    brackets != (place->addr.version == 6))
		return false;
	place->prefix_len = place->addr.version == 4 ? 32 : 128;
	place->port = (uint16_t)number;
	return true;
}

/* An age (90s, 15m, 24h, 7d) before now, a date or a time in UTC. */
static bool read_time(const char *text, int64_t now_s, int64_t *time_s)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S",
					    "%Y-%m-%d %H:%M"};
	size_t len = strlen(text);
	const char *unit = len >= 2 ? strchr("smhd", text[len - 1]) : NULL;
	static const int64_t seconds[] = {1, 60, 3600, 86400};
	uint64_t number;
	if (unit != NULL && read_digits(text, len - 1, UINT32_MAX, &number)) {
		*time_s = now_s - (int64_t)number * seconds[unit - "smhd"];
		return true;
	}
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		struct tm parts = {.tm_sec = 0};
		const char *end = strptime(text, forms[i], &parts);
		if (end != NULL && *end == '\0') {
			*time_s = (int64_t)timegm(&parts);
			return true;
		}
	}
	return false;
}

static bool read_place(const char *name, const char *text, bool port, struct baseline_place *place,
		       char error[BASELINE_FILTER_ERROR_MAX])
{
	if (text == NULL || (baseline_place_parse(text, place) && (port || place->port == 0)))
		return true;
	(void)snprintf(error, BASELINE_FILTER_ERROR_MAX, "%s: \"%s\" is not ADDR[/LEN]%s", name,
		       text, port ? " or ADDR:PORT" : "");
	return false;
}

static bool read_when(const char *name, const char *text, int64_t now_s, int64_t *time_s,
		      char error[BASELINE_FILTER_ERROR_MAX])
{
	if (text == NULL || read_time(text, now_s, time_s))
		return true;
	(void)snprintf(error, BASELINE_FILTER_ERROR_MAX,
		       "%s: \"%s\" is neither an age (90s, 15m, 24h, 7d) nor a date (2026-01-31)",
		       name, text);
	return false;
}

bool baseline_filter_create(const struct options *options, int64_t now_s,
			    struct baseline_filter *filter, char error[BASELINE_FILTER_ERROR_MAX])
{
	*filter = (struct baseline_filter){
	    .name = options->baseline_name,
	    .offered = options->baseline_offered,
	    .never = options->baseline_never,
	    .pinned = options->baseline_pinned,
	};
	return read_place("--server", options->baseline_server, true, &filter->server, error) &&
	       read_place("--network", options->baseline_network, false, &filter->network, error) &&
	       read_when("--since", options->baseline_since, now_s, &filter->since_s, error) &&
	       read_when("--stale", options->baseline_stale, now_s, &filter->stale_s, error);
}

static bool is_in(const struct baseline_place *place, const struct ip_addr *addr)
{
	if (place->addr.version == 0)
		return true;
	struct ip_addr network = ip_addr_network(addr, place->prefix_len);
	return addr->version == place->addr.version && ip_addr_equal(&network, &place->addr);
}

static bool is_place(const struct baseline_place *place, const struct endpoint *endpoint)
{
	return is_in(place, &endpoint->addr) && (place->port == 0 || place->port == endpoint->port);
}

static bool is_time(const struct baseline_filter *filter, int64_t last_s)
{
	return (filter->since_s == 0 || last_s >= filter->since_s) &&
	       (filter->stale_s == 0 || last_s < filter->stale_s);
}

/* What is kept of clients is their networks: one matches that holds, or is held by, the one meant.
 */
static bool has_network(const struct baseline_place *place, const struct server_memory *server)
{
	if (place->addr.version == 0)
		return true;
	for (unsigned i = 0; i < server->network_count; i++) {
		const struct ip_addr *known = &server->networks[i].network;
		unsigned prefix_len = known->version == 4 ? 24 : 64;
		struct ip_addr around = ip_addr_network(
		    &place->addr, place->prefix_len < prefix_len ? place->prefix_len : prefix_len);
		struct ip_addr held = ip_addr_network(
		    known, place->prefix_len < prefix_len ? place->prefix_len : prefix_len);
		if (known->version == place->addr.version && ip_addr_equal(&around, &held))
			return true;
	}
	return false;
}

bool baseline_filter_server(const struct baseline_filter *filter,
			    const struct server_memory *server)
{
	return is_place(&filter->server, &server->endpoint) &&
	       has_network(&filter->network, server) && is_time(filter, server->last_s) &&
	       (filter->name == NULL || fnmatch(filter->name, server->name, FNM_CASEFOLD) == 0) &&
	       (!filter->offered || server->offers > 0) &&
	       (!filter->never || server->offers == 0) && (!filter->pinned || server->pinned);
}

bool baseline_filter_client(const struct baseline_filter *filter,
			    const struct client_exposure *client)
{
	bool server = filter->server.addr.version == 0;
	for (unsigned i = 0; i < client->server_count && !server; i++)
		server = is_place(&filter->server, &client->servers[i]);
	return server && is_in(&filter->network, &client->client) &&
	       is_time(filter, client->last_s);
}
