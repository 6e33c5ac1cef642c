/* SPDX-License-Identifier: Apache-2.0 */
/* The client's bytes: lines, a message, a chunk, TLS; what they are may follow from a reply
   that is still to come. */
#include "decoders/session_internal.h"

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
	if (s->clear->message_refused)
		replies = 0;
	s->clear->transaction_recipients = 0;
	dialogue_note(context->dialogues, &s->dialogue, SIDE_CLIENT, span_of("(message)", 9));
	for (uint32_t i = 0; i < replies; i++)
		session_push_pending(s, context, SMTP_PENDING_MESSAGE, SMTP_VERB_DATA, flags,
				     no_bytes);
	smtp_enter(s, SMTP_STATE_COMMANDS);
}

/* Remembers the message's last bytes across segments. */
static void message_remember(struct smtp_session *s, struct span bytes)
{
	uint8_t *tail = s->clear->message_tail;
	/* As most often; a copy of a length that the compiler does not know costs ten times this.
	 */
	if (bytes.len >= 4) {
		memcpy(tail, bytes.ptr + bytes.len - 4, 4);
		return;
	}
	for (size_t i = 0; i < bytes.len; i++) {
		memmove(tail, tail + 1, 3);
		tail[3] = bytes.ptr[i];
	}
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

/* message_end() for a line that begins in the segment before, or with this one. */
static size_t message_end_at_edge(struct smtp_session *s, struct span bytes)
{
	uint8_t edge[8] = {0};
	size_t fresh = bytes.len < 4 ? bytes.len : 4;
	struct span view = span_of(edge, 4 + fresh);
	size_t past = 0;

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
	return 0;
}

/* Whether one of the bytes is a dot for which message_end_at_edge() looks. */
static bool has_dot_at_edge(const uint8_t tail[4], struct span bytes)
{
	return tail[2] == '.' || tail[3] == '.' || (bytes.len > 0 && bytes.ptr[0] == '.') ||
	       (bytes.len > 1 && bytes.ptr[1] == '.');
}

/*
 * The number of bytes up to and with the end-of-data line, or 0. A loose end at
 * the very end of the bytes is remembered, should the server take it for one.
 */
static size_t message_end(struct smtp_session *s, struct span bytes)
{
	size_t past = 0;

	s->clear->message_loose_end = false;
	if (has_dot_at_edge(s->clear->message_tail, bytes)) {
		past = message_end_at_edge(s, bytes);
		if (past > 0)
			return past;
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

static void message_pass(struct smtp_session *s, struct span bytes)
{
	message_remember(s, bytes);
	s->clear->message_len += bytes.len;
}

static void client_message(struct smtp_session *s, const struct smtp_context *context,
			   struct span *bytes)
{
	size_t end = message_end(s, *bytes);
	size_t used = end > 0 ? end : bytes->len;
	message_pass(s, span_head(*bytes, used));
	*bytes = span_skip(*bytes, used);
	if (end > 0)
		message_ended(s, context);
}

bool smtp_session_message(struct smtp_session *s, const struct stream_event *event)
{
	const bool greeted = s->facts.ehlo_accepted > 0 || s->facts.helo_accepted > 0;
	if (event->kind != STREAM_DATA || event->side != SIDE_CLIENT ||
	    s->state != SMTP_STATE_MESSAGE || s->framing[SIDE_CLIENT] != SMTP_FRAMING_TEXT ||
	    !s->side_seen[SIDE_CLIENT] || !greeted)
		return false;
	/* The server's reply is not over, and what the client goes on with would end it. */
	if (s->doubt.lost_replies && s->clear->reply.open)
		return false;
	if (message_end(s, event->bytes) > 0)
		return false; /* which looks for the end once more, with nothing changed by this */
	message_pass(s, event->bytes);
	return true;
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
	session_answer_passed_over(s, context);
	if (s->state != SMTP_STATE_UPGRADE_ASKED)
		return; /* refused; whether it goes on in TLS or not */
	/* Behind a hole it may be the middle of a record. */
	if (!tls && s->clear->held_len == 0 && !s->clear->line[SIDE_CLIENT].resync) {
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
	} else if ((s->doubt.client_hole || s->doubt.starttls_reply_lost) &&
		   (s->started[SIDE_CLIENT] || f->greeting_code != 0 || f->spoke_smtp ||
		    f->ehlo_accepted > 0 || s->doubt.go_seen)) {
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

/* Whether the client begins like no text at all. By one byte: how TCP cut them says nothing. */
static bool client_is_binary(struct span bytes)
{
	return bytes.ptr[0] < 0x20 && bytes.ptr[0] != '\r' && bytes.ptr[0] != '\n' &&
	       bytes.ptr[0] != '\t';
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
	if (!injected && !s->started[SIDE_CLIENT] && session_proxy_header(s, context, bytes))
		return;
	if (!injected && client_turns_to_tls(s, context, *bytes))
		return;
	if (!s->started[SIDE_CLIENT] && client_is_binary(*bytes))
		s->client_foreign = true;
	s->started[SIDE_CLIENT] = true;
	s->line_owed[SIDE_CLIENT] = false;
	if (line_read(&s->clear->line[SIDE_CLIENT], context->budget, bytes, &line) == PARSE_DONE)
		session_client_line(s, context, &line, injected);
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
		session_push_pending(s, context, SMTP_PENDING_COMMAND, SMTP_VERB_NOOP, 0, no_bytes);
		smtp_enter(s, SMTP_STATE_CHUNK);
	} else {
		smtp_enter(s, SMTP_STATE_MESSAGE);
	}
	client_release(s, context);
}

void session_starttls_was_none(struct smtp_session *s, const struct smtp_context *context)
{
	s->starttls_in_doubt = false;
	s->facts.starttls_code = s->clear->refused_before;
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
	bool hole = s->clear->line[SIDE_CLIENT].resync; /* between STARTTLS and what is held */

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
	if (hole)
		session_tls_gap(s, context, SIDE_CLIENT, 0, false);
	if (len > 0 && (hole || session_looks_like_tls(span_of(held, len)))) {
		session_client_bytes(s, context, span_of(held, len));
	} else if (len > 0) {
		/* What was injected: commands that count only if the server answers them. */
		struct span rest = span_of(held, len);
		struct line line;
		while (line_read(&s->clear->line[SIDE_CLIENT], context->budget, &rest, &line) ==
		       PARSE_DONE) {
			struct smtp_command command = smtp_parse_command(line.bytes);
			session_client_command(s, context, line.bytes, &command, true);
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
