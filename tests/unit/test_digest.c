/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/digest_memo.h"

#include <criterion/criterion.h>

/* RFC 1321 A.5, FIPS 180-4 examples. */
static const struct {
	enum digest_algorithm algorithm;
	const char *text, *hex;
} vectors[] = {
    {DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
    {DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
    {DIGEST_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {DIGEST_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {DIGEST_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
};

Test(digest, known_vectors)
{
	struct digester *digester = digester_create();
	cr_assert_not_null(digester);
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		uint8_t out[DIGEST_SIZE_MAX];
		char hex[2 * DIGEST_SIZE_MAX + 1];
		cr_assert(
		    digest_bytes(digester, vectors[i].algorithm, span_str(vectors[i].text), out));
		digest_hex(out, digest_size(vectors[i].algorithm), hex);
		cr_expect_str_eq(hex, vectors[i].hex, "vector %zu: %s", i, hex);
	}
	digester_destroy(digester);
}

Test(digest, pieces_give_the_same_and_streams_do_not_mix)
{
	struct digester *digester = digester_create();
	struct digest_stream *sha = digest_stream_create(digester, DIGEST_SHA256);
	struct digest_stream *md5 = digest_stream_create(digester, DIGEST_MD5);
	uint8_t out[DIGEST_SIZE_MAX], other[DIGEST_SIZE_MAX];
	char hex[2 * DIGEST_SIZE_MAX + 1];

	for (unsigned round = 0; round < 2; round++) {
		static const char text[] = "message digest";
		for (size_t i = 0; text[i] != '\0'; i++) {
			cr_assert(digest_stream_update(md5, span_of(text + i, 1)));
			if (i < 3)
				cr_assert(digest_stream_update(sha, span_of(&"abc"[i], 1)));
			cr_assert(digest_bytes(digester, DIGEST_SHA1, span_str("between"), other));
		}
		cr_assert(digest_stream_finish(sha, out));
		digest_hex(out, DIGEST_SHA256_SIZE, hex);
		cr_expect_str_eq(hex, vectors[4].hex);
		cr_assert(digest_stream_finish(md5, out));
		digest_hex(out, DIGEST_MD5_SIZE, hex);
		cr_expect_str_eq(hex, vectors[1].hex, "round %u", round);
	}
	digest_stream_destroy(sha);
	digest_stream_destroy(md5);
	digester_destroy(digester);
}

Test(digest, sizes_agree_with_the_header)
{
	cr_expect_eq(digest_size(DIGEST_MD5), (size_t)DIGEST_MD5_SIZE);
	cr_expect_eq(digest_size(DIGEST_SHA1), (size_t)DIGEST_SHA1_SIZE);
	cr_expect_eq(digest_size(DIGEST_SHA256), (size_t)DIGEST_SHA256_SIZE);
}

/* Far more texts than there is room for, of every length, in any order: each its own digest. */
Test(digest_memo, remembers_no_other_text)
{
	struct budget budget;
	budget_init(&budget, 1U << 20);
	struct digester *digester = digester_create();
	const struct digest_memo_limits limits = {.texts = 128, .text_len = 384};
	struct digest_memo *memo = digest_memo_create(&budget, digester, DIGEST_MD5, &limits);
	cr_assert_not_null(memo);
	uint32_t random = 1;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t text[512], out[DIGEST_MD5_SIZE], wanted[DIGEST_MD5_SIZE];
		random = random * 1664525U + 1013904223U;
		const uint32_t which = random >> 16 & 0x3ff;
		const size_t len = which % (sizeof text + 1);
		for (size_t b = 0; b < len; b++)
			text[b] = (uint8_t)('0' + (b * 7 + (which >> b % 10)) % 10);
		cr_assert(digest_memo_bytes(memo, span_of(text, len), out));
		cr_assert(digest_bytes(digester, DIGEST_MD5, span_of(text, len), wanted));
		cr_assert_eq(memcmp(out, wanted, sizeof out), 0, "text %u of %zu bytes", which,
			     len);
	}
	digest_memo_destroy(memo);
	digester_destroy(digester);
	cr_expect_eq(budget.used, 0);
}

/* Digests are told all the same. */
Test(digest_memo, remembers_nothing_without_memory)
{
	struct budget budget;
	budget_init(&budget, 1024);
	struct digester *digester = digester_create();
	const struct digest_memo_limits limits = {.texts = 2, .text_len = 4096};
	struct digest_memo *memo = digest_memo_create(&budget, digester, DIGEST_MD5, &limits);
	cr_assert_not_null(memo);
	static const uint8_t large[2048];
	uint8_t out[DIGEST_MD5_SIZE], wanted[DIGEST_MD5_SIZE];
	const struct span texts[] = {span_str("a"), span_of(large, sizeof large), span_str("a")};
	for (unsigned i = 0; i < 6; i++) {
		cr_assert(digest_memo_bytes(memo, texts[i % 3], out));
		cr_assert(digest_bytes(digester, DIGEST_MD5, texts[i % 3], wanted));
		cr_expect_eq(memcmp(out, wanted, sizeof out), 0, "%u", i);
	}
	digest_memo_destroy(memo);
	digester_destroy(digester);
	cr_expect_eq(budget.used, 0);
}
