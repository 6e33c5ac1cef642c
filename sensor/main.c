/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/commands.h"
#include "version.h"

#include <stdio.h>

static int run_command(const struct options *options)
{
	switch (options->command) {
	case COMMAND_REPLAY:
		return cmd_replay(options);
	case COMMAND_WATCH:
		return cmd_watch(options);
	case COMMAND_TAIL:
		fputs("stripwatch: tail is not part of this build\n", stderr);
		return STATUS_WRONG_USE;
	case COMMAND_RULES:
		return cmd_rules(options);
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

	if (options_parse(&options, argc, (const char *const *)argv, stderr))
		status = run_command(&options);
	options_free(&options);
	return status;
}
