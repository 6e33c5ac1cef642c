/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of a client that the server has not answered yet, in order
 * (RFC 2920: a client may send many before it reads a reply).
 */
#ifndef DECODERS_SMTP_QUEUE_H
#define DECODERS_SMTP_QUEUE_H

#include "decoders/budget.h"
#include "decoders/smtp_syntax.h"

enum smtp_pending_kind {
	SMTP_PENDING_COMMAND,
	SMTP_PENDING_ANSWER,  /* a line of an AUTH exchange */
	SMTP_PENDING_MESSAGE, /* the end of a message's data */
	SMTP_PENDING_EMPTY,   /* an empty line: an error for most servers, nothing for others */
	SMTP_PENDING_UNSEEN,  /* a hole in the capture: none, one or more commands */
};

enum smtp_pending_flag {
	SMTP_PENDING_LAST = 1U << 0,          /* BDAT ... LAST */
	SMTP_PENDING_INJECTED = 1U << 1,      /* came behind STARTTLS, before the reply */
	SMTP_PENDING_AFTER_FAILURE = 1U << 2, /* sent after a refused or failed upgrade */
	SMTP_PENDING_HIDDEN = 1U << 3,        /* its argument is not shown, so nor is an echo */
};

struct smtp_pending {
	enum smtp_pending_kind kind;
	enum smtp_verb verb;
	uint8_t flags;
	struct span domain; /* of a RCPT; valid until the queue is touched */
};

#define SMTP_QUEUE_INLINE 40U
#define SMTP_QUEUE_MAX    49152U /* bytes; a thousand RCPTs of a large list in one go */

struct smtp_queue {
	uint8_t *grown; /* NULL: entries are in small[] */
	uint16_t head, tail, cap;
	uint8_t small[SMTP_QUEUE_INLINE];
};

/*
 * Adds a command. False when there is no room: the oldest knowledge is then
 * worth nothing and the caller has to treat what is pending as unseen.
 */
bool smtp_queue_push(struct smtp_queue *queue, struct budget *budget,
		     const struct smtp_pending *pending);

/* The oldest one; false when there is none. */
bool smtp_queue_peek(const struct smtp_queue *queue, struct smtp_pending *pending);

void smtp_queue_pop(struct smtp_queue *queue);

/* Walks the queue: *position starts at 0. False at the end. */
bool smtp_queue_next(const struct smtp_queue *queue, uint16_t *position,
		     struct smtp_pending *pending);

bool smtp_queue_is_empty(const struct smtp_queue *queue);

void smtp_queue_clear(struct smtp_queue *queue);

void smtp_queue_free(struct smtp_queue *queue, struct budget *budget);

#endif
