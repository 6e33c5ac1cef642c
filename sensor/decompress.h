/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming decompression: gzip (RFC 1952, zlib) and zstd (RFC 8878, libzstd).
 *
 * Both follow one pattern: input is taken off the front of *in, output is
 * written to out. Several members or frames on end are one stream.
 */
#ifndef SENSOR_DECOMPRESS_H
#define SENSOR_DECOMPRESS_H

#include "decoders/span.h"

enum decompress_result {
	DECOMPRESS_OK,         /* went as far as input and room allow, inside a member */
	DECOMPRESS_MEMBER_END, /* a member ended: the input may properly end here */
	DECOMPRESS_DAMAGED,    /* not what the format allows, or its checksum is wrong */
	DECOMPRESS_NO_MEMORY,  /* none left, or zstd wants a larger window than is allowed */
};

struct gunzip;
struct unzstd;

/* NULL when memory is out. About 40 KB. */
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *gunzip);
enum decompress_result gunzip_run(struct gunzip *gunzip, struct span *in, uint8_t *out, size_t room,
				  size_t *made);

/* max_window_log: the binary logarithm of the largest window accepted, in bytes (10 to 31). */
struct unzstd *unzstd_new(int max_window_log);
void unzstd_free(struct unzstd *unzstd);
enum decompress_result unzstd_run(struct unzstd *unzstd, struct span *in, uint8_t *out, size_t room,
				  size_t *made);

#endif
