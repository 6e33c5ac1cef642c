/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/option_table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_stdout(const char *output)
{
	return output && strcmp(output, "-") == 0;
}

static unsigned stdout_outputs(const struct options *options)
{
	unsigned count = 0;

	for (size_t i = 0; i < OPTION_SPECS; i++) {
		char *output;

		if (option_specs[i].kind != OPTION_OUTPUT)
			continue;
		memcpy(&output, (const char *)options + option_specs[i].offset, sizeof(output));
		count += is_stdout(output);
	}
	return count;
}

bool options_use_stdout(const struct options *options)
{
	return stdout_outputs(options) > 0;
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

bool options_check(struct options *options, FILE *errors)
{
	const struct origin origin = {.errors = errors};
	enum command command = options->command;

	if (command == COMMAND_REPLAY || command == COMMAND_WATCH) {
		if (options->json) {
			if (options->alerts && !is_stdout(options->alerts))
				return option_complain(&origin, "json", "contradicts --alerts %s",
						       options->alerts);
			free(options->alerts);
			options->alerts = strdup("-");
			if (!options->alerts)
				return option_complain(&origin, "json", "out of memory");
		}
		if (stdout_outputs(options) > 1)
			return option_complain(&origin, NULL, "two outputs on standard output");
		if (!options->sensor && !set_host_name(options, &origin))
			return false;
		if (options->baseline_readonly && !options->baseline && !options->baseline_redis)
			return option_complain(&origin, "baseline-readonly",
					       "needs --baseline or --baseline-redis");
		if (options->baseline_redis && !options->redis)
			return option_complain(&origin, "baseline-redis", "needs --redis");
		if (options->baseline_redis && options->separate)
			return option_complain(&origin, "baseline-redis", "contradicts --separate");
	}
	if (!check_taps(options, &origin))
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
