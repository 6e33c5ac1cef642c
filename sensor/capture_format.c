/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_format.h"

#include <stdlib.h>

#define NS_PER_SECOND        1000000000

#define PCAP_MAGIC_US        0xa1b2c3d4U
#define PCAP_MAGIC_NS        0xa1b23c4dU
#define PCAP_MAGIC_KUZNETZOV 0xa1b2cd34U
#define PCAP_HEADER_LEN      24U
#define PCAP_RECORD_LEN      16U
#define PCAP_KUZNETZOV_LEN   24U /* and interface index, protocol, packet type, padding */

/* Blocks of pcapng, section 11.1 of the draft. */
#define BLOCK_SECTION              0x0a0d0d0aU /* reads the same in both byte orders */
#define BLOCK_INTERFACE            1U
#define BLOCK_PACKET               2U /* obsolete */
#define BLOCK_SIMPLE               3U
#define BLOCK_ENHANCED             6U

#define BYTE_ORDER_MAGIC           0x1a2b3c4dU

#define BLOCK_HEADER_LEN           8U
#define BLOCK_TRAILER_LEN          4U
#define BLOCK_FRAME_LEN            (BLOCK_HEADER_LEN + BLOCK_TRAILER_LEN)

#define OPTION_END                 0U
#define OPTION_IF_NAME             2U
#define OPTION_IF_TSRESOL          9U
#define OPTION_IF_FCSLEN           13U
#define OPTION_IF_TSOFFSET         14U
#define OPTION_PACKET_FLAGS        2U

#define TICKS_EXPONENT_MAX_DECIMAL 19U /* 10^19 is the last power that fits 64 bits */
#define TICKS_EXPONENT_MAX_BINARY  63U

/* Needed to scale a fraction of 64 bits without loss. */
__extension__ typedef unsigned __int128 wide;

static uint16_t read_u16(struct cursor *c, bool big_endian)
{
	return big_endian ? cursor_u16(c) : cursor_u16le(c);
}

static uint32_t read_u32(struct cursor *c, bool big_endian)
{
	return big_endian ? cursor_u32(c) : cursor_u32le(c);
}

static enum parse_result more(struct capture_step *step, size_t need)
{
	step->need = need;
	return PARSE_MORE;
}

static enum parse_result damaged(struct capture_step *step, const char *problem)
{
	step->problem = problem;
	step->has_value = false;
	return PARSE_MALFORMED;
}

static enum parse_result damaged_value(struct capture_step *step, const char *problem,
				       uint64_t value)
{
	step->problem = problem;
	step->value = value;
	step->has_value = true;
	return PARSE_MALFORMED;
}

static enum parse_result done(struct capture_step *step, uint64_t advance)
{
	step->has_packet = false;
	step->advance = advance;
	return PARSE_DONE;
}

void capture_format_init(struct capture_format *format)
{
	*format = (struct capture_format){.kind = CAPTURE_KIND_UNKNOWN};
}

void capture_format_free(struct capture_format *format)
{
	free(format->interfaces);
	capture_format_init(format);
}

/* A new, zeroed interface at the end of the table; NULL when memory is out. */
static struct capture_interface *interface_add(struct capture_format *format)
{
	if (format->interface_count == format->interface_room) {
		uint32_t room = format->interface_room ? format->interface_room * 2 : 1;
		struct capture_interface *grown =
		    realloc(format->interfaces, room * sizeof(*grown));
		if (!grown)
			return NULL;
		format->interfaces = grown;
		format->interface_room = room;
	}
	struct capture_interface *interface = &format->interfaces[format->interface_count++];
	*interface = (struct capture_interface){.link_type = 0};
	return interface;
}

/* ---- pcap ---- */

static bool pcap_magic(struct capture_format *format, uint32_t magic)
{
	format->header_len = PCAP_RECORD_LEN;
	format->ns_per_tick = 1000;
	switch (magic) {
	case PCAP_MAGIC_US:
		return true;
	case PCAP_MAGIC_NS:
		format->ns_per_tick = 1;
		return true;
	case PCAP_MAGIC_KUZNETZOV:
		format->header_len = PCAP_KUZNETZOV_LEN;
		return true;
	default:
		return false;
	}
}

