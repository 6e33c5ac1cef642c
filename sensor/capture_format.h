/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats pcap and pcapng: bytes in, packets out. Pure: no file, no clock,
 * no copy of a frame; the only memory is the table of a section's interfaces.
 *
 * pcap (draft-ietf-opsawg-pcap): microseconds and nanoseconds, either byte
 * order, Kuznetzov's modified form with its longer record header, versions
 * 2.0 to 2.3 whose record headers have the two lengths the other way round.
 * pcapng (draft-ietf-opsawg-pcapng): several sections of either byte order,
 * interfaces with link types, resolutions and offsets of their own, enhanced,
 * simple and obsolete packet blocks. All other blocks are passed over.
 *
 * The snaplen of a header is advice, not a promise: files exist whose packets
 * are longer. What was captured is delivered whole, up to CAPTURE_FRAME_MAX.
 */
#ifndef SENSOR_CAPTURE_FORMAT_H
#define SENSOR_CAPTURE_FORMAT_H

#include "decoders/parse.h"
#include "decoders/span.h"

/* Longest frame believed, in bytes: what libpcap calls MAXIMUM_SNAPLEN. More means damage. */
#define CAPTURE_FRAME_MAX 262144U

/* The most bytes that capture_format_next() ever asks to see at once. */
#define CAPTURE_RECORD_MAX (CAPTURE_FRAME_MAX + 65536U)

/* Interfaces that one section may describe; more means damage. */
#define CAPTURE_SECTION_INTERFACES 1024U

/* Room for an interface's name with its NUL; a longer one is cut. */
#define CAPTURE_INTERFACE_TEXT 128U

/*
 * Times are kept within this many ns of the epoch (the years 1823 to 2116), so that a
 * timeout can be added to a forged one without overflow. Beyond it they are clamped.
 */
#define CAPTURE_TIME_MAX (INT64_MAX / 2)

enum capture_kind {
	CAPTURE_KIND_UNKNOWN, /* nothing recognised yet, or no capture */
	CAPTURE_KIND_PCAP,
	CAPTURE_KIND_PCAPNG,
};

/* An interface as the capture describes it. Its name is untrusted bytes, NUL-terminated. */
struct capture_interface {
	uint32_t link_type; /* LINKTYPE_ value as in the file */
	uint32_t snaplen;   /* bytes; 0: no limit */
	uint32_t fcs_len;   /* bytes of link-layer checksum at the end of each frame */
	uint32_t tag;       /* the reader's own; 0 at the start */
	bool ticks_binary;  /* a second has 2^ticks_exponent ticks, otherwise 10^ticks_exponent */
	uint8_t ticks_exponent;
	uint64_t ticks_per_second;
	int64_t offset_s; /* if_tsoffset: seconds to add */
	char name[CAPTURE_INTERFACE_TEXT];
};

/* State of one capture. Not copied while in use: it owns the table of interfaces. */
struct capture_format {
	enum capture_kind kind;
	bool big_endian;       /* of the file, or of the present section */
	uint8_t header_len;    /* pcap: bytes of a record header, 16 or 24 */
	uint8_t version_minor; /* pcap: decides which length comes first */
	bool plain;            /* pcap, its header was read, and lengths stand as they should */
	uint32_t ns_per_tick;  /* pcap: 1000 or 1 */
	int64_t last_time_ns;  /* time of the packet before, which stands in for a missing one */
	uint32_t interface_count;
	uint32_t interface_room;
	struct capture_interface *interfaces; /* pcap: exactly one */
};

struct capture_record {
	int64_t time_ns;    /* ns since the epoch; a simple packet block has the time of the packet
			       before */
	uint32_t len;       /* bytes that were on the wire, never less than frame.len */
	uint32_t interface; /* index into interfaces */
	uint32_t fcs_len;   /* bytes of link-layer checksum at the end of the frame on the wire */
	struct span frame;  /* what was captured; borrowed from the input */
};

struct capture_step {
	bool has_packet;     /* DONE: record is set; otherwise a header or a passed-over block */
	uint64_t advance;    /* DONE: bytes to leave behind, which may be more than there are yet */
	size_t need;         /* MORE: bytes wanted from here, at most CAPTURE_RECORD_MAX */
	const char *problem; /* MALFORMED: what is wrong, a constant text */
	uint64_t value;      /* MALFORMED: the number that is wrong, with has_value */
	bool has_value;
	struct capture_record record;
};

void capture_format_init(struct capture_format *format);

/* Gives back the table of interfaces. The format may be initialised anew. */
void capture_format_free(struct capture_format *format);

/*
 * Reads the unit at the start of input: the file's header, a record or a block.
 *
 * DONE: advance by step->advance and call again. MORE: the unit is cut; call
 * again with step->need bytes from the same place. At the end of the file MORE
 * with an empty input is the proper end, with anything else a truncation.
 * MALFORMED: the file is damaged here (or, with kind still unknown, is no
 * capture); the format is not to be used further.
 */
enum parse_result capture_format_next(struct capture_format *format, struct span input,
				      struct capture_step *step);

/* Fields of a pcap record's header. Writers before version 2.4 may swap the lengths. */
struct capture_pcap_header {
	uint32_t seconds, ticks, caplen, len;
};

static inline struct capture_pcap_header capture_pcap_header(const struct capture_format *format,
							     const uint8_t *at)
{
	if (format->big_endian)
		return (struct capture_pcap_header){bytes_u32(at), bytes_u32(at + 4),
						    bytes_u32(at + 8), bytes_u32(at + 12)};
	return (struct capture_pcap_header){bytes_u32le(at), bytes_u32le(at + 4),
					    bytes_u32le(at + 8), bytes_u32le(at + 12)};
}

/* The record behind a header that is sound, at the start of input. Returns its length. */
static inline size_t capture_pcap_take(struct capture_format *format,
				       const struct capture_pcap_header *header, struct span input,
				       struct capture_record *record)
{
	format->last_time_ns = (int64_t)header->seconds * INT64_C(1000000000) +
			       (int64_t)header->ticks * format->ns_per_tick;
	record->time_ns = format->last_time_ns;
	record->len = header->len > header->caplen ? header->len : header->caplen;
	record->interface = 0;
	record->fcs_len = format->interfaces[0].fcs_len;
	record->frame = span_of(input.ptr + format->header_len, header->caplen);
	return format->header_len + (size_t)header->caplen;
}

/*
 * The same for what most units are, without going through a step: a record of a pcap file that
 * is whole. Returns its length; 0: nothing was read, ask capture_format_next().
 */
static inline size_t capture_format_record(struct capture_format *format, struct span input,
					   struct capture_record *record)
{
	if (!format->plain || input.len < format->header_len)
		return 0;
	const struct capture_pcap_header header = capture_pcap_header(format, input.ptr);
	if (header.caplen > CAPTURE_FRAME_MAX || input.len - format->header_len < header.caplen)
		return 0;
	return capture_pcap_take(format, &header, input, record);
}

#endif
