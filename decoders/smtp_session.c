/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/smtp_session.h"

#include "decoders/sasl.h"
#include "decoders/session_internal.h"

bool smtp_session_init(struct smtp_session *s, const struct smtp_context *context)
{
	*s = (struct smtp_session){.state = SMTP_STATE_COMMANDS};
	s->facts.vlan_outer = VLAN_NONE;
	s->facts.vlan_inner = VLAN_NONE;
	return session_clear_begin(s, context);
}

bool session_clear_begin(struct smtp_session *s, const struct smtp_context *context)
{
	if (s->clear == NULL)
		s->clear = budget_calloc(context->budget, 1, sizeof *s->clear);
	return s->clear != NULL;
}

static void clear_end(struct smtp_session *s, const struct smtp_context *context)
{
	struct budget *budget = context->budget;
	struct smtp_clear *clear = s->clear;
	if (clear == NULL)
		return;
	line_free(&clear->line[SIDE_CLIENT], budget);
	line_free(&clear->line[SIDE_SERVER], budget);
	smtp_queue_free(&clear->queue, budget);
	budget_free(budget, clear->held, clear->held_cap);
	budget_free(budget, clear, sizeof *clear);
	s->clear = NULL;
}

void smtp_session_free(struct smtp_session *s, const struct smtp_context *context)
{
	clear_end(s, context);
	session_facts_free_text(&s->facts, context->budget);
	session_tls_free(s, context);
}

/*
 * Whether nothing that was said in the clear matters any more: TLS is up on both sides, no
 * command waits for its reply, nothing is held. From here on a session is only followed, and
 * most of a busy sensor's are.
 */
static bool clear_is_settled(const struct smtp_session *s)
{
	const struct smtp_clear *clear = s->clear;
	bool greeted = s->facts.ehlo_accepted > 0 || s->facts.helo_accepted > 0;
	return s->upgrade_over && s->facts.tls_failure == TLS_FAILURE_NONE && greeted &&
	       s->framing[SIDE_CLIENT] == SMTP_FRAMING_TLS &&
	       s->framing[SIDE_SERVER] == SMTP_FRAMING_TLS && !clear->reply.open &&
	       !clear->reply.hole && clear->held == NULL && smtp_queue_is_empty(&clear->queue);
}

void smtp_session_side(struct smtp_session *s, enum side side, bool seen, bool from_start)
{
	s->side_seen[side] = s->side_seen[side] || seen;
	s->from_start[side] = s->from_start[side] || from_start;
}

void smtp_session_reset_forged(struct smtp_session *s)
{
	if (s->framing[SIDE_CLIENT] != SMTP_FRAMING_TEXT ||
	    s->framing[SIDE_SERVER] != SMTP_FRAMING_TEXT)
		return;
	s->facts.reset_forged = true;
	smtp_reach(s, MILESTONE_CONFLICT);
}

void smtp_enter(struct smtp_session *s, enum smtp_state state)
{
	s->state = state;
	if (state == SMTP_STATE_MESSAGE) {
		/* The line end in front of the message is the DATA line's own. */
		memcpy(s->clear->message_tail, "\0\0\r\n", 4);
		s->clear->message_len = 0;
		s->clear->message_hole = false;
		s->clear->message_loose_end = false;
	}
}

void smtp_reach(struct smtp_session *s, uint32_t milestone)
{
	s->facts.milestones |= milestone;
}

bool session_upgrade_failed(const struct smtp_session *s)
{
	const struct session_facts *f = &s->facts;
	return (f->starttls_code != 0 && f->starttls_code != 220) ||
	       f->tls_failure != TLS_FAILURE_NONE;
}

static void saturate(uint8_t *count)
{
	if (*count < UINT8_MAX)
		(*count)++;
}

/* ---- the client's side ---- */

static void push_pending(struct smtp_session *s, const struct smtp_context *context,
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
}

static const struct span no_bytes = {.ptr = NULL, .len = 0};

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
	if (pending->verb == SMTP_VERB_EHLO || pending->verb == SMTP_VERB_LHLO)
		s->doubt.ehlo_reply_lost = true;
	if (pending->verb == SMTP_VERB_STARTTLS || pending->verb == SMTP_VERB_ANONYMOUSTLS)
		s->doubt.starttls_reply_lost = true;
}

