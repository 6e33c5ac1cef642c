/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/detector_pool.h"

#include "decoders/application.h"
#include "sensor/build_kind.h"

#include <pthread.h>
#include <stdlib.h>

struct detector_pool {
	/* Also while one is started: nDPI fills tables of the whole process with its first. */
	pthread_mutex_t lock;
	struct application_detector **idle;
	size_t count, room;
};

struct detector_pool *detector_pool_create(void)
{
	struct detector_pool *pool = calloc(1, sizeof *pool);
	if (pool != NULL && pthread_mutex_init(&pool->lock, NULL) != 0) {
		free(pool);
		return NULL;
	}
	return pool;
}

void detector_pool_destroy(struct detector_pool *pool)
{
	if (pool == NULL)
		return;
	/* They last as long as the program: to take one apart costs as much as 60,000 packets. */
	for (size_t i = 0; FINDS_MISUSE && i < pool->count; i++)
		application_detector_destroy(pool->idle[i]);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool->idle);
	free(pool);
}

struct application_detector *detector_pool_take(struct detector_pool *pool)
{
	if (pool == NULL)
		return application_detector_create();
	(void)pthread_mutex_lock(&pool->lock);
	struct application_detector *detector =
	    pool->count > 0 ? pool->idle[--pool->count] : application_detector_create();
	(void)pthread_mutex_unlock(&pool->lock);
	return detector;
}

/* Room for one more. The lock is held. */
static bool make_room(struct detector_pool *pool)
{
	if (pool->count < pool->room)
		return true;
	const size_t room = pool->room == 0 ? 4 : pool->room * 2;
	struct application_detector **grown = realloc(pool->idle, room * sizeof(*grown));
	if (grown == NULL)
		return false;
	pool->idle = grown;
	pool->room = room;
	return true;
}

void detector_pool_give(struct detector_pool *pool, struct application_detector *detector)
{
	if (detector == NULL || pool == NULL) {
		application_detector_destroy(detector);
		return;
	}
	(void)pthread_mutex_lock(&pool->lock);
	if (!application_detector_is_worn(detector) && make_room(pool)) {
		pool->idle[pool->count++] = detector;
		detector = NULL;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	application_detector_destroy(detector);
}
