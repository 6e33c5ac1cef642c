/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tcp.h"

enum {
	TCP_HEADER_MIN = 20,
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_TIMESTAMP = 8, /* RFC 7323 3.2 */
	OPTION_TIMESTAMP_LEN = 10,
	PROTOCOL_TCP = 6,
};

static void read_options(struct span options, struct tcp_segment *segment)
{
	segment->has_timestamp = false;
	segment->timestamp = 0;
	/* The layout that nearly every segment has (RFC 7323 appendix A). */
	if (options.len == 12 && bytes_u32(options.ptr) == 0x0101080a) {
		segment->has_timestamp = true;
		segment->timestamp = bytes_u32(options.ptr + 4);
		return;
	}
	struct cursor c = cursor_of(options);
	while (c.left > 0) {
		uint8_t kind = cursor_u8(&c);
		if (kind == OPTION_END)
			return;
		if (kind == OPTION_NOP)
			continue;
		uint8_t len = cursor_u8(&c);
		if (len < 2)
			return; /* options after a broken one are not to be found */
		struct span value = cursor_take(&c, len - 2U);
		if (c.failed)
			return;
		if (kind == OPTION_TIMESTAMP && len == OPTION_TIMESTAMP_LEN) {
			segment->has_timestamp = true;
			segment->timestamp = bytes_u32(value.ptr);
		}
	}
}

enum parse_result tcp_parse(struct span ip_payload, uint32_t wire_len, struct tcp_segment *segment)
{
	if (wire_len < TCP_HEADER_MIN)
		return PARSE_MALFORMED;
	if (ip_payload.len < TCP_HEADER_MIN)
		return PARSE_MORE;
	const uint8_t *header = ip_payload.ptr;
	uint32_t header_len = (header[12] >> 4) * 4U;
	if (header_len < TCP_HEADER_MIN || header_len > wire_len)
		return PARSE_MALFORMED;

	segment->src.port = bytes_u16(header);
	segment->dst.port = bytes_u16(header + 2);
	segment->seq = bytes_u32(header + 4);
	segment->ack = bytes_u32(header + 8);
	segment->flags = header[13];
	segment->window = bytes_u16(header + 14);
	segment->urgent = bytes_u16(header + 18);
	struct span options = span_head(ip_payload, header_len);
	read_options(span_of(options.ptr + TCP_HEADER_MIN, options.len - TCP_HEADER_MIN), segment);
	/* Without asking whether there is any: every other segment has none. */
	segment->payload = span_of(header + options.len, ip_payload.len - options.len);
	segment->payload_len = wire_len - header_len;
	segment->checked = ip_payload;
	return PARSE_DONE;
}

/* The ones' complement sum of RFC 1071, not yet folded. bytes may be of odd length only at the end.
 */
static uint64_t sum_words(uint64_t sum, struct span bytes)
{
	size_t at = 0;
	for (; at + 4 <= bytes.len; at += 4)
		sum += bytes_u32(bytes.ptr + at);
	uint32_t tail = 0;
	for (unsigned shift = 24; at < bytes.len; at++, shift -= 8)
		tail |= (uint32_t)bytes.ptr[at] << shift;
	return sum + tail;
}

bool tcp_checksum_ok(const struct tcp_segment *segment)
{
	if (segment->payload.len < segment->payload_len)
		return true;
	size_t addr_len = segment->src.addr.version == 4 ? 4 : 16;
	uint64_t sum = PROTOCOL_TCP + (uint64_t)segment->checked.len;
	sum = sum_words(sum, span_of(segment->src.addr.bytes, addr_len));
	sum = sum_words(sum, span_of(segment->dst.addr.bytes, addr_len));
	sum = sum_words(sum, segment->checked);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}
