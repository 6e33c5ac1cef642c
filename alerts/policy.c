/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/policy.h"

#include "alerts/sentence.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum pattern_kind { PATTERN_NETWORK, PATTERN_NAME };

/* A server: a network of addresses or a host name, and perhaps a port. */
struct pattern {
	enum pattern_kind kind;
	struct ip_addr network;
	unsigned prefix;
	char *name; /* of PATTERN_NAME and of domains, lower case; "*." in front: anything below */
	uint16_t port; /* 0: any */
};

struct patterns {
	struct pattern *items;
	size_t count;
};

struct demand {
	char *name;
	struct patterns servers, domains, mx; /* mx: of MTA-STS */
	uint16_t min_version;                 /* 0: any */
	bool valid_certificate;
	bool inactive; /* MTA-STS in mode testing or none */
};

struct policy {
	struct demand *demands;
	size_t count;
};

static void free_patterns(struct patterns *patterns)
{
	for (size_t i = 0; i < patterns->count; i++)
		free(patterns->items[i].name);
	free(patterns->items);
}

void policy_close(struct policy *policy)
{
	if (policy == NULL)
		return;
	for (size_t i = 0; i < policy->count; i++) {
		free(policy->demands[i].name);
		free_patterns(&policy->demands[i].servers);
		free_patterns(&policy->demands[i].domains);
		free_patterns(&policy->demands[i].mx);
	}
	free(policy->demands);
	free(policy);
}

/* Room for one more, zeroed. NULL when there are too many, or no memory. */
static struct demand *add_demand(struct policy *policy)
{
	if (policy->count == POLICY_DEMANDS)
		return NULL;
	struct demand *grown =
	    realloc(policy->demands, (policy->count + 1) * sizeof *policy->demands);
	if (grown == NULL)
		return NULL;
	policy->demands = grown;
	grown[policy->count] = (struct demand){.name = NULL};
	return &grown[policy->count++];
}

static struct pattern *add_pattern(struct patterns *patterns)
{
	if (patterns->count == POLICY_PATTERNS)
		return NULL;
	struct pattern *grown =
	    realloc(patterns->items, (patterns->count + 1) * sizeof *patterns->items);
	if (grown == NULL)
		return NULL;
	patterns->items = grown;
	grown[patterns->count] = (struct pattern){.kind = PATTERN_NAME};
	return &grown[patterns->count++];
}

/* ---- patterns ---- */

static char *lower_copy(struct span text)
{
	char *copy = malloc(text.len + 1);
	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		copy[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	copy[text.len] = '\0';
	return copy;
}

/* A host name or domain, "*." in front allowed. */
static bool is_name(struct span text)
{
	if (text.len > 2 && text.ptr[0] == '*' && text.ptr[1] == '.')
		text = span_skip(text, 2);
	if (text.len == 0 || text.len > 253 || text.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t upper = ascii_upper(text.ptr[i]);
		if (!(upper >= 'A' && upper <= 'Z') && !(upper >= '0' && upper <= '9') &&
		    upper != '-' && upper != '.' && upper != '_')
			return false;
	}
	return true;
}

/* Decimal digits up to max. */
static bool read_number(struct span text, unsigned max, unsigned *number)
{
	unsigned value = 0;
	if (text.len == 0 || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.ptr[i] - '0');
	}
	*number = value;
	return value <= max;
}

static size_t find_last(struct span text, char wanted)
{
	for (size_t i = text.len; i > 0; i--)
		if (text.ptr[i - 1] == (uint8_t)wanted)
			return i - 1;
	return text.len;
}

