/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/tail_line.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 65536

static struct budget budget;
static struct buffer line;

static void begin(void)
{
	budget_init(&budget, 4 * LINE_MAX_BYTES);
	buffer_init(&line, &budget, LINE_MAX_BYTES);
}

static void end(void)
{
	buffer_free(&line);
}

TestSuite(tail_line, .init = begin, .fini = end);

static struct tail_entry entry_of(const char *json)
{
	return (struct tail_entry){.id = span_str("0123"),
				   .rule = span_str("starttls-stripped"),
				   .severity = span_str("high"),
				   .sensor = span_str("tap"),
				   .json = span_str(json)};
}

static const char *text_of(void)
{
	buffer_add_char(&line, '\0');
	cr_assert_not(line.failed);
	return line.bytes;
}

Test(tail_line, says_who_where_what)
{
	struct tail_entry entry = entry_of(
	    "{\"@timestamp\":\"2026-01-31T12:00:00.123456Z\",\"source\":{\"ip\":\"192.0.2.1\"},"
	    "\"destination\":{\"ip\":\"2001:db8::9\",\"port\":25},\"smtp\":{\"server_name\":\"mx\"}"
	    ","
	    "\"message\":\"Something.\",\"stripwatch\":{\"count\":12}}");
	tail_line(&line, &entry, false);
	cr_expect_str_eq(text_of(),
			 "2026-01-31 12:00:00 HIGH     192.0.2.1 -> [2001:db8::9]:25 (mx) "
			 "starttls-stripped: Something. [12 sessions]");
	buffer_clear(&line);
	tail_line(&line, &entry, true);
	cr_expect_not_null(strstr(text_of(), "\x1b[31mHIGH    \x1b[0m"));
}

Test(tail_line, reads_eve_and_ocsf_as_well)
{
	struct tail_entry entry =
	    entry_of("{\"timestamp\":\"2026-01-31T12:00:00.123456+0000\",\"event_type\":\"alert\","
		     "\"src_ip\":\"2001:db8::1\",\"dest_ip\":\"192.0.2.9\",\"dest_port\":587,"
		     "\"stripwatch\":{\"message\":\"Something.\",\"count\":3}}");
	tail_line(&line, &entry, false);
	cr_expect_str_eq(text_of(), "2026-01-31 12:00:00 HIGH     2001:db8::1 -> 192.0.2.9:587 "
				    "starttls-stripped: Something. [3 sessions]");
	buffer_clear(&line);
	entry =
	    entry_of("{\"class_uid\":2004,\"time\":1769860800123,\"message\":\"Something.\","
		     "\"count\":1,\"evidences\":[{\"src_endpoint\":{\"ip\":\"192.0.2.1\"},"
		     "\"dst_endpoint\":{\"ip\":\"192.0.2.9\",\"port\":25,\"hostname\":\"mx\"}}]}");
	tail_line(&line, &entry, false);
	cr_expect_str_eq(text_of(), "2026-01-31 12:00:00 HIGH     192.0.2.1 -> 192.0.2.9:25 (mx) "
				    "starttls-stripped: Something.");
	buffer_clear(&line);
	/* Of a path, without endpoints; and nonsense where the form has something else. */
	entry =
	    entry_of("{\"class_uid\":2004,\"time\":\"x\",\"evidences\":{\"0\":1},\"message\":7}");
	tail_line(&line, &entry, false);
	cr_expect_str_eq(text_of(), " HIGH     starttls-stripped: ");
}

Test(tail_line, does_without_a_document)
{
	static const char *const cases[] = {"", "nonsense", "[1,2]", "{\"a\":", "{} {}"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tail_entry entry = entry_of(cases[i]);
		buffer_clear(&line);
		tail_line(&line, &entry, false);
		cr_expect_str_eq(
		    text_of(), "HIGH     starttls-stripped: the document cannot be read, id 0123");
		buffer_clear(&line);
		cr_expect_not(tail_json(&line, &entry), "%s", cases[i]);
	}
}

/* Every control character, DEL, C1 and what reorders text, in every field that is shown. */
Test(tail_line, lets_no_hostile_character_through)
{
	static const char *const hostile[] = {
	    "\\u001b[2J", "\\u0000",    "\\u000a", "\\u000d", "\\u0008", "\\u0007", "\\u007f",
	    "\\u0085",    "\\u009b31m", "\\u202e", "\\u2066", "\\u200f", "\\ufeff",
	};
	static const struct {
		const char *before, *after;
	} places[] = {
	    {"{\"message\":\"", "\"}"},
	    {"{\"@timestamp\":\"", "2026-01-31T12:00:00Z\"}"},
	    {"{\"source\":{\"ip\":\"", "\"}}"},
	    {"{\"destination\":{\"ip\":\"", "\",\"port\":1}}"},
	    {"{\"smtp\":{\"server_name\":\"", "\"}}"},
	};

	for (size_t h = 0; h < sizeof(hostile) / sizeof(hostile[0]); h++) {
		for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
			char json[256];
			(void)snprintf(json, sizeof(json), "%s%s%s", places[p].before, hostile[h],
				       places[p].after);
			struct tail_entry entry = entry_of(json);
			buffer_clear(&line);
			tail_line(&line, &entry, false);
			for (size_t i = 0; i < line.len; i++)
				cr_expect(line.bytes[i] >= 0x20 && line.bytes[i] < 0x7f,
					  "%s at %zu", json, i);
		}
	}
	/* Fields of the entry itself, which anybody with write access to the stream may set. */
	struct tail_entry entry = entry_of("{}");
	entry.rule = span_str("\x1b[2Jrule\xff");
	entry.severity = span_str("\x1b[31m");
	buffer_clear(&line);
	tail_line(&line, &entry, false);
	cr_expect_null(memchr(line.bytes, 0x1b, line.len));
}

Test(tail_line, json_keeps_its_meaning)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"{\"a\":\"caf\xc3\xa9\"}", "{\"a\":\"caf\xc3\xa9\"}"},
	    {"{\"a\":\r\n\t1}", "{\"a\":   1}"},
	    {"{\"a\":\"\x7f\"}", "{\"a\":\"\\u007f\"}"},
	    {"{\"a\":\"\xc2\x9b\"}", "{\"a\":\"\\u009b\"}"},
	    {"{\"a\":\"\xe2\x80\xae\"}", "{\"a\":\"\\u202e\"}"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tail_entry entry = entry_of(cases[i].in);
		buffer_clear(&line);
		cr_expect(tail_json(&line, &entry));
		cr_expect_str_eq(text_of(), cases[i].out);
	}
}
