/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tls_suites.h"

#include <stddef.h>

static const struct tls_suite suites[] = {
#define TLS_SUITE(code, name, key_exchange, weakness)                                              \
	{code, TLS_KEY_EXCHANGE_##key_exchange, TLS_WEAKNESS_##weakness, name},
#include "decoders/tls_suites.def"
};

static const struct tls_suite ssl2_specs[] = {
#define SSL2_SPEC(code, name, key_exchange, weakness)                                              \
	{code, TLS_KEY_EXCHANGE_##key_exchange, TLS_WEAKNESS_##weakness, name},
#include "decoders/tls_suites.def"
};

static const struct tls_suite *find(const struct tls_suite *table, size_t count, uint16_t code)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (table[middle].code < code)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && table[low].code == code ? &table[low] : NULL;
}

const struct tls_suite *tls_suite_find(uint16_t version, uint16_t code)
{
	if (version == 0x0002)
		return find(ssl2_specs, sizeof ssl2_specs / sizeof ssl2_specs[0], code);
	return find(suites, sizeof suites / sizeof suites[0], code);
}

const char *tls_weakness_word(enum tls_weakness weakness)
{
	static const char *const words[TLS_WEAKNESS_COUNT] = {
	    [TLS_WEAKNESS_NONE] = "",         [TLS_WEAKNESS_NULL] = "null",
	    [TLS_WEAKNESS_EXPORT] = "export", [TLS_WEAKNESS_ANONYMOUS] = "anonymous",
	    [TLS_WEAKNESS_RC4] = "rc4",       [TLS_WEAKNESS_RC2] = "rc2",
	    [TLS_WEAKNESS_DES] = "des",       [TLS_WEAKNESS_TRIPLE_DES] = "3des",
	};
	return words[weakness];
}
