/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tls_internal.h"

void tls_conversation_init(struct tls_conversation *conversation)
{
	*conversation = (struct tls_conversation){0};
	conversation->side[SIDE_CLIENT].confidence = CONFIDENT;
	conversation->side[SIDE_SERVER].confidence = CONFIDENT;
}

void tls_conversation_free(struct tls_conversation *conversation, struct budget *budget)
{
	tls_buffer_drop(&conversation->side[SIDE_CLIENT], budget);
	tls_buffer_drop(&conversation->side[SIDE_SERVER], budget);
}

/* ---- records ---- */

enum header_check { HEADER_OK, HEADER_MORE, HEADER_SSLV2, HEADER_PLAINTEXT, HEADER_MALFORMED };

/*
 * What a side's first header may be that no later one is. The version of a hello's record means
 * nothing (RFC 5246 E.1, RFC 8446 5.1); those behind it are held to one that there is.
 */
struct first_header {
	bool any_version;
	bool sslv2;
	uint8_t sslv2_type; /* the message of SSL 2.0 that it begins */
};

static const struct first_header not_the_first = {.any_version = false};

/* Judges the first n bytes of a header as soon as they can be judged. */
static enum header_check check_header(const uint8_t *header, size_t n,
				      const struct first_header *first)
{
	if (n == 0)
		return HEADER_MORE;
	if (header[0] < RECORD_CHANGE_CIPHER_SPEC || header[0] > RECORD_HEARTBEAT) {
		if (!first->sslv2 || header[0] < 0x80)
			return HEADER_PLAINTEXT;
		if (n >= 3 && header[2] != first->sslv2_type)
			return HEADER_MALFORMED;
		return n < HEADER_LEN ? HEADER_MORE : HEADER_SSLV2;
	}
	const bool any_version = first->any_version && header[0] == RECORD_HANDSHAKE;
	if ((n >= 2 && header[1] != 3) || (n >= 3 && header[2] > 4 && !any_version))
		return HEADER_MALFORMED;
	if (n < HEADER_LEN)
		return HEADER_MORE;
	size_t len = (size_t)header[3] << 8 | header[4];
	/* Only application data may be empty (RFC 8446 5.1). */
	if (len > RECORD_MAX || (len == 0 && header[0] != RECORD_APPLICATION_DATA))
		return HEADER_MALFORMED;
	return HEADER_OK;
}

/* Whether records of the side are ciphertext whatever their type says: up to TLS 1.2. */
static bool cipher_on(const struct tls_facts *facts, enum side side)
{
	return facts->change_cipher_spec[side] && facts->version != TLS_VERSION_1_3;
}

static void count_up(uint8_t *records)
{
	*records = (uint8_t)(*records + (*records < TLS_PROTECTED_MAX));
}

static void count_protected(struct tls_conversation *conversation, enum side side,
			    struct tls_step *step)
{
	struct tls_facts *facts = &conversation->facts;
	const struct tls_side *s = &conversation->side[side];
	/* Early data is protected, and proves nothing about the server (RFC 8446 4.2.10). */
	if (side == SIDE_CLIENT && facts->early_data && !facts->server_hello)
		return;
	/* After a gap a header counts once chance is excluded. */
	if (s->confidence < CONFIDENT)
		return;
	if (facts->protected_records[side] < TLS_PROTECTED_MAX)
		step->kind = TLS_STEP_PROTECTED;
	count_up(&facts->protected_records[side]);
	if (facts->protected_records[side] == 1)
		facts->first_protected_len[side] = s->record_len;
	if (facts->change_cipher_spec[side])
		count_up(&facts->protected_after_ccs[side]);
}

