/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/certificate.h"

#include "certificate_samples.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUDGET = 1 << 20, DER_MAX = 1024, NOON = 43200 };

/* A certificate in a heap block of its exact size, so that a read beyond it is found. */
static struct span der_of(const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *der = malloc(len);
	for (size_t i = 0; i < len; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		der[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return span_of(der, len);
}

static void der_free(struct span der)
{
	free((void *)(uintptr_t)der.ptr);
}

static const struct certificate_info *get(struct certificate_cache *cache, const char *hex)
{
	uint8_t sha256[DIGEST_SHA256_SIZE];
	struct span der = der_of(hex);
	const struct certificate_info *info = certificate_cache_get(cache, der, sha256);
	der_free(der);
	return info;
}

static bool text_is(struct span text, const char *expected)
{
	return span_equal(text, span_str(expected));
}

static uint32_t judge_chain(struct certificate_cache *cache, const struct span *ders, size_t count,
			    int64_t time_s)
{
	bool judged;
	return certificate_cache_judge_chain(cache, ders, count, time_s, &judged);
}

Test(certificate, facts)
{
	struct budget budget;
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 8);
	const struct certificate_info *info = get(cache, sample_mail);
	char hex[2 * DIGEST_SHA256_SIZE + 1];

	cr_assert_not_null(info);
	cr_expect(text_is(info->subject, "CN=mail.example.org,O=Ex\xc3\xa4mple\\, Inc."), "%.*s",
		  (int)info->subject.len, (const char *)info->subject.ptr);
	cr_expect(text_is(info->issuer, "CN=Example Intermediate,O=Example Trust"));
	cr_expect(text_is(info->common_name, "mail.example.org"));
	cr_expect(text_is(info->serial, "03"));
	cr_assert_eq(info->name_count, 4);
	cr_expect(text_is(info->names[0], "mail.example.org"));
	cr_expect(text_is(info->names[1], "*.mx.example.net"));
	cr_expect(text_is(info->names[2], "192.0.2.25"));
	cr_expect(text_is(info->names[3], "2001:db8::25"));
	cr_expect_eq(info->not_before, SAMPLES_FROM);
	cr_expect_eq(info->not_after, SAMPLES_TO);
	cr_expect_eq(info->key, CERTIFICATE_KEY_EC);
	cr_expect_eq(info->key_bits, 256);
	cr_expect_eq(info->signature_hash, CERTIFICATE_HASH_SHA2);
	cr_expect(!info->self_signed && !info->names_truncated && info->has_dns_name);
	/* openssl x509 -fingerprint -sha256; -pubkey | openssl pkey -outform der | sha256sum */
	digest_hex(info->sha256, sizeof info->sha256, hex);
	cr_expect_str_eq(hex, "44b18cd714b42cb204b6bc35ce6686e0f052da671d72cdbae9ec877c6b72eedf");
	digest_hex(info->key_sha256, sizeof info->key_sha256, hex);
	cr_expect_str_eq(hex, "f5d68c6ebca91d2726d00433766d8a63340b886471781acb58fd1e55eaa877b5");
	certificate_release(info);

	info = get(cache, sample_self);
	cr_assert_not_null(info);
	cr_expect(info->self_signed);
	cr_expect_eq(info->key_bits, 192);
	cr_expect_eq(info->signature_hash, CERTIFICATE_HASH_SHA1);
	cr_expect_eq(info->name_count, 0);
	certificate_release(info);
	certificate_cache_destroy(cache);
	cr_expect_eq(budget.used, 0);
}

Test(certificate, problems)
{
	static const struct {
		const char *hex;
		int64_t time;
		const char *names[3];
		uint32_t problems;
	} table[] = {
	    {sample_mail, SAMPLES_FROM, {"mail.example.org"}, 0},
	    {sample_mail, SAMPLES_TO, {"MAIL.Example.ORG."}, 0},
	    {sample_mail, SAMPLES_FROM - 1, {"mail.example.org"}, CERTIFICATE_NOT_YET_VALID},
	    {sample_mail, SAMPLES_TO + 1, {"mail.example.org"}, CERTIFICATE_EXPIRED},
	    {sample_mail, SAMPLES_FROM, {NULL}, 0},
	    {sample_mail, SAMPLES_FROM, {"example.org"}, CERTIFICATE_NAME_MISMATCH},
	    {sample_mail, SAMPLES_FROM, {"example.org", "a.mx.example.net"}, 0},
	    {sample_mail, SAMPLES_FROM, {"192.0.2.25"}, 0},
	    /* RFC 5321 4.1.3 */
	    {sample_mail, SAMPLES_FROM, {"[192.0.2.25]"}, 0},
	    {sample_mail, SAMPLES_FROM, {"[IPv6:2001:DB8:0::25]"}, 0},
	    {sample_mail, SAMPLES_FROM, {"mx.internal", "[192.0.2.25]"}, 0},
	    {sample_mail, SAMPLES_FROM, {"[192.0.2.26]"}, CERTIFICATE_NAME_MISMATCH},
	    /* Not for an address at all: what to compare one with is not there. */
	    {sample_cn, SAMPLES_FROM + NOON, {"[192.0.2.25]"}, CERTIFICATE_SHA1_SIGNATURE},
	    {sample_cn,
	     SAMPLES_FROM + NOON,
	     {"[192.0.2.25]", "evil.test"},
	     CERTIFICATE_SHA1_SIGNATURE | CERTIFICATE_NAME_MISMATCH},
	    {sample_mail,
	     SAMPLES_TO + 1,
	     {"evil.test"},
	     CERTIFICATE_EXPIRED | CERTIFICATE_NAME_MISMATCH},
	    {sample_cn, SAMPLES_FROM + NOON, {"old.example.org"}, CERTIFICATE_SHA1_SIGNATURE},
	    {sample_weak,
	     SAMPLES_FROM + NOON,
	     {"mail.example.org"},
	     CERTIFICATE_MD5_SIGNATURE | CERTIFICATE_WEAK_RSA_KEY},
	    /* There are dNSNames, so the common name does not count. */
	    {sample_weak,
	     SAMPLES_FROM + NOON,
	     {"weak.example.org"},
	     CERTIFICATE_MD5_SIGNATURE | CERTIFICATE_WEAK_RSA_KEY | CERTIFICATE_NAME_MISMATCH},
	    /* Its own signature, and weak all the same. */
	    {sample_self,
	     SAMPLES_FROM + NOON,
	     {"self.example.org"},
	     CERTIFICATE_SHA1_SIGNATURE | CERTIFICATE_WEAK_EC_KEY},
	};
	struct budget budget;
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 8);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct span names[3];
		size_t count = 0;
		while (count < 3 && table[i].names[count] != NULL) {
			names[count] = span_str(table[i].names[count]);
			count++;
		}
		const struct certificate_info *info = get(cache, table[i].hex);
		cr_assert_not_null(info, "%zu", i);
		uint32_t problems = certificate_judge(info, table[i].time, names, count);
		cr_expect_eq(problems, table[i].problems, "%zu: %x", i, problems);
		certificate_release(info);
	}
	certificate_cache_destroy(cache);
}

