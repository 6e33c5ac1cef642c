/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/smtp_followed.h"

#include "decoders/sparse.h"

/*
 * Room for a TLS conversation, written short. One that goes on as usual takes 48 to 54 bytes, of
 * 128: its facts, and of each side the header of the latest record.
 */
#define TLS_ROOM 60U

struct smtp_followed {
	uint16_t sparse_len; /* of the session in bytes[]; its texts are behind it */
	uint16_t text_len;
	uint8_t tls[TLS_ROOM];
	uint8_t bytes[];
};

_Static_assert(SPARSE_MAX(sizeof(struct smtp_session)) <= UINT16_MAX, "fits in sparse_len");

static size_t followed_size(size_t sparse_len, size_t text_len)
{
	return sizeof(struct smtp_followed) + sparse_len + text_len;
}

static void tls_read(const struct smtp_followed *followed, struct tls_conversation *tls)
{
	sparse_read(followed->tls, (uint8_t *)tls, sizeof *tls);
}

/* False: it has more to say than there is room for; what was there is untouched. */
static bool tls_write(struct smtp_followed *followed, const struct tls_conversation *tls)
{
	uint8_t sparse[SPARSE_MAX(sizeof *tls)];
	size_t len = sparse_write(span_of(tls, sizeof *tls), sparse);
	if (len > sizeof followed->tls)
		return false;
	memcpy(followed->tls, sparse, len);
	return true;
}

bool smtp_session_may_be_followed(const struct smtp_session *s)
{
	const struct tls_conversation *tls = s->tls;
	if (s->clear != NULL || tls == NULL || !s->upgrade_over || !s->client_since_220)
		return false;
	for (unsigned side = 0; side < 2; side++)
		if (s->framing[side] != SMTP_FRAMING_TLS || tls->side[side].buffer != NULL ||
		    tls->side[side].reading != TLS_READING_RECORDS)
			return false;
	return true;
}

struct smtp_followed *smtp_followed_begin(struct smtp_session *session,
					  const struct smtp_context *context)
{
	struct budget *budget = context->budget;
	struct session_text *text = &session->facts.text;
	const struct session_text kept = *text;
	struct tls_conversation *tls = session->tls;
	uint8_t sparse[SPARSE_MAX(sizeof *session)];

	/* Where they lie is not what they are. */
	text->bytes = NULL;
	text->cap = 0;
	session->tls = NULL;
	size_t len = sparse_write(span_of(session, sizeof *session), sparse);
	text->bytes = kept.bytes;
	text->cap = kept.cap;
	session->tls = tls;

	struct smtp_followed *followed = budget_alloc(budget, followed_size(len, kept.len));
	if (followed == NULL)
		return NULL;
	if (!tls_write(followed, tls)) {
		budget_free(budget, followed, followed_size(len, kept.len));
		return NULL;
	}
	followed->sparse_len = (uint16_t)len;
	followed->text_len = kept.len;
	memcpy(followed->bytes, sparse, len);
	if (kept.len > 0)
		memcpy(followed->bytes + len, kept.bytes, kept.len);
	smtp_session_free(session, context);
	budget_free(budget, session, sizeof *session);
	return followed;
}

struct smtp_session *smtp_followed_wake(struct smtp_followed *followed,
					const struct smtp_context *context)
{
	struct budget *budget = context->budget;
	const size_t text_len = followed->text_len;

	budget_reserve_open(budget, true);
	struct smtp_session *session = budget_alloc(budget, sizeof *session);
	struct tls_conversation *tls = budget_alloc(budget, sizeof *tls);
	char *text = budget_alloc(budget, text_len);
	budget_reserve_open(budget, false);
	if (session == NULL || tls == NULL || (text == NULL && text_len > 0)) {
		budget_free(budget, session, sizeof *session);
		budget_free(budget, tls, sizeof *tls);
		budget_free(budget, text, text_len);
		return NULL;
	}
	sparse_read(followed->bytes, (uint8_t *)session, sizeof *session);
	tls_read(followed, tls);
	session->tls = tls;
	if (text_len > 0)
		memcpy(text, followed->bytes + followed->sparse_len, text_len);
	session->facts.text.bytes = text;
	session->facts.text.cap = (uint16_t)text_len;
	budget_free(budget, followed, followed_size(followed->sparse_len, text_len));
	return session;
}

const struct certificate_info *smtp_followed_free(struct smtp_followed *followed,
						  const struct smtp_context *context)
{
	struct smtp_session session;

	sparse_read(followed->bytes, (uint8_t *)&session, sizeof session);
	budget_free(context->budget, followed,
		    followed_size(followed->sparse_len, followed->text_len));
	return session.certificate;
}

/* What a session makes of a step but to go on: see session_tls_bytes(). */
static bool goes_on(const struct tls_step *step)
{
	return step->kind == TLS_STEP_NOTHING || step->kind == TLS_STEP_PROTECTED ||
	       step->kind == TLS_STEP_CHANGE_CIPHER_SPEC;
}

bool smtp_followed_event(struct smtp_followed *followed, const struct smtp_context *context,
			 const struct stream_event *event, struct smtp_followed_next *next)
{
	*next = (struct smtp_followed_next){.skip = 0};
	if (event->kind == STREAM_GAP)
		return false;
	if (event->kind != STREAM_DATA)
		return true; /* as in TLS: what was sent twice counts only in the clear */

	struct tls_conversation tls;
	const enum side side = event->side;
	struct span bytes = event->bytes;
	struct tls_step step;
	bool same = true;
	tls_read(followed, &tls);
	while (bytes.len > 0 && same) {
		tls_feed(&tls, context->budget, side, bytes, &step);
		bytes = span_skip(bytes, step.consumed);
		/* A message that is cut would have to be kept beyond this event. */
		same = goes_on(&step) && tls.side[side].buffer == NULL;
	}
	tls_conversation_free(&tls, context->budget);
	next->skip = tls_skippable(&tls, side);
	tls_skipped(&tls, side, next->skip);
	next->settled = tls_settled(&tls, side);
	return same && tls_write(followed, &tls);
}
