/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/sasl.h"

#include <criterion/criterion.h>

Test(sasl, tells_the_account_and_nothing_else)
{
	static const struct {
		const char *mechanism;
		unsigned step;
		const char *answer;
		const char *account;
	} rows[] = {
	    {"PLAIN", 0, "AHVzZXIAcGFzcw==", "user"},
	    {"plain", 0, "YXV0aHoAdXNlcgBwYXNz", "user"},
	    {"PLAIN", 0, "dXNlcg==", ""},
	    {"PLAIN", 0, "", ""},
	    {"LOGIN", 0, "dXNlcg==", "user"},
	    {"LOGIN", 0, "dXNlcg==\r", "user"},
	    {"LOGIN", 1, "cGFzcw==", ""},
	    {"CRAM-MD5", 0, "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", "tim"},
	    {"CRAM-MD5", 0, "dGlt", ""},
	    {"XOAUTH2", 0, "dXNlcj1hQGIuZXhhbXBsZQFhdXRoPUJlYXJlciB4AQE=", "a@b.example"},
	    {"OAUTHBEARER", 0, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9eAE=", "user@example.com"},
	    {"NTLM", 0, "TlRMTVNTUAABAAAA", ""},
	    {"PLAIN", 0, "!!!", ""},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char account[SASL_ACCOUNT_MAX];
		size_t len = sasl_account(span_str(rows[i].mechanism), rows[i].step,
					  span_str(rows[i].answer), account);
		cr_expect(span_equal(span_of(account, len), span_str(rows[i].account)),
			  "row %zu: '%.*s'", i, (int)len, account);
	}
}

Test(sasl, cuts_a_long_account)
{
	char answer[4096], account[SASL_ACCOUNT_MAX];
	memset(answer, 'Q', sizeof answer);
	cr_expect_eq(sasl_account(span_str("LOGIN"), 0, span_of(answer, sizeof answer), account),
		     SASL_ACCOUNT_MAX);
}
