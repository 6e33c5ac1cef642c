/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session comes to. The rule for every line here: an outcome is claimed
 * only if nothing that was missed could make it another one.
 */
#include "decoders/session_internal.h"

/* Both sides seen to the end of the connection, as far as its plaintext goes. */
static bool client_is_whole(const struct smtp_session *s)
{
	return s->side_seen[SIDE_CLIENT] && !s->doubt.client_hole;
}

static bool server_is_whole(const struct smtp_session *s)
{
	return s->side_seen[SIDE_SERVER] && !s->doubt.server_hole;
}

/* The session's first bytes were missed: nothing stands in front of the first that was seen. */
static bool is_midstream(const struct smtp_session *s)
{
	return !s->from_start[SIDE_CLIENT] && !s->from_start[SIDE_SERVER] &&
	       s->facts.greeting_code == 0;
}

static bool saw_hello(const struct session_facts *f)
{
	return f->ehlo_sent > 0 || f->helo_sent > 0;
}

/*
 * Whether a STARTTLS may have been asked and refused where we did not see: a
 * command and its reply must both have been missed, or the reply was seen and
 * fits no command that was.
 */
static bool refusal_may_be_hidden(const struct smtp_session *s)
{
	bool commands_missing = !client_is_whole(s) || is_midstream(s);
	return commands_missing && (!server_is_whole(s) || s->doubt.odd_reply);
}

/* No command in the clear can have been missed. */
static bool commands_are_whole(const struct smtp_session *s)
{
	return client_is_whole(s) && !(is_midstream(s) && !saw_hello(&s->facts));
}

static enum tri requested(const struct smtp_session *s)
{
	const struct session_facts *f = &s->facts;
	if (f->requested == TRI_TRUE)
		return TRI_TRUE;
	if (f->masked_command || s->starttls_in_doubt)
		return TRI_UNKNOWN;
	return commands_are_whole(s) ? TRI_FALSE : TRI_UNKNOWN;
}

/* The client went past the point where it would have asked for TLS. */
static bool went_on_in_clear(const struct session_facts *f)
{
	return f->mails > 0 || f->mails_2xx > 0 || f->accepted > 0 || f->auth_in_clear ||
	       f->client_quit || (f->milestones & MILESTONE_MAIL_ACCEPTED) != 0;
}

static enum session_outcome after_starttls(const struct smtp_session *s)
{
	const struct session_facts *f = &s->facts;

	if (f->starttls_code != 0 && f->starttls_code != 220)
		return OUTCOME_REFUSED;
	if (!s->upgrade_accepted) {
		if (s->doubt.starttls_reply_lost || !server_is_whole(s))
			return OUTCOME_UNKNOWN;
		return f->concluded ? OUTCOME_UPGRADE_FAILED : OUTCOME_UNKNOWN;
	}
	switch (f->tls.established) {
	case TRI_TRUE:
		return OUTCOME_UPGRADED;
	case TRI_FALSE:
		/* Without a ServerHello nothing shows that the reply was a 220. */
		return s->upgrade_assumed && !f->tls.server_hello ? OUTCOME_UNKNOWN
								  : OUTCOME_UPGRADE_FAILED;
	case TRI_UNKNOWN:
		break;
	}
	return OUTCOME_UNKNOWN;
}

static enum session_outcome before_hello_was_accepted(const struct smtp_session *s)
{
	const struct session_facts *f = &s->facts;

	if (is_midstream(s) && !saw_hello(f))
		return OUTCOME_UNKNOWN;
	if (f->ehlo_refused > 0)
		return OUTCOME_HELO_ONLY;
	if (f->helo_sent > 0 && f->ehlo_sent == 0 && client_is_whole(s) &&
	    (f->helo_accepted > 0 || f->helo_refused > 0 || f->mails > 0))
		return OUTCOME_HELO_ONLY;
	if (f->helo_accepted > 0 && f->ehlo_sent > 0 && !s->doubt.ehlo_reply_lost)
		return OUTCOME_HELO_ONLY;
	if (!server_is_whole(s) || !client_is_whole(s) || s->doubt.ehlo_reply_lost)
		return OUTCOME_UNKNOWN;
	if (went_on_in_clear(f) && saw_hello(f) && f->mails > 0)
		return OUTCOME_UNKNOWN; /* it was answered, though we cannot say how */
	/* What is no reply may be another protocol, had its beginning been seen. */
	if (s->doubt.odd_line && f->greeting_code == 0)
		return OUTCOME_UNKNOWN;
	return f->concluded ? OUTCOME_NO_DIALOGUE : OUTCOME_UNKNOWN;
}

