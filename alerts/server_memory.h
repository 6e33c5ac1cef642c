/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one server (an address and port): a value of fixed size
 * that is counted up session by session and may be stored and loaded.
 *
 * Times are seconds since 1970-01-01 UTC; 0: never.
 */
#ifndef ALERTS_SERVER_MEMORY_H
#define ALERTS_SERVER_MEMORY_H

#include "decoders/certificate.h"
#include "decoders/session_facts.h"

#define SERVER_NAME_MAX          63
#define SERVER_NETWORKS          4 /* client networks that are told apart */
#define SERVER_RECENT            4 /* clients whose last offer is remembered */
#define SERVER_MEMBERS           4 /* names that a server gives in its greeting */
#define SERVER_CERTIFICATES      3
#define SERVER_CERTIFICATE_NAMES 4
#define SERVER_KNOWN_OFFERS      3 /* sessions with an offer from which a server is known to offer */

/*
 * A server unseen for this long is forgotten, unless it is pinned: half a year is longer than
 * a certificate of a public authority commonly lasts and than a quarterly mailing pauses.
 */
#define SERVER_AGE_S (INT64_C(180) * 86400)

/* An offer this old does not say that others are offered it "at the time". */
#define SERVER_RECENT_S 3600

struct server_network {
	struct ip_addr network; /* the client's, cut to the prefix */
	uint32_t offers, missing;
	uint32_t run; /* sessions without an offer, in a row; lives in memory alone */
};

/*
 * One of the machines behind an address, told by the name in its greeting: a
 * load balancer may have some that offer STARTTLS and some that do not.
 */
struct server_member {
	uint64_t name; /* server_member_of() */
	uint32_t offers, missing;
	uint32_t returns; /* without an offer, and then another name offered it to that network */
	uint32_t alternations;          /* ... then it was offered to anybody, by any name */
	bool missing_several;           /* it was missing for several client networks */
	struct ip_addr missing_network; /* the first of them; lives in memory alone */
};

/* A client that was offered STARTTLS. */
struct server_recent {
	struct ip_addr client;
	int64_t offered_s, missing_s; /* last time each */
};

struct server_certificate {
	uint8_t sha256[DIGEST_SHA256_SIZE];         /* of the DER */
	uint8_t key_sha256[DIGEST_SHA256_SIZE];     /* of the SubjectPublicKeyInfo */
	uint64_t issuer;                            /* hash of the issuer's name */
	uint64_t names[SERVER_CERTIFICATE_NAMES];   /* hashes of the names, lower case */
	uint64_t parents[SERVER_CERTIFICATE_NAMES]; /* ... of the domains above them; 0: none */
	uint8_t name_count;
	bool self_signed;
	bool anchored; /* a given CA vouched for it; lives in memory alone */
	int64_t not_before, not_after;
	int64_t first_s, last_s;
	uint32_t sessions;
};

struct server_memory {
	struct endpoint endpoint;
	char name[SERVER_NAME_MAX + 1]; /* the last it gave, '?' for what is no host name */
	bool pinned;   /* by a person: never given up, always known to offer, whatever is learnt */
	bool in_store; /* all that a store holds of it is in here; not stored */
	uint64_t changed;        /* history_changes() when it last learnt; not stored */
	int64_t first_s, last_s; /* first and last session that taught */
	uint32_t sessions;       /* closed ones that taught */

	uint32_t offers;  /* sessions with an offer */
	uint32_t missing; /* sessions with a complete EHLO reply without it */
	int64_t offer_first_s, offer_last_s, missing_last_s;
	uint32_t offer_days; /* days (UTC) on which it was offered */
	int64_t offer_last_day;
	uint32_t missing_since_offer;
	/* The same client network, not offered it and offered it again within the hour, both
	 * under the same name. */
	uint32_t returns;
	uint32_t client_returns; /* of those, for the very same client; lives in memory alone */
	struct ip_addr missing_client;  /* of the last session without it; likewise */
	struct ip_addr missing_network; /* of the last session without it, until it returned */
	uint64_t missing_member;        /* likewise; lives in memory alone */

	uint32_t entered;      /* sessions in which TLS came up after STARTTLS */
	uint32_t failed;       /* ... did not after 220 */
	uint32_t refused;      /* STARTTLS got another reply than 220 */
	uint32_t tempfail_run; /* 4xx replies to STARTTLS since the last 220 */
	bool tempfail_several; /* ... that went to several clients */
	struct ip_addr tempfail_client;
	uint32_t ehlo_accepted; /* sessions in which an EHLO was */
	int64_t ehlo_last_s;

	uint16_t best_version;  /* highest TLS version negotiated, as on the wire; 0: none */
	uint32_t best_sessions; /* sessions with that version */
	int64_t best_first_s;

