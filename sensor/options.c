/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/options.h"

#include "sensor/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define R (1u << COMMAND_REPLAY)
#define W (1u << COMMAND_WATCH)
#define T (1u << COMMAND_TAIL)
#define L (1u << COMMAND_RULES)
#define B (1u << COMMAND_BASELINE)

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

static const struct option_spec SPECS[] = {
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

#define SPEC_COUNT (sizeof(SPECS) / sizeof(SPECS[0]))

struct command_spec {
	const char *name;
	enum command command;
	const char *usage;
	const char *purpose;
};

static const struct command_spec COMMANDS[] = {
    {"replay", COMMAND_REPLAY, "replay [OPTION...] FILE|DIR|-...",
     "Read stored captures and tell what happened to every SMTP session in them."},
    {"watch", COMMAND_WATCH, "watch -i IFACE [OPTION...]",
     "Watch network interfaces until SIGINT or SIGTERM."},
    {"tail", COMMAND_TAIL, "tail [OPTION...]", "Follow the alerts in Redis, one line each."},
    {"rules", COMMAND_RULES, "rules [--json]",
     "Print the rule catalogue: ids, severities, meanings, references."},
    {"baseline", COMMAND_BASELINE, "baseline [OPTION...] FILE",
     "List, pin or forget what sensors have learnt of servers and clients."},
};

#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static const struct command_spec *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(COMMANDS[i].name, name) == 0)
			return &COMMANDS[i];
	return NULL;
}

/* Where a value comes from, for the sentence about what is wrong with it. */
struct origin {
	FILE *errors;
	const char *file; /* NULL: the command line */
	unsigned line;
};

__attribute__((format(printf, 3, 4))) static bool
complain(const struct origin *origin, const char *name, const char *format, ...)
{
	va_list arguments;

	fputs("stripwatch: ", origin->errors);
	if (origin->file)
		fprintf(origin->errors, "%s:%u: ", origin->file, origin->line);
	if (name)
		fprintf(origin->errors, "%s%s: ", origin->file ? "" : "--", name);
	va_start(arguments, format);
	vfprintf(origin->errors, format, arguments);
	va_end(arguments);
	fputc('\n', origin->errors);
	return false;
}

static void *field_of(struct options *options, const struct option_spec *spec)
{
	return (char *)options + spec->offset;
}

/* Position of the word among "a|b|c", from 1; 0 if it is none of them. */
static unsigned choice_position(const char *choices, const char *word)
{
	size_t len = strlen(word);
	unsigned position = 1;

	for (const char *at = choices; len > 0; position++) {
		size_t choice_len = strcspn(at, "|");

		if (choice_len == len && memcmp(at, word, len) == 0)
			return position;
		if (at[choice_len] == '\0')
			break;
		at += choice_len + 1;
	}
	return 0;
}

/* Decimal digits, and for sizes one of K, M, G behind them. */
static bool parse_number(const char *text, bool suffix_allowed, uint64_t *number)
{
	static const char SUFFIXES[] = "KMG";
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);

	if (errno != 0)
		return false;
	if (suffix_allowed && *end != '\0') {
		const char *suffix = strchr(SUFFIXES, *end);

		if (!suffix || end[1] != '\0')
			return false;
		unsigned shift = 10 * (unsigned)(suffix - SUFFIXES + 1);

		if (value > UINT64_MAX >> shift)
			return false;
		value <<= shift;
		end++;
	}
	*number = value;
	return *end == '\0';
}

static bool set_number(void *field, const struct option_spec *spec, const char *value,
		       const struct origin *origin)
{
	uint64_t number;

	if (!parse_number(value, spec->kind == OPTION_SIZE, &number))
		return complain(origin, spec->name, "\"%s\" is not a %s", value,
				spec->kind == OPTION_SIZE ? "size" : "whole number");
	if (number < spec->low || number > spec->high)
		return complain(origin, spec->name, "\"%s\" is not between %llu and %llu", value,
				(unsigned long long)spec->low, (unsigned long long)spec->high);
	memcpy(field, &number, sizeof(number));
	return true;
}

