/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a policy file (YAML). */
#include "alerts/policy_state.h"
#include "alerts/yaml_bool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct reader {
	struct policy *policy;
	const char *path;
	char *error;
	yaml_document_t document;
};

static bool refuse(struct reader *reader, const yaml_node_t *node, const char *key,
		   const char *reason)
{
	size_t line = node == NULL ? 1 : node->start_mark.line + 1;
	(void)snprintf(reader->error, POLICY_ERROR_MAX, "%s:%zu: %s: %.300s", reader->path, line,
		       key, reason);
	return false;
}

/* NULL when the node is no scalar. */
static const char *scalar(const yaml_node_t *node)
{
	return node == NULL || node->type != YAML_SCALAR_NODE
		   ? NULL
		   : (const char *)node->data.scalar.value;
}

/* A key that stands there twice was meant to be another, or once. */
static bool keys_differ(struct reader *reader, const yaml_node_t *mapping)
{
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
		if (scalar(key) == NULL)
			return refuse(reader, key, "policy", "a key must be a text");
		for (const yaml_node_pair_t *before = mapping->data.mapping.pairs.start;
		     before < pair; before++)
			if (strcmp(scalar(yaml_document_get_node(&reader->document, before->key)),
				   scalar(key)) == 0)
				return refuse(reader, key, scalar(key), "stands there twice");
	}
	return true;
}

static bool read_patterns(struct reader *reader, const char *key, const yaml_node_t *list,
			  bool servers, struct patterns *patterns)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return refuse(reader, list, key, "must be a list");
	for (const yaml_node_item_t *item = list->data.sequence.items.start;
	     item < list->data.sequence.items.top; item++) {
		const yaml_node_t *node = yaml_document_get_node(&reader->document, *item);
		const char *text = scalar(node);
		struct pattern *pattern = patterns_add(patterns);
		if (pattern == NULL)
			return refuse(reader, node, key, "too many");
		if (text == NULL || (servers && !pattern_read_server(span_str(text), pattern)))
			return refuse(reader, node, key,
				      servers ? "is no address, network or host name"
					      : "must be a text");
		if (servers)
			continue;
		if (!pattern_read_domain(span_str(text), pattern))
			return refuse(reader, node, key, "is no domain");
	}
	return true;
}

static bool read_version(struct reader *reader, const yaml_node_t *node, uint16_t *version)
{
	static const struct {
		const char *word;
		uint16_t version;
	} words[] = {{"1.0", 0x0301}, {"1.1", 0x0302}, {"1.2", 0x0303}, {"1.3", 0x0304}};
	const char *text = scalar(node);
	for (size_t i = 0; text != NULL && i < sizeof words / sizeof words[0]; i++) {
		if (strcmp(text, words[i].word) == 0) {
			*version = words[i].version;
			return true;
		}
	}
	return refuse(reader, node, "minimum-version", "must be 1.0, 1.1, 1.2 or 1.3");
}

static bool read_bool(struct reader *reader, const yaml_node_t *node, const char *key, bool *value)
{
	const char *text = scalar(node);
	return (text != NULL && yaml_bool(text, value)) ||
	       refuse(reader, node, key, "must be true or false");
}

static bool read_key(struct reader *reader, const char *key, const yaml_node_t *key_node,
		     const yaml_node_t *node, struct demand *demand)
{
	if (strcmp(key, "name") == 0) {
		const char *text = scalar(node);
		if (text == NULL || *text == '\0')
			return refuse(reader, node, key, "must be one text");
		demand->name = strdup(text);
		return demand->name != NULL || refuse(reader, node, key, "out of memory");
	}
	if (strcmp(key, "servers") == 0)
		return read_patterns(reader, key, node, true, &demand->servers);
	if (strcmp(key, "domains") == 0)
		return read_patterns(reader, key, node, false, &demand->domains);
	if (strcmp(key, "minimum-version") == 0)
		return read_version(reader, node, &demand->min_version);
	if (strcmp(key, "valid-certificate") == 0)
		return read_bool(reader, node, key, &demand->valid_certificate);
	return refuse(reader, key_node, key, "is no key of a demand");
}

