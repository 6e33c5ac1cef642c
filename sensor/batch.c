/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/batch.h"

#include "sensor/memory_fetch.h"

#include <stddef.h>
#include <stdlib.h>

/* One frame may bring its packet, a beat and DNS answers. */
#define LANE_ROOM   (LIMIT_BATCH_PACKETS + 2)

#define SLOTS_AHEAD 3 /* that are fetched before they are written */

/* Bytes that would not last. */
struct batch_copy {
	struct batch_copy *next;
	_Alignas(max_align_t) uint8_t bytes[];
};

static void batch_clear(struct batch *batch, unsigned workers)
{
	for (unsigned w = 0; batch->lanes != NULL && w < workers; w++)
		batch->lanes[w].count = 0;
	batch->full = batch->last = batch->finish = false;
	for (size_t i = 0; i < batch->window_count; i++)
		capture_window_release(batch->windows[i]);
	batch->window_count = batch->window_bytes = 0;
	while (batch->copies != NULL) {
		struct batch_copy *next = batch->copies->next;
		free(batch->copies);
		batch->copies = next;
	}
	batch->copied = 0;
}

static void batch_free(struct batch *batch, unsigned workers)
{
	batch_clear(batch, workers);
	for (unsigned w = 0; batch->lanes != NULL && w < workers; w++) {
		free(batch->lanes[w].slots);
		free(batch->lanes[w].kinds);
	}
	free(batch->lanes);
	batch->lanes = NULL;
}

/* One batch, empty. False when out of memory; then there is nothing to free. */
static bool batch_init(struct batch *batch, unsigned workers)
{
	/* Never without workers. */
	/* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI) */
	*batch = (struct batch){.lanes = calloc(workers, sizeof *batch->lanes)};
	bool whole = batch->lanes != NULL;
	for (unsigned w = 0; batch->lanes != NULL && w < workers; w++) {
		struct batch_lane *lane = &batch->lanes[w];
		lane->slots = aligned_alloc(64, LANE_ROOM * sizeof *lane->slots);
		lane->kinds = malloc(LANE_ROOM * sizeof *lane->kinds);
		whole = whole && lane->slots != NULL && lane->kinds != NULL;
	}
	if (!whole)
		batch_free(batch, workers);
	return whole;
}

bool batch_ring_init(struct batch_ring *ring, unsigned workers)
{
	bool whole = true;

	*ring = (struct batch_ring){.workers = workers};
	if (!wake_init(&ring->room))
		return false;
	ring->progress = aligned_alloc(64, workers * sizeof *ring->progress);
	for (unsigned i = 0; ring->progress != NULL && i < workers; i++) {
		atomic_init(&ring->progress[i].passed, 0);
		whole = wake_init(&ring->progress[i].wake) && whole;
	}
	for (unsigned i = 0; i < LIMIT_BATCHES; i++)
		whole = batch_init(&ring->batches[i], workers) && whole;
	if (whole && ring->progress != NULL)
		return true;
	batch_ring_free(ring);
	return false;
}

void batch_ring_free(struct batch_ring *ring)
{
	for (unsigned i = 0; i < LIMIT_BATCHES; i++)
		batch_free(&ring->batches[i], ring->workers);
	for (unsigned i = 0; ring->progress != NULL && i < ring->workers; i++)
		wake_free(&ring->progress[i].wake);
	free(ring->progress);
	wake_free(&ring->room);
}

/* ---- the reader ---- */

static uint64_t passed_by_all(const struct batch_ring *ring)
{
	uint64_t least = UINT64_MAX;
	for (unsigned i = 0; i < ring->workers; i++) {
		uint64_t passed = atomic_load(&ring->progress[i].passed);
		if (passed < least)
			least = passed;
	}
	return least;
}

