/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/progress.h"

#include <criterion/criterion.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

static const struct {
	struct progress_state state;
	int64_t elapsed_ns;
	unsigned columns;
	const char *text;
} rows[] = {
    {{50, 100, 1234}, SECOND, 60, "[##################-------------------]  50 %  1234 packets"},
    {{0, 100, 0}, SECOND, 40, "[--------------------]   0 %  0 packets"},
    {{100, 100, 7}, SECOND, 40, "[####################] 100 %  7 packets"},
    {{150, 100, 7}, SECOND, 40, "[####################] 100 %  7 packets"},
    {{25, 100, 9}, 30 * SECOND, 60, "[#######----------------------]  25 %  9 packets, 1:30 left"},
    {{50, 100, 1234}, SECOND, 25, " 50 %  1234 packets"},
    {{50, 100, 1234}, SECOND, 12, " 50 %  1234"},
    {{50, 100, 1234}, SECOND, 1, ""},
    {{50, 100, 1234}, SECOND, 0, ""},
    {{1023, 0, 5}, SECOND, 80, "5 packets, 1023 B read"},
    {{133062656, 0, 181248}, SECOND, 80, "181248 packets, 126.8 MiB read"},
    {{133062656, 0, 181248}, SECOND, 16, "181248 packets,"},
};

Test(progress, fits_the_terminal)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char text[PROGRESS_TEXT];
		size_t len =
		    progress_text(&rows[i].state, rows[i].elapsed_ns, rows[i].columns, text);
		cr_expect_eq(len, strlen(text));
		cr_expect_str_eq(text, rows[i].text, "row %zu: \"%s\"", i, text);
	}
	/* Whatever the numbers and the width, nothing is written beyond either. */
	for (unsigned columns = 0; columns < 600; columns++) {
		char text[PROGRESS_TEXT];
		struct progress_state state = {UINT64_MAX / 2, UINT64_MAX, UINT64_MAX};
		cr_expect_leq(progress_text(&state, INT64_MAX, columns, text),
			      columns > 0 ? columns - 1 : 0);
		state.total = 0;
		cr_expect_leq(progress_text(&state, INT64_MAX, columns, text),
			      columns > 0 ? columns - 1 : 0);
	}
}

Test(progress, is_silent_without_terminal)
{
	struct progress progress;
	const struct progress_state state = {1, 2, 3};
	progress_init(&progress, NULL);
	progress_show(&progress, &state);
	progress_clear(&progress);
	cr_expect_not(progress.drawn);
}
