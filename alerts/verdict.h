/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one session alone proves: its facts in, its findings out. Pure.
 *
 * It may be asked at every milestone. A finding is given as soon as nothing
 * that may still come can take it back, and so a set of findings only grows
 * while the facts do. What needs other sessions (starttls-stripped, fallback
 * in a later session, replaced certificates, policies, paths, taps) is judged
 * elsewhere and uses struct finding as well.
 */
#ifndef ALERTS_VERDICT_H
#define ALERTS_VERDICT_H

#include "alerts/rules.h"
#include "decoders/certificate.h"
#include "decoders/digest.h"
#include "decoders/session_facts.h"

#define FINDING_MESSAGE_MAX 256

/*
 * What a finding rests on besides its own session: what was known, since when and from how many
 * sessions, and what was seen against it.
 */
struct finding_basis {
	/* A phrase of ours that lives as long as the program. NULL: nothing, and no other is set.
	 */
	const char *known;
	const char *seen;  /* likewise */
	uint64_t sessions; /* earlier ones that know it; 0: not told, as in all numbers here */
	uint32_t networks; /* client networks among them, at least */
	uint32_t days;     /* (UTC) on which it was seen */
	uint32_t servers;
	unsigned usual_percent;  /* the share that is usually lost, at most */
	int64_t first_s, last_s; /* when it was seen first and last; seconds since 1970 */
	bool networks_more;      /* there are more of them */
	bool pinned;             /* a person said so */
	bool has_certificate;
	uint8_t certificate[DIGEST_SHA256_SIZE]; /* the known one's SHA-256 */
};

struct finding {
	enum rule rule;
	enum severity severity;
	enum confidence confidence;
	const char *reason; /* a word for programs, [a-z0-9.-]; lives as long as the program */
	const char *scope;  /* "some-clients", "all-clients" or NULL; lives likewise */
	struct finding_basis basis;
	/* One sentence for an analyst; NUL-terminated, printable ASCII of our own making. */
	char message[FINDING_MESSAGE_MAX];
};

/* What a server's port means for how grave a finding is. */
enum port_class {
	PORT_RELAY,      /* 25 and whatever else: opportunistic TLS */
	PORT_SUBMISSION, /* 587 and 465: credentials, and TLS by default (RFC 8314) */
};

/* What is known of a session's server and client from elsewhere. All false: nothing. */
struct verdict_context {
	bool policy_demands_tls;   /* a stated policy demands TLS of this mail or server */
	bool policy_demands_valid; /* ... and a valid certificate */
	bool refuses_all;          /* the server is known to give a 4xx to everyone */
	bool ehlo_accepted_before; /* the server is known to accept EHLO */
	bool stripped;             /* starttls-stripped covers the session: no fallback on top */
};

/* At most one finding per rule. */
struct verdict {
	unsigned count;
	struct finding findings[RULE_COUNT]; /* in rule order; those behind count are not written */
};

/*
 * Writes the findings that the facts prove and whose rule is not in already
 * (a set of rules). certificate is the server's, or NULL; it serves the
 * message alone, except that with policy_demands_valid a self-signed one is a
 * finding without any CA being given.
 */
void verdict_judge(const struct session_facts *facts, const struct certificate_info *certificate,
		   const struct verdict_context *context, uint32_t already,
		   struct verdict *verdict);

/*
 * Whether a session went as it should up to here, so that no rule, neither of this file
 * nor of those that look at many sessions, has anything to say at these new milestones:
 * STARTTLS was offered, accepted and is strong, nothing was said in the clear. Spares
 * what only an alert shows. Policies and the comparison of taps may still object.
 */
bool verdict_is_routine(const struct session_facts *facts, uint32_t new_milestones);

#endif
