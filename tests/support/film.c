/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/film.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint32_t film_bases[FILM_BASES][2] = {
    {1000, 50000},
    {0xfffffff0U, 0xfffffffdU},
    {0xffffffffU, 0x7ffffff8U},
    {0x7ffffffcU, 0xfffffff5U},
};

static const struct stream_limits default_limits = {
    .max_out_of_order = 4096,
    .max_held = 4096,
    .max_chunks = 64,
    .hold_segments = 4,
    .hold_ns = 1000 * FILM_MS,
    .loss_ns = 60000 * FILM_MS,
    .history = 1024,
    .history_total = 1U << 20,
};

void film_init(struct film *f, uint32_t client_isn, uint32_t server_isn, size_t cap)
{
	memset(f, 0, sizeof(*f));
	budget_init(&f->budget, cap);
	stream_pool_init(&f->pool, &default_limits, &f->budget);
	stream_init(&f->stream);
	f->isn[0] = client_isn;
	f->isn[1] = server_isn;
}

static void film_say(struct film *f, const char *text, size_t len)
{
	if (f->len + len + 1 >= sizeof(f->out))
		abort(); /* the strip is too long for its film */
	memcpy(f->out + f->len, text, len);
	f->len += len;
	f->out[f->len] = '\0';
}

static void film_event(struct film *f, const struct stream_event *event)
{
	char text[64];
	if (f->len > 0)
		film_say(f, " ", 1);
	film_say(f, event->side == SIDE_CLIENT ? "c" : "s", 1);
	switch (event->kind) {
	case STREAM_DATA:
		f->delivered[event->side] += event->bytes.len;
		film_say(f, ":", 1);
		film_say(f, (const char *)event->bytes.ptr, event->bytes.len);
		break;
	case STREAM_GAP:
		snprintf(text, sizeof(text), "~%llu%s", (unsigned long long)event->gap_len,
			 event->in_skip ? "s" : "");
		film_say(f, text, strlen(text));
		break;
	case STREAM_CONFLICT:
		film_say(f, "!", 1);
		film_say(f, (const char *)event->bytes.ptr, event->bytes.len);
		snprintf(text, sizeof(text), "@%llu", (unsigned long long)event->offset);
		film_say(f, text, strlen(text));
		break;
	case STREAM_FIN:
		film_say(f, ".fin", 4);
		break;
	case STREAM_RST:
		film_say(f, ".rst", 4);
		break;
	}
}

void film_pull(struct film *f)
{
	struct stream_event event;
	while (stream_pull(&f->pool, &f->stream, &event))
		film_event(f, &event);
}

static uint8_t film_flags(const char *word)
{
	uint8_t flags = 0;
	for (; *word != '\0'; word++) {
		const char *all = "FSRPAU";
		const char *at = strchr(all, *word);
		if (at != NULL)
			flags |= (uint8_t)(1U << (at - all));
	}
	return flags;
}

void film_push(struct film *f, enum side side, const struct tcp_segment *segment)
{
	f->now += FILM_MS;
	f->ordinal++;
	if (f->use_fast) {
		struct stream_event event;
		if (stream_fast(&f->stream, side, segment))
			return;
		if (stream_in_order(&f->pool, &f->stream, side, segment, f->now, f->ordinal,
				    &event)) {
			f->in_order++;
			film_event(f, &event);
			return;
		}
	}
	if (stream_push(&f->pool, &f->stream, side, segment, f->now, f->ordinal) ==
	    STREAM_NEW_CONNECTION) {
		film_say(f, f->len > 0 ? " new" : "new", f->len > 0 ? 4 : 3);
		return;
	}
	film_pull(f);
}

static void film_row(struct film *f, const char *row)
{
	char word[6][128] = {{0}};
	int n = sscanf(row, "%127s %127s %127s %127s %127s %127s", word[0], word[1], word[2],
		       word[3], word[4], word[5]);
	enum side side = word[1][0] == 's' ? SIDE_SERVER : SIDE_CLIENT;
	if (n <= 0)
		return;
	if (strcmp(word[0], "skip") == 0) {
		stream_skip(&f->stream, side,
			    strcmp(word[2], "all") == 0 ? STREAM_FOREVER
							: strtoull(word[2], NULL, 10));
		film_pull(f);
		return;
	}
	if (strcmp(word[0], "history") == 0) {
		stream_history(&f->pool, &f->stream, side, strcmp(word[2], "on") == 0);
		return;
	}
	if (strcmp(word[0], "wait") == 0 || strcmp(word[0], "tick") == 0) {
		f->now += strtoll(word[1], NULL, 10) * FILM_MS;
		if (word[0][0] == 'w')
			return;
		stream_tick(&f->pool, &f->stream, f->now);
		film_pull(f);
		return;
	}
	if (strcmp(word[0], "finish") == 0) {
		stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
		film_pull(f);
		return;
	}
	side = word[0][0] == 's' ? SIDE_SERVER : SIDE_CLIENT;
	struct tcp_segment segment = {
	    .flags = film_flags(word[1]),
	    .seq = f->isn[side] + (uint32_t)strtol(word[2], NULL, 10),
	};
	if (strcmp(word[3], "-") != 0)
		segment.ack = f->isn[side_other(side)] + (uint32_t)strtol(word[3], NULL, 10);
	if (n >= 5 && strncmp(word[4], "wire=", 5) != 0) {
		segment.payload = span_str(word[4]);
		segment.payload_len = (uint32_t)segment.payload.len;
	}
	const char *wire = strstr(row, "wire=");
	if (wire != NULL)
		segment.payload_len = (uint32_t)strtoul(wire + 5, NULL, 10);
	film_push(f, side, &segment);
}

void film_run(struct film *f, const char *rows)
{
	while (*rows != '\0') {
		char row[512];
		size_t len = strcspn(rows, "\n");
		if (len >= sizeof(row))
			abort();
		memcpy(row, rows, len);
		row[len] = '\0';
		film_row(f, row);
		rows += len + (rows[len] == '\n');
	}
}

size_t film_end(struct film *f)
{
	stream_free(&f->pool, &f->stream);
	return f->budget.used;
}
