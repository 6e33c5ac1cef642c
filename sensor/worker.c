/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/worker.h"

#include "sensor/signals.h"

static void await_room(struct worker *worker)
{
	/* The judge may wait for anything to come, and has not heard of this yet. */
	wake_reached(worker->judge, WORKER_ANYTHING);
	observation_queue_wait(&worker->told);
}

/* Gives the judge what the pipeline has to tell; waits while the queue is full. */
static void tell(struct worker *worker)
{
	struct observation observation;
	while (pipeline_next(worker->pipeline, &observation))
		while (!observation_queue_put(&worker->told, &observation))
			await_room(worker);
}

_Static_assert(sizeof(struct dns_answers) <= LIMIT_OBSERVATIONS / 4, "answers fit the queue");

static void tell_dns(struct worker *worker, const struct followed_packet *packet)
{
	const struct dns_answers *answers = (const void *)packet->frame.ptr;
	while (!observation_queue_put_dns(&worker->told, answers, packet->time_ns, packet->ordinal))
		await_room(worker);
}

static void work_lane(struct worker *worker, const struct batch *batch)
{
	const struct batch_lane *lane = &batch->lanes[worker->number];

	for (uint32_t i = 0; i < lane->count; i++) {
		const struct followed_packet *packet = &lane->slots[i].packet;
		switch ((enum batch_kind)lane->kinds[i]) {
		case BATCH_CLOCK:
			pipeline_clock(worker->pipeline, packet->clock_ns, packet->ordinal);
			tell(worker);
			break;
		case BATCH_PACKET:
			pipeline_packet(worker->pipeline, packet);
			tell(worker);
			break;
		case BATCH_DNS:
			tell_dns(worker, packet);
			break;
		}
	}
	if (batch->finish) {
		pipeline_finish(worker->pipeline, batch->clock_ns, batch->end);
		tell(worker);
	}
}

/*
 * Says how far it is, and wakes the judge if that is what it waits for. For whatever comes it
 * is not woken at once, but when it is worth while; who needs it before (a full queue, the end)
 * wakes it.
 */
static void publish(struct worker *worker, uint64_t reached)
{
	uint64_t before = atomic_load_explicit(&worker->reached, memory_order_relaxed);
	atomic_store(&worker->reached, reached);
	uint64_t wanted = atomic_load(&worker->judge->wanted);
	if (wanted == WORKER_ANYTHING ? observation_queue_fills(&worker->told)
				      : before < wanted && wanted <= reached)
		wake_up(worker->judge);
}

static void *run_worker(void *argument)
{
	struct worker *worker = argument;
	bool last = false;

	while (!last) {
		const struct batch *batch = batch_take(worker->batches, worker->number);
		last = batch->last;
		uint64_t end = last ? batch->end + 1 : batch->end; /* the end is a step as well */
		work_lane(worker, batch);
		publish(worker, end);
		batch_pass(worker->batches, worker->number);
	}
	return NULL;
}

bool worker_start(struct worker *worker, unsigned number, const struct pipeline_config *config,
		  struct batch_ring *batches, struct wake *judge)
{
	size_t largest = sizeof(struct observation) + TEXT_COUNT * TEXT_LIST_MAX +
			 DIALOGUE_LINES_MAX * (DIALOGUE_LINE_MAX + 4);
	if (config->evidence_ring > 0)
		largest += config->evidence_out;
	*worker = (struct worker){.number = number, .batches = batches, .judge = judge};
	worker->pipeline = pipeline_create(config);
	if (worker->pipeline == NULL)
		return false;
	if (!observation_queue_init(&worker->told, LIMIT_OBSERVATIONS, largest)) {
		pipeline_destroy(worker->pipeline);
		worker->pipeline = NULL;
		return false;
	}
	sigset_t before;
	signals_hold(&before);
	worker->started = pthread_create(&worker->thread, NULL, run_worker, worker) == 0;
	signals_let(&before);
	return worker->started;
}

void worker_join(struct worker *worker)
{
	if (worker->started)
		(void)pthread_join(worker->thread, NULL);
	worker->started = false;
}

void worker_free(struct worker *worker)
{
	observation_queue_free(&worker->told);
	pipeline_destroy(worker->pipeline);
	worker->pipeline = NULL;
}
