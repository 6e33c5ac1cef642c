/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static struct policy *read_text(const char *text, char error[POLICY_ERROR_MAX])
{
	char path[] = "/tmp/policy-XXXXXX";
	int descriptor = mkstemp(path);
	cr_assert_geq(descriptor, 0);
	(void)close(descriptor);
	write_text(path, text);
	error[0] = '\0';
	struct policy *policy = policy_open(path, error);
	(void)unlink(path);
	return policy;
}

Test(policy, errors_name_line_and_key)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
	    {"", ":1: policy: must be a mapping"},
	    {"- a\n", ":1: policy: must be a mapping"},
	    {"demand:\n", ":1: demand: is no key of a policy"},
	    {"demands: 5\n", ":1: demands: must be a list"},
	    {"demands:\n  - domains: [a.b]\n", ":2: name: is missing"},
	    {"demands:\n  - name: x\n", ":2: x: names neither servers nor domains"},
	    {"demands:\n  - name: x\n    domains: [a b]\n", ":3: domains: is no domain"},
	    {"demands:\n  - name: x\n    servers:\n      - 1.2.3.4/33\n",
	     ":4: servers: is no address"},
	    {"demands:\n  - name: x\n    servers: [\"1.2.3.4:0\"]\n", ":3: servers: is no address"},
	    {"demands:\n  - name: x\n    domains: [a.b]\n    minimum-version: 2\n",
	     ":4: minimum-version: must be"},
	    {"demands:\n  - name: x\n    domains: [a.b]\n    valid-certificate: maybe\n",
	     ":4: valid-certificate: must be true or false"},
	    {"demands:\n  - name: x\n    domain: [a.b]\n", ":3: domain: is no key of a demand"},
	    {"mta-sts: /does/not/exist\n", ":1: mta-sts: /does/not/exist: No such file"},
	    {"demands: [\n", ":2: "},
	    {"demands: []\nmta-sts: x\ndemands: []\n", ":3: demands: stands there twice"},
	    {"demands:\n  - name: x\n    domains: [a.b]\n    domains: [c.d]\n",
	     ":4: domains: stands there twice"},
	    {"demands:\n  - name: \"\"\n    domains: [a.b]\n", ":2: name: must be one text"},
	    {"demands:\n  - name: x\n    domains: [a..b]\n", ":3: domains: is no domain"},
	    {"demands: []\n---\ndemands: []\n", ":3: policy: must be one document"},
	    {"? [a]\n: 1\n", ":1: policy: a key must be a text"},
	    {"demands: x\n", ":1: demands: must be a list"},
	    {"demands: [x]\n", ":1: demands: each must be a mapping"},
	    {"demands:\n  - ? [a]\n    : 1\n", ":2: policy: a key must be a text"},
	    {"demands:\n  - name: [x]\n", ":2: name: must be one text"},
	    {"demands:\n  - name: x\n    domains: a.b\n", ":3: domains: must be a list"},
	    {"demands:\n  - name: x\n    servers:\n      - [a]\n",
	     ":4: servers: is no address, network or host name"},
	    {"demands:\n  - name: x\n    domains:\n      - {}\n", ":4: domains: must be a text"},
	    {"demands:\n  - name: x\n    servers: [\"[1.2.3.4\"]\n", ":3: servers: is no address"},
	    {"demands:\n  - name: x\n    servers: [\"[]:25\"]\n", ":3: servers: is no address"},
	    {"demands:\n  - name: x\n    servers: [\"[::1]:x\"]\n", ":3: servers: is no address"},
	    {"demands:\n  - name: x\n    servers: [\"mx.example:65536\"]\n",
	     ":3: servers: is no address"},
	    {"demands:\n  - name: x\n    domains: [\"*.\"]\n", ":3: domains: is no domain"},
	    {"demands:\n  - name: x\n    domains: [\".a\"]\n", ":3: domains: is no domain"},
	    {"demands:\n  - name: x\n    domains: [\"\"]\n", ":3: domains: is no domain"},
	    {"demands:\n  - name: x\n    minimum-version: [1.2]\n",
	     ":3: minimum-version: must be 1.0"},
	    {"demands:\n  - name: x\n    valid-certificate: [true]\n",
	     ":3: valid-certificate: must be true or false"},
	    {"mta-sts: \"\"\n", ":1: mta-sts: must name a folder"},
	    {"mta-sts: [a]\n", ":1: mta-sts: must name a folder"},
	    {"mta-sts: not-beside-it\n", "not-beside-it: No such file"},
	    {"demands: []\n---\n[\n", "what follows the first document is no YAML"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char error[POLICY_ERROR_MAX];
		struct policy *policy = read_text(cases[i].text, error);
		cr_expect_null(policy, "taken: %s", cases[i].text);
		cr_expect_not_null(strstr(error, cases[i].expected), "%s instead of %s", error,
				   cases[i].expected);
		policy_close(policy);
	}
}

