/* SPDX-License-Identifier: Apache-2.0 */
/* Observations through the ring: what is put in comes out, in order, whatever its size. */
#include "sensor/observation_queue.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#define LARGEST (64U << 10)

static uint8_t filling[LARGEST];

/* Number i, with borrowed parts of sizes that follow from it. */
static struct observation make(uint64_t i)
{
	uint64_t mixed = i * UINT64_C(0x9e3779b97f4a7c15);
	struct observation o = {.place = {.step = i}, .time_ns = (int64_t)i};
	o.facts.text.bytes = (char *)filling + i % 100;
	o.facts.text.len = (uint16_t)(mixed >> 40 & 0x3ff);
	o.facts.text.cap = (uint16_t)((o.facts.text.len + 31) & ~31);
	o.dialogue = span_of(filling + i % 77, mixed >> 50);
	if (i % 50 == 0)
		o.packets = span_of(filling, LARGEST - 20000);
	return o;
}

static void check(struct observation_queue *queue, uint64_t i)
{
	const struct observation expected = make(i);
	const struct dns_answers *answers;
	const struct observation_place *place = observation_queue_first(queue);
	cr_assert_not_null(place);
	cr_assert_eq(place->step, i);
	const struct observation *got = observation_queue_get(queue, &answers);
	cr_assert_null(answers);
	cr_assert_eq(got->time_ns, expected.time_ns);
	cr_assert_eq(got->facts.text.len, expected.facts.text.len);
	cr_assert_eq(got->facts.text.cap, got->facts.text.len, "only the texts were copied");
	cr_assert_eq(
	    memcmp(got->facts.text.bytes, expected.facts.text.bytes, expected.facts.text.len), 0);
	cr_assert(span_equal(got->dialogue, expected.dialogue));
	cr_assert(span_equal(got->packets, expected.packets));
	observation_queue_pop(queue);
}

static void queue_open(struct observation_queue *queue)
{
	for (size_t i = 0; i < sizeof filling; i++)
		filling[i] = (uint8_t)(i * 31 + i / 251);
	cr_assert(observation_queue_init(queue, 1U << 10, LARGEST));
}

/* Filled as far as it goes and emptied by halves: every place of the ring is its end once. */
Test(observation_queue, what_goes_in_comes_out)
{
	struct observation_queue queue;
	queue_open(&queue);
	uint64_t put = 0, taken = 0;
	for (int round = 0; round < 300; round++) {
		for (struct observation o = make(put); observation_queue_put(&queue, &o);
		     o = make(put))
			put++;
		cr_assert_gt(put, taken + 1, "two of the largest always fit");
		for (uint64_t half = (put - taken + 1) / 2; half > 0; half--)
			check(&queue, taken++);
	}
	while (taken < put)
		check(&queue, taken++);
	cr_assert_null(observation_queue_first(&queue));
	observation_queue_free(&queue);
}

Test(observation_queue, answers_go_between_observations)
{
	struct observation_queue queue;
	static struct dns_answers given = {.count = 2};
	queue_open(&queue);
	(void)memcpy(given.facts[1].name, "mx.example", 11);
	struct observation o = make(0);
	cr_assert(observation_queue_put(&queue, &o));
	cr_assert(observation_queue_put_dns(&queue, &given, 42, 1));
	o = make(2);
	cr_assert(observation_queue_put(&queue, &o));
	check(&queue, 0);
	const struct dns_answers *answers;
	cr_assert_eq(observation_queue_first(&queue)->cause, CAUSE_DNS);
	cr_assert_eq(observation_queue_get(&queue, &answers)->time_ns, 42);
	cr_assert_eq(memcmp(answers, &given, dns_answers_size(&given)), 0);
	observation_queue_pop(&queue);
	check(&queue, 2);
	observation_queue_free(&queue);
}

/* A certificate is held while its observation waits, also when that is never taken. */
Test(observation_queue, certificates_are_held)
{
	struct observation_queue queue;
	atomic_uint holders = 1;
	const struct certificate_info info = {.holders = &holders};
	queue_open(&queue);
	struct observation o = make(0);
	o.certificate = &info;
	cr_assert(observation_queue_put(&queue, &o));
	cr_assert(observation_queue_put(&queue, &o));
	cr_assert_eq(atomic_load(&holders), 3);
	observation_queue_pop(&queue);
	cr_assert_eq(atomic_load(&holders), 2);
	observation_queue_free(&queue);
	cr_assert_eq(atomic_load(&holders), 1);
}

static void *put_many(void *argument)
{
	struct observation_queue *queue = argument;
	for (uint64_t i = 0; i < 20000; i++) {
		struct observation o = make(i);
		while (!observation_queue_put(queue, &o))
			observation_queue_wait(queue);
	}
	return NULL;
}

Test(observation_queue, two_threads, .timeout = 60)
{
	struct observation_queue queue;
	pthread_t writer;
	queue_open(&queue);
	cr_assert_eq(pthread_create(&writer, NULL, put_many, &queue), 0);
	for (uint64_t i = 0; i < 20000; i++) {
		while (observation_queue_first(&queue) == NULL)
			(void)sched_yield();
		check(&queue, i);
	}
	(void)pthread_join(writer, NULL);
	observation_queue_free(&queue);
}
