/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/progress.h"

#include "alerts/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#define MS          INT64_C(1000000)
#define SECOND      (1000 * MS)
#define FIRST_NS    (300 * MS)
#define INTERVAL_NS (100 * MS)
/* Before this nothing is said of the time that is left: it would jump. */
#define FORECAST_NS (2 * SECOND)
#define BAR_MIN     10U
#define BAR_MAX     40U

void progress_init(struct progress *progress, FILE *terminal)
{
	int64_t now = terminal != NULL ? clock_now_ns(CLOCK_MONOTONIC) : 0;
	*progress =
	    (struct progress){.terminal = terminal, .started_ns = now, .next_ns = now + FIRST_NS};
}

/* The text and a number of bytes with the unit that keeps it short. */
static size_t put_size(char *text, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;
	uint64_t rest = 0;
	while (bytes >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
		rest = bytes % 1024;
		bytes /= 1024;
		unit++;
	}
	int len = unit == 0 ? snprintf(text, size, "%" PRIu64 " B", bytes)
			    : snprintf(text, size, "%" PRIu64 ".%" PRIu64 " %s", bytes,
				       rest * 10 / 1024, units[unit]);
	return (size_t)len;
}

static size_t put_left(char *text, size_t size, const struct progress_state *state,
		       int64_t elapsed_ns)
{
	double part = (double)state->done / (double)state->total;
	if (elapsed_ns < FORECAST_NS || part <= 0.001 || part >= 1)
		return 0;
	uint64_t left = (uint64_t)((double)elapsed_ns / (double)SECOND * (1 / part - 1) + 0.5);
	return (size_t)snprintf(text, size, ", %" PRIu64 ":%02" PRIu64 " left", left / 60,
				left % 60);
}

size_t progress_text(const struct progress_state *state, int64_t elapsed_ns, unsigned columns,
		     char text[PROGRESS_TEXT])
{
	char words[PROGRESS_TEXT / 2];
	size_t len = (size_t)snprintf(words, sizeof words, "%" PRIu64 " packets", state->packets);
	size_t room = columns > 1 ? columns - 1 : 0; /* in the last column some terminals wrap */
	size_t bar = 0, at = 0;

	if (room > PROGRESS_TEXT - 1)
		room = PROGRESS_TEXT - 1;
	if (state->total == 0) {
		len += (size_t)snprintf(words + len, sizeof words - len, ", ");
		len += put_size(words + len, sizeof words - len, state->done);
		(void)snprintf(words + len, sizeof words - len, " read");
		at = (size_t)snprintf(text, PROGRESS_TEXT, "%s", words);
	} else {
		uint64_t done = state->done < state->total ? state->done : state->total;
		unsigned percent = (unsigned)((double)done * 100 / (double)state->total);
		(void)put_left(words + len, sizeof words - len, state, elapsed_ns);
		char tail[PROGRESS_TEXT / 2 + 16];
		size_t tail_len = (size_t)snprintf(tail, sizeof tail, "%3u %%  %s", percent, words);
		if (room >= tail_len + BAR_MIN + 3)
			bar = room - tail_len - 3 < BAR_MAX ? room - tail_len - 3 : BAR_MAX;
		if (bar > 0) {
			size_t filled = bar * percent / 100;
			text[0] = '[';
			memset(text + 1, '-', bar);
			memset(text + 1, '#', filled);
			memcpy(text + 1 + bar, "] ", 2);
			at = bar + 3;
		}
		at += (size_t)snprintf(text + at, PROGRESS_TEXT - at, "%s", tail);
	}
	if (at > room) {
		at = room;
		text[at] = '\0';
	}
	return at;
}

void progress_show(struct progress *progress, const struct progress_state *state)
{
	if (progress->terminal == NULL)
		return;
	int64_t now = clock_now_ns(CLOCK_MONOTONIC);
	if (now < progress->next_ns)
		return;
	progress->next_ns = now + INTERVAL_NS;
	struct winsize window;
	unsigned columns = 80;
	if (ioctl(fileno(progress->terminal), TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
		columns = window.ws_col;
	char text[PROGRESS_TEXT];
	(void)progress_text(state, now - progress->started_ns, columns, text);
	fprintf(progress->terminal, PROGRESS_ERASE "%s", text);
	(void)fflush(progress->terminal);
	progress->drawn = true;
}

void progress_clear(struct progress *progress)
{
	if (!progress->drawn)
		return;
	fputs(PROGRESS_ERASE, progress->terminal);
	(void)fflush(progress->terminal);
	progress->drawn = false;
}
