/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/tls_handshake.h"

/* ContentType (RFC 8446 5.1, 6520) */
enum {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION_DATA = 23,
	RECORD_HEARTBEAT = 24,
};

/* HandshakeType (RFC 8446 4, 5246 7.4) */
enum {
	MESSAGE_CLIENT_HELLO = 1,
	MESSAGE_SERVER_HELLO = 2,
	MESSAGE_CERTIFICATE = 11,
	MESSAGE_SERVER_KEY_EXCHANGE = 12,
	MESSAGE_SERVER_HELLO_DONE = 14,
};

/* ExtensionType (IANA) */
enum {
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_ALPN = 16,
	EXTENSION_PRE_SHARED_KEY = 41,
	EXTENSION_EARLY_DATA = 42,
	EXTENSION_SUPPORTED_VERSIONS = 43,
	EXTENSION_KEY_SHARE = 51,
	EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
};

enum {
	SUITE_FALLBACK_SCSV = 0x5600,
	CURVE_TYPE_NAMED = 3,
	HEADER_LEN = 5,
	MESSAGE_HEADER_LEN = 4,
	RANDOM_LEN = 32,
	/* 2^14 and what RFC 5246 6.2.3 lets compression and encryption add. */
	RECORD_MAX = 16384 + 2048,
	/* Headers in a row after a gap that make chance improbable: one fits by chance about
	   every three million bytes. */
	CONFIDENT = 3,
	BUFFER_FIRST = 512,
	SSL2_CLIENT_HELLO = 1,
	SSL2_SERVER_HELLO = 4,
	SSL2_HELLO_MIN = 9, /* the fixed part of the shorter one */
};

void tls_conversation_init(struct tls_conversation *conversation)
{
	*conversation = (struct tls_conversation){0};
	conversation->side[SIDE_CLIENT].confidence = CONFIDENT;
	conversation->side[SIDE_SERVER].confidence = CONFIDENT;
}

static void drop_buffer(struct tls_side *side, struct budget *budget)
{
	budget_free(budget, side->buffer, side->buffer_cap);
	side->buffer = NULL;
	side->buffer_cap = side->buffer_len = 0;
	side->message_len = 0;
	side->buffer_told = false;
}

void tls_conversation_free(struct tls_conversation *conversation, struct budget *budget)
{
	drop_buffer(&conversation->side[SIDE_CLIENT], budget);
	drop_buffer(&conversation->side[SIDE_SERVER], budget);
}