/* A header is whole and valid: what kind of record begins? */
static void begin_record(struct tls_conversation *conversation, struct budget *budget,
			 enum side side, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	struct tls_facts *facts = &conversation->facts;
	s->header_len = 0;
	s->record_type = s->header[0];
	s->record_len = s->record_left = (uint16_t)((unsigned)s->header[3] << 8 | s->header[4]);
	s->skip_record = false;
	s->sslv2_record = false;
	conversation->flight_began = true;
	if (s->confidence < CONFIDENT)
		s->confidence++;
	if (s->record_type != RECORD_ALERT || s->doubtful)
		s->alert_level = 0; /* the other half of an alert comes at once, or never */

	if (s->record_type != RECORD_HANDSHAKE && s->buffer_len > 0) {
		/* RFC 8446 5.1: a message's records must not be interleaved with others. */
		tls_buffer_drop(s, budget);
		if (!s->doubtful)
			tls_tell_malformed(conversation, side, step);
	}
	switch (s->record_type) {
	case RECORD_APPLICATION_DATA:
		s->skip_record = true;
		/* Up to TLS 1.2 it is nothing without a ChangeCipherSpec before it. */
		if (facts->version == 0 || facts->version == TLS_VERSION_1_3 ||
		    facts->change_cipher_spec[side])
			count_protected(conversation, side, step);
		break;
	case RECORD_HEARTBEAT:
		s->skip_record = true;
		break;
	case RECORD_HANDSHAKE:
		if (s->doubtful)
			tls_skip_message(s, budget, 0); /* a message may begin with this record */
		/*
		 * A client that was sent a HelloRetryRequest which was not seen puts its
		 * second hello behind a ChangeCipherSpec: read_body() looks for it.
		 */
		if (cipher_on(facts, side) && (side == SIDE_SERVER || facts->version != 0)) {
			s->skip_record = true;
			count_protected(conversation, side, step);
		}
		break;
	case RECORD_CHANGE_CIPHER_SPEC:
	case RECORD_ALERT:
		if (cipher_on(facts, side)) {
			s->skip_record = true;
			count_protected(conversation, side, step);
		}
		break;
	default:
		break;
	}
}

static void read_change_cipher_spec(struct tls_conversation *conversation, enum side side,
				    struct span *bytes, struct tls_step *step)
{
	struct tls_facts *facts = &conversation->facts;
	struct tls_side *s = &conversation->side[side];
	const bool valid = s->record_len == 1 && bytes->ptr[0] == 1;
	s->skip_record = true;
	tls_consume(s, bytes, step, 1);
	if (!valid) {
		if (!s->doubtful)
			tls_tell_malformed(conversation, side, step);
		return;
	}
	facts->change_cipher_spec[side] = true;
	step->kind = TLS_STEP_CHANGE_CIPHER_SPEC;
	/* An abbreviated handshake has nothing between ServerHello and this but a ticket. */
	if (side == SIDE_SERVER && facts->server_hello && facts->version < TLS_VERSION_1_3 &&
	    !conversation->server_messages && !facts->lost[SIDE_SERVER])
		facts->resumed = true;
}

/* Of a side's alerts the first fatal one is kept, which ends TLS; until then the first. */
static bool alert_counts_more(const struct tls_facts *facts, enum side side, uint8_t level)
{
	return facts->alert_level[side] == 0 ||
	       (level == TLS_ALERT_FATAL && facts->alert_level[side] != TLS_ALERT_FATAL &&
		facts->alert_description[side] != TLS_ALERT_INAPPROPRIATE_FALLBACK);
}

static void note_alert(struct tls_conversation *conversation, enum side side, uint8_t level,
		       uint8_t description, struct tls_step *step)
{
	struct tls_facts *facts = &conversation->facts;
	step->kind = TLS_STEP_ALERT;
	step->alert_level = level;
	step->alert_description = description;
	if (alert_counts_more(facts, side, level)) {
		facts->alert_level[side] = level;
		facts->alert_description[side] = description;
	}
	if (level == TLS_ALERT_FATAL && facts->protected_records[side] == 0)
		facts->fatal[side] = true;
}

static bool is_alert_level(uint8_t level)
{
	return level == TLS_ALERT_WARNING || level == TLS_ALERT_FATAL;
}

/*
 * Two bytes are an alert. Up to TLS 1.2 a record may hold several, and half a one (RFC 5246
 * 6.2.1); in TLS 1.3 it may not (RFC 8446 5.1), but nobody has said yet which it is.
 */
