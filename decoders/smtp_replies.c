/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of a session: what its replies say. */
#include "decoders/sasl.h"
#include "decoders/session_internal.h"

static void count_u32(uint32_t *count)
{
	if (*count < UINT32_MAX)
		(*count)++;
}

static void count_u8(uint8_t *count)
{
	if (*count < UINT8_MAX)
		(*count)++;
}

/* ---- what a reply says ---- */

static void note_server_name(struct smtp_session *s, const struct smtp_context *context,
			     struct span text)
{
	struct span name = smtp_host_name(text);
	struct session_facts *f = &s->facts;
	if (name.len == 0)
		return;
	if (f->text.size[TEXT_SERVER_NAME] == 0)
		(void)session_facts_set_text(f, context->budget, TEXT_SERVER_NAME, name);
	else if (!span_equal_nocase(session_facts_text(f, TEXT_SERVER_NAME), name))
		(void)session_facts_set_text(f, context->budget, TEXT_EHLO_NAME, name);
}

static void ehlo_line(struct smtp_session *s, const struct smtp_context *context,
		      const struct smtp_reply_line *line)
{
	struct smtp_reply *r = &s->clear->reply;
	struct span keyword;

	if (line->code != 250)
		return;
	if (!r->first_line_done) {
		(void)session_facts_set_text(&s->facts, context->budget, TEXT_CAPABILITIES,
					     (struct span){.ptr = NULL, .len = 0});
		note_server_name(s, context, line->text);
		return;
	}
	enum smtp_offer offer = smtp_parse_capability(line->text, &keyword);
	r->saw_starttls = r->saw_starttls || offer == SMTP_OFFER_STARTTLS;
	r->saw_anonymous = r->saw_anonymous || offer == SMTP_OFFER_ANONYMOUSTLS;
	r->saw_masked = r->saw_masked || offer == SMTP_OFFER_MASKED;
	r->saw_registered = r->saw_registered || smtp_capability_is_registered(keyword);
	if (offer == SMTP_OFFER_MASKED || offer == SMTP_OFFER_OTHER_MASKED) {
		count_u8(&r->masked_keywords);
		(void)session_facts_add_word(&s->facts, context->budget, TEXT_MASKED,
					     span_head(keyword, 64));
	}
	(void)session_facts_add_word(&s->facts, context->budget, TEXT_CAPABILITIES,
				     span_head(keyword, 64));
}

static void ehlo_answered(struct smtp_session *s, const struct smtp_context *context)
{
	struct session_facts *f = &s->facts;
	const struct smtp_reply *r = &s->clear->reply;
	/* Behind a hole, several lines of 250 without a keyword may answer anything. */
	bool doubtful = r->hole || (s->doubt.server_hole && !r->saw_registered);

	if (r->code != 250) {
		count_u8(&f->ehlo_refused);
		f->ehlo_refused_code = r->code;
		/* What a refusal lists in front of its last line offers nothing. */
		(void)session_facts_set_text(f, context->budget, TEXT_CAPABILITIES, no_bytes);
		return;
	}
	count_u8(&f->ehlo_accepted);
	if (r->masked_keywords > f->masked_keywords)
		f->masked_keywords = r->masked_keywords;
	if (r->saw_starttls || r->saw_anonymous) {
		f->offered = TRI_TRUE;
		f->offered_anonymous = f->offered_anonymous || !r->saw_starttls;
	} else if (doubtful) {
		s->doubt.ehlo_reply_lost = true;
	} else if (f->offered == TRI_UNKNOWN) {
		f->offered = TRI_FALSE;
	}
	if (!doubtful || f->offered == TRI_TRUE)
		smtp_reach(s, MILESTONE_EHLO_REPLY);
	if (r->saw_masked && f->offered != TRI_TRUE) {
		f->masked_offer = true;
		smtp_reach(s, MILESTONE_MASKED);
	}
}

