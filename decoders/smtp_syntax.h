/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syntax of SMTP lines: commands, replies, capabilities (RFC 5321 4.1, 4.2).
 * Every function takes a line without its line end and keeps nothing.
 */
#ifndef DECODERS_SMTP_SYNTAX_H
#define DECODERS_SMTP_SYNTAX_H

#include "decoders/span.h"

/* Comparisons with a literal, in any case (RFC 5321 2.4). */
#define SMTP_IS_WORD(s, literal)     span_equal_nocase((s), span_of((literal), sizeof(literal) - 1))
#define SMTP_STARTS_WITH(s, literal) SMTP_IS_WORD(span_head((s), sizeof(literal) - 1), literal)

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
#define VERB(symbol, text, secret) SMTP_VERB_##symbol,
#include "decoders/smtp_verbs.def"
#undef VERB
	SMTP_VERB_COUNT
};

struct smtp_command {
	enum smtp_verb verb;
	struct span argument; /* what follows the verb, outer blanks removed */
};

/* The verb is the whole first token, in any case; anything else is UNKNOWN. */
struct smtp_command smtp_parse_command(struct span line);

/*
 * Whether a line that may have lost its beginning (the first after a gap) is
 * beyond doubt a command: a known verb with the argument its grammar asks for.
 */
bool smtp_command_is_certain(const struct smtp_command *command);

struct span smtp_verb_text(enum smtp_verb verb);

/* EHLO, or LMTP's LHLO (RFC 2033). */
bool smtp_verb_is_ehlo(enum smtp_verb verb);

/* STARTTLS, or Exchange's X-ANONYMOUSTLS. */
bool smtp_verb_is_starttls(enum smtp_verb verb);

/* Whether the verb's argument is treated as a secret. UNKNOWN is. */
bool smtp_verb_is_secret(enum smtp_verb verb);

struct smtp_reply_line {
	uint16_t code;    /* 200..599 */
	bool last;        /* no '-' behind the code */
	struct span text; /* behind the separator */
};

/* False when the line is no reply line: three digits, then '-', blank or the end. */
bool smtp_parse_reply_line(struct span line, struct smtp_reply_line *reply);

/* The number, from 100, that a line which is no reply has in a code's place; 0: it has none. */
uint16_t smtp_stray_code(struct span line);

/*
 * Whether bytes may still become a reply line: used on the first bytes of a
 * server, to tell something else from SMTP before a line is complete.
 */
bool smtp_may_be_reply(struct span start);

/* What one line of an EHLO reply behind the greeting line says about STARTTLS. */
enum smtp_offer {
	SMTP_OFFER_NONE,
	SMTP_OFFER_STARTTLS,     /* the keyword, a whole token in any case */
	SMTP_OFFER_ANONYMOUSTLS, /* X-ANONYMOUSTLS */
	SMTP_OFFER_MASKED,       /* overwritten at STARTTLS's own length */
	SMTP_OFFER_OTHER_MASKED, /* another overwritten keyword */
};

enum smtp_offer smtp_parse_capability(struct span text, struct span *keyword);

/* Whether it is a keyword that nothing but an EHLO reply has in its place (RFC 5321 2.2.2). */
bool smtp_capability_is_registered(struct span keyword);

/* "SMTP" or "ESMTP" in the greeting's text (RFC 5321 4.3.1), in any case. */
bool smtp_greeting_names_smtp(struct span text);

/* Whether the greeting's text was overwritten with '*' (2, 0 and blanks may survive). */
bool smtp_greeting_is_masked(struct span text);

/* Whether a client line is a command overwritten at STARTTLS's length: eight X's. */
bool smtp_command_is_masked(struct span line);

/*
 * The first token if it reads as a host name or address literal; else empty. A
 * word without a dot is one as well ("220 mailhost ESMTP"), but for those that
 * servers without a name begin with ("220 ESMTP ready").
 */
struct span smtp_host_name(struct span text);

/* Whether a client line is a load balancer's announcement, version 1 of the PROXY protocol. */
bool smtp_is_proxy_line(struct span line);

/* The path of MAIL or RCPT: what is between the angle brackets, or the bare word. */
struct span smtp_path(struct span argument);

/* The domain of a path; empty when it has none. */
struct span smtp_path_domain(struct span path);

/* BDAT's argument (RFC 3030 2): octet count and LAST. */
bool smtp_parse_bdat(struct span argument, uint64_t *octets, bool *last);

/* Decimal digits to the end of text or a blank; false when none or too large. */
bool smtp_parse_count(struct span text, uint64_t *count);

/* The next token of *rest, blanks in front skipped; empty at the end. */
struct span smtp_next_token(struct span *rest);

#endif