/* A folder's name is beside the policy; what cannot be a path is refused, not cut. */
Test(policy, what_cannot_be_read_is_named)
{
	char error[POLICY_ERROR_MAX] = "", text[4300];
	cr_expect_null(policy_open("/does/not/exist.yaml", error));
	cr_expect_str_eq(error, "/does/not/exist.yaml: No such file or directory");
	cr_expect_null(policy_open("/tmp", error), "a directory");
	cr_expect_not_null(strstr(error, "/tmp:"), "%s", error);
	(void)snprintf(text, sizeof text, "mta-sts: /%04200d\n", 0);
	cr_expect_null(read_text(text, error));
	cr_expect_not_null(strstr(error, ":1: mta-sts: too long"), "%s", error);
}

/* Every form in which a server may be written. */
Test(policy, servers_are_taken_in_every_form)
{
	static const char *const forms[] = {"192.0.2.1",          "192.0.2.1:25",  "192.0.2.0/24",
					    "192.0.2.0/24:587",   "2001:db8::1",   "[2001:db8::1]",
					    "[2001:db8::1]:25",   "2001:db8::/32", "mx.example.org",
					    "MX.Example.org.:25", "*.example.org"};
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		char text[200], error[POLICY_ERROR_MAX];
		(void)snprintf(text, sizeof text, "demands:\n  - name: x\n    servers: [\"%s\"]\n",
			       forms[i]);
		struct policy *policy = read_text(text, error);
		cr_expect_not_null(policy, "%s: %s", forms[i], error);
		policy_close(policy);
	}
}

Test(policy, the_sample_is_valid)
{
	char error[POLICY_ERROR_MAX] = "";
	struct policy *policy = policy_open(STRIPWATCH_SOURCE_DIR "/deploy/policy.yaml", error);
	cr_expect_not_null(policy, "%s", error);
	policy_close(policy);
}

enum deed {
	CLEAR,
	CREDENTIALS,
	TLS12,
	TLS10,
	TLS12_EXPIRED,
	TLS12_SELF_SIGNED,
	TLS12_UNSEEN,     /* no certificate was visible: a gap, a resumption */
	TLS12_UNREADABLE, /* what the server showed is none */
	TLS12_ANONYMOUS,
	TLS12_PRE_SHARED,
	NOTHING
};

/* The reason of the violation, or "" when there is none. */
static const char *judge(const struct policy *policy, enum deed deed, const char *server,
			 uint16_t port, const char *name, const char *domains, bool *demanded)
{
	static struct verdict verdict;
	struct certificate_info certificate = {.self_signed = deed == TLS12_SELF_SIGNED};
	struct observation observation = {.certificate = deed < TLS12_UNSEEN ? &certificate : NULL};
	struct session_facts *facts = &observation.facts;
	struct budget budget;
	budget_init(&budget, 1 << 16);
	cr_assert(ip_addr_parse(server, strlen(server), &facts->server.addr));
	facts->server.port = port;
	cr_assert(session_facts_set_text(facts, &budget, TEXT_SERVER_NAME, span_str(name)));
	cr_assert(
	    session_facts_set_text(facts, &budget, TEXT_RECIPIENT_DOMAINS, span_str(domains)));
	facts->mails = facts->mails_2xx = deed == CLEAR;
	facts->recipients = domains[0] != '\0';
	facts->credentials_in_clear = deed == CREDENTIALS;
	if (deed >= TLS12 && deed < NOTHING) {
		facts->milestones = MILESTONE_TLS_UP;
		facts->tls.version = deed == TLS10 ? 0x0301 : 0x0303;
		facts->tls.server_hello = true;
		facts->tls.suite = deed == TLS12_ANONYMOUS ? 0xc018 : /* ECDH_anon */
				       deed == TLS12_PRE_SHARED ? 0x008c
								: /* PSK_WITH_AES_128 */
				       0xc02f;
		facts->tls.certificate_problems = deed == TLS12_EXPIRED ? CERTIFICATE_EXPIRED : 0;
		facts->tls.certificate_unreadable = deed == TLS12_UNREADABLE;
	}
	struct verdict_context context = {.stripped = false};
	policy_context(policy, NULL, &observation, &context);
	*demanded = context.policy_demands_tls;
	verdict.count = 1;
	verdict.findings[0] = (struct finding){.rule = RULE_PATH_DOWNGRADE};
	policy_findings(policy, NULL, &observation, 0, &verdict);
	session_facts_free_text(facts, &budget);
	if (verdict.count == 1)
		return "";
	cr_expect_eq(verdict.findings[0].rule, RULE_POLICY_VIOLATION, "rule order");
	cr_expect_eq(verdict.findings[0].severity, SEVERITY_CRITICAL);
	return verdict.findings[0].reason;
}

