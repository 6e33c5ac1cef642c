/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the outbox: one alert as it lies in memory and on disk.
 *
 * Pure: no I/O. All numbers are little-endian. A segment file is a header
 * followed by records, each of them self-contained:
 *
 *   segment header, 40 bytes          record
 *     0  "SWOUTBOX"                     0  "SWR1"
 *     8  u32 format version             4  u32 length of the body
 *    12  u32 severity                   8  u32 CRC-32C of length and body
 *    16  u64 sequence of the            12 body: u64 sequence, i64 time raised (ns),
 *            first record                  u8 severity, u8 lengths of id, rule, sensor,
 *    24  i64 time created (ns)             u32 length of json; then these four
 *    32  u32 reserved, 0
 *    36  u32 CRC-32C of 0..35
 *
 * The mark in front of each record makes a reader find its way after damaged
 * bytes. Text in a record is JSON without raw NUL, while the length of a
 * record below 16 MiB contains one: bytes off the wire cannot forge a record.
 */
#ifndef ALERTS_OUTBOX_RECORD_H
#define ALERTS_OUTBOX_RECORD_H

#include "decoders/parse.h"
#include "decoders/span.h"

#define OUTBOX_FORMAT_VERSION      1
#define OUTBOX_SEVERITIES          4 /* 0 low, 1 medium, 2 high, 3 critical */
#define OUTBOX_SEGMENT_HEADER_SIZE 40
#define OUTBOX_RECORD_MIN          36                 /* bytes of a record with four empty texts */
#define OUTBOX_RECORD_LIMIT        ((size_t)16 << 20) /* no record is this long, see above */

/* One alert. Spans are borrowed: from the caller, or from the bytes that were decoded. */
struct outbox_record {
	uint64_t sequence;  /* order of raising, from 1, never reused within an outbox */
	int64_t raised_ns;  /* wall clock when it was handed over, since the epoch */
	unsigned severity;  /* below OUTBOX_SEVERITIES */
	struct span id;     /* event.id; at most 255 bytes, as rule and sensor */
	struct span rule;   /* rule.id */
	struct span sensor; /* observer.name */
	struct span json;   /* the document */
};

struct outbox_segment_header {
	uint32_t version;
	unsigned severity;
	uint64_t first_sequence;
	int64_t created_ns;
};

/* Bytes that record takes when encoded; 0 when a text or the whole is too long for the format. */
size_t outbox_record_size(const struct outbox_record *record);

/* Writes outbox_record_size() bytes to out, and returns their number. */
size_t outbox_record_encode(const struct outbox_record *record, uint8_t *out);

/*
 * Reads the record at the start of bytes. PARSE_DONE: record borrows from
 * bytes and *size is its length. PARSE_MORE: a record may stand here, but the
 * bytes end before it does; *size is the length it claims, or 0 when not even
 * that is known. PARSE_MALFORMED: no record.
 */
enum parse_result outbox_record_decode(struct span bytes, struct outbox_record *record,
				       size_t *size);

void outbox_segment_header_encode(const struct outbox_segment_header *header,
				  uint8_t out[OUTBOX_SEGMENT_HEADER_SIZE]);

/* PARSE_DONE also for versions that this program does not know: the caller must compare. */
enum parse_result outbox_segment_header_decode(struct span bytes,
					       struct outbox_segment_header *header);

/* The word for a severity in file names and Redis fields: low, medium, high, critical. */
const char *outbox_severity_word(unsigned severity);

/* Little-endian stores, for the files of the outbox. Each returns the place behind. */
uint8_t *outbox_store_u32(uint8_t *out, uint32_t value);
uint8_t *outbox_store_u64(uint8_t *out, uint64_t value);
uint64_t outbox_load_u64(struct cursor *c);

#endif
