/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/generate.h"

#include <string.h>

void put(struct writer *w, const void *bytes, uint32_t len)
{
	if (len > FLIGHT_MAX - w->len)
		fail("a flight is too long");
	memcpy(w->bytes + w->len, bytes, len);
	w->len += len;
}

void put_number(struct writer *w, uint32_t value, unsigned bytes)
{
	uint8_t encoded[4];
	for (unsigned i = 0; i < bytes; i++)
		encoded[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
	put(w, encoded, bytes);
}

void put_random(struct writer *w, uint32_t len, uint64_t seed)
{
	uint8_t bytes[4096];
	if (len > sizeof bytes)
		fail("too many random bytes");
	fill(bytes, len, seed);
	put(w, bytes, len);
}

uint32_t put_begin(struct writer *w, unsigned size)
{
	put_number(w, 0, size);
	return w->len;
}

void put_end(struct writer *w, uint32_t begin, unsigned size)
{
	uint32_t len = w->len - begin;
	for (unsigned i = 0; i < size; i++)
		w->bytes[begin - size + i] = (uint8_t)(len >> 8 * (size - 1 - i));
}

uint32_t record_begin(struct writer *w, uint8_t type, uint32_t version)
{
	put_number(w, type, 1);
	put_number(w, version, 2);
	return put_begin(w, 2);
}

void record_random(struct writer *w, uint8_t type, uint32_t len, uint64_t seed)
{
	uint32_t record = record_begin(w, type, 0x0303);
	put_random(w, len, seed);
	put_end(w, record, 2);
}

void change_cipher_spec(struct writer *w)
{
	uint32_t record = record_begin(w, 20, 0x0303);
	put_number(w, 1, 1);
	put_end(w, record, 2);
}

void client_hello(struct writer *w, bool tls13, const char *host, uint64_t seed)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0xc02c, 0xc030, 0xcca9, 0xcca8,
					  0xc02b, 0xc02f, 0xc024, 0xc028, 0xc023, 0xc027, 0x00ff};
	uint32_t host_len = (uint32_t)strlen(host);
	uint32_t record = record_begin(w, 22, 0x0301);

	put_number(w, 1, 1);
	uint32_t hello = put_begin(w, 3);
	put_number(w, 0x0303, 2);
	put_random(w, 32, seed);
	put_number(w, 32, 1);
	put_random(w, 32, seed + 1);
	uint32_t list = put_begin(w, 2);
	for (size_t i = tls13 ? 0 : 3; i < sizeof suites / sizeof *suites; i++)
		put_number(w, suites[i], 2);
	put_end(w, list, 2);
	put_number(w, 0x0100, 2); /* compression: null */
	uint32_t extensions = put_begin(w, 2);
	put_number(w, 0, 2); /* server_name */
	put_number(w, host_len + 5, 2);
	put_number(w, host_len + 3, 2);
	put_number(w, 0, 1);
	put_number(w, host_len, 2);
	put(w, host, host_len);
	put_number(w, 10, 2); /* supported_groups */
	put_number(w, 8, 2);
	put_number(w, 6, 2);
	put_number(w, 0x001d0017, 4);
	put_number(w, 0x0018, 2);
	put_number(w, 11, 2); /* ec_point_formats */
	put_number(w, 2, 2);
	put_number(w, 0x0100, 2);
	put_number(w, 13, 2); /* signature_algorithms */
	put_number(w, 8, 2);
	put_number(w, 6, 2);
	put_number(w, 0x08070403, 4);
	put_number(w, 0x0804, 2);
	if (tls13) {
		put_number(w, 43, 2); /* supported_versions */
		put_number(w, 5, 2);
		put_number(w, 4, 1);
		put_number(w, 0x03040303, 4);
		put_number(w, 51, 2); /* key_share */
		put_number(w, 38, 2);
		put_number(w, 36, 2);
		put_number(w, 0x001d0020, 4);
		put_random(w, 32, seed + 2);
	}
	put_end(w, extensions, 2);
	put_end(w, hello, 3);
	put_end(w, record, 2);
}

void server_hello(struct writer *w, bool tls13, uint64_t seed)
{
	uint32_t record = record_begin(w, 22, 0x0303);
	put_number(w, 2, 1);
	uint32_t hello = put_begin(w, 3);
	put_number(w, 0x0303, 2);
	put_random(w, 32, seed);
	put_number(w, 32, 1);
	put_random(w, 32, seed + 1);
	put_number(w, tls13 ? 0x1302 : 0xc030, 2);
	put_number(w, 0, 1);
	uint32_t extensions = put_begin(w, 2);
	if (tls13) {
		put_number(w, 43, 2);
		put_number(w, 2, 2);
		put_number(w, 0x0304, 2);
		put_number(w, 51, 2);
		put_number(w, 36, 2);
		put_number(w, 0x001d0020, 4);
		put_random(w, 32, seed + 2);
	} else {
		put_number(w, 0xff010001, 4); /* renegotiation_info, empty */
		put_number(w, 0, 1);
	}
	put_end(w, extensions, 2);
	put_end(w, hello, 3);
	put_end(w, record, 2);
}

void server_chain(const struct generator *g, struct writer *w, uint64_t number)
{
	const struct der *leaf = &g->leaves[leaf_of(g, number)];
	uint32_t record = record_begin(w, 22, 0x0303);
	put_number(w, 11, 1);
	uint32_t message = put_begin(w, 3), list = put_begin(w, 3), entry = put_begin(w, 3);
	put(w, leaf->bytes, leaf->len);
	put_end(w, entry, 3);
	entry = put_begin(w, 3);
	put(w, g->issuer.bytes, g->issuer.len);
	put_end(w, entry, 3);
	put_end(w, list, 3);
	put_end(w, message, 3);
	put_end(w, record, 2);

	record = record_begin(w, 22, 0x0303);
	put_number(w, 12, 1); /* ServerKeyExchange: X25519, RSA-PSS signature of 2048 bits */
	message = put_begin(w, 3);
	put_number(w, 0x03001d20, 4);
	put_random(w, 32, number + 5);
	put_number(w, 0x08040100, 4);
	put_random(w, 256, number + 6);
	put_end(w, message, 3);
	put_number(w, 14, 1); /* ServerHelloDone */
	put_number(w, 0, 3);
	put_end(w, record, 2);
}
