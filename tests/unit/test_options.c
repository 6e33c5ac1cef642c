/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORDS 12

struct outcome {
	struct options options;
	char *errors;
	bool ok;
};

/* Parses "stripwatch" and the words; the caller frees with finish(). */
static struct outcome parse(const char *const *words)
{
	struct outcome outcome;
	const char *argv[MAX_WORDS + 2] = {"stripwatch"};
	int argc = 1;
	size_t size;
	FILE *errors = open_memstream(&outcome.errors, &size);

	for (; words[argc - 1]; argc++)
		argv[argc] = words[argc - 1];
	outcome.ok = options_parse(&outcome.options, argc, argv, errors);
	fclose(errors);
	return outcome;
}

static void finish(struct outcome *outcome)
{
	options_free(&outcome->options);
	free(outcome->errors);
}

#define WORDS(...) ((const char *const[MAX_WORDS]){__VA_ARGS__})

Test(options, defaults)
{
	struct outcome got = parse(WORDS("replay", "a.pcap", "-"));

	cr_assert(got.ok, "%s", got.errors);
	cr_expect_eq(got.options.command, COMMAND_REPLAY);
	cr_expect_eq(got.options.inputs.count, 2);
	cr_expect_eq(got.options.ports.count, 2);
	cr_expect_eq(got.options.ports.port[0], 25);
	cr_expect_eq(got.options.ports.port[1], 587);
	cr_expect_eq(got.options.log_level, 2);
	cr_expect_eq(got.options.workers, 1);
	cr_expect_null(got.options.alerts);
	cr_expect_not_null(got.options.sensor);
	cr_expect_eq(got.options.fail_on, 0);
	finish(&got);
}

Test(options, tail_has_a_redis_of_its_own)
{
	struct outcome got = parse(WORDS("tail"));

	cr_assert(got.ok, "%s", got.errors);
	cr_expect_str_eq(got.options.redis, "redis://localhost:6379");
	finish(&got);
	got = parse(WORDS("tail", "--redis", "redis://other"));
	cr_assert(got.ok, "%s", got.errors);
	cr_expect_str_eq(got.options.redis, "redis://other");
	finish(&got);
	got = parse(WORDS("replay", "a"));
	cr_assert(got.ok, "%s", got.errors);
	cr_expect_null(got.options.redis);
	finish(&got);
}

Test(options, every_form_of_a_value)
{
	struct outcome got = parse(WORDS("watch", "-ieth0", "-i", "eth1", "--interface=eth2", "-qi",
					 "eth3", "--buffer-size", "4M"));

	cr_assert(got.ok, "%s", got.errors);
	cr_assert_eq(got.options.interfaces.count, 4);
	cr_expect_str_eq(got.options.interfaces.items[0], "eth0");
	cr_expect_str_eq(got.options.interfaces.items[1], "eth1");
	cr_expect_str_eq(got.options.interfaces.items[2], "eth2");
	cr_expect_str_eq(got.options.interfaces.items[3], "eth3");
	cr_expect(got.options.quiet);
	cr_expect_eq(got.options.buffer_size, 4u << 20);
	finish(&got);
}

Test(options, double_hyphen_ends_options)
{
	struct outcome got = parse(WORDS("replay", "--", "--json", "-q"));

	cr_assert(got.ok, "%s", got.errors);
	cr_expect_eq(got.options.inputs.count, 2);
	cr_expect_not(got.options.json);
	finish(&got);
}

Test(options, json_is_alerts_on_standard_output)
{
	struct outcome got = parse(WORDS("replay", "--json", "--sessions", "s.json", "a"));

	cr_assert(got.ok, "%s", got.errors);
	cr_expect_str_eq(got.options.alerts, "-");
	cr_expect(options_use_stdout(&got.options));
	finish(&got);
}

