/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/frame.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void prepend(struct frame *frame, const uint8_t *bytes, size_t len)
{
	if (len > FRAME_ROOM - frame->len)
		abort();
	memmove(frame->bytes + len, frame->bytes, frame->len);
	memcpy(frame->bytes, bytes, len);
	frame->len += len;
}

static unsigned hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = strchr(digits, c);
	if (at == NULL || c == '\0')
		abort();
	return (unsigned)(at - digits);
}

static void prepend_hex(struct frame *frame, const char *text)
{
	uint8_t bytes[FRAME_ROOM];
	size_t len = 0;
	for (; *text != '\0'; text++) {
		if (*text == ' ')
			continue;
		unsigned high = hex_digit(*text++);
		bytes[len++] = (uint8_t)(high << 4 | hex_digit(*text));
	}
	prepend(frame, bytes, len);
}

static void put_u16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void prepend_header(struct frame *frame, const char *name, unsigned long value)
{
	if (strcmp(name, "ip4") == 0) {
		uint8_t h[20] = {0x45, 0, 0,   0, 0, 1, 0x40, 0,  64,  (uint8_t)value,
				 0,    0, 192, 0, 2, 1, 198,  51, 100, 2};
		put_u16(h + 2, frame->len + sizeof h);
		prepend(frame, h, sizeof h);
	} else if (strcmp(name, "ip6") == 0) {
		uint8_t h[40] = {0x60, 0, 0, 0, 0, 0, (uint8_t)value, 64, 0x20, 0x01, 0x0d, 0xb8};
		h[23] = 1;
		memcpy(h + 24, h + 8, 16);
		h[39] = 2;
		put_u16(h + 4, frame->len);
		prepend(frame, h, sizeof h);
	} else if (strcmp(name, "udp") == 0) {
		uint8_t h[8] = {0x04, 0x57};
		put_u16(h + 2, value);
		put_u16(h + 4, frame->len + sizeof h);
		prepend(frame, h, sizeof h);
	} else if (strcmp(name, "len2") == 0) {
		uint8_t h[2];
		put_u16(h, frame->len + value);
		prepend(frame, h, sizeof h);
	} else {
		abort();
	}
}

void frame_build(struct frame *frame, const char *const layers[FRAME_LAYERS])
{
	size_t n = 0;
	frame->len = 0;
	while (n < FRAME_LAYERS && layers[n] != NULL)
		n++;
	while (n-- > 0) {
		const char *layer = layers[n];
		const char *blank = strchr(layer, ' ');
		char name[8] = "";
		if (blank != NULL && blank - layer < (ptrdiff_t)sizeof name)
			memcpy(name, layer, (size_t)(blank - layer));
		if (strcmp(layer, "tcp") == 0)
			prepend_hex(frame, "9c40 0019 01020304 05060708 5018 1000 0000 0000"
					   "45484c4f20610d0a");
		else if (strcmp(name, "ip4") == 0 || strcmp(name, "ip6") == 0 ||
			 strcmp(name, "udp") == 0 || strcmp(name, "len2") == 0)
			prepend_header(frame, name, strtoul(blank, NULL, 10));
		else
			prepend_hex(frame, layer);
	}
}

const uint8_t *guarded_copy(struct span bytes)
{
	static uint8_t *readable; /* kept: one page for all calls of a test */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (readable == NULL) {
		void *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (pages == MAP_FAILED || mprotect((uint8_t *)pages + page, page, PROT_NONE) != 0)
			abort();
		readable = pages;
	}
	if (bytes.len > page)
		abort();
	uint8_t *copy = readable + page - bytes.len;
	if (bytes.len > 0)
		memcpy(copy, bytes.ptr, bytes.len);
	return copy;
}

struct packet_limits frame_limits(void)
{
	return (struct packet_limits){
	    .max_layers = 16,
	    .frag = {.max_datagrams = 8, .max_bytes = 1U << 20, .max_age_ns = 30000000000},
	};
}

static bool address_is(const struct ip_addr *addr, const char *v4, const char *v6)
{
	char text[IP_ADDR_TEXT];
	(void)ip_addr_text(addr, text);
	return strcmp(text, addr->version == 4 ? v4 : v6) == 0;
}

static const char *segment_check(const struct frame_row *row, const struct tcp_segment *s,
				 size_t payload_captured)
{
	uint16_t outer = row->vlan_outer != 0 ? row->vlan_outer : (uint16_t)VLAN_NONE;
	uint16_t inner = row->vlan_inner != 0 ? row->vlan_inner : (uint16_t)VLAN_NONE;
	if (!address_is(&s->src.addr, "192.0.2.1", "2001:db8::1") ||
	    !address_is(&s->dst.addr, "198.51.100.2", "2001:db8::2"))
		return "addresses";
	if (s->src.port != 40000 || s->dst.port != 25)
		return "ports";
	if (s->seq != 0x01020304 || s->ack != 0x05060708 || s->flags != (TCP_PSH | TCP_ACK) ||
	    s->window != 0x1000 || s->has_timestamp || s->ttl != 64)
		return "header fields";
	if (s->vlan_outer != outer || s->vlan_inner != inner)
		return "VLAN ids";
	if (s->payload_len != 8)
		return "length as sent";
	if (!span_equal(s->payload, span_head(span_str("EHLO a\r\n"), payload_captured)))
		return "payload";
	return s->fragments_conflict ? "conflict" : NULL;
}

/* The bytes of the segment's payload in the first len bytes of a frame with no trailer. */
static size_t payload_in(const struct frame *frame, size_t len)
{
	return len + 8 > frame->len ? len + 8 - frame->len : 0;
}

static const char *decode_all_lengths(const struct frame_row *row, const struct frame *frame,
				      struct packet_decoder *decoder)
{
	struct tcp_segment segment;
	for (size_t len = 0; len <= frame->len; len++) {
		struct span bytes = span_of(guarded_copy(span_of(frame->bytes, len)), len);
		enum packet_outcome outcome = packet_decode(decoder, row->link_type, 0, 0, 0, bytes,
							    (uint32_t)frame->len, &segment);
		if (outcome == PACKET_TCP) {
			const char *wrong = segment_check(row, &segment, payload_in(frame, len));
			if (wrong != NULL)
				return wrong;
		} else if (len + 8 >= frame->len) {
			return "a whole header gave no segment";
		} else if (outcome != PACKET_TRUNCATED) {
			return "a cut frame is not called truncated";
		}

		outcome =
		    packet_decode(decoder, row->link_type, 0, 0, 0, bytes, (uint32_t)len, &segment);
		if (outcome == PACKET_TCP && len < frame->len)
			return "a segment out of a frame that was too short for it";
	}
	return NULL;
}

const char *frame_row_check(const struct frame_row *row)
{
	struct frame frame;
	struct budget budget;
	struct packet_decoder decoder;
	struct packet_limits limits = frame_limits();
	struct siphash_key key = {.k0 = 1, .k1 = 2};

	budget_init(&budget, 4U << 20);
	if (!packet_decoder_init(&decoder, &limits, &key, &budget))
		return "no decoder";
	frame_build(&frame, row->layers);
	const char *wrong = decode_all_lengths(row, &frame, &decoder);
	packet_decoder_free(&decoder);
	if (wrong == NULL && budget.used != 0)
		wrong = "memory not given back";
	return wrong;
}
