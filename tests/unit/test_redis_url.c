/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/redis_url.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(redis_url, reads_every_form)
{
	static const struct {
		const char *text;
		enum redis_kind kind;
		bool tls;
		size_t seeds;
		const char *host, *path, *master, *user, *password;
		unsigned port, database;
	} cases[] = {
	    {"redis://localhost", REDIS_STANDALONE, false, 1, "localhost", "", "", "", NULL, 6379,
	     0},
	    {"redis://127.0.0.1:7000/5", REDIS_STANDALONE, false, 1, "127.0.0.1", "", "", "", NULL,
	     7000, 5},
	    {"redis://[::1]:7000/", REDIS_STANDALONE, false, 1, "::1", "", "", "", NULL, 7000, 0},
	    {"redis://[2001:db8::1]", REDIS_STANDALONE, false, 1, "2001:db8::1", "", "", "", NULL,
	     6379, 0},
	    {"redis://soc:s%3Acr%40t@r1/2", REDIS_STANDALONE, false, 1, "r1", "", "", "soc",
	     "s:cr@t", 6379, 2},
	    {"redis://:only@r1", REDIS_STANDALONE, false, 1, "r1", "", "", "", "only", 6379, 0},
	    {"redis://u:a@b@r1", REDIS_STANDALONE, false, 1, "r1", "", "", "u", "a@b", 6379, 0},
	    {"redis://u:a:b@r1", REDIS_STANDALONE, false, 1, "r1", "", "", "u", "a:b", 6379, 0},
	    {"redis://soc@r1", REDIS_STANDALONE, false, 1, "r1", "", "", "soc", NULL, 6379, 0},
	    {"rediss://r1:7001", REDIS_STANDALONE, true, 1, "r1", "", "", "", NULL, 7001, 0},
	    {"unix:///run/redis.sock", REDIS_STANDALONE, false, 1, "", "/run/redis.sock", "", "",
	     NULL, 0, 0},
	    {"unix://u:p@/run/r%20s?db=3", REDIS_STANDALONE, false, 1, "", "/run/r s", "", "u", "p",
	     0, 3},
	    {"redis-sentinel://a,b:7,[::1]:8/mymaster", REDIS_SENTINEL, false, 3, "a", "",
	     "mymaster", "", NULL, 26379, 0},
	    {"redis-sentinel://u:p@a/m?db=4", REDIS_SENTINEL, false, 1, "a", "", "m", "u", "p",
	     26379, 4},
	    {"rediss-sentinel://a/m", REDIS_SENTINEL, true, 1, "a", "", "m", "", NULL, 26379, 0},
	    {"redis-cluster://a,b", REDIS_CLUSTER, false, 2, "a", "", "", "", NULL, 6379, 0},
	    {"rediss-cluster://a/", REDIS_CLUSTER, true, 1, "a", "", "", "", NULL, 6379, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		struct redis_url url;
		char error[200] = "";
		cr_expect(redis_url_parse(text, &url, error, sizeof(error)), "%s: %s", text, error);
		cr_expect_eq(url.kind, cases[i].kind, "%s", text);
		cr_expect_eq(url.tls, cases[i].tls, "%s", text);
		cr_expect_eq(url.seed_count, cases[i].seeds, "%s", text);
		cr_expect_str_eq(url.seeds[0].host, cases[i].host, "%s", text);
		cr_expect_str_eq(url.seeds[0].path, cases[i].path, "%s", text);
		cr_expect_eq(url.seeds[0].port, cases[i].port, "%s", text);
		cr_expect_str_eq(url.master, cases[i].master, "%s", text);
		cr_expect_str_eq(url.user, cases[i].user, "%s", text);
		cr_expect_eq(url.has_password, cases[i].password != NULL, "%s", text);
		if (cases[i].password != NULL)
			cr_expect_str_eq(url.password, cases[i].password, "%s", text);
		cr_expect_eq(url.database, cases[i].database, "%s", text);
	}
}

Test(redis_url, refuses_what_is_none_and_never_repeats_a_secret)
{
	static const char *const cases[] = {
	    "",
	    "localhost:6379",
	    "http://u:hunter2@r1",
	    "redis://",
	    "redis://u:hunter2@",
	    "redis://u:hunter2@r1:0",
	    "redis://u:hunter2@r1:65536",
	    "redis://u:hunter2@r1:x",
	    "redis://u:hunter2@r1:",
	    "redis://u:hunter2@r1/x",
	    "redis://u:hunter2@r1/70000",
	    "redis://u:hunter2@a,b",
	    "redis://u:hunter2%4@r1",
	    "redis://u:hunter2%00@r1",
	    "redis://u:hunter2@r1?x=1",
	    "redis://u:hunter2@[::1",
	    "redis://u:hunter2@[::1]x",
	    "unix://",
	    "unix:///",
	    "unix://host/path",
	    "redis-sentinel://a",
	    "redis-sentinel://a/",
	    "redis-sentinel://a,,b/m",
	    "redis-sentinel://1,2,3,4,5,6,7,8,9/m",
	    "redis-cluster://a/1",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct redis_url url;
		char error[200] = "";
		cr_expect_not(redis_url_parse(cases[i], &url, error, sizeof(error)), "%s",
			      cases[i]);
		cr_expect_neq(error[0], '\0', "%s", cases[i]);
		cr_expect_null(strstr(error, "hunter2"), "%s", error);
	}
}

Test(redis_url, is_shown_without_the_password)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
	    {"redis://u:hunter2@r1:7/2", "redis://u@r1:7"},
	    {"rediss://:hunter2@[::1]", "rediss://[::1]:6379"},
	    {"unix://u:hunter2@/run/s", "unix://u@/run/s"},
	    {"redis-sentinel://u:hunter2@a,b/m", "redis-sentinel://u@a:26379,.../m"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct redis_url url;
		char text[300];
		cr_assert(redis_url_parse(cases[i].text, &url, text, sizeof(text)));
		cr_expect_str_eq(redis_url_describe(&url, text, sizeof(text)), cases[i].shown);
		redis_url_wipe(&url);
		for (size_t at = 0; at < sizeof(url.password); at++)
			cr_assert_eq(url.password[at], 0);
	}
}

