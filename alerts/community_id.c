/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/community_id.h"

#include <string.h>

#define PROTOCOL_TCP 6

static void put_base64(const uint8_t *bytes, size_t len, char *text)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < len; i += 3) {
		unsigned second = i + 1 < len ? bytes[i + 1] : 0;
		unsigned third = i + 2 < len ? bytes[i + 2] : 0;
		unsigned group = (unsigned)bytes[i] << 16 | second << 8 | third;
		*text++ = digits[group >> 18];
		*text++ = digits[group >> 12 & 63];
		*text++ = i + 1 < len ? digits[group >> 6 & 63] : '=';
		*text++ = i + 2 < len ? digits[group & 63] : '=';
	}
	*text = '\0';
}

static size_t put_port(uint8_t *to, uint16_t port)
{
	to[0] = (uint8_t)(port >> 8);
	to[1] = (uint8_t)port;
	return 2;
}

bool community_id_text(struct digester *digester, const struct endpoint *a,
		       const struct endpoint *b, char text[COMMUNITY_ID_TEXT])
{
	text[0] = '\0';
	size_t size = a->addr.version == 4 ? 4 : 16;
	if (a->addr.version != b->addr.version || (a->addr.version != 4 && a->addr.version != 6))
		return false;

	int order = memcmp(a->addr.bytes, b->addr.bytes, size);
	if (order > 0 || (order == 0 && a->port > b->port)) {
		const struct endpoint *larger = a;
		a = b;
		b = larger;
	}
	uint8_t key[2 + 16 + 16 + 2 + 2 + 2] = {0, 0}; /* the seed */
	size_t len = 2;
	memcpy(key + len, a->addr.bytes, size);
	len += size;
	memcpy(key + len, b->addr.bytes, size);
	len += size;
	key[len++] = PROTOCOL_TCP;
	key[len++] = 0;
	len += put_port(key + len, a->port);
	len += put_port(key + len, b->port);

	uint8_t digest[DIGEST_SHA1_SIZE];
	if (!digest_bytes(digester, DIGEST_SHA1, span_of(key, len), digest))
		return false;
	memcpy(text, "1:", 2);
	put_base64(digest, sizeof digest, text + 2);
	return true;
}
