/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same alert for consumers that do not speak ECS: Suricata's EVE, and the
 * Open Cybersecurity Schema Framework; and for syslog, CEF. All carry event.id, rule and reason, so
 * that the ECS document can be found again.
 */
#ifndef ALERTS_ALERT_FORMAT_H
#define ALERTS_ALERT_FORMAT_H

#include "alerts/alert.h"

/* In the order of the words of --alert-format. */
enum alert_format {
	ALERT_FORMAT_ECS,
	ALERT_FORMAT_EVE,  /* Suricata: event_type "alert" */
	ALERT_FORMAT_OCSF, /* OCSF 1.3 Detection Finding, class 2004 */
};

/* Writes an identified alert. False, and the buffer as before, when there was no room. */
bool alert_write_as(enum alert_format format, const struct alert *alert,
		    const struct record_origin *origin, struct digester *digester,
		    struct buffer *out);

/*
 * EVE. alert.severity counts down from 4 (low) to 1 (critical); signature_id is
 * 1025001 and up in rule order, in the range that is left to local rules.
 */
void alert_add_eve(struct json *json, const struct alert *alert, const struct record_origin *origin,
		   struct digester *digester);

/* OCSF. A summary alert is the Update of a finding, every other its Create. */
void alert_add_ocsf(struct json *json, const struct alert *alert,
		    const struct record_origin *origin, struct digester *digester);

/*
 * CEF, one line without its end: for syslog, which has a frame of its own. False, and the
 * buffer as before, when there was no room.
 */
bool alert_write_cef(const struct alert *alert, const struct record_origin *origin,
		     struct buffer *out);

#endif
