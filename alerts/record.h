/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session record: one JSON object in ECS 8 for each SMTP session, and the
 * parts of it that an alert has in common.
 *
 * What cannot be told is null. alerts/session.schema.json says what may be in
 * a record; within a major version of RECORD_SCHEMA fields are only added.
 */
#ifndef ALERTS_RECORD_H
#define ALERTS_RECORD_H

#include "alerts/community_id.h"
#include "alerts/json.h"
#include "decoders/certificate.h"
#include "decoders/session_facts.h"

#define RECORD_ECS_VERSION "8.17.0"
#define RECORD_SCHEMA      "1.0"

/* A record of one session never needs more: texts are capped, at six bytes for one. */
#define RECORD_MAX 65536

/* Who tells, and how. Texts are NUL-terminated and outlive every record written with them. */
struct record_origin {
	const char *sensor;      /* observer.name */
	const char *version;     /* observer.version: of this program */
	const char *input;       /* the file, where each is a world of its own; or NULL */
	const char *interface;   /* the only one that is watched; or NULL */
	const char *const *taps; /* names by session_facts.tap; NULL where there is one only */
	size_t tap_count;
	bool show_addresses; /* local parts of envelope addresses, off: "[redacted]" */
};

/* Which session: what is known of it before its first byte of payload. */
struct session_identity {
	struct endpoint client, server; /* addr.version 0: none, as for a whole path */
	uint16_t vlan_outer, vlan_inner;
	uint32_t tap;
	int64_t start_ns;
};

struct session_identity session_identity_of(const struct session_facts *facts);

/* The name of the session's tap, or NULL. */
const char *record_tap_name(const struct record_origin *origin, uint32_t tap);

/* The same, or that of the only interface. */
const char *record_interface_name(const struct record_origin *origin, uint32_t tap);

/*
 * Writes the record of a session that is over. raised: the rules it raised, a
 * set (1U << rule). certificate: the server's, or NULL. False, and the buffer
 * as before, when there was no room.
 */
bool record_write(const struct record_origin *origin, struct digester *digester,
		  const struct session_facts *facts, const struct certificate_info *certificate,
		  uint32_t raised, struct buffer *out);

/* Members "source", "destination", "network", "related", "observer". facts may be NULL. */
void record_add_identity(struct json *json, const struct record_origin *origin,
			 struct digester *digester, const struct session_identity *identity,
			 const struct session_facts *facts);

/* Members "smtp" and "tls". */
void record_add_dialogue(struct json *json, const struct session_facts *facts,
			 const struct certificate_info *certificate);

/* Members of "stripwatch" on what was seen: schema, outcome, visibility, closed_by, gaps. */
void record_add_state(struct json *json, const struct session_facts *facts);

/* The number of a TLS or SSL version as ECS has it ("1.2"), NULL when unknown. */
const char *record_tls_version(uint16_t version);

#endif
