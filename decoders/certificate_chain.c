/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/certificate_chain.h"

#include "decoders/certificate_x509.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the given CAs ---- */

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
	if (!certificate_seconds(X509_get0_notBefore(certificate), &from) ||
	    !certificate_seconds(X509_get0_notAfter(certificate), &to))
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

/* Whether a PEM file was read to its end, and not to a block that is broken. */
static bool read_to_end(void)
{
	unsigned long error = ERR_peek_last_error();
	return error == 0 ||
	       (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE);
}

/*
 * Adds every certificate of a PEM file; returns their number, -1 when it cannot be opened.
 * *broken: behind them stands what cannot be read, and what follows it is not.
 */
static int anchors_add_file(struct certificate_anchors *anchors, const char *path, bool *broken)
{
	BIO *file = BIO_new_file(path, "r");
	if (file == NULL)
		return -1;
	int added = 0;
	ERR_clear_error();
	for (;;) {
		X509 *certificate = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL);
		if (certificate == NULL)
			break;
		if (anchors_add(anchors, certificate))
			added++;
		X509_free(certificate);
	}
	BIO_free(file);
	*broken = !read_to_end();
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
		bool broken;
		int n = anchors_add_file(anchors, file, &broken);
		added += n > 0 ? n : 0;
	}
	(void)closedir(directory);
	return added;
}

static bool anchors_told(int added, bool broken, const char *path, char *error, size_t error_size)
{
	if (added > 0 && !broken)
		return true;
	if (added > 0)
		(void)snprintf(error, error_size,
			       "%s: the PEM block behind its first %d %s cannot be read", path,
			       added, added == 1 ? "certificate" : "certificates");
	else if (added < 0)
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
	bool broken = false;
	int of_file = ca_file != NULL ? anchors_add_file(anchors, ca_file, &broken) : 0;
	if ((ca_file != NULL && !anchors_told(of_file, broken, ca_file, error, error_size)) ||
	    (ca_path != NULL && !anchors_told(anchors_add_directory(anchors, ca_path), false,
					      ca_path, error, error_size))) {
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

/* ---- a chain ---- */

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
		if (certificate_seconds(X509_get0_notBefore(chain[i]), &boundary))
			narrow(from, to, time, boundary);
		if (certificate_seconds(X509_get0_notAfter(chain[i]), &boundary))
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
	(void)certificate_seconds(X509_get0_notBefore(chain[0]), &from);
	(void)certificate_seconds(X509_get0_notAfter(chain[0]), &to);

	X509_STORE_CTX *context = X509_STORE_CTX_new();
	STACK_OF(X509) *untrusted = sk_X509_new_null();
	bool ok = context != NULL && untrusted != NULL;
	for (size_t i = 1; i < count && ok; i++)
		ok = sk_X509_push(untrusted, chain[i]) > 0;
	if (ok && X509_STORE_CTX_init(context, anchors->store, chain[0], untrusted) == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
		X509_VERIFY_PARAM_set_depth(param, CERTIFICATE_CHAIN_MAX);
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

bool certificate_anchors_judge(const struct certificate_anchors *anchors, const struct span *ders,
			       size_t count, int64_t time_s, struct chain_judgement *judgement)
{
	X509 *chain[CERTIFICATE_CHAIN_MAX];
	size_t decoded = 0;
	for (size_t i = 0; i < count; i++) {
		X509 *certificate = certificate_decode(ders[i]);
		if (certificate != NULL)
			chain[decoded++] = certificate;
		else if (i == 0)
			return false;
	}
	if (decoded == 0)
		return false;
	judgement->problems = verify_chain(anchors, chain, decoded, time_s);
	verdict_period(anchors, chain, decoded, time_s, &judgement->from, &judgement->to);
	free_certificates(chain, decoded);
	return true;
}
