/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/certificate_x509.h"

#include "decoders/addr.h"
#include "decoders/public_key.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* ---- texts ---- */

/*
 * Bytes in src as UTF-8 without control characters, at most max of them, cut
 * between characters. What is not UTF-8 becomes '?'. Returns the length.
 */
static size_t clean_text(const uint8_t *src, size_t len, uint8_t *dst, size_t max)
{
	size_t out = 0;
	for (size_t at = 0; at < len;) {
		/* Overlong forms, surrogates and the C1 controls are refused with the rest. */
		size_t n = 1;
		uint32_t c = src[at];
		if (c >= 0x80) {
			n = c >= 0xf0 && c < 0xf5   ? 4
			    : c >= 0xe0 && c < 0xf0 ? 3
			    : c >= 0xc2 && c < 0xe0 ? 2
						    : 0;
			bool ok = n != 0 && n <= len - at;
			c = ok ? c & (0xffU >> (n + 1)) : 0;
			for (size_t i = 1; ok && i < n; i++) {
				ok = (src[at + i] & 0xc0) == 0x80;
				c = c << 6 | (src[at + i] & 0x3fU);
			}
			static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
			if (!ok || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
				n = 0;
		} else if (c < 0x20 || c == 0x7f) {
			n = 0;
		}
		if (out + (n > 0 ? n : 1) > max)
			break;
		if (n == 0) {
			dst[out++] = '?';
			at++;
			continue;
		}
		memcpy(dst + out, src + at, n);
		out += n;
		at += n;
	}
	return out;
}

/* ---- parsing ---- */

struct certificate_reader {
	struct digester *digester;
	OSSL_LIB_CTX *keyless;  /* without any provider, see certificate_read() */
	OSSL_PROVIDER *nothing; /* its provider, which has no algorithms */
};

struct certificate_reader *certificate_reader_create(struct digester *digester)
{
	struct certificate_reader *reader = calloc(1, sizeof *reader);
	if (reader == NULL)
		return NULL;
	reader->digester = digester;
	reader->keyless = OSSL_LIB_CTX_new();
	if (reader->keyless != NULL)
		reader->nothing = OSSL_PROVIDER_load(reader->keyless, "null");
	if (reader->nothing == NULL) {
		certificate_reader_destroy(reader);
		return NULL;
	}
	return reader;
}

void certificate_reader_destroy(struct certificate_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->nothing != NULL)
		(void)OSSL_PROVIDER_unload(reader->nothing);
	OSSL_LIB_CTX_free(reader->keyless);
	free(reader);
}

static struct span draft_text(struct certificate_draft *draft, const uint8_t *bytes, size_t len,
			      size_t max)
{
	uint8_t *at = draft->text + draft->text_len;
	size_t room = sizeof draft->text - draft->text_len;
	size_t n = clean_text(bytes, len, at, max < room ? max : room);
	draft->text_len += n;
	return span_of(at, n);
}

static struct span draft_name(struct certificate_draft *draft, const X509_NAME *name)
{
	struct span text = {.ptr = NULL, .len = 0};
	BIO *memory = BIO_new(BIO_s_mem());
	/* RFC 2253 and 4514 differ in nothing that matters here; UTF-8 stays as it is. */
	if (memory != NULL &&
	    X509_NAME_print_ex(memory, name, 0,
			       XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
		char *bytes = NULL;
		long len = BIO_get_mem_data(memory, &bytes);
		if (len > 0)
			text = draft_text(draft, (const uint8_t *)bytes, (size_t)len,
					  CERTIFICATE_TEXT_MAX);
	}
	BIO_free(memory);
	return text;
}

static struct span draft_common_name(struct certificate_draft *draft, const X509_NAME *subject)
{
	struct span text = {.ptr = NULL, .len = 0};
	int last = -1;
	for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
		last = at;
	if (last < 0)
		return text;
	uint8_t *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8,
				      X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
	if (len > 0)
		text = draft_text(draft, utf8, (size_t)len, CERTIFICATE_NAME_MAX);
	OPENSSL_free(utf8);
	return text;
}

static void draft_serial(struct certificate_draft *draft, const X509 *certificate)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	char hex[2 * CERTIFICATE_SERIAL_MAX + 1];
	int len = ASN1_STRING_length(serial);
	if (len <= 0 || len > CERTIFICATE_SERIAL_MAX)
		return;
	digest_hex(ASN1_STRING_get0_data(serial), (size_t)len, hex);
	draft->info.serial =
	    draft_text(draft, (const uint8_t *)hex, 2 * (size_t)len, 2 * CERTIFICATE_SERIAL_MAX);
}

