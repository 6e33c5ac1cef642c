/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519, whose signatures are deterministic (RFC 8032). */
#include "tests/bench/generate.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static EVP_PKEY *key_of(uint64_t seed)
{
	uint8_t secret[32];
	fill(secret, sizeof secret, seed);
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof secret);
	if (key == NULL)
		fail("no Ed25519 in this OpenSSL");
	return key;
}

static void certificate_extend(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (extension == NULL || X509_add_ext(certificate, extension, -1) != 1)
		fail("a certificate extension was refused");
	X509_EXTENSION_free(extension);
}

static struct der certificate_make(const char *subject, const char *names, long serial,
				   EVP_PKEY *key, EVP_PKEY *issuer_key)
{
	struct der der = {.bytes = NULL};
	X509 *certificate = X509_new();
	X509_NAME *name = X509_NAME_new();
	if (certificate == NULL || name == NULL)
		fail("out of memory");
	(void)X509_set_version(certificate, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
	(void)ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20250101000000Z");
	(void)ASN1_TIME_set_string(X509_getm_notAfter(certificate), "20290101000000Z");
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"Bench CA", -1,
					 -1, 0);
	(void)X509_set_issuer_name(certificate, name);
	X509_NAME_free(name);
	name = X509_NAME_new();
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)subject, -1, -1,
					 0);
	(void)X509_set_subject_name(certificate, name);
	X509_NAME_free(name);
	(void)X509_set_pubkey(certificate, key);
	if (names != NULL)
		certificate_extend(certificate, NID_subject_alt_name, names);
	certificate_extend(certificate, NID_basic_constraints,
			   names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (X509_sign(certificate, issuer_key, NULL) <= 0)
		fail("a certificate could not be signed");
	int len = i2d_X509(certificate, &der.bytes);
	if (len <= 0)
		fail("a certificate could not be written");
	der.len = (uint32_t)len;
	X509_free(certificate);
	return der;
}

void certificates_make(struct generator *g)
{
	EVP_PKEY *issuer = key_of(1), *leaf = key_of(2);
	g->issuer = certificate_make("Bench CA", NULL, 1, issuer, issuer);
	g->leaves = calloc(g->settings.certificates, sizeof *g->leaves);
	if (g->leaves == NULL)
		fail("out of memory");
	for (uint32_t i = 0; i < g->settings.certificates; i++) {
		char subject[64], names[512];
		(void)snprintf(subject, sizeof subject, "mx%u.example.net", i % HOSTS);
		(void)snprintf(names, sizeof names,
			       "DNS:mx%u.example.net,DNS:imap%u.mail.example.net,"
			       "DNS:submission%u.mail.example.net,DNS:webmail%u.example.net,"
			       "DNS:autoconfig.customer-%u.example.org,"
			       "DNS:autodiscover.customer-%u.example.org",
			       i % HOSTS, i, i, i, i, i);
		g->leaves[i] = certificate_make(subject, names, (long)i + 2, leaf, issuer);
	}
	EVP_PKEY_free(issuer);
	EVP_PKEY_free(leaf);
}