static void read_alerts(struct tls_conversation *conversation, enum side side, struct span *bytes,
			struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	/* After a gap it may be ciphertext, the ChangeCipherSpec having been missed. */
	if (s->doubtful && s->record_len != ALERT_LEN) {
		s->skip_record = true;
		count_protected(conversation, side, step);
		return;
	}
	while (bytes->len > 0 && s->record_left > 0 && step->kind == TLS_STEP_NOTHING) {
		const uint8_t byte = bytes->ptr[0];
		if (s->record_len > ALERTS_LEN_MAX ||
		    (s->alert_level == 0 && !is_alert_level(byte))) {
			s->skip_record = true;
			if (!s->doubtful)
				tls_tell_malformed(conversation, side, step);
			return;
		}
		tls_consume(s, bytes, step, 1);
		if (s->alert_level == 0) {
			s->alert_level = byte;
			continue;
		}
		note_alert(conversation, side, s->alert_level, byte, step);
		s->alert_level = 0;
	}
}

/* Enters an SSL 2.0 record of one hello; two of its bytes count as header. */
static void begin_sslv2_record(struct tls_conversation *conversation, struct budget *budget,
			       enum side side)
{
	struct tls_side *s = &conversation->side[side];
	uint16_t len = (uint16_t)((s->header[0] & 0x7fU) << 8 | s->header[1]);
	conversation->flight_began = true;
	s->sslv2_record = true;
	s->skip_record = false;
	s->record_type = 0;
	s->record_len = len;
	s->header_len = 0;
	if (len < SSL2_HELLO_MIN) {
		s->reading = TLS_READING_MALFORMED;
		return;
	}
	if (!tls_buffer_append(s, budget, span_of(s->header + 2, HEADER_LEN - 2))) {
		conversation->facts.lost[side] = true;
		s->reading = TLS_READING_OPAQUE;
		return;
	}
	s->record_left = (uint16_t)(len - (HEADER_LEN - 2));
	s->message_len = len;
}

static void read_sslv2_body(struct tls_conversation *conversation, struct budget *budget,
			    enum side side, struct span *bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	struct tls_facts *facts = &conversation->facts;
	struct span piece = span_head(*bytes, s->record_left);
	if (!tls_buffer_append(s, budget, piece)) {
		facts->lost[side] = true;
		s->reading = TLS_READING_OPAQUE;
		return;
	}
	tls_consume(s, bytes, step, piece.len);
	if (s->record_left > 0)
		return;
	struct span message = span_of(s->buffer, s->buffer_len);
	s->buffer_told = true;
	s->sslv2_record = false;
	if (side == SIDE_CLIENT) {
		step->kind = TLS_STEP_CLIENT_HELLO;
		if (!tls_read_sslv2_client_hello(message, &step->hello, facts))
			tls_tell_malformed(conversation, side, step);
		/* The server's answer decides whether SSL 2.0 goes on here. */
		return;
	}
	struct span certificate;
	step->kind = TLS_STEP_SERVER_HELLO;
	s->reading = TLS_READING_OPAQUE;
	conversation->side[SIDE_CLIENT].reading = TLS_READING_OPAQUE;
	if (!tls_read_sslv2_server_hello(message, &step->hello, &certificate, facts)) {
		tls_tell_malformed(conversation, side, step);
	} else if (certificate.len > 0) {
		step->chain[step->chain_len++] = certificate;
		step->chain_sent = 1;
		facts->certificate = true;
	}
}

static void read_body(struct tls_conversation *conversation, struct budget *budget, enum side side,
		      struct span *bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	if (s->sslv2_record) {
		read_sslv2_body(conversation, budget, side, bytes, step);
		return;
	}
	switch (s->record_type) {
	case RECORD_HANDSHAKE:
		if (cipher_on(&conversation->facts, side) && s->record_left == s->record_len) {
			if (!tls_may_be_1_3(&conversation->facts) ||
			    bytes->ptr[0] != MESSAGE_CLIENT_HELLO) {
				s->skip_record = true;
				count_protected(conversation, side, step);
				return;
			}
			s->doubtful = true; /* ciphertext may begin with that byte as well */
		}
		tls_read_handshake(conversation, budget, side, bytes, step);
		return;
	case RECORD_CHANGE_CIPHER_SPEC:
		read_change_cipher_spec(conversation, side, bytes, step);
		return;
	case RECORD_ALERT:
		read_alerts(conversation, side, bytes, step);
		return;
	default:
		s->skip_record = true;
		return;
	}
}