bool tls_is_grease(uint16_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

static void saturating_increment(uint8_t *count)
{
	if (*count < UINT8_MAX)
		(*count)++;
}

/* Drafts of TLS 1.3 (0x7fNN) are it. */
static uint16_t version_of(uint16_t wire)
{
	return wire >> 8 == 0x7f ? TLS_VERSION_1_3 : wire;
}

/* ---- hellos ---- */

static struct span server_name_of(struct span extension)
{
	struct cursor c = cursor_of(extension);
	struct cursor list = cursor_sub(&c, cursor_u16(&c));
	while (!list.failed && list.left > 0) {
		uint8_t type = cursor_u8(&list);
		struct span name = cursor_take(&list, cursor_u16(&list));
		if (type == 0 && !list.failed)
			return name;
	}
	return (struct span){.ptr = NULL, .len = 0};
}

static struct span first_protocol_of(struct span extension)
{
	struct cursor c = cursor_of(extension);
	struct cursor list = cursor_sub(&c, cursor_u16(&c));
	return cursor_take(&list, cursor_u8(&list));
}

static uint16_t highest_version_of(struct span extension)
{
	struct cursor c = cursor_of(extension);
	struct cursor list = cursor_sub(&c, cursor_u8(&c));
	uint16_t highest = 0;
	while (!list.failed && list.left >= 2) {
		uint16_t wire = cursor_u16(&list);
		if (!tls_is_grease(wire) && version_of(wire) > highest)
			highest = version_of(wire);
	}
	return highest;
}

static bool suites_have(const struct tls_hello *hello, uint16_t suite)
{
	struct cursor c = cursor_of(hello->suites);
	while (c.left >= 2) {
		if (hello->sslv2_format && cursor_u8(&c) != 0) {
			cursor_skip(&c, 2);
			continue;
		}
		if (cursor_u16(&c) == suite)
			return true;
	}
	return false;
}

/* The fields that both hellos begin with (RFC 8446 4.1.2, 4.1.3). */
static void read_hello_head(struct cursor *c, struct tls_hello *hello)
{
	hello->legacy_version = cursor_u16(c);
	hello->random = cursor_take(c, RANDOM_LEN);
	hello->session_id = cursor_take(c, cursor_u8(c));
}

/* SSL 3.0 to TLS 1.2 may end here; otherwise one block of extensions and no more. */
static bool read_extension_block(struct cursor *c, struct tls_hello *hello)
{
	if (c->failed || hello->session_id.len > 32)
		return false;
	if (c->left == 0)
		return true;
	hello->has_extensions = true;
	hello->extensions = cursor_take(c, cursor_u16(c));
	return !c->failed && c->left == 0;
}

static bool read_client_hello(struct span message, struct tls_hello *hello, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message};
	read_hello_head(&c, hello);
	hello->suites = cursor_take(&c, cursor_u16(&c));
	cursor_skip(&c, cursor_u8(&c)); /* compression methods */
	if (!read_extension_block(&c, hello) || hello->legacy_version >> 8 != 3 ||
	    hello->suites.len < 2 || hello->suites.len % 2 != 0)
		return false;

	uint16_t highest = 0;
	bool early_data = false, encrypted_hello = false;
	struct cursor extensions = cursor_of(hello->extensions);
	while (extensions.left > 0) {
		uint16_t type = cursor_u16(&extensions);
		struct span body = cursor_take(&extensions, cursor_u16(&extensions));
		if (extensions.failed)
			return false;
		switch (type) {
		case EXTENSION_SERVER_NAME:
			hello->server_name = server_name_of(body);
			break;
		case EXTENSION_ALPN:
			hello->alpn = first_protocol_of(body);
			break;
		case EXTENSION_SUPPORTED_VERSIONS:
			highest = highest_version_of(body);
			break;
		case EXTENSION_EARLY_DATA:
			early_data = true;
			break;
		case EXTENSION_ENCRYPTED_CLIENT_HELLO:
			encrypted_hello = true;
			break;
		default:
			break;
		}
	}
	if (!facts->client_hello) {
		/* The second hello, after a HelloRetryRequest, offers no more than the first. */
		facts->offered_version = highest != 0 ? highest : hello->legacy_version;
		facts->fallback_scsv = suites_have(hello, SUITE_FALLBACK_SCSV);
		facts->early_data = early_data;
		facts->encrypted_hello = encrypted_hello;
	}
	facts->client_hello = true;
	return true;
}

/* SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3). */
static const uint8_t retry_random[RANDOM_LEN] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

static enum tls_sentinel sentinel_of(struct span random)
{
	static const uint8_t downgrade[7] = {'D', 'O', 'W', 'N', 'G', 'R', 'D'};
	const uint8_t *tail = random.ptr + RANDOM_LEN - 8;
	if (memcmp(tail, downgrade, sizeof downgrade) != 0)
		return TLS_SENTINEL_NONE;
	switch (tail[7]) {
	case 1:
		return TLS_SENTINEL_TO_1_2;
	case 0:
		return TLS_SENTINEL_TO_1_1;
	default:
		return TLS_SENTINEL_NONE;
	}
}

