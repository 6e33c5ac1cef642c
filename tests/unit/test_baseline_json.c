/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_json.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct output {
	struct budget budget;
	struct buffer buffer;
	struct json json;
};

static void begin(struct output *output)
{
	budget_init(&output->budget, 1 << 20);
	buffer_init(&output->buffer, &output->budget, 1 << 16);
	output->json = json_into(&output->buffer, false);
}

static const char *text_of(struct output *output)
{
	cr_assert_not(output->buffer.failed);
	buffer_add_char(&output->buffer, '\0');
	return buffer_span(&output->buffer).ptr == NULL ? "" : output->buffer.bytes;
}

static void expect(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no %s in %s", part, text);
}

Test(baseline_json, versions_have_words)
{
	static const struct {
		uint16_t version;
		const char *word;
	} cases[] = {{0x0002, "SSL 2.0"}, {0x0300, "SSL 3.0"}, {0x0301, "1.0"},    {0x0302, "1.1"},
		     {0x0303, "1.2"},     {0x0304, "1.3"},     {0x0305, "unknown"}};
	cr_expect_null(baseline_version_word(0));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_expect_str_eq(baseline_version_word(cases[i].version), cases[i].word);
}

Test(baseline_json, a_server_is_told_whole)
{
	struct output output;
	struct server_memory server = {
	    .endpoint = {.addr = {.bytes = {192, 0, 2, 1}, .version = 4}, .port = 587},
	    .name = "mx.example.org",
	    .pinned = true,
	    .sessions = 12,
	    .first_s = 1700000000,
	    .best_version = 0x0304,
	    .network_count = 1,
	    .networks = {{.network = {.bytes = {10, 0, 7, 0}, .version = 4},
			  .offers = 7,
			  .missing = 9}},
	    .certificate_count = 1,
	    .certificates = {{.sha256 = {0xab}, .self_signed = true, .sessions = 3}},
	};
	begin(&output);
	baseline_json_server(&output.json, &server);
	const char *text = text_of(&output);
	expect(text, "{\"server\":{\"ip\":\"192.0.2.1\",\"port\":587,\"name\":\"mx.example.org\"}");
	expect(text, "\"pinned\":true,\"known_to_offer\":true");
	expect(text, "\"sessions\":12");
	expect(text, "\"first_seen\":\"2023-11-14T22:13:20");
	expect(text, "\"last_seen\":null");
	expect(text, "\"best_version\":\"1.3\"");
	expect(text, "[{\"network\":\"10.0.7.0\",\"offers\":7,\"missing\":9}]");
	expect(text, "\"sha256\":\"ab00");
	expect(text, "\"self_signed\":true");
	buffer_free(&output.buffer);
}

/* What was never seen is null, not 1970; what is not known is not known to be offered. */
Test(baseline_json, a_server_of_which_nothing_is_known)
{
	struct output output;
	const struct server_memory server = {.endpoint = {.addr = {.version = 6}, .port = 25}};
	begin(&output);
	baseline_json_server(&output.json, &server);
	const char *text = text_of(&output);
	expect(text, "\"ip\":\"::\"");
	expect(text, "\"known_to_offer\":false");
	expect(text, "\"first_seen\":null");
	expect(text, "\"best_version\":null");
	expect(text, "\"client_networks\":[],\"certificates\":[]}");
	cr_expect_null(strstr(text, "1970"));
	buffer_free(&output.buffer);
}

Test(baseline_json, a_client_is_told_whole_or_its_last_day)
{
	struct output output;
	struct client_exposure client = {
	    .client = {.bytes = {10, 0, 0, 1}, .version = 4},
	    .sessions = 9,
	    .day_sessions = 2,
	    .last_s = 1700000000,
	    .servers_more = true,
	    .server_count = 1,
	    .servers = {{.addr = {.bytes = {192, 0, 2, 1}, .version = 4}, .port = 25}},
	    .mechanisms = "PLAIN LOGIN",
	};
	begin(&output);
	baseline_json_client(&output.json, &client, false);
	const char *text = text_of(&output);
	expect(text, "{\"client\":{\"ip\":\"10.0.0.1\"},\"sessions\":9,");
	expect(text, "\"mechanisms\":[\"PLAIN\",\"LOGIN\"]");
	expect(text, "\"servers\":[{\"ip\":\"192.0.2.1\",\"port\":25}],\"servers_more\":true}");
	cr_expect_null(strstr(text, "accounts"), "none was asked for");
	buffer_clear(&output.buffer);
	output.json = json_into(&output.buffer, false);
	memcpy(client.accounts, "a b", 4);
	baseline_json_client(&output.json, &client, true);
	text = text_of(&output);
	expect(text, "\"sessions\":2,");
	expect(text, "\"accounts\":[\"a\",\"b\"]");
	buffer_free(&output.buffer);
}
