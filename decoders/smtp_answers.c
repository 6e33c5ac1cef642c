/* SPDX-License-Identifier: Apache-2.0 */
/* Which command of the client each reply answers, and what is no reply but an answer. */
#include "decoders/session_internal.h"

/* Codes that RFC 5321 and its extensions give to one command only. */
static bool code_is_specific(uint16_t code)
{
	return code == 220 || code == 221 || code == 235 || code == 334 || code == 354;
}

static bool code_fits(uint16_t code, const struct smtp_pending *pending)
{
	bool auth = pending->kind == SMTP_PENDING_ANSWER ||
		    (pending->kind == SMTP_PENDING_COMMAND &&
		     (pending->verb == SMTP_VERB_AUTH || pending->verb == SMTP_VERB_EXPS));
	bool command = pending->kind == SMTP_PENDING_COMMAND;

	switch (code) {
	case 220:
		return command && smtp_verb_is_starttls(pending->verb);
	case 221:
		return command && pending->verb == SMTP_VERB_QUIT;
	case 235:
	case 334:
		return auth;
	case 354:
		return command &&
		       (pending->verb == SMTP_VERB_DATA || pending->verb == SMTP_VERB_EXCH50);
	default:
		return pending->kind != SMTP_PENDING_UNSEEN;
	}
}

/* Whether an entry behind the head is one that this reply can only be for. */
static bool fits_behind_head(const struct smtp_session *s, const struct smtp_reply_line *line)
{
	struct smtp_pending pending;
	uint16_t position = 0;
	bool listing = line->code == 250 && !line->last;

	while (smtp_queue_next(&s->clear->queue, &position, &pending)) {
		if (code_is_specific(line->code) && code_fits(line->code, &pending))
			return true;
		if (listing && pending.kind == SMTP_PENDING_COMMAND &&
		    smtp_verb_is_ehlo(pending.verb))
			return true;
	}
	return false;
}

static bool is_the_one(const struct smtp_reply_line *line, const struct smtp_pending *pending)
{
	if (code_is_specific(line->code))
		return code_fits(line->code, pending);
	return pending->kind == SMTP_PENDING_COMMAND && smtp_verb_is_ehlo(pending->verb);
}

static bool is_only_pending(const struct smtp_session *s)
{
	struct smtp_pending pending;
	uint16_t position = 0;
	return smtp_queue_next(&s->clear->queue, &position, &pending) &&
	       !smtp_queue_next(&s->clear->queue, &position, &pending);
}

bool session_match_reply(struct smtp_session *s, const struct smtp_reply_line *line)
{
	struct smtp_pending head;
	/* No server takes an empty line for a command that it can fulfil. */
	while (line->code < 400 && smtp_queue_peek(&s->clear->queue, &head) &&
	       head.kind == SMTP_PENDING_EMPTY)
		smtp_queue_pop(&s->clear->queue);
	if (!smtp_queue_peek(&s->clear->queue, &head))
		return false;
	bool unseen = head.kind == SMTP_PENDING_UNSEEN;
	/* Behind a hole among the replies it is one of several commands', or nobody's. */
	bool refused_hello = line->code >= 400 && head.kind == SMTP_PENDING_COMMAND &&
			     (smtp_verb_is_ehlo(head.verb) || head.verb == SMTP_VERB_HELO);
	if (s->doubt.lost_replies && !code_is_specific(line->code) &&
	    (line->code == 421 || refused_hello || !is_only_pending(s)) &&
	    !fits_behind_head(s, line))
		return false;
	bool holes = s->doubt.client_hole || s->doubt.server_hole;
	/* A second greeting, or the reply to what was missed. Where nothing was, any other code is
	   the hello's, whatever made the server say it: its client has no better explanation. */
	if (code_is_specific(line->code) && (line->code == 220 || holes) &&
	    head.kind == SMTP_PENDING_COMMAND &&
	    (smtp_verb_is_ehlo(head.verb) || head.verb == SMTP_VERB_HELO) &&
	    !fits_behind_head(s, line))
		return false;
	bool specific_misfit = code_is_specific(line->code) && !code_fits(line->code, &head);
	if ((specific_misfit || unseen) && fits_behind_head(s, line)) {
		while (smtp_queue_peek(&s->clear->queue, &head) && !is_the_one(line, &head)) {
			session_reply_lost(s, &head);
			smtp_queue_pop(&s->clear->queue);
		}
		s->doubt.lost_replies = false; /* from here on the order is known again */
		return true;
	}
	return !unseen && !(specific_misfit && line->code == 221 && holes);
}

