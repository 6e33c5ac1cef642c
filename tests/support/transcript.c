/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/transcript.h"

#include "decoders/smtp_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_MAX   65536
#define STEPS_MAX 512

enum step_kind { STEP_BYTES, STEP_GAP };

struct step {
	enum step_kind kind;
	enum side side;
	size_t at, len; /* bytes in the pool, or the gap's length */
};

struct transcript {
	char pool[RUN_MAX];
	size_t pool_len;
	struct step steps[STEPS_MAX];
	size_t step_count;
	char expect[32][512];
	size_t expect_count;
	bool client_seen, server_seen, midstream;
	enum session_closed_by closed_by;
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void pool_add(struct transcript *t, char c)
{
	if (t->pool_len < sizeof t->pool)
		t->pool[t->pool_len++] = c;
}

static void add_bytes(struct transcript *t, enum side side, const char *text, bool raw)
{
	struct step *step = &t->steps[t->step_count++];
	*step = (struct step){.kind = STEP_BYTES, .side = side, .at = t->pool_len};
	for (size_t i = 0; text[i] != '\0'; i++) {
		if (!raw || text[i] != '\\') {
			pool_add(t, text[i]);
			continue;
		}
		i++;
		if (text[i] == 'r')
			pool_add(t, '\r');
		else if (text[i] == 'n')
			pool_add(t, '\n');
		else if (text[i] == 'x') {
			pool_add(t, (char)(hex(text[i + 1]) << 4 | hex(text[i + 2])));
			i += 2;
		} else
			pool_add(t, text[i]);
	}
	if (!raw) {
		pool_add(t, '\r');
		pool_add(t, '\n');
	}
	step->len = t->pool_len - step->at;
}

static bool read_line(struct transcript *t, char *line)
{
	if (t->step_count == STEPS_MAX)
		return false;
	if (line[0] == '#' || line[0] == '\0')
		return true;
	if (line[0] == '=') {
		char *save = NULL;
		for (char *word = strtok_r(line + 1, " ", &save); word != NULL;
		     word = strtok_r(NULL, " ", &save))
			snprintf(t->expect[t->expect_count++], sizeof t->expect[0], "%s", word);
		return true;
	}
	if (strncmp(line, "GAP ", 4) == 0) {
		t->steps[t->step_count++] = (struct step){
		    .kind = STEP_GAP,
		    .side = line[4] == 'C' ? SIDE_CLIENT : SIDE_SERVER,
		    .len = strtoul(line + 6, NULL, 10),
		};
		return true;
	}
	if (strncmp(line, "SIDES ", 6) == 0) {
		t->client_seen = strcmp(line + 6, "client") == 0;
		t->server_seen = !t->client_seen;
		return true;
	}
	if (strcmp(line, "MIDSTREAM") == 0) {
		t->midstream = true;
		return true;
	}
	if (strncmp(line, "END ", 4) == 0) {
		for (unsigned i = 0; i < CLOSED_BY_COUNT; i++)
			if (strcmp(line + 4, session_closed_by_word((enum session_closed_by)i)) ==
			    0)
				t->closed_by = (enum session_closed_by)i;
		return true;
	}
	if ((line[0] == 'C' || line[0] == 'S') && (line[1] == ' ' || line[1] == '<')) {
		bool raw = line[1] == '<';
		const char *text = line + 2;
		if (raw && *text == ' ')
			text++;
		add_bytes(t, line[0] == 'C' ? SIDE_CLIENT : SIDE_SERVER, text, raw);
		return true;
	}
	return strcmp(line, "C") == 0 || strcmp(line, "S") == 0
		   ? (add_bytes(t, line[0] == 'C' ? SIDE_CLIENT : SIDE_SERVER, "", false), true)
		   : false;
}

static const char *tri_word(enum tri value)
{
	return value == TRI_TRUE ? "true" : value == TRI_FALSE ? "false" : "null";
}

static const struct {
	const char *word;
	uint32_t bit;
} milestone_words[] = {
    {"ehlo-reply", MILESTONE_EHLO_REPLY},
    {"ehlo-refused", MILESTONE_EHLO_REFUSED},
    {"masked", MILESTONE_MASKED},
    {"starttls-reply", MILESTONE_STARTTLS_REPLY},
    {"mail", MILESTONE_MAIL},
    {"credentials", MILESTONE_CREDENTIALS},
    {"mail-accepted", MILESTONE_MAIL_ACCEPTED},
    {"delivered", MILESTONE_DELIVERED},
    {"injection", MILESTONE_INJECTION},
    {"tls-up", MILESTONE_TLS_UP},
    {"tls-failed", MILESTONE_TLS_FAILED},
    {"plaintext-in-tls", MILESTONE_PLAINTEXT_IN_TLS},
};

/* The facts in the words of a transcript's expectation. */
static void fact_word(const struct session_facts *f, const char *key, char *value, size_t size)
{
	static const struct {
		const char *key;
		enum session_text_id id;
	} texts[] = {
	    {"server", TEXT_SERVER_NAME},
	    {"client", TEXT_CLIENT_NAME},
	    {"auth", TEXT_AUTH_MECHANISM},
	    {"domains", TEXT_RECIPIENT_DOMAINS},
	};
	const struct {
		const char *key;
		unsigned number;
	} numbers[] = {
	    {"code", f->starttls_code},
	    {"mails", f->mails},
	    {"mails_2xx", f->mails_2xx},
	    {"accepted", f->accepted},
	    {"recipients", f->recipients},
	    {"injection", f->injection},
	    {"after_failure", f->mails_after_failure},
	    {"greeting", f->greeting_code},
	    {"masked_keywords", f->masked_keywords},
	    {"failure", f->tls_failure},
	};
	const struct {
		const char *key;
		const char *word;
	} words[] = {
	    {"outcome", session_outcome_word(f->outcome)},
	    {"visibility", session_visibility_word(f->visibility)},
	    {"offered", tri_word(f->offered)},
	    {"requested", tri_word(f->requested)},
	    {"established", tri_word(f->tls.established)},
	    {"masked", f->masked_offer || f->masked_command ? "true" : "false"},
	    {"credentials", f->credentials_in_clear ? "true" : "false"},
	};
	snprintf(value, size, "?");
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(words[i].key, key) == 0)
			snprintf(value, size, "%s", words[i].word);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (strcmp(numbers[i].key, key) == 0)
			snprintf(value, size, "%u", numbers[i].number);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct span text = session_facts_text(f, texts[i].id);
		if (strcmp(texts[i].key, key) == 0)
			snprintf(value, size, "%.*s", (int)text.len,
				 text.len > 0 ? (const char *)text.ptr : "");
	}
	for (size_t i = 0; i < sizeof milestone_words / sizeof milestone_words[0]; i++)
		if (key[0] == '+' && strcmp(milestone_words[i].word, key + 1) == 0)
			snprintf(value, size, "%s",
				 f->milestones & milestone_words[i].bit ? "yes" : "no");
}

