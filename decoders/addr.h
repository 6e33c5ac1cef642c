/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, endpoints and the key of a flow. */
#ifndef DECODERS_ADDR_H
#define DECODERS_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 address in bytes[0..3] (rest zero) or an IPv6 address, network order. */
struct ip_addr {
	uint8_t bytes[16];
	uint8_t version; /* 4 or 6; 0: none */
};

struct endpoint {
	struct ip_addr addr;
	uint16_t port; /* host order */
};

/* Room for the longest text of an address with its NUL (RFC 5952 form). */
#define IP_ADDR_TEXT 46

/* Writes the RFC 5952 (IPv6) or dotted (IPv4) text with a NUL; returns its length. */
size_t ip_addr_text(const struct ip_addr *addr, char text[IP_ADDR_TEXT]);

/* Reads the text forms above. False when text is neither; *addr is then untouched. */
bool ip_addr_parse(const char *text, size_t len, struct ip_addr *addr);

/*
 * Reads an address as it stands, or the literal that mail writes in place of a host name:
 * "[192.0.2.25]", "[IPv6:2001:db8::25]" (RFC 5321 4.1.3), the latter without its tag too.
 */
bool ip_addr_parse_literal(const char *text, size_t len, struct ip_addr *addr);

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b);

/* <0, 0, >0: by version, then by bytes. */
int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b);

/* The address with all bits after the first prefix_len zeroed: its network. */
struct ip_addr ip_addr_network(const struct ip_addr *addr, unsigned prefix_len);

#endif
