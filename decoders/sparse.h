/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of which most are zero, written short, for what is kept for long and seldom read.
 *
 * They are taken in words of eight: first a bit for each word, whether it has a byte that is
 * not zero, then for each such word a bit for each byte, and those bytes; a word with few zeros
 * stands there whole. The last word may be a part of one. What is read is what was written, to the
 * byte; it is for memory, not for files: the reader has to know how many bytes there were.
 */
#ifndef DECODERS_SPARSE_H
#define DECODERS_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "decoders/span.h"

/* Bytes that the worst len bytes take: not one of them zero. */
#define SPARSE_MAX(len) (((len) + 63) / 64 + ((len) + 7) / 8 + (len))

/* Writes bytes to out, which has room for SPARSE_MAX(bytes.len); returns how many it took. */
size_t sparse_write(struct span bytes, uint8_t *out);

/* Reads len bytes from what sparse_write() wrote of as many. */
void sparse_read(const uint8_t *from, uint8_t *bytes, size_t len);

#endif