static bool add_port(struct option_ports *ports, const char *text, const struct option_spec *spec,
		     const struct origin *origin)
{
	uint64_t number;

	if (!parse_number(text, false, &number) || number < spec->low || number > spec->high)
		return complain(origin, spec->name, "\"%s\" is not a port", text);
	for (size_t i = 0; i < ports->count; i++)
		if (ports->port[i] == number)
			return true;
	if (ports->count == OPTION_PORTS_MAX)
		return complain(origin, spec->name, "more than %d ports", OPTION_PORTS_MAX);
	ports->port[ports->count++] = (uint16_t)number;
	return true;
}

static bool add_ports(struct option_ports *ports, const char *value, const struct option_spec *spec,
		      const struct origin *origin)
{
	const char *at = value;

	for (;;) {
		char text[8];
		size_t len = strcspn(at, ",");

		if (len == 0 || len >= sizeof(text))
			return complain(origin, spec->name, "\"%s\" is not a list of ports", value);
		memcpy(text, at, len);
		text[len] = '\0';
		if (!add_port(ports, text, spec, origin))
			return false;
		if (at[len] == '\0')
			return true;
		at += len + 1;
	}
}

static bool set_text(char **field, const char *value, const struct option_spec *spec,
		     const struct origin *origin)
{
	if (*value == '\0')
		return complain(origin, spec->name, "is empty");
	char *copy = strdup(value);

	if (!copy)
		return complain(origin, spec->name, "out of memory");
	free(*field);
	*field = copy;
	return true;
}

static void list_clear(struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct option_list){0};
}

static bool list_add(struct option_list *list, const char *value)
{
	char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items)
		return false;
	list->items = items;
	items[list->count] = strdup(value);
	if (!items[list->count])
		return false;
	list->count++;
	return true;
}

const char *option_pair_value(const char *item, size_t *name_len)
{
	*name_len = strcspn(item, "=");
	return item[*name_len] == '=' ? item + *name_len + 1 : item + *name_len;
}

static bool rule_known(const char *id, size_t len)
{
	enum rule rule;

	return rule_by_id(span_of(id, len), &rule);
}

static bool check_item(const struct option_list *list, const char *value,
		       const struct option_spec *spec, const struct origin *origin)
{
	size_t name_len;
	const char *rest = option_pair_value(value, &name_len);
	enum severity severity;

	if (*value == '\0')
		return complain(origin, spec->name, "is empty");
	if (spec->kind == OPTION_PAIRS || spec->kind == OPTION_RULE_LEVELS) {
		if (name_len == 0 || *rest == '\0')
			return complain(origin, spec->name, "\"%s\" is not %s", value,
					spec->argument);
	}
	if (spec->kind == OPTION_RULES && !rule_known(value, strlen(value)))
		return complain(origin, spec->name, "\"%s\" is no rule", value);
	if (spec->kind == OPTION_RULE_LEVELS) {
		if (!rule_known(value, name_len))
			return complain(origin, spec->name, "\"%.*s\" is no rule", (int)name_len,
					value);
		if (!severity_by_word(span_of(rest, strlen(rest)), &severity))
			return complain(origin, spec->name, "\"%s\" is no severity", rest);
	}
	if (spec->kind != OPTION_PAIRS)
		return true;
	for (size_t i = 0; i < list->count; i++) {
		size_t other_len;

		option_pair_value(list->items[i], &other_len);
		if (other_len == name_len && memcmp(list->items[i], value, name_len) == 0)
			return complain(origin, spec->name, "\"%.*s\" is given twice",
					(int)name_len, value);
	}
	return true;
}

