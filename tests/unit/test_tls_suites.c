/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tls_suites.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct tls_suite table[] = {
#define TLS_SUITE(code, name, key_exchange, weakness)                                              \
	{code, TLS_KEY_EXCHANGE_##key_exchange, TLS_WEAKNESS_##weakness, name},
#include "decoders/tls_suites.def"
};
static const struct tls_suite specs[] = {
#define SSL2_SPEC(code, name, key_exchange, weakness)                                              \
	{code, TLS_KEY_EXCHANGE_##key_exchange, TLS_WEAKNESS_##weakness, name},
#include "decoders/tls_suites.def"
};

enum { SUITES = sizeof table / sizeof table[0], SPECS = sizeof specs / sizeof specs[0] };

Test(tls_suites, every_entry_is_found_and_the_list_is_sorted)
{
	for (size_t i = 0; i < SUITES; i++) {
		cr_expect(i == 0 || table[i - 1].code < table[i].code, "%s", table[i].name);
		const struct tls_suite *found = tls_suite_find(0x0303, table[i].code);
		cr_assert_not_null(found, "%s", table[i].name);
		cr_expect_str_eq(found->name, table[i].name);
	}
	for (size_t i = 0; i < SPECS; i++) {
		const struct tls_suite *found = tls_suite_find(0x0002, specs[i].code);
		cr_assert_not_null(found, "%s", specs[i].name);
		cr_expect_str_eq(found->name, specs[i].name);
	}
}

Test(tls_suites, what_is_no_suite)
{
	static const uint16_t none[] = {0x0a0a, 0xfafa, 0x00ff, 0x5600, 0xffff, 0x1306};
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		cr_expect_null(tls_suite_find(0x0303, none[i]), "%04x", none[i]);
	cr_expect_null(tls_suite_find(0x0002, 0x002f));
}

/* From the RFCs that define them. */
Test(tls_suites, known_ones)
{
	static const struct {
		uint16_t code;
		const char *name, *weakness;
		bool forward_secret;
	} known[] = {
	    {0x0000, "TLS_NULL_WITH_NULL_NULL", "null", false},
	    {0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", "export", false},
	    {0x0005, "TLS_RSA_WITH_RC4_128_SHA", "rc4", false},
	    {0x0009, "TLS_RSA_WITH_DES_CBC_SHA", "des", false},
	    {0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "3des", false},
	    {0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "export", true},
	    {0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", "", false},
	    {0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", "anonymous", true},
	    {0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "", true},
	    {0x1301, "TLS_AES_128_GCM_SHA256", "", true},
	    {0xc006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA", "null", true},
	    {0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "rc4", true},
	    {0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "anonymous", true},
	    {0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "", true},
	    {0xc0b4, "TLS_SHA256_SHA256", "null", true},
	    {0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "", true},
	};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		const struct tls_suite *suite = tls_suite_find(0x0301, known[i].code);
		cr_assert_not_null(suite, "%s", known[i].name);
		cr_expect_str_eq(suite->name, known[i].name);
		cr_expect_str_eq(tls_weakness_word(suite->weakness), known[i].weakness, "%s",
				 known[i].name);
		cr_expect_eq(suite->key_exchange != TLS_KEY_EXCHANGE_STATIC,
			     known[i].forward_secret, "%s", known[i].name);
	}
}

/* The classes follow from the names: a slip in the list would show here. */
Test(tls_suites, weaknesses_agree_with_names)
{
	for (size_t i = 0; i < SUITES; i++) {
		const char *name = table[i].name;
		enum tls_weakness weakness = table[i].weakness;
		cr_expect_eq(strstr(name, "_WITH_NULL") != NULL || strstr(name, "TLS_SHA") == name,
			     weakness == TLS_WEAKNESS_NULL, "%s", name);
		if (weakness == TLS_WEAKNESS_NONE)
			cr_expect(strstr(name, "EXPORT") == NULL &&
				      strstr(name, "_anon_") == NULL &&
				      strstr(name, "RC4") == NULL && strstr(name, "RC2") == NULL &&
				      strstr(name, "DES") == NULL,
				  "%s", name);
	}
}