/* Workers sleep until it is worth while to wake them: now it is, whatever there is. */
static void wake_workers(struct batch_ring *ring)
{
	for (unsigned i = 0; i < ring->workers; i++)
		if (atomic_load(&ring->progress[i].wake.wanted) != WAKE_NOBODY)
			wake_up(&ring->progress[i].wake);
}

/* Waits until so many batches were passed by all, and lets go of what they held. */
static void wait_passed(struct batch_ring *ring, uint64_t wanted)
{
	if (passed_by_all(ring) < wanted) {
		wake_workers(ring);
		wake_begin(&ring->room, wanted);
		while (passed_by_all(ring) < wanted)
			wake_sleep(&ring->room);
		wake_end(&ring->room);
	}
	uint64_t passed = passed_by_all(ring);
	for (; ring->released < passed; ring->released++)
		batch_clear(&ring->batches[ring->released % LIMIT_BATCHES], ring->workers);
}

bool batch_has_no_place(const struct batch_ring *ring)
{
	const uint64_t sealed = atomic_load_explicit(&ring->sealed, memory_order_relaxed);
	return ring->open == NULL && sealed - ring->released >= LIMIT_BATCHES;
}

struct batch *batch_open(struct batch_ring *ring)
{
	if (ring->open != NULL)
		return ring->open;
	const uint64_t sealed = atomic_load_explicit(&ring->sealed, memory_order_relaxed);
	/* Until half are free: to wake a sleeper costs both, and the others last until it is up. */
	if (batch_has_no_place(ring))
		wait_passed(ring, sealed - LIMIT_BATCHES / 2);
	ring->open = &ring->batches[sealed % LIMIT_BATCHES];
	return ring->open;
}

/* What was written to the lane's next place is one thing more for its worker. */
static void lane_add(struct batch *batch, struct batch_lane *lane, enum batch_kind kind)
{
	lane->kinds[lane->count++] = (uint8_t)kind;
	/* Another core may have them: without this the reader's stores pile up behind the first. */
	if (lane->count + SLOTS_AHEAD < LANE_ROOM)
		memory_fetch_to_write(&lane->slots[lane->count + SLOTS_AHEAD],
				      sizeof lane->slots[0]);
	batch->full = batch->full || lane->count >= LIMIT_BATCH_PACKETS;
}

void batch_add_clock(struct batch *batch, unsigned worker, int64_t clock_ns, uint64_t ordinal)
{
	struct followed_packet *packet = batch_place(batch, worker);
	packet->clock_ns = clock_ns;
	packet->ordinal = ordinal;
	lane_add(batch, &batch->lanes[worker], BATCH_CLOCK);
}

static bool keep_copy(struct batch *batch, struct span *bytes)
{
	struct batch_copy *copy = malloc(sizeof *copy + bytes->len);
	if (copy == NULL)
		return false;
	copy->next = batch->copies;
	batch->copies = copy;
	batch->copied += bytes->len;
	batch->full = batch->full || batch->copied >= LIMIT_BATCH_COPIES;
	if (bytes->len > 0)
		memcpy(copy->bytes, bytes->ptr, bytes->len);
	bytes->ptr = copy->bytes;
	return true;
}

static void hold_window(struct batch *batch, struct capture_window *window)
{
	for (size_t i = batch->window_count; i > 0; i--)
		if (batch->windows[i - 1] == window)
			return;
	capture_window_retain(window);
	batch->windows[batch->window_count++] = window;
	batch->window_bytes += window->capacity;
	batch->full = batch->full || batch->window_count == LIMIT_BATCH_WINDOWS ||
		      batch->window_bytes >= LIMIT_BATCH_BYTES;
}

