/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts on their way into the stream: one MULTI/EXEC on a link, in two steps.
 *
 * What is queued at the server (MULTI and an XADD for each alert) has no effect until
 * EXEC comes, and is forgotten with DISCARD or with the connection. So the next batch can
 * travel and be parsed while the one before it is executed, and still cannot overtake it:
 * its EXEC follows only once the other's was answered.
 *
 * The stream is trimmed by an XTRIM of its own behind each EXEC, not by XADD's MAXLEN. Redis
 * writes an approximate MAXLEN into its append-only file as the exact length that the stream
 * had. After a crash in the middle of a transaction it leaves the torn MULTI there (Redis
 * 7.0; valkey pull request 4342), and when it loads that file the next time, the torn
 * entries come back and every such XADD throws out as many of the oldest: acknowledged
 * alerts would be lost. An XTRIM that removed nothing is not written there at all.
 *
 * Requests are appended to the link; whoever calls flushes it.
 */
#ifndef ALERTS_REDIS_BATCH_H
#define ALERTS_REDIS_BATCH_H

#include "alerts/outbox.h"
#include "alerts/redis_link.h"

/* How an alert becomes an entry. Borrowed texts. */
struct redis_batch_form {
	const char *key;         /* of the stream, and of the channel */
	const char *max_entries; /* decimal: the stream is trimmed to about as many */
	bool publish;            /* PUBLISH the document, too */
};

/* What became of requests. */
struct redis_outcome {
	enum redis_reply_class class; /* GOOD: all of it is done */
	enum redis_failure failure;   /* not FINE: the link is broken */
	size_t culprit;               /* with an error reply: the item that it was for */
	size_t done;                  /* items that are through, counted from the first */
	bool untrimmed;               /* XTRIM was refused; with GOOD, text tells why */
	char text[200];               /* the error reply, or what broke */
};

/* The outcome of a link that failed. */
struct redis_outcome redis_outcome_of(const struct redis_error *error);

/* Takes an error reply into account: the first of the most serious class is remembered. */
void redis_outcome_note(struct redis_outcome *outcome, const struct redis_reply *reply,
			size_t culprit);

/*
 * MULTI and the alerts; with asking, ASKING in front, which holds for the whole
 * transaction. False: no memory, the link is failed.
 */
bool redis_batch_queue(const struct redis_batch_form *form, struct redis_link *link,
		       const struct outbox_batch *batch, bool asking);

/*
 * EXEC, for what was queued; then, if not asking, XTRIM: a redirection for one transaction
 * does not hold for it. False: no memory, the link is failed.
 */
bool redis_batch_execute(const struct redis_batch_form *form, struct redis_link *link, bool asking);

/* Reads all replies to one redis_batch_queue() and its redis_batch_execute(). */
struct redis_outcome redis_batch_read(const struct redis_batch_form *form, struct redis_link *link,
				      const struct outbox_batch *batch, bool asking);

/*
 * Takes back what was queued (not asking) and not executed: sends DISCARD, reads all
 * replies. False: the link is broken, which is as good; see error.
 */
bool redis_batch_discard(const struct redis_batch_form *form, struct redis_link *link,
			 const struct outbox_batch *batch, struct redis_error *error);

#endif