static bool read_server_hello(struct span message, struct tls_hello *hello, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message};
	read_hello_head(&c, hello);
	hello->suite = cursor_u16(&c);
	cursor_skip(&c, 1); /* compression method */
	if (!read_extension_block(&c, hello))
		return false;

	uint16_t version = version_of(hello->legacy_version), group = 0;
	bool psk = false;
	struct cursor extensions = cursor_of(hello->extensions);
	while (extensions.left > 0) {
		uint16_t type = cursor_u16(&extensions);
		struct span body = cursor_take(&extensions, cursor_u16(&extensions));
		struct cursor field = cursor_of(body);
		if (extensions.failed)
			return false;
		switch (type) {
		case EXTENSION_SUPPORTED_VERSIONS:
			version = version_of(cursor_u16(&field));
			break;
		case EXTENSION_KEY_SHARE:
			group = cursor_u16(&field);
			break;
		case EXTENSION_PRE_SHARED_KEY:
			psk = true;
			break;
		case EXTENSION_ALPN:
			hello->alpn = first_protocol_of(body);
			break;
		default:
			break;
		}
	}
	if (version < TLS_VERSION_SSL3 || version > TLS_VERSION_1_3)
		return false;
	facts->version = version;
	facts->suite = hello->suite;
	facts->group = group;
	if (memcmp(hello->random.ptr, retry_random, RANDOM_LEN) == 0) {
		facts->hello_retry = true;
		return true;
	}
	facts->server_hello = true;
	facts->resumed = psk && version == TLS_VERSION_1_3;
	facts->sentinel = (uint8_t)sentinel_of(hello->random);
	return true;
}

/* CLIENT-HELLO of SSL 2.0 (RFC 6101 E.1), the form that old clients wrap newer offers in. */
static bool read_sslv2_client_hello(struct span message, struct tls_hello *hello,
				    struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message, .sslv2_format = true};
	cursor_skip(&c, 1);
	hello->legacy_version = cursor_u16(&c);
	uint16_t suites_len = cursor_u16(&c), session_id_len = cursor_u16(&c);
	uint16_t challenge_len = cursor_u16(&c);
	hello->suites = cursor_take(&c, suites_len);
	hello->session_id = cursor_take(&c, session_id_len);
	hello->random = cursor_take(&c, challenge_len);
	if (c.failed || suites_len < 3 || suites_len % 3 != 0)
		return false;
	facts->client_hello = true;
	facts->offered_version = hello->legacy_version;
	facts->fallback_scsv = suites_have(hello, SUITE_FALLBACK_SCSV);
	return true;
}

/* SERVER-HELLO of SSL 2.0; it carries the certificate, which may be empty. */
static bool read_sslv2_server_hello(struct span message, struct tls_hello *hello,
				    struct span *certificate, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	*hello = (struct tls_hello){.message = message, .sslv2_format = true};
	cursor_skip(&c, 1);
	uint8_t session_id_hit = cursor_u8(&c);
	cursor_skip(&c, 1); /* certificate type */
	hello->legacy_version = cursor_u16(&c);
	uint16_t certificate_len = cursor_u16(&c), suites_len = cursor_u16(&c);
	uint16_t connection_id_len = cursor_u16(&c);
	*certificate = cursor_take(&c, certificate_len);
	hello->suites = cursor_take(&c, suites_len);
	hello->session_id = cursor_take(&c, connection_id_len);
	if (c.failed || hello->legacy_version != TLS_VERSION_SSL2 || suites_len % 3 != 0)
		return false;
	if (suites_len >= 3)
		hello->suite = hello->suites.ptr[0];
	facts->server_hello = true;
	facts->version = TLS_VERSION_SSL2;
	facts->suite = hello->suite;
	facts->resumed = session_id_hit != 0;
	return true;
}

/* ---- handshake messages ---- */

/* certificate_list (RFC 5246 7.4.2); told only when whole and well-formed. */
static bool read_chain(struct span message, struct tls_step *step)
{
	struct cursor c = cursor_of(message);
	struct cursor list = cursor_sub(&c, cursor_u24(&c));
	if (c.failed || c.left != 0)
		return false;
	while (list.left > 0) {
		struct span der = cursor_take(&list, cursor_u24(&list));
		if (list.failed || der.len == 0)
			return false;
		if (step->chain_len < TLS_CHAIN_MAX)
			step->chain[step->chain_len++] = der;
		step->chain_sent++;
	}
	return true;
}

/*
 * The group of a ServerKeyExchange (RFC 5246 7.4.3, 8422 5.4). Which form it
 * has depends on the suite, but the forms can be told apart: a named curve
 * begins with 3, and a prime of 0x0300 to 0x03ff bytes would be above 6144 bits.
 */
