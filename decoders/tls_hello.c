/* SPDX-License-Identifier: Apache-2.0 */
/* What the messages of a handshake in the clear say: hellos, certificates, key exchanges. */
#include "decoders/tls_internal.h"

bool tls_is_grease(uint16_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

static bool is_draft(uint16_t wire)
{
	return wire >> 8 == 0x7f;
}

/* What a server chose: drafts of TLS 1.3 (0x7fNN) are it. */
static uint16_t version_of(uint16_t wire)
{
	return is_draft(wire) ? TLS_VERSION_1_3 : wire;
}

/* TLS 1.3 is offered by supported_versions alone, whatever this field says (RFC 8446 4.2.1). */
static uint16_t legacy_offer(uint16_t wire)
{
	return wire < TLS_VERSION_1_2 ? wire : TLS_VERSION_1_2;
}

static struct span server_name_of(struct span extension)
{
	struct cursor c = cursor_of(extension);
	struct cursor list = cursor_sub(&c, cursor_u16(&c));
	while (!list.failed && list.left > 0) {
		uint8_t type = cursor_u8(&list);
		struct span name = cursor_take(&list, cursor_u16(&list));
		if (type == 0 && !list.failed)
			return name;
	}
	return (struct span){.ptr = NULL, .len = 0};
}

static struct span first_protocol_of(struct span extension)
{
	struct cursor c = cursor_of(extension);
	struct cursor list = cursor_sub(&c, cursor_u16(&c));
	return cursor_take(&list, cursor_u8(&list));
}

/* The highest of the versions that there are; *draft: a draft is among them. 0: none. */
static uint16_t highest_version_of(struct span extension, bool *draft)
{
	struct cursor c = cursor_of(extension);
	struct cursor list = cursor_sub(&c, cursor_u8(&c));
	uint16_t highest = 0;
	while (!list.failed && list.left >= 2) {
		uint16_t wire = cursor_u16(&list);
		if (wire > highest && wire <= TLS_VERSION_1_3)
			highest = wire;
		*draft = *draft || is_draft(wire);
	}
	return highest;
}

static bool suites_have(const struct tls_hello *hello, uint16_t suite)
{
	struct cursor c = cursor_of(hello->suites);
	while (c.left >= 2) {
		if (hello->sslv2_format && cursor_u8(&c) != 0) {
			cursor_skip(&c, 2);
			continue;
		}
		if (cursor_u16(&c) == suite)
			return true;
	}
	return false;
}

/* The fields that both hellos begin with (RFC 8446 4.1.2, 4.1.3). */
static void read_hello_head(struct cursor *c, struct tls_hello *hello)
{
	hello->legacy_version = cursor_u16(c);
	hello->random = cursor_take(c, RANDOM_LEN);
	hello->session_id = cursor_take(c, cursor_u8(c));
}

/* SSL 3.0 to TLS 1.2 may end here; otherwise one block of extensions and no more. */
static bool read_extension_block(struct cursor *c, struct tls_hello *hello)
{
	if (c->failed || hello->session_id.len > 32)
		return false;
	if (c->left == 0)
		return true;
	hello->has_extensions = true;
	hello->extensions = cursor_take(c, cursor_u16(c));
	return !c->failed && c->left == 0;
}

bool tls_read_client_hello(struct span message, struct tls_hello *hello, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message};
	read_hello_head(&c, hello);
	hello->suites = cursor_take(&c, cursor_u16(&c));
	cursor_skip(&c, cursor_u8(&c)); /* compression methods */
	if (!read_extension_block(&c, hello) || hello->legacy_version >> 8 != 3 ||
	    hello->suites.len < 2 || hello->suites.len % 2 != 0)
		return false;

	uint16_t highest = 0;
	bool draft = false, early_data = false, encrypted_hello = false;
	struct cursor extensions = cursor_of(hello->extensions);
	while (extensions.left > 0) {
		uint16_t type = cursor_u16(&extensions);
		struct span body = cursor_take(&extensions, cursor_u16(&extensions));
		if (extensions.failed)
			return false;
		switch (type) {
		case EXTENSION_SERVER_NAME:
			hello->server_name = server_name_of(body);
			break;
		case EXTENSION_ALPN:
			hello->alpn = first_protocol_of(body);
			break;
		case EXTENSION_SUPPORTED_VERSIONS:
			highest = highest_version_of(body, &draft);
			break;
		case EXTENSION_EARLY_DATA:
			early_data = true;
			break;
		case EXTENSION_ENCRYPTED_CLIENT_HELLO:
			encrypted_hello = true;
			break;
		default:
			break;
		}
	}
	if (!facts->client_hello) {
		/* The second hello, after a HelloRetryRequest, offers no more than the first. */
		facts->offered_version =
		    highest != 0 ? highest : legacy_offer(hello->legacy_version);
		facts->offered_draft = draft;
		facts->fallback_scsv = suites_have(hello, SUITE_FALLBACK_SCSV);
		facts->early_data = early_data;
		facts->encrypted_hello = encrypted_hello;
	}
	facts->client_hello = true;
	return true;
}

/* SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3). */
static const uint8_t retry_random[RANDOM_LEN] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

static enum tls_sentinel sentinel_of(struct span random)
{
	static const uint8_t downgrade[7] = {'D', 'O', 'W', 'N', 'G', 'R', 'D'};
	const uint8_t *tail = random.ptr + RANDOM_LEN - 8;
	if (memcmp(tail, downgrade, sizeof downgrade) != 0)
		return TLS_SENTINEL_NONE;
	switch (tail[7]) {
	case 1:
		return TLS_SENTINEL_TO_1_2;
	case 0:
		return TLS_SENTINEL_TO_1_1;
	default:
		return TLS_SENTINEL_NONE;
	}
}

bool tls_read_server_hello(struct span message, struct tls_hello *hello, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message};
	read_hello_head(&c, hello);
	hello->suite = cursor_u16(&c);
	cursor_skip(&c, 1); /* compression method */
	if (!read_extension_block(&c, hello))
		return false;

	uint16_t chosen = hello->legacy_version, group = 0;
	bool psk = false;
	struct cursor extensions = cursor_of(hello->extensions);
	while (extensions.left > 0) {
		uint16_t type = cursor_u16(&extensions);
		struct span body = cursor_take(&extensions, cursor_u16(&extensions));
		struct cursor field = cursor_of(body);
		if (extensions.failed)
			return false;
		switch (type) {
		case EXTENSION_SUPPORTED_VERSIONS:
			chosen = cursor_u16(&field);
			break;
		case EXTENSION_KEY_SHARE:
			group = cursor_u16(&field);
			break;
		case EXTENSION_PRE_SHARED_KEY:
			psk = true;
			break;
		case EXTENSION_ALPN:
			hello->alpn = first_protocol_of(body);
			break;
		default:
			break;
		}
	}
	const uint16_t version = version_of(chosen);
	if (version < TLS_VERSION_SSL3 || version > TLS_VERSION_1_3)
		return false;
	facts->version = version;
	if (is_draft(chosen) && facts->offered_draft)
		facts->offered_version = TLS_VERSION_1_3; /* this server speaks it */
	facts->suite = hello->suite;
	facts->group = group;
	if (memcmp(hello->random.ptr, retry_random, RANDOM_LEN) == 0) {
		facts->hello_retry = true;
		return true;
	}
	facts->server_hello = true;
	facts->resumed = psk && version == TLS_VERSION_1_3;
	facts->sentinel = (uint8_t)sentinel_of(hello->random);
	return true;
}

