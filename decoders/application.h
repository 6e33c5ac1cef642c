/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a flow is, by nDPI: the name of a protocol that is not SMTP, SMTP on
 * other ports, and flow risks of the TLS part. Our own trackers decide; this
 * informs.
 *
 * nDPI reads packets, not streams, and misses what is cut in the middle. So it
 * gets packets made here from bytes that were reassembled before. It keeps
 * account names and passwords that it sees: no such field is ever read, and
 * its memory of a flow is wiped before it is given back.
 *
 * The detector costs 12 ms and 7 MB to start and some 10 µs a question: create
 * it when the first question comes. Not thread-safe: one per worker.
 */
#ifndef DECODERS_APPLICATION_H
#define DECODERS_APPLICATION_H

#include "decoders/span.h"

/* Bits of a set of flow risks. */
enum application_risk {
#define APPLICATION_RISK(symbol, word, ndpi) APPLICATION_RISK_BIT_##symbol,
#include "decoders/application_risks.def"
	APPLICATION_RISK_COUNT,
#define APPLICATION_RISK(symbol, word, ndpi)                                                       \
	APPLICATION_RISK_##symbol = 1 << APPLICATION_RISK_BIT_##symbol,
#include "decoders/application_risks.def"
};

/* The word of risk number bit (0 .. APPLICATION_RISK_COUNT - 1). */
const char *application_risk_word(unsigned bit);

/* Room for the longest name with its NUL; longer ones are cut. */
#define APPLICATION_NAME_MAX 64

/* First bytes of a side that are looked at; more are ignored. */
#define APPLICATION_BYTES_MAX 16384

/*
 * Whether the nDPI library that is loaded is the one this program was compiled
 * for: its structures are public and change with each release. False with a
 * sentence in error; the program must then not start.
 */
bool application_abi_ok(char *error, size_t error_size);

struct application_detector;

/*
 * NULL when out of memory or when nDPI does not start. Not while another thread is in it: nDPI
 * fills tables of the whole process when its first module starts. What it gives is one thread's.
 */
struct application_detector *application_detector_create(void);

/* NULL is allowed. */
void application_detector_destroy(struct application_detector *detector);

/* It was asked so often that it should not be handed on: its made-up addresses come round. */
bool application_detector_is_worn(const struct application_detector *detector);

/*
 * The first reassembled bytes of a connection. Either side may be empty. Ports are left
 * out on purpose: nDPI would take port 25 for an answer.
 */
struct application_flow {
	struct span client, server;
	bool server_first; /* the server spoke first, as in SMTP */
};

/*
 * The protocol's name in lower case, words joined by '-' ("http", "ssh",
 * "tls"), NUL-terminated, printable ASCII. False, with an empty name, when
 * nDPI does not recognise the bytes themselves: a guess by port is no answer.
 */
bool application_name(struct application_detector *detector, const struct application_flow *flow,
		      char name[APPLICATION_NAME_MAX]);

/* Whether the bytes are SMTP, whatever the port. */
bool application_is_smtp(struct application_detector *detector,
			 const struct application_flow *flow);

/*
 * The risks (enum application_risk bits) of the TLS part, from reassembled
 * whole records: the client's with its hello, the server's with hello and
 * certificate. Packet time in seconds since 1970-01-01 UTC.
 */
uint32_t application_tls_risks(struct application_detector *detector,
			       const struct application_flow *flow, int64_t time_s);

#endif
