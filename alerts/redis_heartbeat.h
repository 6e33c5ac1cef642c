/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat as a hash that expires. */
#ifndef ALERTS_REDIS_HEARTBEAT_H
#define ALERTS_REDIS_HEARTBEAT_H

#include "alerts/heartbeat.h"
#include "alerts/redis_batch.h"

/*
 * Sets the fields and the expiry in one transaction, so that the hash cannot stay
 * without an end, and reads the replies.
 */
struct redis_outcome redis_heartbeat_send(struct redis_link *link, const char *key,
					  const struct heartbeat *beat, unsigned expire_s);

#endif
