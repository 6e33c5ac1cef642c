/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rooms of the traffic generator, and what they share:
 *
 *   generate.c               options; which session sends next
 *   generate_session.c       one connection: handshake, flights, acknowledgements, end
 *   generate_flights.c       what a session says, step by step
 *   generate_tls.c           records and handshake messages
 *   generate_certificates.c  certificates of servers
 *   generate_frames.c        Ethernet, IPv4, TCP and UDP around it, and the capture file
 *
 * What goes wrong ends the program, and is said.
 */
#ifndef TESTS_BENCH_GENERATE_H
#define TESTS_BENCH_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MSS          1448U
#define HEADERS      (14U + 20U + 32U) /* Ethernet, IPv4, TCP with the timestamps option */
#define RECORD       16384U
#define RECORD_FRAME (RECORD + 5U)
#define FLIGHT_MAX   16384U
#define HOSTS        512U /* names and addresses of servers */

enum kind { KIND_TLS12, KIND_TLS13, KIND_PLAIN, KIND_NOT_USED, KIND_STRIPPED };

struct settings {
	uint64_t sessions;
	uint32_t concurrent, certificates;
	uint32_t body;               /* mean bytes of a message */
	unsigned upgraded;           /* percent of the sessions */
	unsigned tls13;              /* percent of the upgraded sessions */
	unsigned loss, reorder;      /* of 10,000 packets */
	uint64_t span_bytes;         /* other bytes for one byte of mail; 0: mail only */
	bool settled;                /* the first ones wait for one another once TLS is up */
	uint64_t packet_interval_ns; /* between two packets of the capture */
	uint64_t seed;
};

struct flight {
	bool from_server;
	const uint8_t *bytes;
	uint32_t len;
	bool repeats; /* bytes is one TLS record that is sent until len is over */
};

/* One connection: what it says follows from its number, so that little is kept. */
struct session {
	uint64_t number;
	uint32_t seq[2]; /* next, by direction: 0 from the client, 1 from the server */
	uint32_t at;     /* bytes of the flight that are sent */
	uint32_t unacked;
	uint16_t stage; /* 0..2: the handshake of TCP; then flights; then the two FIN */
	bool swap;      /* the segment before the one that was sent last is still to come */
	uint32_t body;
};

struct der {
	uint8_t *bytes;
	uint32_t len;
};

struct generator {
	struct settings settings;
	FILE *out;
	uint64_t random;
	uint64_t clock_ns, packets, bytes, mail_bytes;
	struct der issuer;
	struct der *leaves;
	uint8_t record[RECORD_FRAME];
	uint8_t text[RECORD];
	uint8_t flight[FLIGHT_MAX]; /* the one that was written last */
};

/* Says what is wrong and ends the program. */
_Noreturn void fail(const char *what);

/* Random but repeatable: of a number, of the generator's state, and bytes. */
uint64_t mix(uint64_t x);
uint64_t draw(struct generator *g);
void fill(uint8_t *bytes, size_t len, uint64_t seed);

/* The certificate that the server of a session shows, and of its host the number. */
uint64_t leaf_of(const struct generator *g, uint64_t number);
unsigned host_of(const struct generator *g, uint64_t number);

/* ---- generate_certificates.c ---- */

/* Writes g->issuer and g->leaves. */
void certificates_make(struct generator *g);

/* ---- generate_tls.c ---- */

struct writer {
	uint8_t *bytes;
	uint32_t len;
};

void put(struct writer *w, const void *bytes, uint32_t len);
void put_number(struct writer *w, uint32_t value, unsigned bytes);
void put_random(struct writer *w, uint32_t len, uint64_t seed);
/* Leaves room for a length of size bytes; put_end() fills it in. */
uint32_t put_begin(struct writer *w, unsigned size);
void put_end(struct writer *w, uint32_t begin, unsigned size);
uint32_t record_begin(struct writer *w, uint8_t type, uint32_t version);
void record_random(struct writer *w, uint8_t type, uint32_t len, uint64_t seed);
void change_cipher_spec(struct writer *w);
void client_hello(struct writer *w, bool tls13, const char *host, uint64_t seed);
void server_hello(struct writer *w, bool tls13, uint64_t seed);
/* Certificate, ServerKeyExchange and ServerHelloDone of TLS 1.2. */
void server_chain(const struct generator *g, struct writer *w, uint64_t number);

/* ---- generate_flights.c ---- */

/* The flight of a step; false behind the last one. Its bytes last until the next one. */
bool flight_make(struct generator *g, const struct session *s, unsigned step,
		 struct flight *flight);

/* ---- generate_session.c ---- */

void session_begin(struct generator *g, struct session *s, uint64_t number);
/* The next packet of a session; false behind its last. */
bool session_step(struct generator *g, struct session *s);

/* ---- generate_frames.c ---- */

/* Big-endian. */
void store(uint8_t *at, uint32_t value, unsigned bytes);
/* One segment, whose payload is in the frame already, behind HEADERS. */
void segment_write(struct generator *g, uint8_t *frame, uint32_t src, uint16_t src_port,
		   uint32_t dst, uint16_t dst_port, uint32_t seq, uint32_t ack, uint8_t flags,
		   uint32_t len);
/* A frame that is not mail. */
void other_write(struct generator *g);

#endif