static enum parse_result pcap_header(struct capture_format *format, struct span input,
				     struct capture_step *step)
{
	if (input.len < PCAP_HEADER_LEN)
		return more(step, PCAP_HEADER_LEN);
	struct cursor c = cursor_of(input);
	cursor_skip(&c, 4);
	uint16_t major = read_u16(&c, format->big_endian);
	uint16_t minor = read_u16(&c, format->big_endian);
	cursor_skip(&c, 8); /* time zone and accuracy: always zero in practice */
	uint32_t snaplen = read_u32(&c, format->big_endian);
	uint32_t network = read_u32(&c, format->big_endian);
	if (major != 2)
		return damaged_value(step, "unknown major version of pcap", major);
	struct capture_interface *interface = interface_add(format);
	if (!interface)
		return damaged(step, "out of memory");
	format->version_minor = minor > UINT8_MAX ? UINT8_MAX : (uint8_t)minor;
	interface->snaplen = snaplen;
	/* Bit 26 says that the four bits above count the FCS in units of 16 bits. */
	interface->link_type = network & 0x03ffffffU;
	if (network & 0x04000000U)
		interface->fcs_len = (network >> 28) * 2;
	format->plain = format->version_minor >= 4;
	return done(step, PCAP_HEADER_LEN);
}

/* Writers of versions 2.0 to 2.2 put the wire length first; 2.3 came in both ways. */
static bool lengths_swapped(const struct capture_format *format, uint32_t caplen, uint32_t len)
{
	return format->version_minor < 3 || (format->version_minor == 3 && caplen > len);
}

static enum parse_result pcap_record(struct capture_format *format, struct span input,
				     struct capture_step *step)
{
	if (input.len < format->header_len)
		return more(step, format->header_len);
	struct capture_pcap_header header = capture_pcap_header(format, input.ptr);
	if (format->version_minor < 4 && lengths_swapped(format, header.caplen, header.len)) {
		uint32_t first = header.caplen;
		header.caplen = header.len;
		header.len = first;
	}
	if (header.caplen > CAPTURE_FRAME_MAX)
		return damaged_value(step, "captured length of a packet cannot be true",
				     header.caplen);
	if (input.len - format->header_len < header.caplen)
		return more(step, (size_t)format->header_len + header.caplen);
	step->advance = capture_pcap_take(format, &header, input, &step->record);
	step->has_packet = true;
	return PARSE_DONE;
}

/* ---- pcapng ---- */

static int64_t clamp_time(wide ns, int64_t offset_s)
{
	/* Both summands are brought within the range first, so that nothing can overflow. */
	int64_t base = ns > CAPTURE_TIME_MAX ? CAPTURE_TIME_MAX : (int64_t)ns;
	int64_t offset_max = CAPTURE_TIME_MAX / NS_PER_SECOND;
	if (offset_s > offset_max)
		offset_s = offset_max;
	if (offset_s < -offset_max)
		offset_s = -offset_max;
	int64_t time_ns = base + offset_s * NS_PER_SECOND;
	if (time_ns > CAPTURE_TIME_MAX)
		return CAPTURE_TIME_MAX;
	if (time_ns < -CAPTURE_TIME_MAX)
		return -CAPTURE_TIME_MAX;
	return time_ns;
}

static int64_t ticks_to_ns(const struct capture_interface *interface, uint64_t ticks)
{
	if (!interface->ticks_binary && interface->ticks_exponent <= 9) {
		uint64_t ns_per_tick = NS_PER_SECOND / interface->ticks_per_second;
		return clamp_time((wide)ticks * ns_per_tick, interface->offset_s);
	}
	wide seconds = ticks / interface->ticks_per_second;
	wide fraction = ticks % interface->ticks_per_second;
	wide ns = seconds * NS_PER_SECOND + fraction * NS_PER_SECOND / interface->ticks_per_second;
	return clamp_time(ns, interface->offset_s);
}

