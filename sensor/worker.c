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
static bool tell(struct worker *worker)
{
	struct observation observation;
	bool told = false;
	while (pipeline_next(worker->pipeline, &observation)) {
		while (!observation_queue_put(&worker->told, &observation))
			await_room(worker);
		told = true;
	}
	return told;
}

static bool work_lane(struct worker *worker, const struct batch *batch)
{
	const struct batch_lane *lane = &batch->lanes[worker->number];
	bool told = false;

	for (uint32_t i = 0; i < lane->count; i++) {
		const struct batch_entry *entry = &lane->entries[i];
		const struct followed_packet *packet = &entry->packet;
		switch (entry->kind) {
		case BATCH_CLOCK:
			pipeline_clock(worker->pipeline, packet->clock_ns, packet->ordinal);
			told = tell(worker) || told;
			break;
		case BATCH_PACKET:
			pipeline_packet(worker->pipeline, packet);
			told = tell(worker) || told;
			break;
		case BATCH_DNS:
			while (!observation_queue_put_dns(&worker->told, entry->answers,
							  packet->time_ns, packet->ordinal))
				await_room(worker);
			told = true;
			break;
		}
	}
	if (batch->finish) {
		pipeline_finish(worker->pipeline, batch->clock_ns, batch->end);
		told = tell(worker) || told;
	}
	return told;
}

/* Says how far it is, and wakes the judge if that is what it waits for. */
static void publish(struct worker *worker, uint64_t reached, bool told)
{
	uint64_t before = atomic_load_explicit(&worker->reached, memory_order_relaxed);
	atomic_store(&worker->reached, reached);
	uint64_t wanted = atomic_load(&worker->judge->wanted);
	if (wanted == WORKER_ANYTHING ? told : before < wanted && wanted <= reached)
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
		bool told = work_lane(worker, batch);
		publish(worker, end, told);
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
