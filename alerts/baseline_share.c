/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/baseline_share_state.h"

#include "alerts/baseline_wire.h"
#include "alerts/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RETRY_MS    250         /* after the first failure; doubled up to exchange_ms */
#define SCAN_BUDGET (64U << 20) /* memory for keys of one scan */

/* ---- rings ---- */

static bool ring_init(struct ring *ring, uint32_t size)
{
	ring->servers = calloc(size, sizeof *ring->servers);
	ring->own = calloc(size, sizeof *ring->own);
	ring->size = size;
	return ring->servers != NULL && ring->own != NULL;
}

static void ring_free(struct ring *ring)
{
	free(ring->servers);
	free(ring->own);
}

static bool ring_put(struct ring *ring, const struct server_memory *server, bool own)
{
	if (ring->count == ring->size)
		return false;
	uint32_t at = (ring->first + ring->count++) % ring->size;
	ring->servers[at] = *server;
	ring->own[at] = own;
	return true;
}

static bool ring_take(struct ring *ring, struct server_memory *server, bool *own)
{
	if (ring->count == 0)
		return false;
	*server = ring->servers[ring->first];
	*own = ring->own[ring->first];
	ring->first = (ring->first + 1) % ring->size;
	ring->count--;
	return true;
}

bool baseline_share_is_closing(struct baseline_share *share)
{
	pthread_mutex_lock(&share->lock);
	bool closing = share->closing;
	pthread_mutex_unlock(&share->lock);
	return closing;
}

void baseline_share_hand_over(struct baseline_share *share, const struct server_memory *server,
			      bool own)
{
	pthread_mutex_lock(&share->lock);
	while (!ring_put(&share->in, server, own) && !share->closing) {
		pthread_cond_broadcast(&share->moved); /* who waits for the start takes first */
		pthread_cond_wait(&share->moved, &share->lock);
	}
	share->counts.read++;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
}

void baseline_share_count(struct baseline_share *share, uint64_t *count)
{
	pthread_mutex_lock(&share->lock);
	++*count;
	pthread_mutex_unlock(&share->lock);
}

void baseline_share_set_ready(struct baseline_share *share)
{
	pthread_mutex_lock(&share->lock);
	share->ready = true;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
}

size_t baseline_share_copy_out(struct baseline_share *share, struct server_memory *batch,
			       size_t size)
{
	size_t count = 0;
	pthread_mutex_lock(&share->lock);
	for (; count < size && count < share->out.count; count++)
		batch[count] = share->out.servers[(share->out.first + count) % share->out.size];
	pthread_mutex_unlock(&share->lock);
	return count;
}

void baseline_share_written(struct baseline_share *share, size_t count)
{
	pthread_mutex_lock(&share->lock);
	share->out.first = (share->out.first + (uint32_t)count) % share->out.size;
	share->out.count -= (uint32_t)count;
	share->counts.written += count;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
}

/* ---- the thread ---- */

static void tell(struct baseline_share *share, bool good, const struct redis_error *error)
{
	if (!good)
		baseline_share_count(share, &share->counts.failures);
	if (good == !share->failing || (!good && baseline_share_is_closing(share)))
		return;
	share->failing = !good;
	if (good)
		notices_add(share->notices, NOTICE_INFO, "Redis: the baseline is shared again");
	else
		notices_add(
		    share->notices, NOTICE_WARNING,
		    "Redis: the baseline cannot be shared, this sensor goes on by itself: %s",
		    error->text);
}

/* Waits for the next exchange or for the end. False: nothing is left to do, or no time for it. */
static bool wait_for_work(struct baseline_share *share, bool good)
{
	unsigned pause_ms = share->config.exchange_ms;
	if (good) {
		share->retry_ms = 0;
	} else {
		share->retry_ms = share->retry_ms == 0 ? RETRY_MS : share->retry_ms * 2;
		if (share->retry_ms < pause_ms)
			pause_ms = share->retry_ms;
		else
			share->retry_ms = pause_ms;
	}
	int64_t at = clock_monotonic_ms() + pause_ms;
	const struct timespec until = clock_time_of_ms(at);
	pthread_mutex_lock(&share->lock);
	while (!share->closing && !share->asked && clock_monotonic_ms() < at)
		(void)pthread_cond_timedwait(&share->moved, &share->lock, &until);
	share->asked = false;
	bool more = !share->closing || (share->config.write && share->out.count > 0 &&
					clock_monotonic_ms() < share->drain_until_ms);
	pthread_mutex_unlock(&share->lock);
	return more;
}

