/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly as film strips. A strip is a text of rows, one segment or order each:
 *
 *   c A 1 1 EHLO       client, flags (S A F R P U, - for none), seq, ack (- for none), payload
 *   s A 1 5 250 wire=9 ... of which the capture kept only "250" of 9 bytes
 *   skip c 100         the client's next 100 bytes need no look (or "all")
 *   history c off      no comparison of the client's retransmissions
 *   wait 500           500 ms pass (between segments 1 ms does)
 *   tick 1500          500 ms pass, and the stream is told
 *   finish
 *
 * Sequence numbers are relative: the SYN is 0, the first byte 1. Every strip runs
 * from several initial sequence numbers, some of them just before the wrap.
 *
 * What comes out: c:EHLO data, c~5 a gap (c~5s inside a skip), c!XX@3 a conflict
 * with its offset, c.fin, c.rst, new (another connection).
 */
#include "decoders/stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

static const struct stream_limits default_limits = {
    .max_out_of_order = 4096,
    .max_held = 4096,
    .max_chunks = 64,
    .hold_segments = 4,
    .hold_ns = 1000 * MS,
    .loss_ns = 60000 * MS,
    .history = 1024,
    .history_total = 1U << 20,
};

struct film {
	struct stream_pool pool;
	struct budget budget;
	struct stream stream;
	uint32_t isn[2];
	int64_t now;
	uint64_t ordinal;
	char out[16384];
	size_t len;
	bool use_fast;
	unsigned in_order; /* segments that stream_in_order() took */
	uint64_t delivered[2];
};

static void film_init(struct film *f, uint32_t client_isn, uint32_t server_isn, size_t cap)
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
	cr_assert_lt(f->len + len + 1, sizeof(f->out));
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

static void film_pull(struct film *f)
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

