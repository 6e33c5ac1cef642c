/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/public_key.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* openssl genpkey ... | openssl pkey -pubout -outform der | xxd -p */
static const struct sample {
	const char *what, *hex;
	enum public_key_kind kind;
	uint32_t bits;
} samples[] = {
    {"RSA",
     "30819f300d06092a864886f70d010101050003818d0030818902818100c0f96d1c55d90172d48736"
     "a68b54998f4a1b2d3f03ab04d7e3d250b6ae3a4bbb661afa94878739e582781599191417092e5ab8"
     "2cabcd570730d9584ef288534c960e5a105e1f1c4108ceb2048179905246d00699c6fbe9a0ff6298"
     "92b7682f0cc08ffda7164a00e0cad46960d7d3cdb53ccec3619f58edd37eba9d37b39b1bb3020301"
     "0001",
     PUBLIC_KEY_RSA, 1024},
    {"P-256",
     "3059301306072a8648ce3d020106082a8648ce3d030107034200042d6f33745af3398ade88b45d02"
     "57109f58bff0e235f45df852c32c15c7064b93bd4ff4561a29d4bdcdb463d523d051a9e4bbab8901"
     "b7c5c88b164496df2f4ee5",
     PUBLIC_KEY_EC, 256},
    {"P-384",
     "3076301006072a8648ce3d020106052b810400220362000470191a1fcb4d7386c8644b2315120ef9"
     "ff4f0c10e6969f2cefd2aa5ab15faf19c80e438aa7e411765e2b06b7fbe15e978ad4881586414624"
     "3616cc1cdb9fc6f59afebb4f04e74660971b11544b14b89ba85ec586473a3c8fb5ac5804ca04270e",
     PUBLIC_KEY_EC, 384},
    {"P-521",
     "30819b301006072a8648ce3d020106052b81040023038186000401c5d16323b70b65a6cc8285f0ac"
     "6bf6383b2a5bb30fae6149fabcdd70c0c310ae100ab1cbd6e6e696a1a5b7e8d20b0690549c0230fe"
     "86c8c61365367f5e6db2bf8a0011b6f37a5e9e3df26be60f7477c29474336507017893f68eaf5551"
     "990f5c8a70db36f867cf2b3d64ed4a7de306b69da03ab983f1c27fdb172c88aa2181ec3c4775",
     PUBLIC_KEY_EC, 521},
    {"P-192: not a curve that is read",
     "3049301306072a8648ce3d020106082a8648ce3d03010103320004d8def42e97256e713976198188"
     "cac4c770ca04734317b69c5a0269ce97a42549a3419068503f5a0ca8ceace8f69afa56",
     PUBLIC_KEY_OTHER, 0},
    {"Ed25519",
     "302a300506032b65700321009b9744d787651406dad0c1f0c037edc447debc94c8b176bb0488fd3c"
     "26b3ed45",
     PUBLIC_KEY_EDDSA, 256},
    {"Ed448",
     "3043300506032b6571033a00783578d1af58913a57a148fa1fd931da2443beef006e900e2c1ac7f7"
     "d7ac25c21ebcf4c5263649bbcab34e42b4b52fd5c6dc38c7c50d3d5280",
     PUBLIC_KEY_EDDSA, 456},
    {"RSA-PSS: not read",
     "30819d300b06092a864886f70d01010a03818d0030818902818100c7fb43a38a7506c5476d268fd0"
     "8df8a6f9c618a61736a4372c1a2ae405ea5ef21ff996816e0ad008eb1fc3bd457a9624f85a6eceb7"
     "93338ba72266280c4a1b5e85e37a5ad37db5339da33dd75893239dc84c2404a3e26cb23463753af5"
     "34eb5f93f7107abd7b95846279f3b5d5bf8a0139eae8ebb784f60215bf4b60d0d2d5a90203010001",
     PUBLIC_KEY_OTHER, 0},
};

#define SIZE_MAX_DER 512

static size_t from_hex(const char *hex, uint8_t *der)
{
	size_t len = strlen(hex) / 2;
	for (size_t i = 0; i < len; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
		der[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return len;
}

Test(public_key, kinds_and_sizes)
{
	for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
		const struct sample *sample = &samples[i];
		uint8_t der[SIZE_MAX_DER];
		uint32_t bits = 1;
		size_t len = from_hex(sample->hex, der);
		cr_expect_eq(public_key_read(span_of(der, len), &bits), sample->kind, "%s",
			     sample->what);
		cr_expect_eq(bits, sample->bits, "%s: %u", sample->what, bits);
	}
}

/* Cut anywhere, or with a byte too many: a library's matter, never a guess. */
Test(public_key, other_lengths)
{
	for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
		uint8_t der[SIZE_MAX_DER];
		uint32_t bits;
		size_t len = from_hex(samples[i].hex, der);
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *copy = malloc(cut > 0 ? cut : 1); /* exact, for the sanitizer */
			memcpy(copy, der, cut);
			cr_expect_eq(public_key_read(span_of(copy, cut), &bits), PUBLIC_KEY_OTHER);
			cr_expect_eq(bits, 0);
			free(copy);
		}
		der[len] = 0;
		cr_expect_eq(public_key_read(span_of(der, len + 1), &bits), PUBLIC_KEY_OTHER);
	}
}

/* Any one byte of the frame changed is another key or none, and never read past the end. */
Test(public_key, damaged)
{
	for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
		uint8_t der[SIZE_MAX_DER];
		size_t len = from_hex(samples[i].hex, der);
		for (size_t at = 0; at < len; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				uint32_t bits = 1;
				der[at] ^= (uint8_t)(1U << bit);
				enum public_key_kind kind =
				    public_key_read(span_of(der, len), &bits);
				cr_expect(kind != PUBLIC_KEY_OTHER || bits == 0);
				cr_expect(bits <= 8 * len);
				der[at] ^= (uint8_t)(1U << bit);
			}
		}
	}
}
