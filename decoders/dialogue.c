/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/dialogue.h"

#include "decoders/sasl.h"

struct line_header {
	uint64_t previous; /* position + 1 of the session's line before; 0: none */
	uint16_t len;
	uint16_t side;
};

/*
 * A line being put together, cut at its maximum. Made for each line, so not cleared: what was not
 * put is not read.
 */
struct line_writer {
	uint8_t bytes[DIALOGUE_LINE_MAX];
	size_t len;
};

static void put_bytes(struct line_writer *w, struct span s)
{
	size_t room = sizeof w->bytes - w->len;
	size_t n = s.len < room ? s.len : room;
	if (n > 0)
		memcpy(w->bytes + w->len, s.ptr, n);
	w->len += n;
}

#define PUT_LITERAL(w, literal) put_bytes((w), span_of((literal), sizeof(literal) - 1))

static void put_redacted(struct line_writer *w)
{
	PUT_LITERAL(w, "[redacted]");
}

/* Where the local part in front of the '@' at position at begins. */
static size_t local_part_start(struct span text, size_t at)
{
	size_t start = at;
	if (start > 0 && text.ptr[start - 1] == '"') {
		start--;
		while (start > 0 && text.ptr[start - 1] != '"')
			start--;
		return start > 0 ? start - 1 : 0;
	}
	while (start > 0) {
		uint8_t c = text.ptr[start - 1];
		if (c == '<' || c == '>' || c == ' ' || c == '\t' || c == ':' || c == ',' ||
		    c == ';' || c == '(' || c == '=')
			break;
		start--;
	}
	return start;
}

/* Copies text with the local part of whatever looks like an address replaced; whether one was. */
static bool put_addresses(struct line_writer *w, const struct redaction *redaction,
			  struct span text)
{
	bool hidden = false;
	size_t done = 0;
	for (size_t i = 0; !redaction->show_addresses && i < text.len; i++) {
		const uint8_t *at = memchr(text.ptr + i, '@', text.len - i);
		if (at == NULL)
			break;
		i = (size_t)(at - text.ptr);
		size_t start = local_part_start(text, i);
		if (start < done)
			start = done;
		put_bytes(w, span_of(text.ptr + done, start - done));
		put_redacted(w);
		hidden = true;
		done = i;
	}
	put_bytes(w, span_skip(text, done));
	return hidden;
}

static bool is_number(struct span text)
{
	uint64_t count;
	struct span rest = text;
	return smtp_next_token(&rest).len == text.len && smtp_parse_count(text, &count);
}

/* NOTIFY's value (RFC 3461 4.1). */
static bool is_notify(struct span list)
{
	while (list.len > 0) {
		size_t end = 0;
		while (end < list.len && list.ptr[end] != ',')
			end++;
		struct span word = span_head(list, end);
		if (!SMTP_IS_WORD(word, "NEVER") && !SMTP_IS_WORD(word, "SUCCESS") &&
		    !SMTP_IS_WORD(word, "FAILURE") && !SMTP_IS_WORD(word, "DELAY"))
			return false;
		list = span_skip(list, end + 1);
	}
	return true;
}

/* Parameters of MAIL and RCPT that name nobody, with a value that they have; AUTH=, ORCPT= and
   ENVID= do. */
static bool parameter_is_plain(struct span word)
{
	if (SMTP_STARTS_WITH(word, "SIZE="))
		return is_number(span_skip(word, 5));
	if (SMTP_STARTS_WITH(word, "NOTIFY="))
		return is_notify(span_skip(word, 7));
	return SMTP_IS_WORD(word, "BODY=7BIT") || SMTP_IS_WORD(word, "BODY=8BITMIME") ||
	       SMTP_IS_WORD(word, "BODY=BINARYMIME") || SMTP_IS_WORD(word, "RET=FULL") ||
	       SMTP_IS_WORD(word, "RET=HDRS") || SMTP_IS_WORD(word, "SMTPUTF8") ||
	       SMTP_IS_WORD(word, "REQUIRETLS");
}

