/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share: the entry point and a cursor over the input. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "decoders/span.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run like a crash, so that the input is kept. */
#define FUZZ_REQUIRE(what)                                                                         \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: violated: %s\n", __FILE__, __LINE__, #what);       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Instructions come out of the input byte by byte; behind its end they are 0. */
static inline uint8_t fuzz_byte(struct span *input)
{
	if (input->len == 0)
		return 0;
	uint8_t byte = input->ptr[0];
	*input = span_skip(*input, 1);
	return byte;
}

static inline uint16_t fuzz_short(struct span *input)
{
	uint16_t high = fuzz_byte(input);
	return (uint16_t)(high << 8 | fuzz_byte(input));
}

static inline struct span fuzz_bytes(struct span *input, size_t len)
{
	struct span bytes = span_head(*input, len);
	*input = span_skip(*input, bytes.len);
	return bytes;
}

#endif
