/* SPDX-License-Identifier: Apache-2.0 */
/* Packets in batches: what they borrow lasts until every worker has passed them, no longer. */
#include "sensor/batch.h"

#include <criterion/criterion.h>

static const struct batch *take(struct batch_ring *ring, unsigned worker)
{
	const struct batch *batch;
	batch_wait_begin(ring, worker);
	while ((batch = batch_next(ring, worker)) == NULL)
		batch_wait(ring, worker);
	batch_wait_end(ring, worker);
	return batch;
}

static void seal(struct batch_ring *ring, uint64_t end)
{
	ring->end = end;
	batch_seal(ring);
}

/* A packet whose TCP header and payload stand at the end of a frame. */
static struct followed_packet packet_in(const uint8_t *frame, size_t len, uint64_t ordinal)
{
	return (struct followed_packet){
	    .segment = {.checked = span_of(frame + 34, len - 34),
			.payload = span_of(frame + 54, len - 54)},
	    .frame = span_of(frame, len),
	    .ordinal = ordinal,
	};
}

static void check_packet(const struct batch *batch, unsigned worker, uint32_t place,
			 const uint8_t *frame, size_t len)
{
	const struct followed_packet *got = &batch->lanes[worker].slots[place].packet;
	const struct tcp_segment *segment = &got->segment;
	cr_assert_eq(batch->lanes[worker].kinds[place], BATCH_PACKET);
	cr_assert(span_equal(got->frame, span_of(frame, len)));
	cr_assert(span_equal(segment->checked, span_of(frame + 34, len - 34)));
	cr_assert(span_equal(segment->payload, span_of(frame + 54, len - 54)));
	cr_assert_eq(segment->payload.ptr, segment->checked.ptr + 20);
}

Test(batch, without_a_window_a_frame_is_copied)
{
	struct batch_ring ring;
	uint8_t frame[100], kept[100];
	cr_assert(batch_ring_init(&ring, 2));
	memset(frame, 7, sizeof frame);
	frame[60] = 9;
	memcpy(kept, frame, sizeof frame);
	struct batch *batch = batch_open(&ring);
	*batch_place(batch, 1) = packet_in(frame, sizeof frame, 5);
	cr_assert(batch_add_packet(batch, 1, NULL));
	memset(frame, 0, sizeof frame);
	seal(&ring, 6);
	const struct batch *taken = take(&ring, 1);
	check_packet(taken, 1, 0, kept, sizeof kept);
	const struct tcp_segment *segment = &taken->lanes[1].slots[0].packet.segment;
	cr_assert_eq(segment->checked.ptr, taken->lanes[1].slots[0].packet.frame.ptr + 34);
	cr_assert_eq(take(&ring, 0)->lanes[0].count, 0);
	batch_ring_free(&ring);
}

/* Of a datagram that was put together the segment lies elsewhere; the frame is in the window. */
Test(batch, what_is_not_in_the_frame_is_copied)
{
	struct batch_ring ring;
	struct capture_window_pool *pool = capture_window_pool_new(4);
	struct capture_window *window;
	uint8_t whole[100], kept[100];
	cr_assert(batch_ring_init(&ring, 1));
	cr_assert_eq(capture_window_acquire(pool, 4096, &window), WINDOW_ACQUIRED);
	memset(whole, 3, sizeof whole);
	whole[70] = 4;
	memcpy(kept, whole, sizeof whole);
	memset(window->room, 5, 60);
	struct batch *batch = batch_open(&ring);
	struct followed_packet *packet = batch_place(batch, 0);
	*packet = packet_in(whole, sizeof whole, 1);
	packet->frame = span_of(window->bytes, 60);
	cr_assert(batch_add_packet(batch, 0, window));
	memset(whole, 0, sizeof whole);
	cr_assert_eq(packet->frame.ptr, window->bytes, "not copied");
	cr_assert(span_equal(packet->segment.checked, span_of(kept + 34, 66)));
	cr_assert(span_equal(packet->segment.payload, span_of(kept + 54, 46)));
	batch_ring_free(&ring);
	capture_window_detach(window);
	capture_window_pool_free(pool);
}

Test(batch, windows_are_held_until_all_have_passed)
{
	struct batch_ring ring;
	struct capture_window_pool *pool = capture_window_pool_new(4);
	struct capture_window *window;
	cr_assert(batch_ring_init(&ring, 3));
	cr_assert_eq(capture_window_acquire(pool, 4096, &window), WINDOW_ACQUIRED);
	memset(window->room, 1, 4096);
	struct batch *batch = batch_open(&ring);
	for (unsigned i = 0; i < 20; i++) {
		*batch_place(batch, i % 3) = packet_in(window->bytes + 100 * i, 100, i);
		cr_assert(batch_add_packet(batch, i % 3, window));
	}
	cr_assert_not(capture_window_unshared(window));
	batch_add_clock(batch, 2, 1234, 20);
	seal(&ring, 21);
	cr_assert_eq(take(&ring, 0)->end, 21);
	check_packet(take(&ring, 1), 1, 6, window->bytes + 1900, 100);
	const struct batch_lane *last = &take(&ring, 2)->lanes[2];
	cr_assert_eq(last->count, 7);
	cr_assert_eq(last->kinds[6], BATCH_CLOCK);
	cr_assert_eq(last->slots[6].packet.clock_ns, 1234);
	batch_pass(&ring, 0);
	batch_pass(&ring, 2);
	cr_assert_not(capture_window_unshared(window));
	batch_pass(&ring, 1);
	cr_assert(batch_relieve(&ring));
	cr_assert(capture_window_unshared(window));
	cr_assert_not(batch_relieve(&ring), "nothing is held any more");
	batch_ring_free(&ring);
	capture_window_detach(window);
	capture_window_pool_free(pool);
}

