/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly as film strips, for tests of stream.h. A strip is a text of rows, one segment or order
 * each:
 *
 *   c A 1 1 EHLO       client, flags (S A F R P U, - for none), seq, ack (- for none), payload
 *   s A 1 5 250 wire=9 ... of which the capture kept only "250" of 9 bytes
 *   skip c 100         the client's next 100 bytes need no look (or "all")
 *   history c off      no comparison of the client's retransmissions
 *   wait 500           500 ms pass (between segments 1 ms does)
 *   tick 1500          500 ms pass, and the stream is told
 *   finish
 *
 * Sequence numbers are relative: the SYN is 0, the first byte 1. A strip
 * may begin at any initial sequence numbers, as some just before the wrap (film_bases).
 *
 * What comes out: c:EHLO data, c~5 a gap (c~5s inside a skip), c!XX@3 a conflict
 * with its offset, c.fin, c.rst, new (another connection).
 */
#ifndef TESTS_SUPPORT_FILM_H
#define TESTS_SUPPORT_FILM_H

#include "decoders/stream.h"

#define FILM_MS INT64_C(1000000)

/* Rows of a handshake. */
#define FILM_HANDSHAKE "c S 0 -\ns SA 0 1\nc A 1 1\n"

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

/* Initial sequence numbers of client and server. */
#define FILM_BASES 4U
extern const uint32_t film_bases[FILM_BASES][2];

/* cap: of the memory that the stream may take, bytes. */
void film_init(struct film *film, uint32_t client_isn, uint32_t server_isn, size_t cap);

/* Plays rows; what comes out is appended to film->out. */
void film_run(struct film *film, const char *rows);

/* Pushes one segment, takes one packet's time for it and pulls what comes of it. */
void film_push(struct film *film, enum side side, const struct tcp_segment *segment);
void film_pull(struct film *film);

/* Frees the stream; returns the bytes that it has not given back. */
size_t film_end(struct film *film);

#endif