static void draft_add_name(struct certificate_draft *draft, const uint8_t *bytes, size_t len)
{
	struct certificate_info *info = &draft->info;
	if (len > CERTIFICATE_NAME_MAX)
		return; /* no host has such a name */
	if (info->name_count == CERTIFICATE_NAMES_MAX ||
	    len > sizeof draft->text - draft->text_len) {
		info->names_truncated = true;
		return;
	}
	draft->names[info->name_count++] = draft_text(draft, bytes, len, CERTIFICATE_NAME_MAX);
}

static void draft_alternative_names(struct certificate_draft *draft, const X509 *certificate)
{
	int critical = -1;
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
	/* There, but repeated or unreadable: nothing can be said of the names. */
	if (names == NULL && critical != -1)
		draft->info.names_truncated = true;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS) {
			int len = ASN1_STRING_length(name->d.dNSName);
			if (len > 0)
				draft_add_name(draft, ASN1_STRING_get0_data(name->d.dNSName),
					       (size_t)len);
			draft->info.has_dns_name = true;
		} else if (name->type == GEN_IPADD) {
			int len = ASN1_STRING_length(name->d.iPAddress);
			struct ip_addr addr = {.version = len == 4 ? 4 : 6};
			char text[IP_ADDR_TEXT];
			if (len != 4 && len != 16)
				continue;
			memcpy(addr.bytes, ASN1_STRING_get0_data(name->d.iPAddress), (size_t)len);
			size_t text_len = ip_addr_text(&addr, text);
			draft_add_name(draft, (const uint8_t *)text, text_len);
		}
	}
	GENERAL_NAMES_free(names);
}

static void draft_key(struct certificate_info *info, X509 *certificate)
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	if (key == NULL)
		return; /* unknown algorithm, or no valid point */
	int bits = EVP_PKEY_get_bits(key);
	info->key_bits = bits > 0 ? (uint32_t)bits : 0;
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		info->key = CERTIFICATE_KEY_RSA;
		break;
	case EVP_PKEY_DSA:
		info->key = CERTIFICATE_KEY_DSA;
		break;
	case EVP_PKEY_DH:
	case EVP_PKEY_DHX:
		info->key = CERTIFICATE_KEY_DH;
		break;
	case EVP_PKEY_EC:
		info->key = CERTIFICATE_KEY_EC;
		break;
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		info->key = CERTIFICATE_KEY_EDDSA;
		break;
	default:
		break;
	}
}

static enum certificate_hash signature_hash_of(X509 *certificate)
{
	int hash = NID_undef, key = NID_undef;
	if (X509_get_signature_info(certificate, &hash, &key, NULL, NULL) != 1 &&
	    OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &hash, &key) != 1)
		return CERTIFICATE_HASH_UNKNOWN;
	switch (hash) {
	case NID_md2:
	case NID_md4:
	case NID_md5:
	case NID_md5_sha1:
		return CERTIFICATE_HASH_OLD;
	case NID_sha1:
		return CERTIFICATE_HASH_SHA1;
	case NID_undef:
		return key == NID_ED25519 || key == NID_ED448 ? CERTIFICATE_HASH_SHA2
							      : CERTIFICATE_HASH_UNKNOWN;
	default:
		return CERTIFICATE_HASH_SHA2;
	}
}