static void helo_answered(struct smtp_session *s)
{
	struct session_facts *f = &s->facts;
	if (s->clear->reply.code / 100 != 2) {
		count_u8(&f->helo_refused);
		return;
	}
	count_u8(&f->helo_accepted);
	if (f->ehlo_refused > 0 && f->ehlo_accepted == 0)
		smtp_reach(s, MILESTONE_EHLO_REFUSED);
}

static void mail_answered(struct smtp_session *s, const struct smtp_pending *pending)
{
	struct session_facts *f = &s->facts;
	if (pending->flags & SMTP_PENDING_INJECTED) {
		count_u32(&f->mails);
		smtp_reach(s, MILESTONE_MAIL);
	}
	if (s->clear->reply.code / 100 != 2)
		return;
	count_u32(&f->mails_2xx);
	s->clear->transaction_recipients = 0;
	if (pending->flags & SMTP_PENDING_AFTER_FAILURE)
		count_u32(&f->mails_after_failure);
	smtp_reach(s, MILESTONE_MAIL_ACCEPTED);
}

static void message_answered(struct smtp_session *s)
{
	if (s->clear->reply.code / 100 != 2)
		return;
	count_u32(&s->facts.accepted);
	smtp_reach(s, MILESTONE_DELIVERED);
}

static void rcpt_answered(struct smtp_session *s, const struct smtp_context *context,
			  const struct smtp_pending *pending)
{
	struct session_facts *f = &s->facts;
	if (s->clear->reply.code / 100 != 2)
		return;
	count_u32(&f->recipients);
	count_u32(&s->clear->transaction_recipients);
	if (!session_facts_add_word(f, context->budget, TEXT_RECIPIENT_DOMAINS, pending->domain))
		session_count_cap(context); /* a policy may have named it */
}

static void auth_answered(struct smtp_session *s)
{
	struct session_facts *f = &s->facts;
	if (s->clear->reply.code == 334) {
		s->clear->auth_challenged = true;
		if (s->clear->auth_early)
			session_reach_credentials(s);
		smtp_enter(s, SMTP_STATE_AUTH);
		return;
	}
	f->auth_code = s->clear->reply.code;
	s->clear->auth_challenged = false;
	if (s->state == SMTP_STATE_AUTH)
		smtp_enter(s, SMTP_STATE_COMMANDS);
}

static void starttls_answered(struct smtp_session *s, const struct smtp_context *context)
{
	struct session_facts *f = &s->facts;
	const bool missed = s->starttls_in_doubt || s->doubt.client_hole || s->doubt.server_hole;
	if (missed && (s->clear->reply.code == 334 || s->clear->reply.code == 235)) {
		/* The line was an answer in an AUTH exchange whose beginning was missed. */
		f->starttls_code = s->clear->refused_before;
		f->requested = f->starttls_code != 0 ? TRI_TRUE : TRI_UNKNOWN;
		smtp_enter(s, SMTP_STATE_COMMANDS);
		auth_answered(s);
		return;
	}
	if (s->starttls_in_doubt && s->clear->reply.code != 220 && s->clear->reply.code < 400) {
		/* A line of a message that was taken for the command, and the message's reply. */
		session_starttls_was_none(s, context);
		return;
	}
	s->starttls_in_doubt = false;
	f->requested = TRI_TRUE;
	if (s->clear->reply.code == 354 && s->doubt.client_hole && s->doubt.server_hole) {
		/* To a DATA that was missed, as was the reply to this one. */
		s->doubt.starttls_reply_lost = true;
		s->clear->message_hole = true;
		session_data_answered(s, context, 354);
		return;
	}
	f->starttls_code = s->clear->reply.code;
	smtp_reach(s, MILESTONE_STARTTLS_REPLY);
	if (s->clear->reply.code == 220)
		session_upgrade_accepted(s, context, 220);
	else
		session_upgrade_refused(s, context);
}

