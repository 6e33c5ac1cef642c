/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SMTP session, both sides: events of the TCP streams in, facts out
 * (RFC 5321, 2920, 3030, 3207, 4954).
 *
 * The client's commands wait in a queue for their replies; what the client's
 * next bytes are (commands, an AUTH exchange, a message, TLS) follows from
 * them. Where bytes are missing the tracker says so in the facts instead of
 * guessing: see smtp_session_outcome().
 *
 * After each event look at facts.milestones for what was newly reached, and at
 * smtp_session_skippable() for bytes that need no look.
 */
#ifndef DECODERS_SMTP_SESSION_H
#define DECODERS_SMTP_SESSION_H

#include "decoders/dialogue.h"
#include "decoders/ja3.h"
#include "decoders/line.h"
#include "decoders/session_facts.h"
#include "decoders/smtp_queue.h"
#include "decoders/tls_handshake.h"

/* Of the header of PROXY protocol 2: signature, version and command, family, length of the rest. */
#define SMTP_PROXY_HEADER 16U

/* First bytes of a side, kept to tell what a session is that is not SMTP. */
#define SMTP_FIRST_BYTES 96U

struct certificate_info;

/* Bytes of a hello that are kept for a second opinion; a longer one is not. */
#define SMTP_HELLO_MAX 2048U

/* What the client's next bytes are. smtp_enter() alone changes it. */
enum smtp_state {
	SMTP_STATE_COMMANDS,
	SMTP_STATE_AUTH,          /* an AUTH exchange is not over */
	SMTP_STATE_DATA_ASKED,    /* DATA was sent; the reply says what follows */
	SMTP_STATE_MESSAGE,       /* to the end-of-data line */
	SMTP_STATE_CHUNK,         /* a counted number of octets: BDAT, XEXCH50 */
	SMTP_STATE_UPGRADE_ASKED, /* STARTTLS was sent; the reply says what follows */
	SMTP_STATE_TLS,           /* STARTTLS got 220, or TLS from the first byte */
	SMTP_STATE_COUNT
};

/* How the bytes of one side are read at the moment. */
enum smtp_framing {
	SMTP_FRAMING_TEXT,
	SMTP_FRAMING_TLS,
	SMTP_FRAMING_FOREIGN, /* neither; not looked at any more */
};

/*
 * What an event brought to light that needs a library outside of the decoders.
 * One for all sessions of a worker: the caller empties it before each event.
 */
struct smtp_found {
	char ja3[JA3_TEXT_MAX], ja3s[1024]; /* the strings whose MD5 are JA3 and JA3S */
	size_t ja3_len, ja3s_len;           /* 0: nothing new */
	uint8_t *chain; /* the server's certificates (DER) behind one another, owned */
	size_t chain_size;
	uint32_t lengths[TLS_CHAIN_MAX];
	unsigned chain_len; /* 0: nothing new */
	/* Both hellos as whole records again, when the server's was read; 0: nothing new. */
	uint8_t hello[2][SMTP_HELLO_MAX];
	size_t hello_len[2];
};

/* What a session works with; the caller's, shared by all sessions of a worker. */
struct smtp_context {
	struct budget *budget; /* lines, queues, texts, TLS handshakes */
	struct dialogue_ring *dialogues;
	const struct redaction *redaction;
	struct smtp_found *found;
	bool any_port; /* the port says nothing: SMTP has to prove itself */
	/* Counts commands that found no room to wait in, and domains of recipients; may be NULL. */
	uint64_t *caps_reached;
};

/* The reply that is coming in, line by line. The command that it answers heads the queue. */
struct smtp_reply {
	bool open;
	bool hole; /* a part of it was missed */
	bool is_greeting;
	bool matched; /* it answers the head of the queue */
	bool first_line_done;
	bool may_echo; /* the command's argument, which is not shown */
	bool saw_starttls, saw_anonymous, saw_masked;
	bool saw_registered; /* a keyword that proves a reply to EHLO */
	uint8_t masked_keywords;
	enum smtp_verb verb; /* of the command it answers; SMTP_VERB_COUNT: none */
	uint16_t code;
};

/* What was not seen of the plaintext dialogue, and what follows from it. */
struct smtp_doubt {
	bool client_hole;     /* commands may be missing */
	bool server_hole;     /* replies may be missing */
	bool ehlo_reply_lost; /* an EHLO whose reply was missed in part or whole */
	bool starttls_reply_lost;
	bool lost_replies;    /* a hole among the replies: what is pending may have been answered */
	bool odd_reply;       /* a reply to a command that was missed, other than 2xx and 3xx */
	bool odd_line;        /* a line of the server that is no reply */
	bool go_seen;         /* the last reply was a 220 to what was missed */
	bool unanswered_seen; /* a reply came while a hole headed the queue */
	bool queue_full;      /* commands that waited for their replies were given up */
};

/* The first bytes of both sides. */
struct smtp_beginning {
	uint8_t bytes[2][SMTP_FIRST_BYTES];
	uint8_t len[2];
	bool server_first;
};

