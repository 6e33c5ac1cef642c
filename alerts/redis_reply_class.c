/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_reply_class.h"

struct rule {
	const char *prefix;
	enum redis_reply_class class;
};

/* The first that matches. Redis 7.0 server.c, cluster.c, acl.c and t_stream.c. */
static const struct rule rules[] = {
    {"MOVED ", REDIS_CLASS_MOVED},
    {"ASK ", REDIS_CLASS_ASK},
    {"EXECABORT", REDIS_CLASS_ABORTED},
    {"LOADING", REDIS_CLASS_RETRY},
    {"OOM", REDIS_CLASS_RETRY},
    {"MISCONF", REDIS_CLASS_RETRY},
    {"BUSY ", REDIS_CLASS_RETRY},
    {"TRYAGAIN", REDIS_CLASS_RETRY},
    {"CLUSTERDOWN", REDIS_CLASS_RETRY},
    {"NOREPLICAS", REDIS_CLASS_RETRY},
    {"ERR max number of clients", REDIS_CLASS_RETRY},
    {"READONLY", REDIS_CLASS_ELSEWHERE},
    {"MASTERDOWN", REDIS_CLASS_ELSEWHERE},
    {"UNBLOCKED", REDIS_CLASS_ELSEWHERE},
    {"NOAUTH", REDIS_CLASS_FATAL_CONFIG},
    {"WRONGPASS", REDIS_CLASS_FATAL_CONFIG},
    {"NOPERM", REDIS_CLASS_FATAL_CONFIG},
    {"WRONGTYPE", REDIS_CLASS_FATAL_CONFIG},
    {"DENIED", REDIS_CLASS_FATAL_CONFIG},
    {"CROSSSLOT", REDIS_CLASS_FATAL_CONFIG},
    {"ERR invalid password", REDIS_CLASS_FATAL_CONFIG},
    {"ERR Client sent AUTH", REDIS_CLASS_FATAL_CONFIG},
    {"ERR AUTH", REDIS_CLASS_FATAL_CONFIG},
    {"ERR operation not permitted", REDIS_CLASS_FATAL_CONFIG},
    {"ERR unknown command", REDIS_CLASS_FATAL_CONFIG},
    {"ERR unknown subcommand", REDIS_CLASS_FATAL_CONFIG},
    {"ERR DB index", REDIS_CLASS_FATAL_CONFIG},
    {"ERR invalid DB index", REDIS_CLASS_FATAL_CONFIG},
    {"ERR SELECT is not allowed", REDIS_CLASS_FATAL_CONFIG},
    {"ERR The stream has exhausted", REDIS_CLASS_FATAL_CONFIG},
    {"ERR This instance has cluster support disabled", REDIS_CLASS_FATAL_CONFIG},
    {"ERR WAIT cannot be used with replica", REDIS_CLASS_ELSEWHERE},
    {"ERR Protocol error", REDIS_CLASS_FATAL_ALERT},
    {"ERR string exceeds maximum", REDIS_CLASS_FATAL_ALERT},
    {"ERR ", REDIS_CLASS_FATAL_ALERT},
};

enum redis_reply_class redis_reply_classify(struct span text)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct span prefix = span_str(rules[i].prefix);
		if (span_equal(span_head(text, prefix.len), prefix))
			return rules[i].class;
	}
	/* An error that nobody has heard of: keeping the alert and trying again loses nothing. */
	return REDIS_CLASS_RETRY;
}

enum redis_reply_class redis_reply_worse(enum redis_reply_class a, enum redis_reply_class b)
{
	/* An abort only says that another reply has the reason. */
	static const int weight[] = {
	    [REDIS_CLASS_GOOD] = 0,        [REDIS_CLASS_ABORTED] = 1,
	    [REDIS_CLASS_FATAL_ALERT] = 2, [REDIS_CLASS_RETRY] = 3,
	    [REDIS_CLASS_ASK] = 4,         [REDIS_CLASS_MOVED] = 5,
	    [REDIS_CLASS_ELSEWHERE] = 6,   [REDIS_CLASS_FATAL_CONFIG] = 7,
	};

	return weight[a] >= weight[b] ? a : b;
}
