/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/certificate.h"

#include "decoders/addr.h"
#include "decoders/public_key.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SERIAL_MAX = 32,        /* bytes; RFC 5280 4.1.2.2 allows 20 */
	CHAIN_MAX = 8,          /* certificates of a chain that are verified */
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

/* What one certificate's texts need, collected before the block's size is known. */
struct draft {
	struct certificate_info info;
	uint8_t text[2 * CERTIFICATE_TEXT_MAX + CERTIFICATE_NAME_MAX + 2 * SERIAL_MAX +
		     CERTIFICATE_NAMES_MAX * CERTIFICATE_NAME_MAX];
	size_t text_len;
	struct span names[CERTIFICATE_NAMES_MAX];
};

static struct span draft_text(struct draft *draft, const uint8_t *bytes, size_t len, size_t max)
{
	uint8_t *at = draft->text + draft->text_len;
	size_t room = sizeof draft->text - draft->text_len;
	size_t n = clean_text(bytes, len, at, max < room ? max : room);
	draft->text_len += n;
	return span_of(at, n);
}

static struct span draft_name(struct draft *draft, const X509_NAME *name)
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

static struct span draft_common_name(struct draft *draft, const X509_NAME *subject)
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

static void draft_serial(struct draft *draft, const X509 *certificate)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	char hex[2 * SERIAL_MAX + 1];
	int len = ASN1_STRING_length(serial);
	if (len <= 0 || len > SERIAL_MAX)
		return;
	digest_hex(ASN1_STRING_get0_data(serial), (size_t)len, hex);
	draft->info.serial =
	    draft_text(draft, (const uint8_t *)hex, 2 * (size_t)len, 2 * SERIAL_MAX);
}

static void draft_add_name(struct draft *draft, const uint8_t *bytes, size_t len)
{
	struct certificate_info *info = &draft->info;
	if (len > CERTIFICATE_NAME_MAX || info->name_count == CERTIFICATE_NAMES_MAX) {
		info->names_truncated = true;
		return;
	}
	draft->names[info->name_count++] = draft_text(draft, bytes, len, CERTIFICATE_NAME_MAX);
}

static void draft_alternative_names(struct draft *draft, const X509 *certificate)
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

/* False for a time that is no time, or before 1950 or after 9999. */
static bool seconds_of(const ASN1_TIME *time, int64_t *seconds)
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

static X509 *decode(struct span der)
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
static bool draft_public_key(struct draft *draft, struct digester *digester, X509 **certificate,
			     struct span der)
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
	*certificate = decode(der);
	if (*certificate == NULL)
		return false;
	draft_key(info, *certificate);
	info->self_signed = (X509_get_extension_flags(*certificate) & EXFLAG_SS) != 0;
	return true;
}

/*
 * Fills draft from der. False when it is no certificate. keyless: a context without any
 * provider, in which OpenSSL does not look for decoders of the public key: that search is
 * most of what decoding a certificate costs.
 */
static bool parse_certificate(struct draft *draft, struct digester *digester, OSSL_LIB_CTX *keyless,
			      struct span der)
{
	struct certificate_info *info = &draft->info;
	X509 *certificate = decode_into(X509_new_ex(keyless, NULL), der);
	if (certificate == NULL)
		return false;
	bool ok = seconds_of(X509_get0_notBefore(certificate), &info->not_before) &&
		  seconds_of(X509_get0_notAfter(certificate), &info->not_after) &&
		  draft_public_key(draft, digester, &certificate, der);
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

/* ---- anchors ---- */

struct certificate_anchors {
	X509_STORE *store;
	size_t count;
	int64_t *boundaries; /* every not_before and not_after + 1 of the CAs, sorted */
	size_t boundary_count;
};

static void free_certificates(X509 **certificates, size_t count)
{
	for (size_t i = 0; i < count; i++)
		X509_free(certificates[i]);
}

static int compare_times(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static bool anchors_add(struct certificate_anchors *anchors, X509 *certificate)
{
	int64_t from, to;
	if (X509_STORE_add_cert(anchors->store, certificate) != 1)
		return false;
	anchors->count++;
	if (!seconds_of(X509_get0_notBefore(certificate), &from) ||
	    !seconds_of(X509_get0_notAfter(certificate), &to))
		return true; /* never valid, so no boundary */
	int64_t *grown =
	    realloc(anchors->boundaries, (anchors->boundary_count + 2) * sizeof *grown);
	if (grown == NULL)
		return false;
	anchors->boundaries = grown;
	grown[anchors->boundary_count++] = from;
	grown[anchors->boundary_count++] = to + 1;
	return true;
}

/* Adds every certificate of a PEM file; returns their number, -1 when it cannot be opened. */
static int anchors_add_file(struct certificate_anchors *anchors, const char *path)
{
	BIO *file = BIO_new_file(path, "r");
	if (file == NULL)
		return -1;
	int added = 0;
	for (;;) {
		X509 *certificate = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL);
		if (certificate == NULL)
			break;
		if (anchors_add(anchors, certificate))
			added++;
		X509_free(certificate);
	}
	BIO_free(file);
	ERR_clear_error();
	return added;
}

/* Adds what the regular files of a directory hold; others are not certificates' business. */
static int anchors_add_directory(struct certificate_anchors *anchors, const char *path)
{
	DIR *directory = opendir(path);
	if (directory == NULL)
		return -1;
	int added = 0;
	const struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		char file[4096];
		int len = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
		if (entry->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof file)
			continue;
		int n = anchors_add_file(anchors, file);
		added += n > 0 ? n : 0;
	}
	(void)closedir(directory);
	return added;
}

