/* SPDX-License-Identifier: Apache-2.0 */
/* A session's TLS part: from the 220 to STARTTLS, or from the first byte, on. */
#include "decoders/session_internal.h"

/* Content types of a record header, and versions but of a hello's (RFC 8446 5.1). */
bool session_looks_like_tls(struct span bytes)
{
	if (bytes.len == 0)
		return false;
	if (bytes.ptr[0] < 20 || bytes.ptr[0] > 23)
		return false;
	if (bytes.len > 1 && bytes.ptr[1] != 3)
		return false;
	if (bytes.len > 2 && bytes.ptr[2] > 4 && bytes.ptr[0] != 22)
		return false;
	if (bytes.len > 4) {
		unsigned len = (unsigned)bytes.ptr[3] << 8 | bytes.ptr[4];
		return len > 0 && len <= 16384 + 2048;
	}
	return true;
}

void session_tls_begin(struct smtp_session *s, const struct smtp_context *context, enum side side)
{
	if (s->tls == NULL) {
		s->tls = budget_alloc(context->budget, sizeof *s->tls);
		if (s->tls == NULL) {
			s->framing[side] = SMTP_FRAMING_FOREIGN; /* counted by the budget */
			return;
		}
		tls_conversation_init(s->tls);
	}
	tls_resume(s->tls, side);
	s->framing[side] = SMTP_FRAMING_TLS;
	s->started[side] = true;
	if (side == SIDE_SERVER && !s->upgrade_accepted && !s->facts.implicit_tls) {
		/* TLS from a server without an upgrade that was seen. */
		bool client_unseen = !s->side_seen[SIDE_CLIENT] || s->doubt.client_hole ||
				     !s->from_start[SIDE_CLIENT];
		if (client_unseen && s->doubt.go_seen) {
			s->facts.requested = TRI_TRUE;
			s->facts.starttls_code = 220;
			s->upgrade_accepted = true;
		} else if (!s->greeting_done && s->from_start[SIDE_SERVER]) {
			s->facts.implicit_tls = true;
		}
	}
	line_free(&s->clear->line[side], context->budget);
}

void session_tls_free(struct smtp_session *s, const struct smtp_context *context)
{
	if (s->tls == NULL)
		return;
	tls_conversation_free(s->tls, context->budget);
	budget_free(context->budget, s->tls, sizeof *s->tls);
	s->tls = NULL;
}

/* A hello as the one record that it may have come in; 0: it does not fit. */
static size_t hello_record(const struct tls_hello *hello, bool client, uint8_t *out, size_t size)
{
	size_t message = hello->message.len, len = 9 + message;

	if (hello->sslv2_format || len > size)
		return 0;
	const uint8_t header[9] = {
	    22, /* handshake */
	    3,  /* record version: TLS 1.0, as clients send it */
	    1,
	    (uint8_t)((message + 4) >> 8),
	    (uint8_t)(message + 4),
	    client ? 1 : 2, /* ClientHello, ServerHello */
	    (uint8_t)(message >> 16),
	    (uint8_t)(message >> 8),
	    (uint8_t)message,
	};
	memcpy(out, header, sizeof header);
	memcpy(out + sizeof header, hello->message.ptr, message);
	return len;
}

static void drop_hello(struct smtp_session *s, const struct smtp_context *context)
{
	if (s->clear == NULL)
		return;
	budget_free(context->budget, s->clear->held, s->clear->held_cap);
	s->clear->held = NULL;
	s->clear->held_len = s->clear->held_cap = 0;
}

/* The side goes on in the clear: as SMTP again. */
static void back_to_text(struct smtp_session *s, const struct smtp_context *context, enum side side)
{
	drop_hello(s, context);
	bool readable = session_clear_begin(s, context); /* otherwise counted by the budget */
	s->framing[side] = readable ? SMTP_FRAMING_TEXT : SMTP_FRAMING_FOREIGN;
	s->line_owed[side] = true;
	if (side == SIDE_CLIENT)
		smtp_enter(s, SMTP_STATE_COMMANDS);
}

static void fail(struct smtp_session *s, enum tls_failure failure)
{
	if (s->facts.tls_failure == TLS_FAILURE_NONE)
		s->facts.tls_failure = failure;
	s->upgrade_over = true;
	smtp_reach(s, MILESTONE_TLS_FAILED);
}

/* Bytes that are no record, where records were expected. */
static void plaintext_found(struct smtp_session *s, const struct smtp_context *context,
			    enum side side, struct span bytes)
{
	struct session_facts *f = &s->facts;
	const struct tls_facts *tls = &s->tls->facts;
	bool up = f->tls.established == TRI_TRUE;
	/* A fatal alert ended TLS (RFC 5246 7.2.2): what follows it stands for no record. But a
	   server that has sent one has nothing to say before its client has: that is a reply to the
	   ClientHello, and the alert may be as forged as it. */
	bool given_up = tls->fatal[SIDE_CLIENT] ||
			(tls->fatal[SIDE_SERVER] &&
			 (side == SIDE_CLIENT || s->framing[SIDE_CLIENT] == SMTP_FRAMING_TEXT));

