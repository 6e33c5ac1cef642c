/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake messages out of records, which may cut them anywhere. */
#include "decoders/tls_internal.h"

void tls_buffer_drop(struct tls_side *side, struct budget *budget)
{
	budget_free(budget, side->buffer, side->buffer_cap);
	side->buffer = NULL;
	side->buffer_cap = side->buffer_len = 0;
	side->message_len = 0;
	side->buffer_told = false;
}

/* Messages that only a full handshake has between ServerHello and ChangeCipherSpec. */
static void note_message(struct tls_conversation *conversation, enum side side, uint8_t type)
{
	if (side == SIDE_SERVER &&
	    (type == MESSAGE_CERTIFICATE || type == MESSAGE_SERVER_KEY_EXCHANGE ||
	     type == MESSAGE_SERVER_HELLO_DONE))
		conversation->server_messages = true;
}

/* Whether a message's content is looked at at all. */
static bool message_wanted(enum side side, uint8_t type)
{
	if (side == SIDE_CLIENT)
		return type == MESSAGE_CLIENT_HELLO;
	return type == MESSAGE_SERVER_HELLO || type == MESSAGE_CERTIFICATE ||
	       type == MESSAGE_SERVER_KEY_EXCHANGE;
}

void tls_tell_malformed(struct tls_conversation *conversation, enum side side,
			struct tls_step *step)
{
	conversation->facts.malformed[side] = true;
	step->kind = TLS_STEP_MALFORMED;
}

/*
 * Reads one whole message. After a gap what looks like a message may be the
 * middle of one, or ciphertext: then a breach of format proves nothing.
 */
static void read_message(struct tls_conversation *conversation, enum side side, struct span whole,
			 struct tls_step *step)
{
	struct tls_facts *facts = &conversation->facts;
	struct tls_facts before = *facts;
	struct span body = span_skip(whole, MESSAGE_HEADER_LEN);
	bool ok = true;
	switch (whole.ptr[0]) {
	case MESSAGE_CLIENT_HELLO:
		ok = tls_read_client_hello(body, &step->hello, facts);
		step->kind = TLS_STEP_CLIENT_HELLO;
		break;
	case MESSAGE_SERVER_HELLO:
		if (facts->server_hello) {
			ok = false; /* RFC 8446 4.1.3: exactly one */
			break;
		}
		ok = tls_read_server_hello(body, &step->hello, facts);
		step->kind = facts->server_hello ? TLS_STEP_SERVER_HELLO : TLS_STEP_HELLO_RETRY;
		break;
	case MESSAGE_CERTIFICATE:
		ok = tls_read_chain(body, step);
		if (ok && step->chain_len > 0) {
			facts->certificate = true;
			step->kind = TLS_STEP_CERTIFICATES;
		}
		break;
	case MESSAGE_SERVER_KEY_EXCHANGE:
		tls_read_key_exchange(body, facts);
		break;
	default:
		break;
	}
	if (ok)
		return;
	*facts = before;
	step->kind = TLS_STEP_NOTHING;
	step->chain_len = step->chain_sent = 0;
	if (!conversation->side[side].doubtful)
		tls_tell_malformed(conversation, side, step);
}

/* Moves up to len bytes from *bytes into the side's buffer. False when out of memory. */
bool tls_buffer_append(struct tls_side *side, struct budget *budget, struct span bytes)
{
	size_t need = side->buffer_len + bytes.len; /* both at most TLS_MESSAGE_MAX */
	if (need > side->buffer_cap) {
		/* Grows with what came, not with what was announced; to that at most. */
		size_t cap = side->buffer_cap > 0 ? side->buffer_cap : BUFFER_FIRST;
		while (cap < need)
			cap *= 2;
		if (cap > side->message_len && side->message_len >= need)
			cap = side->message_len;
		uint8_t *grown = budget_resize(budget, side->buffer, side->buffer_cap, cap);
		if (grown == NULL)
			return false;
		side->buffer = grown;
		side->buffer_cap = (uint32_t)cap;
	}
	memcpy(side->buffer + side->buffer_len, bytes.ptr, bytes.len);
	side->buffer_len += (uint32_t)bytes.len;
	return true;
}

void tls_consume(struct tls_side *side, struct span *bytes, struct tls_step *step, size_t n)
{
	*bytes = span_skip(*bytes, n);
	step->consumed += n;
	side->record_left = (uint16_t)(side->record_left - n);
}

/* Passes over the bytes of a message of which so many are still to come. */
void tls_skip_message(struct tls_side *side, struct budget *budget, uint32_t left)
{
	tls_buffer_drop(side, budget);
	side->message_left = left;
}

/* The length of the message that begins with these four bytes, its header included. */
static uint32_t whole_message_len(const uint8_t header[MESSAGE_HEADER_LEN])
{
	return MESSAGE_HEADER_LEN +
	       ((uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3]);
}

/* Decides by its header whether a message is read or passed over; header bytes are buffered. */
static void begin_message(struct tls_conversation *conversation, struct budget *budget,
			  enum side side)
{
	struct tls_side *s = &conversation->side[side];
	uint8_t type = s->buffer[0];
	uint32_t len = whole_message_len(s->buffer);
	note_message(conversation, side, type);
	if (message_wanted(side, type) && len <= TLS_MESSAGE_MAX) {
		s->message_len = len;
		return;
	}
	if (message_wanted(side, type) && !s->doubtful)
		conversation->facts.lost[side] = true;
	tls_skip_message(s, budget, len - MESSAGE_HEADER_LEN);
}

/*
 * Reads handshake bytes of the current record. A message that lies whole in
 * the record's bytes is read in place; only what is cut is copied.
 */
void tls_read_handshake(struct tls_conversation *conversation, struct budget *budget,
			enum side side, struct span *bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	struct span part = span_head(*bytes, s->record_left);

	if (s->message_left > 0) {
		size_t n = part.len < s->message_left ? part.len : s->message_left;
		s->message_left -= (uint32_t)n;
		tls_consume(s, bytes, step, n);
		return;
	}
	if (s->buffer_len == 0 && part.len >= MESSAGE_HEADER_LEN) {
		uint32_t len = whole_message_len(part.ptr);
		if (len <= part.len) {
			struct span whole = span_head(part, len);
			note_message(conversation, side, whole.ptr[0]);
			if (message_wanted(side, whole.ptr[0]))
				read_message(conversation, side, whole, step);
			tls_consume(s, bytes, step, len);
			return;
		}
	}
	uint32_t target = s->message_len > 0 ? s->message_len : MESSAGE_HEADER_LEN;
	struct span piece = span_head(part, target - s->buffer_len);
	if (!tls_buffer_append(s, budget, piece)) {
		/* Out of memory in the middle of a header: the message's end is not known. */
		conversation->facts.lost[side] = true;
		s->doubtful = true;
		if (s->message_len > 0)
			tls_skip_message(s, budget, s->message_len - s->buffer_len);
		else
			s->skip_record = true;
		return;
	}
	tls_consume(s, bytes, step, piece.len);
	if (s->message_len == 0 && s->buffer_len == MESSAGE_HEADER_LEN)
		begin_message(conversation, budget, side);
	if (s->message_len > 0 && s->buffer_len == s->message_len) {
		read_message(conversation, side, span_of(s->buffer, s->buffer_len), step);
		if (step->kind == TLS_STEP_NOTHING)
			tls_buffer_drop(s, budget);
		else
			s->buffer_told = true; /* its spans are in the step */
	}
}
