/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/digest.h"
#include "decoders/ja3.h"

#include "tls_samples.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* As Wireshark 4.0 computes them from the same bytes. */
static const struct {
	enum sample_id sample;
	const char *ja3, *ja3s;
} vectors[] = {
    {SAMPLE_TLS12_FULL, "22558766122974704364c9c75c5cce0a", "abade5a4a7f42baf54766e5d108283b6"},
    {SAMPLE_TLS12_RESUMED, "22558766122974704364c9c75c5cce0a", "f14f2862ee2df5d0f63a88b60c8eee56"},
    {SAMPLE_TLS13_FULL, "9dffdb8b608a430b774a2ff7d36c1a0c", "15af977ce25de452b96affa2addb1036"},
    {SAMPLE_TLS13_RESUMED, "4b9b935a03e383133ee8e868cd8757d9", "2253c82f03b621c5144709b393fde2c9"},
    {SAMPLE_TLS13_RETRY, "5f4e206dded3ee468e914011090d7c44", "15af977ce25de452b96affa2addb1036"},
    {SAMPLE_FALLBACK_REFUSED, "a2f1f74b068b908bec0a93b4b4ac6897", NULL},
    {SAMPLE_TLS12_BY_SERVER, "5a1edc7f170af1014fc65c994878e63c",
     "abade5a4a7f42baf54766e5d108283b6"},
};

static void md5_hex(const char *text, size_t len, char hex[33])
{
	struct digester *digester = digester_create();
	uint8_t md5[DIGEST_MD5_SIZE];
	cr_assert(digest_bytes(digester, DIGEST_MD5, span_of(text, len), md5));
	digest_hex(md5, sizeof md5, hex);
	digester_destroy(digester);
}

Test(ja3, recorded_hellos)
{
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		const struct sample *sample = &samples[vectors[i].sample];
		struct tls_conversation conversation;
		struct budget budget;
		struct tls_step step;
		char hex[33], text[JA3_TEXT_MAX];
		bool client = false, server = false;
		budget_init(&budget, 1 << 16);
		tls_conversation_init(&conversation);
		for (unsigned f = 0; f < 4 && sample->flights[f].hex != NULL; f++) {
			static uint8_t bytes[4096];
			size_t len = 0;
			for (const char *at = sample->flights[f].hex; *at != '\0'; at += 2) {
				char digits[3] = {at[0], at[1], '\0'};
				bytes[len++] = (uint8_t)strtoul(digits, NULL, 16);
			}
			for (struct span rest = span_of(bytes, len); rest.len > 0;
			     rest = span_skip(rest, step.consumed)) {
				tls_feed(&conversation, &budget, sample->flights[f].side, rest,
					 &step);
				if (step.kind == TLS_STEP_CLIENT_HELLO) {
					md5_hex(text, ja3_text(&step.hello, text, sizeof text),
						hex);
					cr_expect_str_eq(hex, vectors[i].ja3, "%s", sample->name);
					client = true;
				} else if (step.kind == TLS_STEP_SERVER_HELLO) {
					md5_hex(text, ja3s_text(&step.hello, text, sizeof text),
						hex);
					cr_expect_str_eq(hex, vectors[i].ja3s, "%s", sample->name);
					server = true;
				}
			}
		}
		cr_expect(client && server == (vectors[i].ja3s != NULL), "%s", sample->name);
		tls_conversation_free(&conversation, &budget);
	}
}

static struct tls_hello made_up(void)
{
	static const uint8_t suites[] = {0x0a, 0x0a, 0x00, 0x2f, 0xff, 0xff};
	static const uint8_t extensions[] = {0x1a, 0x1a, 0,  0, /* GREASE */
					     0,    10,   0,  8, 0,  6, 0xca,
					     0xca, 0,    29, 0, 23, /* groups, one of them GREASE */
					     0,    11,   0,  3, 2,  0, 1, /* point formats */
					     0xff, 0x01, 0,  1, 0};
	return (struct tls_hello){.legacy_version = 0x0301,
				  .suites = {suites, sizeof suites},
				  .extensions = {extensions, sizeof extensions}};
}

Test(ja3, grease_is_left_out_and_room_is_kept)
{
	static const char expected[] = "769,47-65535,10-11-65281,29-23,0-1";
	struct tls_hello hello = made_up();
	char text[64];
	size_t len = ja3_text(&hello, text, sizeof text);
	cr_expect_eq(len, sizeof expected - 1);
	cr_expect_arr_eq(text, expected, len);
	cr_expect_eq(ja3_text(&hello, text, len), len, "just enough room");
	cr_expect_eq(ja3_text(&hello, text, len - 1), 0, "too little room");
	cr_expect_eq(ja3_text(&hello, text, 0), 0);
}

Test(ja3, lists_that_are_missing_stay_empty)
{
	struct tls_hello hello = made_up();
	char text[64];
	hello.extensions.len = 0;
	size_t len = ja3_text(&hello, text, sizeof text);
	cr_expect_arr_eq(text, "769,47-65535,,,", len);
	cr_expect_eq(len, 15);
	hello.suite = 0x1301;
	len = ja3s_text(&hello, text, sizeof text);
	cr_expect_eq(len, 9);
	cr_expect_arr_eq(text, "769,4865,", len);
}

Test(ja3, not_defined_for_ssl2)
{
	struct tls_hello hello = made_up();
	char text[64];
	hello.sslv2_format = true;
	cr_expect_eq(ja3_text(&hello, text, sizeof text), 0);
	cr_expect_eq(ja3s_text(&hello, text, sizeof text), 0);
}
