/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

struct redis_tls_context {
	SSL_CTX *ssl;
	char *server_name;
};

struct redis_tls {
	SSL *ssl;
	BIO *in;  /* from the network; owned by ssl */
	BIO *out; /* for the network; owned by ssl */
	unsigned long error;
};

static struct redis_tls_context *refuse(struct redis_tls_context *context, char *error,
					size_t error_size, const char *what)
{
	char reason[160];

	ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
	(void)snprintf(error, error_size, "TLS: %s: %s", what, reason);
	redis_tls_context_free(context);
	return NULL;
}

struct redis_tls_context *redis_tls_context_new(const struct redis_tls_config *config, char *error,
						size_t error_size)
{
	struct redis_tls_context *context = calloc(1, sizeof(*context));
	const char *key = config->key != NULL ? config->key : config->certificate;

	ERR_clear_error();
	if (context == NULL || (context->ssl = SSL_CTX_new(TLS_client_method())) == NULL)
		return refuse(context, error, error_size, "cannot start");
	if (config->server_name != NULL &&
	    (context->server_name = strdup(config->server_name)) == NULL)
		return refuse(context, error, error_size, "out of memory");
	SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
	/* A server that closes without close_notify is a closed connection, no more. */
	SSL_CTX_set_options(context->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (config->ca_file == NULL && config->ca_path == NULL) {
		if (SSL_CTX_set_default_verify_paths(context->ssl) != 1)
			return refuse(context, error, error_size, "cannot load the system's CAs");
	} else if (SSL_CTX_load_verify_locations(context->ssl, config->ca_file, config->ca_path) !=
		   1) {
		return refuse(context, error, error_size, "cannot load the CA");
	}
	if (config->certificate != NULL &&
	    (SSL_CTX_use_certificate_chain_file(context->ssl, config->certificate) != 1 ||
	     SSL_CTX_use_PrivateKey_file(context->ssl, key, SSL_FILETYPE_PEM) != 1 ||
	     SSL_CTX_check_private_key(context->ssl) != 1))
		return refuse(context, error, error_size, "cannot use the client certificate");
	return context;
}

void redis_tls_context_free(struct redis_tls_context *context)
{
	if (context == NULL)
		return;
	SSL_CTX_free(context->ssl);
	free(context->server_name);
	free(context);
}

/* The name that the certificate must carry: an address is checked as an address. */
static bool set_peer(SSL *ssl, const char *name)
{
	uint8_t address[16];

	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	return SSL_set1_host(ssl, name) == 1 &&
	       SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			(void *)(uintptr_t)name) == 1;
}

struct redis_tls *redis_tls_new(struct redis_tls_context *context, const char *host)
{
	struct redis_tls *tls = calloc(1, sizeof(*tls));
	const char *name = context->server_name != NULL ? context->server_name : host;

	ERR_clear_error();
	if (tls == NULL)
		return NULL;
	tls->ssl = SSL_new(context->ssl);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL || !set_peer(tls->ssl, name)) {
		BIO_free(tls->in);
		BIO_free(tls->out);
		SSL_free(tls->ssl);
		free(tls);
		return NULL;
	}
	/* An empty memory BIO means "not yet", not "end of file". */
	BIO_set_mem_eof_return(tls->in, -1);
	BIO_set_mem_eof_return(tls->out, -1);
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	SSL_set_connect_state(tls->ssl);
	return tls;
}

void redis_tls_free(struct redis_tls *tls)
{
	if (tls == NULL)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

static enum redis_tls_status status_of(struct redis_tls *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_NONE:
		return REDIS_TLS_OK;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return REDIS_TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return REDIS_TLS_CLOSED;
	default:
		tls->error = ERR_peek_last_error();
		return REDIS_TLS_FAILED;
	}
}

enum redis_tls_status redis_tls_handshake(struct redis_tls *tls)
{
	ERR_clear_error();
	return status_of(tls, SSL_do_handshake(tls->ssl));
}

bool redis_tls_feed(struct redis_tls *tls, struct span bytes)
{
	size_t written;

	return bytes.len == 0 ||
	       (BIO_write_ex(tls->in, bytes.ptr, bytes.len, &written) == 1 && written == bytes.len);
}

size_t redis_tls_drain(struct redis_tls *tls, uint8_t *out, size_t size)
{
	size_t got = 0;

	return BIO_read_ex(tls->out, out, size, &got) == 1 ? got : 0;
}

enum redis_tls_status redis_tls_write(struct redis_tls *tls, struct span bytes)
{
	size_t written;

	ERR_clear_error();
	/* The memory BIO takes everything, so a write is whole or failed. */
	return status_of(tls, SSL_write_ex(tls->ssl, bytes.ptr, bytes.len, &written));
}

enum redis_tls_status redis_tls_read(struct redis_tls *tls, uint8_t *out, size_t size, size_t *got)
{
	*got = 0;
	ERR_clear_error();
	return status_of(tls, SSL_read_ex(tls->ssl, out, size, got));
}

const char *redis_tls_error(const struct redis_tls *tls, char *out, size_t size)
{
	long verdict = SSL_get_verify_result(tls->ssl);
	const char *reason = ERR_reason_error_string(tls->error);

	if (verdict != X509_V_OK)
		(void)snprintf(out, size, "certificate: %s",
			       X509_verify_cert_error_string(verdict));
	else
		(void)snprintf(out, size, "%s", reason != NULL ? reason : "handshake failed");
	return out;
}