/* Adds to lists; everything else is replaced. */
static bool set_value(struct options *options, const struct option_spec *spec, const char *value,
		      const struct origin *origin)
{
	void *field = field_of(options, spec);

	switch (spec->kind) {
	case OPTION_FLAG: {
		bool on = strcmp(value, "true") == 0;

		if (!on && strcmp(value, "false") != 0)
			return complain(origin, spec->name, "\"%s\" is neither true nor false",
					value);
		memcpy(field, &on, sizeof(on));
		return true;
	}
	case OPTION_TEXT:
	case OPTION_OUTPUT:
	case OPTION_CONFIG:
		return set_text(field, value, spec, origin);
	case OPTION_LIST:
	case OPTION_PAIRS:
	case OPTION_RULES:
	case OPTION_RULE_LEVELS:
		return check_item(field, value, spec, origin) &&
		       (list_add(field, value) || complain(origin, spec->name, "out of memory"));
	case OPTION_NUMBER:
	case OPTION_SIZE:
		return set_number(field, spec, value, origin);
	case OPTION_PORTS:
		return add_ports(field, value, spec, origin);
	case OPTION_CHOICE: {
		unsigned position = choice_position(spec->argument, value);

		if (position == 0)
			return complain(origin, spec->name, "\"%s\" is none of %s", value,
					spec->argument);
		memcpy(field, &position, sizeof(position));
		return true;
	}
	case OPTION_HELP:
		break;
	}
	return true;
}

/* Empties a list option before a later source fills it anew. */
static void reset_list(struct options *options, const struct option_spec *spec)
{
	switch (spec->kind) {
	case OPTION_LIST:
	case OPTION_PAIRS:
	case OPTION_RULES:
	case OPTION_RULE_LEVELS:
		list_clear(field_of(options, spec));
		break;
	case OPTION_PORTS:
		memset(field_of(options, spec), 0, sizeof(struct option_ports));
		break;
	default:
		break;
	}
}

static const struct option_spec *find_spec(unsigned commands, const char *name, size_t len)
{
	for (size_t i = 0; i < SPEC_COUNT; i++)
		if ((SPECS[i].commands & commands) != 0 && strlen(SPECS[i].name) == len &&
		    memcmp(SPECS[i].name, name, len) == 0)
			return &SPECS[i];
	return NULL;
}

static const struct option_spec *find_short(unsigned commands, char letter)
{
	for (size_t i = 0; i < SPEC_COUNT; i++)
		if ((SPECS[i].commands & commands) != 0 && SPECS[i].short_name == letter)
			return &SPECS[i];
	return NULL;
}

static bool set_defaults(struct options *options, FILE *errors)
{
	unsigned command = 1U << options->command;
	const struct origin origin = {.errors = errors};

	for (size_t i = 0; i < SPEC_COUNT; i++)
		if ((SPECS[i].commands & command) != 0 && SPECS[i].fallback &&
		    !set_value(options, &SPECS[i], SPECS[i].fallback, &origin))
			return false;
	return true;
}

/*
 * One file serves replay and watch: a key that only the other has is passed
 * over, a key that neither has is an error.
 */
static bool load_config(struct options *options, const char *path, FILE *errors)
{
	char error[CONFIG_ERROR_MAX];
	struct config_file file;
	bool touched[SPEC_COUNT] = {false};
	bool ok = config_read(&file, path, error);

	if (!ok)
		fprintf(errors, "stripwatch: %s\n", error);
	for (size_t i = 0; ok && i < file.count; i++) {
		const struct config_setting *setting = &file.settings[i];
		const struct origin origin = {
		    .errors = errors, .file = path, .line = setting->line};
		size_t len = strlen(setting->key);
		const struct option_spec *spec =
		    find_spec(1U << options->command, setting->key, len);

		if (!spec) {
			if (!find_spec(R | W, setting->key, len))
				ok = complain(&origin, setting->key, "no such option");
			continue;
		}
		if (spec->kind == OPTION_HELP || spec->kind == OPTION_CONFIG) {
			ok = complain(&origin, setting->key, "belongs to the command line");
			continue;
		}
		if (!touched[spec - SPECS])
			reset_list(options, spec);
		touched[spec - SPECS] = true;
		ok = set_value(options, spec, setting->value, &origin);
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
		return !attached || complain(origin, spec->name, "takes no value");
	}
	if (attached) {
		argument->value = attached;
		return true;
	}
	if (cursor->next >= cursor->argc)
		return complain(origin, spec->name, "needs a value: %s", spec->argument);
	argument->value = cursor->argv[cursor->next++];
	return true;
}

