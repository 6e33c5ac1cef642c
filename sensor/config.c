/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/config.h"

#include "sensor/limits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

struct reader {
	yaml_document_t document;
	const char *path;
	struct config_file *file;
	char *error;
};

__attribute__((format(printf, 3, 4))) static bool fail(const struct reader *reader, size_t line,
						       const char *format, ...)
{
	char reason[CONFIG_ERROR_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	if (line > 0)
		snprintf(reader->error, CONFIG_ERROR_MAX, "%.200s:%zu: %.250s", reader->path, line,
			 reason);
	else
		snprintf(reader->error, CONFIG_ERROR_MAX, "%.200s: %.250s", reader->path, reason);
	return false;
}

static size_t node_line(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

/* The text of a scalar without a NUL inside, or NULL. */
static const char *scalar_text(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	const char *text = (const char *)node->data.scalar.value;

	return strlen(text) == node->data.scalar.length ? text : NULL;
}

static bool add_setting(const struct reader *reader, const char *key, const char *name,
			const char *value, enum config_shape shape, size_t line)
{
	struct config_file *file = reader->file;

	if (file->count == LIMIT_CONFIG_SETTINGS)
		return fail(reader, line, "%s: more than %d settings", key, LIMIT_CONFIG_SETTINGS);
	struct config_setting *grown =
	    realloc(file->settings, (file->count + 1) * sizeof(*file->settings));

	if (!grown)
		return fail(reader, line, "%s: out of memory", key);
	file->settings = grown;
	struct config_setting *setting = &grown[file->count];
	size_t size = (name ? strlen(name) + 1 : 0) + strlen(value) + 1;

	setting->key = strdup(key);
	setting->value = malloc(size);
	setting->line = (unsigned)line;
	setting->shape = shape;
	file->count++;
	if (!setting->key || !setting->value)
		return fail(reader, line, "%s: out of memory", key);
	snprintf(setting->value, size, "%s%s%s", name ? name : "", name ? "=" : "", value);
	return true;
}

static bool read_sequence(struct reader *reader, const char *key, const yaml_node_t *node)
{
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		const yaml_node_t *entry = yaml_document_get_node(&reader->document, *item);
		const char *value = scalar_text(entry);

		if (!value)
			return fail(reader, node_line(entry), "%s: an item must be a plain value",
				    key);
		if (!add_setting(reader, key, NULL, value, CONFIG_ITEM, node_line(entry)))
			return false;
	}
	return true;
}

static bool read_pairs(struct reader *reader, const char *key, const yaml_node_t *node)
{
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
		const yaml_node_t *entry = yaml_document_get_node(&reader->document, pair->value);
		const char *name = scalar_text(name_node);
		const char *value = scalar_text(entry);

		if (!name || !value)
			return fail(reader, node_line(name_node),
				    "%s: must map plain names to plain values", key);
		if (!add_setting(reader, key, name, value, CONFIG_PAIR, node_line(entry)))
			return false;
	}
	return true;
}

static bool key_repeats(struct reader *reader, const yaml_node_t *root,
			const yaml_node_pair_t *pair, const char *key)
{
	for (const yaml_node_pair_t *other = root->data.mapping.pairs.start; other < pair;
	     other++) {
		const char *text =
		    scalar_text(yaml_document_get_node(&reader->document, other->key));

		if (text && strcmp(text, key) == 0)
			return true;
	}
	return false;
}

static bool read_root(struct reader *reader)
{
	const yaml_node_t *root = yaml_document_get_root_node(&reader->document);

	if (!root) /* an empty file says nothing, which is allowed */
		return true;
	if (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0)
		return true;
	if (root->type != YAML_MAPPING_NODE)
		return fail(reader, node_line(root), "must be a mapping of options to values");
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key_node = yaml_document_get_node(&reader->document, pair->key);
		const yaml_node_t *node = yaml_document_get_node(&reader->document, pair->value);
		const char *key = scalar_text(key_node);
		bool ok;

		if (!key)
			return fail(reader, node_line(key_node),
				    "a key must be the name of an option");
		if (key_repeats(reader, root, pair, key))
			return fail(reader, node_line(key_node), "%s: given twice", key);
		if (node->type == YAML_SEQUENCE_NODE) {
			ok = read_sequence(reader, key, node);
		} else if (node->type == YAML_MAPPING_NODE) {
			ok = read_pairs(reader, key, node);
		} else {
			const char *value = scalar_text(node);

			ok = value ? add_setting(reader, key, NULL, value, CONFIG_ALONE,
						 node_line(node))
				   : fail(reader, node_line(node), "%s: not a plain value", key);
		}
		if (!ok)
			return false;
	}
	return true;
}

/*
 * libyaml builds the tree of a document with its aliases resolved to the same
 * node, so an alias bomb costs nothing: we go two levels deep at most.
 */
static bool read_stream(struct reader *reader, FILE *stream)
{
	yaml_parser_t parser;
	bool ok;

	if (!yaml_parser_initialize(&parser))
		return fail(reader, 0, "out of memory");
	yaml_parser_set_input_file(&parser, stream);
	if (!yaml_parser_load(&parser, &reader->document)) {
		ok = fail(reader, parser.problem_mark.line + 1, "not YAML: %s",
			  parser.problem ? parser.problem : "unreadable");
		yaml_parser_delete(&parser);
		return ok;
	}
	ok = read_root(reader);
	yaml_document_delete(&reader->document);
	if (ok) {
		yaml_document_t second;

		if (!yaml_parser_load(&parser, &second)) {
			ok = fail(reader, parser.problem_mark.line + 1, "not YAML: %s",
				  parser.problem ? parser.problem : "unreadable");
		} else {
			const yaml_node_t *root = yaml_document_get_root_node(&second);

			if (root)
				ok = fail(reader, node_line(root), "a second document");
			yaml_document_delete(&second);
		}
	}
	yaml_parser_delete(&parser);
	return ok;
}

bool config_read(struct config_file *file, const char *path, char error[CONFIG_ERROR_MAX])
{
	struct reader reader = {.path = path, .file = file, .error = error};
	struct stat status;
	FILE *stream;
	bool ok;

	*file = (struct config_file){0};
	error[0] = '\0';
	stream = fopen(path, "re");
	if (!stream)
		return fail(&reader, 0, "%s", strerror(errno));
	if (fstat(fileno(stream), &status) == 0 && S_ISDIR(status.st_mode))
		ok = fail(&reader, 0, "%s", strerror(EISDIR));
	else
		ok = read_stream(&reader, stream);
	fclose(stream);
	return ok;
}

void config_free(struct config_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		free(file->settings[i].key);
		free(file->settings[i].value);
	}
	free(file->settings);
	*file = (struct config_file){0};
}
