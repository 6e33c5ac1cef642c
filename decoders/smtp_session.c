/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/smtp_session.h"

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
	budget_free(budget, clear->beginning, sizeof *clear->beginning);
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
		s->clear->message_refused = false;
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

/* ---- holes ---- */

void session_hole(struct smtp_session *s, enum side side)
{
	line_gap(&s->clear->line[side]);
	if (side == SIDE_CLIENT) {
		s->doubt.client_hole = true;
		s->client_confirmed = false;
		s->clear->proxy_over = true;
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
	session_push_pending(s, context, SMTP_PENDING_UNSEEN, SMTP_VERB_UNKNOWN, 0, no_bytes);
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
	else if (in_skip || s->framing[side] == SMTP_FRAMING_FOREIGN)
		return;
	else if (side == SIDE_CLIENT)
		client_gap(s, context, len);
	else
		server_gap(s, len);
}

/* ---- events ---- */

static void beginning_drop(struct smtp_clear *clear, struct budget *budget)
{
	budget_free(budget, clear->beginning, sizeof *clear->beginning);
	clear->beginning = NULL;
}

/* Until SMTP is spoken: what the session is may have to be told by its first bytes. */
static void remember_first(struct smtp_session *s, const struct smtp_context *context,
			   const struct stream_event *event)
{
	enum side side = event->side;
	struct smtp_clear *clear = s->clear;
	if (clear == NULL || s->facts.ehlo_accepted > 0 || s->facts.helo_accepted > 0)
		return;
	if (clear->beginning == NULL) {
		clear->beginning = budget_calloc(context->budget, 1, sizeof *clear->beginning);
		if (clear->beginning == NULL)
			return; /* counted by the budget */
		clear->beginning->server_first = side == SIDE_SERVER;
	}
	struct smtp_beginning *beginning = clear->beginning;
	struct span bytes = span_head(event->bytes, SMTP_FIRST_BYTES - beginning->len[side]);
	if (bytes.len > 0)
		memcpy(beginning->bytes[side] + beginning->len[side], bytes.ptr, bytes.len);
	beginning->len[side] = (uint8_t)(beginning->len[side] + bytes.len);
}

struct span smtp_session_first_bytes(const struct smtp_session *s, enum side side)
{
	if (s->clear == NULL || s->clear->beginning == NULL)
		return no_bytes;
	return span_of(s->clear->beginning->bytes[side], s->clear->beginning->len[side]);
}

bool smtp_session_server_first(const struct smtp_session *s)
{
	return s->clear != NULL && s->clear->beginning != NULL && s->clear->beginning->server_first;
}

void smtp_session_event(struct smtp_session *s, const struct smtp_context *context,
			const struct stream_event *event)
{
	switch (event->kind) {
	case STREAM_DATA:
		s->side_seen[event->side] = true;
		remember_first(s, context, event);
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
	if (s->clear == NULL)
		return;
	if (s->facts.ehlo_accepted > 0 || s->facts.helo_accepted > 0)
		beginning_drop(s->clear, context->budget);
	if (clear_is_settled(s))
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