bool batch_add_packet(struct batch *batch, unsigned worker, struct capture_window *window)
{
	struct followed_packet *packet = batch_place(batch, worker);
	struct tcp_segment *segment = &packet->segment;

	/* The payload is a part of what the checksum covers. */
	bool in_frame = followed_packet_in_frame(packet);
	const uint8_t *from = in_frame ? packet->frame.ptr : segment->checked.ptr;
	const uint8_t *to = from;
	if (!in_frame) {
		if (!keep_copy(batch, &segment->checked))
			return false;
		to = segment->checked.ptr;
	}
	if (window != NULL) {
		hold_window(batch, window);
	} else {
		if (!keep_copy(batch, &packet->frame))
			return false;
		if (in_frame) {
			to = packet->frame.ptr;
			segment->checked.ptr = to + (segment->checked.ptr - from);
		}
	}
	if (segment->payload.len > 0)
		segment->payload.ptr = to + (segment->payload.ptr - from);
	lane_add(batch, &batch->lanes[worker], BATCH_PACKET);
	return true;
}

bool batch_add_dns(struct batch *batch, unsigned worker, const struct dns_answers *answers,
		   int64_t time_ns, uint64_t ordinal)
{
	struct followed_packet *packet = batch_place(batch, worker);
	struct span bytes = span_of(answers, dns_answers_size(answers));
	if (!keep_copy(batch, &bytes))
		return false;
	packet->time_ns = time_ns;
	packet->ordinal = ordinal;
	packet->frame = bytes;
	lane_add(batch, &batch->lanes[worker], BATCH_DNS);
	return true;
}

void batch_seal(struct batch_ring *ring)
{
	struct batch *batch = ring->open;
	if (batch == NULL)
		return;
	ring->open = NULL;
	batch->end = ring->end;
	bool last = batch->last;
	uint64_t sealed = atomic_load_explicit(&ring->sealed, memory_order_relaxed) + 1;
	atomic_store(&ring->sealed, sealed);
	for (unsigned i = 0; i < ring->workers; i++)
		wake_reached(&ring->progress[i].wake, sealed);
	if (last)
		wake_workers(ring);
}

void batch_hurry(struct batch_ring *ring)
{
	batch_seal(ring);
	atomic_store(&ring->dealt, ring->end);
	wake_workers(ring);
}

bool batch_relieve(struct batch_ring *ring)
{
	if (ring->released == atomic_load_explicit(&ring->sealed, memory_order_relaxed))
		return false;
	wait_passed(ring, ring->released + 1);
	return true;
}

void batch_drain(struct batch_ring *ring)
{
	wait_passed(ring, atomic_load_explicit(&ring->sealed, memory_order_relaxed));
}

/* ---- a worker ---- */

static uint64_t passed_by(const struct batch_ring *ring, unsigned worker)
{
	return atomic_load_explicit(&ring->progress[worker].passed, memory_order_relaxed);
}

const struct batch *batch_next(struct batch_ring *ring, unsigned worker)
{
	const uint64_t passed = passed_by(ring, worker);
	return atomic_load(&ring->sealed) == passed ? NULL : &ring->batches[passed % LIMIT_BATCHES];
}

void batch_wait_begin(struct batch_ring *ring, unsigned worker)
{
	/* A second one makes waking worth while; before the reader waits it wakes all. */
	wake_begin(&ring->progress[worker].wake, passed_by(ring, worker) + 2);
}

void batch_wait(struct batch_ring *ring, unsigned worker)
{
	wake_sleep(&ring->progress[worker].wake);
}

void batch_wait_end(struct batch_ring *ring, unsigned worker)
{
	wake_end(&ring->progress[worker].wake);
}

uint64_t batch_dealt(const struct batch_ring *ring)
{
	return atomic_load(&ring->dealt);
}

void batch_pass(struct batch_ring *ring, unsigned worker)
{
	uint64_t passed = passed_by(ring, worker) + 1;
	atomic_store(&ring->progress[worker].passed, passed);
	uint64_t wanted = atomic_load(&ring->room.wanted);
	/* The last of them wakes the reader. */
	if (wanted != WAKE_NOBODY && passed >= wanted && passed_by_all(ring) >= wanted)
		wake_up(&ring->room);
}
