/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer that is born with its maximum.
 *
 * Its error sticks: what would pass the maximum, or finds no memory, sets
 * failed and is dropped, and so is everything after it. So a document may be
 * written whole and tested once. Nothing here uses printf: output is made for
 * every session.
 */
#ifndef ALERTS_BUFFER_H
#define ALERTS_BUFFER_H

#include "decoders/budget.h"
#include "decoders/span.h"

struct buffer {
	char *bytes; /* not NUL-terminated; NULL until something was written */
	size_t len;
	size_t cap;
	size_t max; /* len never passes it */
	struct budget *budget;
	bool failed;
};

/* budget outlives the buffer. No memory is taken before the first byte. */
void buffer_init(struct buffer *buffer, struct budget *budget, size_t max);

/* Gives the memory back; the buffer is as after buffer_init(). */
void buffer_free(struct buffer *buffer);

/* Empties the buffer, keeps its memory and takes the error back. */
static inline void buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
	buffer->failed = false;
}

/* Takes back everything after the first len bytes; the error as well. */
static inline void buffer_truncate(struct buffer *buffer, size_t len)
{
	if (len <= buffer->len)
		buffer->len = len;
	buffer->failed = false;
}

static inline struct span buffer_span(const struct buffer *buffer)
{
	return span_of(buffer->bytes, buffer->len);
}

/* Room for n more bytes behind len. False, and failed, when there is none to be had. */
bool buffer_grow(struct buffer *buffer, size_t n);

static inline bool buffer_reserve(struct buffer *buffer, size_t n)
{
	if (!buffer->failed && n <= buffer->cap - buffer->len)
		return true;
	return buffer_grow(buffer, n);
}

static inline void buffer_add(struct buffer *buffer, const void *bytes, size_t len)
{
	if (len == 0 || !buffer_reserve(buffer, len))
		return;
	memcpy(buffer->bytes + buffer->len, bytes, len);
	buffer->len += len;
}

static inline void buffer_add_char(struct buffer *buffer, char c)
{
	if (!buffer_reserve(buffer, 1))
		return;
	buffer->bytes[buffer->len++] = c;
}

/* A NUL-terminated text of ours, without the NUL. */
static inline void buffer_add_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

#define BUFFER_U64_TEXT 20 /* digits of the longest number */

/* Writes a number in decimal to where there is room for the longest. Returns its length. */
size_t buffer_put_u64(char text[BUFFER_U64_TEXT], uint64_t value);

/* Decimal digits. */
void buffer_add_u64(struct buffer *buffer, uint64_t value);
void buffer_add_i64(struct buffer *buffer, int64_t value);

/* Lower-case hex digits, two a byte. */
void buffer_add_hex(struct buffer *buffer, const uint8_t *bytes, size_t len);

#define BUFFER_TIME_TEXT 27 /* of buffer_put_time() */

/* What buffer_add_time() adds, without a NUL. */
void buffer_put_time(char text[BUFFER_TIME_TEXT], int64_t time_ns);

/*
 * RFC 3339 UTC with microseconds, "2026-01-02T03:04:05.678901Z", of ns since
 * 1970; what is finer is cut off, not rounded, so that order is kept.
 */
void buffer_add_time(struct buffer *buffer, int64_t time_ns);

/* The same from whole seconds and without the fraction. */
void buffer_add_seconds(struct buffer *buffer, int64_t time_s);

#endif
