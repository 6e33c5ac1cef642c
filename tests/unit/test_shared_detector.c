/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/shared_detector.h"

#include "decoders/application.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

static const char hello[] = "SSH-2.0-OpenSSH_9.2\r\n";

static bool is_ssh(struct application_detector *detector)
{
	const struct application_flow flow = {
	    .client = span_of(hello, sizeof hello - 1),
	    .server = span_of(hello, sizeof hello - 1),
	};
	char name[APPLICATION_NAME_MAX];
	return application_name(detector, &flow, name) && strcmp(name, "ssh") == 0;
}

Test(shared_detector, is_one_for_all_who_ask)
{
	struct shared_detector *shared = shared_detector_create();
	struct application_detector *first = shared_detector_take(shared);
	cr_assert_not_null(first);
	cr_expect(is_ssh(first));
	shared_detector_give(shared);
	cr_expect_eq(shared_detector_take(shared), first);
	cr_expect(is_ssh(first));
	shared_detector_give(shared);
	shared_detector_destroy(shared);
}

struct asker {
	struct shared_detector *shared;
	atomic_int *inside; /* how many have it */
	unsigned wrong;
};

static void *ask_often(void *argument)
{
	struct asker *asker = argument;
	for (unsigned i = 0; i < 500; i++) {
		struct application_detector *detector = shared_detector_take(asker->shared);
		bool alone = atomic_fetch_add(asker->inside, 1) == 0;
		if (detector == NULL || !is_ssh(detector) || !alone)
			asker->wrong++;
		atomic_fetch_sub(asker->inside, 1);
		if (detector != NULL)
			shared_detector_give(asker->shared);
	}
	return NULL;
}

Test(shared_detector, is_for_one_at_a_time)
{
	struct shared_detector *shared = shared_detector_create();
	atomic_int inside = 0;
	struct asker askers[4];
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		askers[i] = (struct asker){.shared = shared, .inside = &inside};
		cr_assert_eq(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_expect_eq(askers[i].wrong, 0);
	}
	shared_detector_destroy(shared);
}

Test(shared_detector, one_that_was_asked_too_often_gives_way_to_another)
{
	struct shared_detector *shared = shared_detector_create();
	struct application_detector *detector = shared_detector_take(shared);
	cr_assert_not_null(detector);
	const struct application_flow nothing = {.server_first = false};
	for (unsigned i = 0; i < 32767; i++)
		(void)application_is_smtp(detector, &nothing);
	cr_expect_not(application_detector_is_worn(detector));
	(void)application_is_smtp(detector, &nothing);
	cr_expect(application_detector_is_worn(detector));
	shared_detector_give(shared);
	detector = shared_detector_take(shared);
	cr_assert_not_null(detector);
	cr_expect_not(application_detector_is_worn(detector));
	cr_expect(is_ssh(detector));
	shared_detector_give(shared);
	shared_detector_destroy(shared);
}
