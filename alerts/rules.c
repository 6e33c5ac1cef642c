/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/rules.h"

const struct rule_info *rule_info(enum rule rule)
{
	static const struct rule_info rules[RULE_COUNT] = {
#define RULE(symbol_, id_, name_, severity_, meaning_, references_, techniques_, compliance_)      \
	[RULE_##symbol_] = {                                                                       \
	    .id = id_,                                                                             \
	    .name = name_,                                                                         \
	    .meaning = meaning_,                                                                   \
	    .references = references_,                                                             \
	    .severity = SEVERITY_##severity_,                                                      \
	    .techniques = techniques_,                                                             \
	    .compliance = compliance_,                                                             \
	},
#include "alerts/rules.def"
	};
	return &rules[rule];
}

const struct rule_technique_info *rule_technique_info(unsigned bit)
{
	static const struct rule_technique_info techniques[TECHNIQUE_COUNT] = {
#define TECHNIQUE(symbol, id_, name_, version_)                                                    \
	[TECHNIQUE_BIT_##symbol] = {.id = id_, .name = name_, .version = version_},
#include "alerts/rules.def"
	};
	return &techniques[bit];
}

const char *rule_compliance_text(unsigned bit)
{
	static const char *const texts[COMPLIANCE_COUNT] = {
#define COMPLIANCE(symbol, text) [COMPLIANCE_BIT_##symbol] = text,
#include "alerts/rules.def"
	};
	return texts[bit];
}

bool rule_by_id(struct span id, enum rule *rule)
{
	for (unsigned i = 0; i < RULE_COUNT; i++) {
		if (span_equal(id, span_str(rule_info((enum rule)i)->id))) {
			*rule = (enum rule)i;
			return true;
		}
	}
	return false;
}

struct severity_info {
	const char *word, *log_level;
	unsigned number;
};

static const struct severity_info severities[SEVERITY_COUNT] = {
    [SEVERITY_LOW] = {.word = "low", .log_level = "notice", .number = 21},
    [SEVERITY_MEDIUM] = {.word = "medium", .log_level = "warning", .number = 47},
    [SEVERITY_HIGH] = {.word = "high", .log_level = "error", .number = 73},
    [SEVERITY_CRITICAL] = {.word = "critical", .log_level = "critical", .number = 99},
};

const char *severity_word(enum severity severity)
{
	return severities[severity].word;
}

bool severity_by_word(struct span word, enum severity *severity)
{
	for (unsigned i = 0; i < SEVERITY_COUNT; i++) {
		if (span_equal(word, span_str(severities[i].word))) {
			*severity = (enum severity)i;
			return true;
		}
	}
	return false;
}

unsigned severity_number(enum severity severity)
{
	return severities[severity].number;
}

const char *severity_log_level(enum severity severity)
{
	return severities[severity].log_level;
}

const char *confidence_word(enum confidence confidence)
{
	static const char *const words[CONFIDENCE_COUNT] = {"low", "medium", "high", "certain"};
	return words[confidence];
}
