/* SPDX-License-Identifier: Apache-2.0 */
/* The client's lines: commands, and the answers of an AUTH exchange. */
#include "decoders/sasl.h"
#include "decoders/session_internal.h"

static void saturate(uint8_t *count)
{
	if (*count < UINT8_MAX)
		(*count)++;
}

void session_count_cap(const struct smtp_context *context)
{
	if (context->caps_reached != NULL)
		(*context->caps_reached)++;
}

void session_push_pending(struct smtp_session *s, const struct smtp_context *context,
			  enum smtp_pending_kind kind, enum smtp_verb verb, uint8_t flags,
			  struct span domain)
{
	struct smtp_pending pending = {
	    .kind = kind, .verb = verb, .flags = flags, .domain = domain};
	if (smtp_queue_push(&s->clear->queue, context->budget, &pending))
		return;
	/* No room: what is pending counts as unseen from here on. */
	smtp_queue_clear(&s->clear->queue);
	pending = (struct smtp_pending){.kind = SMTP_PENDING_UNSEEN};
	(void)smtp_queue_push(&s->clear->queue, context->budget, &pending);
	s->doubt.client_hole = true;
	s->doubt.server_hole = true;
	s->doubt.queue_full = true;
	session_count_cap(context);
}

/* The queue's commands will get no reply that we see. */
void session_forget_pending(struct smtp_session *s)
{
	struct smtp_pending pending;
	while (smtp_queue_peek(&s->clear->queue, &pending)) {
		session_reply_lost(s, &pending);
		smtp_queue_pop(&s->clear->queue);
	}
}

void session_reply_lost(struct smtp_session *s, const struct smtp_pending *pending)
{
	if (pending->kind != SMTP_PENDING_COMMAND)
		return;
	if (smtp_verb_is_ehlo(pending->verb))
		s->doubt.ehlo_reply_lost = true;
	if (smtp_verb_is_starttls(pending->verb))
		s->doubt.starttls_reply_lost = true;
}

/*
 * A command begins. A client that does not pipeline has had its replies: what
 * a hole among the replies left pending is over.
 */
static void settle_before_command(struct smtp_session *s, const struct smtp_context *context)
{
	session_answer_passed_over(s, context);
	if (s->doubt.lost_replies) {
		session_forget_pending(s);
		s->doubt.lost_replies = false;
	}
	struct smtp_pending head;
	uint16_t position = 0;
	if (s->doubt.unanswered_seen && smtp_queue_next(&s->clear->queue, &position, &head) &&
	    head.kind == SMTP_PENDING_UNSEEN &&
	    !smtp_queue_next(&s->clear->queue, &position, &head))
		smtp_queue_pop(&s->clear->queue);
}

static void client_hello(struct smtp_session *s, const struct smtp_context *context,
			 const struct smtp_command *command)
{
	struct session_facts *f = &s->facts;
	struct span argument = command->argument;
	(void)session_facts_set_text(f, context->budget, TEXT_CLIENT_NAME,
				     smtp_next_token(&argument));
	if (command->verb == SMTP_VERB_HELO)
		saturate(&f->helo_sent);
	else
		saturate(&f->ehlo_sent);
	s->is_lmtp = command->verb == SMTP_VERB_LHLO;
}

static bool is_credential(struct span answer)
{
	if (answer.len > 0 && answer.ptr[answer.len - 1] == '\r')
		answer.len--;
	if (answer.len == 0)
		return false;
	return !(answer.len == 1 && (answer.ptr[0] == '*' || answer.ptr[0] == '='));
}

void session_reach_credentials(struct smtp_session *s)
{
	if (s->facts.auth_sends == SASL_SENDS_TRACE)
		return;
	s->facts.credentials_in_clear = true;
	smtp_reach(s, MILESTONE_CREDENTIALS);
}

/*
 * The account of an exchange, where it may be shown. LOGIN's answers tell only by
 * the questions what they are; an initial response is the account.
 */
static void note_account(struct smtp_session *s, const struct smtp_context *context,
			 struct span answer)
{
	char account[SASL_ACCOUNT_MAX];
	struct span mechanism = session_facts_text(&s->facts, TEXT_AUTH_MECHANISM);
	bool login = span_equal_nocase(mechanism, span_of("LOGIN", 5));