static void film_push(struct film *f, enum side side, const struct tcp_segment *segment)
{
	f->now += MS;
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
		f->now += strtoll(word[1], NULL, 10) * MS;
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

static void film_run(struct film *f, const char *rows)
{
	while (*rows != '\0') {
		char row[512];
		size_t len = strcspn(rows, "\n");
		cr_assert_lt(len, sizeof(row));
		memcpy(row, rows, len);
		row[len] = '\0';
		film_row(f, row);
		rows += len + (rows[len] == '\n');
	}
}

static void film_end(struct film *f)
{
	stream_free(&f->pool, &f->stream);
	cr_assert_eq(f->budget.used, 0, "%zu bytes are lost", f->budget.used);
}

static const uint32_t bases[][2] = {
    {1000, 50000},
    {0xfffffff0U, 0xfffffffdU},
    {0xffffffffU, 0x7ffffff8U},
    {0x7ffffffcU, 0xfffffff5U},
};

struct strip {
	const char *name, *rows, *expected;
};

#define HANDSHAKE "c S 0 -\ns SA 0 1\nc A 1 1\n"

static const struct strip strips[] = {
    {"in order", HANDSHAKE "s A 1 1 220\nc A 1 4 EHLO\ns A 4 5 250\nc FA 5 7\ns FA 7 6\nc A 6 8\n",
     "s:220 c:EHLO s:250 c.fin s.fin"},
    {"every segment twice",
     "c S 0 -\nc S 0 -\ns SA 0 1\ns SA 0 1\nc A 1 1\nc A 1 1\ns A 1 1 220\ns A 1 1 220\n"
     "c A 1 4 EHLO\nc A 1 4 EHLO\nc FA 5 4\nc FA 5 4\n",
     "s:220 c:EHLO c.fin"},
    {"data with FIN", HANDSHAKE "s A 1 1 220\nc FA 1 4 QUIT\n", "s:220 c:QUIT c.fin"},
    {"FIN before its data", HANDSHAKE "c FA 5 1\nc A 1 1 QUIT\n", "c:QUIT c.fin"},
    {"SYN with data", "c S 0 - EHLO\ns SA 0 1\nc A 1 1 EHLO\nc A 5 1 MAIL\n", "c:EHLO c:MAIL"},
    {"simultaneous open", "c S 0 -\ns S 0 -\nc SA 0 1\ns SA 0 1\nc A 1 1 a\ns A 1 2 b\n",
     "c:a s:b"},
    {"swapped in one side", HANDSHAKE "s A 4 1 250\ns A 1 1 220\n", "s:220 s:250"},
    {"three in reverse", HANDSHAKE "s A 7 1 ghi\ns A 4 1 def\ns A 1 1 abc\n", "s:abc s:def s:ghi"},
    /* causal order */
    {"reply before its command", HANDSHAKE "s A 1 5 250\nc A 1 1 EHLO\n", "c:EHLO s:250"},
    {"two deep", HANDSHAKE "c A 5 4 MAIL\ns A 1 5 250\nc A 1 1 EHLO\n", "c:EHLO s:250 c:MAIL"},
    {"FIN waits for what it acknowledged", HANDSHAKE "c FA 1 4\ns A 1 1 221\n", "s:221 c.fin"},
    {"lost, told by the next ack",
     HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\ns A 10 5 x\nc A 5 11\ns A 11 5 y\nc A 5 12\n",
     "s:220 s~6 c:EHLO s:x s:y"},
    {"lost, told by time", HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\ntick 999\ntick 2\n",
     "s:220 s~6 c:EHLO"},
    {"lost, the tick never came", HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\nwait 1001\nc A 5 10 X\n",
     "s:220 s~6 c:EHLO c:X"},
    {"lost, the end comes", HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\nfinish\n", "s:220 s~6 c:EHLO"},
    {"filled within the hold", HANDSHAKE "s A 1 1 220\nc A 1 10 EHLO\ns A 7 1 def\ns A 4 1 abc\n",
     "s:220 s:abc s:def c:EHLO"},
    {"a hole that nobody acknowledged waits",
     HANDSHAKE
     "c A 4 1 def\nc A 7 1 ghi\nc A 10 1 j\nc A 11 1 k\nc A 12 1 l\nc A 13 1 m\nc A 1 1 abc\n",
     "c:abc c:def c:ghi c:j c:k c:l c:m"},
    {"lost bytes with more behind them",
     HANDSHAKE "c A 4 1 def\ns A 1 7 x\ns A 2 7 y\ns A 3 7 z\ns A 4 7 u\ns A 5 7 v\n",
     "c~3 c:def s:x s:y s:z s:u s:v"},
    {"both lose", HANDSHAKE "c A 5 9 MAIL\ns A 9 9 ok\nfinish\n", "s~8 c~4 c:MAIL s:ok"},
    {"an unseen FIN is no gap", HANDSHAKE "c A 1 1 QUIT\ns FA 1 6\nc A 6 2\nfinish\n",
     "c:QUIT s.fin"},
    {"one lost byte with data behind it is",
     HANDSHAKE "c A 1 1 abc\ns A 1 5 x\ntick 1500\nc A 5 2 def\n", "c:abc s:x c~1 c:def"},
    {"a FIN that is late", HANDSHAKE "c A 1 1 abc\ns A 1 5 x\ntick 1500\nc FA 4 1\n",
     "c:abc s:x c.fin"},
    /* acknowledgements that are no guide */
    {"all acks zero", "c A 1 - aa\ns A 1 - bb\nc A 3 - c\ns A 3 - d\n", "c:aa s:bb c:c s:d"},
    {"acks that never were exact", "c A 1 900 aa\ns A 1 900 bb\nc A 3 900 c\ns A 3 900 d\n",
     "c:aa s:bb c:c s:d"},
    {"off by one", HANDSHAKE "c A 1 2 a\ns A 1 3 b\nc A 2 3 c\ns A 2 4 d\n", "c:a s:b c:c s:d"},
    {"far ahead, and the bytes come after all",
     HANDSHAKE "c A 1 9000 a\ntick 1500\ns A 1 2 b\nc A 2 9000 c\ns A 2 2 d\n",
     "s~8999 c:a s:b c:c s:d"},
    {"more than a window ahead", HANDSHAKE "c A 1 2000000000 a\ns A 1 2 b\n", "c:a s:b"},
    /* one direction, midstream */
    {"client alone", "c S 0 -\nc A 1 1\nc A 1 40 EHLO\nc A 5 90 MAIL\nc FA 9 99\n",
     "c:EHLO c:MAIL c.fin"},
    {"server alone", "s SA 0 1\ns A 1 1 220\ns A 4 7 250\ns FA 7 9\n", "s:220 s:250 s.fin"},
    {"midstream", "c A 100 200 MAIL\ns A 200 104 250\nc A 104 203 RCPT\n", "c:MAIL s:250 c:RCPT"},
    {"midstream, out of order", "s A 203 100 def\nc A 100 203 X\ns A 206 101 ghi\n",
     "s:def c:X s:ghi"},
    {"midstream, the ack tells the start",
     "c A 100 200\ns A 203 100 def\ns A 200 100 abc\nc A 100 206 X\n", "s:abc s:def c:X"},
    {"keep-alive first", "c A 99 200\ns A 200 100\nc A 100 200 X\n", "c:X"},
    {"keep-alive of garbage first", "c A 99 200 G\ns A 200 100\nc A 100 200 X\n", "c:X"},
    {"... twice, and nothing answers", "c A 99 200 G\nc A 99 200 G\nc A 100 200 X\nc A 101 200 Y\n",
     "c:X c:Y"},
    {"... behind an ACK", "c A 100 200\nc A 99 200 G\nc A 100 200 X\n", "c:X"},
    {"a side picked up byte by byte", "c A 99 200 G\nc A 100 200 X\nc A 101 200 Y\n", "c:X c:Y"},
    {"one byte that the peer waited for", "s A 200 99\nc A 99 200 X\nc A 100 200 Y\n", "c:X c:Y"},
    {"greeting lost with the SYN-ACK",
     "c S 0 -\nc A 1 1\nc A 1 21 EHLO\ns A 21 5 250\n"
     "c A 5 24\nc A 5 24\nc A 5 24\nc A 5 24\n",
     "c:EHLO s~20 s:250"},
    {"one side, a loss", "c S 0 -\nc A 1 1 abc\nc A 7 1 ghi\ntick 59000\ntick 1100\n",
     "c:abc c~3 c:ghi"},
    /* retransmissions */
    {"identical", HANDSHAKE "c A 1 1 abcdef\nc A 1 1 abc\nc A 3 1 cdefgh\n", "c:abcdef c:gh"},
    {"said by nothing but where it stands", HANDSHAKE "c A 1 1 abc\nc A 9 1\nfinish\n",
     "c:abc c~5"},
    {"the same, and it was only late", HANDSHAKE "c A 9 1\nc A 1 1 abc\nc A 4 1 defgh\nfinish\n",
     "c:abc c:defgh"},
    {"first acknowledgement ahead of the handshake's",
     "c S 0 -\ns SA 0 1\nc A 1 5 EHLO\ns A 5 5 250\nfinish\n", "s~4 c:EHLO s:250"},
    {"different", HANDSHAKE "c A 1 1 abcdef\nc A 1 1 abXYef\n", "c:abcdef c!XY@2"},
    {"different, with more", HANDSHAKE "c A 1 1 abc\nc A 1 1 abXde\n", "c:abc c!X@2 c:de"},
    {"different while it waits", HANDSHAKE "c A 4 1 def\nc A 4 1 dEf\nc A 1 1 abc\n",
     "c!E@4 c:abc c:def"},
    {"overlap in front", HANDSHAKE "c A 3 1 cde\nc A 1 1 abC\n", "c:ab c:cde c!C@2"},
    {"overlap behind", HANDSHAKE "c A 3 1 cde\nc A 5 1 Efg\nc A 1 1 ab\n", "c!E@4 c:ab c:cde c:fg"},
    {"overlap around", HANDSHAKE "c A 3 1 cd\nc A 2 1 bCDe\nc A 1 1 a\n",
     "c!CD@2 c:a c:b c:cd c:e"},
    {"overlap within", HANDSHAKE "c A 2 1 bcde\nc A 3 1 Cd\nc A 1 1 a\n", "c!C@2 c:a c:bcde"},
    {"overlap of several", HANDSHAKE "c A 2 1 b\nc A 4 1 d\nc A 6 1 f\nc A 1 1 aBcDeF\n",
     "c:a c:b c!B@1 c:c c:d c!D@3 c:e c:f c!F@5"},
    {"no comparison in TLS", HANDSHAKE "history c off\nc A 1 1 abcdef\nc A 1 1 abXYef\n",
     "c:abcdef"},
    {"no comparison in a skip", HANDSHAKE "skip c 6\nc A 1 1 abcdef\nc A 1 1 abXYef\nc A 7 1 g\n",
     "c:g"},
    {"keep-alives", HANDSHAKE "c A 1 1 abc\nc A 3 1\nc A 3 1 X\ns A 1 4\ns A 0 4 Y\ns A 0 4\n",
     "c:abc"},
    {"a keep-alive behind a loss",
     HANDSHAKE "s A 1 1 220\ns A 4 8\nc A 7 4 G\ns A 4 8 250\ntick 1500\nc A 8 7 DATA\n",
     "s:220 c~7 s:250 c:DATA"},
    {"... that was only late", HANDSHAKE "s A 1 8\nc A 7 1 G\nc A 1 1 abcdefg\nc A 8 1 h\n",
     "c:abcdef c:g c:h"},
    {"... and one byte that was only late", HANDSHAKE "s A 1 3\nc A 2 1 b\nc A 1 1 a\n", "c:a c:b"},
    {"one byte behind a loss that nobody has yet acknowledged",
     HANDSHAKE "s A 1 8\nc A 8 1 h\ns A 1 9 250\ntick 1500\n", "c~7 c:h s:250"},
    {"a retransmission of two bytes is no keep-alive", HANDSHAKE "c A 1 1 abc\nc A 2 1 XY\n",
     "c:abc c!XY@1"},
    {"data behind the FIN", HANDSHAKE "c A 1 1 abc\nc FA 4 1\nc A 4 1 MAIL\nc A 3 1 cX\n",
     "c:abc c.fin c!MAIL@3 c:MAIL c!X@3"},
    /* cut by the capture */
    {"snaplen", HANDSHAKE "c A 1 1 abc wire=10\nc A 11 1 z\n", "c:abc c~7 c:z"},
    {"snaplen, out of order", HANDSHAKE "c A 4 1 d wire=3\nc A 1 1 abc\nc A 7 1 g\n",
     "c:abc c:d c~2 c:g"},
    {"snaplen in a skip", HANDSHAKE "skip c 10\nc A 1 1 abc wire=10\nc A 11 1 z\n", "c:z"},
    /* skip */
    {"skip", HANDSHAKE "skip c 5\nc A 1 1 abcd\nc A 5 1 efg\n", "c:fg"},
    {"reordered in a skip", HANDSHAKE "skip c 5\nc A 4 1 defg\nc A 1 1 abc\n", "c:fg"},
    {"lost in a skip", HANDSHAKE "skip c all\nc A 1 1 abc\nc A 7 1 ghi\ns A 1 10\ntick 1500\n",
     "c~3s"},
    {"lost across the end of a skip",
     HANDSHAKE "skip c 5\nc A 1 1 abc\nc A 9 1 ij\ns A 1 11\ntick 1500\n", "c~5 c:ij"},
    {"nothing waits for skipped bytes", HANDSHAKE "skip c all\ns A 1 50 250\nc A 1 4 X\n", "s:250"},
    {"the tail of a skip was lost", HANDSHAKE "skip c all\ns A 1 50 250\nfinish\n", "s:250 c~49s"},
    /* resets */
    {"reset", HANDSHAKE "c A 1 1 abc\ns R 1 -\n", "c:abc s.rst"},
    {"refused", "c S 0 -\ns RA -50000 1\n", "s.rst"},
    {"reset with a wrong number", HANDSHAKE "c R 500000 -\nc R -400 -\nc A 1 1 abc\n", "c:abc"},
    {"reset in the window, the sender goes on",
     HANDSHAKE "c R 50 -\nc A 1 1 abc\nc A 4 1 "
	       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\nfinish\n",
     "c:abc c:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"},
    {"reset in the window, the sender is silent", HANDSHAKE "c R 50 -\nfinish\n", "c~49 c.rst"},
    {"reset before its data", HANDSHAKE "c R 4 -\nc A 1 1 abc\n", "c:abc c.rst"},
    {"reset in the window, the sender goes on a little",
     HANDSHAKE "c R 50 -\nc A 1 1 abc\nc FA 4 1\nfinish\n", "c:abc c.fin"},
    {"a forged FIN does not make deaf", HANDSHAKE "c FA 1 1\nc A 1 1 abc\nc FA 4 1\n",
     "c.fin c!abc@0 c:abc c.fin"},
    {"an acknowledgement ahead that its side takes back",
     HANDSHAKE "s A 1 500\nc A 1 1 abc\ns A 1 4 250\nc A 4 4 MAIL\ntick 2000\nfinish\n",
     "c:abc s:250 c:MAIL"},
    {"... the older segment came later: nothing is taken back",
     HANDSHAKE "s A 4 4\ns A 1 1 250\nc A 4 4 MAIL\ntick 2000\n", "s:250 c~3 c:MAIL"},
    {"a SYN-ACK that answers no SYN of this connection",
     "c S 0 -\ns SA 0 1\nc A 1 1\ns SA 9000 700\ns A 1 1 220\n", "s:220"},
    {"data after a reset goes on", HANDSHAKE "c R 1 -\nc A 1 1 abc\n", "c.rst c:abc"},
    /* another connection */
    {"port reuse after FIN", HANDSHAKE "c FA 1 1\ns FA 1 2\nc S 70000 -\n", "c.fin s.fin new"},
    {"port reuse after RST", HANDSHAKE "s R 1 -\nc S 70000 -\n", "s.rst new"},
    {"a SYN alone ends nothing", HANDSHAKE "c A 1 1 abc\nc S 70000 -\nc A 4 1 def\n",
     "c:abc c:def"},
    {"a SYN that is answered does", HANDSHAKE "c A 1 1 abc\nc S 70000 -\ns SA 90000 70001\n",
     "c:abc new"},
    {"a SYN in a one-sided capture does", "c S 0 -\nc A 1 1 abc\nc S 70000 -\n", "c:abc new"},
    {"... or a SYN-ACK", "s SA 0 1\ns A 1 1 220\ns SA 0 1\ns SA 70000 1\n", "s:220 new"},
    {"data far behind the FIN, of a side whose peer is not seen",
     "c S 0 -\nc A 1 1 abc\nc FA 4 1\nc A 900000 7000\nc A 900000 7000 abc\nfinish\n",
     "c:abc c.fin new"},
    {"... near it", "c S 0 -\nc A 1 1 abc\nc FA 4 1\nc A 3000 1 abc\n", "c:abc c.fin c!abc@2999"},
    {"... or of one whose peer was seen, once it goes on there",
     HANDSHAKE "c FA 1 1\nc A 9000000 7000 a\nc A 9000001 7000 b\nc A 9000002 7000 c\n"
	       "c A 9000003 7000 d\n",
     "c.fin new"},
    {"another attempt with another number",
     "c S 0 -\nc S 70000 -\ns SA 0 70001\n"
     "c A 70001 1 abc\n",
     "c:abc"},
    /* two SYNs before anything was said */
    {"... whose answer was not seen", "c S 0 -\nc S 70000 -\nc A 1 1 EHLO\ns A 1 5 250\n",
     "c:EHLO s:250"},
    {"a SYN that the server did not take",
     "c S 0 -\nc S 70000 -\ns SA 0 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n", "s:220 c:EHLO"},
    {"... far off, and repeated",
     "c S 0 -\nc S 900000000 -\nc S 0 -\nc S 900000000 -\ns SA 0 1\nc A 1 1 EHLO\n", "c:EHLO"},
    {"... answered by the first ACK alone", "c S 0 -\nc S -5000 -\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"two that the server did not take",
     "c S 0 -\nc S 70000 -\nc S 900000000 -\ns SA 0 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"one before and one behind the true SYN are told as a loss",
     "c S 70000 -\nc S 0 -\nc S 900000000 -\ns SA 0 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c~0 c:EHLO"},
    {"each of two SYNs is answered", "c S 0 -\nc S 70000 -\ns SA 90000 70001\ns SA 0 1\n", "new"},
    {"a SYN-ACK behind the handshake",
     HANDSHAKE "s SA 900000 1\ns A 1 1 220\nc A 1 4 EHLO\ns A 4 5 250\n", "s:220 c:EHLO s:250"},
    {"a SYN-ACK that the client did not take",
     "c S 0 -\ns SA 0 1\ns SA 900000 1\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n", "s:220 c:EHLO"},
    {"... and acknowledges what was not said, twice",
     "c S 0 -\ns SA 0 1\ns SA 900000 1\ns A 900001 500\ns SA 0 1\nc A 1 1 EHLO\nfinish\n",
     "c:EHLO"},
    {"... and its ACK", HANDSHAKE "s SA 900000 1\nc A 1 900001\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"... before the client's own",
     "c S 0 -\ns SA 0 1\ns SA 900000 1\nc A 1 900001\nc A 1 1\ns A 1 1 220\nc A 1 4 EHLO\n",
     "s:220 c:EHLO"},
    {"each of two SYNs speaks",
     "c S 0 -\nc S 900000 -\nc A 900001 1 EHLO\ns SA 0 1\nc A 1 1 MAIL\n", "c:EHLO new"},
    {"... where the other may as well go on",
     "c S 0 -\nc S -9 -\nc A -8 1 abcdefgh\nc A 0 1 x\nc A 1 1 MAIL\n", "c:abcdefgh c:x c:MAIL"},
    {"all is said before what was taken for its SYN",
     "c S 70000 -\ns SA 0 70001\nc A 70001 1\nc A 1 1 a\nc A 2 1 b\nc A 3 1 c\nc A 4 1 d\n",
     "c~0 c:d"},
    /* far away */
    {"a stray far ahead", HANDSHAKE "c A 1 1 abc\nc A 9000000 1 X\nc A 4 1 def\n", "c:abc c:def"},
    {"a long loss in a one-sided capture",
     "c S 0 -\nc A 1 1 abc\nc A 9000000 1 a\nc A 9000001 1 b\nfinish\n", "c:abc c~8999996 c:a c:b"},
    {"a long loss",
     HANDSHAKE "c A 1 1 abc\nc A 9000000 1 a\nc A 9000001 1 b\nc A 9000002 1 c\n"
	       "c A 9000003 1 d\nc A 9000004 1 e\n",
     "c:abc c~8999999 c:d c:e"},
};

Test(stream, strips)
{
	struct film *f = malloc(sizeof(*f));
	for (size_t i = 0; i < sizeof(strips) / sizeof(strips[0]); i++) {
		for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
			/* relative to a base: the one strip that needs an absolute 0 */
			uint32_t server =
			    strcmp(strips[i].name, "refused") == 0 ? 50000 : bases[b][1];
			for (int fast = 0; fast < 2; fast++) {
				film_init(f, bases[b][0], server, 1 << 20);
				f->use_fast = fast != 0;
				film_run(f, strips[i].rows);
				cr_expect_str_eq(f->out, strips[i].expected,
						 "%s (base %zu, fast %d): %s", strips[i].name, b,
						 fast, f->out);
				film_end(f);
			}
		}
	}
	free(f);
}

/* --- dialogues in all their cuts and orders --- */

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#define SEGMENTS_MAX 400

struct dialogue {
	char bytes[2][4096];
	uint32_t len[2];
	struct tcp_segment segment[SEGMENTS_MAX];
	enum side side[SEGMENTS_MAX];
	size_t count;
	char expected[8192]; /* turns: "c:" and "s:" with the bytes between */
};

/* Random turns, each cut into random segments that acknowledge all before the turn. */
static void dialogue_make(struct dialogue *d, uint64_t *seed, const uint32_t isn[2], size_t turns)
{
	memset(d, 0, sizeof(*d));
	char *out = d->expected;
	for (size_t turn = 0; turn < turns; turn++) {
		enum side x = (turn & 1) != 0 ? SIDE_CLIENT : SIDE_SERVER;
		enum side o = side_other(x);
		uint32_t size = 1 + (uint32_t)(random_next(seed) % 40);
		uint32_t from = d->len[x];
		*out++ = x == SIDE_CLIENT ? 'c' : 's';
		*out++ = ':';
		for (uint32_t i = 0; i < size; i++) {
			char byte = (char)('A' + random_next(seed) % 26);
			d->bytes[x][d->len[x]++] = byte;
			*out++ = byte;
		}
		while (from < d->len[x]) {
			uint32_t n = 1 + (uint32_t)(random_next(seed) % 20);
			if (n > d->len[x] - from)
				n = d->len[x] - from;
			d->side[d->count] = x;
			d->segment[d->count++] = (struct tcp_segment){
			    .flags = TCP_ACK,
			    .seq = isn[x] + 1 + from,
			    .ack = isn[o] + 1 + d->len[o],
			    .payload = span_of(d->bytes[x] + from, n),
			    .payload_len = n,
			};
			from += n;
		}
	}
	*out = '\0';
}

/* The events' data, turn by turn; anything else is written as it is. */
static void turns_of(const char *events, char *turns)
{
	char last = 0;
	while (*events != '\0') {
		size_t len = strcspn(events, " ");
		if (len >= 2 && events[1] == ':') {
			if (events[0] != last) {
				*turns++ = last = events[0];
				*turns++ = ':';
			}
			memcpy(turns, events + 2, len - 2);
			turns += len - 2;
		} else {
			memcpy(turns, events, len);
			turns += len;
			last = 0;
		}
		events += len + (events[len] == ' ');
	}
	*turns = '\0';
}

static void film_handshake(struct film *f)
{
	film_run(f, HANDSHAKE);
}

Test(stream, random_dialogues)
{
	uint64_t seed = 0x5eed5eed1234ULL;
	struct film *f = malloc(sizeof(*f));
	struct dialogue *d = malloc(sizeof(*d));
	char turns[16384];
	for (int round = 0; round < 3000; round++) {
		const uint32_t *isn = bases[round % 4];
		dialogue_make(d, &seed, isn, 2 + random_next(&seed) % 12);
		/* Swap neighbours, a few times over: nothing moves further than the hold. */
		for (int pass = 0; pass < round % 4; pass++) {
			for (size_t i = 0; i + 1 < d->count; i += 2 + random_next(&seed) % 3) {
				struct tcp_segment segment = d->segment[i];
				enum side side = d->side[i];
				d->segment[i] = d->segment[i + 1];
				d->side[i] = d->side[i + 1];
				d->segment[i + 1] = segment;
				d->side[i + 1] = side;
			}
		}
		film_init(f, isn[0], isn[1], 1 << 20);
		f->pool.limits.hold_segments = 16;
		film_handshake(f);
		for (size_t i = 0; i < d->count; i++) {
			film_push(f, d->side[i], &d->segment[i]);
			if (random_next(&seed) % 4 == 0) {
				size_t again = i - random_next(&seed) % (i + 1 < 3 ? i + 1 : 3);
				film_push(f, d->side[again], &d->segment[again]);
			}
		}
		stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
		film_pull(f);
		turns_of(f->out, turns);
		cr_assert_str_eq(turns, d->expected, "round %d: %s\n%s", round, f->out,
				 d->expected);
		cr_assert_eq(f->delivered[0], d->len[0]);
		cr_assert_eq(f->delivered[1], d->len[1]);
		film_end(f);
	}
	free(d);
	free(f);
}

/* Every order of five segments of one side gives the same bytes. */
Test(stream, permutations)
{
	static const char bytes[] = "abcdefghijklmno";
	struct film *f = malloc(sizeof(*f));
	char turns[64];
	for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5; code++) {
		unsigned order[5];
		unsigned seen = 0;
		unsigned rest = code;
		for (unsigned i = 0; i < 5; i++, rest /= 5) {
			order[i] = rest % 5;
			seen |= 1U << order[i];
		}
		if (seen != 31)
			continue;
		film_init(f, bases[code % 4][0], bases[code % 4][1], 1 << 20);
		film_handshake(f);
		for (unsigned i = 0; i < 5; i++) {
			struct tcp_segment segment = {
			    .flags = TCP_ACK,
			    .seq = f->isn[0] + 1 + order[i] * 3,
			    .ack = f->isn[1] + 1,
			    .payload = span_of(bytes + order[i] * 3, 3),
			    .payload_len = 3,
			};
			film_push(f, SIDE_CLIENT, &segment);
		}
		turns_of(f->out, turns);
		cr_assert_str_eq(turns, "c:abcdefghijklmno");
		film_end(f);
	}
	free(f);
}

