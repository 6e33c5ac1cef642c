/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session that is only followed: TLS is up, all that was said before it is settled, and
 * nothing but record headers is looked at until the connection ends. Most sessions of a busy
 * sensor are, most of the time, so one is kept small: all that it knows in one block, written
 * short (sparse.h), its TLS conversation apart, to be read and written for each record.
 *
 * Anything but another record wakes it: then it is the very session that it was, and the event
 * that woke it is taken by smtp_session_event(). Once a side has sent enough records of
 * application data, more of them change nothing: its owner need not come here for them.
 */
#ifndef DECODERS_SMTP_FOLLOWED_H
#define DECODERS_SMTP_FOLLOWED_H

#include "decoders/smtp_session.h"

struct smtp_followed;

/* Whether nothing is left to do for a session but to follow its records. */
bool smtp_session_may_be_followed(const struct smtp_session *session);

/*
 * Puts a session away that may be. What it held, the session itself included, is given back to
 * the budget, but for the certificate, whose owner stays the caller. NULL when out of memory,
 * or where the conversation is an unusual one: the session is untouched.
 */
struct smtp_followed *smtp_followed_begin(struct smtp_session *session,
					  const struct smtp_context *context);

/*
 * The session again, from the budget, its reserve included (budget.h). Consumes followed. NULL
 * when out of memory: followed is untouched.
 */
struct smtp_session *smtp_followed_wake(struct smtp_followed *followed,
					const struct smtp_context *context);

/* Gives back what is kept. The certificate that the session held, or NULL: the caller's. */
const struct certificate_info *smtp_followed_free(struct smtp_followed *followed,
						  const struct smtp_context *context);

/* What follows an event that was taken. */
struct smtp_followed_next {
	uint64_t skip; /* as smtp_session_skippable() says of the event's side */
	bool settled;  /* from here on tls_application_data() may take events of that side */
};

/*
 * Takes an event that tells nothing but that the records go on. False: it means more, and
 * nothing was taken; wake the session for it.
 */
bool smtp_followed_event(struct smtp_followed *followed, const struct smtp_context *context,
			 const struct stream_event *event, struct smtp_followed_next *next);

#endif
