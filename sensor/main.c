/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_url.h"
#include "sensor/commands.h"
#include "sensor/heap.h"
#include "sensor/limits.h"
#include "version.h"

#include <stdio.h>
#include <sys/resource.h>

/*
 * Memory holds what must not leave: passwords and mail on their way through the parsers.
 * A core would keep them on disk, so none is written; whoever debugs a crash replays the
 * capture under a debugger.
 */
static void leave_no_core(void)
{
	const struct rlimit none = {0, 0};
	(void)setrlimit(RLIMIT_CORE, &none);
}

static int run_command(const struct options *options)
{
	switch (options->command) {
	case COMMAND_REPLAY:
		return cmd_replay(options);
	case COMMAND_WATCH:
		return cmd_watch(options);
	case COMMAND_TAIL:
		return cmd_tail(options);
	case COMMAND_RULES:
		return cmd_rules(options);
	case COMMAND_BASELINE:
		return cmd_baseline(options);
	case COMMAND_VERSION:
		printf("stripwatch %s\n", STRIPWATCH_VERSION);
		return STATUS_DONE;
	case COMMAND_HELP:
	case COMMAND_NONE:
		break;
	}
	options_print_help(stdout, options->help_about);
	return STATUS_DONE;
}

int main(int argc, char **argv)
{
	struct options options;
	int status = STATUS_WRONG_USE;

	leave_no_core();
	heap_begin(LIMIT_HEAP_STEP);
	bool parsed = options_parse(&options, argc, (const char *const *)argv, stderr);
	/* The options own copies: a password in a URL has no place in the process list. */
	for (int i = 1; i < argc; i++)
		redis_url_scrub(argv[i]);
	if (parsed)
		status = run_command(&options);
	options_free(&options);
	return status;
}