/* Whatever allocation fails: no crash, no leak, and every byte is delivered or a gap. */
Test(stream, budget_exhaustion)
{
	uint64_t seed = 0xbadcafe17ULL;
	struct film *f = malloc(sizeof(*f));
	struct dialogue *d = malloc(sizeof(*d));
	for (uint64_t fail = 1; fail < 60; fail++) {
		for (int persistent = 0; persistent < 2; persistent++) {
			const uint32_t *isn = bases[fail % 4];
			dialogue_make(d, &seed, isn, 8);
			for (size_t i = 0; i + 2 < d->count; i += 3) {
				struct tcp_segment segment = d->segment[i];
				enum side side = d->side[i];
				d->segment[i] = d->segment[i + 2];
				d->side[i] = d->side[i + 2];
				d->segment[i + 2] = segment;
				d->side[i + 2] = side;
			}
			film_init(f, isn[0], isn[1], persistent != 0 ? fail * 40 : 1 << 20);
			f->budget.fail_at = persistent != 0 ? 0 : fail;
			film_handshake(f);
			for (size_t i = 0; i < d->count; i++)
				film_push(f, d->side[i], &d->segment[i]);
			stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
			film_pull(f);
			for (int x = 0; x < 2; x++)
				cr_expect_eq(f->stream.side[x].offset, d->len[x],
					     "request %d (%d): %s\n%s", (int)fail, persistent,
					     f->out, d->expected);
			film_end(f);
		}
	}
	free(d);
	free(f);
}

