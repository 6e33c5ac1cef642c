/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/sasl.h"

static const struct sasl_mechanism mechanisms[] = {
#define MECHANISM(name, sends) {name, sizeof(name) - 1, SASL_SENDS_##sends},
#include "decoders/sasl_mechanisms.def"
#undef MECHANISM
};

const struct sasl_mechanism *sasl_mechanism_find(struct span name)
{
	for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
		if (span_equal_nocase(name, span_of(mechanisms[i].name, mechanisms[i].len)))
			return &mechanisms[i];
	return NULL;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* RFC 4648 4, to the first character that is none of it. Bytes written, at most size. */
static size_t base64_decode(struct span text, uint8_t *out, size_t size)
{
	uint32_t bits = 0;
	unsigned count = 0;
	size_t len = 0;

	for (size_t i = 0; i < text.len && len < size; i++) {
		int value = base64_value(text.ptr[i]);
		if (value < 0)
			break;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[len++] = (uint8_t)(bits >> count);
		}
	}
	return len;
}

/* memset() on memory that is not read again may be left out by the compiler; this may not. */
static void wipe(volatile uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = 0;
}

static struct span until(struct span s, uint8_t end)
{
	size_t len = 0;
	while (len < s.len && s.ptr[len] != end)
		len++;
	return span_head(s, len);
}

/* As until(), and nothing when the end is not there: what would be shown then is anything. */
static struct span ended(struct span s, uint8_t end)
{
	struct span part = until(s, end);
	return part.len < s.len ? part : span_head(s, 0);
}

static bool is_mechanism(struct span mechanism, const char *name, size_t len)
{
	return span_equal_nocase(mechanism, span_of(name, len));
}

#define IS(literal) is_mechanism(mechanism, (literal), sizeof(literal) - 1)

static struct span find_account(struct span mechanism, unsigned step, struct span clear)
{
	static const struct span none = {.ptr = NULL, .len = 0};

	if (IS("LOGIN"))
		return step == 0 ? clear : none;
	if (IS("PLAIN")) {
		/* authorization identity NUL authentication identity NUL password; with one NUL
		   alone nobody knows what is missing. */
		struct span first = until(clear, 0);
		return first.len < clear.len ? ended(span_skip(clear, first.len + 1), 0) : none;
	}
	if (IS("CRAM-MD5")) {
		/* account SP digest: the account is what stands before the last blank */
		size_t end = clear.len;
		while (end > 0 && clear.ptr[end - 1] != ' ')
			end--;
		return end > 0 ? span_head(clear, end - 1) : none;
	}
	if (IS("XOAUTH2") && clear.len > 5 && memcmp(clear.ptr, "user=", 5) == 0)
		return ended(span_skip(clear, 5), 1);
	if (IS("OAUTHBEARER")) {
		/* n,a=account,^A... */
		for (size_t i = 0; i + 2 < clear.len && clear.ptr[i] != 1; i++)
			if (clear.ptr[i] == ',' && clear.ptr[i + 1] == 'a' &&
			    clear.ptr[i + 2] == '=')
				return ended(span_skip(clear, i + 3), ',');
	}
	return none;
}

bool sasl_asks_account(struct span challenge)
{
	uint8_t clear[16];
	size_t len = base64_decode(challenge, clear, sizeof clear);
	const struct span user = span_of("USER", 4);

	/* Some servers ask in words. */
	return span_equal_nocase(span_head(span_of(clear, len), 4), user) ||
	       span_equal_nocase(span_head(challenge, 4), user);
}

size_t sasl_account(struct span mechanism, unsigned step, struct span answer,
		    char account[SASL_ACCOUNT_MAX])
{
	uint8_t clear[768];
	size_t len = base64_decode(answer, clear, sizeof clear);
	struct span found =
	    span_head(find_account(mechanism, step, span_of(clear, len)), SASL_ACCOUNT_MAX);

	if (found.len > 0)
		memcpy(account, found.ptr, found.len);
	wipe(clear, sizeof clear);
	return found.len;
}
