/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_tls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct files {
	char directory[64], key[96], other_key[96], certificate[96], both[96], rubbish[96];
};

static void begin(struct files *files)
{
	char command[900];
	(void)snprintf(files->directory, sizeof files->directory, "/tmp/redis-tls-XXXXXX");
	cr_assert_not_null(mkdtemp(files->directory));
	(void)snprintf(files->key, sizeof files->key, "%s/key", files->directory);
	(void)snprintf(files->other_key, sizeof files->other_key, "%s/other", files->directory);
	(void)snprintf(files->certificate, sizeof files->certificate, "%s/cert", files->directory);
	(void)snprintf(files->both, sizeof files->both, "%s/both", files->directory);
	(void)snprintf(files->rubbish, sizeof files->rubbish, "%s/rubbish", files->directory);
	(void)snprintf(
	    command, sizeof command,
	    "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
	    " -subj /CN=client -keyout key -out cert 2>/dev/null && openssl genpkey"
	    " -algorithm ed25519 -out other && cat cert key > both && echo x > rubbish",
	    files->directory);
	cr_assert_eq(system(command), 0);
}

static void end(struct files *files)
{
	(void)unlink(files->key);
	(void)unlink(files->other_key);
	(void)unlink(files->certificate);
	(void)unlink(files->both);
	(void)unlink(files->rubbish);
	cr_expect_eq(rmdir(files->directory), 0);
}

Test(redis_tls, what_cannot_be_used_is_refused_with_a_reason)
{
	struct files files;
	begin(&files);
	const struct {
		struct redis_tls_config config;
		const char *expected; /* NULL: taken */
	} cases[] = {
	    {{.ca_file = NULL}, NULL},
	    {{.ca_path = files.directory}, NULL},
	    {{.ca_file = files.certificate, .server_name = "redis.example"}, NULL},
	    {{.certificate = files.certificate, .key = files.key}, NULL},
	    {{.certificate = files.both}, NULL},
	    {{.ca_file = "/does/not/exist"}, "TLS: cannot load the CA: "},
	    {{.ca_file = files.rubbish}, "TLS: cannot load the CA: "},
	    {{.certificate = "/does/not/exist"}, "TLS: cannot use the client certificate: "},
	    {{.certificate = files.rubbish}, "TLS: cannot use the client certificate: "},
	    {{.certificate = files.certificate}, "TLS: cannot use the client certificate: "},
	    {{.certificate = files.certificate, .key = files.rubbish},
	     "TLS: cannot use the client certificate: "},
	    {{.certificate = files.certificate, .key = files.other_key},
	     "TLS: cannot use the client certificate: "},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char error[256] = "";
		struct redis_tls_context *context =
		    redis_tls_context_new(&cases[i].config, error, sizeof error);
		cr_expect_eq(context == NULL, cases[i].expected != NULL, "case %zu: %s", i, error);
		cr_expect_eq(strncmp(error, cases[i].expected == NULL ? "" : cases[i].expected,
				     cases[i].expected == NULL ? 1 : strlen(cases[i].expected)),
			     0, "case %zu: %s", i, error);
		redis_tls_context_free(context);
	}
	end(&files);
}

/* A server that does not speak TLS, or not to us: each ends with words, none waits for ever. */
Test(redis_tls, a_peer_that_does_not_shake_hands_is_told)
{
	static const struct {
		const char *host;
		const char *bytes;
		size_t len;
		enum redis_tls_status status;
	} cases[] = {
	    {"redis.example", "", 0, REDIS_TLS_MORE},
	    {"192.0.2.1", "\x16\x03\x03\x00", 4, REDIS_TLS_MORE},
	    {"2001:db8::1", "-ERR no TLS\r\n", 13, REDIS_TLS_FAILED},
	    {"redis.example", "\x15\x03\x03\x00\x02\x02\x28", 7, REDIS_TLS_FAILED},
	    {"redis.example", "\x15\x03\x03\x00\x02\x01\x00", 7, REDIS_TLS_CLOSED},
	};
	char error[256] = "", words[256] = "";
	const struct redis_tls_config config = {.ca_file = NULL};
	struct redis_tls_context *context = redis_tls_context_new(&config, error, sizeof error);
	cr_assert_not_null(context, "%s", error);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint8_t out[4096];
		size_t got = 1;
		struct redis_tls *tls = redis_tls_new(context, cases[i].host);
		cr_assert_not_null(tls);
		cr_expect_eq(redis_tls_drain(tls, out, sizeof out), 0, "nothing before its turn");
		cr_expect_eq(redis_tls_handshake(tls), REDIS_TLS_MORE);
		cr_expect_gt(redis_tls_drain(tls, out, sizeof out), 100, "a hello");
		cr_expect_eq(out[0], 22);
		cr_expect(redis_tls_feed(tls, span_of(cases[i].bytes, cases[i].len)));
		enum redis_tls_status status = redis_tls_handshake(tls);
		cr_expect_eq(status, cases[i].status, "case %zu: %d", i, (int)status);
		cr_expect_neq(redis_tls_read(tls, out, sizeof out, &got), REDIS_TLS_OK);
		cr_expect_eq(got, 0);
		cr_expect_neq(redis_tls_error(tls, words, sizeof words)[0], '\0');
		redis_tls_free(tls);
	}
	redis_tls_free(NULL);
	redis_tls_context_free(context);
	redis_tls_context_free(NULL);
}