/* Puts the header of an ASN.1 value of more than 255 bytes in front of the len bytes at der. */
static size_t enclose(uint8_t *der, size_t len, uint8_t tag)
{
	const uint8_t header[4] = {tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len};
	memmove(der + sizeof header, der, len);
	memcpy(der, header, sizeof header);
	return len + sizeof header;
}

/* sample_mail, for count other names: host0000.example.net and so on. */
static struct span with_names(size_t count)
{
	static const uint8_t extensions[] = {0xa3, 0x81, 0x8a, 0x30, 0x81, 0x87};
	static const uint8_t subject_alternative_name[] = {0x06, 0x03, 0x55, 0x1d, 0x11};
	struct span sample = der_of(sample_mail);
	size_t at = 8; /* behind the headers of the certificate and of what is signed of it */
	while (memcmp(sample.ptr + at, extensions, sizeof extensions) != 0)
		at++;
	const struct span signature = span_skip(sample, at + 3 + 0x8a);
	uint8_t *der = malloc(sample.len + count * 22 + 64);
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "\x82\x14host%04zu.example.net", i % 10000);
		memcpy(der + len, name, 22);
		len += 22;
	}
	len = enclose(der, enclose(der, len, 0x30), 0x04);
	memmove(der + sizeof subject_alternative_name, der, len);
	memcpy(der, subject_alternative_name, sizeof subject_alternative_name);
	len = enclose(der, len + sizeof subject_alternative_name, 0x30);
	len = enclose(der, enclose(der, len, 0x30), 0xa3);
	memmove(der + at - 8, der, len);
	memcpy(der, sample.ptr + 8, at - 8);
	len = enclose(der, len + at - 8, 0x30);
	memcpy(der + len, signature.ptr, signature.len);
	len = enclose(der, len + signature.len, 0x30);
	der_free(sample);
	return span_of(der, len);
}