/* Of all streams of a pool: what finds no room is not compared; what gives room back makes it. */
Test(stream, histories_share_a_cap)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 1000, 5000, 1 << 20);
	/* Room for one side's first history, not for the other's or for a larger one. */
	f->pool.limits.history_total = 200;
	film_run(f, HANDSHAKE "c A 1 1 abcdef\n"
			      "s A 1 7 ghijkl\n"
			      "c A 1 7 abXYef\n"
			      "s A 1 7 ghXYkl\n");
	cr_assert_str_eq(f->out, "c:abcdef s:ghijkl c!XY@2");
	cr_assert_gt(f->pool.counters.history_refused, 0);
	cr_assert_leq(f->pool.history_bytes, 200);
	/* Its own counter: the budget had room. */
	cr_assert_eq(f->budget.refused, 0);
	stream_history(&f->pool, &f->stream, SIDE_CLIENT, false);
	cr_assert_eq(f->pool.history_bytes, 0);
	f->len = 0;
	film_run(f, "s A 7 7 mnopqr\n"
		    "s A 7 7 mnXYqr\n");
	cr_assert_str_eq(f->out, "s:mnopqr s!XY@8");
	film_end(f);
	free(f);
}

/* A flood of one-byte segments beyond a hole stays within the caps and ends in a gap. */
Test(stream, one_byte_flood)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 1, 1, 1 << 20);
	film_handshake(f);
	struct stream_event event;
	uint64_t delivered = 0;
	uint64_t gaps = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		/* every other byte, from far to near, then near to far */
		uint32_t at = i < 10000 ? 20000 - 2 * i : 2 * (i - 10000) + 3;
		struct tcp_segment segment = {.flags = TCP_ACK,
					      .seq = 2 + at,
					      .ack = 2,
					      .payload = span_str("x"),
					      .payload_len = 1};
		stream_push(&f->pool, &f->stream, SIDE_CLIENT, &segment, i, i);
		while (stream_pull(&f->pool, &f->stream, &event)) {
			delivered += event.kind == STREAM_DATA ? event.bytes.len : 0;
			gaps += event.kind == STREAM_GAP;
		}
	}
	cr_expect_gt(delivered, 0);
	cr_expect_gt(gaps, 0);
	cr_expect_gt(f->pool.counters.cap_reached, 0);
	cr_expect_lt(f->budget.peak, 64 * 1024, "%zu", f->budget.peak);
	film_end(f);
	free(f);
}

