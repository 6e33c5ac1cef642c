/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that remembers how far the outbox was delivered.
 *
 * Two slots of 32 bytes, written in turn, each with a checksum: a crash in the
 * middle of one leaves the other. A cursor that is behind costs repeats, which
 * consumers recognise by id; it never costs an alert.
 */
#ifndef ALERTS_OUTBOX_CURSOR_H
#define ALERTS_OUTBOX_CURSOR_H

#include <stdint.h>

struct outbox_cursor {
	int fd;
	uint64_t generation;
	uint64_t acknowledged; /* highest sequence that is done, as last stored */
};

/* Opens or makes the file in directory. Returns 0 or an errno. */
int outbox_cursor_open(struct outbox_cursor *cursor, int directory);

/* Returns 0 or an errno. Does not sync: that is the business of whoever has the clock. */
int outbox_cursor_store(struct outbox_cursor *cursor, uint64_t acknowledged);
void outbox_cursor_close(struct outbox_cursor *cursor);

#endif
