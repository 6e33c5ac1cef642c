/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text off the wire on its way out: what is not UTF-8, what moves a terminal's
 * cursor, what is part of an address.
 */
#ifndef ALERTS_UNTRUSTED_H
#define ALERTS_UNTRUSTED_H

#include "alerts/buffer.h"

#define UTF8_REPLACEMENT 0xfffdU

/*
 * Takes the first character of a non-empty text. Ill-formed bytes yield
 * UTF8_REPLACEMENT and take what Unicode 15 table 3-7 calls a maximal subpart.
 */
uint32_t utf8_next(struct cursor *text);

/* Whether a character must not reach a terminal: C0, DEL, C1, and what reorders or hides text. */
bool character_is_hostile(uint32_t character);

/*
 * The first piece of a text that can go out as it is, cut off its front; the
 * piece that stands for an address' local part is the literal "[redacted]".
 * Without an '@' in it the text is one piece. False when the text is used up.
 * Call with *rest = the whole text; only trusted code sets it.
 */
bool address_next_piece(struct span *rest, struct span *piece);

/* The text for a terminal: one line, hostile characters as \x1b or \u202e, UTF-8. */
void buffer_add_printable(struct buffer *buffer, struct span text);

#endif
