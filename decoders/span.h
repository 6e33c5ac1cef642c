/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes off the wire: a span that borrows them and a cursor that reads them.
 *
 * Nothing in decoders/ touches a byte of the network except through these.
 * A cursor's error sticks: after the first read past the end every further
 * read yields zero and the cursor stays failed, so a parser may read a whole
 * header and test once.
 */
#ifndef DECODERS_SPAN_H
#define DECODERS_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes. ptr may be NULL only when len is 0. Never owns. */
struct span {
	const uint8_t *ptr;
	size_t len;
};

struct cursor {
	const uint8_t *ptr; /* next unread byte */
	size_t left;        /* bytes not yet read */
	bool failed;        /* a read went past the end; sticky */
};

static inline struct span span_of(const void *ptr, size_t len)
{
	return (struct span){.ptr = ptr, .len = len};
}

/* The span of a C string literal or NUL-terminated string, without the NUL. */
static inline struct span span_str(const char *text)
{
	return span_of(text, strlen(text));
}

/* The first n bytes, or all of them when there are fewer. */
static inline struct span span_head(struct span s, size_t n)
{
	return span_of(s.ptr, n < s.len ? n : s.len);
}

/* What is left after the first n bytes; empty when there are fewer. */
static inline struct span span_skip(struct span s, size_t n)
{
	return n < s.len ? span_of(s.ptr + n, s.len - n) : (struct span){.ptr = NULL, .len = 0};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline uint8_t ascii_upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
}

/* Equal but for ASCII case, the comparison of SMTP verbs and keywords (RFC 5321 2.4). */
static inline bool span_equal_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_upper(a.ptr[i]) != ascii_upper(b.ptr[i]))
			return false;
	return true;
}

static inline struct cursor cursor_of(struct span s)
{
	return (struct cursor){.ptr = s.ptr, .left = s.len, .failed = false};
}

/* Takes n bytes; an empty span and a failed cursor when there are fewer. */
static inline struct span cursor_take(struct cursor *c, size_t n)
{
	if (c->failed || n > c->left) {
		c->failed = true;
		return (struct span){.ptr = NULL, .len = 0};
	}
	struct span taken = span_of(c->ptr, n);
	if (n > 0)
		c->ptr += n;
	c->left -= n;
	return taken;
}

static inline struct span cursor_rest(struct cursor *c)
{
	return cursor_take(c, c->failed ? 0 : c->left);
}

static inline void cursor_skip(struct cursor *c, size_t n)
{
	(void)cursor_take(c, n);
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	struct span s = cursor_take(c, 1);
	return s.len == 1 ? s.ptr[0] : 0;
}

/* Big-endian (network order) reads. */
static inline uint16_t cursor_u16(struct cursor *c)
{
	struct span s = cursor_take(c, 2);
	return s.len == 2 ? (uint16_t)((unsigned)s.ptr[0] << 8 | s.ptr[1]) : 0;
}

static inline uint32_t cursor_u24(struct cursor *c)
{
	struct span s = cursor_take(c, 3);
	return s.len == 3 ? (uint32_t)s.ptr[0] << 16 | (uint32_t)s.ptr[1] << 8 | s.ptr[2] : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	struct span s = cursor_take(c, 4);
	return s.len == 4 ? (uint32_t)s.ptr[0] << 24 | (uint32_t)s.ptr[1] << 16 |
				(uint32_t)s.ptr[2] << 8 | s.ptr[3]
			  : 0;
}

/* Little-endian reads: file headers written by another byte order, radiotap. */
static inline uint16_t cursor_u16le(struct cursor *c)
{
	struct span s = cursor_take(c, 2);
	return s.len == 2 ? (uint16_t)(s.ptr[0] | (unsigned)s.ptr[1] << 8) : 0;
}

static inline uint32_t cursor_u32le(struct cursor *c)
{
	struct span s = cursor_take(c, 4);
	return s.len == 4 ? (uint32_t)s.ptr[3] << 24 | (uint32_t)s.ptr[2] << 16 |
				(uint32_t)s.ptr[1] << 8 | s.ptr[0]
			  : 0;
}

/*
 * Big-endian reads at a place inside bytes that were taken already, for headers of a
 * fixed size: take the header once, test once, then read its fields where they stand.
 */
static inline uint16_t bytes_u16(const uint8_t *p)
{
	return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t bytes_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t bytes_u32le(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t bytes_u64le(const uint8_t *p)
{
	return (uint64_t)bytes_u32le(p + 4) << 32 | bytes_u32le(p);
}

/* A sub-cursor over the next n bytes, which are taken from c; failed when there are fewer. */
static inline struct cursor cursor_sub(struct cursor *c, size_t n)
{
	struct span s = cursor_take(c, n);
	return (struct cursor){.ptr = s.ptr, .left = s.len, .failed = c->failed};
}

#endif
