/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/notices.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(notices, come_out_in_their_order_and_clean)
{
	struct notices notices;
	struct notice notice;
	notices_init(&notices);
	cr_expect_not(notices_take(&notices, &notice));
	notices_add(&notices, NOTICE_WARNING, "%s gone", "redis\n\x1b[31m");
	notices_add(&notices, NOTICE_INFO, "back");
	cr_assert(notices_take(&notices, &notice));
	cr_expect_eq(notice.level, NOTICE_WARNING);
	cr_expect_str_eq(notice.text, "redis??[31m gone");
	cr_assert(notices_take(&notices, &notice));
	cr_expect_str_eq(notice.text, "back");
	cr_expect_not(notices_take(&notices, &notice));
	notices_destroy(&notices);
}

Test(notices, the_oldest_give_way_and_are_counted)
{
	struct notices notices;
	struct notice notice;
	char text[16], longest[NOTICE_TEXT_MAX * 2];
	notices_init(&notices);
	for (unsigned i = 0; i < NOTICES_MAX + 5; i++)
		notices_add(&notices, NOTICE_ERROR, "line %u", i);
	cr_expect_eq(notices.lost, 5);
	for (unsigned i = 5; i < NOTICES_MAX + 5; i++) {
		cr_assert(notices_take(&notices, &notice));
		(void)snprintf(text, sizeof text, "line %u", i);
		cr_expect_str_eq(notice.text, text);
	}
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	notices_add(&notices, NOTICE_ERROR, "%s", longest);
	cr_assert(notices_take(&notices, &notice));
	cr_expect_eq(strlen(notice.text), NOTICE_TEXT_MAX - 1);
	notices_destroy(&notices);
}
