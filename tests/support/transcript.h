/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole SMTP dialogues as text, for the session tracker.
 *
 *   # a comment
 *   = outcome=refused offered=true        what is expected (see transcript_check)
 *   C EHLO client.example                 a line of the client, CRLF is added
 *   S 250 server.example
 *   C< bytes\x16\x03\r\n                  bytes as they are, C escapes
 *   GAP C 100                             bytes of the client that are missing
 *   SIDES client                          only the client's packets were captured
 *   MIDSTREAM                             no SYN was seen
 *   END fin|rst|eof|timeout               how it ends (default fin)
 */
#ifndef TESTS_SUPPORT_TRANSCRIPT_H
#define TESTS_SUPPORT_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>

/* How the bytes are cut into segments. */
enum transcript_cut {
	TRANSCRIPT_LINES, /* a segment a line */
	TRANSCRIPT_RUNS,  /* what one side says in a row is one segment */
	TRANSCRIPT_BYTES, /* a segment a byte */
	TRANSCRIPT_SPLIT, /* runs, cut once at position at */
};

/*
 * Runs the transcript and compares the facts with what is expected. False with
 * an explanation in error. *runs_longest: bytes of the longest run, for SPLIT.
 */
bool transcript_check(const char *path, enum transcript_cut cut, size_t at, char *error,
		      size_t error_size, size_t *longest);

#endif