struct run {
	struct smtp_session session;
	struct smtp_context context;
	struct budget budget;
	struct dialogue_ring ring;
	struct redaction redaction;
	struct smtp_found found;
	uint64_t skip[2];
};

static void run_bytes(struct run *r, enum side side, struct span bytes)
{
	if (r->skip[side] >= bytes.len) {
		r->skip[side] -= bytes.len;
		return;
	}
	bytes = span_skip(bytes, (size_t)r->skip[side]);
	r->skip[side] = 0;
	struct stream_event event = {.kind = STREAM_DATA, .side = side, .bytes = bytes};
	smtp_session_event(&r->session, &r->context, &event);
	budget_free(&r->budget, r->found.chain, r->found.chain_size);
	r->found = (struct smtp_found){.chain = NULL};
	r->skip[side] = smtp_session_skippable(&r->session, side);
}

static void run_cut(struct run *r, enum side side, struct span bytes, enum transcript_cut cut,
		    size_t at)
{
	if (cut == TRANSCRIPT_BYTES) {
		for (size_t i = 0; i < bytes.len; i++)
			run_bytes(r, side, span_of(bytes.ptr + i, 1));
	} else if (cut == TRANSCRIPT_SPLIT && at > 0 && at < bytes.len) {
		run_bytes(r, side, span_head(bytes, at));
		run_bytes(r, side, span_skip(bytes, at));
	} else {
		run_bytes(r, side, bytes);
	}
}