static void *run(void *argument)
{
	struct baseline_share *share = argument;
	bool good, more;
	do {
		struct redis_error error = {.failure = REDIS_FINE};
		good = baseline_exchange(share, &error);
		tell(share, good, &error);
		more = wait_for_work(share, good);
		if (more && !good && baseline_share_is_closing(share))
			(void)usleep(100000); /* Redis may come back before the drain is over */
	} while (more);
	pthread_mutex_lock(&share->lock);
	share->ended = share->ready = true;
	pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
	return NULL;
}

static void free_share(struct baseline_share *share)
{
	redis_topology_free(share->topology);
	buffer_free(&share->text);
	ring_free(&share->in);
	ring_free(&share->out);
	free(share->contributions);
	if (share->cancel_fd >= 0)
		(void)close(share->cancel_fd);
	pthread_cond_destroy(&share->moved);
	pthread_mutex_destroy(&share->lock);
	free(share);
}

static int start_thread(struct baseline_share *share)
{
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&share->thread, NULL, run, share);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct baseline_share *baseline_share_new(const struct baseline_share_config *config,
					  struct notices *notices)
{
	struct baseline_share *share = calloc(1, sizeof *share);
	pthread_condattr_t monotonic;
	if (share == NULL)
		return NULL;
	share->config = *config;
	share->notices = notices;
	share->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&share->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&share->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	budget_init(&share->budget, SCAN_BUDGET);
	buffer_init(&share->text, &share->budget, BASELINE_WIRE_MAX);
	struct redis_topology_config topology = config->topology;
	topology.link.cancel_fd = share->cancel_fd;
	share->topology = redis_topology_new(config->url, &topology);
	share->contributions = calloc(SENSORS_MAX, sizeof *share->contributions);
	if (share->topology == NULL || share->contributions == NULL || share->cancel_fd < 0 ||
	    !ring_init(&share->in, config->queue) || !ring_init(&share->out, config->queue) ||
	    start_thread(share) != 0) {
		free_share(share);
		return NULL;
	}
	return share;
}

bool baseline_share_put(struct baseline_share *share, const struct server_memory *server)
{
	pthread_mutex_lock(&share->lock);
	bool taken = ring_put(&share->out, server, true);
	pthread_mutex_unlock(&share->lock);
	return taken;
}

bool baseline_share_wait_room(struct baseline_share *share, unsigned wait_ms)
{
	int64_t at = clock_monotonic_ms() + wait_ms;
	const struct timespec until = clock_time_of_ms(at);
	pthread_mutex_lock(&share->lock);
	share->asked = true;
	pthread_cond_broadcast(&share->moved);
	/* Who hands over what was read writes nothing meanwhile. */
	while (share->out.count == share->out.size && share->in.count == 0 &&
	       clock_monotonic_ms() < at)
		(void)pthread_cond_timedwait(&share->moved, &share->lock, &until);
	bool moved = share->out.count < share->out.size || share->in.count > 0;
	pthread_mutex_unlock(&share->lock);
	return moved;
}

bool baseline_share_take(struct baseline_share *share, struct baseline_shared *shared)
{
	pthread_mutex_lock(&share->lock);
	bool taken = ring_take(&share->in, &shared->others, &shared->own);
	if (taken)
		pthread_cond_broadcast(&share->moved);
	pthread_mutex_unlock(&share->lock);
	return taken;
}

bool baseline_share_wait(struct baseline_share *share, unsigned wait_ms, bool *complete)
{
	int64_t at = clock_monotonic_ms() + wait_ms;
	const struct timespec until = clock_time_of_ms(at);
	pthread_mutex_lock(&share->lock);
	while (!share->ready && share->in.count == 0 && clock_monotonic_ms() < at)
		(void)pthread_cond_timedwait(&share->moved, &share->lock, &until);
	*complete = share->ready && share->in.count == 0;
	bool reached = share->ready || share->in.count > 0;
	pthread_mutex_unlock(&share->lock);
	return reached;
}

struct baseline_share_counts baseline_share_counts(struct baseline_share *share)
{
	pthread_mutex_lock(&share->lock);
	struct baseline_share_counts counts = share->counts;
	pthread_mutex_unlock(&share->lock);
	return counts;
}

uint64_t baseline_share_close(struct baseline_share *share, unsigned drain_ms)
{
	const uint64_t one = 1;
	int64_t at = clock_monotonic_ms() + drain_ms;
	const struct timespec until = clock_time_of_ms(at);
	pthread_mutex_lock(&share->lock);
	share->closing = true;
	share->drain_until_ms = at;
	pthread_cond_broadcast(&share->moved);
	while (!share->ended && pthread_cond_timedwait(&share->moved, &share->lock, &until) == 0)
		;
	pthread_mutex_unlock(&share->lock);
	(void)!write(share->cancel_fd, &one, sizeof one);
	(void)pthread_join(share->thread, NULL);
	uint64_t left = share->config.write ? share->out.count : 0;
	free_share(share);
	return left;
}