static void read_key_exchange(struct span message, struct tls_facts *facts)
{
	struct cursor c = cursor_of(message);
	if (message.len >= 4 && message.ptr[0] == CURVE_TYPE_NAMED &&
	    message.len >= 4U + message.ptr[3]) {
		cursor_skip(&c, 1);
		facts->group = cursor_u16(&c);
		return;
	}
	struct span prime = cursor_take(&c, cursor_u16(&c));
	while (prime.len > 0 && prime.ptr[0] == 0)
		prime = span_skip(prime, 1);
	if (prime.len == 0 || prime.len > 2048)
		return;
	unsigned top_bits = 0;
	for (unsigned top = prime.ptr[0]; top != 0; top >>= 1)
		top_bits++;
	/* Generator and public value have to follow, or it is another form (PSK, SRP). */
	cursor_skip(&c, cursor_u16(&c));
	cursor_skip(&c, cursor_u16(&c));
	if (!c.failed)
		facts->dh_bits = (uint16_t)((prime.len - 1) * 8 + top_bits);
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

static void tell_malformed(struct tls_conversation *conversation, enum side side,
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
		ok = read_client_hello(body, &step->hello, facts);
		step->kind = TLS_STEP_CLIENT_HELLO;
		break;
	case MESSAGE_SERVER_HELLO:
		if (facts->server_hello) {
			ok = false; /* RFC 8446 4.1.3: exactly one */
			break;
		}
		ok = read_server_hello(body, &step->hello, facts);
		step->kind = facts->server_hello ? TLS_STEP_SERVER_HELLO : TLS_STEP_HELLO_RETRY;
		break;
	case MESSAGE_CERTIFICATE:
		ok = read_chain(body, step);
		if (ok && step->chain_len > 0) {
			facts->certificate = true;
			step->kind = TLS_STEP_CERTIFICATES;
		}
		break;
	case MESSAGE_SERVER_KEY_EXCHANGE:
		read_key_exchange(body, facts);
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
		tell_malformed(conversation, side, step);
}

/* Moves up to len bytes from *bytes into the side's buffer. False when out of memory. */
static bool buffer_append(struct tls_side *side, struct budget *budget, struct span bytes)
{
	size_t need = side->buffer_len + bytes.len; /* both at most TLS_MESSAGE_MAX */
	if (need > side->buffer_cap) {
		/* Grows with what came, not with what was announced. */
		size_t cap = side->buffer_cap > 0 ? side->buffer_cap : BUFFER_FIRST;
		while (cap < need)
			cap *= 2;
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

static void consume(struct tls_side *side, struct span *bytes, struct tls_step *step, size_t n)
{
	*bytes = span_skip(*bytes, n);
	step->consumed += n;
	side->record_left = (uint16_t)(side->record_left - n);
}

/* Passes over the bytes of a message of which so many are still to come. */
static void skip_message(struct tls_side *side, struct budget *budget, uint32_t left)
{
	drop_buffer(side, budget);
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
	skip_message(s, budget, len - MESSAGE_HEADER_LEN);
}

/*
 * Reads handshake bytes of the current record. A message that lies whole in
 * the record's bytes is read in place; only what is cut is copied.
 */
static void read_handshake(struct tls_conversation *conversation, struct budget *budget,
			   enum side side, struct span *bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	struct span part = span_head(*bytes, s->record_left);

	if (s->message_left > 0) {
		size_t n = part.len < s->message_left ? part.len : s->message_left;
		s->message_left -= (uint32_t)n;
		consume(s, bytes, step, n);
		return;
	}
	if (s->buffer_len == 0 && part.len >= MESSAGE_HEADER_LEN) {
		uint32_t len = whole_message_len(part.ptr);
		if (len <= part.len) {
			struct span whole = span_head(part, len);
			note_message(conversation, side, whole.ptr[0]);
			if (message_wanted(side, whole.ptr[0]))
				read_message(conversation, side, whole, step);
			consume(s, bytes, step, len);
			return;
		}
	}
	uint32_t target = s->message_len > 0 ? s->message_len : MESSAGE_HEADER_LEN;
	struct span piece = span_head(part, target - s->buffer_len);
	if (!buffer_append(s, budget, piece)) {
		/* Out of memory in the middle of a header: the message's end is not known. */
		conversation->facts.lost[side] = true;
		s->doubtful = true;
		if (s->message_len > 0)
			skip_message(s, budget, s->message_len - s->buffer_len);
		else
			s->skip_record = true;
		return;
	}
	consume(s, bytes, step, piece.len);
	if (s->message_len == 0 && s->buffer_len == MESSAGE_HEADER_LEN)
		begin_message(conversation, budget, side);
	if (s->message_len > 0 && s->buffer_len == s->message_len) {
		read_message(conversation, side, span_of(s->buffer, s->buffer_len), step);
		if (step->kind == TLS_STEP_NOTHING)
			drop_buffer(s, budget);
		else
			s->buffer_told = true; /* its spans are in the step */
	}
}

/* ---- records ---- */

enum header_check { HEADER_OK, HEADER_MORE, HEADER_SSLV2, HEADER_PLAINTEXT, HEADER_MALFORMED };

/* Judges the first n bytes of a header as soon as they can be judged. */
static enum header_check check_header(const uint8_t *header, size_t n, bool sslv2_possible,
				      uint8_t sslv2_type)
{
	if (n == 0)
		return HEADER_MORE;
	if (header[0] < RECORD_CHANGE_CIPHER_SPEC || header[0] > RECORD_HEARTBEAT) {
		if (!sslv2_possible || header[0] < 0x80)
			return HEADER_PLAINTEXT;
		if (n >= 3 && header[2] != sslv2_type)
			return HEADER_MALFORMED;
		return n < HEADER_LEN ? HEADER_MORE : HEADER_SSLV2;
	}
	if ((n >= 2 && header[1] != 3) || (n >= 3 && header[2] > 4))
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
	saturating_increment(&facts->protected_records[side]);
	if (facts->protected_records[side] == 1)
		facts->first_protected_len[side] = s->record_len;
	if (facts->change_cipher_spec[side])
		saturating_increment(&facts->protected_after_ccs[side]);
	if (s->record_type == RECORD_ALERT)
		saturating_increment(&facts->protected_alerts[side]);
	if (facts->protected_records[side] <= 2)
		step->kind = TLS_STEP_PROTECTED;
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

	if (s->record_type != RECORD_HANDSHAKE && s->buffer_len > 0) {
		/* RFC 8446 5.1: a message's records must not be interleaved with others. */
		drop_buffer(s, budget);
		if (!s->doubtful)
			tell_malformed(conversation, side, step);
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
			skip_message(s, budget, 0); /* a message may begin with this record */
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
				    struct tls_step *step)
{
	struct tls_facts *facts = &conversation->facts;
	const struct tls_side *s = &conversation->side[side];
	if (s->record_len != 1 || s->header[0] != 1) {
		if (!s->doubtful)
			tell_malformed(conversation, side, step);
		return;
	}
	facts->change_cipher_spec[side] = true;
	step->kind = TLS_STEP_CHANGE_CIPHER_SPEC;
	/* An abbreviated handshake has nothing between ServerHello and this but a ticket. */
	if (side == SIDE_SERVER && facts->server_hello && facts->version < TLS_VERSION_1_3 &&
	    !conversation->server_messages && !facts->lost[SIDE_SERVER])
		facts->resumed = true;
}

static void read_alert(struct tls_conversation *conversation, enum side side, struct tls_step *step)
{
	struct tls_facts *facts = &conversation->facts;
	const struct tls_side *s = &conversation->side[side];
	step->kind = TLS_STEP_ALERT;
	step->alert_level = s->header[0];
	step->alert_description = s->header[1];
	if (facts->alert_level[side] == 0) {
		facts->alert_level[side] = step->alert_level;
		facts->alert_description[side] = step->alert_description;
	}
	if (step->alert_level == TLS_ALERT_FATAL && facts->protected_records[side] == 0)
		facts->fatal[side] = true;
}

/*
 * Small bodies are collected in the header's own bytes, which are free by
 * then: one byte of a ChangeCipherSpec, two of an alert.
 */
static void read_small_body(struct tls_conversation *conversation, enum side side,
			    struct span *bytes, struct tls_step *step)
{
	struct tls_side *s = &conversation->side[side];
	bool alert = s->record_type == RECORD_ALERT;
	if (alert && s->record_len != 2) {
		/* No clear alert. After a gap the ChangeCipherSpec may have been missed. */
		s->skip_record = true;
		if (s->doubtful)
			count_protected(conversation, side, step);
		else
			tell_malformed(conversation, side, step);
		return;
	}
	if (!alert && s->record_len != 1) {
		s->skip_record = true;
		read_change_cipher_spec(conversation, side, step);
		return;
	}
	while (bytes->len > 0 && s->record_left > 0) {
		s->header[s->record_len - s->record_left] = bytes->ptr[0];
		consume(s, bytes, step, 1);
	}
	if (s->record_left > 0)
		return;
	if (alert)
		read_alert(conversation, side, step);
	else
		read_change_cipher_spec(conversation, side, step);
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
	if (!buffer_append(s, budget, span_of(s->header + 2, HEADER_LEN - 2))) {
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
	if (!buffer_append(s, budget, piece)) {
		facts->lost[side] = true;
		s->reading = TLS_READING_OPAQUE;
		return;
	}
	consume(s, bytes, step, piece.len);
	if (s->record_left > 0)
		return;
	struct span message = span_of(s->buffer, s->buffer_len);
	s->buffer_told = true;
	s->sslv2_record = false;
	if (side == SIDE_CLIENT) {
		step->kind = TLS_STEP_CLIENT_HELLO;
		if (!read_sslv2_client_hello(message, &step->hello, facts))
			tell_malformed(conversation, side, step);
		/* The server's answer decides whether SSL 2.0 goes on here. */
		return;
	}
	struct span certificate;
	step->kind = TLS_STEP_SERVER_HELLO;
	s->reading = TLS_READING_OPAQUE;
	conversation->side[SIDE_CLIENT].reading = TLS_READING_OPAQUE;
	if (!read_sslv2_server_hello(message, &step->hello, &certificate, facts)) {
		tell_malformed(conversation, side, step);
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
			if (conversation->facts.offered_version < TLS_VERSION_1_3 ||
			    bytes->ptr[0] != MESSAGE_CLIENT_HELLO) {
				s->skip_record = true;
				count_protected(conversation, side, step);
				return;
			}
			s->doubtful = true; /* ciphertext may begin with that byte as well */
		}
		read_handshake(conversation, budget, side, bytes, step);
		return;
	case RECORD_CHANGE_CIPHER_SPEC:
	case RECORD_ALERT:
		read_small_body(conversation, side, bytes, step);
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
	skip_message(side, budget, 0);
}

/* Looks for bytes that could be a header; the records that follow have to confirm it. */
static void find_header(struct tls_side *side, struct span *bytes, struct tls_step *step)
{
	for (size_t at = 0; at + HEADER_LEN <= bytes->len; at++) {
		const uint8_t *header = bytes->ptr + at;
		if (check_header(header, HEADER_LEN, false, 0) != HEADER_OK)
			continue;
		size_t next = at + HEADER_LEN + ((size_t)header[3] << 8 | header[4]);
		if (next < bytes->len &&
		    check_header(bytes->ptr + next, bytes->len - next, false, 0) >= HEADER_SSLV2)
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
	/* SSL 2.0 is a client's first record, and a server's answer to one. */
	bool sslv2_possible = side == SIDE_CLIENT ? !conversation->flight_began
						  : !facts->server_hello && s->record_type == 0;
	uint8_t sslv2_type = side == SIDE_CLIENT ? SSL2_CLIENT_HELLO : SSL2_SERVER_HELLO;

	size_t fresh = HEADER_LEN - s->header_len;
	if (fresh > bytes->len)
		fresh = bytes->len;
	memcpy(s->header + s->header_len, bytes->ptr, fresh);
	enum header_check check =
	    check_header(s->header, s->header_len + fresh, sslv2_possible, sslv2_type);
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
		drop_buffer(s, budget);

	while (bytes.len > 0 && step->kind == TLS_STEP_NOTHING) {
		switch ((enum tls_reading)s->reading) {
		case TLS_READING_PLAINTEXT:
			conversation->facts.plaintext[side] = true;
			step->kind = TLS_STEP_PLAINTEXT;
			step->bytes = bytes;
			step->consumed += bytes.len;
			return;
		case TLS_READING_MALFORMED:
			tell_malformed(conversation, side, step);
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
				consume(s, &bytes, step,
					bytes.len < s->record_left ? bytes.len : s->record_left);
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
		skip_message(s, budget, 0);
		return;
	}
	lose_track(s, budget);
}

/* ---- judgement ---- */

bool tls_client_rejected(const struct tls_facts *facts)
{
	return facts->version == TLS_VERSION_1_3 && facts->protected_records[SIDE_CLIENT] == 1 &&
	       facts->first_protected_len[SIDE_CLIENT] <= TLS_ALERT_RECORD_LEN;
}

bool tls_rolled_back(const struct tls_facts *facts)
{
	for (unsigned side = SIDE_CLIENT; side <= SIDE_SERVER; side++)
		if (facts->alert_level[side] != 0 &&
		    facts->alert_description[side] == TLS_ALERT_INAPPROPRIATE_FALLBACK)
			return true;
	if (!facts->client_hello || !facts->server_hello)
		return false;
	switch ((enum tls_sentinel)facts->sentinel) {
	case TLS_SENTINEL_TO_1_2:
		return facts->version < TLS_VERSION_1_3 &&
		       facts->offered_version >= TLS_VERSION_1_3;
	case TLS_SENTINEL_TO_1_1:
		return facts->version < TLS_VERSION_1_2 &&
		       facts->offered_version >= TLS_VERSION_1_2;
	default:
		return false;
	}
}

/* Whether the side's own traffic shows that it holds the keys. */
static bool side_protected(const struct tls_facts *facts, enum side side)
{
	if (facts->version == 0) {
		/* The ServerHello was not seen: either version's proof will do. */
		if (facts->protected_after_ccs[side] > 0 && facts->offered_version != 0 &&
		    facts->offered_version < TLS_VERSION_1_3)
			return true;
		return facts->protected_records[side] > 1 ||
		       (facts->protected_records[side] == 1 &&
			facts->first_protected_len[side] > TLS_ALERT_RECORD_LEN);
	}
	if (facts->version != TLS_VERSION_1_3)
		return facts->protected_after_ccs[side] > 0;
	return facts->protected_records[side] > 0 &&
	       (side == SIDE_SERVER || !tls_client_rejected(facts));
}

enum tri tls_established(const struct tls_facts *facts, const struct tls_view *view)
{
	/* SSL 2.0 is not followed behind its hellos, so nothing proves it either way. */
	if (facts->version == TLS_VERSION_SSL2)
		return TRI_UNKNOWN;

	bool client = side_protected(facts, SIDE_CLIENT);
	bool server = side_protected(facts, SIDE_SERVER);
	bool client_lost = view->client_visible && facts->lost[SIDE_CLIENT];
	bool server_lost = view->server_visible && facts->lost[SIDE_SERVER];
	bool gone_clear = (facts->plaintext[SIDE_CLIENT] && !client) ||
			  (facts->plaintext[SIDE_SERVER] && !server);
	bool given_up = facts->fatal[SIDE_CLIENT] || facts->fatal[SIDE_SERVER];

	const struct {
		bool when;
		enum tri established;
	} table[] = {
	    /* Both keys were used, for what a ServerHello chose. */
	    {facts->server_hello && client && server, TRI_TRUE},
	    /* The one visible direction shows it: the server's own hello, or the client's
	       protected traffic, which it sends only after a ServerHello. */
	    {!view->client_visible && facts->server_hello && server, TRI_TRUE},
	    {!view->server_visible && facts->client_hello && client && !facts->early_data,
	     TRI_TRUE},
	    /* The ServerHello was missed, but both went on with keys that need it. */
	    {server_lost && (facts->client_hello || client_lost) && client && server &&
		 !facts->early_data,
	     TRI_TRUE},
	    /* Whatever else was missed may hold the proof. */
	    {client_lost || server_lost, TRI_UNKNOWN},
	    /* No way back to a handshake from here. */
	    {gone_clear || given_up, TRI_FALSE},
	    /* Over, all was seen, and the proof is not there. */
	    {view->closed, TRI_FALSE},
	    /* An end of capture is no end of a connection. */
	    {true, TRI_UNKNOWN},
	};
	size_t row = 0;
	while (!table[row].when)
		row++;
	return table[row].established;
}
