/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/outbox_record.h"

#include "alerts/crc32c.h"

#include <string.h>

#define RECORD_MARK      "SWR1"
#define SEGMENT_MARK     "SWOUTBOX"
#define RECORD_HEAD_SIZE 12 /* mark, length, checksum */
#define BODY_FIXED_SIZE  24 /* of the body, what is not text */

uint8_t *outbox_store_u32(uint8_t *out, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> (8 * i));
	return out + 4;
}

uint8_t *outbox_store_u64(uint8_t *out, uint64_t value)
{
	out = outbox_store_u32(out, (uint32_t)value);
	return outbox_store_u32(out, (uint32_t)(value >> 32));
}

uint64_t outbox_load_u64(struct cursor *c)
{
	uint64_t low = cursor_u32le(c);

	return low | (uint64_t)cursor_u32le(c) << 32;
}

static uint8_t *store_text(uint8_t *out, struct span text)
{
	if (text.len > 0)
		memcpy(out, text.ptr, text.len);
	return out + text.len;
}

const char *outbox_severity_word(unsigned severity)
{
	static const char *const words[OUTBOX_SEVERITIES] = {"low", "medium", "high", "critical"};

	return severity < OUTBOX_SEVERITIES ? words[severity] : "unknown";
}

size_t outbox_record_size(const struct outbox_record *record)
{
	if (record->id.len > UINT8_MAX || record->rule.len > UINT8_MAX ||
	    record->sensor.len > UINT8_MAX || record->severity >= OUTBOX_SEVERITIES ||
	    record->json.len > OUTBOX_RECORD_LIMIT)
		return 0;
	size_t size = RECORD_HEAD_SIZE + BODY_FIXED_SIZE + record->id.len + record->rule.len +
		      record->sensor.len + record->json.len;
	return size < OUTBOX_RECORD_LIMIT ? size : 0;
}

size_t outbox_record_encode(const struct outbox_record *record, uint8_t *out)
{
	size_t size = outbox_record_size(record);
	size_t body = size - RECORD_HEAD_SIZE;
	uint8_t *at = out + RECORD_HEAD_SIZE;

	at = outbox_store_u64(at, record->sequence);
	at = outbox_store_u64(at, (uint64_t)record->raised_ns);
	*at++ = (uint8_t)record->severity;
	*at++ = (uint8_t)record->id.len;
	*at++ = (uint8_t)record->rule.len;
	*at++ = (uint8_t)record->sensor.len;
	at = outbox_store_u32(at, (uint32_t)record->json.len);
	at = store_text(at, record->id);
	at = store_text(at, record->rule);
	at = store_text(at, record->sensor);
	(void)store_text(at, record->json);

	memcpy(out, RECORD_MARK, 4);
	(void)outbox_store_u32(out + 4, (uint32_t)body);
	uint32_t crc =
	    crc32c(crc32c(0, span_of(out + 4, 4)), span_of(out + RECORD_HEAD_SIZE, body));
	(void)outbox_store_u32(out + 8, crc);
	return size;
}

enum parse_result outbox_record_decode(struct span bytes, struct outbox_record *record,
				       size_t *size)
{
	struct cursor c = cursor_of(bytes);
	size_t mark = bytes.len < 4 ? bytes.len : 4;

	*size = 0;
	if (mark > 0 && memcmp(bytes.ptr, RECORD_MARK, mark) != 0)
		return PARSE_MALFORMED;
	if (bytes.len < RECORD_HEAD_SIZE)
		return PARSE_MORE;
	cursor_skip(&c, 4);
	uint32_t length = cursor_u32le(&c);
	uint32_t crc = cursor_u32le(&c);
	if (length < BODY_FIXED_SIZE || length >= OUTBOX_RECORD_LIMIT - RECORD_HEAD_SIZE)
		return PARSE_MALFORMED;
	*size = RECORD_HEAD_SIZE + (size_t)length;
	if (c.left < length)
		return PARSE_MORE;

	struct span body = cursor_take(&c, length);
	if (crc32c(crc32c(0, span_of(bytes.ptr + 4, 4)), body) != crc)
		return PARSE_MALFORMED;
	c = cursor_of(body);
	record->sequence = outbox_load_u64(&c);
	record->raised_ns = (int64_t)outbox_load_u64(&c);
	record->severity = cursor_u8(&c);
	size_t id = cursor_u8(&c);
	size_t rule = cursor_u8(&c);
	size_t sensor = cursor_u8(&c);
	size_t json = cursor_u32le(&c);
	record->id = cursor_take(&c, id);
	record->rule = cursor_take(&c, rule);
	record->sensor = cursor_take(&c, sensor);
	record->json = cursor_take(&c, json);
	if (c.failed || c.left != 0 || record->severity >= OUTBOX_SEVERITIES)
		return PARSE_MALFORMED;
	return PARSE_DONE;
}

void outbox_segment_header_encode(const struct outbox_segment_header *header,
				  uint8_t out[OUTBOX_SEGMENT_HEADER_SIZE])
{
	memcpy(out, SEGMENT_MARK, 8);
	uint8_t *at = outbox_store_u32(out + 8, header->version);
	at = outbox_store_u32(at, header->severity);
	at = outbox_store_u64(at, header->first_sequence);
	at = outbox_store_u64(at, (uint64_t)header->created_ns);
	at = outbox_store_u32(at, 0);
	(void)outbox_store_u32(at, crc32c(0, span_of(out, OUTBOX_SEGMENT_HEADER_SIZE - 4)));
}

enum parse_result outbox_segment_header_decode(struct span bytes,
					       struct outbox_segment_header *header)
{
	struct cursor c = cursor_of(bytes);

	if (bytes.len < OUTBOX_SEGMENT_HEADER_SIZE)
		return PARSE_MORE;
	struct span mark = cursor_take(&c, 8);
	header->version = cursor_u32le(&c);
	header->severity = cursor_u32le(&c);
	header->first_sequence = outbox_load_u64(&c);
	header->created_ns = (int64_t)outbox_load_u64(&c);
	cursor_skip(&c, 4);
	uint32_t crc = cursor_u32le(&c);
	if (!span_equal(mark, span_str(SEGMENT_MARK)) ||
	    crc != crc32c(0, span_head(bytes, OUTBOX_SEGMENT_HEADER_SIZE - 4)))
		return PARSE_MALFORMED;
	return PARSE_DONE;
}