/* "192.0.2.1", "192.0.2.0/24", "[2001:db8::1]:587", "2001:db8::/32", "mx.example.org:25" */
static bool read_server(struct span text, struct pattern *pattern)
{
	unsigned number = 0;
	size_t colon = find_last(text, ':');
	bool bracket = text.len > 0 && text.ptr[0] == '[';
	size_t first_colon = 0;
	while (first_colon < text.len && text.ptr[first_colon] != ':')
		first_colon++;
	bool port = colon < text.len &&
		    (bracket ? colon > 0 && text.ptr[colon - 1] == ']' : first_colon == colon);
	if (port) {
		if (!read_number(span_skip(text, colon + 1), UINT16_MAX, &number) || number == 0)
			return false;
		pattern->port = (uint16_t)number;
		text = span_head(text, colon);
	}
	if (bracket) {
		if (text.len < 2 || text.ptr[text.len - 1] != ']')
			return false;
		text = span_head(span_skip(text, 1), text.len - 2);
	}
	size_t slash = find_last(text, '/');
	if (ip_addr_parse((const char *)text.ptr, slash, &pattern->network)) {
		unsigned width = pattern->network.version == 4 ? 32 : 128;
		pattern->kind = PATTERN_NETWORK;
		pattern->prefix = width;
		if (slash < text.len &&
		    !read_number(span_skip(text, slash + 1), width, &pattern->prefix))
			return false;
		pattern->network = ip_addr_network(&pattern->network, pattern->prefix);
		return true;
	}
	pattern->kind = PATTERN_NAME;
	pattern->name = is_name(text) ? lower_copy(text) : NULL;
	return pattern->name != NULL;
}

static bool name_matches(const char *pattern, struct span name)
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	struct span wanted = span_str(pattern);
	if (wanted.len > 2 && pattern[0] == '*') {
		struct span tail = span_skip(wanted, 1); /* with its dot */
		return name.len > tail.len &&
		       span_equal_nocase(span_skip(name, name.len - tail.len), tail);
	}
	return span_equal_nocase(wanted, name);
}

/* ---- YAML ---- */

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
	(void)snprintf(reader->error, POLICY_ERROR_MAX, "%s:%zu: %s: %s", reader->path, line, key,
		       reason);
	return false;
}

/* NULL when the node is no scalar. */
static const char *scalar(const yaml_node_t *node)
{
	return node == NULL || node->type != YAML_SCALAR_NODE
		   ? NULL
		   : (const char *)node->data.scalar.value;
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
		struct pattern *pattern = add_pattern(patterns);
		if (pattern == NULL)
			return refuse(reader, node, key, "too many");
		if (text == NULL || (servers && !read_server(span_str(text), pattern)))
			return refuse(reader, node, key,
				      servers ? "is no address, network or host name"
					      : "must be a text");
		if (servers)
			continue;
		pattern->name = is_name(span_str(text)) ? lower_copy(span_str(text)) : NULL;
		if (pattern->name == NULL)
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
	bool yes = text != NULL && strcmp(text, "true") == 0;
	if (!yes && (text == NULL || strcmp(text, "false") != 0))
		return refuse(reader, node, key, "must be true or false");
	*value = yes;
	return true;
}