/*
 * A command begins. A client that does not pipeline has had its replies: what
 * a hole among the replies left pending is over.
 */
static void settle_before_command(struct smtp_session *s)
{
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

static void reach_credentials(struct smtp_session *s)
{
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
	f->auth_challenge_response = mechanism != NULL && mechanism->challenge_response;
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
		reach_credentials(s);
	}
	s->clear->auth_asks_account = false;
}

static void client_mail(struct smtp_session *s, const struct smtp_context *context,
			const struct smtp_command *command)
{
	struct session_facts *f = &s->facts;
	if (f->mails < UINT32_MAX)
		f->mails++;
	s->clear->transaction_recipients = 0;
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
static void client_command(struct smtp_session *s, const struct smtp_context *context,
			   struct span bytes, const struct smtp_command *command, bool injected)
{
	struct session_facts *f = &s->facts;
	uint8_t flags = injected ? SMTP_PENDING_INJECTED : 0;
	struct span domain = no_bytes;

	if (session_upgrade_failed(s))
		flags |= SMTP_PENDING_AFTER_FAILURE;
	dialogue_command(context->dialogues, &s->dialogue, context->redaction, bytes, false);
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
	push_pending(s, context, empty ? SMTP_PENDING_EMPTY : SMTP_PENDING_COMMAND, command->verb,
		     flags, domain);
}

/* A line while an AUTH exchange is open: an answer, unless it is a command beyond doubt. */
static bool client_auth_line(struct smtp_session *s, const struct smtp_context *context,
			     struct span bytes, const struct smtp_command *command)
{
	bool challenged =
	    s->clear->auth_challenged || !s->side_seen[SIDE_SERVER] || s->doubt.lost_replies;
	if (!s->clear->auth_challenged && smtp_command_is_certain(command))
		return false;
	dialogue_command(context->dialogues, &s->dialogue, context->redaction, bytes, true);
	if (is_credential(bytes)) {
		note_account(s, context, bytes);
		if (challenged)
			reach_credentials(s);
		else
			s->clear->auth_early = true;
	}
	auth_step_over(s);
	s->clear->auth_challenged = false;
	push_pending(s, context, SMTP_PENDING_ANSWER, SMTP_VERB_AUTH, 0, no_bytes);
	return true;
}

static void client_line(struct smtp_session *s, const struct smtp_context *context,
			const struct line *line, bool injected)
{
	struct smtp_command command = smtp_parse_command(line->bytes);

	if (line->fragment && !smtp_command_is_certain(&command))
		return; /* the end of something that was missed */
	if (!s->facts.spoke_smtp && s->from_start[SIDE_CLIENT] && smtp_is_proxy_line(line->bytes)) {
		/* For the server's eyes, and nothing answers it. */
		dialogue_command(context->dialogues, &s->dialogue, context->redaction, line->bytes,
				 true);
		return;
	}
	if (s->state == SMTP_STATE_AUTH) {
		if (client_auth_line(s, context, line->bytes, &command))
			return;
		smtp_enter(s, SMTP_STATE_COMMANDS);
	}
	settle_before_command(s);
	client_command(s, context, line->bytes, &command, injected);
}

/* Keeps client bytes until the reply to DATA or STARTTLS says what they are. */
static bool client_hold(struct smtp_session *s, const struct smtp_context *context,
			struct span bytes)
{
	if (bytes.len > SMTP_HELD_MAX - s->clear->held_len)
		return false;
	size_t need = s->clear->held_len + bytes.len;
	if (need > s->clear->held_cap) {
		size_t cap = need < 2048 ? 2048 : SMTP_HELD_MAX;
		uint8_t *grown =
		    budget_resize(context->budget, s->clear->held, s->clear->held_cap, cap);
		if (grown == NULL)
			return false;
		s->clear->held = grown;
		s->clear->held_cap = (uint32_t)cap;
	}
	memcpy(s->clear->held + s->clear->held_len, bytes.ptr, bytes.len);
	s->clear->held_len = (uint32_t)need;
	return true;
}

static void message_ended(struct smtp_session *s, const struct smtp_context *context)
{
	uint8_t flags = session_upgrade_failed(s) ? SMTP_PENDING_AFTER_FAILURE : 0;
	uint32_t replies = s->is_lmtp && s->clear->transaction_recipients > 0
			       ? s->clear->transaction_recipients
			       : 1;
	if (replies > 1000)
		replies = 1000;
	dialogue_note(context->dialogues, &s->dialogue, SIDE_CLIENT, span_of("(message)", 9));
	for (uint32_t i = 0; i < replies; i++)
		push_pending(s, context, SMTP_PENDING_MESSAGE, SMTP_VERB_DATA, flags, no_bytes);
	smtp_enter(s, SMTP_STATE_COMMANDS);
}

/* Remembers the message's last bytes across segments. */
static void message_remember(struct smtp_session *s, struct span bytes)
{
	uint8_t *tail = s->clear->message_tail;
	size_t n = bytes.len < 4 ? bytes.len : 4;
	memmove(tail, tail + n, 4 - n);
	memcpy(tail + 4 - n, bytes.ptr + bytes.len - n, n);
}

enum end_of_data { END_NONE, END_LOOSE, END_SURE };

/*
 * Whether the '.' at dot makes an end-of-data line (RFC 5321 4.1.1.4: CRLF "."
 * CRLF); *past is the position behind it. A client whose own lines end in LF
 * alone ends its data so too; from another one LF "." LF is text that only
 * looks like an end.
 */
static enum end_of_data end_at_dot(struct span view, size_t dot, bool lf_only, size_t *past)
{
	size_t after = dot + 1;
	if (dot < 1 || view.ptr[dot] != '.' || view.ptr[dot - 1] != '\n')
		return END_NONE;
	bool cr = after < view.len && view.ptr[after] == '\r';
	if (cr)
		after++;
	if (after >= view.len || view.ptr[after] != '\n')
		return END_NONE;
	*past = after + 1;
	bool strict = cr && dot >= 2 && view.ptr[dot - 2] == '\r';
	return strict || lf_only ? END_SURE : END_LOOSE;
}

/*
 * The number of bytes up to and with the end-of-data line, or 0. A loose end at
 * the very end of the bytes is remembered, should the server take it for one.
 */
static size_t message_end(struct smtp_session *s, struct span bytes)
{
	/* Where this segment meets the last one. */
	uint8_t edge[8] = {0};
	size_t fresh = bytes.len < 4 ? bytes.len : 4;
	struct span view = span_of(edge, 4 + fresh);
	size_t past = 0;

	s->clear->message_loose_end = false;
	memcpy(edge, s->clear->message_tail, 4);
	memcpy(edge + 4, bytes.ptr, fresh);
	for (size_t dot = 2; dot < view.len && dot < 6; dot++) {
		enum end_of_data end = end_at_dot(view, dot, s->clear->lf_only, &past);
		if (end == END_NONE || past <= 4)
			continue;
		if (end == END_SURE)
			return past - 4;
		s->clear->message_loose_end = past - 4 == bytes.len;
	}

	/* Dots are what is rare: base64 has none, so most of a message is passed at memory speed.
	 */
	for (size_t from = 2; from < bytes.len;) {
		const uint8_t *found = memchr(bytes.ptr + from, '.', bytes.len - from);
		if (found == NULL)
			break;
		size_t dot = (size_t)(found - bytes.ptr);
		enum end_of_data end = end_at_dot(bytes, dot, s->clear->lf_only, &past);
		if (end == END_SURE)
			return past;
		if (end == END_LOOSE)
			s->clear->message_loose_end = past == bytes.len;
		from = dot + 1;
	}
	return 0;
}

static void client_message(struct smtp_session *s, const struct smtp_context *context,
			   struct span *bytes)
{
	size_t end = message_end(s, *bytes);
	size_t used = end > 0 ? end : bytes->len;
	message_remember(s, span_head(*bytes, used));
	s->clear->message_len += used;
	*bytes = span_skip(*bytes, used);
	if (end > 0)
		message_ended(s, context);
}

static void client_chunk(struct smtp_session *s, struct span *bytes)
{
	size_t used = s->clear->chunk_left < bytes->len ? (size_t)s->clear->chunk_left : bytes->len;
	s->clear->chunk_left -= used;
	*bytes = span_skip(*bytes, used);
	if (s->clear->chunk_left == 0)
		smtp_enter(s, SMTP_STATE_COMMANDS);
}

/* A message begins with a header field (RFC 5322 3.6), so a line like this is a command. */
static bool begins_with_command(struct span bytes)
{
	size_t len = 0;
	while (len < bytes.len && bytes.ptr[len] != '\n')
		len++;
	if (len == bytes.len)
		return false;
	struct smtp_command command = smtp_parse_command(span_head(bytes, len));
	return smtp_command_is_certain(&command);
}

/* DATA was sent, and more comes before its reply. */
static void client_behind_data(struct smtp_session *s, const struct smtp_context *context,
			       struct span *bytes)
{
	bool reply_will_come = s->side_seen[SIDE_SERVER] && !s->doubt.lost_replies;
	if (reply_will_come && client_hold(s, context, *bytes)) {
		*bytes = no_bytes;
		return;
	}
	bool message = s->clear->blob_octets == 0;
	if (s->doubt.lost_replies) {
		session_forget_pending(s);
		s->doubt.lost_replies = false;
		message = message &&
			  !begins_with_command(s->clear->held_len > 0
						   ? span_of(s->clear->held, s->clear->held_len)
						   : *bytes);
	}
	session_data_answered(s, context, message ? 354 : 0);
}

/* STARTTLS was sent, and more comes before its reply. */
static void client_behind_starttls(struct smtp_session *s, const struct smtp_context *context,
				   struct span *bytes)
{
	bool tls = session_looks_like_tls(span_head(*bytes, 5)) ||
		   (s->clear->held_len > 0 &&
		    session_looks_like_tls(span_of(s->clear->held, s->clear->held_len)));
	bool reply_is_lost = !s->side_seen[SIDE_SERVER] || s->doubt.lost_replies;

	if (reply_is_lost && tls) {
		session_upgrade_accepted(s, context, 0);
		return;
	}
	if (reply_is_lost) {
		/* It goes on in the clear: the reply, whatever it was, was no go. */
		s->doubt.starttls_reply_lost = true;
		smtp_enter(s, SMTP_STATE_COMMANDS);
		return;
	}
	if (!tls && s->starttls_in_doubt) {
		session_starttls_was_none(s, context);
		return;
	}
	if (!tls && s->clear->held_len == 0) {
		s->facts.injection |= INJECTION_CLIENT_PIPELINED;
		smtp_reach(s, MILESTONE_INJECTION);
	}
	if (client_hold(s, context, *bytes)) {
		*bytes = no_bytes;
	} else {
		session_hole(s, SIDE_CLIENT);
		*bytes = no_bytes;
	}
}

/* Whether the client's text gives way to TLS here; the start of a line, no half line before. */
static bool client_turns_to_tls(struct smtp_session *s, const struct smtp_context *context,
				struct span bytes)
{
	if (s->line_owed[SIDE_CLIENT] || !line_at_start(&s->clear->line[SIDE_CLIENT]) ||
	    !session_looks_like_tls(bytes))
		return false;
	struct session_facts *f = &s->facts;
	if (!s->started[SIDE_CLIENT] && s->from_start[SIDE_CLIENT] && !s->greeting_done) {
		f->implicit_tls = true;
	} else if (f->starttls_code != 0 && f->starttls_code != 220 && !s->upgrade_over) {
		f->refused_then_tls = true;
	} else if (s->doubt.client_hole || s->doubt.starttls_reply_lost) {
		/* A 220 that answered what was missed was the reply to it. */
		session_upgrade_accepted(s, context, s->doubt.go_seen ? 220 : 0);
	} else if (s->started[SIDE_CLIENT] || s->from_start[SIDE_CLIENT]) {
		if (!s->upgrade_accepted) {
			s->client_foreign = true;
			s->framing[SIDE_CLIENT] = SMTP_FRAMING_FOREIGN;
			return true;
		}
	}
	session_tls_begin(s, context, SIDE_CLIENT);
	smtp_enter(s, SMTP_STATE_TLS);
	return true;
}

/* Whether the client's very first bytes are no text at all. */
static bool client_is_binary(struct span bytes)
{
	size_t odd = 0, n = bytes.len < 64 ? bytes.len : 64;
	for (size_t i = 0; i < n; i++)
		odd += bytes.ptr[i] < 0x20 && bytes.ptr[i] != '\r' && bytes.ptr[i] != '\n' &&
		       bytes.ptr[i] != '\t';
	return odd * 4 > n;
}

static void client_text(struct smtp_session *s, const struct smtp_context *context,
			struct span *bytes, bool injected)
{
	struct line line;

	/* The client goes on, so the reply is over, and with it may end what its bytes are: settled
	 * before any of them is read. */
	if (s->doubt.lost_replies && s->clear->reply.open && !injected) {
		session_reply_abandon(s, context);
		return;
	}
	switch (s->state) {
	case SMTP_STATE_DATA_ASKED:
		client_behind_data(s, context, bytes);
		return;
	case SMTP_STATE_MESSAGE:
		client_message(s, context, bytes);
		return;
	case SMTP_STATE_CHUNK:
		client_chunk(s, bytes);
		return;
	case SMTP_STATE_UPGRADE_ASKED:
		client_behind_starttls(s, context, bytes);
		return;
	case SMTP_STATE_COMMANDS:
	case SMTP_STATE_AUTH:
	case SMTP_STATE_TLS:
	case SMTP_STATE_COUNT:
		break;
	}
	if (!injected && client_turns_to_tls(s, context, *bytes))
		return;
	if (!s->started[SIDE_CLIENT] && client_is_binary(*bytes))
		s->client_foreign = true;
	s->started[SIDE_CLIENT] = true;
	s->line_owed[SIDE_CLIENT] = false;
	if (line_read(&s->clear->line[SIDE_CLIENT], context->budget, bytes, &line) == PARSE_DONE)
		client_line(s, context, &line, injected);
}

/* The held bytes, now that it is known what they are. */
static void client_release(struct smtp_session *s, const struct smtp_context *context)
{
	uint8_t *held = s->clear->held;
	uint32_t len = s->clear->held_len, cap = s->clear->held_cap;
	s->clear->held = NULL;
	s->clear->held_len = s->clear->held_cap = 0;
	if (len > 0)
		session_client_bytes(s, context, span_of(held, len));
	budget_free(context->budget, held, cap);
}

void session_data_answered(struct smtp_session *s, const struct smtp_context *context,
			   uint16_t code)
{
	if (code != 354) {
		smtp_enter(s, SMTP_STATE_COMMANDS);
	} else if (s->clear->blob_octets > 0) {
		s->clear->chunk_left = s->clear->blob_octets;
		push_pending(s, context, SMTP_PENDING_COMMAND, SMTP_VERB_NOOP, 0, no_bytes);
		smtp_enter(s, SMTP_STATE_CHUNK);
	} else {
		smtp_enter(s, SMTP_STATE_MESSAGE);
	}
	client_release(s, context);
}

void session_starttls_was_none(struct smtp_session *s, const struct smtp_context *context)
{
	s->starttls_in_doubt = false;
	smtp_enter(s, SMTP_STATE_COMMANDS);
	client_release(s, context);
}

void session_upgrade_refused(struct smtp_session *s, const struct smtp_context *context)
{
	smtp_enter(s, SMTP_STATE_COMMANDS);
	client_release(s, context);
}

void session_upgrade_accepted(struct smtp_session *s, const struct smtp_context *context,
			      uint16_t code)
{
	uint8_t *held = s->clear->held;
	uint32_t len = s->clear->held_len, cap = s->clear->held_cap;

	s->facts.requested = TRI_TRUE;
	s->facts.starttls_code = code;
	s->starttls_in_doubt = false;
	s->upgrade_accepted = true;
	s->upgrade_assumed = code == 0;
	if (s->upgrade_assumed)
		smtp_queue_clear(&s->clear->queue); /* whatever was pending had its reply */
	s->client_since_220 = false;
	s->clear->held = NULL;
	s->clear->held_len = s->clear->held_cap = 0;
	smtp_enter(s, SMTP_STATE_TLS);
	session_tls_begin(s, context, SIDE_CLIENT);
	if (s->framing[SIDE_SERVER] == SMTP_FRAMING_TEXT)
		session_tls_begin(s, context, SIDE_SERVER);
	if (len > 0 && session_looks_like_tls(span_of(held, len))) {
		session_client_bytes(s, context, span_of(held, len));
	} else if (len > 0) {
		/* What was injected: commands that count only if the server answers them. */
		struct span rest = span_of(held, len);
		struct line line;
		while (line_read(&s->clear->line[SIDE_CLIENT], context->budget, &rest, &line) ==
		       PARSE_DONE) {
			struct smtp_command command = smtp_parse_command(line.bytes);
			client_command(s, context, line.bytes, &command, true);
		}
		line_gap(&s->clear->line[SIDE_CLIENT]);
		s->clear->line[SIDE_CLIENT].resync = false;
	}
	budget_free(context->budget, held, cap);
}

void session_client_bytes(struct smtp_session *s, const struct smtp_context *context,
			  struct span bytes)
{
	while (bytes.len > 0) {
		switch (s->framing[SIDE_CLIENT]) {
		case SMTP_FRAMING_TEXT:
			client_text(s, context, &bytes, false);
			break;
		case SMTP_FRAMING_TLS:
			session_tls_bytes(s, context, SIDE_CLIENT, &bytes);
			break;
		case SMTP_FRAMING_FOREIGN:
			return;
		}
	}
}

/* ---- holes ---- */

void session_hole(struct smtp_session *s, enum side side)
{
	line_gap(&s->clear->line[side]);
	if (side == SIDE_CLIENT) {
		s->doubt.client_hole = true;
		s->client_confirmed = false;
	} else
		s->doubt.server_hole = true;
}

static void client_gap(struct smtp_session *s, const struct smtp_context *context, uint64_t len)
{
	switch (s->state) {
	case SMTP_STATE_MESSAGE:
		s->clear->message_hole = true;
		memset(s->clear->message_tail, 0, sizeof s->clear->message_tail);
		return;
	case SMTP_STATE_CHUNK:
		if (len <= s->clear->chunk_left) {
			s->clear->chunk_left -= len;
			if (s->clear->chunk_left == 0)
				smtp_enter(s, SMTP_STATE_COMMANDS);
			return;
		}
		s->clear->chunk_left = 0;
		smtp_enter(s, SMTP_STATE_COMMANDS);
		break;
	case SMTP_STATE_DATA_ASKED:
		/* The hole begins behind DATA: it is message or commands, the reply will tell. */
		s->clear->message_hole = true;
		break;
	case SMTP_STATE_TLS:
		return;
	case SMTP_STATE_AUTH:
		smtp_enter(s, SMTP_STATE_COMMANDS);
		break;
	case SMTP_STATE_COMMANDS:
	case SMTP_STATE_UPGRADE_ASKED:
	case SMTP_STATE_COUNT:
		break;
	}
	session_hole(s, SIDE_CLIENT);
	s->doubt.unanswered_seen = false;
	push_pending(s, context, SMTP_PENDING_UNSEEN, SMTP_VERB_UNKNOWN, 0, no_bytes);
}

/* A hole too small for any reply line, between two lines, hides nothing. */
#define REPLY_LINE_MIN 4U

static void server_gap(struct smtp_session *s, uint64_t len)
{
	bool harmless =
	    len > 0 && len < REPLY_LINE_MIN && line_at_start(&s->clear->line[SIDE_SERVER]);
	if (harmless)
		return;
	session_hole(s, SIDE_SERVER);
	s->doubt.lost_replies = true;
	s->greeting_done = true;
	if (s->clear->reply.open)
		s->clear->reply.hole = true;
}

static void session_gap(struct smtp_session *s, const struct smtp_context *context, enum side side,
			uint64_t len, bool in_skip)
{
	struct session_facts *f = &s->facts;
	if (f->gaps[side] < UINT32_MAX)
		f->gaps[side]++;
	f->gap_bytes[side] += len;
	/* The beginning of the server's TLS may be what is missing. */
	if (side == SIDE_SERVER && f->implicit_tls && s->framing[side] == SMTP_FRAMING_TEXT &&
	    !s->started[side])
		session_tls_begin(s, context, side);
	if (s->framing[side] == SMTP_FRAMING_TLS)
		session_tls_gap(s, context, side, len, in_skip);
	else if (in_skip)
		return;
	else if (side == SIDE_CLIENT)
		client_gap(s, context, len);
	else
		server_gap(s, len);
}

/* ---- events ---- */

/* Until SMTP is spoken: what the session is may have to be told by its first bytes. */
static void remember_first(struct smtp_session *s, const struct stream_event *event)
{
	enum side side = event->side;
	struct smtp_clear *clear = s->clear;
	if (clear == NULL || s->facts.ehlo_accepted > 0 || s->facts.helo_accepted > 0)
		return;
	if (clear->first_len[SIDE_CLIENT] == 0 && clear->first_len[SIDE_SERVER] == 0)
		clear->server_first = side == SIDE_SERVER;
	struct span bytes = span_head(event->bytes, SMTP_FIRST_BYTES - clear->first_len[side]);
	if (bytes.len > 0)
		memcpy(clear->first[side] + clear->first_len[side], bytes.ptr, bytes.len);
	clear->first_len[side] = (uint8_t)(clear->first_len[side] + bytes.len);
}

struct span smtp_session_first_bytes(const struct smtp_session *s, enum side side)
{
	if (s->clear == NULL)
		return no_bytes;
	return span_of(s->clear->first[side], s->clear->first_len[side]);
}

bool smtp_session_server_first(const struct smtp_session *s)
{
	return s->clear != NULL && s->clear->server_first;
}

void smtp_session_event(struct smtp_session *s, const struct smtp_context *context,
			const struct stream_event *event)
{
	switch (event->kind) {
	case STREAM_DATA:
		s->side_seen[event->side] = true;
		remember_first(s, event);
		if (event->side == SIDE_CLIENT)
			session_client_bytes(s, context, event->bytes);
		else
			session_server_bytes(s, context, event->bytes);
		break;
	case STREAM_GAP:
		session_gap(s, context, event->side, event->gap_len, event->in_skip);
		break;
	case STREAM_CONFLICT:
		if (s->framing[event->side] == SMTP_FRAMING_TLS)
			break;
		if (s->facts.conflicts == 0)
			s->facts.conflict_side = event->side;
		if (s->facts.conflicts < UINT32_MAX)
			s->facts.conflicts++;
		smtp_reach(s, MILESTONE_CONFLICT);
		break;
	case STREAM_FIN:
	case STREAM_RST:
		break; /* the close tells how it ended */
	}
	if (s->clear != NULL && clear_is_settled(s))
		clear_end(s, context);
}

uint64_t smtp_session_skippable(struct smtp_session *s, enum side side)
{
	if (s->framing[side] == SMTP_FRAMING_FOREIGN)
		return UINT64_MAX;
	if (s->framing[side] == SMTP_FRAMING_TLS)
		return session_tls_skippable(s, side);
	if (side != SIDE_CLIENT || s->state != SMTP_STATE_CHUNK)
		return 0;
	uint64_t octets = s->clear->chunk_left;
	s->clear->chunk_left = 0;
	smtp_enter(s, SMTP_STATE_COMMANDS);
	return octets;
}

bool smtp_session_is_smtp(const struct smtp_session *s)
{
	const struct session_facts *f = &s->facts;
	bool hello = f->ehlo_sent > 0 || f->helo_sent > 0;

	return s->greeting_names_smtp || (f->greeting_code != 0 && hello) || f->ehlo_accepted > 0 ||
	       (hello && (f->mails > 0 || f->requested == TRI_TRUE)) ||
	       (f->mails_2xx > 0 && f->recipients > 0);
}
