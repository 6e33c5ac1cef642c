/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/option_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool option_complain(const struct origin *origin, const char *name, const char *format, ...)
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

void *option_field(struct options *options, const struct option_spec *spec)
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
		return option_complain(origin, spec->name, "\"%s\" is not a %s", value,
				       spec->kind == OPTION_SIZE ? "size" : "whole number");
	if (number < spec->low || number > spec->high)
		return option_complain(origin, spec->name, "\"%s\" is not between %llu and %llu",
				       value, (unsigned long long)spec->low,
				       (unsigned long long)spec->high);
	memcpy(field, &number, sizeof(number));
	return true;
}

static bool add_port(struct option_ports *ports, const char *text, const struct option_spec *spec,
		     const struct origin *origin)
{
	uint64_t number;

	if (!parse_number(text, false, &number) || number < spec->low || number > spec->high)
		return option_complain(origin, spec->name, "\"%s\" is not a port", text);
	for (size_t i = 0; i < ports->count; i++)
		if (ports->port[i] == number)
			return true;
	if (ports->count == OPTION_PORTS_MAX)
		return option_complain(origin, spec->name, "more than %d ports", OPTION_PORTS_MAX);
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
			return option_complain(origin, spec->name, "\"%s\" is not a list of ports",
					       value);
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
		return option_complain(origin, spec->name, "is empty");
	char *copy = strdup(value);

	if (!copy)
		return option_complain(origin, spec->name, "out of memory");
	free(*field);
	*field = copy;
	return true;
}

void option_list_clear(struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct option_list){0};
}

bool option_list_add(struct option_list *list, const char *value)
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
		return option_complain(origin, spec->name, "is empty");
	if (spec->kind == OPTION_PAIRS || spec->kind == OPTION_RULE_LEVELS) {
		if (name_len == 0 || *rest == '\0')
			return option_complain(origin, spec->name, "\"%s\" is not %s", value,
					       spec->argument);
	}
	if (spec->kind == OPTION_RULES && !rule_known(value, strlen(value)))
		return option_complain(origin, spec->name,
				       "\"%s\" is no rule; see stripwatch rules", value);
	if (spec->kind == OPTION_RULE_LEVELS) {
		if (!rule_known(value, name_len))
			return option_complain(origin, spec->name, "\"%.*s\" is no rule",
					       (int)name_len, value);
		if (!severity_by_word(span_of(rest, strlen(rest)), &severity))
			return option_complain(
			    origin, spec->name,
			    "\"%s\" is no severity: low, medium, high or critical", rest);
	}
	if (spec->kind != OPTION_PAIRS)
		return true;
	for (size_t i = 0; i < list->count; i++) {
		size_t other_len;

		option_pair_value(list->items[i], &other_len);
		if (other_len == name_len && memcmp(list->items[i], value, name_len) == 0)
			return option_complain(origin, spec->name, "\"%.*s\" is given twice",
					       (int)name_len, value);
	}
	return true;
}

bool option_set(struct options *options, const struct option_spec *spec, const char *value,
		const struct origin *origin)
{
	void *field = option_field(options, spec);

	switch (spec->kind) {
	case OPTION_FLAG: {
		bool on = strcmp(value, "true") == 0;

		if (!on && strcmp(value, "false") != 0)
			return option_complain(origin, spec->name,
					       "\"%s\" is neither true nor false", value);
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
		       (option_list_add(field, value) ||
			option_complain(origin, spec->name, "out of memory"));
	case OPTION_NUMBER:
	case OPTION_SIZE:
		return set_number(field, spec, value, origin);
	case OPTION_PORTS:
		return add_ports(field, value, spec, origin);
	case OPTION_CHOICE: {
		unsigned position = choice_position(spec->argument, value);

		if (position == 0)
			return option_complain(origin, spec->name, "\"%s\" is none of %s", value,
					       spec->argument);
		memcpy(field, &position, sizeof(position));
		return true;
	}
	case OPTION_HELP:
		break;
	}
	return true;
}

void option_reset_list(struct options *options, const struct option_spec *spec)
{
	switch (spec->kind) {
	case OPTION_LIST:
	case OPTION_PAIRS:
	case OPTION_RULES:
	case OPTION_RULE_LEVELS:
		option_list_clear(option_field(options, spec));
		break;
	case OPTION_PORTS:
		memset(option_field(options, spec), 0, sizeof(struct option_ports));
		break;
	default:
		break;
	}
}
