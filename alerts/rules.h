/* SPDX-License-Identifier: Apache-2.0 */
/* The rule catalogue: what may be raised, how grave it is and what it refers to. */
#ifndef ALERTS_RULES_H
#define ALERTS_RULES_H

#include "decoders/span.h"

enum rule {
#define RULE(symbol, ...) RULE_##symbol,
#include "alerts/rules.def"
	RULE_COUNT
};

/* A set of rules: bit 1U << rule. */
_Static_assert(RULE_COUNT <= 32, "a set of rules is 32 bits");

enum severity { SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITY_CRITICAL, SEVERITY_COUNT };

/* How sure it is that what the rule says is what happened. */
enum confidence {
	CONFIDENCE_LOW,
	CONFIDENCE_MEDIUM,
	CONFIDENCE_HIGH,
	CONFIDENCE_CERTAIN,
	CONFIDENCE_COUNT
};

enum rule_technique_bit {
#define TECHNIQUE(symbol, ...) TECHNIQUE_BIT_##symbol,
#include "alerts/rules.def"
	TECHNIQUE_COUNT
};

enum rule_technique {
#define TECHNIQUE(symbol, ...) TECHNIQUE_##symbol = 1 << TECHNIQUE_BIT_##symbol,
#include "alerts/rules.def"
};

enum rule_compliance_bit {
#define COMPLIANCE(symbol, text) COMPLIANCE_BIT_##symbol,
#include "alerts/rules.def"
	COMPLIANCE_COUNT
};

enum rule_compliance {
#define COMPLIANCE(symbol, text) COMPLIANCE_##symbol = 1 << COMPLIANCE_BIT_##symbol,
#include "alerts/rules.def"
};

/* All texts are NUL-terminated ASCII and live as long as the program. */
struct rule_info {
	const char *id;         /* rule.id */
	const char *name;       /* rule.name */
	const char *meaning;    /* one sentence without its full stop */
	const char *references; /* URLs, space-separated */
	enum severity severity; /* the usual one */
	unsigned techniques;    /* enum rule_technique bits */
	unsigned compliance;    /* enum rule_compliance bits */
};

/* MITRE ATT&CK; version is the release of the matrix in which the id is current. */
struct rule_technique_info {
	const char *id, *name, *version;
};

/* Arguments below RULE_COUNT, TECHNIQUE_COUNT, COMPLIANCE_COUNT. */
const struct rule_info *rule_info(enum rule rule);
const struct rule_technique_info *rule_technique_info(unsigned bit);
const char *rule_compliance_text(unsigned bit);

/* The rule with that id. False when there is none; *rule is then untouched. */
bool rule_by_id(struct span id, enum rule *rule);

/* low, medium, high, critical; and its reverse, false when it is none of them. */
const char *severity_word(enum severity severity);
bool severity_by_word(struct span word, enum severity *severity);

/* event.severity: 21, 47, 73, 99, the middles of Elastic's four ranges of risk. */
unsigned severity_number(enum severity severity);

/* log.level: notice, warning, error, critical. */
const char *severity_log_level(enum severity severity);

/* low, medium, high, certain. */
const char *confidence_word(enum confidence confidence);

#endif
