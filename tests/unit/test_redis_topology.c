/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_topology.h"

#include <criterion/criterion.h>

Test(redis_reply_class, knows_the_errors_of_redis)
{
	static const struct {
		const char *text;
		enum redis_reply_class class;
	} cases[] = {
	    {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_CLASS_RETRY},
	    {"LOADING Redis is loading the dataset in memory", REDIS_CLASS_RETRY},
	    {"MISCONF Redis is configured to save RDB snapshots", REDIS_CLASS_RETRY},
	    {"NOREPLICAS Not enough good replicas to write.", REDIS_CLASS_RETRY},
	    {"CLUSTERDOWN The cluster is down", REDIS_CLASS_RETRY},
	    {"TRYAGAIN Multiple keys request during rehashing of slot", REDIS_CLASS_RETRY},
	    {"ERR max number of clients reached", REDIS_CLASS_RETRY},
	    {"SOMETHING nobody has seen", REDIS_CLASS_RETRY},
	    {"READONLY You can't write against a read only replica.", REDIS_CLASS_ELSEWHERE},
	    {"MASTERDOWN Link with MASTER is down", REDIS_CLASS_ELSEWHERE},
	    {"MOVED 3999 127.0.0.1:6381", REDIS_CLASS_MOVED},
	    {"ASK 3999 127.0.0.1:6381", REDIS_CLASS_ASK},
	    {"EXECABORT Transaction discarded because of previous errors.", REDIS_CLASS_ABORTED},
	    {"NOAUTH Authentication required.", REDIS_CLASS_FATAL_CONFIG},
	    {"WRONGPASS invalid username-password pair or user is disabled.",
	     REDIS_CLASS_FATAL_CONFIG},
	    {"NOPERM this user has no permissions", REDIS_CLASS_FATAL_CONFIG},
	    {"WRONGTYPE Operation against a key", REDIS_CLASS_FATAL_CONFIG},
	    {"ERR unknown command 'XADD'", REDIS_CLASS_FATAL_CONFIG},
	    {"ERR Protocol error: invalid bulk length", REDIS_CLASS_FATAL_ALERT},
	    {"ERR string exceeds maximum allowed size", REDIS_CLASS_FATAL_ALERT},
	    {"", REDIS_CLASS_RETRY},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(redis_reply_classify(span_str(cases[i].text)), cases[i].class, "%s",
			     cases[i].text);
	/* The reason is worth more than the abort that it led to. */
	cr_expect_eq(redis_reply_worse(REDIS_CLASS_ABORTED, REDIS_CLASS_RETRY), REDIS_CLASS_RETRY);
	cr_expect_eq(redis_reply_worse(REDIS_CLASS_MOVED, REDIS_CLASS_ABORTED), REDIS_CLASS_MOVED);
}

Test(redis_topology, hashes_keys_as_the_cluster_does)
{
	/* Redis Cluster Specification, and CLUSTER KEYSLOT of Redis 7.0. */
	static const struct {
		const char *key;
		unsigned slot;
	} cases[] = {
	    {"123456789", 0x31c3},
	    {"foo", 12182},
	    {"", 0},
	    {"{user1000}.following", 3443},
	    {"{user1000}.followers", 3443},
	    {"foo{}{bar}", 8363},
	    {"foo{{bar}}zap", 4015},
	    {"foo{bar}{zap}", 5061},
	    {"bar", 5061},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(redis_key_slot(span_str(cases[i].key)), cases[i].slot, "%s: %u",
			     cases[i].key, redis_key_slot(span_str(cases[i].key)));
}

Test(redis_topology, reads_redirections)
{
	static const struct {
		const char *text;
		bool good;
		unsigned slot;
		const char *host;
		unsigned port;
	} cases[] = {
	    {"MOVED 3999 127.0.0.1:6381", true, 3999, "127.0.0.1", 6381},
	    {"ASK 0 node.example:1", true, 0, "node.example", 1},
	    {"MOVED 16383 ::1:6381", true, 16383, "::1", 6381},
	    {"MOVED 5 :6381", true, 5, "", 6381},
	    {"MOVED 16384 a:1", false, 0, "", 0},
	    {"MOVED 1 a:0", false, 0, "", 0},
	    {"MOVED 1 a:65536", false, 0, "", 0},
	    {"MOVED 1 a", false, 0, "", 0},
	    {"MOVED x a:1", false, 0, "", 0},
	    {"MOVED 1", false, 0, "", 0},
	    {"MOVED", false, 0, "", 0},
	    {"", false, 0, "", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct redis_endpoint endpoint;
		unsigned slot;
		bool good = redis_redirect_parse(span_str(cases[i].text), &slot, &endpoint);
		cr_expect_eq(good, cases[i].good, "%s", cases[i].text);
		if (!good || !cases[i].good)
			continue;
		cr_expect_eq(slot, cases[i].slot, "%s", cases[i].text);
		cr_expect_str_eq(endpoint.host, cases[i].host, "%s", cases[i].text);
		cr_expect_eq(endpoint.port, cases[i].port, "%s", cases[i].text);
	}
}
