/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/option_table.h"

#include <string.h>

/* Help text: the sentence begins in this column, and lines end before the other. */
#define HELP_COLUMN 32
#define HELP_WIDTH  96

static void print_wrapped(FILE *out, const char *text, int column)
{
	int at = column;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (at > column && at + len > HELP_WIDTH) {
			fprintf(out, "\n%*s", column, "");
			at = column;
		}
		fprintf(out, "%s%.*s", at > column ? " " : "", len, text);
		at += len + 1;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_option(FILE *out, const struct option_spec *spec)
{
	char letter[] = {'-', spec->short_name, ',', '\0'};
	int width = fprintf(out, "  %3s --%s", spec->short_name ? letter : "", spec->name);

	if (spec->argument)
		width += fprintf(out, " %s", spec->argument);
	if (width >= HELP_COLUMN - 1) {
		fputc('\n', out);
		width = 0;
	}
	fprintf(out, "%*s", HELP_COLUMN - width, "");
	print_wrapped(out, spec->help, HELP_COLUMN);
	if (spec->fallback)
		fprintf(out, "%*sDefault: %s\n", HELP_COLUMN, "", spec->fallback);
}

static void print_options(FILE *out, unsigned command)
{
	const char *pending = NULL;
	const struct option_spec *spec = option_specs;

#define OPTION_GROUP(title) pending = title;
#define OPTION(...)                                                                                \
	if ((spec->commands & command) != 0) {                                                     \
		if (pending)                                                                       \
			fprintf(out, "\n%s:\n", pending);                                          \
		pending = NULL;                                                                    \
		print_option(out, spec);                                                           \
	}                                                                                          \
	spec++;
#include "sensor/options.def"
}

void options_print_help(FILE *out, enum command command)
{
	for (size_t i = 0; i < COMMAND_SPECS; i++) {
		if (command_specs[i].command != command)
			continue;
		fprintf(out, "Usage: stripwatch %s\n\n%s\n", command_specs[i].usage,
			command_specs[i].purpose);
		print_options(out, 1U << command);
		return;
	}
	fputs("Usage: stripwatch COMMAND [OPTION...]\n\n"
	      "A passive sensor for SMTP STARTTLS downgrades.\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < COMMAND_SPECS; i++)
		fprintf(out, "  %-10s %s\n", command_specs[i].name, command_specs[i].purpose);
	fputs(
	    "\n  stripwatch COMMAND --help   the options of a command\n"
	    "  stripwatch --version        the version\n\n"
	    "Exit status: 0 ran to the end, whatever it found; 1 some input could not be read or\n"
	    "some output not delivered; 2 wrong use; 3 an alert reached --fail-on.\n",
	    out);
}
