/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and the configuration file as one value.
 *
 * options_parse() fills a struct options from the defaults, the file that
 * --config names and the command line, in this order: a later one replaces an
 * earlier one, lists as a whole. It is const from then on.
 */
#ifndef SENSOR_OPTIONS_H
#define SENSOR_OPTIONS_H

#include "alerts/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum command {
	COMMAND_NONE,
	COMMAND_REPLAY,
	COMMAND_WATCH,
	COMMAND_TAIL,
	COMMAND_RULES,
	COMMAND_BASELINE,
	COMMAND_HELP, /* print help_about's help, or everyone's for COMMAND_NONE */
	COMMAND_VERSION,
};

/* Exit statuses of the program. */
enum exit_status {
	STATUS_DONE = 0,       /* ran to the end, whatever it found */
	STATUS_INCOMPLETE = 1, /* some input unread or some output undelivered, named on stderr */
	STATUS_WRONG_USE = 2,  /* wrong use or configuration: nothing was processed */
	STATUS_ALERTED = 3,    /* --fail-on */
};

enum option_kind {
	OPTION_FLAG,        /* bool */
	OPTION_TEXT,        /* char *, not empty */
	OPTION_OUTPUT,      /* char *, a file or "-"; at most one may be "-" */
	OPTION_LIST,        /* struct option_list */
	OPTION_PAIRS,       /* struct option_list of "NAME=VALUE", names unique */
	OPTION_RULES,       /* struct option_list of rule ids */
	OPTION_RULE_LEVELS, /* struct option_list of "RULE=LEVEL" */
	OPTION_NUMBER,      /* uint64_t within low and high */
	OPTION_SIZE,        /* uint64_t bytes; suffix K, M, G */
	OPTION_PORTS,       /* struct option_ports */
	OPTION_CHOICE,      /* unsigned: 0 not given, else 1 + position among the words */
	OPTION_CONFIG,      /* char *; not a key of the file itself */
	OPTION_HELP,        /* no field: asks for help */
};

struct option_list {
	char **items; /* owned */
	size_t count;
};

#define OPTION_PORTS_MAX 64

struct option_ports {
	uint16_t port[OPTION_PORTS_MAX];
	size_t count;
};

/* All strings are owned; NULL where not given and without a default. */
struct options {
	enum command command;
	enum command help_about;
	struct option_list inputs; /* replay: files, directories, "-"; baseline: the file */

	struct option_list interfaces;
	struct option_list taps;
	bool separate;
	char *filter;
	struct option_ports ports;
	bool all_ports;
	uint64_t snaplen;
	uint64_t buffer_size;
	bool no_promiscuous;

	struct option_list disabled;
	struct option_list allowed; /* see alerts/allow.h */
	struct option_list severities;
	char *baseline;
	bool baseline_readonly;
	bool baseline_redis;
	char *policy;
	bool dns;
	char *ca_file;
	char *ca_path;
	uint64_t suppression_window; /* seconds */
	uint64_t fallback_window;    /* seconds */

	char *alerts;          /* "-" also for --json of replay and watch */
	const char *syslog;    /* socket, or NULL */
	unsigned alert_format; /* 1 + enum alert_format */
	bool json;
	char *sessions;
	char *report;
	char *evidence;
	char *sensor; /* never NULL for replay and watch */
	bool show_addresses;
	bool show_accounts;
	bool quiet;
	unsigned fail_on; /* 0: never, else 1 + enum severity */

	char *redis;
	char *outbox;
	char *redis_prefix;
	uint64_t redis_maxlen;
	bool redis_publish;
	bool redis_sessions;
	uint64_t redis_wait;
	char *redis_password_file;
	char *redis_ca_file;
	char *redis_cert;
	char *redis_key;
	char *redis_server_name;

	char *tail_group;
	char *tail_consumer;
	char *tail_since;
	unsigned tail_severity; /* 0: all, else 1 + enum severity */
	struct option_list tail_rules;

	bool baseline_clients;
	char *baseline_server;
	char *baseline_name;
	char *baseline_network;
	bool baseline_offered;
	bool baseline_never;
	bool baseline_pinned;
	char *baseline_since;
	char *baseline_stale;
	struct option_list baseline_pin;
	struct option_list baseline_unpin;
	struct option_list baseline_forget;

	char *config;
	uint64_t workers;
	unsigned log_level; /* 1 error, 2 warning, 3 info, 4 debug */
};

/*
 * Fills *options, to be freed with options_free() in every case. Returns
 * false after one sentence on errors that names the option (or file, line and
 * key) and the value: the program then ends with STATUS_WRONG_USE.
 */
bool options_parse(struct options *options, int argc, const char *const *argv, FILE *errors);

void options_free(struct options *options);

/* The help of one command, or of the program for COMMAND_NONE. */
void options_print_help(FILE *out, enum command command);

/* True if some output is standard output, which then carries that alone. */
bool options_use_stdout(const struct options *options);

/*
 * Splits an item "NAME=VALUE" of a PAIRS or RULE_LEVELS list: returns VALUE and
 * the length of NAME. The item is well-formed once options_parse() took it.
 */
const char *option_pair_value(const char *item, size_t *name_len);

/* The rules of --disable: a set of bits 1U << enum rule. */
uint32_t options_disabled_rules(const struct options *options);

/* The severity that --severity gives the rule, the last one counts; false if it gives none. */
bool options_rule_severity(const struct options *options, enum rule rule, enum severity *severity);

#endif