Test(options, severity_and_disable)
{
	struct outcome got = parse(WORDS("replay", "--severity", "tls-weak=low", "--severity",
					 "tls-weak=critical", "--disable", "plaintext-mail", "a"));
	enum severity severity;

	cr_assert(got.ok, "%s", got.errors);
	cr_expect(options_rule_severity(&got.options, RULE_TLS_WEAK, &severity));
	cr_expect_eq(severity, SEVERITY_CRITICAL);
	cr_expect_not(options_rule_severity(&got.options, RULE_TLS_DOWNGRADE, &severity));
	cr_expect_eq(options_disabled_rules(&got.options), 1U << RULE_PLAINTEXT_MAIL);
	finish(&got);
}

Test(options, help_and_version)
{
	struct outcome got = parse(WORDS("watch", "--quiet", "--help"));

	cr_expect(got.ok);
	cr_expect_eq(got.options.command, COMMAND_HELP);
	cr_expect_eq(got.options.help_about, COMMAND_WATCH);
	finish(&got);
	got = parse(WORDS("--version"));
	cr_expect(got.ok);
	cr_expect_eq(got.options.command, COMMAND_VERSION);
	finish(&got);
}

struct wrong_case {
	const char *const *words;
	const char *complaint; /* part of it */
};

Test(options, wrong_use_is_named)
{
	const struct wrong_case cases[] = {
	    {WORDS(NULL), "no command given"},
	    {WORDS("reply"), "unknown command \"reply\""},
	    {WORDS("--json"), "unknown option \"--json\""},
	    {WORDS("replay"), "no capture given"},
	    {WORDS("watch"), "no interface given"},
	    {WORDS("watch", "-i", "lo", "-i", "e", "-i", "lo"),
	     "--interface: \"lo\" is given twice"},
	    {WORDS("watch", "-i", "lo", "--tap", "a=lo"), "\"lo\" is given as --tap as well"},
	    {WORDS("watch", "-i", "e", "x"), "unexpected argument \"x\""},
	    {WORDS("tail", "x"), "unexpected argument \"x\""},
	    {WORDS("baseline"), "no FILE given"},
	    {WORDS("baseline", "f", "x"), "unexpected argument \"x\""},
	    {WORDS("baseline", "f", "--offered", "--never"), "--never: contradicts --offered"},
	    {WORDS("baseline", "f", "--pin", "a:25", "--json"), "list nothing"},
	    {WORDS("baseline", "f", "--clients", "--offered"), "--clients: goes with"},
	    {WORDS("replay", "-", "-"), "- is given twice"},
	    {WORDS("replay", "--what", "a"), "unknown option --what; see stripwatch replay --help"},
	    {WORDS("tail", "--what=x"), "unknown option --what; see stripwatch tail --help"},
	    {WORDS("replay", "-z", "a"), "unknown option -z; see stripwatch replay --help"},
	    {WORDS("replay", "--sess", "a", "b"), "unknown option --sess; see"},
	    {WORDS("watch", "--report", "f"), "--report is an option of replay, not of watch"},
	    {WORDS("replay", "-i", "e"), "-i is an option of watch, not of replay"},
	    {WORDS("tail", "--config=f"), "--config is an option of replay, watch, not of tail"},
	    {WORDS("rules", "--since", "1d"),
	     "--since is an option of tail, baseline, not of rules"},
	    {WORDS("replay", "a", "--alerts"), "--alerts: needs a value: FILE"},
	    {WORDS("replay", "a", "--alerts="), "--alerts: is empty"},
	    {WORDS("replay", "a", "--json=yes"), "--json: takes no value"},
	    {WORDS("replay", "a", "--json", "--sessions", "-"), "two outputs on standard output"},
	    {WORDS("replay", "a", "--json", "--alerts", "f"), "--json: contradicts --alerts f"},
	    {WORDS("replay", "a", "--ports", "25,"), "--ports: \"25,\" is not a list of ports"},
	    {WORDS("replay", "a", "--ports", "0"), "--ports: \"0\" is not a port"},
	    {WORDS("replay", "a", "--ports", "65536"), "--ports: \"65536\" is not a port"},
	    {WORDS("replay", "a", "--ports", "2x"), "--ports: \"2x\" is not a port"},
	    {WORDS("replay", "a", "--workers", "0"), "--workers: \"0\" is not between 1 and 64"},
	    {WORDS("replay", "a", "--workers", "-1"), "--workers: \"-1\" is not a whole number"},
	    {WORDS("replay", "a", "--workers", "99999999999999999999"), "is not a whole number"},
	    {WORDS("watch", "-i", "e", "--buffer-size", "9T"), "\"9T\" is not a size"},
	    {WORDS("watch", "-i", "e", "--buffer-size", "99999999999G"), "is not a size"},
	    {WORDS("replay", "a", "--fail-on", "bad"), "none of low|medium|high|critical"},
	    {WORDS("replay", "a", "--fail-on", "low|medium"), "none of low|medium|high|critical"},
	    {WORDS("replay", "a", "--severity", "tls-weak"), "\"tls-weak\" is not RULE=LEVEL"},
	    {WORDS("replay", "a", "--severity", "tls-weak=bad"), "\"bad\" is no severity"},
	    {WORDS("replay", "a", "--severity", "TLS=low"), "\"TLS\" is no rule"},
	    {WORDS("replay", "a", "--disable", "no-rule"), "\"no-rule\" is no rule"},
	    {WORDS("replay", "a", "--tap", "=x"), "\"=x\" is not NAME=FILE"},
	    {WORDS("watch", "--tap", "a="), "\"a=\" is not NAME=IFACE"},
	    {WORDS("replay", "--tap", "a=x", "--tap", "a=y"), "\"a\" is given twice"},
	    {WORDS("replay", "--tap", "a=x", "--tap", "b=x"), "\"x\" is given as two taps"},
	    {WORDS("replay", "--tap", "a=-", "-"), "- is given twice"},
	    {WORDS("replay", "a", "--baseline-readonly"), "needs --baseline"},
	    {WORDS("replay", "a", "--baseline-redis"), "--baseline-redis: needs --redis"},
	    {WORDS("replay", "a", "--redis", "redis://x", "--separate", "--baseline-redis"),
	     "--baseline-redis: contradicts --separate"},
	    {WORDS("replay", "a", "--redis", "redis://x", "--redis-cert", "f"), "need each other"},
	    {WORDS("tail", "--redis-key", "f"), "need each other"},
	    {WORDS("replay", "a", "--outbox", "d"), "--outbox: needs --redis"},
	    {WORDS("replay", "a", "--redis-cert", "f"), "--redis-cert: needs --redis"},
	    {WORDS("watch", "-i", "e", "--redis-publish"), "--redis-publish: needs --redis"},
	    {WORDS("replay", "a", "--redis-sessions"), "--redis-sessions: needs --redis"},
	    {WORDS("replay", "a", "--redis-wait", "1"), "--redis-wait: needs --redis"},
	    {WORDS("replay", "a", "--redis-prefix", "p:"), "--redis-prefix: needs --redis"},
	    {WORDS("replay", "a", "--redis-maxlen", "9"), "--redis-maxlen: needs --redis"},
	    {WORDS("replay", "a", "--redis-password-file", "f"),
	     "--redis-password-file: needs --redis"},
	    {WORDS("replay", "a", "--baseline-redis", "--redis-password-file", "f"),
	     "needs --redis"},
	    {WORDS("replay", "a", "--config", "/nonexistent/c.yaml"),
	     "/nonexistent/c.yaml: No such"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome got = parse(cases[i].words);

		cr_expect_not(got.ok, "case %zu", i);
		cr_expect(strstr(got.errors, cases[i].complaint), "case %zu: \"%s\" not in \"%s\"",
			  i, cases[i].complaint, got.errors);
		cr_expect_eq(strchr(got.errors, '\n'), got.errors + strlen(got.errors) - 1,
			     "case %zu: not one line", i);
		finish(&got);
	}
}

/* Writes text to a new file; its path is valid until the next call. */
static const char *config_with(const char *text, char path[32])
{
	strcpy(path, "/tmp/stripwatch-XXXXXX");
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

Test(options, command_line_wins_over_file)
{
	char path[32];

	config_with(
	    "# a comment\nports: [2525, 26]\nsessions: s.json\nseverity:\n  tls-weak: high\n"
	    "interface: eth0\nshow-addresses: true\nlog-level: debug\n",
	    path);
	struct outcome got = parse(WORDS("replay", "--ports", "24", "--config", path, "a"));
	enum severity severity;

	unlink(path);
	cr_assert(got.ok, "%s", got.errors);
	cr_expect_eq(got.options.ports.count, 1);
	cr_expect_eq(got.options.ports.port[0], 24);
	cr_expect_str_eq(got.options.sessions, "s.json");
	cr_expect(got.options.show_addresses);
	cr_expect_eq(got.options.log_level, 4);
	cr_expect(options_rule_severity(&got.options, RULE_TLS_WEAK, &severity));
	cr_expect_eq(severity, SEVERITY_HIGH);
	finish(&got);
}

struct contradiction {
	const char *file;
	const char *const *words; /* of replay, behind --config */
	const char *alerts;       /* what they come to; NULL: no such output */
	const char *sessions;
	bool json;
};

Test(options, command_line_wins_where_the_file_contradicts_it)
{
	const struct contradiction cases[] = {
	    {"json: true\n", WORDS("--alerts", "x"), "x", NULL, false},
	    {"alerts: f\n", WORDS("--json"), "-", NULL, true},
	    {"alerts: f\n", WORDS("--alerts", "-"), "-", NULL, false},
	    {"alerts: \"-\"\n", WORDS("--sessions", "-"), NULL, "-", false},
	    {"json: true\n", WORDS("--sessions", "-"), NULL, "-", false},
	    {"sessions: \"-\"\n", WORDS("--json"), "-", NULL, true},
	    {"json: true\nsessions: s\n", WORDS("--alerts", "x"), "x", "s", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[32];
		const char *words[MAX_WORDS] = {"replay", "a", "--config",
						config_with(cases[i].file, path)};

		for (size_t n = 0; cases[i].words[n]; n++)
			words[4 + n] = cases[i].words[n];
		struct outcome got = parse(words);

		unlink(path);
		cr_assert(got.ok, "case %zu: %s", i, got.errors);
		cr_expect_eq(got.options.json, cases[i].json, "case %zu", i);
		cr_expect_eq(got.options.alerts == NULL, cases[i].alerts == NULL, "case %zu", i);
		cr_expect_eq(got.options.sessions == NULL, cases[i].sessions == NULL, "case %zu",
			     i);
		if (cases[i].alerts)
			cr_expect_str_eq(got.options.alerts, cases[i].alerts, "case %zu", i);
		if (cases[i].sessions)
			cr_expect_str_eq(got.options.sessions, cases[i].sessions, "case %zu", i);
		finish(&got);
	}
}

Test(options, command_line_keeps_worlds_apart_or_shares)
{
	char path[32];

	config_with("baseline-redis: true\nredis: redis://x\n", path);
	struct outcome got = parse(WORDS("replay", "a", "--config", path, "--separate"));
	cr_assert(got.ok, "%s", got.errors);
	cr_expect(got.options.separate);
	cr_expect_not(got.options.baseline_redis);
	finish(&got);
	unlink(path);
	config_with("separate: true\nredis: redis://x\n", path);
	got = parse(WORDS("replay", "a", "--config", path, "--baseline-redis"));
	cr_assert(got.ok, "%s", got.errors);
	cr_expect_not(got.options.separate);
	cr_expect(got.options.baseline_redis);
	finish(&got);
	unlink(path);
}

Test(options, a_file_that_contradicts_itself_is_wrong)
{
	const char *const texts[] = {"json: true\nalerts: f\n", "json: true\nsessions: \"-\"\n",
				     "redis-publish: true\n"};
	const char *const complaints[] = {"--json: contradicts --alerts f", "two outputs",
					  "--redis-publish: needs --redis"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char path[32];
		struct outcome got =
		    parse(WORDS("replay", "--config", config_with(texts[i], path), "a"));

		unlink(path);
		cr_expect_not(got.ok, "case %zu", i);
		cr_expect(strstr(got.errors, complaints[i]), "case %zu: %s", i, got.errors);
		finish(&got);
	}
}

/* As the sample does, uncommented: nothing of Redis is asked for. */
Test(options, a_file_may_spell_out_the_defaults)
{
	char path[32];

	config_with("redis-publish: false\nredis-prefix: \"stripwatch:\"\nredis-wait: 0\n"
		    "redis-maxlen: 1000000\n",
		    path);
	struct outcome got = parse(WORDS("replay", "a", "--config", path));

	cr_expect(got.ok, "%s", got.errors);
	finish(&got);
	unlink(path);
}

Test(options, lists_of_the_command_line_replace_those_of_the_file)
{
	char path[32];

	config_with("disable: [tls-weak, plaintext-mail]\nseverity:\n  tls-weak: high\n", path);
	struct outcome got =
	    parse(WORDS("replay", "a", "--config", path, "--disable", "certificate-invalid",
			"--severity", "plaintext-mail=high"));
	enum severity severity;

	unlink(path);
	cr_assert(got.ok, "%s", got.errors);
	cr_expect_eq(options_disabled_rules(&got.options), 1U << RULE_CERTIFICATE_INVALID);
	cr_expect_not(options_rule_severity(&got.options, RULE_TLS_WEAK, &severity));
	finish(&got);
}

Test(options, file_errors_name_line_and_key)
{
	const struct {
		const char *text;
		const char *complaint;
	} cases[] = {
	    {"ports: 25\nwhat: 1\n", ":2: what: no such option"},
	    {"group: only-of-tail\n", ":1: group: no such option"},
	    {"quiet: maybe\n", ":1: quiet: \"maybe\" is neither true nor false"},
	    {"\nworkers: 1000\n", ":2: workers: \"1000\" is not between 1 and 64"},
	    {"quiet: true\nquiet: true\n", ":2: quiet: given twice"},
	    {"config: x\n", ":1: config: belongs to the command line"},
	    {"ports:\n  - [1]\n", ":2: ports: an item must be a plain value"},
	    {"severity:\n  tls-weak: [1]\n", ":2: severity: must map plain names to plain values"},
	    {"- a\n", ":1: must be a mapping"},
	    {"a: [\n", "not YAML"},
	    {"quiet: true\n---\nquiet: false\n", ":3: a second document"},
	    {"? [a]\n: b\n", ":1: a key must be the name of an option"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[32];
		struct outcome got =
		    parse(WORDS("replay", "--config", config_with(cases[i].text, path), "a"));

		unlink(path);
		cr_expect_not(got.ok, "case %zu", i);
		cr_expect(strstr(got.errors, path), "case %zu: %s", i, got.errors);
		cr_expect(strstr(got.errors, cases[i].complaint), "case %zu: \"%s\" not in \"%s\"",
			  i, cases[i].complaint, got.errors);
		finish(&got);
	}
}

Test(options, empty_files_say_nothing)
{
	const char *const texts[] = {"", "# only a comment\n", "---\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char path[32];
		struct outcome got =
		    parse(WORDS("replay", "--config", config_with(texts[i], path), "a"));

		unlink(path);
		cr_expect(got.ok, "case %zu: %s", i, got.errors);
		finish(&got);
	}
}

Test(options, help_lists_every_option_of_its_command)
{
	const struct {
		enum command command;
		unsigned bit;
	} commands[] = {{COMMAND_REPLAY, 1},
			{COMMAND_WATCH, 2},
			{COMMAND_TAIL, 4},
			{COMMAND_RULES, 8},
			{COMMAND_BASELINE, 16}};
	const unsigned R = 1, W = 2, T = 4, L = 8, B = 16;
	const struct {
		const char *name;
		unsigned commands;
	} options[] = {
#define OPTION(field, name, short_name, argument, commands, ...) {name, commands},
#include "sensor/options.def"
	};

	for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
		char *text;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		options_print_help(out, commands[c].command);
		fclose(out);
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
			char needle[64];
			snprintf(needle, sizeof(needle), " --%s%c", options[i].name, ' ');
			if (options[i].commands & commands[c].bit)
				cr_expect(strstr(text, needle), "--%s", options[i].name);
		}
		free(text);
	}
}