/*
 * FROM:<path> or TO:<path> and parameters; anything else is not MAIL's or RCPT's and hidden: true.
 * What an envelope hides is not meant: replies that may name it are hidden for what they answer.
 */
static bool put_path(struct line_writer *w, const struct redaction *redaction, struct span argument)
{
	struct span path = smtp_path(argument);
	bool from = SMTP_STARTS_WITH(argument, "FROM:"), to = SMTP_STARTS_WITH(argument, "TO:");
	if (!from && !to) {
		put_redacted(w);
		return true;
	}
	/* An empty path is the sender of a bounce. */
	size_t before = path.ptr != NULL ? (size_t)(path.ptr - argument.ptr) : argument.len;
	struct span domain = smtp_path_domain(path);
	put_bytes(w, span_head(argument, before));
	if (redaction->show_addresses) {
		put_bytes(w, path);
	} else if (path.len > 0) {
		put_redacted(w);
		if (domain.len > 0) {
			PUT_LITERAL(w, "@");
			put_bytes(w, domain);
		}
	}
	struct span rest = span_skip(argument, before + path.len);
	if (rest.len > 0 && rest.ptr[0] == '>') {
		PUT_LITERAL(w, ">");
		rest = span_skip(rest, 1);
	}
	for (;;) {
		struct span word = smtp_next_token(&rest);
		if (word.len == 0)
			break;
		PUT_LITERAL(w, " ");
		if (redaction->show_addresses || parameter_is_plain(word))
			put_bytes(w, word);
		else
			put_redacted(w);
	}
	return false;
}

/* What BDAT has for an argument (RFC 3030 2), taken off; it may end in blanks. */
static struct span bdat_argument(struct span *rest)
{
	const struct span argument = *rest;
	struct span behind = argument;
	if (!is_number(smtp_next_token(&behind)))
		return span_of(NULL, 0);
	*rest = behind;
	if (SMTP_IS_WORD(smtp_next_token(&behind), "LAST"))
		*rest = behind;
	return span_head(argument, argument.len - rest->len);
}

/* The argument of a command as far as the command has one; what else stands there is hidden: true.
 */
static bool put_argument(struct line_writer *w, const struct redaction *redaction,
			 const struct smtp_command *command)
{
	const struct sasl_mechanism *mechanism;
	struct span rest = command->argument;
	bool hidden = false;

	switch (command->verb) {
	case SMTP_VERB_AUTH:
	case SMTP_VERB_EXPS:
		mechanism = sasl_mechanism_find(smtp_next_token(&rest));
		if (mechanism == NULL) {
			put_redacted(w);
			return true;
		}
		put_bytes(w, span_of(mechanism->name, mechanism->len));
		break;
	case SMTP_VERB_MAIL:
	case SMTP_VERB_RCPT:
		return put_path(w, redaction, command->argument);
	case SMTP_VERB_EHLO:
	case SMTP_VERB_HELO:
	case SMTP_VERB_LHLO:
		hidden = put_addresses(w, redaction, smtp_next_token(&rest));
		break;
	case SMTP_VERB_BDAT:
		put_bytes(w, bdat_argument(&rest));
		break;
	default:
		break;
	}
	if (rest.len == 0)
		return hidden;
	if (rest.len < command->argument.len)
		PUT_LITERAL(w, " ");
	put_redacted(w);
	return true;
}

void dialogue_ring_init(struct dialogue_ring *ring, struct budget *budget, size_t size)
{
	*ring = (struct dialogue_ring){.bytes = budget_alloc(budget, size)};
	ring->size = ring->bytes != NULL ? size : 0;
}

void dialogue_ring_free(struct dialogue_ring *ring, struct budget *budget)
{
	budget_free(budget, ring->bytes, ring->size);
	ring->bytes = NULL;
	ring->size = 0;
}