static void command_answered(struct smtp_session *s, const struct smtp_context *context,
			     const struct smtp_pending *pending)
{
	switch (pending->verb) {
	case SMTP_VERB_EHLO:
	case SMTP_VERB_LHLO:
		ehlo_answered(s, context);
		break;
	case SMTP_VERB_HELO:
		helo_answered(s);
		break;
	case SMTP_VERB_STARTTLS:
	case SMTP_VERB_ANONYMOUSTLS:
		if (s->state == SMTP_STATE_UPGRADE_ASKED &&
		    !(pending->flags & SMTP_PENDING_INJECTED))
			starttls_answered(s, context);
		break;
	case SMTP_VERB_AUTH:
	case SMTP_VERB_EXPS:
		auth_answered(s);
		break;
	case SMTP_VERB_MAIL:
		mail_answered(s, pending);
		break;
	case SMTP_VERB_DATA:
	case SMTP_VERB_EXCH50:
		if (s->state == SMTP_STATE_DATA_ASKED)
			session_data_answered(s, context, s->clear->reply.code);
		break;
	case SMTP_VERB_BDAT:
		if (pending->flags & SMTP_PENDING_LAST)
			message_answered(s);
		break;
	default:
		/* A challenge, so what it answers was some AUTH, and a secret follows. */
		if (s->clear->reply.code == 334 && s->state == SMTP_STATE_COMMANDS) {
			s->facts.auth_sends = SASL_SENDS_SECRET; /* for all that is known */
			smtp_enter(s, SMTP_STATE_AUTH);
		}
		break;
	}
}

static void greeting_answered(struct smtp_session *s)
{
	if (s->facts.implicit_tls) {
		/* It speaks SMTP to a client that said TLS first. */
		s->facts.implicit_tls = false;
		s->client_foreign = true;
	}
	s->greeting_done = true;
	s->facts.greeting_code = s->clear->reply.code;
	s->facts.spoke_smtp = true;
}

/* ---- replies to what was not seen ---- */

/*
 * A reply to no command that was seen. With the client's side or a part of it
 * missing, some replies show beyond doubt what was asked.
 */
static void unmatched_reply(struct smtp_session *s, const struct smtp_context *context)
{
	struct session_facts *f = &s->facts;
	struct smtp_reply *r = &s->clear->reply;
	bool blind =
	    !s->side_seen[SIDE_CLIENT] || s->doubt.client_hole || !s->from_start[SIDE_CLIENT];

	if (s->state == SMTP_STATE_MESSAGE &&
	    (s->clear->message_loose_end || s->clear->message_hole)) {
		/* The end of the message was in the hole, or looser than the standard's. */
		smtp_enter(s, SMTP_STATE_COMMANDS);
		message_answered(s);
		return;
	}
	/* The server has seen enough of it, and will not answer its end. */
	if (s->state == SMTP_STATE_MESSAGE && r->code >= 400)
		s->clear->message_refused = true;
	s->doubt.unanswered_seen = true;
	if (!blind)
		return;
	switch (r->code) {
	case 220:
		/* To STARTTLS, if TLS follows: session_tls_begin() settles it. */
		s->doubt.go_seen = true;
		s->doubt.odd_reply = true;
		break;
	case 354:
		count_u32(&f->mails_2xx);
		smtp_enter(s, SMTP_STATE_MESSAGE);
		s->clear->message_hole = true;
		break;
	case 250:
		/* RCPT and others may be answered in several lines as well. */
		if (r->verb == SMTP_VERB_EHLO &&
		    (r->saw_registered || r->saw_starttls || r->saw_anonymous || r->saw_masked))
			ehlo_answered(s, context);
		break;
	default:
		/* 200 is no code of RFC 5321's; a forged refusal may have it. */
		if (r->code >= 400 || r->code == 200)
			s->doubt.odd_reply = true;
		break;
	}
}

/* ---- lines ---- */

void session_answer_passed_over(struct smtp_session *s, const struct smtp_context *context)
{
	struct smtp_pending pending;
	uint16_t code;
	if (!session_take_passed_over(s, &pending, &code))
		return;
	s->clear->reply = (struct smtp_reply){.verb = pending.verb, .code = code};
	command_answered(s, context, &pending);
}

