/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/smtp_syntax.h"

struct verb_text {
	const char *text;
	uint8_t len;
	bool secret;
};

static const struct verb_text verbs[SMTP_VERB_COUNT] = {
    [SMTP_VERB_UNKNOWN] = {"", 0, true},
#define VERB(symbol, text, secret) [SMTP_VERB_##symbol] = {text, sizeof(text) - 1, secret},
#include "decoders/smtp_verbs.def"
#undef VERB
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c)
{
	return is_digit(c) || (ascii_upper(c) >= 'A' && ascii_upper(c) <= 'Z');
}

static struct span trim(struct span s)
{
	while (s.len > 0 && is_blank(s.ptr[0]))
		s = span_skip(s, 1);
	while (s.len > 0 && (is_blank(s.ptr[s.len - 1]) || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

struct span smtp_next_token(struct span *rest)
{
	struct span s = trim(*rest);
	size_t end = 0;
	while (end < s.len && !is_blank(s.ptr[end]))
		end++;
	*rest = span_skip(s, end);
	return span_head(s, end);
}

struct smtp_command smtp_parse_command(struct span line)
{
	struct span rest = trim(line);
	struct span verb = smtp_next_token(&rest);
	struct smtp_command command = {.verb = SMTP_VERB_UNKNOWN, .argument = trim(rest)};

	for (unsigned i = SMTP_VERB_UNKNOWN + 1; i < SMTP_VERB_COUNT; i++) {
		if (verbs[i].len == verb.len &&
		    span_equal_nocase(verb, span_of(verbs[i].text, verbs[i].len))) {
			command.verb = (enum smtp_verb)i;
			break;
		}
	}
	return command;
}

bool smtp_command_is_certain(const struct smtp_command *command)
{
	uint64_t octets;
	bool last;

	switch (command->verb) {
	case SMTP_VERB_MAIL:
		return SMTP_STARTS_WITH(command->argument, "FROM");
	case SMTP_VERB_RCPT:
		return SMTP_STARTS_WITH(command->argument, "TO");
	case SMTP_VERB_EHLO:
	case SMTP_VERB_HELO:
	case SMTP_VERB_LHLO:
	case SMTP_VERB_AUTH:
		return command->argument.len > 0;
	case SMTP_VERB_DATA:
	case SMTP_VERB_RSET:
	case SMTP_VERB_QUIT:
	case SMTP_VERB_STARTTLS:
	case SMTP_VERB_ANONYMOUSTLS:
		return command->argument.len == 0;
	case SMTP_VERB_BDAT:
		return smtp_parse_bdat(command->argument, &octets, &last);
	default:
		return false;
	}
}

bool smtp_verb_is_ehlo(enum smtp_verb verb)
{
	return verb == SMTP_VERB_EHLO || verb == SMTP_VERB_LHLO;
}

bool smtp_verb_is_starttls(enum smtp_verb verb)
{
	return verb == SMTP_VERB_STARTTLS || verb == SMTP_VERB_ANONYMOUSTLS;
}

struct span smtp_verb_text(enum smtp_verb verb)
{
	return span_of(verbs[verb].text, verbs[verb].len);
}

bool smtp_verb_is_secret(enum smtp_verb verb)
{
	return verbs[verb].secret;
}

bool smtp_parse_reply_line(struct span line, struct smtp_reply_line *reply)
{
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (!smtp_may_be_reply(line) || line.len < 3)
		return false;
	*reply = (struct smtp_reply_line){
	    .code = (uint16_t)((line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 +
			       (line.ptr[2] - '0')),
	    .last = line.len == 3 || line.ptr[3] != '-',
	    .text = span_skip(line, 4),
	};
	return true;
}

uint16_t smtp_stray_code(struct span line)
{
	unsigned code = 0;
	for (size_t i = 0; i < 3; i++) {
		if (i >= line.len || !is_digit(line.ptr[i]))
			return 0;
		code = code * 10 + (line.ptr[i] - '0');
	}
	return code < 100 || (line.len > 3 && is_digit(line.ptr[3])) ? 0 : (uint16_t)code;
}

bool smtp_may_be_reply(struct span start)
{
	if (start.len > 0 && (start.ptr[0] < '2' || start.ptr[0] > '5'))
		return false;
	if (start.len > 1 && !is_digit(start.ptr[1]))
		return false;
	if (start.len > 2 && !is_digit(start.ptr[2]))
		return false;
	if (start.len > 3 && start.ptr[3] != '-' && !is_blank(start.ptr[3]) &&
	    start.ptr[3] != '\r' && start.ptr[3] != '\n')
		return false;
	return true;
}

/*
 * Overwritten in transit: a run of X's or '*'s, of which the last character may
 * be another letter (Cisco counts its masks: XXXXXXXA, XXXXXXXB ...). Three at
 * least, so that a keyword such as XI is not one.
 */
static bool is_overwritten(struct span word)
{
	if (word.len < 4 || (word.ptr[0] != 'X' && word.ptr[0] != '*'))
		return false;
	for (size_t i = 1; i < word.len; i++) {
		if (word.ptr[i] == word.ptr[0])
			continue;
		return i + 1 == word.len && ascii_upper(word.ptr[i]) >= 'A' &&
		       ascii_upper(word.ptr[i]) <= 'Z';
	}
	return true;
}

#define STARTTLS_LEN 8U

enum smtp_offer smtp_parse_capability(struct span text, struct span *keyword)
{
	*keyword = smtp_next_token(&text);
	if (SMTP_IS_WORD(*keyword, "STARTTLS"))
		return SMTP_OFFER_STARTTLS;
	if (SMTP_IS_WORD(*keyword, "X-ANONYMOUSTLS"))
		return SMTP_OFFER_ANONYMOUSTLS;
	if (is_overwritten(*keyword))
		return keyword->len == STARTTLS_LEN ? SMTP_OFFER_MASKED : SMTP_OFFER_OTHER_MASKED;
	return SMTP_OFFER_NONE;
}

bool smtp_capability_is_registered(struct span keyword)
{
	return SMTP_IS_WORD(keyword, "SIZE") || SMTP_IS_WORD(keyword, "PIPELINING") ||
	       SMTP_IS_WORD(keyword, "8BITMIME") || SMTP_IS_WORD(keyword, "ENHANCEDSTATUSCODES") ||
	       SMTP_IS_WORD(keyword, "CHUNKING") || SMTP_IS_WORD(keyword, "BINARYMIME") ||
	       SMTP_IS_WORD(keyword, "DSN") || SMTP_IS_WORD(keyword, "SMTPUTF8") ||
	       SMTP_IS_WORD(keyword, "AUTH") || SMTP_IS_WORD(keyword, "ETRN");
}

bool smtp_greeting_names_smtp(struct span text)
{
	for (size_t i = 0; i + 4 <= text.len; i++)
		if (span_equal_nocase(span_of(text.ptr + i, 4), span_of("SMTP", 4)))
			return true;
	return false;
}

bool smtp_greeting_is_masked(struct span text)
{
	size_t stars = 0;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		if (c == '*')
			stars++;
		else if (c != '2' && c != '0' && !is_blank(c) && c != '\r')
			return false;
	}
	return stars >= 4;
}

bool smtp_command_is_masked(struct span line)
{
	line = trim(line);
	if (line.len != STARTTLS_LEN)
		return false;
	for (size_t i = 0; i < line.len; i++)
		if (line.ptr[i] != 'X')
			return false;
	return true;
}

bool smtp_is_proxy_line(struct span line)
{
	struct span verb = smtp_next_token(&line);
	struct span family = smtp_next_token(&line);
	return SMTP_IS_WORD(verb, "PROXY") &&
	       (SMTP_IS_WORD(family, "TCP4") || SMTP_IS_WORD(family, "TCP6") ||
		SMTP_IS_WORD(family, "UNKNOWN"));
}

/* What a greeting or a reply to EHLO begins with that leaves out the server's name. */
static bool is_greeting_word(struct span word)
{
	return SMTP_IS_WORD(word, "SMTP") || SMTP_IS_WORD(word, "ESMTP") ||
	       SMTP_IS_WORD(word, "LMTP") || SMTP_IS_WORD(word, "OK") ||
	       SMTP_IS_WORD(word, "HELLO") || SMTP_IS_WORD(word, "HI") ||
	       SMTP_IS_WORD(word, "WELCOME") || SMTP_IS_WORD(word, "GREETINGS") ||
	       SMTP_IS_WORD(word, "READY") || SMTP_IS_WORD(word, "SERVICE") ||
	       SMTP_IS_WORD(word, "SERVER") || SMTP_IS_WORD(word, "GO") ||
	       SMTP_IS_WORD(word, "REQUESTED") || SMTP_IS_WORD(word, "PLEASED") ||
	       SMTP_IS_WORD(word, "NICE") || SMTP_IS_WORD(word, "COMMAND") ||
	       SMTP_IS_WORD(word, "NO") || SMTP_IS_WORD(word, "TOO") ||
	       SMTP_IS_WORD(word, "CONNECTION") || SMTP_IS_WORD(word, "SORRY") ||
	       SMTP_IS_WORD(word, "YOUR") || SMTP_IS_WORD(word, "AT") ||
	       SMTP_IS_WORD(word, "THE") || SMTP_IS_WORD(word, "SYNTAX") ||
	       SMTP_IS_WORD(word, "TRANSACTION") || SMTP_IS_WORD(word, "ERROR") ||
	       SMTP_IS_WORD(word, "ACCESS");
}

/* An enhanced status code (RFC 3463) in the name's place: 2.0.0 */
static bool is_enhanced_status(struct span word)
{
	size_t dots = 0;
	for (size_t i = 0; i < word.len; i++) {
		if (!is_digit(word.ptr[i]) && word.ptr[i] != '.')
			return false;
		dots += word.ptr[i] == '.';
	}
	return dots == 2;
}

struct span smtp_host_name(struct span text)
{
	struct span word = smtp_next_token(&text);
	while (word.len > 0 && (word.ptr[word.len - 1] == ',' || word.ptr[word.len - 1] == ';' ||
				word.ptr[word.len - 1] == '.'))
		word.len--;
	if (is_greeting_word(word) || is_enhanced_status(word))
		return (struct span){.ptr = NULL, .len = 0};
	bool letters = false;
	for (size_t i = 0; i < word.len; i++) {
		uint8_t c = word.ptr[i];
		if (!is_alnum(c) && c != '-' && c != '.' && c != '_' && c != '[' && c != ']' &&
		    c != ':')
			return (struct span){.ptr = NULL, .len = 0};
		letters = letters || is_alnum(c);
	}
	return letters ? word : (struct span){.ptr = NULL, .len = 0};
}

struct span smtp_path(struct span argument)
{
	/* FROM:<path> or TO:<path>, with blanks where they are not allowed but happen. */
	size_t colon = 0;
	while (colon < argument.len && argument.ptr[colon] != ':')
		colon++;
	struct span rest = trim(span_skip(argument, colon + 1));
	if (rest.len == 0 || rest.ptr[0] != '<')
		return smtp_next_token(&rest);
	bool quoted = false;
	for (size_t i = 1; i < rest.len; i++) {
		if (rest.ptr[i] == '"')
			quoted = !quoted;
		else if (rest.ptr[i] == '\\')
			i++;
		else if (rest.ptr[i] == '>' && !quoted)
			return span_of(rest.ptr + 1, i - 1);
	}
	return span_skip(rest, 1);
}

struct span smtp_path_domain(struct span path)
{
	size_t at = path.len;
	while (at > 0 && path.ptr[at - 1] != '@')
		at--;
	struct span domain = at > 0 ? span_skip(path, at) : (struct span){.ptr = NULL, .len = 0};
	for (size_t i = 0; i < domain.len; i++)
		if (is_blank(domain.ptr[i]) || domain.ptr[i] < 0x20)
			return (struct span){.ptr = NULL, .len = 0};
	return domain;
}

bool smtp_parse_count(struct span text, uint64_t *count)
{
	uint64_t value = 0;
	struct span digits = smtp_next_token(&text);
	if (digits.len == 0)
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		if (!is_digit(digits.ptr[i]) || value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(digits.ptr[i] - '0');
	}
	*count = value;
	return true;
}

bool smtp_parse_bdat(struct span argument, uint64_t *octets, bool *last)
{
	if (!smtp_parse_count(argument, octets))
		return false;
	(void)smtp_next_token(&argument);
	struct span word = smtp_next_token(&argument);
	*last = SMTP_IS_WORD(word, "LAST");
	return *last || word.len == 0;
}