/* A public CA puts a hundred names into one certificate: the last one counts like the first. */
Test(certificate, many_names)
{
	static const struct {
		size_t count;
		const char *name;
		uint32_t problems;
	} table[] = {
	    {60, "host0059.example.net", 0},
	    {65, "mail.example.org", CERTIFICATE_NAME_MISMATCH},
	    {100, "host0099.example.net", 0},
	    {100, "mail.example.org", CERTIFICATE_NAME_MISMATCH},
	    {CERTIFICATE_NAMES_MAX, "host0999.example.net", 0},
	    {CERTIFICATE_NAMES_MAX, "mail.example.org", CERTIFICATE_NAME_MISMATCH},
	    /* One of those that are not kept may be it. */
	    {CERTIFICATE_NAMES_MAX + 1, "mail.example.org", 0},
	};
	struct budget budget;
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 4);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint8_t sha256[DIGEST_SHA256_SIZE];
		const struct span der = with_names(table[i].count);
		const struct certificate_info *info = certificate_cache_get(cache, der, sha256);
		der_free(der);
		cr_assert_not_null(info, "%zu", i);
		const struct span name = span_str(table[i].name);
		const uint32_t problems = certificate_judge(info, SAMPLES_FROM, &name, 1);
		cr_expect_eq(problems, table[i].problems, "%zu: %x", i, problems);
		certificate_release(info);
	}
	certificate_cache_destroy(cache);
	cr_expect_eq(budget.used, 0);
}

/* RFC 6125 6.4.3 and RFC 9525 6.3. */
Test(certificate, names)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} table[] = {
	    {"mail.example.org", "mail.example.org", true},
	    {"mail.example.org", "Mail.Example.Org", true},
	    {"mail.example.org", "mail.example.org.", true},
	    {"mail.example.org", "xmail.example.org", false},
	    {"*.example.org", "mail.example.org", true},
	    {"*.example.org", "example.org", false},
	    {"*.example.org", ".example.org", false},
	    {"*.example.org", "a.mail.example.org", false},
	    {"m*.example.org", "mail.example.org", false},
	    {"mail.*.org", "mail.example.org", false},
	    {"*.org", "example.org", false},
	    {"*", "mail", false},
	    {"*.", "mail.", false},
	    {"*.0.2.25", "192.0.2.25", false},
	    {"", "", false},
	    {"*.example.org", "", false},
	    {"", "mail.example.org", false},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		cr_expect_eq(
		    certificate_name_matches(span_str(table[i].pattern), span_str(table[i].name)),
		    table[i].match, "%s against %s", table[i].name, table[i].pattern);
}

/* A file with a text in it, to be removed by the caller. */
static void write_file(char path[], const char *text)
{
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(certificate, chains)
{
	static const int64_t noon = SAMPLES_FROM + NOON;
	static const struct {
		const char *chain[3];
		int64_t time;
		uint32_t problems;
	} table[] = {
	    {{sample_mail, sample_inter}, SAMPLES_FROM + NOON, 0},
	    {{sample_mail, sample_inter, sample_root}, SAMPLES_FROM + NOON, 0},
	    {{sample_mail}, SAMPLES_FROM + NOON, CERTIFICATE_NOT_ANCHORED},
	    {{sample_mail, sample_other}, SAMPLES_FROM + NOON, CERTIFICATE_NOT_ANCHORED},
	    {{sample_other}, SAMPLES_FROM + NOON, CERTIFICATE_SELF_SIGNED},
	    {{sample_weak}, SAMPLES_FROM + NOON, CERTIFICATE_NOT_ANCHORED},
	    /* Expired: told by certificate_judge(), and anchored all the same. */
	    {{sample_mail, sample_inter}, SAMPLES_TO + NOON, 0},
	    {{sample_root}, SAMPLES_FROM + NOON, 0},
	};
	char path[] = "/tmp/test_certificate.XXXXXX", error[256];
	struct budget budget;
	write_file(path, sample_root_pem);
	struct certificate_anchors *anchors =
	    certificate_anchors_create(path, NULL, error, sizeof error);
	(void)unlink(path); /* read whole at start */
	cr_assert_not_null(anchors, "%s", error);
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, anchors, 16);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
			struct span ders[3];
			size_t count = 0;
			for (; count < 3 && table[i].chain[count] != NULL; count++)
				ders[count] = der_of(table[i].chain[count]);
			uint32_t problems = judge_chain(cache, ders, count, table[i].time);
			cr_expect_eq(problems, table[i].problems, "%zu: %x", i, problems);
			while (count > 0)
				der_free(ders[--count]);
		}
	}
	/* What vouches for the leaf is the last of a chain as long as peers take. */
	struct span longest[16] = {der_of(sample_mail)};
	for (size_t i = 1; i < 16; i++)
		longest[i] = der_of(i < 15 ? sample_other : sample_inter);
	cr_expect_eq(judge_chain(cache, longest, 16, noon), 0);
	for (size_t i = 0; i < 16; i++)
		der_free(longest[i]);
	/* Asked again within the same period of validity: not verified again. */
	uint64_t verified = certificate_cache_counts(cache)->verified;
	struct span leaf = der_of(sample_other);
	for (unsigned i = 0; i < 10; i++)
		(void)judge_chain(cache, &leaf, 1, noon + i);
	cr_expect_leq(certificate_cache_counts(cache)->verified, verified + 1);
	der_free(leaf);
	certificate_cache_destroy(cache);
	certificate_anchors_destroy(anchors);
	cr_expect_eq(budget.used, 0);
}

