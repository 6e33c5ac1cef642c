/* SPDX-License-Identifier: Apache-2.0 */
/* What an error reply of Redis means for whoever sent the command. */
#ifndef ALERTS_REDIS_REPLY_CLASS_H
#define ALERTS_REDIS_REPLY_CLASS_H

#include "decoders/span.h"

enum redis_reply_class {
	REDIS_CLASS_GOOD,
	REDIS_CLASS_RETRY,        /* later, on the same connection: LOADING, OOM, MISCONF ... */
	REDIS_CLASS_ELSEWHERE,    /* ask again who the master is: READONLY, MASTERDOWN ... */
	REDIS_CLASS_MOVED,        /* the slot is served by another node from now on */
	REDIS_CLASS_ASK,          /* this once, by another node */
	REDIS_CLASS_ABORTED,      /* the transaction, for a reason that an earlier reply gave */
	REDIS_CLASS_FATAL_ALERT,  /* this alert will never be taken */
	REDIS_CLASS_FATAL_CONFIG, /* nothing will be until somebody changes a setting */
};

/* text is an error reply without the '-': "OOM command not allowed ...". */
enum redis_reply_class redis_reply_classify(struct span text);

/* What to do first when a batch got both: the more serious class. */
enum redis_reply_class redis_reply_worse(enum redis_reply_class a, enum redis_reply_class b);

#endif