/* Segments of random kinds: never a crash, a leak, an endless loop or an unaccounted byte. */
Test(stream, random_segments)
{
	uint64_t seed = 0xfeedface5ULL;
	static const char bytes[] =
	    "the quick brown fox jumps over the lazy dog and all the others";
	struct film *f = malloc(sizeof(*f));
	for (int round = 0; round < 4000; round++) {
		film_init(f, bases[round % 4][0], bases[round % 4][1], 1 << (10 + round % 8));
		f->budget.fail_at = round % 3 == 0 ? random_next(&seed) % 20 : 0;
		uint64_t data[2] = {0, 0};
		for (int i = 0; i < 60; i++) {
			enum side x = (enum side)(random_next(&seed) & 1);
			uint64_t dice = random_next(&seed);
			uint32_t len = (uint32_t)(random_next(&seed) % 30);
			struct tcp_segment segment = {
			    .flags = dice % 4 == 0 ? (uint8_t)(dice >> 8) & 0x3f : TCP_ACK,
			    .seq = f->isn[x] + (uint32_t)(random_next(&seed) % 120),
			    .ack = f->isn[1 - x] + (uint32_t)(random_next(&seed) % 120),
			    .payload = span_of(bytes, dice % 16 == 1 ? len / 2 : len),
			    .payload_len = len,
			};
			if (dice % 64 == 2)
				segment.seq += 0x40000000;
			struct stream_event event;
			f->now += (int64_t)(random_next(&seed) % 300) * MS;
			if (dice % 32 == 3)
				stream_skip(&f->stream, x, random_next(&seed) % 50);
			if (dice % 32 == 4)
				stream_history(&f->pool, &f->stream, x, (dice & 256) != 0);
			if (dice % 32 == 5)
				stream_tick(&f->pool, &f->stream, f->now);
			else if (i == 59)
				stream_finish(&f->pool, &f->stream, f->now, 0);
			else if (stream_fast(&f->stream, x, &segment) ||
				 stream_push(&f->pool, &f->stream, x, &segment, f->now, i + 1) ==
				     STREAM_NEW_CONNECTION)
				continue;
			for (int n = 0; stream_pull(&f->pool, &f->stream, &event); n++) {
				cr_assert_lt(n, 1000, "round %d does not end", round);
				if (event.kind == STREAM_DATA)
					data[event.side] += event.bytes.len;
			}
		}
		for (int x = 0; x < 2; x++)
			cr_assert_leq(data[x], f->stream.side[x].offset);
		film_end(f);
	}
	free(f);
}

