/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read of a TLS conversation from outside: records, the hellos,
 * the certificates up to TLS 1.2, alerts, and whether the traffic is protected
 * (SSL 2.0 and 3.0, RFC 2246, 4346, 5246, 8446).
 *
 * A conversation begins at the first byte after the 220 to STARTTLS, or at the
 * first byte of the connection. Feed each side's bytes in order; a feed stops
 * at the next thing worth telling, so call it again with the rest. Once both
 * sides are protected a record costs its five header bytes: what follows may
 * be skipped (tls_skippable()).
 *
 * Gaps are told to tls_gap(). What was missed is never taken for something
 * that was not sent: see tls_established().
 */
#ifndef DECODERS_TLS_HANDSHAKE_H
#define DECODERS_TLS_HANDSHAKE_H

#include "decoders/budget.h"
#include "decoders/session_facts.h"
#include "decoders/span.h"
#include "decoders/stream.h"

/* Protocol versions as on the wire. */
#define TLS_VERSION_SSL2                 0x0002
#define TLS_VERSION_SSL3                 0x0300
#define TLS_VERSION_1_0                  0x0301
#define TLS_VERSION_1_1                  0x0302
#define TLS_VERSION_1_2                  0x0303
#define TLS_VERSION_1_3                  0x0304

#define TLS_ALERT_WARNING                1 /* AlertLevel (RFC 5246 7.2) */
#define TLS_ALERT_FATAL                  2
#define TLS_ALERT_INAPPROPRIATE_FALLBACK 86 /* RFC 7507 */

/* A handshake message larger than this is passed over, and counted as not seen. */
#define TLS_MESSAGE_MAX 65536
/* Certificates of a chain that are told; more are only counted. */
#define TLS_CHAIN_MAX 16
/* An alert in a TLS 1.3 record: two bytes, the type, the 16 bytes of the tag (RFC 8446 5.2). */
#define TLS_ALERT_RECORD_LEN 19

/* Protected records of a side are counted so far: more of them tell nothing new. */
#define TLS_PROTECTED_MAX 2

/* The last eight bytes of ServerHello.random (RFC 8446 4.1.3). */
enum tls_sentinel {
	TLS_SENTINEL_NONE,
	TLS_SENTINEL_TO_1_2, /* "DOWNGRD" 01: the server would have spoken TLS 1.3 */
	TLS_SENTINEL_TO_1_1, /* "DOWNGRD" 00: the server would have spoken TLS 1.2 */
};

/* Facts so far; none is taken back. Arrays are by enum side. Zero means: not seen. */
struct tls_facts {
	bool client_hello, server_hello; /* a ServerHello proper, no HelloRetryRequest */
	bool hello_retry;                /* a HelloRetryRequest (RFC 8446 4.1.4) */
	bool certificate;                /* the server's Certificate message, in the clear */
	bool resumed;                    /* abbreviated handshake, or an accepted PSK */
	bool fallback_scsv;              /* offered (RFC 7507) */
	bool early_data;                 /* offered: the client's first protected records prove
					    nothing (RFC 8446 4.2.10) */
	bool encrypted_hello;            /* ECH was offered, perhaps as GREASE: the SNI is outer */
	uint8_t sentinel;                /* enum tls_sentinel */
	bool offered_draft;              /* a draft of TLS 1.3, which the server may not speak */
	uint16_t offered_version;        /* highest that the client offered; a draft counts as
					    TLS 1.3 once the server chose one */
	uint16_t version;                /* chosen; drafts of TLS 1.3 count as TLS 1.3 */
	uint16_t suite;   /* chosen; of SSL 2.0 the first byte of the server's first spec */
	uint16_t group;   /* named group of the key exchange (RFC 8422, 8446) */
	uint16_t dh_bits; /* size of the prime of a finite-field key exchange */
	uint16_t first_protected_len[2]; /* of each side's first protected record after the hello */
	uint8_t protected_records[2];    /* up to TLS_PROTECTED_MAX; early data is not counted */
	uint8_t protected_after_ccs[2];  /* of those, after the side's ChangeCipherSpec */
	bool change_cipher_spec[2];
	uint8_t alert_level[2]; /* first clear alert; one that is fatal replaces a warning */
	uint8_t alert_description[2];
	bool fatal[2];     /* a clear alert of level fatal, before the side was protected */
	bool plaintext[2]; /* bytes that cannot begin a record */
	bool malformed[2]; /* records or messages that break the format */
	bool lost[2];      /* bytes were missed whose content counts */
};

enum tls_step_kind {
	TLS_STEP_NOTHING, /* all bytes were consumed, nothing to tell */
	TLS_STEP_CLIENT_HELLO,
	TLS_STEP_SERVER_HELLO,
	TLS_STEP_HELLO_RETRY,
	TLS_STEP_CERTIFICATES,       /* the server's chain, up to TLS 1.2 */
	TLS_STEP_ALERT,              /* in the clear */
	TLS_STEP_CHANGE_CIPHER_SPEC, /* in TLS 1.3 without meaning (RFC 8446 D.4) */
	TLS_STEP_PROTECTED, /* the first or the second protected record of the side began */
	TLS_STEP_PLAINTEXT, /* bytes that cannot begin a record; so is all that follows */
	TLS_STEP_MALFORMED, /* a broken record or message; after a broken record header all that
			       follows is malformed too */
};