static bool set_resolution(struct capture_interface *interface, uint8_t resolution)
{
	uint8_t exponent = resolution & 0x7f;
	interface->ticks_binary = (resolution & 0x80) != 0;
	interface->ticks_exponent = exponent;
	if (interface->ticks_binary) {
		if (exponent > TICKS_EXPONENT_MAX_BINARY)
			return false;
		interface->ticks_per_second = (uint64_t)1 << exponent;
		return true;
	}
	if (exponent > TICKS_EXPONENT_MAX_DECIMAL)
		return false;
	interface->ticks_per_second = 1;
	for (uint8_t i = 0; i < exponent; i++)
		interface->ticks_per_second *= 10;
	return true;
}

/* Takes the next option of a list; false at its end, also where the list is cut or broken. */
static bool next_option(struct cursor *options, bool big_endian, uint16_t *code, struct span *value)
{
	*code = read_u16(options, big_endian);
	uint16_t len = read_u16(options, big_endian);
	if (options->failed || *code == OPTION_END)
		return false;
	*value = cursor_take(options, len);
	if (options->failed)
		return false;
	size_t padding = (4U - len % 4U) % 4U;
	cursor_skip(options, padding < options->left ? padding : options->left);
	return true;
}

static void copy_text(char text[CAPTURE_INTERFACE_TEXT], struct span value)
{
	/* Some writers count a NUL, or pad with several. */
	size_t len = 0;
	while (len < value.len && len < CAPTURE_INTERFACE_TEXT - 1 && value.ptr[len] != 0)
		len++;
	if (len > 0)
		memcpy(text, value.ptr, len);
	text[len] = '\0';
}

static int64_t read_offset(struct span value, bool big_endian)
{
	struct cursor c = cursor_of(value);
	uint64_t first = read_u32(&c, big_endian);
	uint64_t second = read_u32(&c, big_endian);
	uint64_t bits = big_endian ? first << 32 | second : second << 32 | first;
	return (int64_t)bits;
}

static enum parse_result interface_block(struct capture_format *format, struct span body,
					 struct capture_step *step)
{
	if (format->interface_count == CAPTURE_SECTION_INTERFACES)
		return damaged(step, "too many interfaces in a section");
	struct cursor c = cursor_of(body);
	uint16_t link_type = read_u16(&c, format->big_endian);
	cursor_skip(&c, 2);
	uint32_t snaplen = read_u32(&c, format->big_endian);
	if (c.failed)
		return damaged(step, "interface description is too short");
	struct capture_interface *interface = interface_add(format);
	if (!interface)
		return damaged(step, "out of memory");
	interface->link_type = link_type;
	interface->snaplen = snaplen;
	(void)set_resolution(interface, 6); /* microseconds unless said otherwise */

	uint16_t code;
	struct span value;
	while (next_option(&c, format->big_endian, &code, &value)) {
		switch (code) {
		case OPTION_IF_NAME:
			copy_text(interface->name, value);
			break;
		case OPTION_IF_TSRESOL:
			if (value.len >= 1 && !set_resolution(interface, value.ptr[0]))
				return damaged_value(step, "unusable resolution of timestamps",
						     value.ptr[0]);
			break;
		case OPTION_IF_FCSLEN:
			if (value.len >= 1)
				interface->fcs_len = value.ptr[0];
			break;
		case OPTION_IF_TSOFFSET:
			if (value.len >= 8)
				interface->offset_s = read_offset(value, format->big_endian);
			break;
		default:
			break;
		}
	}
	return PARSE_DONE;
}

/* Sets the record but for its frame from what the three kinds of packet block share. */
static enum parse_result packet_record(struct capture_format *format, uint32_t interface_id,
				       uint32_t len, struct span frame, struct capture_step *step)
{
	if (interface_id >= format->interface_count)
		return damaged_value(step, "packet of an interface that was not described",
				     interface_id);
	struct capture_record *record = &step->record;
	record->interface = interface_id;
	record->fcs_len = format->interfaces[interface_id].fcs_len;
	record->frame = frame;
	record->len = len > frame.len ? len : (uint32_t)frame.len;
	return PARSE_DONE;
}

