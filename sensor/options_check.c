/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/option_table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_stdout(const char *output)
{
	return output && strcmp(output, "-") == 0;
}

static bool goes_to_stdout(const struct options *options, const struct option_spec *spec)
{
	char *output;

	if (spec->kind != OPTION_OUTPUT)
		return false;
	memcpy(&output, (const char *)options + spec->offset, sizeof(output));
	return is_stdout(output);
}

static unsigned stdout_outputs(const struct options *options)
{
	unsigned count = 0;

	for (size_t i = 0; i < OPTION_SPECS; i++)
		count += goes_to_stdout(options, &option_specs[i]);
	return count;
}

bool options_use_stdout(const struct options *options)
{
	return stdout_outputs(options) > 0;
}

/* Whose word the option of that name has, which is one of replay and watch. */
static enum option_source *source_of(enum option_source sources[OPTION_SPECS], const char *name)
{
	const struct option_spec *spec =
	    option_find(1U << COMMAND_REPLAY | 1U << COMMAND_WATCH, name, strlen(name));

	return &sources[spec - option_specs];
}

/* --json is another word for --alerts -. */
static bool settle_alerts(struct options *options, enum option_source sources[OPTION_SPECS],
			  const struct origin *origin)
{
	enum option_source json = *source_of(sources, "json");
	enum option_source *alerts = source_of(sources, "alerts");

	if (!options->json)
		return true;
	if (options->alerts && !is_stdout(options->alerts)) {
		if (*alerts == json)
			return option_complain(origin, "json", "contradicts --alerts %s",
					       options->alerts);
		if (*alerts > json) {
			options->json = false;
			return true;
		}
	}
	free(options->alerts);
	options->alerts = strdup("-");
	if (*alerts < json)
		*alerts = json;
	return options->alerts || option_complain(origin, "json", "out of memory");
}

/* Standard output carries one output alone: that of the command line, if it names one. */
static bool settle_stdout(struct options *options, const enum option_source sources[OPTION_SPECS],
			  const struct origin *origin)
{
	unsigned by_words = 0;

	if (stdout_outputs(options) < 2)
		return true;
	for (size_t i = 0; i < OPTION_SPECS; i++)
		by_words +=
		    sources[i] == OPTION_BY_WORDS && goes_to_stdout(options, &option_specs[i]);
	if (by_words != 1)
		return option_complain(origin, NULL, "two outputs on standard output");
	for (size_t i = 0; i < OPTION_SPECS; i++) {
		char **output = option_field(options, &option_specs[i]);

		if (sources[i] == OPTION_BY_WORDS || !goes_to_stdout(options, &option_specs[i]))
			continue;
		free(*output);
		*output = NULL;
	}
	options->json = options->json && options->alerts;
	return true;
}

/* Worlds that are kept apart have no baseline that others share. */
static bool settle_separate(struct options *options, enum option_source sources[OPTION_SPECS],
			    const struct origin *origin)
{
	enum option_source separate = *source_of(sources, "separate");
	enum option_source shared = *source_of(sources, "baseline-redis");

	if (!options->separate || !options->baseline_redis)
		return true;
	if (separate == shared)
		return option_complain(origin, "baseline-redis", "contradicts --separate");
	options->separate = separate > shared;
	options->baseline_redis = shared > separate;
	return true;
}

/* Options that say something of a Redis are a mistake where none was given. */
static bool check_redis(const struct options *options,
			const enum option_source sources[OPTION_SPECS], const struct origin *origin)
{
	for (size_t i = 0; i < OPTION_SPECS && !options->redis; i++) {
		const char *name = option_specs[i].name;

		if (sources[i] != OPTION_BY_DEFAULT &&
		    (strncmp(name, "redis-", 6) == 0 || strcmp(name, "outbox") == 0 ||
		     (strcmp(name, "baseline-redis") == 0 && options->baseline_redis)))
			return option_complain(origin, name, "needs --redis");
	}
	return true;
}

static bool set_host_name(struct options *options, const struct origin *origin)
{
	char name[256];

	if (gethostname(name, sizeof(name)) != 0 || name[0] == '\0')
		return option_complain(origin, "sensor", "the host has no name: give one");
	name[sizeof(name) - 1] = '\0';
	options->sensor = strdup(name);
	return options->sensor || option_complain(origin, "sensor", "out of memory");
}