/* An intermediate that is over: no anchor at that time, whatever was cached before. */
Test(certificate, verdicts_follow_packet_time)
{
	char path[] = "/tmp/test_certificate.XXXXXX", error[256];
	struct budget budget;
	write_file(path, sample_root_pem);
	struct certificate_anchors *anchors =
	    certificate_anchors_create(path, NULL, error, sizeof error);
	(void)unlink(path);
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, anchors, 4);
	struct span ders[2] = {der_of(sample_inter), der_of(sample_root)};
	int64_t ten_years = 3650LL * 86400, twenty_years = 7300LL * 86400;
	cr_expect_eq(judge_chain(cache, ders, 2, SAMPLES_FROM + NOON), 0);
	cr_expect_eq(judge_chain(cache, ders + 1, 1, SAMPLES_FROM + twenty_years + NOON), 0,
		     "an expired leaf that is an anchor itself");
	cr_expect_eq(judge_chain(cache, ders, 2, SAMPLES_FROM + ten_years + NOON), 0,
		     "an expired leaf");
	struct span chain[2] = {der_of(sample_mail), ders[0]};
	cr_expect_eq(judge_chain(cache, chain, 2, SAMPLES_FROM + NOON), 0);
	cr_expect_eq(certificate_cache_counts(cache)->verified, 4);
	der_free(chain[0]);
	der_free(ders[0]);
	der_free(ders[1]);
	certificate_cache_destroy(cache);
	certificate_anchors_destroy(anchors);
}

Test(certificate, anchors_that_cannot_be_read)
{
	char empty[] = "/tmp/test_certificate.XXXXXX", error[256] = "";
	cr_expect_null(certificate_anchors_create("/nonexistent", NULL, error, sizeof error));
	cr_expect_not_null(strstr(error, "/nonexistent"), "%s", error);
	cr_expect_null(certificate_anchors_create(NULL, "/nonexistent", error, sizeof error));
	write_file(empty, "no certificate\n");
	cr_expect_null(certificate_anchors_create(empty, NULL, error, sizeof error));
	cr_expect_not_null(strstr(error, "no certificate"), "%s", error);
	(void)unlink(empty);
}

/* A CA that is silently left out makes good certificates look bad: all of a file, or nothing. */
Test(certificate, anchors_that_are_damaged)
{
	static const char *const behind[] = {
	    "-----BEGIN CERTIFICATE-----\nMIIB\n",                              /* cut */
	    "-----BEGIN CERTIFICATE-----\nMI!B\n-----END CERTIFICATE-----\n",   /* no base64 */
	    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",   /* no DER */
	    "-----BEGIN CERTIFICATE-----\nMIIB\n-----BEGIN CERTIFICATE-----\n", /* no end */
	};
	for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
		char path[] = "/tmp/test_certificate.XXXXXX", text[4096], error[256] = "";
		(void)snprintf(text, sizeof text, "%s%s%s", sample_root_pem, behind[i],
			       i % 2 == 0 ? sample_root_pem : "");
		write_file(path, text);
		struct certificate_anchors *anchors =
		    certificate_anchors_create(path, NULL, error, sizeof error);
		cr_expect_null(anchors, "%zu", i);
		cr_expect_not_null(strstr(error, path), "%zu: %s", i, error);
		cr_expect_not_null(strstr(error, "behind its first 1 "), "%zu: %s", i, error);
		certificate_anchors_destroy(anchors);
		(void)unlink(path);
	}
}

