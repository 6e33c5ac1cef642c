/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/option_table.h"

#include <stdarg.h>
#include <string.h>

#define R (1u << COMMAND_REPLAY)
#define W (1u << COMMAND_WATCH)
#define T (1u << COMMAND_TAIL)
#define L (1u << COMMAND_RULES)
#define B (1u << COMMAND_BASELINE)

const struct option_spec option_specs[OPTION_SPECS] = {
#define OPTION(field, long_name, short_letter, value, command_set, value_kind, preset, minimum,    \
	       maximum, sentence)                                                                  \
	{.name = long_name,                                                                        \
	 .argument = value,                                                                        \
	 .fallback = preset,                                                                       \
	 .help = sentence,                                                                         \
	 .offset = offsetof(struct options, field),                                                \
	 .low = minimum,                                                                           \
	 .high = maximum,                                                                          \
	 .commands = command_set,                                                                  \
	 .kind = OPTION_##value_kind,                                                              \
	 .short_name = short_letter},
#include "sensor/options.def"
};

const struct command_spec command_specs[COMMAND_SPECS] = {
    {"replay", COMMAND_REPLAY, "replay [OPTION...] FILE|DIR|-...",
     "Read stored captures and tell what happened to every SMTP session in them."},
    {"watch", COMMAND_WATCH, "watch -i IFACE [OPTION...]",
     "Watch network interfaces until SIGINT or SIGTERM."},
    {"tail", COMMAND_TAIL, "tail [--redis URL] [OPTION...]",
     "Follow the alerts in Redis, one line each."},
    {"rules", COMMAND_RULES, "rules [--json]",
     "Print the rule catalogue: ids, severities, meanings, references."},
    {"baseline", COMMAND_BASELINE, "baseline [OPTION...] FILE",
     "List, pin or forget what sensors have learnt of servers and clients."},
};

const struct command_spec *command_find(const char *name)
{
	for (size_t i = 0; i < COMMAND_SPECS; i++)
		if (strcmp(command_specs[i].name, name) == 0)
			return &command_specs[i];
	return NULL;
}

const struct option_spec *option_find(unsigned commands, const char *name, size_t len)
{
	for (size_t i = 0; i < OPTION_SPECS; i++)
		if ((option_specs[i].commands & commands) != 0 &&
		    strlen(option_specs[i].name) == len &&
		    memcmp(option_specs[i].name, name, len) == 0)
			return &option_specs[i];
	return NULL;
}

unsigned option_owners(const char *name, size_t len)
{
	unsigned commands = 0;

	for (size_t i = 0; i < OPTION_SPECS; i++)
		if (strlen(option_specs[i].name) == len &&
		    memcmp(option_specs[i].name, name, len) == 0)
			commands |= option_specs[i].commands;
	return commands;
}

unsigned option_owners_short(char letter)
{
	unsigned commands = 0;

	for (size_t i = 0; i < OPTION_SPECS; i++)
		if (option_specs[i].short_name == letter)
			commands |= option_specs[i].commands;
	return commands;
}

const struct option_spec *option_find_short(unsigned commands, char letter)
{
	for (size_t i = 0; i < OPTION_SPECS; i++)
		if ((option_specs[i].commands & commands) != 0 &&
		    option_specs[i].short_name == letter)
			return &option_specs[i];
	return NULL;
}
