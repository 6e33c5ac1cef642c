/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/json.h"
#include "sensor/commands.h"
#include "sensor/limits.h"

/* The words of a space-separated list as a JSON array. */
static void put_list(struct json *json, const char *key, const char *list)
{
	json_open_array(json, key);
	while (*list != '\0') {
		size_t len = strcspn(list, " ");

		json_text(json, NULL, span_of(list, len));
		list += len + strspn(list + len, " ");
	}
	json_close_array(json);
}

static void put_techniques(struct json *json, const struct rule_info *info)
{
	json_open_array(json, "techniques");
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++) {
		const struct rule_technique_info *technique = rule_technique_info(bit);

		if ((info->techniques & 1U << bit) == 0)
			continue;
		json_open_object(json, NULL);
		json_word(json, "id", technique->id);
		json_word(json, "name", technique->name);
		json_word(json, "attack_version", technique->version);
		json_close_object(json);
	}
	json_close_array(json);
}

static void put_rule(struct json *json, const struct rule_info *info)
{
	json_open_object(json, NULL);
	json_word(json, "id", info->id);
	json_word(json, "name", info->name);
	json_word(json, "severity", severity_word(info->severity));
	json_text(json, "meaning", span_of(info->meaning, strlen(info->meaning)));
	put_list(json, "references", info->references);
	put_techniques(json, info);
	json_open_array(json, "compliance");
	for (unsigned bit = 0; bit < COMPLIANCE_COUNT; bit++)
		if ((info->compliance & 1U << bit) != 0)
			json_word(json, NULL, rule_compliance_text(bit));
	json_close_array(json);
	json_close_object(json);
}

static bool print_json(FILE *out)
{
	struct budget budget;
	struct buffer buffer;

	budget_init(&budget, LIMIT_CATALOGUE);
	buffer_init(&buffer, &budget, LIMIT_CATALOGUE / 2);
	struct json json = json_into(&buffer, false);

	json_open_array(&json, NULL);
	for (enum rule rule = 0; rule < RULE_COUNT; rule++)
		put_rule(&json, rule_info(rule));
	json_close_array(&json);
	buffer_add_char(&buffer, '\n');
	bool ok = !buffer.failed && fwrite(buffer.bytes, 1, buffer.len, out) == buffer.len;

	buffer_free(&buffer);
	return ok;
}

static void print_rule(FILE *out, const struct rule_info *info)
{
	fprintf(out, "%-22s %-9s %s.\n", info->id, severity_word(info->severity), info->meaning);
	fprintf(out, "%32s ATT&CK", "");
	for (unsigned bit = 0; bit < TECHNIQUE_COUNT; bit++)
		if ((info->techniques & 1U << bit) != 0)
			fprintf(out, " %s", rule_technique_info(bit)->id);
	for (unsigned bit = 0; bit < COMPLIANCE_COUNT; bit++)
		if ((info->compliance & 1U << bit) != 0)
			fprintf(out, "; %s", rule_compliance_text(bit));
	for (const char *at = info->references; *at != '\0';) {
		int len = (int)strcspn(at, " ");

		fprintf(out, "\n%32s %.*s", "", len, at);
		at += len;
		at += strspn(at, " ");
	}
	fputc('\n', out);
}

int cmd_rules(const struct options *options)
{
	bool ok = true;

	if (options->json)
		ok = print_json(stdout);
	else
		for (enum rule rule = 0; rule < RULE_COUNT; rule++)
			print_rule(stdout, rule_info(rule));
	if (fflush(stdout) == 0 && ok)
		return STATUS_DONE;
	fputs("stripwatch: the catalogue could not be written\n", stderr);
	return STATUS_INCOMPLETE;
}