bool certificate_seconds(const ASN1_TIME *time, int64_t *seconds)
{
	struct tm tm;
	if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	/* Days since the epoch in the proleptic Gregorian calendar; March begins the year. */
	int64_t year = tm.tm_year + 1900 - (tm.tm_mon < 2);
	int64_t month = (tm.tm_mon + 10) % 12;
	int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 +
		       tm.tm_mday - 1 - 719468;
	*seconds = ((days * 24 + tm.tm_hour) * 60 + tm.tm_min) * 60 + tm.tm_sec;
	return true;
}

static X509 *decode_into(X509 *certificate, struct span der)
{
	if (der.len == 0 || der.len > CERTIFICATE_DER_MAX) {
		X509_free(certificate);
		return NULL;
	}
	const unsigned char *at = der.ptr;
	X509 *decoded = d2i_X509(certificate != NULL ? &certificate : NULL, &at, (long)der.len);
	ERR_clear_error(); /* on failure d2i freed what it was given */
	return decoded;
}

X509 *certificate_decode(struct span der)
{
	return decode_into(NULL, der);
}

/* The key where it is of a usual kind; info is as it was otherwise. */
static bool draft_usual_key(struct certificate_info *info, struct span der)
{
	switch (public_key_read(der, &info->key_bits)) {
	case PUBLIC_KEY_RSA:
		info->key = CERTIFICATE_KEY_RSA;
		return true;
	case PUBLIC_KEY_EC:
		info->key = CERTIFICATE_KEY_EC;
		return true;
	case PUBLIC_KEY_EDDSA:
		info->key = CERTIFICATE_KEY_EDDSA;
		return true;
	case PUBLIC_KEY_OTHER:
		break;
	}
	return false;
}

/*
 * What the key tells: its digest, and by its kind and size. A certificate of the keyless
 * context was decoded without its key; where that is needed (an unusual one, or to see
 * whether it may have signed its own certificate) *certificate is decoded once more.
 */
static bool draft_public_key(struct certificate_draft *draft, struct digester *digester,
			     X509 **certificate, struct span der)
{
	struct certificate_info *info = &draft->info;
	uint8_t *bytes = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(*certificate), &bytes);
	struct span key = span_of(bytes, len > 0 ? (size_t)len : 0);
	bool self_issued = (X509_get_extension_flags(*certificate) & EXFLAG_SI) != 0;

	if (key.len > 0)
		(void)digest_bytes(digester, DIGEST_SHA256, key, info->key_sha256);
	bool known = !self_issued && draft_usual_key(info, key);
	OPENSSL_free(bytes);
	if (known)
		return true;
	X509_free(*certificate);
	*certificate = certificate_decode(der);
	if (*certificate == NULL)
		return false;
	draft_key(info, *certificate);
	info->self_signed = (X509_get_extension_flags(*certificate) & EXFLAG_SS) != 0;
	return true;
}

/*
 * In a context without any provider OpenSSL does not look for decoders of the public key:
 * that search is most of what decoding a certificate costs.
 */
bool certificate_read(struct certificate_reader *reader, struct span der,
		      struct certificate_draft *draft)
{
	struct certificate_info *info = &draft->info;
	memset(info, 0, sizeof *info);
	draft->text_len = 0;
	X509 *certificate = decode_into(X509_new_ex(reader->keyless, NULL), der);
	if (certificate == NULL)
		return false;
	bool ok = certificate_seconds(X509_get0_notBefore(certificate), &info->not_before) &&
		  certificate_seconds(X509_get0_notAfter(certificate), &info->not_after) &&
		  draft_public_key(draft, reader->digester, &certificate, der);
	if (ok) {
		const X509_NAME *subject = X509_get_subject_name(certificate);
		info->subject = draft_name(draft, subject);
		info->issuer = draft_name(draft, X509_get_issuer_name(certificate));
		info->common_name = draft_common_name(draft, subject);
		draft_serial(draft, certificate);
		draft_alternative_names(draft, certificate);
		info->signature_hash = signature_hash_of(certificate);
	}
	X509_free(certificate);
	ERR_clear_error();
	return ok;
}
