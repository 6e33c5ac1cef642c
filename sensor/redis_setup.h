/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the options say about Redis: URL, password, TLS. Shared by delivery and tail.
 *
 * A password comes from --redis-password-file, from the URL, or from the
 * environment (STRIPWATCH_REDIS_PASSWORD), in this order; that of the sentinels
 * themselves from STRIPWATCH_SENTINEL_PASSWORD. None of them is ever shown.
 */
#ifndef SENSOR_REDIS_SETUP_H
#define SENSOR_REDIS_SETUP_H

#include "alerts/redis_topology.h"
#include "sensor/options.h"

struct redis_setup {
	struct redis_url url;
	struct redis_tls_context *tls; /* owned; NULL: plain */
};

/* False with one sentence in error. redis_setup_close() in every case. */
bool redis_setup_open(struct redis_setup *setup, const struct options *options, char *error,
		      size_t error_size);

/* Frees, and overwrites the password. */
void redis_setup_close(struct redis_setup *setup);

/* How connections are made. Borrows from setup. */
struct redis_topology_config redis_setup_topology(const struct redis_setup *setup);

#endif
