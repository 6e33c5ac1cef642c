/* SPDX-License-Identifier: Apache-2.0 */
/* Which connections are followed: those of the mail ports, or all. */
#ifndef SENSOR_MAIL_PORTS_H
#define SENSOR_MAIL_PORTS_H

#include "decoders/tcp.h"

struct mail_ports {
	bool all; /* every connection is followed; port still says where mail is expected */
	const uint16_t *port; /* borrowed */
	size_t count;
};

static inline bool mail_ports_has(const struct mail_ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->count; i++)
		if (ports->port[i] == port)
			return true;
	return false;
}

#endif