	if (f->implicit_tls && !tls->client_hello && !tls->server_hello) {
		f->implicit_tls = false;
	} else if (side == SIDE_SERVER && f->implicit_tls && !tls->server_hello) {
		/* A server that speaks SMTP to a client that said TLS first. */
		f->implicit_tls = false;
		s->client_foreign = true;
	} else if (side == SIDE_SERVER && s->upgrade_assumed && !tls->server_hello) {
		/* The reply that was missed may have been a refusal that the client took for a go.
		 */
		s->upgrade_assumed = s->upgrade_accepted = false;
		s->doubt.starttls_reply_lost = true;
	} else if (!tls->client_hello && !tls->server_hello) {
		/* Without a go it only began like a record. */
		bool go = s->upgrade_accepted;
		if (go && side == SIDE_SERVER && !s->client_since_220) {
			f->injection |= INJECTION_SERVER_PIPELINED;
			smtp_reach(s, MILESTONE_INJECTION);
		} else if (go && side == SIDE_CLIENT) {
			fail(s, TLS_FAILURE_CLIENT_PLAINTEXT);
		}
	} else if (up || !given_up) {
		f->plaintext_in_tls_side = side;
		f->plaintext_in_tls_reply =
		    side == SIDE_SERVER && smtp_may_be_reply(span_head(bytes, 4));
		smtp_reach(s, MILESTONE_PLAINTEXT_IN_TLS);
		/* With a part of the handshake missed it may have been up before. */
		if (!up && !tls->lost[SIDE_CLIENT] && !tls->lost[SIDE_SERVER])
			fail(s, side == SIDE_SERVER ? TLS_FAILURE_SERVER_PLAINTEXT
						    : TLS_FAILURE_CLIENT_PLAINTEXT);
	}
	back_to_text(s, context, side);
}

/* A side's bytes are no records: what it is then read as. */
static void malformed_found(struct smtp_session *s, const struct smtp_context *context,
			    enum side side)
{
	const struct tls_facts *tls = &s->tls->facts;
	if (s->facts.implicit_tls && !tls->client_hello && !tls->server_hello) {
		/* TLS from the first byte was told by that byte alone. */
		s->facts.implicit_tls = false;
		s->framing[side] = SMTP_FRAMING_FOREIGN;
		if (side == SIDE_SERVER)
			session_server_is_foreign(s);
		else
			s->client_foreign = true;
	} else if (!s->upgrade_accepted && !s->facts.implicit_tls) {
		back_to_text(s, context, side);
	} else if (!s->upgrade_over) {
		fail(s, TLS_FAILURE_MALFORMED);
		s->framing[side] = SMTP_FRAMING_FOREIGN;
	}
}

/*
 * Keeps the ClientHello until the server's is there; then both go to the caller.
 * Where it was missed, what is held may be other bytes of the client's.
 */
static void keep_client_hello(struct smtp_session *s, const struct smtp_context *context,
			      const struct tls_hello *hello)
{
	size_t size = 9 + hello->message.len;

	drop_hello(s, context);
	if (size > SMTP_HELLO_MAX || s->clear == NULL)
		return;
	s->clear->held = budget_alloc(context->budget, size);
	if (s->clear->held == NULL)
		return;
	s->clear->held_cap = (uint32_t)size;
	s->clear->held_len = (uint32_t)hello_record(hello, true, s->clear->held, size);
}

static void give_hellos(struct smtp_session *s, const struct smtp_context *context,
			const struct tls_hello *hello)
{
	struct smtp_found *found = context->found;
	size_t len = hello_record(hello, false, found->hello[SIDE_SERVER], SMTP_HELLO_MAX);

	if (!s->tls->facts.client_hello)
		return;
	if (s->clear != NULL && s->clear->held_len > 0 && len > 0) {
		memcpy(found->hello[SIDE_CLIENT], s->clear->held, s->clear->held_len);
		found->hello_len[SIDE_CLIENT] = s->clear->held_len;
		found->hello_len[SIDE_SERVER] = len;
	}
	drop_hello(s, context);
}

/* From the middle: the first four may be a time, the last eight a sentinel (RFC 8446 4.1.3). */
static void keep_random(struct session_tls *tls, enum side side, const struct tls_hello *hello)
{
	struct span random = span_skip(hello->random, 8);
	if (random.len >= sizeof tls->hello_random[side])
		memcpy(tls->hello_random[side], random.ptr, sizeof tls->hello_random[side]);
}