/* A hello as it stood there. Spans as in struct tls_step. */
struct tls_hello {
	struct span message; /* without the handshake header */
	bool sslv2_format;   /* SSL 2.0 framing; suites are then three bytes each */
	uint16_t legacy_version;
	struct span random;
	struct span session_id;
	struct span suites; /* client: as offered, two bytes each */
	uint16_t suite;     /* server: as chosen */
	struct span extensions;
	bool has_extensions;
	struct span server_name; /* client: host_name of the SNI extension (RFC 6066 3) */
	struct span alpn;        /* client: the list's first; server: the chosen one (RFC 7301) */
};

struct tls_step {
	enum tls_step_kind kind;
	size_t consumed; /* bytes of the feed that are done with */
	/* Everything below is valid until the side's next feed, gap, or the end. */
	struct span bytes;      /* PLAINTEXT: the bytes */
	struct tls_hello hello; /* CLIENT_HELLO, SERVER_HELLO, HELLO_RETRY */
	/* CERTIFICATES, and SERVER_HELLO of SSL 2.0: DER, leaf first */
	struct span chain[TLS_CHAIN_MAX];
	unsigned chain_len;  /* of those in chain[] */
	unsigned chain_sent; /* as many as the server sent; saturating */
	uint8_t alert_level, alert_description;
};

/* How a side is read. */
enum tls_reading {
	TLS_READING_RECORDS,
	TLS_READING_LOST,      /* after a gap: looks for a record header */
	TLS_READING_PLAINTEXT, /* for good */
	TLS_READING_MALFORMED, /* for good */
	TLS_READING_OPAQUE,    /* SSL 2.0 after its hellos: not followed */
};

/* One side; private to tls_handshake.c. */
struct tls_side {
	uint8_t *buffer; /* a handshake message that is not whole in one feed; from the budget */
	uint32_t buffer_cap, buffer_len;
	uint32_t message_len;  /* of the message that is being read, with its header */
	uint32_t message_left; /* bytes of a message that is passed over */
	uint16_t record_len, record_left;
	uint8_t reading; /* enum tls_reading */
	uint8_t header[5], header_len;
	uint8_t record_type;
	uint8_t alert_level; /* of an alert whose second byte is still to come; 0: none */
	bool skip_record;    /* the rest of the record needs no look */
	bool sslv2_record;
	bool buffer_told;   /* the buffer's message was told and goes with the next feed */
	bool doubtful;      /* after a gap: a message may begin anywhere */
	uint8_t confidence; /* valid headers in a row since the last gap; saturating */
};

struct tls_conversation {
	struct tls_facts facts;
	struct tls_side side[2];
	bool flight_began;    /* a record of either side was read */
	bool server_messages; /* Certificate, ServerKeyExchange or ServerHelloDone was seen */
};

void tls_conversation_init(struct tls_conversation *conversation);

/* Gives back what the conversation took from budget. The facts stay readable. */
void tls_conversation_free(struct tls_conversation *conversation, struct budget *budget);

/*
 * Reads bytes of a side up to the next thing worth telling, or all of them.
 * Memory is taken only for hellos, certificates and key exchanges that are cut
 * by records or feeds; when the budget refuses, that message counts as lost.
 */
void tls_feed(struct tls_conversation *conversation, struct budget *budget, enum side side,
	      struct span bytes, struct tls_step *step);

/*
 * The side's plaintext is over (a reply that was slipped in): its next byte
 * begins a record again, and that it once went on in the clear counts no more.
 */
void tls_resume(struct tls_conversation *conversation, enum side side);

/* Bytes that follow next on this side and need no look; they need not be fed. */
uint64_t tls_skippable(const struct tls_conversation *conversation, enum side side);

/* Says that len bytes were passed over, at most what tls_skippable() said. */
void tls_skipped(struct tls_conversation *conversation, enum side side, uint64_t len);

/*
 * Whether further records of application data change nothing of what is known of the side, so
 * that tls_application_data() may take them in place of tls_feed() and tls_skipped().
 */
bool tls_settled(const struct tls_conversation *conversation, enum side side);

/*
 * Whether bytes are records of application data from their first byte on, each with its whole
 * header. *beyond: how many of the last record's bytes follow behind them.
 */
bool tls_application_data(struct span bytes, uint64_t *beyond);

/*
 * Says that bytes of a side are missing: len of them, 0 when that is not
 * known. Bytes of a gap inside skipped ones are told by tls_skipped() alone.
 */
void tls_gap(struct tls_conversation *conversation, struct budget *budget, enum side side,
	     uint64_t len);

/* What the caller knows of the connection. */
struct tls_view {
	bool client_visible, server_visible; /* packets of the side were captured */
	bool closed;                         /* a FIN or RST was seen: nothing more will come */
};

/*
 * Whether TLS was established.
 *
 * TRUE: ServerHello and protected records both ways, or in the one visible
 * direction; up to TLS 1.2 each after its ChangeCipherSpec. FALSE: it cannot
 * come any more: a side went on in the clear, sent a fatal alert in the clear,
 * or the connection was closed first; in TLS 1.3 also when the client's only
 * protected record is as small as an alert and the connection closed. UNKNOWN:
 * still open, or the proof lies in what was not seen.
 */
enum tri tls_established(const struct tls_facts *facts, const struct tls_view *view);

/* The client's only protected record is alert-sized: with a close it rejected the server. */
bool tls_client_rejected(const struct tls_facts *facts);

/*
 * Proof that somebody rolled the version back: the server's sentinel against a
 * client that offered more, or an inappropriate_fallback alert (RFC 7507).
 */
bool tls_rolled_back(const struct tls_facts *facts);

/* RFC 8701: values that mean nothing. */
bool tls_is_grease(uint16_t value);

#endif
