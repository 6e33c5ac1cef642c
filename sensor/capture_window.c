/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/capture_window.h"

#include <pthread.h>
#include <stdlib.h>

/* Idle windows kept for the next reader: fresh memory costs a page fault every 4 KiB. */
#define MAX_IDLE 4U

struct capture_window_pool {
	pthread_mutex_t lock;
	pthread_cond_t returned;
	uint32_t max_in_flight;
	uint32_t attached; /* windows that a file fills and reads */
	uint32_t live;     /* windows with references */
	uint32_t idle_count;
	struct capture_window *idle;
	size_t bytes, peak_bytes;
	bool closed;
	struct window_ways ways; /* the reader's */
};

struct window_ways *capture_window_pool_ways(struct capture_window_pool *pool)
{
	return &pool->ways;
}

struct capture_window_pool *capture_window_pool_new(uint32_t max_in_flight)
{
	struct capture_window_pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	if (pthread_mutex_init(&pool->lock, NULL) != 0) {
		free(pool);
		return NULL;
	}
	if (pthread_cond_init(&pool->returned, NULL) != 0) {
		(void)pthread_mutex_destroy(&pool->lock);
		free(pool);
		return NULL;
	}
	pool->max_in_flight = max_in_flight > 0 ? max_in_flight : 1;
	return pool;
}

static void window_free(struct capture_window *window)
{
	if (window->mapped)
		file_mapping_close(&window->mapping);
	free(window);
}

static void drop_idle(struct capture_window_pool *pool)
{
	while (pool->idle) {
		struct capture_window *window = pool->idle;
		pool->idle = window->next_free;
		pool->bytes -= window->capacity;
		window_free(window);
	}
	pool->idle_count = 0;
}

static void pool_destroy(struct capture_window_pool *pool)
{
	drop_idle(pool);
	(void)pthread_cond_destroy(&pool->returned);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void capture_window_pool_free(struct capture_window_pool *pool)
{
	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->closed = true;
	bool last = pool->live == 0;
	(void)pthread_mutex_unlock(&pool->lock);
	if (last)
		pool_destroy(pool);
}

/* Takes an idle window of enough capacity off the list. The lock is held. */
static struct capture_window *take_idle(struct capture_window_pool *pool, size_t capacity)
{
	for (struct capture_window **link = &pool->idle; *link; link = &(*link)->next_free) {
		struct capture_window *window = *link;
		if (window->capacity < capacity || window->capacity / 4 > capacity)
			continue;
		*link = window->next_free;
		pool->idle_count--;
		return window;
	}
	return NULL;
}

static bool at_cap(const struct capture_window_pool *pool)
{
	return pool->live - pool->attached >= pool->max_in_flight;
}

bool capture_window_pool_busy(struct capture_window_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	bool busy = at_cap(pool);
	(void)pthread_mutex_unlock(&pool->lock);
	return busy;
}

/* Another window, with room behind it. The lock is held. NULL: memory is out. */
static struct capture_window *window_new(struct capture_window_pool *pool, size_t room)
{
	if (room > SIZE_MAX - sizeof(struct capture_window))
		return NULL;
	struct capture_window *window = malloc(sizeof(*window) + room);
	if (!window)
		return NULL;
	window->mapped = false;
	window->pool = pool;
	window->capacity = room;
	window->bytes = window->room;
	return window;
}

static void count_bytes(struct capture_window_pool *pool, size_t bytes)
{
	pool->bytes += bytes;
	if (pool->bytes > pool->peak_bytes)
		pool->peak_bytes = pool->bytes;
}

/* Into the hands of a file. The lock is held. */
static enum capture_window_result attach(struct capture_window *taken,
					 struct capture_window **window)
{
	if (!taken)
		return WINDOW_NO_MEMORY;
	taken->next_free = NULL;
	atomic_init(&taken->references, 1);
	taken->pool->live++;
	taken->pool->attached++;
	*window = taken;
	return WINDOW_ACQUIRED;
}

enum capture_window_result capture_window_acquire(struct capture_window_pool *pool, size_t capacity,
						  struct capture_window **window)
{
	enum capture_window_result result = WINDOW_BUSY;

	(void)pthread_mutex_lock(&pool->lock);
	if (!at_cap(pool)) {
		struct capture_window *taken = take_idle(pool, capacity);
		if (!taken) {
			taken = window_new(pool, capacity);
			if (taken)
				count_bytes(pool, capacity);
		}
		result = attach(taken, window);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return result;
}

enum capture_window_result capture_window_of_mapping(struct capture_window_pool *pool,
						     const struct file_mapping *mapping,
						     struct capture_window **window)
{
	(void)pthread_mutex_lock(&pool->lock);
	struct capture_window *taken = window_new(pool, 0);
	if (taken) {
		taken->mapped = true;
		taken->mapping = *mapping;
		taken->bytes = mapping->bytes;
		taken->capacity = mapping->len;
		count_bytes(pool, mapping->len);
	}
	enum capture_window_result result = attach(taken, window);
	(void)pthread_mutex_unlock(&pool->lock);
	return result;
}

void capture_window_detach(struct capture_window *window)
{
	struct capture_window_pool *pool = window->pool;
	(void)pthread_mutex_lock(&pool->lock);
	pool->attached--;
	(void)pthread_mutex_unlock(&pool->lock);
	capture_window_release(window);
}

bool capture_window_unshared(struct capture_window *window)
{
	/* Acquire: what the last holder read comes before what the file now writes. */
	return atomic_load_explicit(&window->references, memory_order_acquire) == 1;
}

void capture_window_release(struct capture_window *window)
{
	if (atomic_fetch_sub_explicit(&window->references, 1, memory_order_acq_rel) != 1)
		return;
	struct capture_window_pool *pool = window->pool;
	(void)pthread_mutex_lock(&pool->lock);
	pool->live--;
	bool last = pool->closed && pool->live == 0;
	bool goes = pool->closed || window->mapped || pool->idle_count >= MAX_IDLE;
	if (goes) {
		pool->bytes -= window->capacity;
	} else {
		window->next_free = pool->idle;
		pool->idle = window;
		pool->idle_count++;
	}
	(void)pthread_cond_signal(&pool->returned);
	(void)pthread_mutex_unlock(&pool->lock);
	if (goes)
		window_free(window);
	if (last)
		pool_destroy(pool);
}

void capture_window_pool_wait(struct capture_window_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	while (at_cap(pool))
		(void)pthread_cond_wait(&pool->returned, &pool->lock);
	(void)pthread_mutex_unlock(&pool->lock);
}

size_t capture_window_pool_peak(struct capture_window_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	size_t peak = pool->peak_bytes;
	(void)pthread_mutex_unlock(&pool->lock);
	return peak;
}
