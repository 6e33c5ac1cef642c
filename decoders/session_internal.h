/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the session tracker share with one another and with nobody
 * else: smtp_session.c (life, events, holes), smtp_client.c (the client's lines),
 * smtp_payload.c (what else the client sends), smtp_proxy.c (what a load balancer puts in front),
 * smtp_answers.c (which command a reply answers), smtp_replies.c (what it says),
 * session_tls.c (both after the upgrade), smtp_outcome.c (what it comes to).
 */
#ifndef DECODERS_SESSION_INTERNAL_H
#define DECODERS_SESSION_INTERNAL_H

#include "decoders/smtp_session.h"

static const struct span no_bytes = {.ptr = NULL, .len = 0};

/* smtp_session.c */

/*
 * Makes s->clear, where the session goes on in the clear after it was given up. False when
 * out of memory. It is there as long as either side is read as text or an upgrade is under
 * way.
 */
bool session_clear_begin(struct smtp_session *session, const struct smtp_context *context);
bool session_upgrade_failed(const struct smtp_session *session);
void session_hole(struct smtp_session *session, enum side side);

/* smtp_client.c */

/* Something of the session was given up at a cap. */
void session_count_cap(const struct smtp_context *context);
/* A command waits for its reply. Without room for it all that is pending counts as unseen. */
void session_push_pending(struct smtp_session *session, const struct smtp_context *context,
			  enum smtp_pending_kind kind, enum smtp_verb verb, uint8_t flags,
			  struct span domain);
void session_forget_pending(struct smtp_session *session);
/* Bytes of a credential were sent in the clear, if the exchange holds any. */
void session_reach_credentials(struct smtp_session *session);
void session_reply_lost(struct smtp_session *session, const struct smtp_pending *pending);
/* A line that is a command; injected: it stood behind STARTTLS, before the reply. */
void session_client_command(struct smtp_session *session, const struct smtp_context *context,
			    struct span bytes, const struct smtp_command *command, bool injected);
/* A line: a command, an answer of an AUTH exchange, or the end of something missed. */
void session_client_line(struct smtp_session *session, const struct smtp_context *context,
			 const struct line *line, bool injected);

/* smtp_payload.c */
void session_client_bytes(struct smtp_session *session, const struct smtp_context *context,
			  struct span bytes);
/* The reply to DATA is known, and with it what the client's next bytes are. */
void session_data_answered(struct smtp_session *session, const struct smtp_context *context,
			   uint16_t code);
/* The line that was taken for STARTTLS was none. */
void session_starttls_was_none(struct smtp_session *session, const struct smtp_context *context);
void session_upgrade_refused(struct smtp_session *session, const struct smtp_context *context);
/* code 220, or 0 when the upgrade is beyond doubt but its reply was not seen */
void session_upgrade_accepted(struct smtp_session *session, const struct smtp_context *context,
			      uint16_t code);

/* smtp_proxy.c */

/*
 * Takes the bytes of a PROXY header off the client's first ones. True: bytes were taken, or those
 * withheld so far have proved to be the client's own; go on with what is left.
 */
bool session_proxy_header(struct smtp_session *session, const struct smtp_context *context,
			  struct span *bytes);
/* The server answers something: no PROXY header is under way. */
void session_proxy_answered(struct smtp_session *session, const struct smtp_context *context);

/* smtp_answers.c */

/* Whether the first reply of the server is its greeting rather than an answer. */
bool session_is_greeting(const struct smtp_session *session, const struct smtp_reply_line *line);
/*
 * Brings the command that the reply answers to the head of the queue. False when it answers none
 * that was seen.
 */
bool session_match_reply(struct smtp_session *session, const struct smtp_reply_line *line);
/* The server has said what reads as an answer to nothing that is pending; code: not 0. */
void session_pass_over(struct smtp_session *session, uint16_t code);
/*
 * Whether what was passed over answered a hello or STARTTLS all the same, as that is all that is
 * pending and nothing was missed: it is no longer pending then.
 */
bool session_take_passed_over(struct smtp_session *session, struct smtp_pending *answered,
			      uint16_t *code);
/*
 * Whether a line that is no reply is a 354 without the blank behind it, which lets the client send
 * its message all the same. DATA is no longer pending then, nor what stood in front of it: that was
 * answered in such a way as well.
 */
bool session_take_stray_go(struct smtp_session *session, uint16_t code);
/*
 * Whether LMTP answers this end of a message once more: once for each recipient that was accepted,
 * also behind BDAT (RFC 2033 4.3). Behind DATA each of them waits in the queue. Counts this one.
 */
bool session_is_answered_again(struct smtp_session *session, const struct smtp_pending *pending);

/* smtp_replies.c */
void session_server_bytes(struct smtp_session *session, const struct smtp_context *context,
			  struct span bytes);
/* The client goes on, or the connection ends: see session_take_passed_over(). */
void session_answer_passed_over(struct smtp_session *session, const struct smtp_context *context);
/* It speaks something else: nothing of it is looked at any more. */
void session_server_is_foreign(struct smtp_session *session);
/* The rest of an open reply was missed. */
void session_reply_abandon(struct smtp_session *session, const struct smtp_context *context);

/* session_tls.c */
bool session_looks_like_tls(struct span bytes);
void session_tls_begin(struct smtp_session *session, const struct smtp_context *context,
		       enum side side);
void session_tls_bytes(struct smtp_session *session, const struct smtp_context *context,
		       enum side side, struct span *bytes);
void session_tls_gap(struct smtp_session *session, const struct smtp_context *context,
		     enum side side, uint64_t len, bool in_skip);
uint64_t session_tls_skippable(struct smtp_session *session, enum side side);
/* No more bytes: whether TLS came up, and if not, why. */
void session_tls_settle(struct smtp_session *session);
void session_tls_free(struct smtp_session *session, const struct smtp_context *context);

#endif
