/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/yaml_bool.h"
#include "sensor/config.h"
#include "sensor/option_table.h"

#include <stdlib.h>
#include <string.h>

static bool set_defaults(struct options *options, FILE *errors)
{
	unsigned command = 1U << options->command;
	const struct origin origin = {.errors = errors};

	for (size_t i = 0; i < OPTION_SPECS; i++)
		if ((option_specs[i].commands & command) != 0 && option_specs[i].fallback &&
		    !option_set(options, &option_specs[i], option_specs[i].fallback, &origin))
			return false;
	return true;
}

/* What is so anyway is nobody's word: a file may spell out the defaults. */
static enum option_source source_of_value(const struct option_spec *spec, const char *value,
					  enum option_source source)
{
	const char *anyway = spec->kind == OPTION_FLAG ? "false" : spec->fallback;

	return anyway && strcmp(value, anyway) == 0 ? OPTION_BY_DEFAULT : source;
}

/* A file may write a flag's value in other forms than the command line does. */
static const char *value_of(const struct option_spec *spec, const char *value)
{
	bool flag;
	if (spec->kind != OPTION_FLAG || !yaml_bool(value, &flag))
		return value;
	return flag ? "true" : "false";
}

static bool takes_shape(const struct option_spec *spec, enum config_shape shape)
{
	switch (spec->kind) {
	case OPTION_PAIRS:
	case OPTION_RULE_LEVELS:
		return true;
	case OPTION_LIST:
	case OPTION_RULES:
	case OPTION_PORTS:
		return shape != CONFIG_PAIR;
	default:
		return shape == CONFIG_ALONE;
	}
}

/*
 * One file serves replay and watch: a key that only the other has is passed
 * over, a key that neither has is an error.
 */
static bool load_config(struct options *options, const char *path,
			enum option_source sources[OPTION_SPECS], FILE *errors)
{
	char error[CONFIG_ERROR_MAX];
	struct config_file file;
	bool touched[OPTION_SPECS] = {false};
	bool ok = config_read(&file, path, error);

	if (!ok)
		fprintf(errors, "stripwatch: %s\n", error);
	for (size_t i = 0; ok && i < file.count; i++) {
		const struct config_setting *setting = &file.settings[i];
		const struct origin origin = {
		    .errors = errors, .file = path, .line = setting->line};
		size_t len = strlen(setting->key);
		const struct option_spec *spec =
		    option_find(1U << options->command, setting->key, len);

		if (!spec) {
			if (!option_find(1U << COMMAND_REPLAY | 1U << COMMAND_WATCH, setting->key,
					 len))
				ok = option_complain(&origin, setting->key, "no such option");
			continue;
		}
		if (spec->kind == OPTION_HELP || spec->kind == OPTION_CONFIG) {
			ok = option_complain(&origin, setting->key, "belongs to the command line");
			continue;
		}
		if (!takes_shape(spec, setting->shape)) {
			ok = option_complain(&origin, setting->key,
					     setting->shape == CONFIG_PAIR
						 ? "does not map names to values"
						 : "takes one value, not a list");
			continue;
		}
		const char *value = value_of(spec, setting->value);
		if (!touched[spec - option_specs])
			option_reset_list(options, spec);
		touched[spec - option_specs] = true;
		ok = option_set(options, spec, value, &origin);
		sources[spec - option_specs] = source_of_value(spec, value, OPTION_BY_FILE);
	}
	config_free(&file);
	return ok;
}

/* One word group of the command line, taken apart. */
struct argument {
	const struct option_spec *spec; /* NULL: an input */
	const char *value;
};

struct word_cursor {
	int argc;
	const char *const *argv;
	int next;
	size_t letter; /* within a group of short options, or 0 */
	bool inputs_only;
};

static bool take_value(struct word_cursor *cursor, struct argument *argument, const char *attached,
		       const struct origin *origin)
{
	const struct option_spec *spec = argument->spec;

	if (spec->kind == OPTION_FLAG || spec->kind == OPTION_HELP) {
		argument->value = "true";
		return !attached || option_complain(origin, spec->name, "takes no value");
	}
	if (attached) {
		argument->value = attached;
		return true;
	}
	if (cursor->next >= cursor->argc)
		return option_complain(origin, spec->name, "needs a value: %s", spec->argument);
	argument->value = cursor->argv[cursor->next++];
	return true;
}

/* "replay, watch" for a set of commands. */
static const char *list_commands(unsigned commands, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < COMMAND_SPECS; i++)
		if ((commands & 1U << command_specs[i].command) != 0 && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s",
						 used > 0 ? ", " : "", command_specs[i].name);
	return text;
}

/* Options are easily given to the neighbour of the command that has them. */
static bool complain_unknown(const struct origin *origin, unsigned command, unsigned owners,
			     const char *hyphens, const char *name, size_t len)
{
	char own[64];
	char others[64];

	list_commands(command, own, sizeof(own));
	if (owners == 0)
		return option_complain(origin, NULL,
				       "unknown option %s%.*s; see stripwatch %s --help", hyphens,
				       (int)len, name, own);
	return option_complain(origin, NULL, "%s%.*s is an option of %s, not of %s", hyphens,
			       (int)len, name, list_commands(owners, others, sizeof(others)), own);
}

static bool take_long(struct word_cursor *cursor, unsigned command, const char *word,
		      struct argument *argument, const struct origin *origin)
{
	size_t len = strcspn(word, "=");

	argument->spec = option_find(command, word, len);
	if (!argument->spec)
		return complain_unknown(origin, command, option_owners(word, len), "--", word, len);
	return take_value(cursor, argument, word[len] == '=' ? word + len + 1 : NULL, origin);
}