/*
 * Whether a reply in front of which nothing was seen reads as a greeting. It may
 * answer a command: a 220 STARTTLS, any other code whatever. A greeting begins
 * with a name (RFC 5321 4.2), a reply with an enhanced status or words.
 */
static bool reads_as_greeting(const struct smtp_reply_line *line)
{
	struct span name = smtp_host_name(line->text);
	bool dotted = false;

	if (line->code != 220 && line->code != 421 && line->code != 554)
		return false;
	for (size_t i = 0; i < name.len; i++)
		dotted = dotted || name.ptr[i] == '.' || name.ptr[i] == '[';
	return dotted || (name.len > 0 && smtp_greeting_names_smtp(line->text));
}

bool session_is_greeting(const struct smtp_session *s, const struct smtp_reply_line *line)
{
	struct smtp_pending head;
	bool pending = smtp_queue_peek(&s->clear->queue, &head);

	if (s->greeting_done)
		return false;
	bool nothing_seen = !s->from_start[SIDE_CLIENT] && !pending;
	if (!s->from_start[SIDE_SERVER] && (nothing_seen || s->doubt.client_hole))
		return reads_as_greeting(line);
	if (line->code == 220)
		return !pending || !code_fits(220, &head) || s->from_start[SIDE_SERVER];
	if (!s->from_start[SIDE_SERVER])
		return !pending && line->code >= 400;
	/* A server that starts with the answer to a command has no greeting. */
	return line->code != 354 && line->code != 334 && line->code != 235 &&
	       !(line->code == 250 && pending);
}

/* ---- what is no reply, or not the last one ---- */

void session_pass_over(struct smtp_session *s, uint16_t code)
{
	if (s->clear->passed_over == 0 && !smtp_queue_is_empty(&s->clear->queue))
		s->clear->passed_over = code;
}

/* What ends a group of commands (RFC 2920 3.1, RFC 3207 4): behind it a client waits. */
static bool is_waited_for(const struct smtp_pending *pending)
{
	return pending->kind == SMTP_PENDING_COMMAND &&
	       (smtp_verb_is_ehlo(pending->verb) || smtp_verb_is_starttls(pending->verb) ||
		pending->verb == SMTP_VERB_HELO);
}

bool session_take_passed_over(struct smtp_session *s, struct smtp_pending *answered, uint16_t *code)
{
	*code = s->clear->passed_over;
	if (*code == 0 || s->clear->reply.open || s->doubt.client_hole || s->doubt.server_hole ||
	    !is_only_pending(s) || !smtp_queue_peek(&s->clear->queue, answered) ||
	    !is_waited_for(answered))
		return false;
	s->clear->passed_over = 0;
	smtp_queue_pop(&s->clear->queue);
	return true;
}

bool session_take_stray_go(struct smtp_session *s, uint16_t code)
{
	struct smtp_pending head;
	if (code != 354 || s->state != SMTP_STATE_DATA_ASKED)
		return false;
	while (smtp_queue_peek(&s->clear->queue, &head)) {
		smtp_queue_pop(&s->clear->queue);
		if (head.kind == SMTP_PENDING_COMMAND && head.verb == SMTP_VERB_DATA)
			return true;
	}
	return false;
}

bool session_is_answered_again(struct smtp_session *s, const struct smtp_pending *pending)
{
	if (!s->is_lmtp || pending->verb != SMTP_VERB_BDAT ||
	    (pending->flags & SMTP_PENDING_LAST) == 0)
		return false;
	if (++s->clear->chunk_replies < s->clear->transaction_recipients)
		return true;
	s->clear->chunk_replies = 0;
	s->clear->transaction_recipients = 0;
	return false;
}