static void reply_complete(struct smtp_session *s, const struct smtp_context *context)
{
	struct smtp_reply *r = &s->clear->reply;
	struct smtp_pending pending;

	r->open = false;
	s->doubt.go_seen = false;
	/* Only behind a 354 comes a message. */
	s->client_confirmed = r->code != 354;
	if (r->is_greeting) {
		greeting_answered(s);
		return;
	}
	if (!r->matched || !smtp_queue_peek(&s->clear->queue, &pending)) {
		unmatched_reply(s, context);
		session_pass_over(s, r->code);
		return;
	}
	s->clear->passed_over = 0;
	if (session_is_answered_again(s, &pending)) {
		message_answered(s);
		return;
	}
	if (pending.kind == SMTP_PENDING_COMMAND && pending.verb == SMTP_VERB_RCPT)
		rcpt_answered(s, context, &pending); /* while its domain is still in the queue */
	smtp_queue_pop(&s->clear->queue);
	switch (pending.kind) {
	case SMTP_PENDING_COMMAND:
		command_answered(s, context, &pending);
		break;
	case SMTP_PENDING_ANSWER:
		auth_answered(s);
		break;
	case SMTP_PENDING_MESSAGE:
		message_answered(s);
		break;
	case SMTP_PENDING_EMPTY:
	case SMTP_PENDING_UNSEEN:
		break;
	}
}

void session_reply_abandon(struct smtp_session *s, const struct smtp_context *context)
{
	if (s->clear == NULL || !s->clear->reply.open)
		return;
	s->clear->reply.hole = true;
	reply_complete(s, context);
}

static void reply_begins(struct smtp_session *s, const struct smtp_context *context,
			 const struct smtp_reply_line *line)
{
	struct smtp_pending head;
	struct smtp_reply *r = &s->clear->reply;
	const bool greets = session_is_greeting(s, line);

	if (!greets)
		session_proxy_answered(s, context);
	*r = (struct smtp_reply){
	    .open = true, .verb = SMTP_VERB_COUNT, .hole = r->hole, .is_greeting = greets};
	if (greets)
		return;
	s->greeting_done = true;
	r->matched = session_match_reply(s, line);
	if (r->matched && smtp_queue_peek(&s->clear->queue, &head)) {
		r->verb = head.kind == SMTP_PENDING_ANSWER ? SMTP_VERB_AUTH : head.verb;
		r->may_echo = (head.flags & SMTP_PENDING_HIDDEN) != 0;
	} else if (line->code == 250 && !line->last && s->facts.ehlo_accepted == 0) {
		r->verb = SMTP_VERB_EHLO; /* only its reply has several lines of 250 as a rule */
	} else if (s->state == SMTP_STATE_TLS) {
		r->verb = SMTP_VERB_STARTTLS; /* to the handshake: it stands where TLS should be */
	} else {
		r->verb = SMTP_VERB_UNKNOWN;
	}
}

/* Codes of FTP's dialogue that SMTP does not have, after a greeting that both have. */
static bool is_foreign_code(const struct smtp_session *s, uint16_t code)
{
	return (code == 331 || code == 230) && s->facts.ehlo_accepted == 0 &&
	       s->facts.helo_accepted == 0;
}

void session_server_is_foreign(struct smtp_session *s)
{
	s->server_foreign = true;
	s->framing[SIDE_SERVER] = SMTP_FRAMING_FOREIGN;
	s->framing[SIDE_CLIENT] = SMTP_FRAMING_FOREIGN;
	smtp_reach(s, MILESTONE_NOT_SMTP);
}

