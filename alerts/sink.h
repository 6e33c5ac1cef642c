/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where alerts and session records go: files, standard output, Redis.
 *
 * A sink takes documents that are ready to be written. Its operations are one of
 * the two places with function pointers: whoever judges need not know what is
 * behind. Operations never block on a network or on a full disk for longer
 * than a write to a file takes; what a sink could not take it counts and says.
 */
#ifndef ALERTS_SINK_H
#define ALERTS_SINK_H

#include "alerts/alert.h"
#include "decoders/span.h"

/* One alert, ready to go. Borrowed for the call. */
struct sink_alert {
	struct span id; /* event.id, 32 hex digits */
	enum rule rule;
	enum severity severity;
	struct span sensor;
	struct span json; /* the document without a line end */
	/* What it was made of, for a sink that writes another form. */
	const struct alert *alert;
	const struct record_origin *origin;
};

struct sink;

struct sink_ops {
	/* Each returns false when the sink has failed; sink->error then says why. */
	bool (*alert)(struct sink *sink, const struct sink_alert *alert);
	bool (*session)(struct sink *sink, struct span json);
	bool (*flush)(struct sink *sink);
	/* The file may have been moved away (logrotate): open it anew. */
	bool (*reopen)(struct sink *sink);
	/*
	 * Delivers what can still be delivered and frees the sink. False: something was not
	 * delivered, now or earlier; why stands in error, in one sentence.
	 */
	bool (*close)(struct sink *sink, char *error, size_t error_size);
};

#define SINK_ERROR_MAX 512

/* The head of every sink; the rest is the implementation's. */
struct sink {
	const struct sink_ops *ops;
	bool failed;                  /* sticky: something was not delivered */
	uint64_t refused;             /* documents that were lost, or may be torn */
	char error[SINK_ERROR_MAX];   /* the first failure, one sentence that names what and why */
	char warning[SINK_ERROR_MAX]; /* to be logged; whoever does empties it. "": nothing */
};

#endif
