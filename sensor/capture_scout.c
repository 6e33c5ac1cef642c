/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_scout.h"

#include "sensor/memory_fetch.h"

#define TRAILS    8U          /* followed at a time: a core waits for so much memory at once */
#define TRAIL_MIN (16U << 10) /* bytes for each, or it does not pay to look for its begin */
#define BEGIN_MAX 4096U       /* a unit is to be found within so many bytes, or none is */
#define NEAR_S    (1U << 20)  /* seconds between the packets of a window, as a rule */
#define LEN_MAX   65536U      /* of a packet, as a rule */
#define EXTRA_MAX 1024U       /* of a block: its options */
#define UNIT_MIN  12U         /* bytes of anything */
#define HEADERS   94U         /* a block's header, and those of Ethernet, IPv4 and TCP */

/* pcapng: an enhanced packet block's header (draft-ietf-opsawg-pcapng 4.3). */
#define BLOCK_PACKET 6U
#define BLOCK_HEADER 28U
#define BLOCK_AROUND 32U /* bytes of the header and of the length at its end */

static uint32_t field(const struct capture_format *format, const uint8_t *at)
{
	return format->big_endian ? bytes_u32(at) : bytes_u32le(at);
}

static size_t header_len(const struct capture_format *format)
{
	return format->kind == CAPTURE_KIND_PCAP ? format->header_len : BLOCK_HEADER;
}

/* Whether a packet's unit may begin there; like: one that does. */
static bool looks_like(const struct capture_format *format, const uint8_t *at, const uint8_t *like)
{
	const bool block = format->kind != CAPTURE_KIND_PCAP;
	const uint32_t caplen = field(format, at + (block ? 20 : 8));
	const uint32_t len = field(format, at + (block ? 24 : 12));

	if (caplen == 0 || caplen > len || len > LEN_MAX)
		return false;
	if (block)
		return field(format, at) == BLOCK_PACKET &&
		       field(format, at + 4) - BLOCK_AROUND - caplen < EXTRA_MAX &&
		       field(format, at + 8) < format->interface_count;
	return field(format, at) - field(format, like) + NEAR_S < 2 * NEAR_S;
}

/* Where the first unit behind from seems to begin; end: nowhere near. */
static size_t find_unit(const struct capture_format *format, struct span bytes, size_t from,
			size_t end)
{
	/* A byte of its begin that is the same in all: of the type, or of times that are near. */
	const size_t place = (format->kind == CAPTURE_KIND_PCAP) != format->big_endian ? 3 : 0;
	const size_t room = end - from < BEGIN_MAX ? end - from : BEGIN_MAX;

	for (const size_t until = from + room - header_len(format); from < until; from++) {
		const uint8_t *found =
		    memchr(bytes.ptr + from + place, bytes.ptr[place], until - from);
		if (found == NULL)
			break;
		from = (size_t)(found - bytes.ptr) - place;
		if (looks_like(format, bytes.ptr + from, bytes.ptr))
			return from;
	}
	return end;
}

void capture_scout(const struct capture_format *format, struct span bytes)
{
	const bool is_pcap = format->kind == CAPTURE_KIND_PCAP;
	/* Where a unit says how long it is, and what that leaves out. */
	const size_t len_at = is_pcap ? 8 : 4, besides = is_pcap ? format->header_len : 0;
	const bool big_endian = format->big_endian;
	size_t at[TRAILS], end[TRAILS];
	unsigned trails = 0;

	if (bytes.len < 2 * TRAIL_MIN || (is_pcap && !format->plain))
		return;
	const size_t share = bytes.len / TRAILS > TRAIL_MIN ? bytes.len / TRAILS : TRAIL_MIN;
	for (size_t from = 0; trails < TRAILS && bytes.len - from >= share; from += share) {
		end[trails] = from + share - HEADERS;
		at[trails] = from == 0 ? 0 : find_unit(format, bytes, from, end[trails]);
		trails++;
	}
	for (bool going = true; going;) {
		going = false;
		for (unsigned i = 0; i < trails; i++) {
			if (at[i] >= end[i])
				continue;
			const uint8_t *unit = bytes.ptr + at[i];
			const size_t len = besides + (big_endian ? bytes_u32(unit + len_at)
								 : bytes_u32le(unit + len_at));
			__builtin_prefetch(unit + MEMORY_LINE);
			/* What is shorter is none, and leads nowhere. */
			at[i] = len < UNIT_MIN || len > end[i] - at[i] ? end[i] : at[i] + len;
			__builtin_prefetch(bytes.ptr + at[i]);
			going = true;
		}
	}
}