static void apply_packet_flags(struct capture_record *record, struct cursor *options,
			       bool big_endian)
{
	uint16_t code;
	struct span value;
	while (next_option(options, big_endian, &code, &value)) {
		if (code != OPTION_PACKET_FLAGS || value.len < 4)
			continue;
		struct cursor c = cursor_of(value);
		uint32_t fcs_len = read_u32(&c, big_endian) >> 5 & 0xf;
		if (fcs_len > 0)
			record->fcs_len = fcs_len;
	}
}

/* The enhanced packet block and the obsolete one, which differ in their first four bytes. */
static enum parse_result timed_packet_block(struct capture_format *format, uint32_t type,
					    struct span body, struct capture_step *step)
{
	bool big_endian = format->big_endian;
	struct cursor c = cursor_of(body);
	uint32_t interface_id;
	if (type == BLOCK_ENHANCED) {
		interface_id = read_u32(&c, big_endian);
	} else {
		interface_id = read_u16(&c, big_endian);
		cursor_skip(&c, 2); /* packets dropped before this one */
	}
	uint64_t ticks = (uint64_t)read_u32(&c, big_endian) << 32;
	ticks |= read_u32(&c, big_endian);
	uint32_t caplen = read_u32(&c, big_endian);
	uint32_t len = read_u32(&c, big_endian);
	if (c.failed)
		return damaged(step, "packet block is too short");
	if (caplen > CAPTURE_FRAME_MAX)
		return damaged_value(step, "captured length of a packet cannot be true", caplen);
	struct span frame = cursor_take(&c, caplen);
	if (c.failed)
		return damaged_value(step, "captured length goes past the end of its block",
				     caplen);
	enum parse_result result = packet_record(format, interface_id, len, frame, step);
	if (result != PARSE_DONE)
		return result;
	struct capture_record *record = &step->record;
	record->time_ns = ticks_to_ns(&format->interfaces[interface_id], ticks);
	format->last_time_ns = record->time_ns;
	size_t padding = (4U - caplen % 4U) % 4U;
	if (c.left > padding) {
		cursor_skip(&c, padding);
		apply_packet_flags(record, &c, big_endian);
	}
	step->has_packet = true;
	return PARSE_DONE;
}

static enum parse_result simple_packet_block(struct capture_format *format, struct span body,
					     struct capture_step *step)
{
	struct cursor c = cursor_of(body);
	uint32_t len = read_u32(&c, format->big_endian);
	if (c.failed)
		return damaged(step, "packet block is too short");
	/* The block does not say how much was captured: it is the least of three lengths. */
	uint32_t caplen = len;
	if (format->interface_count > 0) {
		uint32_t snaplen = format->interfaces[0].snaplen;
		if (snaplen != 0 && caplen > snaplen)
			caplen = snaplen;
	}
	if (caplen > c.left)
		caplen = (uint32_t)c.left;
	if (caplen > CAPTURE_FRAME_MAX)
		return damaged_value(step, "captured length of a packet cannot be true", caplen);
	enum parse_result result = packet_record(format, 0, len, cursor_take(&c, caplen), step);
	if (result != PARSE_DONE)
		return result;
	step->record.time_ns = format->last_time_ns;
	step->has_packet = true;
	return PARSE_DONE;
}

/* The header of a section, which says in which byte order its lengths are, this one included. */
static enum parse_result section_block(struct capture_format *format, struct span input,
				       uint32_t *total_len, struct capture_step *step)
{
	if (input.len < BLOCK_HEADER_LEN + 8)
		return more(step, BLOCK_HEADER_LEN + 8);
	struct cursor c = cursor_of(input);
	cursor_skip(&c, BLOCK_HEADER_LEN);
	struct cursor magic = c;
	if (cursor_u32(&magic) == BYTE_ORDER_MAGIC) {
		format->big_endian = true;
	} else {
		magic = c;
		if (cursor_u32le(&magic) != BYTE_ORDER_MAGIC)
			return damaged(step, "section header without a byte-order magic");
		format->big_endian = false;
	}
	uint16_t major = read_u16(&magic, format->big_endian);
	if (major != 1)
		return damaged_value(step, "unknown major version of pcapng", major);
	c = cursor_of(input);
	cursor_skip(&c, 4);
	*total_len = read_u32(&c, format->big_endian);
	if (*total_len < BLOCK_FRAME_LEN + 16)
		return damaged_value(step, "section header is too short", *total_len);
	format->interface_count = 0;
	return PARSE_DONE;
}

