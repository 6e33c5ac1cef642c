/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/decompress.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct unzstd {
	ZSTD_DStream *stream;
};

struct unzstd *unzstd_new(int max_window_log)
{
	struct unzstd *unzstd = calloc(1, sizeof(*unzstd));
	if (!unzstd)
		return NULL;
	unzstd->stream = ZSTD_createDStream();
	if (!unzstd->stream || ZSTD_isError(ZSTD_initDStream(unzstd->stream)) ||
	    ZSTD_isError(
		ZSTD_DCtx_setParameter(unzstd->stream, ZSTD_d_windowLogMax, max_window_log))) {
		unzstd_free(unzstd);
		return NULL;
	}
	return unzstd;
}

void unzstd_free(struct unzstd *unzstd)
{
	if (!unzstd)
		return;
	(void)ZSTD_freeDStream(unzstd->stream);
	free(unzstd);
}

enum decompress_result unzstd_run(struct unzstd *unzstd, struct span *in, uint8_t *out, size_t room,
				  size_t *made)
{
	ZSTD_inBuffer input = {.src = in->ptr, .size = in->len, .pos = 0};
	ZSTD_outBuffer output = {.dst = out, .size = room, .pos = 0};
	size_t left = ZSTD_decompressStream(unzstd->stream, &output, &input);
	*in = span_skip(*in, input.pos);
	*made = output.pos;
	if (ZSTD_isError(left)) {
		switch (ZSTD_getErrorCode(left)) {
		case ZSTD_error_memory_allocation:
		case ZSTD_error_frameParameter_windowTooLarge:
			return DECOMPRESS_NO_MEMORY;
		default:
			return DECOMPRESS_DAMAGED;
		}
	}
	return left == 0 ? DECOMPRESS_MEMBER_END : DECOMPRESS_OK;
}