static bool take_short(struct word_cursor *cursor, unsigned command, const char *word,
		       struct argument *argument, const struct origin *origin)
{
	char letter = word[cursor->letter];
	const char *rest = word + cursor->letter + 1;

	argument->spec = option_find_short(command, letter);
	if (!argument->spec)
		return complain_unknown(origin, command, option_owners_short(letter), "-", &letter,
					1);
	bool flag = argument->spec->kind == OPTION_FLAG || argument->spec->kind == OPTION_HELP;

	if (flag && *rest != '\0') {
		cursor->letter++;
		argument->value = "true";
		return true;
	}
	cursor->letter = 0;
	cursor->next++;
	return take_value(cursor, argument, *rest == '\0' ? NULL : rest, origin);
}

static bool take_argument(struct word_cursor *cursor, unsigned command, struct argument *argument,
			  const struct origin *origin)
{
	const char *word = cursor->argv[cursor->next];

	*argument = (struct argument){.value = word};
	if (cursor->inputs_only || word[0] != '-' || word[1] == '\0') {
		cursor->next++;
		return true;
	}
	if (word[1] == '-') {
		cursor->next++;
		return take_long(cursor, command, word + 2, argument, origin);
	}
	if (cursor->letter == 0)
		cursor->letter = 1;
	return take_short(cursor, command, word, argument, origin);
}

/* With sources NULL nothing is set but what decides how to go on: config and help. */
static bool walk_arguments(struct options *options, int argc, const char *const *argv,
			   enum option_source *sources, FILE *errors)
{
	const struct origin origin = {.errors = errors};
	unsigned command = 1U << options->command;
	struct word_cursor cursor = {.argc = argc, .argv = argv, .next = 2};
	bool touched[OPTION_SPECS] = {false};

	while (cursor.next < argc) {
		struct argument argument;

		if (!cursor.inputs_only && strcmp(argv[cursor.next], "--") == 0) {
			cursor.inputs_only = true;
			cursor.next++;
			continue;
		}
		if (!take_argument(&cursor, command, &argument, &origin))
			return false;
		if (!argument.spec) {
			if (sources && !option_list_add(&options->inputs, argument.value))
				return option_complain(&origin, NULL, "out of memory");
			continue;
		}
		if (argument.spec->kind == OPTION_HELP) {
			options->help_about = options->command;
			options->command = COMMAND_HELP;
			return true;
		}
		if ((argument.spec->kind == OPTION_CONFIG) == (sources != NULL))
			continue;
		if (!touched[argument.spec - option_specs])
			option_reset_list(options, argument.spec);
		touched[argument.spec - option_specs] = true;
		if (!option_set(options, argument.spec, argument.value, &origin))
			return false;
		if (sources)
			sources[argument.spec - option_specs] =
			    source_of_value(argument.spec, argument.value, OPTION_BY_WORDS);
	}
	return true;
}

/* The words in front of a command: --help and --version. */
static bool choose_command(struct options *options, int argc, const char *const *argv,
			   const struct origin *origin)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word)
		return option_complain(origin, NULL, "no command given; see stripwatch --help");
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		options->command = COMMAND_VERSION;
		return true;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		const struct command_spec *about = argc > 2 ? command_find(argv[2]) : NULL;

		options->command = COMMAND_HELP;
		options->help_about = about ? about->command : COMMAND_NONE;
		return true;
	}
	const struct command_spec *spec = command_find(word);

	if (!spec)
		return option_complain(origin, NULL, "unknown %s \"%s\"; see stripwatch --help",
				       word[0] == '-' ? "option" : "command", word);
	options->command = spec->command;
	return true;
}

bool options_parse(struct options *options, int argc, const char *const *argv, FILE *errors)
{
	const struct origin origin = {.errors = errors};
	enum option_source sources[OPTION_SPECS] = {OPTION_BY_DEFAULT};

	*options = (struct options){0};
	if (!choose_command(options, argc, argv, &origin))
		return false;
	if (options->command == COMMAND_HELP || options->command == COMMAND_VERSION)
		return true;
	if (!walk_arguments(options, argc, argv, NULL, errors))
		return false;
	if (options->command == COMMAND_HELP)
		return true;
	return set_defaults(options, errors) &&
	       (!options->config || load_config(options, options->config, sources, errors)) &&
	       walk_arguments(options, argc, argv, sources, errors) &&
	       options_check(options, sources, errors);
}

void options_free(struct options *options)
{
	for (size_t i = 0; i < OPTION_SPECS; i++) {
		char **text = option_field(options, &option_specs[i]);

		switch (option_specs[i].kind) {
		case OPTION_TEXT:
		case OPTION_OUTPUT:
		case OPTION_CONFIG:
			free(*text);
			*text = NULL;
			break;
		default:
			option_reset_list(options, &option_specs[i]);
		}
	}
	option_list_clear(&options->inputs);
}

uint32_t options_disabled_rules(const struct options *options)
{
	uint32_t set = 0;

	for (size_t i = 0; i < options->disabled.count; i++) {
		const char *id = options->disabled.items[i];
		enum rule rule;

		if (rule_by_id(span_of(id, strlen(id)), &rule))
			set |= UINT32_C(1) << rule;
	}
	return set;
}

bool options_rule_severity(const struct options *options, enum rule rule, enum severity *severity)
{
	const char *id = rule_info(rule)->id;

	for (size_t i = options->severities.count; i-- > 0;) {
		const char *item = options->severities.items[i];
		size_t len;
		const char *level = option_pair_value(item, &len);

		if (strlen(id) == len && memcmp(item, id, len) == 0)
			return severity_by_word(span_of(level, strlen(level)), severity);
	}
	return false;
}