	uint8_t network_count; /* saturates at SERVER_NETWORKS */
	bool networks_more;    /* there were more */
	struct server_network networks[SERVER_NETWORKS];
	uint8_t member_count; /* further names are not told apart */
	struct server_member members[SERVER_MEMBERS];
	uint8_t recent_count;
	struct server_recent recent[SERVER_RECENT];
	uint8_t certificate_count;
	struct server_certificate certificates[SERVER_CERTIFICATES];
};

/*
 * Whether the server is known to offer STARTTLS: SERVER_KNOWN_OFFERS sessions
 * did, or it is pinned; and it has not changed by design since, which it has
 *  - when the offer comes and goes for the same client network, every few
 *    sessions: a pool whose members differ, behind one name. A pool differs for
 *    everyone, and from the beginning: where a single network is concerned that
 *    was mostly offered it, it takes more to believe it, as someone on its path
 *    may switch something on and off. Clients that come but once a day tell less:
 *    ten changes, three networks, and none of them that is never offered it;
 *  - when 100 sessions in a row, over 30 days and more, were without it.
 */
bool server_memory_offers(const struct server_memory *server);

/*
 * Likewise of the machine with this name. One that never offered
 * STARTTLS while others behind the same address went on offering it, three times
 * and to the same clients, or to several networks, does not offer it by design.
 */
bool server_memory_member_offers(const struct server_memory *server, uint64_t member);

/* What a name in a greeting is kept as; no name is one, too. Case does not count. */
uint64_t server_member_of(struct span name);

/* Whether STARTTLS gets a 4xx there whoever asks: three in a row, to several clients. */
bool server_memory_refuses_all(const struct server_memory *server);

/* A client other than this that was offered STARTTLS at since_s or later; NULL: none. */
const struct server_recent *server_memory_others(const struct server_memory *server,
						 const struct ip_addr *client, int64_t since_s);

/* What is learnt. network is the client's, cut to its prefix. */
void server_memory_learn_offer(struct server_memory *server, const struct ip_addr *client,
			       const struct ip_addr *network, uint64_t member, bool offered,
			       int64_t time_s);
/* The part of it that is no knowledge but news: who was (not) offered it lately. */
void server_memory_note_recent(struct server_memory *server, const struct ip_addr *client,
			       bool offered, int64_t time_s);
void server_memory_learn_reply(struct server_memory *server, const struct ip_addr *client,
			       uint16_t starttls_code);
void server_memory_learn_version(struct server_memory *server, uint16_t version, int64_t time_s);

/*
 * Adds what another has learnt of the same server in sessions of its own. Which of the two is
 * added to which makes no difference to what is known, but for the names: the later one stays.
 */
void server_memory_merge(struct server_memory *server, const struct server_memory *other);

/* Whether all that is known of it is too old to count at time_s. */
bool server_memory_is_aged(const struct server_memory *server, int64_t time_s);

/* How a certificate stands to those that are known. */
enum certificate_change {
	CERTIFICATE_FIRST, /* too little is known to compare: below SERVER_KNOWN_OFFERS sessions */
	CERTIFICATE_KNOWN, /* seen there before, or the same key */
	CERTIFICATE_RENEWED,  /* new key; same issuer, overlapping names, plausible dates, and
				 anchored if the old one was */
	CERTIFICATE_REPLACED, /* none of these */
};

/*
 * Compares with the known certificates. *previous is the one that was seen
 * last; NULL when none is known. A self-signed certificate vouches for its own
 * issuer's name, so its renewal is believed only when the old one has used up
 * two thirds of its life.
 */
enum certificate_change server_memory_compare(const struct server_memory *server,
					      const struct server_certificate *seen,
					      const struct server_certificate **previous,
					      int64_t time_s);

/* Whether the holder of a key (SHA-256 of its SubjectPublicKeyInfo) is known: CERTIFICATE_KNOWN. */
bool server_memory_knows_key(const struct server_memory *server,
			     const uint8_t key_sha256[DIGEST_SHA256_SIZE]);

/* What is kept of a certificate. Hashes its names: to be asked for where it is to be kept. */
struct server_certificate server_certificate_of(const struct certificate_info *info);

/*
 * Counts one that is kept, by the SHA-256 of its DER, and whether it is anchored. False: it is not
 * kept, and has to be learnt.
 */
bool server_memory_count_certificate(struct server_memory *server,
				     const uint8_t sha256[DIGEST_SHA256_SIZE], bool anchored,
				     int64_t time_s);

/* Counts a certificate; the one unseen for longest gives way to a fifth. */
void server_memory_learn_certificate(struct server_memory *server,
				     const struct server_certificate *seen, int64_t time_s);

#endif