static bool take_long(struct word_cursor *cursor, unsigned command, const char *word,
		      struct argument *argument, const struct origin *origin)
{
	size_t len = strcspn(word, "=");

	argument->spec = find_spec(command, word, len);
	if (!argument->spec)
		return complain(origin, NULL, "unknown option --%.*s", (int)len, word);
	return take_value(cursor, argument, word[len] == '=' ? word + len + 1 : NULL, origin);
}

static bool take_short(struct word_cursor *cursor, unsigned command, const char *word,
		       struct argument *argument, const struct origin *origin)
{
	char letter = word[cursor->letter];
	const char *rest = word + cursor->letter + 1;

	argument->spec = find_short(command, letter);
	if (!argument->spec)
		return complain(origin, NULL, "unknown option -%c", letter);
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

/* With apply false nothing is set but what decides how to go on: config and help. */
static bool walk_arguments(struct options *options, int argc, const char *const *argv, bool apply,
			   FILE *errors)
{
	const struct origin origin = {.errors = errors};
	unsigned command = 1U << options->command;
	struct word_cursor cursor = {.argc = argc, .argv = argv, .next = 2};
	bool touched[SPEC_COUNT] = {false};

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
			if (apply && !list_add(&options->inputs, argument.value))
				return complain(&origin, NULL, "out of memory");
			continue;
		}
		if (argument.spec->kind == OPTION_HELP) {
			options->help_about = options->command;
			options->command = COMMAND_HELP;
			return true;
		}
		if ((argument.spec->kind == OPTION_CONFIG) == apply)
			continue;
		if (!touched[argument.spec - SPECS])
			reset_list(options, argument.spec);
		touched[argument.spec - SPECS] = true;
		if (!set_value(options, argument.spec, argument.value, &origin))
			return false;
	}
	return true;
}

static bool is_stdout(const char *output)
{
	return output && strcmp(output, "-") == 0;
}