/* When ticks come, and how many, changes nothing of what is told. */
/* Connections that go mostly in order: with the two shortcuts as without them. */
Test(stream, shortcuts_change_nothing)
{
	uint64_t seed = 0xabad1deaULL;
	static const char bytes[] = "every good boy deserves fudge and a further one";
	struct film *slow = malloc(sizeof(*slow)), *quick = malloc(sizeof(*quick));
	unsigned taken = 0;
	for (int round = 0; round < 3000; round++) {
		const uint32_t *isn = bases[round % 4];
		uint32_t next[2] = {isn[0] + 1, isn[1] + 1};
		film_init(slow, isn[0], isn[1], 1 << 20);
		film_init(quick, isn[0], isn[1], 1 << 20);
		quick->use_fast = true;
		if (round % 5 != 0) {
			film_handshake(slow);
			film_handshake(quick);
		}
		for (int i = 0; i < 80; i++) {
			enum side x = (enum side)(random_next(&seed) & 1);
			uint64_t dice = random_next(&seed);
			uint32_t len = (uint32_t)(random_next(&seed) % 30);
			struct tcp_segment segment = {
			    .flags = TCP_ACK,
			    .seq = next[x],
			    .ack = next[1 - x],
			    .payload = span_of(bytes + dice % 16, len),
			    .payload_len = len,
			};
			if (dice % 16 == 1)
				segment.seq += (uint32_t)(random_next(&seed) % 60) - 30;
			if (dice % 16 == 2)
				segment.ack += (uint32_t)(random_next(&seed) % 60) - 30;
			if (dice % 64 == 3)
				segment.payload.len /= 2;
			if (dice % 128 == 4)
				segment.flags |= (uint8_t)(1U << random_next(&seed) % 6);
			if (dice % 32 == 5) {
				uint64_t n = random_next(&seed) % 50;
				stream_skip(&slow->stream, x, n);
				stream_skip(&quick->stream, x, n);
			}
			if (dice % 64 == 6) {
				stream_history(&slow->pool, &slow->stream, x, false);
				stream_history(&quick->pool, &quick->stream, x, false);
			}
			if (dice % 16 != 7) /* otherwise it is repeated, with other bytes */
				next[x] = segment.seq + len;
			film_push(slow, x, &segment);
			film_push(quick, x, &segment);
			cr_assert_str_eq(slow->out, quick->out, "round %d, segment %d", round, i);
			slow->len = quick->len = 0;
			slow->out[0] = quick->out[0] = '\0';
		}
		cr_assert_eq(
		    memcmp(slow->stream.side, quick->stream.side, sizeof slow->stream.side), 0,
		    "round %d", round);
		cr_assert_eq(
		    memcmp(&slow->pool.counters, &quick->pool.counters, sizeof slow->pool.counters),
		    0, "round %d", round);
		taken += quick->in_order;
		film_end(slow);
		film_end(quick);
	}
	cr_expect_gt(taken, 20000, "%u", taken);
	free(slow);
	free(quick);
}