/* CLIENT-HELLO of SSL 2.0 (RFC 6101 E.1), the form that old clients wrap newer offers in. */
bool tls_read_sslv2_client_hello(struct span message, struct tls_hello *hello,
				 struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message, .sslv2_format = true};
	cursor_skip(&c, 1);
	hello->legacy_version = cursor_u16(&c);
	uint16_t suites_len = cursor_u16(&c), session_id_len = cursor_u16(&c);
	uint16_t challenge_len = cursor_u16(&c);
	hello->suites = cursor_take(&c, suites_len);
	hello->session_id = cursor_take(&c, session_id_len);
	hello->random = cursor_take(&c, challenge_len);
	if (c.failed || suites_len < 3 || suites_len % 3 != 0)
		return false;
	facts->client_hello = true;
	facts->offered_version = legacy_offer(hello->legacy_version);
	facts->fallback_scsv = suites_have(hello, SUITE_FALLBACK_SCSV);
	return true;
}

/* SERVER-HELLO of SSL 2.0; it carries the certificate, which may be empty. */
bool tls_read_sslv2_server_hello(struct span message, struct tls_hello *hello,
				 struct span *certificate, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message, .sslv2_format = true};
	cursor_skip(&c, 1);
	uint8_t session_id_hit = cursor_u8(&c);
	cursor_skip(&c, 1); /* certificate type */
	hello->legacy_version = cursor_u16(&c);
	uint16_t certificate_len = cursor_u16(&c), suites_len = cursor_u16(&c);
	uint16_t connection_id_len = cursor_u16(&c);
	*certificate = cursor_take(&c, certificate_len);
	hello->suites = cursor_take(&c, suites_len);
	hello->session_id = cursor_take(&c, connection_id_len);
	if (c.failed || hello->legacy_version != TLS_VERSION_SSL2 || suites_len % 3 != 0)
		return false;
	if (suites_len >= 3)
		hello->suite = hello->suites.ptr[0];
	facts->server_hello = true;
	facts->version = TLS_VERSION_SSL2;
	facts->suite = hello->suite;
	facts->resumed = session_id_hit != 0;
	return true;
}

/* certificate_list (RFC 5246 7.4.2); told only when whole and well-formed. */
bool tls_read_chain(struct span message, struct tls_step *step)
{
	struct cursor c = cursor_of(message);
	struct cursor list = cursor_sub(&c, cursor_u24(&c));
	if (c.failed || c.left != 0)
		return false;
	while (list.left > 0) {
		struct span der = cursor_take(&list, cursor_u24(&list));
		if (list.failed || der.len == 0)
			return false;
		if (step->chain_len < TLS_CHAIN_MAX)
			step->chain[step->chain_len++] = der;
		step->chain_sent++;
	}
	return true;
}

/*
 * The group of a ServerKeyExchange (RFC 5246 7.4.3, 8422 5.4). Which form it
 * has depends on the suite, but the forms can be told apart: a named curve
 * begins with 3, and a prime of 0x0300 to 0x03ff bytes would be above 6144 bits.
 */
void tls_read_key_exchange(struct span message, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	if (message.len >= 4 && message.ptr[0] == CURVE_TYPE_NAMED &&
	    message.len >= 4U + message.ptr[3]) {
		cursor_skip(&c, 1);
		facts->group = cursor_u16(&c);
		return;
	}
	struct span prime = cursor_take(&c, cursor_u16(&c));
	while (prime.len > 0 && prime.ptr[0] == 0)
		prime = span_skip(prime, 1);
	if (prime.len == 0 || prime.len > 2048)
		return;
	unsigned top_bits = 0;
	for (unsigned top = prime.ptr[0]; top != 0; top >>= 1)
		top_bits++;
	/* Generator and public value have to follow, or it is another form (PSK, SRP). */
	cursor_skip(&c, cursor_u16(&c));
	cursor_skip(&c, cursor_u16(&c));
	if (!c.failed)
		facts->dh_bits = (uint16_t)((prime.len - 1) * 8 + top_bits);
}
