/* SPDX-License-Identifier: Apache-2.0 */
/* Every dialogue in tests/transcripts: as lines, as runs, byte by byte, and cut at every place. */
#include "tests/support/transcript.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>

static void check_all(enum transcript_cut cut)
{
	glob_t found;
	char error[1024];

	cr_assert_eq(glob(STRIPWATCH_SOURCE_DIR "/tests/transcripts/*.txt", 0, NULL, &found), 0);
	cr_assert_gt(found.gl_pathc, 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		size_t longest = 1;
		for (size_t at = 1; at <= longest; at++) {
			bool good = transcript_check(found.gl_pathv[i], cut, at, error,
						     sizeof error, &longest);
			cr_expect(good, "%s (cut %d at %zu)", error, (int)cut, at);
			if (!good || cut != TRANSCRIPT_SPLIT)
				break;
		}
	}
	globfree(&found);
}

Test(transcripts, line_by_line)
{
	check_all(TRANSCRIPT_LINES);
}

Test(transcripts, what_a_side_says_in_one_segment)
{
	check_all(TRANSCRIPT_RUNS);
}

Test(transcripts, byte_by_byte)
{
	check_all(TRANSCRIPT_BYTES);
}

Test(transcripts, cut_at_every_place)
{
	check_all(TRANSCRIPT_SPLIT);
}