Test(redis_url, is_scrubbed_in_place)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
	    {"redis://u:hunter2@r1:7/2", "redis://u@r1:7/2"},
	    {"--redis=redis://:hunter2@r1", "--redis=redis://@r1"},
	    {"redis://u:hun/ter2@r1", "redis://u@r1"},
	    {"redis://u:hun@ter2@r1/1", "redis://u@r1/1"},
	    {"unix://u:hunter2@/s", "unix://u@/s"},
	    {"redis://r1:7", "redis://r1:7"},
	    {"--config", "--config"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64] = "";
		size_t length = strlen(cases[i].before);
		memcpy(text, cases[i].before, length);
		redis_url_scrub(text);
		cr_expect_str_eq(text, cases[i].after);
		/* Nothing of it stays behind the end either. */
		for (size_t at = strlen(text); at < length; at++)
			cr_expect_eq(text[at], '\0', "%s", cases[i].before);
	}
}

Test(redis_url, reads_a_password_file)
{
	char path[] = "/tmp/stripwatch-password-XXXXXX";
	char error[200];
	struct redis_url url;
	int fd = mkstemp(path);

	cr_assert(redis_url_parse("redis://u:old@r1", &url, error, sizeof(error)));
	cr_expect_not(redis_url_read_password(&url, path, error, sizeof(error)), "empty");
	cr_assert_eq(write(fd, "new one\r\nmore", 13), 13);
	cr_expect(redis_url_read_password(&url, path, error, sizeof(error)), "%s", error);
	cr_expect_str_eq(url.password, "new one");
	char longest[REDIS_SECRET_MAX + 8];
	memset(longest, 'x', sizeof(longest));
	cr_assert_eq(pwrite(fd, longest, sizeof(longest), 0), (ssize_t)sizeof(longest));
	cr_expect_not(redis_url_read_password(&url, path, error, sizeof(error)), "too long");
	close(fd);
	unlink(path);
	cr_expect_not(redis_url_read_password(&url, path, error, sizeof(error)), "missing");
}
