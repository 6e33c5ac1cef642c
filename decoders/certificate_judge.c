/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/addr.h"
#include "decoders/certificate.h"

enum {
	STRONG_RSA_BITS = 2048, /* NIST SP 800-131A */
	STRONG_EC_BITS = 224,
};

const char *certificate_problem_word(unsigned bit)
{
	static const char *const words[] = {
#define CERTIFICATE_PROBLEM(symbol, word, meaning) [CERTIFICATE_PROBLEM_BIT_##symbol] = word,
#include "decoders/certificate_problems.def"
	};
	return bit < CERTIFICATE_PROBLEM_COUNT ? words[bit] : "";
}

const char *certificate_problem_meaning(unsigned bit)
{
	static const char *const meanings[] = {
#define CERTIFICATE_PROBLEM(symbol, word, meaning) [CERTIFICATE_PROBLEM_BIT_##symbol] = meaning,
#include "decoders/certificate_problems.def"
	};
	return bit < CERTIFICATE_PROBLEM_COUNT ? meanings[bit] : "";
}

static struct span without_final_dot(struct span name)
{
	return name.len > 1 && name.ptr[name.len - 1] == '.' ? span_head(name, name.len - 1) : name;
}

bool certificate_name_matches(struct span pattern, struct span name)
{
	pattern = without_final_dot(pattern);
	name = without_final_dot(name);
	if (pattern.len == 0 || name.len == 0)
		return false;
	if (pattern.len < 3 || pattern.ptr[0] != '*' || pattern.ptr[1] != '.')
		return span_equal_nocase(pattern, name);
	/* "*" is one whole label, not an empty one, and never of an address. */
	struct ip_addr addr;
	size_t label = 0;
	while (label < name.len && name.ptr[label] != '.')
		label++;
	struct span parent = span_skip(pattern, 1);
	/* "*.com" would be every name there is: at least two labels have to stand fast. */
	return label > 0 && memchr(parent.ptr + 1, '.', parent.len - 1) != NULL &&
	       span_equal_nocase(parent, span_skip(name, label)) &&
	       !ip_addr_parse((const char *)name.ptr, name.len, &addr);
}

static bool any_name_matches(const struct certificate_info *info, struct span name)
{
	for (unsigned i = 0; i < info->name_count; i++)
		if (certificate_name_matches(info->names[i], name))
			return true;
	return !info->has_dns_name && certificate_name_matches(info->common_name, name);
}

static bool has_address(const struct certificate_info *info)
{
	struct ip_addr addr;
	for (unsigned i = 0; i < info->name_count; i++)
		if (ip_addr_parse((const char *)info->names[i].ptr, info->names[i].len, &addr))
			return true;
	return false;
}

/* An address is compared where the certificate has some: hardly any has. */
static bool names_mismatch(const struct certificate_info *info, const struct span *names,
			   size_t count)
{
	bool judged = false;
	if (info->names_truncated)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct span name = names[i];
		struct ip_addr addr;
		char text[IP_ADDR_TEXT];
		bool literal = ip_addr_parse_literal((const char *)name.ptr, name.len, &addr);
		if (literal)
			name = span_of(text, ip_addr_text(&addr, text));
		if (any_name_matches(info, name))
			return false;
		judged = judged || !literal || has_address(info);
	}
	return judged;
}

static bool weak_integer_key(enum certificate_key key)
{
	return key == CERTIFICATE_KEY_RSA || key == CERTIFICATE_KEY_DSA ||
	       key == CERTIFICATE_KEY_DH;
}

uint32_t certificate_judge(const struct certificate_info *info, int64_t time_s,
			   const struct span *names, size_t name_count)
{
	uint32_t problems = 0;
	if (time_s > info->not_after)
		problems |= CERTIFICATE_EXPIRED;
	if (time_s < info->not_before)
		problems |= CERTIFICATE_NOT_YET_VALID;

	if (names_mismatch(info, names, name_count))
		problems |= CERTIFICATE_NAME_MISMATCH;

	if (info->signature_hash == CERTIFICATE_HASH_OLD)
		problems |= CERTIFICATE_MD5_SIGNATURE;
	if (info->signature_hash == CERTIFICATE_HASH_SHA1)
		problems |= CERTIFICATE_SHA1_SIGNATURE;
	if (weak_integer_key(info->key) && info->key_bits < STRONG_RSA_BITS)
		problems |= CERTIFICATE_WEAK_RSA_KEY;
	if (info->key == CERTIFICATE_KEY_EC && info->key_bits < STRONG_EC_BITS)
		problems |= CERTIFICATE_WEAK_EC_KEY;
	return problems;
}