static unsigned stdout_outputs(const struct options *options)
{
	unsigned count = 0;

	for (size_t i = 0; i < SPEC_COUNT; i++) {
		char *output;

		if (SPECS[i].kind != OPTION_OUTPUT)
			continue;
		memcpy(&output, (const char *)options + SPECS[i].offset, sizeof(output));
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
		return complain(origin, "sensor", "the host has no name: give one");
	name[sizeof(name) - 1] = '\0';
	options->sensor = strdup(name);
	return options->sensor || complain(origin, "sensor", "out of memory");
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
		return complain(origin, NULL, "baseline: no FILE given");
	if (options->inputs.count > 1)
		return complain(origin, NULL, "unexpected argument \"%s\"",
				options->inputs.items[1]);
	if (options->baseline_offered && options->baseline_never)
		return complain(origin, "never", "contradicts --offered");
	if (edits > 0 && (filters || options->baseline_clients || options->json))
		return complain(origin, NULL, "--pin, --unpin and --forget list nothing: they go "
					      "without --json, --clients and filters");
	if (options->baseline_clients &&
	    (options->baseline_name || options->baseline_offered || options->baseline_never ||
	     options->baseline_pinned))
		return complain(origin, "clients",
				"goes with --server, --network, --since and --stale only");
	return true;
}

/* What no option alone can tell. */
static bool check_together(struct options *options, FILE *errors)
{
	const struct origin origin = {.errors = errors};
	enum command command = options->command;

	if (command == COMMAND_REPLAY || command == COMMAND_WATCH) {
		if (options->json) {
			if (options->alerts && !is_stdout(options->alerts))
				return complain(&origin, "json", "contradicts --alerts %s",
						options->alerts);
			free(options->alerts);
			options->alerts = strdup("-");
			if (!options->alerts)
				return complain(&origin, "json", "out of memory");
		}
		if (stdout_outputs(options) > 1)
			return complain(&origin, NULL, "two outputs on standard output");
		if (!options->sensor && !set_host_name(options, &origin))
			return false;
		if (options->baseline_readonly && !options->baseline && !options->baseline_redis)
			return complain(&origin, "baseline-readonly",
					"needs --baseline or --baseline-redis");
		if (options->baseline_redis && !options->redis)
			return complain(&origin, "baseline-redis", "needs --redis");
		if (options->baseline_redis && options->separate)
			return complain(&origin, "baseline-redis", "contradicts --separate");
	}
	if ((options->redis_cert != NULL) != (options->redis_key != NULL))
		return complain(&origin, NULL, "--redis-cert and --redis-key need each other");
	if (command == COMMAND_REPLAY && options->inputs.count == 0 && options->taps.count == 0)
		return complain(&origin, NULL, "replay: no capture given (a FILE, a DIR or -)");
	if (command == COMMAND_REPLAY) {
		unsigned stdin_inputs = 0;

		for (size_t i = 0; i < options->inputs.count; i++)
			stdin_inputs += is_stdout(options->inputs.items[i]);
		if (stdin_inputs > 1)
			return complain(&origin, NULL, "replay: - is given twice");
	}
	if (command == COMMAND_WATCH && options->interfaces.count == 0 && options->taps.count == 0)
		return complain(&origin, NULL, "watch: no interface given (-i IFACE)");
	if (command == COMMAND_BASELINE)
		return check_baseline(options, &origin);
	if (command != COMMAND_REPLAY && options->inputs.count > 0)
		return complain(&origin, NULL, "unexpected argument \"%s\"",
				options->inputs.items[0]);
	return true;
}

/* The words in front of a command: --help and --version. */
static bool choose_command(struct options *options, int argc, const char *const *argv,
			   const struct origin *origin)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word)
		return complain(origin, NULL, "no command given; see stripwatch --help");
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		options->command = COMMAND_VERSION;
		return true;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		const struct command_spec *about = argc > 2 ? find_command(argv[2]) : NULL;

		options->command = COMMAND_HELP;
		options->help_about = about ? about->command : COMMAND_NONE;
		return true;
	}
	const struct command_spec *spec = find_command(word);

	if (!spec)
		return complain(origin, NULL, "unknown %s \"%s\"; see stripwatch --help",
				word[0] == '-' ? "option" : "command", word);
	options->command = spec->command;
	return true;
}

bool options_parse(struct options *options, int argc, const char *const *argv, FILE *errors)
{
	const struct origin origin = {.errors = errors};

	*options = (struct options){0};
	if (!choose_command(options, argc, argv, &origin))
		return false;
	if (options->command == COMMAND_HELP || options->command == COMMAND_VERSION)
		return true;
	if (!walk_arguments(options, argc, argv, false, errors))
		return false;
	if (options->command == COMMAND_HELP)
		return true;
	return set_defaults(options, errors) &&
	       (!options->config || load_config(options, options->config, errors)) &&
	       walk_arguments(options, argc, argv, true, errors) && check_together(options, errors);
}

void options_free(struct options *options)
{
	for (size_t i = 0; i < SPEC_COUNT; i++) {
		char **text = field_of(options, &SPECS[i]);

		switch (SPECS[i].kind) {
		case OPTION_TEXT:
		case OPTION_OUTPUT:
		case OPTION_CONFIG:
			free(*text);
			*text = NULL;
			break;
		default:
			reset_list(options, &SPECS[i]);
		}
	}
	list_clear(&options->inputs);
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
	const struct option_spec *spec = SPECS;

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
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (COMMANDS[i].command != command)
			continue;
		fprintf(out, "Usage: stripwatch %s\n\n%s\n", COMMANDS[i].usage,
			COMMANDS[i].purpose);
		print_options(out, 1U << command);
		return;
	}
	fputs("Usage: stripwatch COMMAND [OPTION...]\n\n"
	      "A passive sensor for SMTP STARTTLS downgrades.\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].purpose);
	fputs(
	    "\n  stripwatch COMMAND --help   the options of a command\n"
	    "  stripwatch --version        the version\n\n"
	    "Exit status: 0 ran to the end, whatever it found; 1 some input could not be read or\n"
	    "some output not delivered; 2 wrong use; 3 an alert reached --fail-on.\n",
	    out);
}
