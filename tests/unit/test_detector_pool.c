/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/detector_pool.h"

#include "decoders/application.h"

#include <criterion/criterion.h>

static const char hello[] = "SSH-2.0-OpenSSH_9.2\r\n";

static void ask(struct application_detector *detector)
{
	const struct application_flow flow = {
	    .client = span_of(hello, sizeof hello - 1),
	    .server = span_of(hello, sizeof hello - 1),
	};
	char name[APPLICATION_NAME_MAX];
	cr_expect(application_name(detector, &flow, name));
	cr_expect_str_eq(name, "ssh");
}

Test(detector_pool, hands_on_what_was_given_back)
{
	struct detector_pool *pool = detector_pool_create();
	struct application_detector *first = detector_pool_take(pool);
	struct application_detector *second = detector_pool_take(pool);
	cr_assert_not_null(first);
	cr_assert_not_null(second);
	cr_expect_neq(first, second, "each is for one alone");
	ask(first);
	detector_pool_give(pool, first);
	cr_expect_eq(detector_pool_take(pool), first);
	ask(first);
	detector_pool_give(pool, first);
	detector_pool_give(pool, second);
	detector_pool_give(pool, NULL);
	detector_pool_destroy(pool);
}

Test(detector_pool, one_that_was_asked_too_often_is_not_handed_on)
{
	struct detector_pool *pool = detector_pool_create();
	struct application_detector *detector = detector_pool_take(pool);
	cr_assert_not_null(detector);
	const struct application_flow nothing = {.server_first = false};
	for (unsigned i = 0; i < 32767; i++)
		(void)application_is_smtp(detector, &nothing);
	cr_expect_not(application_detector_is_worn(detector));
	(void)application_is_smtp(detector, &nothing);
	cr_expect(application_detector_is_worn(detector));
	detector_pool_give(pool, detector);
	detector = detector_pool_take(pool);
	cr_assert_not_null(detector);
	cr_expect_not(application_detector_is_worn(detector), "another one");
	detector_pool_give(pool, detector);
	detector_pool_destroy(pool);
}

Test(detector_pool, none_is_needed)
{
	struct application_detector *detector = detector_pool_take(NULL);
	cr_assert_not_null(detector);
	ask(detector);
	detector_pool_give(NULL, detector);
}
