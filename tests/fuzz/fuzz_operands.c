/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed as one word: entries of the allow-list and Redis URLs. */
#include "alerts/allow.h"
#include "alerts/redis_url.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct allow_entry entry;
	char error[256] = "", said[600];
	struct redis_url url;
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (allow_parse(span_of(data, size), &entry, error, sizeof error)) {
		FUZZ_REQUIRE(strlen(entry.name) <= ALLOW_NAME_MAX);
		FUZZ_REQUIRE(entry.client.prefix_len <= 128 && entry.server.prefix_len <= 128);
	} else {
		FUZZ_REQUIRE(error[0] != '\0');
	}
	error[0] = '\0';
	if (redis_url_parse(text, &url, error, sizeof error)) {
		FUZZ_REQUIRE(url.seed_count > 0 && url.seed_count <= REDIS_SEEDS_MAX);
		(void)redis_url_describe(&url, said, sizeof said);
		/* A password that stands nowhere else in the URL is not in what a log says. */
		size_t len = strlen(url.password);
		bool elsewhere = strstr(url.user, url.password) != NULL ||
				 strstr(url.master, url.password) != NULL;
		for (size_t i = 0; i < url.seed_count; i++)
			elsewhere = elsewhere || strstr(url.seeds[i].host, url.password) != NULL ||
				    strstr(url.seeds[i].path, url.password) != NULL;
		if (len >= 8 && !elsewhere)
			FUZZ_REQUIRE(strstr(said, url.password) == NULL);
		redis_url_scrub(text);
		redis_url_wipe(&url);
	} else {
		FUZZ_REQUIRE(error[0] != '\0');
	}
	free(text);
	return 0;
}