static void note_hello(struct smtp_session *s, const struct smtp_context *context,
		       const struct tls_hello *hello, bool client)
{
	struct smtp_found *found = context->found;
	struct session_facts *f = &s->facts;

	keep_random(&f->tls, client ? SIDE_CLIENT : SIDE_SERVER, hello);
	if (client) {
		(void)session_facts_set_text(f, context->budget, TEXT_SNI, hello->server_name);
		keep_client_hello(s, context, hello);
		found->ja3_len = ja3_text(hello, found->ja3, sizeof found->ja3);
		dialogue_note(context->dialogues, &s->dialogue, SIDE_CLIENT,
			      span_of("(TLS ClientHello)", 17));
		return;
	}
	(void)session_facts_set_text(f, context->budget, TEXT_ALPN, hello->alpn);
	give_hellos(s, context, hello);
	found->ja3s_len = ja3s_text(hello, found->ja3s, sizeof found->ja3s);
	dialogue_note(context->dialogues, &s->dialogue, SIDE_SERVER,
		      span_of("(TLS ServerHello)", 17));
	smtp_reach(s, MILESTONE_SERVER_HELLO);
}

/* The chain outlives the feed: it goes to the caller as one block. */
static void note_chain(const struct smtp_context *context, const struct tls_step *step)
{
	struct smtp_found *found = context->found;
	size_t size = 0, at = 0;

	for (unsigned i = 0; i < step->chain_len; i++)
		size += step->chain[i].len;
	if (found->chain_len > 0 || size == 0)
		return;
	found->chain = budget_alloc(context->budget, size);
	if (found->chain == NULL)
		return;
	found->chain_size = size;
	for (unsigned i = 0; i < step->chain_len; i++) {
		memcpy(found->chain + at, step->chain[i].ptr, step->chain[i].len);
		found->lengths[i] = (uint32_t)step->chain[i].len;
		at += step->chain[i].len;
		found->chain_len = i + 1;
	}
}

/* What the conversation knows, in the words of the session's facts. */
static void copy_facts(struct smtp_session *s)
{
	const struct tls_facts *from = &s->tls->facts;
	struct session_tls *to = &s->facts.tls;

	to->client_hello = from->client_hello;
	to->server_hello = from->server_hello;
	to->resumed = from->resumed;
	to->fallback_scsv = from->fallback_scsv;
	to->offered_version = from->offered_version;
	to->version = from->version;
	to->suite = from->suite;
	to->sentinel = from->sentinel != TLS_SENTINEL_NONE;
	to->offered_more =
	    from->client_hello && from->server_hello && from->offered_version > from->version;
	to->rolled_back = tls_rolled_back(from);
	for (unsigned i = 0; i < 2; i++) {
		to->alert_level[i] = from->alert_level[i];
		to->alert_description[i] = from->alert_description[i];
	}
}

/* Whether a side's hello may be among what was missed in front of its first record. */
static bool hello_missed(const struct smtp_session *s, enum side side)
{
	const struct tls_facts *tls = &s->tls->facts;
	bool hole = side == SIDE_CLIENT ? s->doubt.client_hole : s->doubt.server_hole;

	if (side == SIDE_CLIENT ? tls->client_hello : tls->server_hello)
		return false;
	if (s->upgrade_accepted)
		return s->upgrade_assumed && hole;
	return hole || !s->from_start[side];
}

static enum tri established(const struct smtp_session *s)
{
	struct tls_view view = {
	    .client_visible = s->side_seen[SIDE_CLIENT],
	    .server_visible = s->side_seen[SIDE_SERVER],
	    .closed = s->facts.concluded,
	};
	struct tls_facts facts = s->tls->facts;
	for (unsigned side = 0; side < 2; side++)
		facts.lost[side] = facts.lost[side] || hello_missed(s, (enum side)side);
	return tls_established(&facts, &view);
}

static void look_for_end_of_handshake(struct smtp_session *s)
{
	const struct tls_facts *tls = &s->tls->facts;

	if (s->upgrade_over)
		return;
	/* A version 1.3 client may still turn out to have said no with its first record. */
	bool may_reject = tls->version == TLS_VERSION_1_3 && tls_client_rejected(tls);
	if (!may_reject && established(s) == TRI_TRUE) {
		s->upgrade_over = true;
		s->facts.tls.established = TRI_TRUE;
		smtp_reach(s, MILESTONE_TLS_UP);
	} else if (tls->fatal[SIDE_CLIENT] || tls->fatal[SIDE_SERVER]) {
		fail(s, TLS_FAILURE_ALERT);
	}
}