/* What a session needs only while it is in the clear: from the first byte to an upgrade. */
struct smtp_clear {
	struct line_reader line[2];
	struct smtp_queue queue;
	struct smtp_reply reply;
	/* Since what is pending was sent the server said this, which reads as an answer to none of
	   it; 0: nothing, or a code, or REPLY_WITHOUT_CODE. */
	uint16_t passed_over;
	uint8_t proxy[SMTP_PROXY_HEADER]; /* what may be the beginning of a binary PROXY header */
	uint32_t proxy_at;                /* bytes of it that were taken */
	bool proxy_over;                  /* it is behind, or there is none */
	bool auth_challenged;             /* a 334 waits for its answer */
	bool auth_asks_account;           /* the 334 asks for LOGIN's account */
	uint8_t auth_step;                /* answers of the exchange so far */
	bool auth_early;                  /* an answer was sent before the 334 */
	bool lf_only;                     /* the client's DATA line ended in LF alone */
	bool message_refused;             /* before its end: that was its reply */
	bool message_hole;                /* bytes of the message are missing */
	bool message_loose_end;  /* its last bytes read as an end-of-data line of a lax server */
	uint8_t message_tail[4]; /* its last bytes, oldest first */
	uint16_t
	    refused_before; /* code to an earlier STARTTLS, should the last one prove to be none */
	uint64_t message_len;
	uint64_t chunk_left;
	uint64_t blob_octets;            /* XEXCH50's count, awaiting the 354 */
	uint32_t transaction_recipients; /* accepted, of the current transaction; LMTP answers for
					    each */
	uint32_t chunk_replies;          /* of those that the last BDAT got so far */
	uint8_t *held; /* client bytes behind DATA or STARTTLS that wait for the reply, then the
			  ClientHello that waits for the server's */
	uint32_t held_len, held_cap;
	struct smtp_beginning *beginning; /* until it is known to be SMTP; NULL: nothing is kept */
};

struct smtp_session {
	struct session_facts facts;
	struct smtp_clear *clear;     /* NULL: TLS is up and all that was said before is settled */
	struct tls_conversation *tls; /* once TLS began */
	const struct certificate_info *certificate; /* held by the pipeline; NULL: none */
	struct dialogue dialogue;
	struct smtp_doubt doubt;
	enum smtp_state state;
	enum smtp_framing framing[2];
	uint32_t observed;  /* milestones that were told; the pipeline's */
	bool started[2];    /* a byte of the side was seen */
	bool from_start[2]; /* the side's SYN was seen */
	bool side_seen[2];  /* a packet of the side was seen */
	bool line_owed[2];  /* records gave way to text: a line comes before any record */
	bool greeting_done;
	bool greeting_names_smtp;
	bool client_confirmed;  /* since the client's last hole, a reply other than 354 was seen */
	bool starttls_in_doubt; /* what reads as STARTTLS may be a line of a message */
	bool upgrade_accepted;  /* the 220, seen or beyond doubt */
	bool upgrade_assumed;   /* by the client's hello alone */
	bool upgrade_over;      /* TLS came up or will not */
	bool client_since_220;
	bool client_foreign, server_foreign;
	bool is_lmtp;
};

/* Client bytes behind DATA or STARTTLS that are kept until the reply is there. */
#define SMTP_HELD_MAX 65536U

/* False when out of memory; there is nothing to free then. */
bool smtp_session_init(struct smtp_session *session, const struct smtp_context *context);
void smtp_session_free(struct smtp_session *session, const struct smtp_context *context);

/* The session goes on although one side had reset the connection: somebody else had. */
void smtp_session_reset_forged(struct smtp_session *session);

/* What TCP knows before the first event: which sides were seen, which from their SYN on. */
void smtp_session_side(struct smtp_session *session, enum side side, bool seen, bool from_start);

/* One event of the streams, in causal order. */
void smtp_session_event(struct smtp_session *session, const struct smtp_context *context,
			const struct stream_event *event);

/*
 * The same for what most events of a session without TLS are: bytes of a message that goes on
 * behind them. False: nothing happened, ask smtp_session_event().
 */
bool smtp_session_message(struct smtp_session *session, const struct stream_event *event);

/*
 * Bytes of the side, from the next one on, that need no look: the rest of a
 * BDAT chunk or of a TLS record. UINT64_MAX: all that will come. What is
 * returned is taken as skipped: the caller hands it to stream_skip().
 */
uint64_t smtp_session_skippable(struct smtp_session *session, enum side side);

/* The end: how, and whether an end was really seen (contract of FIN, RST). Settles the outcome. */
void smtp_session_close(struct smtp_session *session, const struct smtp_context *context,
			enum session_closed_by closed_by);

/* Brings what follows from the facts (outcome, visibility ...) up to date, for an observation. */
void smtp_session_settle(struct smtp_session *session);

/* The outcome as far as it can be told now. */
enum session_outcome smtp_session_outcome(const struct smtp_session *session);

/* The beginning of a side, at most SMTP_FIRST_BYTES; empty once SMTP was spoken. Who spoke first.
 */
struct span smtp_session_first_bytes(const struct smtp_session *session, enum side side);
bool smtp_session_server_first(const struct smtp_session *session);

/* Whether the dialogue proves SMTP, whatever the port: FTP greets with 220 as well. */
bool smtp_session_is_smtp(const struct smtp_session *session);

/* Internal to the session's files: the one writer of state and of milestones. */
void smtp_enter(struct smtp_session *session, enum smtp_state state);
void smtp_reach(struct smtp_session *session, uint32_t milestone);

#endif
