/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/addr.h"

#include "decoders/span.h"

#include <string.h>

static size_t put_decimal(char *text, unsigned value)
{
	size_t len = 0;
	if (value >= 100)
		text[len++] = (char)('0' + value / 100);
	if (value >= 10)
		text[len++] = (char)('0' + value / 10 % 10);
	text[len++] = (char)('0' + value % 10);
	return len;
}

static size_t put_dotted(char *text, const uint8_t bytes[4])
{
	size_t len = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			text[len++] = '.';
		len += put_decimal(text + len, bytes[i]);
	}
	return len;
}

static size_t put_hex_group(char *text, unsigned value)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = 0;
	bool started = false;
	for (int shift = 12; shift >= 0; shift -= 4) {
		unsigned digit = value >> shift & 0xf;
		if (digit != 0 || started || shift == 0) {
			text[len++] = digits[digit];
			started = true;
		}
	}
	return len;
}

static size_t put_ipv6(char *text, const uint8_t bytes[16])
{
	unsigned group[8];
	for (unsigned i = 0; i < 8; i++)
		group[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];

	/* The longest run of two or more zero groups becomes "::", the first on a tie. */
	unsigned best_start = 8, best_len = 1;
	for (unsigned i = 0; i < 8;) {
		unsigned run = 0;
		while (i + run < 8 && group[i + run] == 0)
			run++;
		if (run > best_len) {
			best_start = i;
			best_len = run;
		}
		i += run > 0 ? run : 1;
	}

	size_t len = 0;
	for (unsigned i = 0; i < 8;) {
		if (i == best_start) {
			text[len++] = ':';
			text[len++] = ':';
			i += best_len;
			continue;
		}
		if (i > 0 && text[len - 1] != ':')
			text[len++] = ':';
		len += put_hex_group(text + len, group[i]);
		i++;
	}
	return len;
}

size_t ip_addr_text(const struct ip_addr *addr, char text[IP_ADDR_TEXT])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	size_t len = 0;
	if (addr->version == 4) {
		len = put_dotted(text, addr->bytes);
	} else if (addr->version == 6 && memcmp(addr->bytes, mapped, sizeof mapped) == 0) {
		memcpy(text, "::ffff:", 7);
		len = 7 + put_dotted(text + 7, addr->bytes + 12);
	} else if (addr->version == 6) {
		len = put_ipv6(text, addr->bytes);
	}
	text[len] = '\0';
	return len;
}

static bool parse_dotted(const char *text, size_t len, uint8_t bytes[4])
{
	size_t at = 0;
	for (unsigned i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;
		while (at < len && text[at] >= '0' && text[at] <= '9' && digits < 4) {
			value = value * 10 + (unsigned)(text[at++] - '0');
			digits++;
		}
		if (digits == 0 || digits > 3 || value > 255)
			return false;
		bytes[i] = (uint8_t)value;
		if (i < 3 && (at >= len || text[at++] != '.'))
			return false;
	}
	return at == len;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_ipv6(const char *text, size_t len, uint8_t bytes[16])
{
	uint8_t out[16] = {0};
	size_t filled = 0, gap = 17, at = 0;

	if (len >= 2 && text[0] == ':' && text[1] == ':') {
		gap = 0;
		at = 2;
	}
	while (at < len) {
		size_t end = at;
		unsigned value = 0;
		while (end < len && hex_value(text[end]) >= 0 && end - at < 5)
			value = value << 4 | (unsigned)hex_value(text[end++]);
		if (end < len && text[end] == '.') {
			if (filled > 12 || !parse_dotted(text + at, len - at, out + filled))
				return false;
			filled += 4;
			break;
		}
		if (end == at || end - at > 4 || filled > 14)
			return false;
		out[filled++] = (uint8_t)(value >> 8);
		out[filled++] = (uint8_t)value;
		at = end;
		if (at == len)
			break;
		if (text[at++] != ':' || at == len)
			return false;
		if (text[at] == ':') {
			if (gap <= 16)
				return false;
			gap = filled;
			at++;
		}
	}
	if (gap > 16) {
		if (filled != 16)
			return false;
		memcpy(bytes, out, 16);
		return true;
	}
	if (filled > 14)
		return false;
	memset(bytes, 0, 16);
	memcpy(bytes, out, gap);
	memcpy(bytes + 16 - (filled - gap), out + gap, filled - gap);
	return true;
}

bool ip_addr_parse(const char *text, size_t len, struct ip_addr *addr)
{
	struct ip_addr parsed = {.version = 4};
	if (parse_dotted(text, len, parsed.bytes)) {
		*addr = parsed;
		return true;
	}
	memset(parsed.bytes, 0, sizeof parsed.bytes);
	parsed.version = 6;
	if (!parse_ipv6(text, len, parsed.bytes))
		return false;
	*addr = parsed;
	return true;
}

bool ip_addr_parse_literal(const char *text, size_t len, struct ip_addr *addr)
{
	static const uint8_t tag[5] = {'I', 'P', 'V', '6', ':'};
	if (len < 2 || text[0] != '[' || text[len - 1] != ']')
		return ip_addr_parse(text, len, addr);
	text++;
	len -= 2;
	size_t same = 0;
	while (same < sizeof tag && same < len && ascii_upper((uint8_t)text[same]) == tag[same])
		same++;
	if (same < sizeof tag)
		return ip_addr_parse(text, len, addr);
	struct ip_addr parsed;
	if (!ip_addr_parse(text + same, len - same, &parsed) || parsed.version != 6)
		return false;
	*addr = parsed;
	return true;
}

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return ip_addr_compare(a, b) == 0;
}

int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->version != b->version)
		return a->version < b->version ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

struct ip_addr ip_addr_network(const struct ip_addr *addr, unsigned prefix_len)
{
	struct ip_addr network = *addr;
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = prefix_len > 8 * i ? prefix_len - 8 * i : 0;
		if (keep < 8)
			network.bytes[i] &= (uint8_t)(0xff00U >> keep);
	}
	return network;
}
