/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/line.h"

static void line_keep(struct line_reader *reader, struct budget *budget, struct span bytes)
{
	size_t want = reader->len + bytes.len;
	if (want > LINE_KEPT) {
		want = LINE_KEPT;
		reader->overlong = true;
	}
	if (want > reader->cap) {
		size_t cap = want <= 128 ? 128 : LINE_KEPT;
		uint8_t *grown = budget_resize(budget, reader->kept, reader->cap, cap);
		if (grown == NULL) {
			/* Without room the line is known by its beginning alone. */
			want = reader->cap;
			reader->overlong = true;
		} else {
			reader->kept = grown;
			reader->cap = (uint16_t)cap;
		}
	}
	size_t n = want - reader->len;
	if (n > 0)
		memcpy(reader->kept + reader->len, bytes.ptr, n);
	reader->len = (uint16_t)want;
}

enum parse_result line_read(struct line_reader *reader, struct budget *budget, struct span *bytes,
			    struct line *line)
{
	if (reader->given) {
		reader->given = false;
		reader->len = 0;
		reader->overlong = false;
	}
	if (bytes->len == 0)
		return PARSE_MORE;

	const uint8_t *end = memchr(bytes->ptr, '\n', bytes->len);
	size_t len = end != NULL ? (size_t)(end - bytes->ptr) : bytes->len;
	struct span part = span_head(*bytes, len);

	if (end == NULL) {
		line_keep(reader, budget, part);
		*bytes = span_skip(*bytes, len);
		return PARSE_MORE;
	}
	*bytes = span_skip(*bytes, len + 1);
	line->fragment = reader->resync;
	reader->resync = false;
	if (reader->len == 0 && !reader->overlong) {
		line->bytes = span_head(part, LINE_KEPT);
		line->overlong = part.len > LINE_KEPT;
		return PARSE_DONE;
	}
	line_keep(reader, budget, part);
	line->bytes = span_of(reader->kept, reader->len);
	line->overlong = reader->overlong;
	reader->given = true;
	return PARSE_DONE;
}

void line_gap(struct line_reader *reader)
{
	reader->len = 0;
	reader->overlong = false;
	reader->given = false;
	reader->resync = true;
}

bool line_at_start(const struct line_reader *reader)
{
	return reader->given || (reader->len == 0 && !reader->overlong);
}

void line_free(struct line_reader *reader, struct budget *budget)
{
	budget_free(budget, reader->kept, reader->cap);
	*reader = (struct line_reader){.kept = NULL};
}
