/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/shared_detector.h"

#include "decoders/application.h"
#include "sensor/build_kind.h"

#include <pthread.h>
#include <stdlib.h>

struct shared_detector {
	pthread_mutex_t lock;                  /* held from take to give */
	struct application_detector *detector; /* NULL: not started, or worn */
	bool failed;                           /* to start it was tried in vain */
};

struct shared_detector *shared_detector_create(void)
{
	struct shared_detector *shared = calloc(1, sizeof *shared);
	if (shared != NULL && pthread_mutex_init(&shared->lock, NULL) != 0) {
		free(shared);
		return NULL;
	}
	return shared;
}

void shared_detector_destroy(struct shared_detector *shared)
{
	if (shared == NULL)
		return;
	/* It lasts as long as the program: to take it apart costs as much as 60,000 packets. */
	if (FINDS_MISUSE)
		application_detector_destroy(shared->detector);
	(void)pthread_mutex_destroy(&shared->lock);
	free(shared);
}

struct application_detector *shared_detector_take(struct shared_detector *shared)
{
	(void)pthread_mutex_lock(&shared->lock);
	if (shared->detector == NULL && !shared->failed) {
		shared->detector = application_detector_create();
		shared->failed = shared->detector == NULL;
	}
	if (shared->detector == NULL)
		(void)pthread_mutex_unlock(&shared->lock);
	return shared->detector;
}

void shared_detector_give(struct shared_detector *shared)
{
	if (application_detector_is_worn(shared->detector)) {
		application_detector_destroy(shared->detector);
		shared->detector = NULL;
	}
	(void)pthread_mutex_unlock(&shared->lock);
}
