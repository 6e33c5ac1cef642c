/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/decompress.h"

#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

/* zlib: the largest window, and a gzip header is demanded. */
#define GZIP_WINDOW_BITS (MAX_WBITS + 16)

struct gunzip {
	z_stream stream;
	bool member_ended;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *gunzip = calloc(1, sizeof(*gunzip));
	if (!gunzip)
		return NULL;
	if (inflateInit2(&gunzip->stream, GZIP_WINDOW_BITS) != Z_OK) {
		free(gunzip);
		return NULL;
	}
	return gunzip;
}

void gunzip_free(struct gunzip *gunzip)
{
	if (!gunzip)
		return;
	(void)inflateEnd(&gunzip->stream);
	free(gunzip);
}

/* Tapes and block devices pad the last member with zeros. */
static void skip_padding(struct span *in)
{
	while (in->len > 0 && in->ptr[0] == 0)
		*in = span_skip(*in, 1);
}

enum decompress_result gunzip_run(struct gunzip *gunzip, struct span *in, uint8_t *out, size_t room,
				  size_t *made)
{
	*made = 0;
	if (gunzip->member_ended) {
		skip_padding(in);
		if (in->len == 0)
			return DECOMPRESS_MEMBER_END;
		if (inflateReset(&gunzip->stream) != Z_OK)
			return DECOMPRESS_DAMAGED;
		gunzip->member_ended = false;
	}
	z_stream *stream = &gunzip->stream;
	uInt in_len = in->len < UINT_MAX ? (uInt)in->len : UINT_MAX;
	uInt out_len = room < UINT_MAX ? (uInt)room : UINT_MAX;
	stream->next_in = in->ptr;
	stream->avail_in = in_len;
	stream->next_out = out;
	stream->avail_out = out_len;
	int status = inflate(stream, Z_NO_FLUSH);
	*in = span_skip(*in, in_len - stream->avail_in);
	*made = out_len - stream->avail_out;
	switch (status) {
	case Z_OK:
	case Z_BUF_ERROR: /* no progress without more input or room: no error */
		return DECOMPRESS_OK;
	case Z_STREAM_END:
		gunzip->member_ended = true;
		return DECOMPRESS_MEMBER_END;
	case Z_MEM_ERROR:
		return DECOMPRESS_NO_MEMORY;
	default:
		return DECOMPRESS_DAMAGED;
	}
}
