/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of options and commands, and how a value becomes a field: for the
 * files that options_parse() is made of, nobody else.
 */
#ifndef SENSOR_OPTION_TABLE_H
#define SENSOR_OPTION_TABLE_H

#include "sensor/options.h"

struct option_spec {
	const char *name;
	const char *argument; /* NULL for flags */
	const char *fallback;
	const char *help;
	size_t offset; /* of the field in struct options */
	uint64_t low, high;
	unsigned commands;
	enum option_kind kind;
	char short_name;
};

struct command_spec {
	const char *name;
	enum command command;
	const char *usage;
	const char *purpose;
};

/* How many there are: one for each line of the list. */
enum {
	OPTION_SPECS = 0
#define OPTION(...) +1
#include "sensor/options.def"
};

extern const struct option_spec option_specs[OPTION_SPECS]; /* in the order of the help */

#define COMMAND_SPECS 5
extern const struct command_spec command_specs[COMMAND_SPECS];

/* Of one of these commands, a set; NULL when none has such an option. */
const struct option_spec *option_find(unsigned commands, const char *name, size_t len);
const struct option_spec *option_find_short(unsigned commands, char letter);

/* The commands that have such an option, a set. */
unsigned option_owners(const char *name, size_t len);
unsigned option_owners_short(char letter);

/* NULL when there is no such command. */
const struct command_spec *command_find(const char *name);

/* Where a value comes from, for the sentence about what is wrong with it. */
struct origin {
	FILE *errors;
	const char *file; /* NULL: the command line */
	unsigned line;
};

/* One line that says what is wrong with the option of that name (NULL: with none). Always false. */
__attribute__((format(printf, 3, 4))) bool
option_complain(const struct origin *origin, const char *name, const char *format, ...);

void *option_field(struct options *options, const struct option_spec *spec);

/* Adds to lists; everything else is replaced. False when the value is none, and was told. */
bool option_set(struct options *options, const struct option_spec *spec, const char *value,
		const struct origin *origin);

/* Empties a list before a later source fills it anew; anything else stays. */
void option_reset_list(struct options *options, const struct option_spec *spec);

/* False when out of memory. */
bool option_list_add(struct option_list *list, const char *value);
void option_list_clear(struct option_list *list);

/* Who had the last word on an option: the greater one wins where two contradict each other. */
enum option_source {
	OPTION_BY_DEFAULT,
	OPTION_BY_FILE,
	OPTION_BY_WORDS, /* the command line */
};

/*
 * What no option alone can tell; fills in what another one or the host says. sources has one
 * for each option, in the order of the table.
 */
bool options_check(struct options *options, enum option_source sources[OPTION_SPECS], FILE *errors);

#endif
