/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts to the syslog daemon of this host, as CEF, by its datagram socket.
 *
 * The frame is the one of syslog(3), "<PRI>Mmm dd hh:mm:ss stripwatch[PID]: ": on a local
 * socket neither journald nor rsyslog (as it is configured by default) reads the header of
 * RFC 5424. Facility daemon; the level follows the severity from notice to critical.
 *
 * A socket that takes nothing, or a daemon that is away, makes nobody wait: alerts stay in
 * a bounded queue, the lowest severity gives way when it is full, and the daemon is looked
 * for again, at most once a second.
 */
#ifndef ALERTS_SINK_SYSLOG_H
#define ALERTS_SINK_SYSLOG_H

#include "alerts/sink.h"

struct sink_syslog_config {
	const char *path;   /* of the socket: /dev/log */
	size_t queue_bytes; /* of alerts that wait for the daemon */
	unsigned wait_ms;   /* an alert waits this long for room (replay); 0: it never waits */
	unsigned drain_ms;  /* at the end, for what still waits */
};

/* Connects. NULL with one sentence in error: there is no such socket. */
struct sink *sink_syslog_open(const struct sink_syslog_config *config, char error[SINK_ERROR_MAX]);

#endif