static void ring_append(struct dialogue_ring *ring, struct dialogue *dialogue, enum side side,
			const struct line_writer *w)
{
	struct line_header header = {
	    .previous = dialogue->last, .len = (uint16_t)w->len, .side = (uint16_t)side};
	size_t need = sizeof header + w->len;
	dialogue->lines++;
	if (need > ring->size)
		return;
	/* A line never wraps: the tail that is too short is passed over. */
	if (ring->size - ring->at < need) {
		ring->written += ring->size - ring->at;
		ring->at = 0;
	}
	memcpy(ring->bytes + ring->at, &header, sizeof header);
	memcpy(ring->bytes + ring->at + sizeof header, w->bytes, w->len);
	dialogue->last = ring->written + 1;
	ring->written += need;
	ring->at += need;
}

bool dialogue_command(struct dialogue_ring *ring, struct dialogue *dialogue,
		      const struct redaction *redaction, struct span line,
		      const struct smtp_command *command)
{
	struct line_writer w;
	w.len = 0;

	if (command == NULL || command->verb == SMTP_VERB_UNKNOWN) {
		if (command != NULL && smtp_command_is_masked(line))
			PUT_LITERAL(&w, "XXXXXXXX");
		else
			put_redacted(&w);
		ring_append(ring, dialogue, SIDE_CLIENT, &w);
		return true;
	}
	bool hidden = false;
	put_bytes(&w, smtp_verb_text(command->verb));
	if (command->argument.len > 0) {
		PUT_LITERAL(&w, " ");
		hidden = put_argument(&w, redaction, command);
	}
	ring_append(ring, dialogue, SIDE_CLIENT, &w);
	return hidden;
}

/* Whether text begins with an enhanced status code (RFC 3463): 2.1.0 */
static size_t enhanced_status_len(struct span text)
{
	size_t dots = 0, i = 0;
	while (i < text.len && ((text.ptr[i] >= '0' && text.ptr[i] <= '9') || text.ptr[i] == '.'))
		dots += text.ptr[i++] == '.';
	return dots == 2 ? i : 0;
}

/*
 * Whether the text of a reply may repeat what the client said: to a secret
 * command, or because the server did not understand. What answers a hello or
 * STARTTLS repeats at most what is shown anyway, unless the argument is not, and is worth reading.
 */
static bool echoes(enum smtp_verb answered, uint16_t code)
{
	switch (answered) {
	case SMTP_VERB_COUNT: /* the greeting */
	case SMTP_VERB_EHLO:
	case SMTP_VERB_HELO:
	case SMTP_VERB_LHLO:
	case SMTP_VERB_STARTTLS:
	case SMTP_VERB_ANONYMOUSTLS:
		return false;
	default:
		return smtp_verb_is_secret(answered) || (code >= 500 && code <= 504);
	}
}

/* Whether a reply to the command may name a mailbox, whatever words it has around it. */
static bool names_mailbox(enum smtp_verb answered)
{
	return answered == SMTP_VERB_MAIL || answered == SMTP_VERB_RCPT ||
	       answered == SMTP_VERB_DATA || answered == SMTP_VERB_BDAT;
}

#define QUEUE_ID_MAX 24U /* characters; Postfix's long ones and Exim's have less */

/*
 * Whether a message's accepting reply has a queue's number and nothing else, in the words of
 * Postfix and Exim. By that number the message is found again in the server's log.
 */
static bool is_queue_id(struct span text)
{
	struct span id = span_of(NULL, 0);
	if (SMTP_STARTS_WITH(text, "Ok: queued as "))
		id = span_skip(text, 14);
	else if (SMTP_STARTS_WITH(text, "OK id="))
		id = span_skip(text, 6);
	size_t len = 0;
	while (len < id.len &&
	       ((id.ptr[len] >= '0' && id.ptr[len] <= '9') || id.ptr[len] == '-' ||
		(ascii_upper(id.ptr[len]) >= 'A' && ascii_upper(id.ptr[len]) <= 'Z')))
		len++;
	return len > 0 && len <= QUEUE_ID_MAX && len == id.len;
}

