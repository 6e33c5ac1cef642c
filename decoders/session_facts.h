/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was seen of one SMTP session. Facts only, no judgement, and no secret:
 * nothing of an AUTH exchange, of a message, or of an unknown command is here.
 *
 * Facts grow while the session goes on and none is ever taken back, so whoever
 * judges them may do so at every milestone. Times are packet times, ns since
 * 1970-01-01 UTC. Texts come off the wire and are untrusted bytes.
 */
#ifndef DECODERS_SESSION_FACTS_H
#define DECODERS_SESSION_FACTS_H

#include "decoders/addr.h"
#include "decoders/budget.h"
#include "decoders/sasl.h"
#include "decoders/span.h"
#include "decoders/stream.h"

/* true, false, or not to be told from what was seen */
enum tri { TRI_UNKNOWN = 0, TRI_FALSE, TRI_TRUE };

enum session_outcome {
#define OUTCOME(symbol, word, meaning) OUTCOME_##symbol,
#include "decoders/outcomes.def"
	OUTCOME_COUNT
};

enum session_closed_by {
#define CLOSED_BY(symbol, word, meaning) CLOSED_BY_##symbol,
#include "decoders/outcomes.def"
	CLOSED_BY_COUNT
};

enum session_visibility {
#define VISIBILITY(symbol, word, meaning) VISIBILITY_##symbol,
#include "decoders/outcomes.def"
	VISIBILITY_COUNT
};

const char *session_outcome_word(enum session_outcome outcome);
const char *session_closed_by_word(enum session_closed_by closed_by);
const char *session_visibility_word(enum session_visibility visibility);

/*
 * Points at which something was decided that nothing later takes back. Each is
 * reached at most once in a session; bits of session_facts.milestones.
 */
enum session_milestone {
	MILESTONE_EHLO_REPLY = 1U << 0,     /* the first EHLO reply is complete (or masked) */
	MILESTONE_EHLO_REFUSED = 1U << 1,   /* a refused EHLO, and HELO was accepted after it */
	MILESTONE_MASKED = 1U << 2,         /* masked offer or masked command */
	MILESTONE_STARTTLS_REPLY = 1U << 3, /* STARTTLS got a reply */
	MILESTONE_MAIL = 1U << 4,           /* the first MAIL in the clear */
	MILESTONE_CREDENTIALS = 1U << 5,    /* bytes of a credential in the clear */
	MILESTONE_MAIL_ACCEPTED = 1U << 6,  /* the first MAIL that got a 2xx in the clear */
	MILESTONE_DELIVERED = 1U << 7,      /* the first message accepted in the clear */
	MILESTONE_INJECTION = 1U << 8,      /* plaintext at the upgrade boundary */
	MILESTONE_CONFLICT = 1U << 9,       /* two versions of the same plaintext bytes */
	MILESTONE_SERVER_HELLO = 1U << 10,  /* version and suite are chosen */
	MILESTONE_CERTIFICATE = 1U << 11,   /* the server's certificate was visible */
	MILESTONE_TLS_UP = 1U << 12,        /* TLS is established */
	MILESTONE_TLS_FAILED = 1U << 13,    /* 220, and TLS will not come up any more */
	MILESTONE_PLAINTEXT_IN_TLS =
	    1U << 14,                   /* bytes that are no TLS record after the handshake began */
	MILESTONE_TLS_ALERT = 1U << 15, /* a TLS alert in the clear */
	MILESTONE_CLOSED = 1U << 16,    /* the session is over; closed_by says how */
	MILESTONE_NOT_SMTP = 1U << 17,  /* the server does not speak SMTP */
};

/* Texts that a session may have; each at most TEXT_MAX bytes, longer ones are cut. */
enum session_text_id {
	TEXT_SERVER_NAME, /* host name in the greeting, else in the EHLO/HELO reply */
	TEXT_EHLO_NAME, /* host name in the EHLO/HELO reply, when it differs from the greeting's */
	TEXT_CLIENT_NAME,       /* the last EHLO/HELO/LHLO argument */
	TEXT_AUTH_MECHANISM,    /* SASL mechanism of the AUTH command (RFC 4954), upper case */
	TEXT_ACCOUNT,           /* the account, only when accounts may be shown; otherwise absent */
	TEXT_SNI,               /* server_name of the ClientHello (RFC 6066) */
	TEXT_ALPN,              /* negotiated protocol, if visible */
	TEXT_CAPABILITIES,      /* the EHLO keywords of the last complete reply, space-separated */
	TEXT_MASKED,            /* overwritten keywords as seen, space-separated */
	TEXT_RECIPIENT_DOMAINS, /* domains of accepted plaintext RCPTs, space-separated */
	TEXT_SENDER_DOMAIN,     /* domain of the first plaintext MAIL */
	TEXT_APPLICATION,       /* what a flow that is not SMTP really is */
	TEXT_COUNT
};