Test(stream, ticks_change_nothing)
{
	static const char bytes[] =
	    "the quick brown fox jumps over the lazy dog and all the others";
	struct film *f = malloc(sizeof(*f));
	char *first = malloc(sizeof(f->out));
	for (uint64_t round = 1; round <= 1500; round++) {
		for (int ticks = 0; ticks < 2; ticks++) {
			uint64_t seed = round * 0x9e3779b97f4a7c15ULL;
			uint64_t tick_seed = round;
			uint32_t sent[2] = {1, 1};
			film_init(f, bases[round % 4][0], bases[round % 4][1], 1 << 20);
			film_handshake(f);
			for (int i = 0; i < 40; i++) {
				enum side x = (enum side)(random_next(&seed) & 1);
				uint32_t len = (uint32_t)(random_next(&seed) % 8);
				uint64_t dice = random_next(&seed) % 8;
				struct tcp_segment segment = {
				    .flags = TCP_ACK,
				    .seq = f->isn[x] + sent[x],
				    .ack = f->isn[1 - x] + sent[1 - x],
				    .payload = span_of(bytes + i, len),
				    .payload_len = len,
				};
				int64_t gap = (int64_t)(random_next(&seed) % 600) * MS;
				sent[x] += len;
				for (int64_t n = 0; ticks != 0 && n < 3; n++) {
					int64_t at =
					    f->now +
					    (int64_t)(random_next(&tick_seed) % 200) * n * MS;
					if (at > f->now + gap)
						break;
					stream_tick(&f->pool, &f->stream, at);
					film_pull(f);
				}
				f->now += gap;
				if (dice != 0)
					film_push(f, x, &segment);
			}
			stream_finish(&f->pool, &f->stream, f->now, f->ordinal);
			film_pull(f);
			if (ticks == 0)
				memcpy(first, f->out, sizeof(f->out));
			else
				cr_assert_str_eq(f->out, first, "round %d: %s\n%s", (int)round,
						 f->out, first);
			film_end(f);
		}
	}
	free(first);
	free(f);
}