/* Enters the state after a gap whose end lies anywhere in a record. */
static void lose_track(struct tls_side *side, struct budget *budget)
{
	side->reading = TLS_READING_LOST;
	side->record_left = 0;
	side->header_len = 0;
	side->sslv2_record = false;
	side->confidence = 0;
	side->doubtful = true;
	tls_skip_message(side, budget, 0);
}

/* Looks for bytes that could be a header; the records that follow have to confirm it. */
static void find_header(struct tls_side *side, struct span *bytes, struct tls_step *step)
{
	for (size_t at = 0; at + HEADER_LEN <= bytes->len; at++) {
		const uint8_t *header = bytes->ptr + at;
		if (check_header(header, HEADER_LEN, &not_the_first) != HEADER_OK)
			continue;
		size_t next = at + HEADER_LEN + ((size_t)header[3] << 8 | header[4]);
		if (next < bytes->len && check_header(bytes->ptr + next, bytes->len - next,
						      &not_the_first) >= HEADER_SSLV2)
			continue;
		*bytes = span_skip(*bytes, at);
		step->consumed += at;
		side->reading = TLS_READING_RECORDS;
		return;
	}
	step->consumed += bytes->len;
	*bytes = span_skip(*bytes, bytes->len);
}

static void read_header(struct tls_conversation *conversation, struct budget *budget,
			enum side side, struct span *bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	struct tls_facts *facts = &conversation->facts;
	const bool client = side == SIDE_CLIENT;
	const struct first_header first = {
	    .any_version = s->record_type == 0 && !s->doubtful,
	    /* SSL 2.0 is a client's first record, and a server's answer to one. */
	    .sslv2 =
		client ? !conversation->flight_began : !facts->server_hello && s->record_type == 0,
	    .sslv2_type = client ? SSL2_CLIENT_HELLO : SSL2_SERVER_HELLO,
	};

	size_t fresh = HEADER_LEN - s->header_len;
	if (fresh > bytes->len)
		fresh = bytes->len;
	memcpy(s->header + s->header_len, bytes->ptr, fresh);
	enum header_check check = check_header(s->header, s->header_len + fresh, &first);
	if (check >= HEADER_PLAINTEXT && s->confidence < CONFIDENT) {
		lose_track(s, budget); /* it was chance: look further behind this byte */
		step->consumed += 1;
		*bytes = span_skip(*bytes, 1);
		return;
	}
	if (check == HEADER_PLAINTEXT) {
		s->reading = TLS_READING_PLAINTEXT;
		return;
	}
	if (check == HEADER_MALFORMED) {
		s->reading = TLS_READING_MALFORMED;
		return;
	}
	s->header_len = (uint8_t)(s->header_len + fresh);
	step->consumed += fresh;
	*bytes = span_skip(*bytes, fresh);
	if (check == HEADER_OK)
		begin_record(conversation, budget, side, step);
	else if (check == HEADER_SSLV2)
		begin_sslv2_record(conversation, budget, side);
}

