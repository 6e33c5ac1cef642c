/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/exposure.h"

#include "alerts/sentence.h"

static bool has_word(const char *list, const char *word, size_t len)
{
	for (const char *at = list; *at != '\0';) {
		size_t size = strcspn(at, " ");
		if (size == len && memcmp(at, word, len) == 0)
			return true;
		at += size;
		at += strspn(at, " ");
	}
	return false;
}

void exposure_add_word(char *list, size_t size, struct span word)
{
	char clean[TEXT_MAX];
	size_t used = strlen(list), blank = used > 0 ? 1 : 0;
	word = span_head(word, sizeof clean);
	for (size_t i = 0; i < word.len; i++) {
		uint8_t c = word.ptr[i];
		clean[i] = c > ' ' && c < 0x7f && c != '"' && c != '\\' ? (char)c : '?';
	}
	if (word.len == 0 || used + blank + word.len >= size || has_word(list, clean, word.len))
		return;
	if (blank > 0)
		list[used] = ' ';
	memcpy(list + used + blank, clean, word.len);
	list[used + blank + word.len] = '\0';
}

void exposure_add_server(struct client_exposure *exposure, const struct endpoint *server)
{
	for (unsigned i = 0; i < exposure->server_count; i++)
		if (exposure->servers[i].port == server->port &&
		    ip_addr_equal(&exposure->servers[i].addr, &server->addr))
			return;
	if (exposure->server_count == EXPOSURE_SERVERS)
		exposure->servers_more = true;
	else
		exposure->servers[exposure->server_count++] = *server;
}

static void add_seen(struct client_exposure *exposure, int64_t first_s, int64_t last_s)
{
	if (exposure->first_s == 0 || (first_s != 0 && first_s < exposure->first_s))
		exposure->first_s = first_s;
	if (exposure->last_s < last_s)
		exposure->last_s = last_s;
}

void exposure_learn(struct client_exposure *exposure, const struct session_facts *facts,
		    int64_t time_s)
{
	int64_t day = time_s / EXPOSURE_DAY_S;
	exposure->client = facts->client.addr;
	add_seen(exposure, time_s, time_s);
	if (exposure->sessions < UINT32_MAX)
		exposure->sessions++;
	if (day > exposure->day) {
		exposure->day = day;
		exposure->day_first_s = time_s;
		exposure->day_sessions = 0;
	}
	if (day == exposure->day) {
		if (time_s < exposure->day_first_s)
			exposure->day_first_s = time_s;
		if (exposure->day_sessions < UINT32_MAX)
			exposure->day_sessions++;
	}
	exposure_add_server(exposure, &facts->server);
	exposure_add_word(exposure->mechanisms, sizeof exposure->mechanisms,
			  session_facts_text(facts, TEXT_AUTH_MECHANISM));
	exposure_add_word(exposure->accounts, sizeof exposure->accounts,
			  session_facts_text(facts, TEXT_ACCOUNT));
}

static void merge_words(char *list, size_t size, const char *other)
{
	while (*other != '\0') {
		size_t len = strcspn(other, " ");
		exposure_add_word(list, size, span_of(other, len));
		other += len;
		other += strspn(other, " ");
	}
}

void exposure_merge(struct client_exposure *exposure, const struct client_exposure *other)
{
	uint32_t room = UINT32_MAX - exposure->sessions;
	add_seen(exposure, other->first_s, other->last_s);
	exposure->sessions += other->sessions > room ? room : other->sessions;
	exposure->servers_more |= other->servers_more;
	for (unsigned i = 0; i < other->server_count; i++)
		exposure_add_server(exposure, &other->servers[i]);
	merge_words(exposure->mechanisms, sizeof exposure->mechanisms, other->mechanisms);
	merge_words(exposure->accounts, sizeof exposure->accounts, other->accounts);
}

static bool comes_before(const struct client_exposure *a, const struct client_exposure *b)
{
	if (a->day_sessions != b->day_sessions)
		return a->day_sessions > b->day_sessions;
	return ip_addr_compare(&a->client, &b->client) < 0;
}

void exposure_day_add(struct exposure_day *day, const struct client_exposure *exposure)
{
	day->clients++;
	day->sessions += exposure->day_sessions;
	if (day->first_s == 0 || exposure->day_first_s < day->first_s)
		day->first_s = exposure->day_first_s;
	if (exposure->last_s > day->last_s)
		day->last_s = exposure->last_s;
	unsigned at = day->row_count;
	while (at > 0 && comes_before(exposure, &day->rows[at - 1]))
		at--;
	if (at == EXPOSURE_DAY_ROWS)
		return;
	unsigned behind =
	    (day->row_count < EXPOSURE_DAY_ROWS ? day->row_count : EXPOSURE_DAY_ROWS - 1) - at;
	memmove(&day->rows[at + 1], &day->rows[at], behind * sizeof day->rows[0]);
	day->rows[at] = *exposure;
	if (day->row_count < EXPOSURE_DAY_ROWS)
		day->row_count++;
}

static void say_list(struct finding *finding, const char *list)
{
	for (bool first = true; *list != '\0'; first = false) {
		size_t len = strcspn(list, " ");
		sentence_text(finding, first ? "" : ", ");
		sentence_wire(finding, span_of(list, len));
		list += len;
		list += strspn(list, " ");
	}
}

void exposure_day_finding(const struct exposure_day *day, struct finding *finding)
{
	const struct client_exposure *worst = &day->rows[0];
	*finding = (struct finding){
	    .rule = RULE_PLAINTEXT_CREDENTIALS,
	    .severity = SEVERITY_HIGH,
	    .confidence = CONFIDENCE_CERTAIN,
	    .reason = "daily-summary",
	};
	sentence_count(finding, day->clients, "client");
	sentence_text(finding, " sent credentials without TLS in ");
	sentence_count(finding, day->sessions, "session");
	sentence_text(finding, " on the day that began at ");
	sentence_time(finding, day->day * EXPOSURE_DAY_S);
	sentence_text(finding, day->clients > 1 ? ", most often " : ": ");
	sentence_address(finding, &worst->client);
	sentence_text(finding, " (");
	sentence_count(finding, worst->day_sessions, "session");
	if (worst->mechanisms[0] != '\0') {
		sentence_text(finding, " with ");
		say_list(finding, worst->mechanisms);
	}
	sentence_text(finding, ").");
}