/* What is no PEM, and what is another kind of it, may stand between them. */
Test(certificate, anchors_among_other_things)
{
	char path[] = "/tmp/test_certificate.XXXXXX", text[4096], error[256] = "";
	(void)snprintf(text, sizeof text,
		       "subject=x\n%s\n-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"
		       "words\n%s trailing words\n",
		       sample_root_pem, sample_root_pem);
	write_file(path, text);
	struct certificate_anchors *anchors =
	    certificate_anchors_create(path, NULL, error, sizeof error);
	cr_expect_not_null(anchors, "%s", error);
	certificate_anchors_destroy(anchors);
	(void)unlink(path);
}

/* Cut and flipped at every byte: told or refused, never a crash. */
Test(certificate, damaged_certificates)
{
	struct budget budget;
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 4);
	struct span whole = der_of(sample_weak);
	uint8_t sha256[DIGEST_SHA256_SIZE];
	for (size_t len = 0; len < whole.len; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);
		memcpy(cut, whole.ptr, len);
		cr_expect_null(certificate_cache_get(cache, span_of(cut, len), sha256), "%zu", len);
		free(cut);
	}
	cr_expect_eq(certificate_cache_counts(cache)->malformed, whole.len);
	for (size_t at = 0; at < whole.len; at++) {
		uint8_t *flipped = malloc(whole.len);
		memcpy(flipped, whole.ptr, whole.len);
		flipped[at] ^= 0xff;
		certificate_release(
		    certificate_cache_get(cache, span_of(flipped, whole.len), sha256));
		(void)judge_chain(cache, &whole, 1, SAMPLES_FROM);
		free(flipped);
	}
	static const uint8_t zeros[CERTIFICATE_DER_MAX + 1] = {0x30, 0x83, 0x00, 0xff, 0xfd};
	cr_expect_null(certificate_cache_get(cache, span_of(zeros, sizeof zeros), sha256));
	der_free(whole);
	certificate_cache_destroy(cache);
	cr_expect_eq(budget.used, 0);
}

/* The cap holds; held certificates stay; the rest give way. */
Test(certificate, cache_is_bounded)
{
	struct budget budget;
	budget_init(&budget, BUDGET);
	struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 2);
	const struct certificate_cache_counts *counts = certificate_cache_counts(cache);
	const struct certificate_info *mail = get(cache, sample_mail);
	const struct certificate_info *again = get(cache, sample_mail);
	cr_expect_eq(mail, again);
	cr_expect_eq(counts->parsed, 1);
	cr_expect_eq(counts->hits, 1);
	const struct certificate_info *cn = get(cache, sample_cn);
	cr_expect_null(get(cache, sample_weak), "both entries are held");
	cr_expect_eq(counts->refused, 1);
	certificate_release(cn);
	const struct certificate_info *weak = get(cache, sample_weak);
	cr_expect_not_null(weak);
	cr_expect_eq(counts->evicted, 1);
	cr_expect(text_is(mail->common_name, "mail.example.org"));
	certificate_release(mail);
	certificate_hold(weak);
	certificate_release(weak);
	certificate_release(weak);
	const struct certificate_info *self = get(cache, sample_self);
	cr_expect_not_null(self, "nobody holds the other any more");
	cr_expect(text_is(mail->common_name, "mail.example.org"));
	certificate_release(self);
	certificate_release(again);
	certificate_release(NULL);
	certificate_cache_destroy(cache);
	cr_expect_eq(budget.used, 0);
}

Test(certificate, refused_memory)
{
	for (uint64_t fail = 1; fail < 12; fail++) {
		struct budget budget;
		budget_init(&budget, BUDGET);
		budget.fail_at = fail;
		struct certificate_cache *cache = certificate_cache_create(&budget, NULL, 2);
		if (cache != NULL) {
			const struct certificate_info *info = get(cache, sample_mail);
			cr_expect_eq(info == NULL, certificate_cache_counts(cache)->refused == 1);
			certificate_release(info);
			certificate_cache_destroy(cache);
		}
		cr_expect_eq(budget.used, 0, "%u", (unsigned)fail);
	}
}

Test(certificate, problem_words_are_distinct)
{
	for (unsigned i = 0; i < CERTIFICATE_PROBLEM_COUNT; i++) {
		cr_expect_neq(certificate_problem_meaning(i)[0], '\0');
		for (unsigned j = 0; j < i; j++)
			cr_expect_str_neq(certificate_problem_word(i), certificate_problem_word(j));
	}
	cr_expect_str_eq(certificate_problem_word(CERTIFICATE_PROBLEM_COUNT), "");
}