	if (!context->redaction->show_accounts || (login && !s->clear->auth_asks_account))
		return;
	size_t len = sasl_account(mechanism, s->clear->auth_step, answer, account);
	if (len > 0)
		(void)session_facts_set_text(&s->facts, context->budget, TEXT_ACCOUNT,
					     span_of(account, len));
}

static void auth_step_over(struct smtp_session *s)
{
	s->clear->auth_asks_account = false;
	if (s->clear->auth_step < UINT8_MAX)
		s->clear->auth_step++;
}

static void client_auth(struct smtp_session *s, const struct smtp_context *context,
			const struct smtp_command *command)
{
	struct session_facts *f = &s->facts;
	struct span rest = command->argument;
	struct span name = smtp_next_token(&rest);
	const struct sasl_mechanism *mechanism = sasl_mechanism_find(name);

	f->auth_in_clear = true;
	f->auth_sends = mechanism != NULL ? mechanism->sends : SASL_SENDS_SECRET;
	/* What is no mechanism's name may be a secret in the wrong place. */
	if (mechanism != NULL)
		(void)session_facts_set_text(f, context->budget, TEXT_AUTH_MECHANISM,
					     span_of(mechanism->name, mechanism->len));
	else if (name.len > 0)
		(void)session_facts_set_text(f, context->budget, TEXT_AUTH_MECHANISM,
					     span_of("UNKNOWN", 7));
	s->clear->auth_challenged = false;
	s->clear->auth_early = false;
	smtp_enter(s, SMTP_STATE_AUTH);
	s->clear->auth_step = 0;
	struct span response = smtp_next_token(&rest);
	s->clear->auth_asks_account = true;
	if (is_credential(response)) {
		note_account(s, context, response);
		auth_step_over(s);
		session_reach_credentials(s);
	}
	s->clear->auth_asks_account = false;
}

static void client_mail(struct smtp_session *s, const struct smtp_context *context,
			const struct smtp_command *command)
{
	struct session_facts *f = &s->facts;
	if (f->mails < UINT32_MAX)
		f->mails++;
	if (f->text.size[TEXT_SENDER_DOMAIN] == 0)
		(void)session_facts_set_text(f, context->budget, TEXT_SENDER_DOMAIN,
					     smtp_path_domain(smtp_path(command->argument)));
	smtp_reach(s, MILESTONE_MAIL);
}

static void client_starttls(struct smtp_session *s, const struct smtp_command *command)
{
	struct session_facts *f = &s->facts;
	/* Behind a hole it may be a line of a message, until a reply says otherwise. */
	bool hole = s->doubt.client_hole || (!s->from_start[SIDE_CLIENT] && f->greeting_code == 0);
	s->starttls_in_doubt = hole && !s->client_confirmed;
	if (!s->starttls_in_doubt)
		f->requested = TRI_TRUE;
	s->clear->refused_before = f->starttls_code;
	f->starttls_code = 0;
	s->doubt.starttls_reply_lost = false;
	if (command->verb == SMTP_VERB_ANONYMOUSTLS)
		f->offered_anonymous = true;
	smtp_enter(s, SMTP_STATE_UPGRADE_ASKED);
}

static void client_bdat(struct smtp_session *s, const struct smtp_command *command, uint8_t *flags)
{
	uint64_t octets;
	bool last;
	if (!smtp_parse_bdat(command->argument, &octets, &last))
		return;
	if (last)
		*flags |= SMTP_PENDING_LAST;
	s->clear->chunk_left = octets;
	if (octets > 0)
		smtp_enter(s, SMTP_STATE_CHUNK);
}

static void client_exch50(struct smtp_session *s, const struct smtp_command *command)
{
	if (smtp_parse_count(command->argument, &s->clear->blob_octets))
		smtp_enter(s, SMTP_STATE_DATA_ASKED);
}

/* A line of the client that is a command; injected: it stood behind STARTTLS before the reply. */
void session_client_command(struct smtp_session *s, const struct smtp_context *context,
			    struct span bytes, const struct smtp_command *command, bool injected)
{
	struct session_facts *f = &s->facts;
	uint8_t flags = injected ? SMTP_PENDING_INJECTED : 0;
	struct span domain = no_bytes;