static void server_line(struct smtp_session *s, const struct smtp_context *context,
			const struct line *line)
{
	struct smtp_reply *r = &s->clear->reply;
	struct smtp_reply_line parsed;

	if (!smtp_parse_reply_line(line->bytes, &parsed)) {
		if (line->fragment)
			return;
		if (!s->greeting_done && !s->clear->reply.open && s->from_start[SIDE_SERVER] &&
		    !s->facts.spoke_smtp)
			session_server_is_foreign(s);
		s->doubt.odd_line = true;
		/* Else a line that is no reply, in the middle of SMTP: passed over. */
		const uint16_t code = smtp_stray_code(line->bytes);
		if (!r->open && session_take_stray_go(s, code))
			session_data_answered(s, context, code);
		else if (!r->open)
			session_pass_over(s, code != 0 ? code : REPLY_WITHOUT_CODE);
		return;
	}
	if (is_foreign_code(s, parsed.code)) {
		session_server_is_foreign(s);
		return;
	}
	if (line->fragment && !r->open)
		r->hole = true; /* lines of the same reply may have been in the hole */
	else if (!r->open)
		r->hole = false;
	if (!r->open)
		reply_begins(s, context, &parsed);
	r->code = parsed.code;
	/* Of a reply to EHLO only the first line says anything of the client. */
	const bool may_echo = r->may_echo && (parsed.code != 250 || !r->first_line_done);
	dialogue_reply(context->dialogues, &s->dialogue, context->redaction, line->bytes, r->verb,
		       may_echo);
	if (r->is_greeting && !r->first_line_done) {
		s->facts.greeting_masked = smtp_greeting_is_masked(parsed.text);
		s->greeting_names_smtp = smtp_greeting_names_smtp(parsed.text);
		note_server_name(s, context, parsed.text);
	} else if (smtp_verb_is_ehlo(r->verb)) {
		ehlo_line(s, context, &parsed);
	} else if (parsed.code == 334) {
		s->clear->auth_asks_account = sasl_asks_account(parsed.text);
	} else if (r->verb == SMTP_VERB_HELO && parsed.code == 250) {
		note_server_name(s, context, parsed.text);
	}
	r->first_line_done = true;
	if (parsed.last)
		reply_complete(s, context);
}

/* Server bytes while the upgrade waits for the ClientHello: text there was injected. */
static void server_text(struct smtp_session *s, const struct smtp_context *context,
			struct span *bytes)
{
	struct line line;

	if (!s->line_owed[SIDE_SERVER] && line_at_start(&s->clear->line[SIDE_SERVER]) &&
	    session_looks_like_tls(*bytes)) {
		/* The 220 was in a hole: what the client sent since is its side of the handshake.
		 */
		if (s->state == SMTP_STATE_UPGRADE_ASKED && s->doubt.lost_replies)
			session_upgrade_accepted(s, context, 0);
		else
			session_tls_begin(s, context, SIDE_SERVER);
		return;
	}
	/* By all of its first bytes, however TCP cut them; unless some are missing. */
	struct span first = smtp_session_first_bytes(s, SIDE_SERVER);
	if (first.len == 0)
		first = *bytes;
	if (!s->started[SIDE_SERVER] && s->from_start[SIDE_SERVER] && !s->doubt.server_hole &&
	    !smtp_may_be_reply(span_head(first, 4))) {
		session_server_is_foreign(s);
		return;
	}
	s->started[SIDE_SERVER] = s->started[SIDE_SERVER] || s->doubt.server_hole || first.len >= 4;
	s->line_owed[SIDE_SERVER] = false;
	if (line_read(&s->clear->line[SIDE_SERVER], context->budget, bytes, &line) == PARSE_DONE)
		server_line(s, context, &line);
}

void session_server_bytes(struct smtp_session *s, const struct smtp_context *context,
			  struct span bytes)
{
	while (bytes.len > 0) {
		switch (s->framing[SIDE_SERVER]) {
		case SMTP_FRAMING_TEXT:
			server_text(s, context, &bytes);
			break;
		case SMTP_FRAMING_TLS:
			session_tls_bytes(s, context, SIDE_SERVER, &bytes);
			break;
		case SMTP_FRAMING_FOREIGN:
			return;
		}
	}
}