static bool check_baseline(const struct options *options, const struct origin *origin)
{
	size_t edits = options->baseline_pin.count + options->baseline_unpin.count +
		       options->baseline_forget.count;
	bool filters = options->baseline_server || options->baseline_name ||
		       options->baseline_network || options->baseline_offered ||
		       options->baseline_never || options->baseline_pinned ||
		       options->baseline_since || options->baseline_stale;

	if (options->inputs.count == 0)
		return option_complain(origin, NULL, "baseline: no FILE given");
	if (options->inputs.count > 1)
		return option_complain(origin, NULL, "unexpected argument \"%s\"",
				       options->inputs.items[1]);
	if (options->baseline_offered && options->baseline_never)
		return option_complain(origin, "never", "contradicts --offered");
	if (edits > 0 && (filters || options->baseline_clients || options->json))
		return option_complain(origin, NULL,
				       "--pin, --unpin and --forget list nothing: they go "
				       "without --json, --clients and filters");
	if (options->baseline_clients && (options->baseline_name || options->baseline_offered ||
					  options->baseline_never || options->baseline_pinned))
		return option_complain(origin, "clients",
				       "goes with --server, --network, --since and --stale only");
	return true;
}

/* One source is one tap: what it shows cannot differ from itself. */
static bool check_taps(const struct options *options, const struct origin *origin)
{
	const struct option_list *taps = &options->taps;
	size_t len;

	for (size_t i = 1; i < taps->count; i++) {
		const char *source = option_pair_value(taps->items[i], &len);
		for (size_t j = 0; j < i; j++)
			if (strcmp(source, option_pair_value(taps->items[j], &len)) == 0)
				return option_complain(origin, "tap", "\"%s\" is given as two taps",
						       source);
	}
	return true;
}

/* Captured twice, every packet would count twice. */
static bool check_interfaces(const struct options *options, const struct origin *origin)
{
	const struct option_list *interfaces = &options->interfaces;

	for (size_t i = 0; i < interfaces->count; i++) {
		const char *name = interfaces->items[i];

		for (size_t j = 0; j < i; j++)
			if (strcmp(name, interfaces->items[j]) == 0)
				return option_complain(origin, "interface", "\"%s\" is given twice",
						       name);
		for (size_t j = 0; j < options->taps.count; j++) {
			size_t len;
			if (strcmp(name, option_pair_value(options->taps.items[j], &len)) == 0)
				return option_complain(origin, "interface",
						       "\"%s\" is given as --tap as well", name);
		}
	}
	return true;
}

bool options_check(struct options *options, enum option_source sources[OPTION_SPECS], FILE *errors)
{
	const struct origin origin = {.errors = errors};
	enum command command = options->command;

	if (command == COMMAND_REPLAY || command == COMMAND_WATCH) {
		if (!settle_alerts(options, sources, &origin) ||
		    !settle_stdout(options, sources, &origin) ||
		    !settle_separate(options, sources, &origin) ||
		    !check_redis(options, sources, &origin))
			return false;
		if (!options->sensor && !set_host_name(options, &origin))
			return false;
		if (options->baseline_readonly && !options->baseline && !options->baseline_redis)
			return option_complain(&origin, "baseline-readonly",
					       "needs --baseline or --baseline-redis");
	}
	if (!check_taps(options, &origin) || !check_interfaces(options, &origin))
		return false;
	if ((options->redis_cert != NULL) != (options->redis_key != NULL))
		return option_complain(&origin, NULL,
				       "--redis-cert and --redis-key need each other");
	if (command == COMMAND_REPLAY && options->inputs.count == 0 && options->taps.count == 0)
		return option_complain(&origin, NULL,
				       "replay: no capture given (a FILE, a DIR or -)");
	if (command == COMMAND_REPLAY) {
		unsigned stdin_inputs = 0;

		for (size_t i = 0; i < options->inputs.count; i++)
			stdin_inputs += is_stdout(options->inputs.items[i]);
		for (size_t i = 0; i < options->taps.count; i++) {
			size_t len;
			stdin_inputs += is_stdout(option_pair_value(options->taps.items[i], &len));
		}
		if (stdin_inputs > 1)
			return option_complain(&origin, NULL, "replay: - is given twice");
	}
	if (command == COMMAND_WATCH && options->interfaces.count == 0 && options->taps.count == 0)
		return option_complain(&origin, NULL, "watch: no interface given (-i IFACE)");
	if (command == COMMAND_BASELINE)
		return check_baseline(options, &origin);
	if (command != COMMAND_REPLAY && options->inputs.count > 0)
		return option_complain(&origin, NULL, "unexpected argument \"%s\"",
				       options->inputs.items[0]);
	return true;
}