static enum parse_result block_body(struct capture_format *format, uint32_t type, struct span body,
				    struct capture_step *step)
{
	switch (type) {
	case BLOCK_INTERFACE:
		return interface_block(format, body, step);
	case BLOCK_ENHANCED:
	case BLOCK_PACKET:
		return timed_packet_block(format, type, body, step);
	case BLOCK_SIMPLE:
		return simple_packet_block(format, body, step);
	default:
		return PARSE_DONE;
	}
}

static enum parse_result pcapng_block(struct capture_format *format, struct span input,
				      struct capture_step *step)
{
	if (input.len < BLOCK_HEADER_LEN)
		return more(step, BLOCK_HEADER_LEN);
	struct cursor c = cursor_of(input);
	uint32_t type = read_u32(&c, format->big_endian);
	uint32_t total_len = read_u32(&c, format->big_endian);
	if (type == BLOCK_SECTION) {
		enum parse_result result = section_block(format, input, &total_len, step);
		if (result != PARSE_DONE)
			return result;
	}
	if (total_len < BLOCK_FRAME_LEN || total_len % 4 != 0)
		return damaged_value(step, "impossible length of a block", total_len);
	if (total_len > CAPTURE_RECORD_MAX) {
		/* Nothing that is read is so long: secrets, comments, foreign blocks. */
		if (type == BLOCK_INTERFACE || type == BLOCK_ENHANCED || type == BLOCK_PACKET ||
		    type == BLOCK_SIMPLE)
			return damaged_value(step, "length of a block cannot be true", total_len);
		return done(step, total_len);
	}
	if (input.len < total_len)
		return more(step, total_len);
	struct cursor trailer = cursor_of(span_skip(input, total_len - BLOCK_TRAILER_LEN));
	uint32_t trailing_len = read_u32(&trailer, format->big_endian);
	if (trailing_len != total_len)
		return damaged_value(step, "the two lengths of a block differ", trailing_len);
	(void)done(step, total_len);
	struct span body = span_of(input.ptr + BLOCK_HEADER_LEN, total_len - BLOCK_FRAME_LEN);
	return block_body(format, type, body, step);
}

/* ---- both ---- */

static enum parse_result recognise(struct capture_format *format, struct span input,
				   struct capture_step *step)
{
	struct cursor c = cursor_of(input);
	uint32_t magic = cursor_u32(&c);
	if (c.failed)
		return more(step, 4);
	if (magic == BLOCK_SECTION) {
		/* Four bytes that are two line ends prove little; the byte-order magic does. */
		if (input.len < BLOCK_HEADER_LEN + 4)
			return more(step, BLOCK_HEADER_LEN + 4);
		cursor_skip(&c, 4);
		struct cursor again = c;
		if (cursor_u32(&c) != BYTE_ORDER_MAGIC && cursor_u32le(&again) != BYTE_ORDER_MAGIC)
			return damaged(step, "not a capture");
		format->kind = CAPTURE_KIND_PCAPNG;
		return pcapng_block(format, input, step);
	}
	format->big_endian = pcap_magic(format, magic);
	c = cursor_of(input);
	if (!format->big_endian && !pcap_magic(format, cursor_u32le(&c)))
		return damaged(step, "not a capture");
	format->kind = CAPTURE_KIND_PCAP;
	return pcap_header(format, input, step);
}

enum parse_result capture_format_next(struct capture_format *format, struct span input,
				      struct capture_step *step)
{
	switch (format->kind) {
	case CAPTURE_KIND_PCAP:
		/* The header may not have been whole when its magic was seen. */
		if (format->interface_count == 0)
			return pcap_header(format, input, step);
		return pcap_record(format, input, step);
	case CAPTURE_KIND_PCAPNG:
		return pcapng_block(format, input, step);
	case CAPTURE_KIND_UNKNOWN:
	default:
		return recognise(format, input, step);
	}
}