Test(policy, matching)
{
	char error[POLICY_ERROR_MAX];
	struct policy *policy = read_text("demands:\n"
					  "  - name: partners\n"
					  "    domains: [Example.org, \"*.example.com\"]\n"
					  "  - name: ours\n"
					  "    servers: [\"192.0.2.0/24\", \"[2001:db8::1]:587\", "
					  "\"mx.example.net:25\"]\n"
					  "    minimum-version: \"1.2\"\n"
					  "    valid-certificate: True\n",
					  error);
	cr_assert_not_null(policy, "%s", error);
	static const struct {
		enum deed deed;
		const char *server;
		uint16_t port;
		const char *name, *domains, *reason;
		bool demanded;
	} cases[] = {
	    {CLEAR, "203.0.113.1", 25, "mx", "example.org", "plaintext", true},
	    {CLEAR, "203.0.113.1", 25, "mx", "other.test EXAMPLE.ORG", "plaintext", true},
	    {CLEAR, "203.0.113.1", 25, "mx", "a.example.com", "plaintext", true},
	    {CLEAR, "203.0.113.1", 25, "mx", "example.com", "", false},
	    {CLEAR, "203.0.113.1", 25, "mx", "notexample.org", "", false},
	    {CLEAR, "203.0.113.1", 25, "mx", "", "", false},
	    {CLEAR, "192.0.2.77", 25, "mx", "", "plaintext", true},
	    {CREDENTIALS, "192.0.2.77", 587, "mx", "", "plaintext", true},
	    {CLEAR, "192.0.3.77", 25, "mx", "", "", false},
	    {CLEAR, "2001:db8::1", 587, "mx", "", "plaintext", true},
	    {CLEAR, "2001:db8::1", 25, "mx", "", "", false},
	    {CLEAR, "203.0.113.1", 25, "MX.example.net.", "", "plaintext", true},
	    {CLEAR, "203.0.113.1", 587, "mx.example.net", "", "", false},
	    {TLS12, "192.0.2.77", 25, "mx", "", "", true},
	    {TLS10, "192.0.2.77", 25, "mx", "", "version", true},
	    {TLS12_EXPIRED, "192.0.2.77", 25, "mx", "", "certificate", true},
	    {TLS12_SELF_SIGNED, "192.0.2.77", 25, "mx", "", "certificate", true},
	    {TLS12_UNREADABLE, "192.0.2.77", 25, "mx", "", "certificate", true},
	    {TLS12_ANONYMOUS, "192.0.2.77", 25, "mx", "", "certificate", true},
	    {TLS12_UNSEEN, "192.0.2.77", 25, "mx", "", "", true},
	    {TLS12_PRE_SHARED, "192.0.2.77", 25, "mx", "", "", true},
	    {TLS12_ANONYMOUS, "203.0.113.1", 25, "mx", "", "", false},
	    {TLS10, "203.0.113.1", 25, "mx", "", "", false},
	    {NOTHING, "192.0.2.77", 25, "mx", "", "", true},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool demanded = false;
		const char *reason = judge(policy, cases[i].deed, cases[i].server, cases[i].port,
					   cases[i].name, cases[i].domains, &demanded);
		cr_expect_str_eq(reason, cases[i].reason, "case %zu: '%s'", i, reason);
		cr_expect_eq(demanded, cases[i].demanded, "case %zu", i);
	}
	policy_close(policy);
}

Test(policy, mta_sts_as_published)
{
	static const struct {
		const char *text;
		bool valid, enforced;
		const char *complaint;
	} cases[] = {
	    {"version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmx: *.example.net\r\n"
	     "max_age: 604800\r\n",
	     true, true, ""},
	    {"version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 1\n", true, false, ""},
	    {"version: STSv1\nmode: none\nmax_age: 1\n", true, false, ""},
	    {"version: STSv1\nmode: enforce\nmode: none\nmx: a.b\nmax_age: 1\nmax_age: x\n"
	     "new_key: anything\n\n",
	     true, true, ""},
	    {"version: STSv2\nmode: enforce\nmx: mx.example.org\nmax_age: 1\n", false, false,
	     ":1: version: must be STSv1"},
	    {"version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 1\n", false, false,
	     ":2: mode: must"},
	    {"version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1\n", false, false, ":3: mx: is no"},
	    {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 1d\n", false, false, ":4: max_age:"},
	    {"version: STSv1\nmode: enforce\nmax_age: 1\n", false, false, ".txt: mx: is missing"},
	    {"version: STSv1\nmode: enforce\nmx: a.b\n", false, false, "max_age: is missing"},
	    {"", false, false, "version: is missing"},
	    {"<html>not found</html>\n", false, false, ":1: policy: is no"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char folder[] = "/tmp/sts-XXXXXX", file[64], text[96], error[POLICY_ERROR_MAX];
		cr_assert_not_null(mkdtemp(folder));
		(void)snprintf(file, sizeof file, "%s/example.org.txt", folder);
		(void)snprintf(text, sizeof text, "mta-sts: %s\n", folder);
		write_text(file, cases[i].text);
		struct policy *policy = read_text(text, error);
		cr_expect_eq(policy != NULL, cases[i].valid, "case %zu: %s", i, error);
		if (policy == NULL)
			cr_expect_not_null(strstr(error, cases[i].complaint), "%s", error);
		bool demanded = false;
		if (policy != NULL)
			(void)judge(policy, CLEAR, "203.0.113.1", 25, "mx", "example.org",
				    &demanded);
		cr_expect_eq(demanded, cases[i].enforced, "case %zu", i);
		policy_close(policy);
		(void)unlink(file);
		(void)rmdir(folder);
	}
}