void tls_feed(struct tls_conversation *conversation, struct budget *budget, enum side side,
	      struct span bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	step->kind = TLS_STEP_NOTHING;
	step->consumed = 0;
	step->chain_len = step->chain_sent = 0;
	if (s->buffer_told)
		tls_buffer_drop(s, budget);

	while (bytes.len > 0 && step->kind == TLS_STEP_NOTHING) {
		switch ((enum tls_reading)s->reading) {
		case TLS_READING_PLAINTEXT:
			conversation->facts.plaintext[side] = true;
			step->kind = TLS_STEP_PLAINTEXT;
			step->bytes = bytes;
			step->consumed += bytes.len;
			return;
		case TLS_READING_MALFORMED:
			tls_tell_malformed(conversation, side, step);
			step->consumed += bytes.len;
			return;
		case TLS_READING_OPAQUE:
			step->consumed += bytes.len;
			return;
		case TLS_READING_LOST:
			find_header(s, &bytes, step);
			break;
		case TLS_READING_RECORDS:
			if (s->record_left == 0) {
				read_header(conversation, budget, side, &bytes, step);
			} else if (s->skip_record) {
				tls_consume(s, &bytes, step,
					    bytes.len < s->record_left ? bytes.len
								       : s->record_left);
			} else {
				read_body(conversation, budget, side, &bytes, step);
			}
			break;
		}
	}
}

uint64_t tls_skippable(const struct tls_conversation *conversation, enum side side)
{
	const struct tls_side *s = &conversation->side[side];
	switch ((enum tls_reading)s->reading) {
	case TLS_READING_OPAQUE:
		return UINT64_MAX;
	case TLS_READING_RECORDS:
		return s->skip_record ? s->record_left : 0;
	default:
		return 0;
	}
}

void tls_resume(struct tls_conversation *conversation, enum side side)
{
	struct tls_side *s = &conversation->side[side];
	if (s->reading != TLS_READING_PLAINTEXT)
		return;
	s->reading = TLS_READING_RECORDS;
	s->header_len = 0;
	conversation->facts.plaintext[side] = false;
}

void tls_skipped(struct tls_conversation *conversation, enum side side, uint64_t len)
{
	struct tls_side *s = &conversation->side[side];
	if (s->reading == TLS_READING_RECORDS)
		s->record_left =
		    len < s->record_left ? (uint16_t)(s->record_left - len) : (uint16_t)0;
}

bool tls_settled(const struct tls_conversation *conversation, enum side side)
{
	const struct tls_side *s = &conversation->side[side];
	const struct tls_facts *facts = &conversation->facts;
	return s->reading == TLS_READING_RECORDS && s->record_left == 0 && s->header_len == 0 &&
	       s->record_type == RECORD_APPLICATION_DATA && s->confidence == CONFIDENT &&
	       s->buffer_len == 0 && facts->protected_records[side] == TLS_PROTECTED_MAX &&
	       (!facts->change_cipher_spec[side] ||
		facts->protected_after_ccs[side] == TLS_PROTECTED_MAX);
}

bool tls_application_data(struct span bytes, uint64_t *beyond)
{
	while (bytes.len >= HEADER_LEN && bytes.ptr[0] == RECORD_APPLICATION_DATA &&
	       check_header(bytes.ptr, HEADER_LEN, &not_the_first) == HEADER_OK) {
		const size_t record = HEADER_LEN + bytes_u16(bytes.ptr + 3);
		if (record >= bytes.len) {
			*beyond = record - bytes.len;
			return true;
		}
		bytes = span_skip(bytes, record);
	}
	return false;
}

/* Whether everything that counts on this side has been seen already. */
static bool side_settled(const struct tls_facts *facts, enum side side)
{
	return cipher_on(facts, side) ? facts->protected_after_ccs[side] > 0
				      : facts->protected_records[side] > 1;
}

void tls_gap(struct tls_conversation *conversation, struct budget *budget, enum side side,
	     uint64_t len)
{
	struct tls_side *s = &conversation->side[side];
	if (s->reading != TLS_READING_RECORDS)
		return;
	if (s->skip_record && s->record_left > 0 && len > 0 && len <= s->record_left) {
		/* Bytes that would not have been looked at; the record's end is known. */
		s->record_left = (uint16_t)(s->record_left - len);
		return;
	}
	if (!side_settled(&conversation->facts, side))
		conversation->facts.lost[side] = true;
	if (len > 0 && len <= s->record_left && !s->sslv2_record) {
		/* The message is lost, the record's end is not. */
		s->record_left = (uint16_t)(s->record_left - len);
		s->skip_record = true;
		s->doubtful = true;
		tls_skip_message(s, budget, 0);
		return;
	}
	lose_track(s, budget);
}
