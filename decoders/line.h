/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines out of a byte stream (RFC 5321 2.3.8), LF alone tolerated as line end.
 *
 * A line that lies whole in the bytes at hand is given out without a copy; only
 * the beginning of an unfinished one is kept, in the budget, and of an overlong
 * one the first LINE_KEPT bytes.
 */
#ifndef DECODERS_LINE_H
#define DECODERS_LINE_H

#include "decoders/budget.h"
#include "decoders/parse.h"
#include "decoders/span.h"

#define LINE_KEPT 1024U

struct line_reader {
	uint8_t *kept; /* beginning of the unfinished line */
	uint16_t len, cap;
	bool overlong; /* the unfinished line is longer than what is kept */
	bool resync;   /* its beginning was missed: the first line end only ends a fragment */
	bool given;    /* kept was given out as a line and is to be emptied */
};

struct line {
	struct span bytes; /* without LF, with the CR if there is one; valid until the next call */
	bool fragment;     /* its beginning was missed */
	bool overlong;
};

/* Takes one line from *bytes; PARSE_MORE when there is no line end, *bytes is then empty. */
enum parse_result line_read(struct line_reader *reader, struct budget *budget, struct span *bytes,
			    struct line *line);

/* Bytes are missing: what was unfinished is dropped, what follows may be a fragment. */
void line_gap(struct line_reader *reader);

/* Whether the next byte begins a line, as far as was seen. */
bool line_at_start(const struct line_reader *reader);

void line_free(struct line_reader *reader, struct budget *budget);

#endif
