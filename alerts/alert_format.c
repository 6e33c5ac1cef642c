/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/alert_format.h"

bool alert_write_as(enum alert_format format, const struct alert *alert,
		    const struct record_origin *origin, struct digester *digester,
		    struct buffer *out)
{
	size_t start = out->len;
	struct json json = json_into(out, origin->show_addresses);
	switch (format) {
	case ALERT_FORMAT_ECS:
		return alert_write(alert, origin, digester, out);
	case ALERT_FORMAT_EVE:
		alert_add_eve(&json, alert, origin, digester);
		break;
	case ALERT_FORMAT_OCSF:
		alert_add_ocsf(&json, alert, origin, digester);
		break;
	}
	if (out->failed) {
		buffer_truncate(out, start);
		return false;
	}
	return true;
}
