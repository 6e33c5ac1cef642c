/* SPDX-License-Identifier: Apache-2.0 */
/* What a report gathered: written by report.c, read by the pieces of the page. */
#ifndef ALERTS_REPORT_STATE_H
#define ALERTS_REPORT_STATE_H

#include "alerts/report.h"
#include "alerts/timeline.h"

#define NAME_MAX_SHOWN 64
#define DIALOGUE_MAX   1536
#define PATH_MAX_SHOWN 256
#define NONE           UINT32_MAX

struct report_text {
	uint16_t len;
	uint8_t bytes[NAME_MAX_SHOWN];
};

struct report_alert {
	struct finding finding;
	struct session_identity session;
	struct report_text server_name;
	int64_t time_ns, last_ns;
	uint64_t count;
	char id[ALERT_ID_TEXT];
	bool summary, dialogue_cut;
	uint16_t dialogue_len;
	uint8_t dialogue[DIALOGUE_MAX];
	uint32_t older, newer; /* of the same severity; NONE at the ends */
};

/* A server (with its port) or a client (port 0). */
struct report_host {
	struct endpoint at; /* addr.version 0: a free slot */
	struct report_text name;
	uint64_t sessions, offered, upgraded, mails, credentials;
	uint32_t rules; /* raised, a set */
};

struct host_table {
	struct report_host *slots;
	uint32_t slot_count; /* a power of two, at least twice the cap */
	uint32_t cap, used;
	uint64_t untold; /* sessions of hosts that found no room */
};

struct report_file {
	char path[PATH_MAX_SHOWN];
	char fault[128];
	uint64_t bytes;
	uint8_t sha256[DIGEST_SHA256_SIZE];
	bool has_sha256, has_fault;
};

struct report {
	struct report_options options;
	struct budget *budget;
	uint64_t sessions, upgraded, in_clear, with_credentials, mails;
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t alerts, by_severity[SEVERITY_COUNT], by_rule[RULE_COUNT], untold_alerts;
	int64_t first_ns, last_ns;
	struct timeline timeline;
	struct host_table servers, clients;
	struct report_file *files;
	uint32_t file_count;
	uint64_t untold_files;
	struct report_alert *kept;
	uint32_t kept_count;
	uint32_t oldest[SEVERITY_COUNT], newest[SEVERITY_COUNT];
};

#endif