enum session_outcome smtp_session_outcome(const struct smtp_session *s)
{
	const struct session_facts *f = &s->facts;
	bool no_refusal = !refusal_may_be_hidden(s);
	/* One that nobody answered, after which nothing else came. */
	bool no_starttls = client_is_whole(s) || went_on_in_clear(f);

	if (s->server_foreign)
		return OUTCOME_NOT_SMTP;
	if (f->implicit_tls)
		return OUTCOME_IMPLICIT_TLS;
	if (f->requested == TRI_TRUE)
		return after_starttls(s);
	if (s->starttls_in_doubt)
		return OUTCOME_UNKNOWN;
	if (f->masked_command)
		return OUTCOME_MASKED;
	if (f->masked_offer)
		return no_refusal && no_starttls ? OUTCOME_MASKED : OUTCOME_UNKNOWN;
	if (f->offered == TRI_TRUE) {
		bool over = f->concluded || went_on_in_clear(f);
		return no_starttls && over && no_refusal ? OUTCOME_NOT_USED : OUTCOME_UNKNOWN;
	}
	if (f->offered == TRI_FALSE)
		return no_refusal && no_starttls ? OUTCOME_NOT_OFFERED : OUTCOME_UNKNOWN;
	/* The client spoke something else to a server that never said a word. */
	if (s->client_foreign && !f->spoke_smtp && s->from_start[SIDE_SERVER] && server_is_whole(s))
		return OUTCOME_NOT_SMTP;
	return before_hello_was_accepted(s);
}

static enum session_visibility visibility(const struct smtp_session *s)
{
	if (!s->side_seen[SIDE_SERVER])
		return VISIBILITY_CLIENT_ONLY;
	if (!s->side_seen[SIDE_CLIENT])
		return VISIBILITY_SERVER_ONLY;
	if (is_midstream(s))
		return VISIBILITY_MIDSTREAM;
	if (s->facts.gaps[SIDE_CLIENT] > 0 || s->facts.gaps[SIDE_SERVER] > 0 || s->doubt.queue_full)
		return VISIBILITY_GAPS;
	return VISIBILITY_FULL;
}

void smtp_session_settle(struct smtp_session *s)
{
	struct session_facts *f = &s->facts;

	f->tls.established = TRI_UNKNOWN;
	session_tls_settle(s);
	if (s->doubt.ehlo_reply_lost && f->offered == TRI_FALSE)
		f->offered = TRI_UNKNOWN;
	if (f->requested != TRI_TRUE)
		f->requested = requested(s);
	f->commands_whole = commands_are_whole(s);
	/* Where a message ended in a hole, its reply may have been in one that nothing shows. */
	f->replies_whole =
	    server_is_whole(s) &&
	    !(s->clear != NULL && s->state == SMTP_STATE_MESSAGE && s->clear->message_hole);
	f->visibility = visibility(s);
	f->outcome = smtp_session_outcome(s);
	if (f->requested != TRI_TRUE && !f->implicit_tls && f->tls.established == TRI_UNKNOWN &&
	    f->outcome != OUTCOME_UNKNOWN)
		f->tls.established = TRI_FALSE;
	/* All that the client said was seen, in the clear to its end: there was no TLS. */
	if (f->requested == TRI_FALSE && !f->implicit_tls && f->tls.established == TRI_UNKNOWN &&
	    (f->concluded || went_on_in_clear(f)))
		f->tls.established = TRI_FALSE;
	if (f->outcome == OUTCOME_REFUSED && !f->refused_then_tls)
		f->tls.established = TRI_FALSE;
}

void smtp_session_close(struct smtp_session *s, const struct smtp_context *context,
			enum session_closed_by closed_by)
{
	struct session_facts *f = &s->facts;
	(void)context;

	f->closed_by = closed_by;
	f->concluded = closed_by == CLOSED_BY_FIN || closed_by == CLOSED_BY_RST;
	if (s->clear != NULL && s->clear->held_len > 0 && s->state == SMTP_STATE_DATA_ASKED)
		s->clear->message_hole = true;
	/* What is still pending will not be answered; an EHLO among it tells of no offer. */
	session_reply_abandon(s, context);
	if (s->clear != NULL && s->state == SMTP_STATE_UPGRADE_ASKED)
		session_answer_passed_over(s, context);
	smtp_session_settle(s);
	smtp_reach(s, MILESTONE_CLOSED);
}