#define TEXT_MAX         255
#define TEXT_LIST_MAX    1024 /* of capabilities, and of masked keywords */
#define TEXT_DOMAINS_MAX 4096 /* some 200 domains: what a policy demands of a mailing list's */

/* The texts of one session, packed into one block of the session's budget. */
struct session_text {
	char *bytes;
	uint16_t len, cap;
	uint16_t at[TEXT_COUNT];   /* offset of each; meaningful when size[] is not 0 */
	uint16_t size[TEXT_COUNT]; /* 0: absent */
};

/* What was visible of TLS (RFC 8446, 5246). Zero means: not seen. */
struct session_tls {
	enum tri established;
	bool client_hello, server_hello;
	bool resumed;            /* an abbreviated handshake or an accepted PSK */
	bool fallback_scsv;      /* TLS_FALLBACK_SCSV was offered (RFC 7507) */
	bool sentinel;           /* downgrade sentinel in ServerHello.random (RFC 8446 4.1.3) */
	bool rolled_back;        /* proof of a rollback: sentinel against offered_more, or
				    inappropriate_fallback */
	bool offered_more;       /* the client offered a version above the one negotiated */
	bool rejected_by_client; /* 1.3: the client's only protected record was alert-sized, and it
				    closed */
	bool has_ja3, has_ja3s;
	uint16_t
	    offered_version; /* highest version the client offered, as on the wire (0x0304 ...) */
	uint16_t version;    /* negotiated, 0: none; 0x0002 is SSL 2.0 */
	uint16_t suite;      /* negotiated cipher suite */
	uint8_t alert_level[2]; /* first clear alert of each side (enum side), or its first fatal
				   one; 0: none */
	uint8_t alert_description[2];
	uint8_t ja3[16], ja3s[16];  /* MD5 digests */
	uint8_t hello_random[2][8]; /* eight bytes of each hello's random, by enum side: the same
				       only in the same handshake */
	uint8_t certificate_sha256[32]; /* of the leaf's DER; all zero: none visible */
	uint32_t certificate_id;        /* of the sensor's certificate cache; 0: none visible */
	uint32_t certificate_problems;  /* enum certificate_problem bits, judged at packet time */
	uint8_t chain_len;              /* certificates that the server sent */
	bool certificate_unreadable;    /* the leaf that it sent is no certificate */
	bool certificate_anchored;      /* CAs were given, and one of them vouches for it */
	uint32_t risks; /* enum application_risk bits that mean something for mail */
};

/* Where a failed upgrade went wrong; the reason in the alert. */
enum tls_failure {
	TLS_FAILURE_NONE,
	TLS_FAILURE_NO_REPLY,         /* the connection ended without any reply to STARTTLS */
	TLS_FAILURE_NO_CLIENT_HELLO,  /* ended after the 220 */
	TLS_FAILURE_CLIENT_PLAINTEXT, /* the client went on in the clear after the 220 */
	TLS_FAILURE_SERVER_PLAINTEXT, /* the server answered the ClientHello in the clear */
	TLS_FAILURE_NO_SERVER_HELLO,  /* ended after the ClientHello */
	TLS_FAILURE_ALERT,            /* a TLS alert ended it */
	TLS_FAILURE_UNFINISHED, /* ended after the ServerHello, before both sides were protected */
	TLS_FAILURE_CLIENT_REJECTED, /* TLS 1.3: see rejected_by_client */
	TLS_FAILURE_MALFORMED,       /* bytes that are neither TLS nor SMTP */
};

/* Which plaintext stood where at the upgrade boundary; bits. */
enum injection {
	INJECTION_CLIENT_PIPELINED = 1U << 0, /* client bytes behind STARTTLS before the reply */
	INJECTION_SERVER_PIPELINED =
	    1U << 1, /* server bytes behind the 220 before the client's next byte */
};

/* In the place of a reply's code: there was an answer, a line that is no reply (RFC 5321 4.2). */
#define REPLY_WITHOUT_CODE 1U