/* A contradiction with a bad checksum is none, unless all of that host's are bad (offload). */
Test(stream, bad_checksum)
{
	static const uint8_t header[20 + 3] = {[12] = 0x50, [20] = 'a', 'X', 'c'};
	struct film *f = malloc(sizeof(*f));
	for (int offload = 0; offload < 2; offload++) {
		film_init(f, 100, 200, 1 << 20);
		film_handshake(f);
		struct tcp_segment segment = {
		    .src = {.addr = {.bytes = {10, 0, 0, 1}, .version = 4}, .port = 1025},
		    .dst = {.addr = {.bytes = {10, 0, 0, 2}, .version = 4}, .port = 25},
		    .flags = TCP_ACK,
		    .seq = 101,
		    .ack = 201,
		    .payload = span_str("abc"),
		    .payload_len = 3,
		};
		if (offload != 0)
			segment.checked = span_of(header, sizeof(header));
		film_push(f, SIDE_CLIENT, &segment);
		segment.checked = span_of(header, sizeof(header));
		segment.payload = span_of(header + 20, 3);
		film_push(f, SIDE_CLIENT, &segment);
		cr_expect_str_eq(f->out, offload != 0 ? "c:abc c!X@1" : "c:abc");
		cr_expect_eq(f->pool.counters.bad_checksum, offload != 0 ? 0 : 1);
		cr_expect_eq(f->pool.counters.checksum_offload, offload != 0 ? 1 : 0);
		film_end(f);
	}
	free(f);
}

/* The fast path takes what the shunt is for, and gives back what it was lent. */
Test(stream, fast_path)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 100, 200, 1 << 20);
	film_handshake(f);
	film_run(f, "skip c all\nskip s all\nc A 1 1 x\n");
	struct tcp_segment segment = {
	    .flags = TCP_ACK | TCP_PSH, .seq = 102, .ack = 201, .payload_len = 1400};
	cr_expect(stream_fast(&f->stream, SIDE_CLIENT, &segment));
	cr_expect_eq(f->stream.side[SIDE_CLIENT].offset, 1401);
	cr_expect_not(stream_fast(&f->stream, SIDE_CLIENT, &segment), "a retransmission");
	segment.seq += 1400;
	segment.flags |= TCP_FIN;
	cr_expect_not(stream_fast(&f->stream, SIDE_CLIENT, &segment), "a FIN");
	segment.flags = TCP_ACK;
	segment.ack = 202;
	cr_expect_not(stream_fast(&f->stream, SIDE_CLIENT, &segment), "bytes that were not seen");
	cr_expect_eq(f->budget.used, 0);
	cr_expect_leq(sizeof(struct stream), 64);
	film_end(f);
	free(f);
}

/* Skipped bytes out of order cost a range, not their bytes. */
Test(stream, skipped_ranges_are_small)
{
	struct film *f = malloc(sizeof(*f));
	film_init(f, 100, 200, 4096);
	film_handshake(f);
	film_run(f, "skip c all\n");
	for (uint32_t i = 1; i < 5000; i++) {
		struct tcp_segment segment = {
		    .flags = TCP_ACK, .seq = 101 + i * 1000, .ack = 201, .payload_len = 1000};
		film_push(f, SIDE_CLIENT, &segment);
	}
	struct tcp_segment first = {.flags = TCP_ACK, .seq = 101, .ack = 201, .payload_len = 1000};
	film_push(f, SIDE_CLIENT, &first);
	cr_expect_eq(f->stream.side[SIDE_CLIENT].offset, 5000000);
	cr_expect_str_empty(f->out);
	cr_expect_eq(f->budget.used, 0);
	film_end(f);
	free(f);
}