static bool read_demand(struct reader *reader, const yaml_node_t *node)
{
	struct demand *demand = policy_add_demand(reader->policy);
	if (demand == NULL)
		return refuse(reader, node, "demands", "too many");
	if (node->type != YAML_MAPPING_NODE)
		return refuse(reader, node, "demands", "each must be a mapping");
	if (!keys_differ(reader, node))
		return false;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
		const yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);
		if (scalar(key) == NULL)
			return refuse(reader, key, "demands", "a key must be a text");
		if (!read_key(reader, scalar(key), key, value, demand))
			return false;
	}
	if (demand->name == NULL)
		return refuse(reader, node, "name", "is missing");
	if (demand->servers.count == 0 && demand->domains.count == 0)
		return refuse(reader, node, demand->name, "names neither servers nor domains");
	return true;
}

static bool read_demands(struct reader *reader, const yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return refuse(reader, list, "demands", "must be a list");
	for (const yaml_node_item_t *item = list->data.sequence.items.start;
	     item < list->data.sequence.items.top; item++)
		if (!read_demand(reader, yaml_document_get_node(&reader->document, *item)))
			return false;
	return true;
}

/* A folder beside the policy file, unless its path is absolute. */
static bool read_sts_folder(struct reader *reader, const yaml_node_t *node)
{
	char folder[4096], reason[POLICY_ERROR_MAX];
	const char *text = scalar(node);
	if (text == NULL || *text == '\0')
		return refuse(reader, node, "mta-sts", "must name a folder");
	const char *slash = text[0] == '/' ? NULL : strrchr(reader->path, '/');
	int beside = slash == NULL ? 0 : (int)(slash - reader->path) + 1;
	int length = snprintf(folder, sizeof folder, "%.*s%s", beside, reader->path, text);
	if (length < 0 || (size_t)length >= sizeof folder)
		return refuse(reader, node, "mta-sts", "too long");
	return policy_read_sts_folder(reader->policy, folder, reason) ||
	       refuse(reader, node, "mta-sts", reason);
}

static bool read_root(struct reader *reader)
{
	const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
	if (root == NULL || root->type != YAML_MAPPING_NODE)
		return refuse(reader, root, "policy", "must be a mapping");
	if (!keys_differ(reader, root))
		return false;
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key_node = yaml_document_get_node(&reader->document, pair->key);
		const yaml_node_t *node = yaml_document_get_node(&reader->document, pair->value);
		const char *key = scalar(key_node);
		bool good;
		if (key != NULL && strcmp(key, "demands") == 0)
			good = read_demands(reader, node);
		else if (key != NULL && strcmp(key, "mta-sts") == 0)
			good = read_sts_folder(reader, node);
		else
			good = refuse(reader, key_node, key == NULL ? "policy" : key,
				      "is no key of a policy");
		if (!good)
			return false;
	}
	return true;
}

/* What stands behind a second "---" would be passed over. */
static bool is_last(struct reader *reader, yaml_parser_t *parser)
{
	if (yaml_parser_load(parser, &reader->document) == 0)
		return refuse(reader, NULL, "policy", "what follows the first document is no YAML");
	const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
	bool last = root == NULL || refuse(reader, root, "policy", "must be one document");
	yaml_document_delete(&reader->document);
	return last;
}

static bool read_stream(struct reader *reader, FILE *stream)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser))
		return refuse(reader, NULL, "policy", "out of memory");
	yaml_parser_set_input_file(&parser, stream);
	bool good = yaml_parser_load(&parser, &reader->document) != 0;
	if (!good)
		(void)snprintf(reader->error, POLICY_ERROR_MAX, "%s:%zu: %s", reader->path,
			       parser.problem_mark.line + 1,
			       parser.problem == NULL ? "cannot be read" : parser.problem);
	if (good) {
		good = read_root(reader);
		yaml_document_delete(&reader->document);
		good = good && is_last(reader, &parser);
	}
	yaml_parser_delete(&parser);
	return good;
}

struct policy *policy_open(const char *path, char error[POLICY_ERROR_MAX])
{
	struct reader reader = {.path = path, .error = error};
	FILE *stream = fopen(path, "rb");
	if (stream == NULL) {
		(void)snprintf(error, POLICY_ERROR_MAX, "%s: %s", path, strerror(errno));
		return NULL;
	}
	reader.policy = calloc(1, sizeof *reader.policy);
	bool good = reader.policy != NULL && read_stream(&reader, stream);
	(void)fclose(stream);
	if (good)
		return reader.policy;
	policy_close(reader.policy);
	return NULL;
}