void session_tls_bytes(struct smtp_session *s, const struct smtp_context *context, enum side side,
		       struct span *bytes)
{
	struct tls_step step;

	tls_feed(s->tls, context->budget, side, *bytes, &step);
	*bytes = span_skip(*bytes, step.consumed);
	if (side == SIDE_CLIENT && step.kind != TLS_STEP_PLAINTEXT)
		s->client_since_220 = true;
	copy_facts(s);
	switch (step.kind) {
	case TLS_STEP_NOTHING:
	case TLS_STEP_HELLO_RETRY:
	case TLS_STEP_CHANGE_CIPHER_SPEC:
	case TLS_STEP_PROTECTED:
		break;
	case TLS_STEP_CLIENT_HELLO:
		note_hello(s, context, &step.hello, true);
		break;
	case TLS_STEP_SERVER_HELLO:
		note_hello(s, context, &step.hello, false);
		note_chain(context, &step); /* SSL 2.0 has the certificate in it */
		break;
	case TLS_STEP_CERTIFICATES:
		note_chain(context, &step);
		break;
	case TLS_STEP_ALERT:
		smtp_reach(s, MILESTONE_TLS_ALERT);
		break;
	case TLS_STEP_PLAINTEXT:
		/* Nothing was taken yet: these are the bytes to go on with. */
		if (bytes->len == 0)
			*bytes = step.bytes;
		plaintext_found(s, context, side, *bytes);
		if (side == SIDE_CLIENT)
			s->client_since_220 = true;
		return;
	case TLS_STEP_MALFORMED:
		if (s->tls->side[side].reading == TLS_READING_MALFORMED)
			malformed_found(s, context, side);
		break;
	}
	look_for_end_of_handshake(s);
}

void session_tls_gap(struct smtp_session *s, const struct smtp_context *context, enum side side,
		     uint64_t len, bool in_skip)
{
	if (side == SIDE_CLIENT)
		s->client_since_220 = true; /* something, whatever it was */
	if (s->tls != NULL && !in_skip)
		tls_gap(s->tls, context->budget, side, len);
}

uint64_t session_tls_skippable(struct smtp_session *s, enum side side)
{
	uint64_t n = tls_skippable(s->tls, side);
	if (n > 0)
		tls_skipped(s->tls, side, n);
	return n;
}

/* How far a handshake came that did not end well. */
static enum tls_failure failure_of(const struct smtp_session *s)
{
	const struct tls_facts *tls = s->tls != NULL ? &s->tls->facts : NULL;
	if (!s->upgrade_accepted)
		return TLS_FAILURE_NO_REPLY;
	if (tls == NULL || !tls->client_hello)
		return TLS_FAILURE_NO_CLIENT_HELLO;
	if (tls->fatal[SIDE_CLIENT] || tls->fatal[SIDE_SERVER])
		return TLS_FAILURE_ALERT;
	if (!tls->server_hello)
		return TLS_FAILURE_NO_SERVER_HELLO;
	if (tls_client_rejected(tls))
		return TLS_FAILURE_CLIENT_REJECTED;
	return TLS_FAILURE_UNFINISHED;
}

void session_tls_settle(struct smtp_session *s)
{
	struct session_facts *f = &s->facts;

	if (s->tls != NULL) {
		copy_facts(s);
		f->tls.established = established(s);
		/* What was slipped in behind the 220 may still give way to a handshake. */
		if (f->tls.established == TRI_FALSE && !s->upgrade_over && !f->concluded)
			f->tls.established = TRI_UNKNOWN;
	} else if (s->upgrade_accepted && f->concluded && s->side_seen[SIDE_CLIENT] &&
		   !s->doubt.client_hole) {
		f->tls.established = TRI_FALSE;
	}
	if (s->upgrade_over && f->tls_failure != TLS_FAILURE_NONE)
		f->tls.established = TRI_FALSE;
	bool unanswered = f->requested == TRI_TRUE && !s->upgrade_accepted &&
			  f->starttls_code == 0 && f->concluded && !s->doubt.server_hole &&
			  !s->doubt.starttls_reply_lost && s->side_seen[SIDE_SERVER];
	bool failed = s->upgrade_accepted && f->tls.established == TRI_FALSE;
	if (unanswered)
		f->tls.established = TRI_FALSE;
	if (f->tls_failure == TLS_FAILURE_NONE && (unanswered || failed)) {
		f->tls_failure = failure_of(s);
		f->tls.rejected_by_client = f->tls_failure == TLS_FAILURE_CLIENT_REJECTED;
		smtp_reach(s, MILESTONE_TLS_FAILED);
	}
	if (!s->upgrade_over && f->tls.established == TRI_TRUE && f->concluded)
		smtp_reach(s, MILESTONE_TLS_UP);
}