struct session_facts {
	/* identity */
	struct endpoint client, server;
	uint16_t vlan_outer, vlan_inner; /* VLAN_NONE when untagged */
	uint32_t tap;                    /* index of the tap or interface it was seen at */
	uint64_t id;                     /* ordinal of its first packet: unique within a run */

	/* time and volume */
	int64_t start_ns, end_ns;      /* first and last packet */
	uint64_t packets[2], bytes[2]; /* payload bytes on the wire, by enum side */
	uint64_t gap_bytes[2];         /* bytes known to be missing */
	uint32_t gaps[2];

	/* state */
	enum session_outcome
	    outcome; /* as far as it can be told now; final with MILESTONE_CLOSED */
	enum session_visibility visibility;
	enum session_closed_by closed_by; /* meaningful with MILESTONE_CLOSED */
	uint32_t milestones;              /* enum session_milestone */
	bool handshake_missing; /* that of TCP was not seen, or a side did not acknowledge the other
				 */
	bool spoke_smtp;        /* at least one side spoke SMTP */
	bool implicit_tls;
	bool client_quit; /* QUIT was seen */
	bool concluded;   /* ended by FIN or RST that was seen, not by the capture's end */

	/* greeting and hello */
	uint16_t greeting_code; /* 0: not seen */
	bool greeting_masked;   /* overwritten with '*' (RFC 5321 text that Cisco PIX/ASA masks) */
	uint8_t ehlo_sent, ehlo_accepted, ehlo_refused; /* saturating counts, LHLO counts as EHLO */
	uint8_t helo_sent, helo_accepted, helo_refused;
	uint16_t ehlo_refused_code; /* the last refusal; or REPLY_WITHOUT_CODE */

	/* STARTTLS (RFC 3207) */
	enum tri offered, requested;
	bool offered_anonymous;  /* X-ANONYMOUSTLS was the form that was offered or used */
	bool masked_offer;       /* an overwritten eight-character keyword, STARTTLS not listed */
	bool masked_command;     /* the client's command arrived as eight X's */
	uint8_t masked_keywords; /* overwritten keywords of any length in the reply */
	uint16_t starttls_code;  /* reply to STARTTLS, 0: none; or REPLY_WITHOUT_CODE */
	bool refused_then_tls;   /* another code than 220, and the client took it for a go */
	uint8_t injection;       /* enum injection */
	enum tls_failure tls_failure;
	struct session_tls tls;
	enum side plaintext_in_tls_side; /* meaningful with MILESTONE_PLAINTEXT_IN_TLS */
	bool plaintext_in_tls_reply;     /* those bytes read as an SMTP reply */

	/* plaintext mail */
	bool commands_whole;          /* no command in the clear can have been missed so far */
	bool replies_whole;           /* nor any reply */
	uint32_t mails;               /* MAIL commands in the clear */
	uint32_t mails_2xx;           /* of those, answered with 2xx */
	uint32_t accepted;            /* messages accepted (250 after DATA or BDAT LAST) */
	uint32_t recipients;          /* RCPT commands accepted */
	uint32_t mails_after_failure; /* MAILs answered 2xx after a refused or failed upgrade */
	bool auth_in_clear;           /* an AUTH command was seen */
	enum sasl_sends auth_sends;   /* what its mechanism sends */
	bool credentials_in_clear;    /* an initial response or an answer to a 334 was sent */
	uint16_t auth_code;           /* final reply to AUTH, 0: none */

	/* tampering */
	uint32_t conflicts;      /* conflicting retransmissions of plaintext bytes */
	enum side conflict_side; /* of the first */
	bool reset_forged;       /* both sides go on in plaintext behind a reset of one of them */

	/* Of TEXT_RECIPIENT_DOMAINS, the bytes that were there when the session was told of last;
	   kept by whoever tells. */
	uint16_t domains_told;
	struct session_text text;
};

/* The text, empty when absent; valid until the session's next step. */
struct span session_facts_text(const struct session_facts *facts, enum session_text_id id);

/* Replaces a text by as many bytes as it may have at most. False when out of memory. */
bool session_facts_set_text(struct session_facts *facts, struct budget *budget,
			    enum session_text_id id, struct span text);

/* Adds a word to a space-separated list unless it is there (ASCII case ignored). False: no room. */
bool session_facts_add_word(struct session_facts *facts, struct budget *budget,
			    enum session_text_id id, struct span word);

void session_facts_free_text(struct session_facts *facts, struct budget *budget);

#endif
