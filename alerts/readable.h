/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints and times as people read them: on a terminal, in a page. */
#ifndef ALERTS_READABLE_H
#define ALERTS_READABLE_H

#include "alerts/buffer.h"
#include "decoders/addr.h"

/* "192.0.2.1:25", "[2001:db8::1]:25"; an address alone, without brackets, where the port is 0. */
void buffer_add_endpoint(struct buffer *buffer, const struct endpoint *endpoint);

/* "2026-01-02 03:04:05" in UTC, of ns since 1970. */
void buffer_add_short_time(struct buffer *buffer, int64_t time_ns);

#endif
