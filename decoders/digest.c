/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/digest.h"

#include <openssl/evp.h>

struct digester {
	EVP_MD *algorithms[DIGEST_ALGORITHM_COUNT]; /* NULL: refused by the provider */
	EVP_MD_CTX *context;
};

struct digest_stream {
	EVP_MD_CTX *context;
	const EVP_MD *algorithm; /* the digester's */
	size_t size;
};

static const struct {
	const char *name; /* as OpenSSL's providers call it */
	size_t size;
} algorithm_table[DIGEST_ALGORITHM_COUNT] = {
    [DIGEST_MD5] = {"MD5", DIGEST_MD5_SIZE},
    [DIGEST_SHA1] = {"SHA1", DIGEST_SHA1_SIZE},
    [DIGEST_SHA256] = {"SHA256", DIGEST_SHA256_SIZE},
};

struct digester *digester_create(void)
{
	struct digester *digester = OPENSSL_zalloc(sizeof *digester);
	if (digester == NULL)
		return NULL;
	for (unsigned i = 0; i < DIGEST_ALGORITHM_COUNT; i++)
		digester->algorithms[i] = EVP_MD_fetch(NULL, algorithm_table[i].name, NULL);
	digester->context = EVP_MD_CTX_new();
	if (digester->context == NULL || digester->algorithms[DIGEST_SHA256] == NULL) {
		digester_destroy(digester);
		return NULL;
	}
	return digester;
}

void digester_destroy(struct digester *digester)
{
	if (digester == NULL)
		return;
	for (unsigned i = 0; i < DIGEST_ALGORITHM_COUNT; i++)
		EVP_MD_free(digester->algorithms[i]);
	EVP_MD_CTX_free(digester->context);
	OPENSSL_free(digester);
}

size_t digest_size(enum digest_algorithm algorithm)
{
	return algorithm_table[algorithm].size;
}

bool digest_bytes(struct digester *digester, enum digest_algorithm algorithm, struct span bytes,
		  uint8_t *out)
{
	const EVP_MD *md = digester->algorithms[algorithm];
	if (md != NULL && EVP_DigestInit_ex2(digester->context, md, NULL) == 1 &&
	    EVP_DigestUpdate(digester->context, bytes.ptr, bytes.len) == 1 &&
	    EVP_DigestFinal_ex(digester->context, out, NULL) == 1)
		return true;
	memset(out, 0, digest_size(algorithm));
	return false;
}

struct digest_stream *digest_stream_create(const struct digester *digester,
					   enum digest_algorithm algorithm)
{
	const EVP_MD *md = digester->algorithms[algorithm];
	struct digest_stream *stream = md != NULL ? OPENSSL_zalloc(sizeof *stream) : NULL;
	if (stream == NULL)
		return NULL;
	stream->algorithm = md;
	stream->size = digest_size(algorithm);
	stream->context = EVP_MD_CTX_new();
	if (stream->context == NULL || EVP_DigestInit_ex2(stream->context, md, NULL) != 1) {
		digest_stream_destroy(stream);
		return NULL;
	}
	return stream;
}

bool digest_stream_update(struct digest_stream *stream, struct span bytes)
{
	return EVP_DigestUpdate(stream->context, bytes.ptr, bytes.len) == 1;
}

bool digest_stream_finish(struct digest_stream *stream, uint8_t *out)
{
	if (EVP_DigestFinal_ex(stream->context, out, NULL) == 1 &&
	    EVP_DigestInit_ex2(stream->context, stream->algorithm, NULL) == 1)
		return true;
	memset(out, 0, stream->size);
	return false;
}

void digest_stream_destroy(struct digest_stream *stream)
{
	if (stream == NULL)
		return;
	EVP_MD_CTX_free(stream->context);
	OPENSSL_free(stream);
}

void digest_hex(const uint8_t *digest, size_t len, char *text)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 0xf];
	}
	text[2 * len] = '\0';
}