/* The text of a reply of which nothing is shown but an enhanced status and, where one may stand
   there, a queue's number. */
static void put_hidden_text(struct line_writer *w, struct span text, bool of_message)
{
	size_t status = enhanced_status_len(text);
	put_bytes(w, span_head(text, status));
	if (text.len == status)
		return;
	if (status > 0)
		PUT_LITERAL(w, " ");
	struct span words = span_skip(text, status);
	while (words.len > 0 && words.ptr[0] == ' ')
		words = span_skip(words, 1);
	if (of_message && is_queue_id(words))
		put_bytes(w, words);
	else
		put_redacted(w);
}

void dialogue_reply(struct dialogue_ring *ring, struct dialogue *dialogue,
		    const struct redaction *redaction, struct span line, enum smtp_verb answered,
		    bool may_echo)
{
	struct line_writer w;
	w.len = 0;
	struct smtp_reply_line reply;
	bool is_reply = smtp_parse_reply_line(line, &reply);

	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (!is_reply) {
		put_redacted(&w); /* no reply: nobody can say what it holds */
	} else {
		put_bytes(&w, span_head(line, 4));
		const bool echo = may_echo || echoes(answered, reply.code);
		const bool accepts = (answered == SMTP_VERB_DATA || answered == SMTP_VERB_BDAT) &&
				     reply.code / 100 == 2;
		if (echo || (names_mailbox(answered) && !redaction->show_addresses))
			put_hidden_text(&w, reply.text, accepts && !echo);
		else
			(void)put_addresses(&w, redaction,
					    span_head(reply.text, 2 * DIALOGUE_LINE_MAX));
	}
	while (w.len > 0 && w.bytes[w.len - 1] == '\r')
		w.len--;
	ring_append(ring, dialogue, SIDE_SERVER, &w);
}

void dialogue_note(struct dialogue_ring *ring, struct dialogue *dialogue, enum side side,
		   struct span note)
{
	struct line_writer w;
	w.len = 0;
	put_bytes(&w, note);
	ring_append(ring, dialogue, side, &w);
}

/* Whether the line at position is still whole in the ring. */
static bool line_is_there(const struct dialogue_ring *ring, uint64_t position)
{
	return ring->written - position <= ring->size;
}

size_t dialogue_collect(struct dialogue_ring *ring, const struct dialogue *dialogue, uint8_t *out,
			size_t cap, bool *evicted)
{
	uint64_t positions[DIALOGUE_LINES_MAX];
	size_t count = 0;
	uint64_t next = dialogue->last;

	*evicted = false;
	while (next != 0 && count < DIALOGUE_LINES_MAX) {
		if (!line_is_there(ring, next - 1))
			break;
		struct line_header header;
		memcpy(&header, ring->bytes + (next - 1) % ring->size, sizeof header);
		positions[count++] = next - 1;
		next = header.previous;
	}
	if (next != 0 && count < DIALOGUE_LINES_MAX) {
		*evicted = true;
		ring->evicted++;
	}
	if (dialogue->lines > 0 && dialogue->last == 0)
		*evicted = true;

	size_t len = 0;
	while (count > 0) {
		struct line_header header;
		size_t at = (size_t)(positions[--count] % ring->size);
		memcpy(&header, ring->bytes + at, sizeof header);
		size_t need = (size_t)header.len + 3 + (len > 0);
		if (cap - len < need)
			break;
		if (len > 0)
			out[len++] = '\n';
		out[len++] = header.side == SIDE_CLIENT ? 'C' : 'S';
		out[len++] = ':';
		out[len++] = ' ';
		memcpy(out + len, ring->bytes + at + sizeof header, header.len);
		len += header.len;
	}
	return len;
}