Test(batch, is_full_at_each_of_its_caps)
{
	struct batch_ring ring;
	uint8_t frame[LIMIT_BATCH_COPIES / 4];
	cr_assert(batch_ring_init(&ring, 2));
	memset(frame, 0, sizeof frame);
	struct batch *batch = batch_open(&ring);
	for (unsigned i = 0; i < LIMIT_BATCH_PACKETS; i++) {
		cr_assert_not(batch->full);
		batch_add_clock(batch, 1, i, i);
	}
	cr_assert(batch->full, "of packets");
	seal(&ring, LIMIT_BATCH_PACKETS);
	batch = batch_open(&ring);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_not(batch->full);
		*batch_place(batch, 0) = packet_in(frame, sizeof frame, 1000 + i);
		cr_assert(batch_add_packet(batch, 0, NULL));
	}
	cr_assert(batch->full, "of copies");
	batch_ring_free(&ring);
}

Test(batch, what_is_not_full_is_handed_out_in_a_hurry)
{
	struct batch_ring ring;
	cr_assert(batch_ring_init(&ring, 1));
	cr_expect_null(batch_next(&ring, 0));
	batch_add_clock(batch_open(&ring), 0, 1234, 7);
	cr_expect_eq(batch_open(&ring), ring.open, "the same one, until it is handed out");
	ring.end = 8;
	cr_expect_null(batch_next(&ring, 0));
	cr_expect_eq(batch_dealt(&ring), 0);
	batch_hurry(&ring);
	const struct batch *batch = batch_next(&ring, 0);
	cr_assert_not_null(batch);
	cr_expect_eq(batch->end, 8);
	cr_expect_eq(batch->lanes[0].count, 1);
	cr_expect_eq(batch_dealt(&ring), 8);
	batch_pass(&ring, 0);
	ring.end = 9;
	batch_hurry(&ring);
	cr_expect_null(batch_next(&ring, 0), "there was nothing");
	cr_expect_eq(batch_dealt(&ring), 9);
	batch_ring_free(&ring);
}

Test(batch, has_a_place_until_all_are_handed_out)
{
	struct batch_ring ring;
	cr_assert(batch_ring_init(&ring, 1));
	for (unsigned i = 0; i < LIMIT_BATCHES; i++) {
		cr_expect_not(batch_has_no_place(&ring));
		(void)batch_open(&ring);
		cr_expect_not(batch_has_no_place(&ring), "one is open");
		seal(&ring, i + 1);
	}
	cr_expect(batch_has_no_place(&ring));
	while (batch_next(&ring, 0) != NULL)
		batch_pass(&ring, 0);
	cr_expect_not_null(batch_open(&ring));
	batch_ring_free(&ring);
}

#define MANY_BATCHES 2000

struct reading {
	struct batch_ring *ring;
	uint64_t next; /* ordinal that has to come */
};

/* A worker that checks that every packet comes once and in order. */
static void *read_lane(void *argument)
{
	struct reading *reading = argument;
	bool last = false;
	while (!last) {
		const struct batch *batch = take(reading->ring, 0);
		last = batch->last;
		for (uint32_t i = 0; i < batch->lanes[0].count; i++)
			if (batch->lanes[0].slots[i].packet.ordinal == reading->next)
				reading->next++;
		batch_pass(reading->ring, 0);
	}
	return NULL;
}

/* The ring is used again and again: the reader sleeps until places are free. */
Test(batch, all_come_once_and_in_order)
{
	struct batch_ring ring;
	cr_assert(batch_ring_init(&ring, 1));
	struct reading reading = {.ring = &ring};
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, read_lane, &reading), 0);
	uint64_t ordinal = 0;
	for (unsigned b = 0; b < MANY_BATCHES; b++) {
		struct batch *batch = batch_open(&ring);
		cr_assert_eq(batch->lanes[0].count, 0, "a place is given out empty");
		for (unsigned i = 0; i < 3; i++, ordinal++)
			batch_add_clock(batch, 0, 1, ordinal);
		batch->last = b + 1 == MANY_BATCHES;
		seal(&ring, ordinal);
	}
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(reading.next, ordinal);
	batch_ring_free(&ring);
}