static size_t run_all(struct run *r, const struct transcript *t, enum transcript_cut cut, size_t at)
{
	size_t longest = 0;
	for (size_t i = 0; i < t->step_count; i++) {
		struct step step = t->steps[i];
		if (step.kind == STEP_GAP) {
			struct stream_event event = {
			    .kind = STREAM_GAP, .side = step.side, .gap_len = step.len};
			smtp_session_event(&r->session, &r->context, &event);
			continue;
		}
		while (cut != TRANSCRIPT_LINES && i + 1 < t->step_count &&
		       t->steps[i + 1].kind == STEP_BYTES && t->steps[i + 1].side == step.side)
			step.len += t->steps[++i].len;
		if (step.len > longest)
			longest = step.len;
		/* A block of its own, so that a read beyond the end is caught. */
		uint8_t *copy = malloc(step.len + 1);
		memcpy(copy, t->pool + step.at, step.len);
		run_cut(r, step.side, span_of(copy, step.len), cut, at);
		free(copy);
	}
	return longest;
}

bool transcript_check(const char *path, enum transcript_cut cut, size_t at, char *error,
		      size_t error_size, size_t *longest)
{
	struct transcript *t = calloc(1, sizeof *t);
	struct run *r = calloc(1, sizeof *r);
	FILE *file = fopen(path, "r");
	char line[4096];
	bool good = true;

	error[0] = '\0';
	if (file == NULL) {
		snprintf(error, error_size, "%s: cannot be read", path);
		good = false;
	}
	t->client_seen = t->server_seen = true;
	t->closed_by = CLOSED_BY_FIN;
	while (good && fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (!read_line(t, line)) {
			snprintf(error, error_size, "%s: not understood: %s", path, line);
			good = false;
		}
	}
	if (file != NULL)
		fclose(file);

	budget_init(&r->budget, 1U << 20);
	dialogue_ring_init(&r->ring, &r->budget, 1U << 16);
	r->context = (struct smtp_context){.budget = &r->budget,
					   .dialogues = &r->ring,
					   .redaction = &r->redaction,
					   .found = &r->found};
	good = smtp_session_init(&r->session, &r->context) && good;
	smtp_session_side(&r->session, SIDE_CLIENT, t->client_seen,
			  t->client_seen && !t->midstream);
	smtp_session_side(&r->session, SIDE_SERVER, t->server_seen,
			  t->server_seen && !t->midstream);
	if (good) {
		*longest = run_all(r, t, cut, at);
		smtp_session_close(&r->session, &r->context, t->closed_by);
	}
	for (size_t i = 0; good && i < t->expect_count; i++) {
		char value[512];
		char *equals = strchr(t->expect[i], '=');
		char key[64];
		size_t key_len =
		    equals != NULL ? (size_t)(equals - t->expect[i]) : strlen(t->expect[i]);
		snprintf(key, sizeof key, "%.*s", (int)key_len, t->expect[i]);
		const char *want = equals != NULL ? equals + 1 : "yes";
		if (key[0] == '-') {
			key[0] = '+';
			want = "no";
		}
		fact_word(&r->session.facts, key, value, sizeof value);
		if (strcmp(value, want) != 0) {
			snprintf(error, error_size, "%s: %s is %s, not %s", path, key, value, want);
			good = false;
		}
	}
	if (good && t->expect_count == 0) {
		snprintf(error, error_size, "%s: expects nothing", path);
		good = false;
	}
	smtp_session_free(&r->session, &r->context);
	dialogue_ring_free(&r->ring, &r->budget);
	if (good && r->budget.used != 0) {
		snprintf(error, error_size, "%s: %zu bytes not given back", path, r->budget.used);
		good = false;
	}
	free(r);
	free(t);
	return good;
}