	if (session_upgrade_failed(s))
		flags |= SMTP_PENDING_AFTER_FAILURE;
	if (dialogue_command(context->dialogues, &s->dialogue, context->redaction, bytes, command))
		flags |= SMTP_PENDING_HIDDEN;
	if (command->verb != SMTP_VERB_UNKNOWN)
		f->spoke_smtp = true;
	else if (!f->spoke_smtp && !smtp_command_is_masked(bytes))
		s->client_foreign = true; /* its first words are nothing that SMTP has */
	switch (command->verb) {
	case SMTP_VERB_EHLO:
	case SMTP_VERB_HELO:
	case SMTP_VERB_LHLO:
		client_hello(s, context, command);
		break;
	case SMTP_VERB_STARTTLS:
	case SMTP_VERB_ANONYMOUSTLS:
		if (!injected)
			client_starttls(s, command);
		break;
	case SMTP_VERB_AUTH:
	case SMTP_VERB_EXPS:
		if (!injected)
			client_auth(s, context, command);
		break;
	case SMTP_VERB_MAIL:
		if (!injected)
			client_mail(s, context, command);
		break;
	case SMTP_VERB_RCPT:
		domain = smtp_path_domain(smtp_path(command->argument));
		break;
	case SMTP_VERB_DATA:
		s->clear->lf_only = bytes.len == 0 || bytes.ptr[bytes.len - 1] != '\r';
		s->clear->blob_octets = 0;
		if (!injected)
			smtp_enter(s, SMTP_STATE_DATA_ASKED);
		break;
	case SMTP_VERB_BDAT:
		if (!injected)
			client_bdat(s, command, &flags);
		break;
	case SMTP_VERB_EXCH50:
		if (!injected)
			client_exch50(s, command);
		break;
	case SMTP_VERB_QUIT:
		f->client_quit = true;
		break;
	default:
		if (smtp_command_is_masked(bytes)) {
			f->masked_command = true;
			smtp_reach(s, MILESTONE_MASKED);
		}
		break;
	}
	struct span rest = bytes;
	bool empty = smtp_next_token(&rest).len == 0;
	session_push_pending(s, context, empty ? SMTP_PENDING_EMPTY : SMTP_PENDING_COMMAND,
			     command->verb, flags, domain);
}

/* A line while an AUTH exchange is open: an answer, unless it is a command beyond doubt. */
static bool client_auth_line(struct smtp_session *s, const struct smtp_context *context,
			     struct span bytes, const struct smtp_command *command)
{
	bool challenged =
	    s->clear->auth_challenged || !s->side_seen[SIDE_SERVER] || s->doubt.lost_replies;
	if (!s->clear->auth_challenged && smtp_command_is_certain(command))
		return false;
	(void)dialogue_command(context->dialogues, &s->dialogue, context->redaction, bytes, NULL);
	if (is_credential(bytes)) {
		note_account(s, context, bytes);
		if (challenged)
			session_reach_credentials(s);
		else
			s->clear->auth_early = true;
	}
	auth_step_over(s);
	s->clear->auth_challenged = false;
	session_push_pending(s, context, SMTP_PENDING_ANSWER, SMTP_VERB_AUTH, 0, no_bytes);
	return true;
}

void session_client_line(struct smtp_session *s, const struct smtp_context *context,
			 const struct line *line, bool injected)
{
	struct smtp_command command = smtp_parse_command(line->bytes);

	if (line->fragment && !smtp_command_is_certain(&command))
		return; /* the end of something that was missed */
	if (!s->facts.spoke_smtp && s->from_start[SIDE_CLIENT] && smtp_is_proxy_line(line->bytes)) {
		/* For the server's eyes, and nothing answers it. */
		(void)dialogue_command(context->dialogues, &s->dialogue, context->redaction,
				       line->bytes, NULL);
		return;
	}
	if (s->state == SMTP_STATE_AUTH) {
		if (client_auth_line(s, context, line->bytes, &command))
			return;
		smtp_enter(s, SMTP_STATE_COMMANDS);
	}
	settle_before_command(s, context);
	session_client_command(s, context, line->bytes, &command, injected);
}
