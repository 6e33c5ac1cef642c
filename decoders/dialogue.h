/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The redacted dialogue of sessions, for the evidence of an alert.
 *
 * All sessions of a worker share one ring of bytes: a line that a busy worker
 * no longer has room for gives way, oldest first, and whoever asks is told.
 * Lines are redacted when they are written, so that no secret is ever kept:
 * AUTH exchanges, unknown commands, and what a server may echo of them become
 * [redacted]; of addresses the domain stays unless they may be shown.
 */
#ifndef DECODERS_DIALOGUE_H
#define DECODERS_DIALOGUE_H

#include "decoders/smtp_syntax.h"
#include "decoders/stream.h"

#define DIALOGUE_LINE_MAX  240 /* bytes kept of a line */
#define DIALOGUE_LINES_MAX 48  /* lines given out, the latest ones */

struct dialogue_ring {
	uint8_t *bytes;
	size_t size;      /* 0: keeps nothing */
	uint64_t written; /* bytes ever written: the position of the next line */
	size_t at;        /* that is, written modulo size: without a division for each line */
	uint64_t evicted; /* lines that were overwritten before their session ended; counted on
			     reading */
};

/* The lines of one session in the ring. Zero-initialised: none. */
struct dialogue {
	uint64_t last;  /* position + 1 of the latest line; 0: none */
	uint32_t lines; /* ever added */
};

/* What may be shown; constant for a run. */
struct redaction {
	bool show_addresses; /* local parts of envelope addresses */
	bool show_accounts;  /* account names of AUTH */
};

/* Takes size bytes from the budget; with none to be had the ring keeps nothing. */
void dialogue_ring_init(struct dialogue_ring *ring, struct budget *budget, size_t size);
void dialogue_ring_free(struct dialogue_ring *ring, struct budget *budget);

/*
 * A client's line and the command that it is; NULL: an answer to a 334, secret as a whole. Whether
 * something of it is not shown that a reply may repeat; addresses in an envelope are not meant.
 */
bool dialogue_command(struct dialogue_ring *ring, struct dialogue *dialogue,
		      const struct redaction *redaction, struct span line,
		      const struct smtp_command *command);

/*
 * A server's reply line to a command (SMTP_VERB_COUNT for the greeting). may_echo: the command had
 * an argument that is hidden, which the line may repeat.
 */
void dialogue_reply(struct dialogue_ring *ring, struct dialogue *dialogue,
		    const struct redaction *redaction, struct span line, enum smtp_verb answered,
		    bool may_echo);

/* A note of ours: "(message)", "(TLS 1.3 ClientHello)". ASCII. */
void dialogue_note(struct dialogue_ring *ring, struct dialogue *dialogue, enum side side,
		   struct span note);

/*
 * Writes the session's latest lines in order, '\n' between them, at most cap
 * bytes. Returns the bytes written; *evicted: earlier lines are missing.
 */
size_t dialogue_collect(struct dialogue_ring *ring, const struct dialogue *dialogue, uint8_t *out,
			size_t cap, bool *evicted);

#endif