static bool read_key(struct reader *reader, const char *key, const yaml_node_t *key_node,
		     const yaml_node_t *node, struct demand *demand)
{
	if (strcmp(key, "name") == 0) {
		const char *text = scalar(node);
		if (text == NULL || demand->name != NULL)
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
	struct demand *demand = add_demand(reader->policy);
	if (demand == NULL)
		return refuse(reader, node, "demands", "too many");
	if (node->type != YAML_MAPPING_NODE)
		return refuse(reader, node, "demands", "each must be a mapping");
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

/* ---- MTA-STS (RFC 8461) ---- */

/* Takes a line off the text, without its CRLF or LF. */
static struct span next_line(struct span *text)
{
	size_t end = 0;
	while (end < text->len && text->ptr[end] != '\n')
		end++;
	struct span line = span_head(*text, end);
	*text = span_skip(*text, end + 1);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static struct span trim(struct span text)
{
	while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
		text = span_skip(text, 1);
	while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* Fills *demand. False when the text is no policy: version, mode, max_age and mx are required. */
static bool read_sts(struct span text, struct demand *demand, bool *enforce)
{
	bool version = false, mode = false, max_age = false, none = false;
	while (text.len > 0) {
		struct span line = next_line(&text);
		size_t colon = 0;
		while (colon < line.len && line.ptr[colon] != ':')
			colon++;
		struct span key = trim(span_head(line, colon));
		struct span value = trim(span_skip(line, colon + 1));
		if (span_equal(key, span_str("version"))) {
			version = span_equal(value, span_str("STSv1"));
		} else if (span_equal(key, span_str("mode"))) {
			*enforce = span_equal(value, span_str("enforce"));
			none = span_equal(value, span_str("none"));
			mode = *enforce || none || span_equal(value, span_str("testing"));
		} else if (span_equal(key, span_str("max_age"))) {
			max_age = value.len > 0;
		} else if (span_equal(key, span_str("mx"))) {
			struct pattern *pattern = add_pattern(&demand->mx);
			if (pattern == NULL || !is_name(value))
				return false;
			pattern->name = lower_copy(value);
			if (pattern->name == NULL)
				return false;
		}
	}
	return version && mode && max_age && (none || demand->mx.count > 0);
}

/* The domain of a file's name, or an empty span. */
static struct span sts_domain(const char *file)
{
	struct span name = span_str(file);
	if (name.len > 4 && span_equal(span_skip(name, name.len - 4), span_str(".txt")))
		name.len -= 4;
	return is_name(name) && name.ptr[0] != '*' ? name : span_of(NULL, 0);
}

static bool read_sts_file(struct policy *policy, const char *folder, const char *file,
			  char error[POLICY_ERROR_MAX])
{
	char path[4096];
	uint8_t bytes[POLICY_FILE_MAX];
	struct span domain = sts_domain(file);
	int length = snprintf(path, sizeof path, "%s/%s", folder, file);
	FILE *stream = length > 0 && (size_t)length < sizeof path ? fopen(path, "rb") : NULL;
	if (stream == NULL) {
		(void)snprintf(error, POLICY_ERROR_MAX, "%s/%s: %s", folder, file, strerror(errno));
		return false;
	}
	size_t size = fread(bytes, 1, sizeof bytes, stream);
	bool whole = ferror(stream) == 0 && size < sizeof bytes;
	(void)fclose(stream);
	struct demand *demand = add_demand(policy);
	struct pattern *pattern = demand == NULL ? NULL : add_pattern(&demand->domains);
	bool enforce = false;
	if (pattern == NULL || !whole || !read_sts(span_of(bytes, size), demand, &enforce)) {
		(void)snprintf(error, POLICY_ERROR_MAX,
			       "%s/%s: is no MTA-STS policy (RFC 8461 3.2)", folder, file);
		return false;
	}
	pattern->name = lower_copy(domain);
	demand->name = strdup("MTA-STS");
	demand->min_version = 0x0303; /* RFC 8461 4 with RFC 8996 */
	demand->valid_certificate = true;
	demand->inactive = !enforce;
	if (pattern->name == NULL || demand->name == NULL) {
		(void)snprintf(error, POLICY_ERROR_MAX, "%s/%s: out of memory", folder, file);
		return false;
	}
	return true;
}

static bool read_sts_folder(struct reader *reader, const yaml_node_t *node)
{
	const char *folder = scalar(node);
	DIR *directory = folder == NULL ? NULL : opendir(folder);
	if (directory == NULL)
		return refuse(reader, node, "mta-sts",
			      folder == NULL ? "must name a folder" : strerror(errno));
	bool good = true;
	const struct dirent *entry;
	while (good && (entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.' && sts_domain(entry->d_name).len > 0)
			good = read_sts_file(reader->policy, folder, entry->d_name, reader->error);
	(void)closedir(directory);
	return good;
}

static bool read_root(struct reader *reader)
{
	const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
	if (root == NULL || root->type != YAML_MAPPING_NODE)
		return refuse(reader, root, "policy", "must be a mapping");
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
	yaml_parser_delete(&parser);
	if (!good)
		return false;
	good = read_root(reader);
	yaml_document_delete(&reader->document);
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

/* ---- judging ---- */

static bool server_matches(const struct pattern *pattern, const struct session_facts *facts)
{
	if (pattern->port != 0 && pattern->port != facts->server.port)
		return false;
	if (pattern->kind == PATTERN_NETWORK) {
		struct ip_addr network = ip_addr_network(&facts->server.addr, pattern->prefix);
		return ip_addr_equal(&network, &pattern->network);
	}
	return name_matches(pattern->name, session_facts_text(facts, TEXT_SERVER_NAME)) ||
	       name_matches(pattern->name, session_facts_text(facts, TEXT_EHLO_NAME)) ||
	       name_matches(pattern->name, session_facts_text(facts, TEXT_SNI));
}

static bool on_server(const struct demand *demand, const struct session_facts *facts)
{
	for (size_t i = 0; i < demand->servers.count; i++)
		if (server_matches(&demand->servers.items[i], facts))
			return true;
	return false;
}

/* A domain of an accepted recipient in the clear that the demand names; empty: none. */
static struct span on_domain(const struct demand *demand, const struct session_facts *facts)
{
	struct span list = session_facts_text(facts, TEXT_RECIPIENT_DOMAINS);
	while (list.len > 0) {
		size_t end = 0;
		while (end < list.len && list.ptr[end] != ' ')
			end++;
		struct span domain = span_head(list, end);
		for (size_t i = 0; i < demand->domains.count && !demand->inactive; i++)
			if (name_matches(demand->domains.items[i].name, domain))
				return domain;
		list = span_skip(list, end + 1);
	}
	return span_of(NULL, 0);
}

void policy_context(const struct policy *policy, const struct observation *observation,
		    struct verdict_context *context)
{
	for (size_t i = 0; i < policy->count; i++) {
		const struct demand *demand = &policy->demands[i];
		if (!on_server(demand, &observation->facts) &&
		    on_domain(demand, &observation->facts).len == 0)
			continue;
		context->policy_demands_tls = true;
		context->policy_demands_valid |= demand->valid_certificate;
	}
}

struct violation {
	const char *reason, *words;
	struct span domain; /* empty: of the server */
};

static bool violates(const struct demand *demand, const struct observation *observation,
		     struct violation *violation)
{
	const struct session_facts *facts = &observation->facts;
	*violation = (struct violation){.reason = "plaintext"};
	struct span domain = on_domain(demand, facts);
	if (domain.len > 0 && facts->recipients > 0) {
		violation->words = "mail went in the clear";
		violation->domain = domain;
		return true;
	}
	if (!on_server(demand, facts))
		return false;
	if (facts->credentials_in_clear || facts->mails > 0) {
		violation->words =
		    facts->mails > 0 ? "mail went in the clear" : "credentials went in the clear";
		return true;
	}
	bool up = (facts->milestones & MILESTONE_TLS_UP) != 0;
	if (up && facts->tls.version != 0 && facts->tls.version < demand->min_version) {
		violation->reason = "version";
		violation->words = "the TLS version is below the minimum";
		return true;
	}
	if (up && demand->valid_certificate && observation->certificate != NULL &&
	    (facts->tls.certificate_problems != 0 || observation->certificate->self_signed)) {
		violation->reason = "certificate";
		violation->words = "the certificate is not valid";
		return true;
	}
	return false;
}

/* A finding of the rule in its place; NULL when there is one already. */
static struct finding *raise(struct verdict *verdict)
{
	unsigned at = 0;
	while (at < verdict->count && verdict->findings[at].rule < RULE_POLICY_VIOLATION)
		at++;
	if (verdict->count == RULE_COUNT ||
	    (at < verdict->count && verdict->findings[at].rule == RULE_POLICY_VIOLATION))
		return NULL;
	memmove(&verdict->findings[at + 1], &verdict->findings[at],
		(verdict->count - at) * sizeof verdict->findings[0]);
	verdict->count++;
	verdict->findings[at] = (struct finding){.rule = RULE_POLICY_VIOLATION};
	return &verdict->findings[at];
}

void policy_findings(const struct policy *policy, const struct observation *observation,
		     uint32_t already, struct verdict *verdict)
{
	struct violation violation;
	if ((already >> RULE_POLICY_VIOLATION & 1) != 0)
		return;
	for (size_t i = 0; i < policy->count; i++) {
		if (!violates(&policy->demands[i], observation, &violation))
			continue;
		struct finding *finding = raise(verdict);
		if (finding == NULL)
			return;
		finding->severity = SEVERITY_CRITICAL;
		finding->confidence = CONFIDENCE_CERTAIN;
		finding->reason = violation.reason;
		sentence_text(finding, "The policy ");
		sentence_wire(finding, span_head(span_str(policy->demands[i].name), 60));
		sentence_text(finding, " demands TLS ");
		sentence_text(finding, violation.domain.len > 0 ? "of mail to " : "of this server");
		sentence_wire(finding, span_head(violation.domain, 80));
		sentence_text(finding, ": ");
		sentence_text(finding, violation.words);
		sentence_text(finding, ".");
		return;
	}
}
