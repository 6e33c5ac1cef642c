/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery to Redis as an output of a run: outbox and Redis sink put together
 * as the options say, behind the operations that every output has.
 */
#ifndef SENSOR_DELIVERY_H
#define SENSOR_DELIVERY_H

#include "alerts/sink.h"
#include "alerts/sink_redis.h"
#include "sensor/log.h"
#include "sensor/options.h"

/*
 * Opens the outbox and starts to deliver. wait: whoever raises alerts waits
 * for room (replay); otherwise it never does (watch). log is borrowed. NULL with
 * one sentence in error.
 */
struct sink *delivery_open(const struct options *options, bool wait, const struct log *log,
			   char error[SINK_ERROR_MAX]);

/* What the next heartbeats say, see sink_redis_set_heartbeat(). sink is of delivery_open(). */
void delivery_set_heartbeat(struct sink *sink, const struct heartbeat *told);

#endif
