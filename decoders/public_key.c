/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/public_key.h"

/* Tags of DER (X.690 8.1.2). */
enum {
	TAG_INTEGER = 0x02,
	TAG_BIT_STRING = 0x03,
	TAG_NULL = 0x05,
	TAG_OID = 0x06,
	TAG_SEQUENCE = 0x30,
};

#define POINT_UNCOMPRESSED 0x04 /* SEC 1 2.3.3 */

static const uint8_t oid_rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t oid_ec[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};

/* Ed25519 and Ed448: the last byte of their OIDs (RFC 8410 3), bytes of a key, bits of a key. */
static const uint8_t oid_edwards[] = {0x2b, 0x65};
static const struct {
	uint8_t oid_end;
	uint8_t size;
	uint16_t bits;
} edwards[] = {{0x70, 32, 256}, {0x71, 57, 456}};

static const struct {
	uint8_t oid[8];
	size_t oid_len;
	uint32_t bits;
} curves[] = {
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 8, 256},
    {{0x2b, 0x81, 0x04, 0x00, 0x22}, 5, 384},
    {{0x2b, 0x81, 0x04, 0x00, 0x23}, 5, 521},
};

/* The content of the next element, which has to be of the tag; c fails otherwise. */
static struct cursor take_element(struct cursor *c, uint8_t tag)
{
	uint8_t found = cursor_u8(c);
	size_t len = cursor_u8(c);
	if (len == 0x81) {
		len = cursor_u8(c);
		c->failed |= len < 0x80; /* DER: the shortest form */
	} else if (len == 0x82) {
		len = cursor_u16(c);
		c->failed |= len < 0x100;
	} else {
		c->failed |= len >= 0x80; /* longer than any key */
	}
	c->failed |= found != tag;
	return cursor_sub(c, len);
}

/* Bits of a positive integer; 0 when it is none. */
static uint32_t integer_bits(struct cursor integer)
{
	struct span bytes = cursor_rest(&integer);
	if (bytes.len > 1 && bytes.ptr[0] == 0 && bytes.ptr[1] >= 0x80)
		bytes = span_skip(bytes, 1);
	else if (bytes.len == 0 || bytes.ptr[0] == 0 || bytes.ptr[0] >= 0x80)
		return 0;
	uint32_t bits = (uint32_t)bytes.len * 8;
	for (uint8_t first = bytes.ptr[0]; first < 0x80; first = (uint8_t)(first << 1))
		bits--;
	return bits;
}

static enum public_key_kind read_rsa(struct cursor *algorithm, struct cursor *key, uint32_t *bits)
{
	struct cursor parameters = take_element(algorithm, TAG_NULL);
	struct cursor pair = take_element(key, TAG_SEQUENCE);
	uint32_t modulus = integer_bits(take_element(&pair, TAG_INTEGER));
	uint32_t exponent = integer_bits(take_element(&pair, TAG_INTEGER));
	if (algorithm->failed || algorithm->left > 0 || parameters.left > 0 || key->failed ||
	    key->left > 0 || pair.failed || pair.left > 0 || modulus == 0 || exponent == 0)
		return PUBLIC_KEY_OTHER;
	*bits = modulus;
	return PUBLIC_KEY_RSA;
}

static enum public_key_kind read_ec(struct cursor *algorithm, struct cursor *key, uint32_t *bits)
{
	struct cursor oid = take_element(algorithm, TAG_OID);
	struct span curve = cursor_rest(&oid);
	if (algorithm->failed || algorithm->left > 0)
		return PUBLIC_KEY_OTHER;
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
		size_t coordinate = (curves[i].bits + 7) / 8;
		if (!span_equal(curve, span_of(curves[i].oid, curves[i].oid_len)))
			continue;
		if (key->left != 1 + 2 * coordinate || cursor_u8(key) != POINT_UNCOMPRESSED)
			return PUBLIC_KEY_OTHER;
		*bits = curves[i].bits;
		return PUBLIC_KEY_EC;
	}
	return PUBLIC_KEY_OTHER;
}

static enum public_key_kind read_edwards(uint8_t oid_end, const struct cursor *algorithm,
					 const struct cursor *key, uint32_t *bits)
{
	for (size_t i = 0; i < sizeof edwards / sizeof edwards[0]; i++) {
		if (oid_end != edwards[i].oid_end)
			continue;
		if (algorithm->left > 0 || key->left != edwards[i].size)
			return PUBLIC_KEY_OTHER; /* no parameters, no other size */
		*bits = edwards[i].bits;
		return PUBLIC_KEY_EDDSA;
	}
	return PUBLIC_KEY_OTHER;
}

enum public_key_kind public_key_read(struct span der, uint32_t *bits)
{
	struct cursor c = cursor_of(der);
	struct cursor info = take_element(&c, TAG_SEQUENCE);
	struct cursor algorithm = take_element(&info, TAG_SEQUENCE);
	struct cursor key = take_element(&info, TAG_BIT_STRING);
	bool whole_octets = cursor_u8(&key) == 0;

	*bits = 0;
	if (c.failed || c.left > 0 || info.failed || info.left > 0 || key.failed || !whole_octets)
		return PUBLIC_KEY_OTHER;
	struct cursor oid = take_element(&algorithm, TAG_OID);
	struct span name = cursor_rest(&oid);
	if (span_equal(name, span_of(oid_rsa, sizeof oid_rsa)))
		return read_rsa(&algorithm, &key, bits);
	if (span_equal(name, span_of(oid_ec, sizeof oid_ec)))
		return read_ec(&algorithm, &key, bits);
	if (name.len == 3 && memcmp(name.ptr, oid_edwards, sizeof oid_edwards) == 0)
		return read_edwards(name.ptr[2], &algorithm, &key, bits);
	return PUBLIC_KEY_OTHER;
}