static bool anchors_told(int added, const char *path, char *error, size_t error_size)
{
	if (added > 0)
		return true;
	if (added < 0)
		(void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
	else
		(void)snprintf(error, error_size, "%s: no certificate in PEM form", path);
	return false;
}

struct certificate_anchors *certificate_anchors_create(const char *ca_file, const char *ca_path,
						       char *error, size_t error_size)
{
	struct certificate_anchors *anchors = calloc(1, sizeof *anchors);
	if (anchors == NULL || (anchors->store = X509_STORE_new()) == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		certificate_anchors_destroy(anchors);
		return NULL;
	}
	if ((ca_file != NULL &&
	     !anchors_told(anchors_add_file(anchors, ca_file), ca_file, error, error_size)) ||
	    (ca_path != NULL &&
	     !anchors_told(anchors_add_directory(anchors, ca_path), ca_path, error, error_size))) {
		certificate_anchors_destroy(anchors);
		return NULL;
	}
	if (anchors->boundary_count > 0)
		qsort(anchors->boundaries, anchors->boundary_count, sizeof *anchors->boundaries,
		      compare_times);
	return anchors;
}

void certificate_anchors_destroy(struct certificate_anchors *anchors)
{
	if (anchors == NULL)
		return;
	X509_STORE_free(anchors->store);
	free(anchors->boundaries);
	free(anchors);
}

/* ---- the cache ---- */

struct entry {
	struct certificate_info info; /* first: a block is an entry and its texts */
	atomic_uint holders;
	struct entry *next; /* in the bucket */
	size_t size;        /* of the block */
	bool recent;        /* used since the clock's hand passed */
};

/* A verdict on a chain, good for packet times in [from, to). */
struct chain_verdict {
	uint8_t sha256[DIGEST_SHA256_SIZE]; /* of the chain's DERs, one after the other */
	int64_t from, to;
	uint32_t problems;
	bool used;
};

struct certificate_cache {
	struct budget *budget;
	const struct certificate_anchors *anchors;
	struct digester *digester;
	struct draft *draft; /* working room, too large for a stack */
	OSSL_LIB_CTX *keyless;  /* see parse_certificate() */
	OSSL_PROVIDER *nothing; /* its provider, which has no algorithms */
	size_t cap, count, hand, buckets;
	struct entry **slots;           /* cap of them, for the clock; the first count are used */
	struct entry **table;           /* buckets of them */
	struct chain_verdict *verdicts; /* cap of them, direct-mapped; made with the first */
	uint32_t last_id;
	struct certificate_cache_counts counts;
};

struct certificate_cache *certificate_cache_create(struct budget *budget,
						   const struct certificate_anchors *anchors,
						   size_t cap)
{
	struct certificate_cache *cache = budget_calloc(budget, 1, sizeof *cache);
	if (cache == NULL)
		return NULL;
	cache->budget = budget;
	cache->anchors = anchors;
	cache->cap = cap > 0 ? cap : 1;
	cache->buckets = 1;
	while (cache->buckets < cache->cap && cache->buckets <= SIZE_MAX / 4)
		cache->buckets *= 2;
	cache->digester = digester_create();
	cache->keyless = OSSL_LIB_CTX_new();
	if (cache->keyless != NULL)
		cache->nothing = OSSL_PROVIDER_load(cache->keyless, "null");
	cache->draft = budget_alloc(budget, sizeof *cache->draft);
	cache->slots = budget_calloc(budget, cache->cap, sizeof(struct entry *));
	cache->table = budget_calloc(budget, cache->buckets, sizeof(struct entry *));
	if (cache->digester == NULL || cache->nothing == NULL || cache->draft == NULL ||
	    cache->slots == NULL || cache->table == NULL) {
		certificate_cache_destroy(cache);
		return NULL;
	}
	return cache;
}

void certificate_cache_destroy(struct certificate_cache *cache)
{
	if (cache == NULL)
		return;
	struct budget *budget = cache->budget;
	for (size_t i = 0; i < cache->count; i++)
		budget_free(budget, cache->slots[i], cache->slots[i]->size);
	digester_destroy(cache->digester);
	if (cache->nothing != NULL)
		(void)OSSL_PROVIDER_unload(cache->nothing);
	OSSL_LIB_CTX_free(cache->keyless);
	budget_free(budget, cache->draft, sizeof *cache->draft);
	budget_free(budget, cache->slots, cache->cap * sizeof(struct entry *));
	budget_free(budget, cache->table, cache->buckets * sizeof(struct entry *));
	budget_free(budget, cache->verdicts, cache->cap * sizeof *cache->verdicts);
	budget_free(budget, cache, sizeof *cache);
}

const struct certificate_cache_counts *
certificate_cache_counts(const struct certificate_cache *cache)
{
	return &cache->counts;
}

void certificate_hold(const struct certificate_info *info)
{
	if (info != NULL)
		(void)atomic_fetch_add_explicit(info->holders, 1, memory_order_relaxed);
}

void certificate_release(const struct certificate_info *info)
{
	/* Release: what was read of it is read before the cache may free it. */
	if (info != NULL)
		(void)atomic_fetch_sub_explicit(info->holders, 1, memory_order_release);
}

/* Digests that fall together can be searched for; a bucket is never longer than the cap. */
static size_t digest_slot(const uint8_t sha256[DIGEST_SHA256_SIZE], size_t count)
{
	uint64_t prefix;
	memcpy(&prefix, sha256, sizeof prefix);
	return (size_t)(prefix % count);
}

static void unlink_entry(struct certificate_cache *cache, const struct entry *entry)
{
	struct entry **at = &cache->table[digest_slot(entry->info.sha256, cache->buckets)];
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

/* The slot for a new entry: an unused one, or that of the victim of the clock. */
static struct entry **make_room(struct certificate_cache *cache)
{
	if (cache->count < cache->cap)
		return &cache->slots[cache->count];
	/* Two rounds: the first takes the second chances away. */
	for (size_t step = 0; step < 2 * cache->cap; step++) {
		struct entry **slot = &cache->slots[cache->hand];
		struct entry *entry = *slot;
		cache->hand = (cache->hand + 1) % cache->cap;
		if (atomic_load_explicit(&entry->holders, memory_order_acquire) > 0)
			continue;
		if (entry->recent) {
			entry->recent = false;
			continue;
		}
		unlink_entry(cache, entry);
		budget_free(cache->budget, entry, entry->size);
		*slot = NULL;
		cache->counts.evicted++;
		return slot;
	}
	return NULL;
}

/* Copies a span of the draft's text into the entry's. */
static struct span moved(struct span text, const struct draft *draft, const uint8_t *to)
{
	return text.len == 0 ? text : span_of(to + (text.ptr - draft->text), text.len);
}

/* A block with the entry, the array of its names, and their texts behind one another. */
static struct entry *make_entry(struct certificate_cache *cache)
{
	const struct draft *draft = cache->draft;
	size_t names_size = draft->info.name_count * sizeof(struct span);
	size_t size = sizeof(struct entry) + names_size + draft->text_len;
	struct entry *entry = budget_alloc(cache->budget, size);
	if (entry == NULL)
		return NULL;
	*entry = (struct entry){.info = draft->info, .size = size};
	struct span *names = (struct span *)(void *)(entry + 1);
	uint8_t *text = (uint8_t *)(names + draft->info.name_count);
	memcpy(text, draft->text, draft->text_len);
	for (unsigned i = 0; i < draft->info.name_count; i++)
		names[i] = moved(draft->names[i], draft, text);
	entry->info.names = names;
	entry->info.subject = moved(draft->info.subject, draft, text);
	entry->info.issuer = moved(draft->info.issuer, draft, text);
	entry->info.common_name = moved(draft->info.common_name, draft, text);
	entry->info.serial = moved(draft->info.serial, draft, text);
	entry->info.holders = &entry->holders;
	atomic_init(&entry->holders, 0);
	return entry;
}

static struct entry *add_entry(struct certificate_cache *cache, struct span der,
			       const uint8_t sha256[DIGEST_SHA256_SIZE])
{
	struct draft *draft = cache->draft;
	memset(&draft->info, 0, sizeof draft->info);
	draft->text_len = 0;
	if (!parse_certificate(draft, cache->digester, cache->keyless, der)) {
		cache->counts.malformed++;
		return NULL;
	}
	cache->counts.parsed++;
	memcpy(draft->info.sha256, sha256, DIGEST_SHA256_SIZE);
	struct entry *entry = make_entry(cache);
	struct entry **slot = entry != NULL ? make_room(cache) : NULL;
	if (slot == NULL) {
		if (entry != NULL)
			budget_free(cache->budget, entry, entry->size);
		cache->counts.refused++;
		return NULL;
	}
	if (slot == &cache->slots[cache->count])
		cache->count++;
	*slot = entry;
	entry->info.id = ++cache->last_id;
	struct entry **bucket = &cache->table[digest_slot(sha256, cache->buckets)];
	entry->next = *bucket;
	*bucket = entry;
	return entry;
}

const struct certificate_info *certificate_cache_get(struct certificate_cache *cache,
						     struct span der,
						     uint8_t sha256[DIGEST_SHA256_SIZE])
{
	(void)digest_bytes(cache->digester, DIGEST_SHA256, der, sha256);
	struct entry *entry = cache->table[digest_slot(sha256, cache->buckets)];
	while (entry != NULL && memcmp(entry->info.sha256, sha256, DIGEST_SHA256_SIZE) != 0)
		entry = entry->next;
	if (entry != NULL)
		cache->counts.hits++;
	else
		entry = add_entry(cache, der, sha256);
	if (entry == NULL)
		return NULL;
	entry->recent = true;
	certificate_hold(&entry->info);
	return &entry->info;
}

/* ---- judgement ---- */

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
	if (ip_addr_parse((const char *)name.ptr, name.len, &addr))
		return false;
	size_t label = 0;
	while (label < name.len && name.ptr[label] != '.')
		label++;
	struct span parent = span_skip(pattern, 1);
	/* "*.com" would be every name there is: at least two labels have to stand fast. */
	return label > 0 && memchr(parent.ptr + 1, '.', parent.len - 1) != NULL &&
	       span_equal_nocase(parent, span_skip(name, label));
}

static bool any_name_matches(const struct certificate_info *info, struct span name)
{
	for (unsigned i = 0; i < info->name_count; i++)
		if (certificate_name_matches(info->names[i], name))
			return true;
	return !info->has_dns_name && certificate_name_matches(info->common_name, name);
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

	bool match = name_count == 0 || info->names_truncated;
	for (size_t i = 0; i < name_count && !match; i++)
		match = any_name_matches(info, names[i]);
	if (!match)
		problems |= CERTIFICATE_NAME_MISMATCH;

	if (!info->self_signed && info->signature_hash == CERTIFICATE_HASH_OLD)
		problems |= CERTIFICATE_MD5_SIGNATURE;
	if (!info->self_signed && info->signature_hash == CERTIFICATE_HASH_SHA1)
		problems |= CERTIFICATE_SHA1_SIGNATURE;
	if (weak_integer_key(info->key) && info->key_bits < STRONG_RSA_BITS)
		problems |= CERTIFICATE_WEAK_RSA_KEY;
	if (info->key == CERTIFICATE_KEY_EC && info->key_bits < STRONG_EC_BITS)
		problems |= CERTIFICATE_WEAK_EC_KEY;
	return problems;
}

/* Narrows [*from, *to) around time so that boundary lies outside or at its start. */
static void narrow(int64_t *from, int64_t *to, int64_t time, int64_t boundary)
{
	if (boundary <= time && boundary > *from)
		*from = boundary;
	if (boundary > time && boundary < *to)
		*to = boundary;
}

/* The packet times around time at which the same certificates are valid as at time. */
static void verdict_period(const struct certificate_anchors *anchors, X509 *const *chain,
			   size_t count, int64_t time, int64_t *from, int64_t *to)
{
	*from = INT64_MIN;
	*to = INT64_MAX;
	for (size_t i = 0; i < count; i++) {
		int64_t boundary;
		if (seconds_of(X509_get0_notBefore(chain[i]), &boundary))
			narrow(from, to, time, boundary);
		if (seconds_of(X509_get0_notAfter(chain[i]), &boundary))
			narrow(from, to, time, boundary + 1);
	}
	for (size_t i = 0; i < anchors->boundary_count; i++)
		narrow(from, to, time, anchors->boundaries[i]);
}

static uint32_t problems_of(int error)
{
	switch (error) {
	case X509_V_OK:
		return 0;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return CERTIFICATE_SELF_SIGNED;
	default:
		return CERTIFICATE_NOT_ANCHORED;
	}
}

/*
 * Verifies the chain at a time; for an expired leaf, without regard to time. Extended
 * key usage is not asked for: the question is who vouches for the name.
 */
static uint32_t verify_chain(const struct certificate_anchors *anchors, X509 *const *chain,
			     size_t count, int64_t time)
{
	uint32_t problems = CERTIFICATE_NOT_ANCHORED;
	int64_t from = INT64_MIN, to = INT64_MAX;
	(void)seconds_of(X509_get0_notBefore(chain[0]), &from);
	(void)seconds_of(X509_get0_notAfter(chain[0]), &to);

	X509_STORE_CTX *context = X509_STORE_CTX_new();
	STACK_OF(X509) *untrusted = sk_X509_new_null();
	bool ok = context != NULL && untrusted != NULL;
	for (size_t i = 1; i < count && ok; i++)
		ok = sk_X509_push(untrusted, chain[i]) > 0;
	if (ok && X509_STORE_CTX_init(context, anchors->store, chain[0], untrusted) == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
		X509_VERIFY_PARAM_set_depth(param, CHAIN_MAX);
		/* A given CA is an anchor whether or not it is a root. */
		unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
		if (time < from || time > to)
			flags |= X509_V_FLAG_NO_CHECK_TIME;
		else
			X509_VERIFY_PARAM_set_time(param, time);
		(void)X509_VERIFY_PARAM_set_flags(param, flags);
		if (X509_verify_cert(context) == 1)
			problems = 0;
		else
			problems = problems_of(X509_STORE_CTX_get_error(context));
	}
	sk_X509_free(untrusted);
	X509_STORE_CTX_free(context);
	ERR_clear_error();
	return problems;
}

/* The digest of the whole chain, or false. */
static bool chain_digest(const struct digester *digester, const struct span *ders, size_t count,
			 uint8_t sha256[DIGEST_SHA256_SIZE])
{
	struct digest_stream *stream = digest_stream_create(digester, DIGEST_SHA256);
	bool ok = stream != NULL;
	/* DER carries its length, so that no two chains have the same bytes. */
	for (size_t i = 0; i < count && ok; i++)
		ok = digest_stream_update(stream, ders[i]);
	ok = ok && digest_stream_finish(stream, sha256);
	digest_stream_destroy(stream);
	return ok;
}

uint32_t certificate_cache_judge_chain(struct certificate_cache *cache, const struct span *ders,
				       size_t count, int64_t time_s)
{
	uint8_t sha256[DIGEST_SHA256_SIZE];
	X509 *chain[CHAIN_MAX];
	size_t decoded = 0;
	if (cache->anchors == NULL || count == 0)
		return 0;
	if (count > CHAIN_MAX)
		count = CHAIN_MAX;
	bool keyed = chain_digest(cache->digester, ders, count, sha256);
	if (cache->verdicts == NULL)
		cache->verdicts = budget_calloc(cache->budget, cache->cap, sizeof *cache->verdicts);
	struct chain_verdict *verdict = keyed && cache->verdicts != NULL
					    ? &cache->verdicts[digest_slot(sha256, cache->cap)]
					    : NULL;
	if (verdict != NULL && verdict->used && time_s >= verdict->from && time_s < verdict->to &&
	    memcmp(verdict->sha256, sha256, sizeof sha256) == 0)
		return verdict->problems;

	for (size_t i = 0; i < count; i++) {
		X509 *certificate = decode(ders[i]);
		if (certificate != NULL)
			chain[decoded++] = certificate;
		else if (i == 0)
			break; /* no leaf: reported as no certificate */
	}
	uint32_t problems = 0;
	if (decoded > 0) {
		int64_t from, to;
		cache->counts.verified++;
		problems = verify_chain(cache->anchors, chain, decoded, time_s);
		verdict_period(cache->anchors, chain, decoded, time_s, &from, &to);
		if (verdict != NULL) {
			*verdict = (struct chain_verdict){
			    .from = from, .to = to, .problems = problems, .used = true};
			memcpy(verdict->sha256, sha256, sizeof sha256);
		}
	}
	free_certificates(chain, decoded);
	return problems;
}
