/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/worker.h"

#include "sensor/memory_fetch.h"
#include "sensor/signals.h"

#define FETCH_SLOT_AHEAD 8U /* packets, as pipeline.h counts them */

static void await_room(struct worker *worker)
{
	/* Who hears it may wait for anything to come, and has not heard of this yet. */
	wake_reached(worker->judge_wake, WORKER_ANYTHING);
	/* Or for a batch of the reader's, who has none to give while it waits here. */
	if (!worker->started)
		batch_hurry(worker->batches);
	observation_queue_wait(&worker->told);
}

void worker_hear(struct worker *worker, struct judge *judge)
{
	const struct dns_answers *answers;
	const struct observation *observation = observation_queue_get(&worker->told, &answers);

	if (answers != NULL)
		judge_dns(judge, answers, observation->time_ns);
	else
		judge_observe(judge, observation);
	observation_queue_pop(&worker->told);
}

/* ---- who calls the judge hears another ---- */

/* What the other one told of frames before that ordinal is heard, as far as it has told it. */
static void hear_up_to(struct worker *worker, uint64_t ordinal)
{
	const struct observation_place *first;

	while ((first = observation_queue_first(&worker->other->told)) != NULL &&
	       first->step < ordinal)
		worker_hear(worker->other, worker->judge);
}

/* Whether it has told something of frames that were dealt. */
static bool may_hear(const struct worker *worker)
{
	struct worker *other = worker->other;
	if (other == NULL)
		return false;
	const struct observation_place *first = observation_queue_first(&other->told);
	return first != NULL && first->step < batch_dealt(worker->batches);
}

/* Waits until the other one has told something, or has nothing to tell of that step. */
static void await_other(const struct worker *worker, uint64_t step)
{
	struct worker *other = worker->other;

	wake_begin(other->judge_wake, step + 1);
	while (atomic_load(&other->reached) <= step &&
	       observation_queue_first(&other->told) == NULL)
		wake_sleep(other->judge_wake);
	wake_end(other->judge_wake);
}

/*
 * All that the other one tells before that place is heard. As a rule it was told: the reader hands
 * no batch out before its own worker is as far, but where that one's queue is full.
 */
static void hear_before(struct worker *worker, const struct observation_place *place)
{
	struct worker *other = worker->other;

	while (other != NULL) {
		/* In this order: an empty queue says that nothing was told before reached. */
		const uint64_t reached = atomic_load(&other->reached);
		const struct observation_place *first = observation_queue_first(&other->told);
		if (first != NULL && observation_before(first, place))
			worker_hear(other, worker->judge);
		else if (first != NULL || reached > place->step)
			break;
		else
			await_other(worker, place->step);
	}
}

/* At the end of a batch: what the other one told of its frames; behind the last, to its end. */
static void hear_rest(struct worker *worker, const struct batch *batch)
{
	const struct observation_place behind_all = {
	    .step = batch->end,
	    .cause = CAUSE_END,
	    .due_ns = INT64_MAX,
	    .session = UINT64_MAX,
	};

	if (batch->last)
		hear_before(worker, &behind_all);
	else
		hear_up_to(worker, batch->end);
}

/* ---- what the pipeline has to tell ---- */

/* Gives it to the judge; waits while the queue is full. */
static void tell(struct worker *worker)
{
	struct observation observation;
	while (pipeline_next(worker->pipeline, &observation)) {
		if (worker->judge != NULL) {
			hear_before(worker, &observation.place);
			if (judge_examine(worker->judge, &observation))
				pipeline_dialogue(worker->pipeline, &observation);
			judge_conclude(worker->judge, &observation);
			continue;
		}
		while (!observation_queue_put(&worker->told, &observation))
			await_room(worker);
	}
}

_Static_assert(sizeof(struct dns_answers) <= LIMIT_OBSERVATIONS / 4, "answers fit the queue");

void worker_packet(struct worker *worker, const struct followed_packet *packet)
{
	if (pipeline_packet(worker->pipeline, packet))
		tell(worker);
}

void worker_clock(struct worker *worker, int64_t clock_ns, uint64_t ordinal)
{
	if (pipeline_clock(worker->pipeline, clock_ns, ordinal))
		tell(worker);
}

void worker_dns(struct worker *worker, const struct dns_answers *answers, int64_t time_ns,
		uint64_t ordinal)
{
	if (worker->judge != NULL) {
		const struct observation_place place = {.step = ordinal, .cause = CAUSE_DNS};
		hear_before(worker, &place);
		judge_dns(worker->judge, answers, time_ns);
		return;
	}
	while (!observation_queue_put_dns(&worker->told, answers, time_ns, ordinal))
		await_room(worker);
}

void worker_finish(struct worker *worker, int64_t clock_ns, uint64_t ordinal)
{
	pipeline_finish(worker->pipeline, clock_ns, ordinal);
	tell(worker);
}

/*
 * Another core may have written the packets of a lane and what they lie in; flows may be spread
 * over more memory than is near. Each step ahead needs what the one before has fetched.
 */
static void look_ahead(const struct pipeline *pipeline, const struct batch_lane *lane, uint32_t i)
{
	if (i + FETCH_SLOT_AHEAD < lane->count)
		memory_fetch(&lane->slots[i + FETCH_SLOT_AHEAD], sizeof lane->slots[0]);
	if (i + FETCH_PLACE_AHEAD < lane->count &&
	    lane->kinds[i + FETCH_PLACE_AHEAD] == BATCH_PACKET)
		pipeline_fetch_place(pipeline, &lane->slots[i + FETCH_PLACE_AHEAD].packet);
	if (i + FETCH_AHEAD < lane->count && lane->kinds[i + FETCH_AHEAD] == BATCH_PACKET)
		pipeline_fetch(pipeline, &lane->slots[i + FETCH_AHEAD].packet);
	if (i + FETCH_SESSION_AHEAD < lane->count &&
	    lane->kinds[i + FETCH_SESSION_AHEAD] == BATCH_PACKET)
		pipeline_fetch_session(pipeline, &lane->slots[i + FETCH_SESSION_AHEAD].packet);
}

static void worker_batch(struct worker *worker, const struct batch *batch)
{
	const struct batch_lane *lane = &batch->lanes[worker->number];

	for (uint32_t i = 0; i < lane->count; i++) {
		const struct followed_packet *packet = &lane->slots[i].packet;
		look_ahead(worker->pipeline, lane, i);
		switch ((enum batch_kind)lane->kinds[i]) {
		case BATCH_CLOCK:
			worker_clock(worker, packet->clock_ns, packet->ordinal);
			break;
		case BATCH_PACKET:
			worker_packet(worker, packet);
			break;
		case BATCH_DNS:
			worker_dns(worker, (const void *)packet->frame.ptr, packet->time_ns,
				   packet->ordinal);
			break;
		}
	}
	if (batch->finish)
		worker_finish(worker, batch->clock_ns, batch->end);
}

/*
 * Says how far it is, and wakes the judge if that is what it waits for. For whatever comes it
 * is not woken at once, but when it is worth while; who needs it before (a full queue, the end)
 * wakes it.
 */
void worker_reached(struct worker *worker, uint64_t ordinal)
{
	uint64_t before = atomic_load_explicit(&worker->reached, memory_order_relaxed);
	atomic_store(&worker->reached, ordinal);
	if (worker->judge != NULL)
		return;
	uint64_t wanted = atomic_load(&worker->judge_wake->wanted);
	if (wanted == WORKER_ANYTHING ? observation_queue_fills(&worker->told)
				      : before < wanted && wanted <= ordinal)
		wake_up(worker->judge_wake);
}

/* The next batch; as long as there is none, the other one is heard. */
static const struct batch *next_batch(struct worker *worker)
{
	struct batch_ring *ring = worker->batches;
	const struct batch *batch;

	for (;;) {
		/* In this order: of what was dealt before, no batch is left then. */
		const uint64_t dealt = batch_dealt(ring);
		batch = batch_next(ring, worker->number);
		if (batch != NULL)
			return batch;
		if (worker->other != NULL)
			hear_up_to(worker, dealt);
		batch_wait_begin(ring, worker->number);
		while (batch_next(ring, worker->number) == NULL && !may_hear(worker))
			batch_wait(ring, worker->number);
		batch_wait_end(ring, worker->number);
	}
}

static void *run_worker(void *argument)
{
	struct worker *worker = argument;
	bool last = false;

	while (!last) {
		const struct batch *batch = next_batch(worker);
		last = batch->last;
		uint64_t end = last ? batch->end + 1 : batch->end; /* the end is a step as well */
		worker_batch(worker, batch);
		if (worker->other != NULL)
			hear_rest(worker, batch);
		worker_reached(worker, end);
		batch_pass(worker->batches, worker->number);
	}
	return NULL;
}

bool worker_init(struct worker *worker, unsigned number, const struct pipeline_config *config,
		 struct worker_hearer hearer)
{
	size_t largest = sizeof(struct observation) + TEXT_COUNT * TEXT_LIST_MAX +
			 TEXT_DOMAINS_MAX + DIALOGUE_LINES_MAX * (DIALOGUE_LINE_MAX + 4);
	if (config->evidence_ring > 0)
		largest += config->evidence_out;
	*worker = (struct worker){.number = number,
				  .judge = hearer.judge,
				  .judge_wake = hearer.judge_wake,
				  .other = hearer.other};
	worker->pipeline = pipeline_create(config);
	if (worker->pipeline == NULL)
		return false;
	if (hearer.judge == NULL &&
	    !observation_queue_init(&worker->told, LIMIT_OBSERVATIONS, largest)) {
		pipeline_destroy(worker->pipeline);
		worker->pipeline = NULL;
		return false;
	}
	return true;
}

bool worker_start(struct worker *worker, struct batch_ring *batches)
{
	sigset_t before;

	worker->batches = batches;
	worker->started = true; /* the thread asks as well */
	signals_hold(&before);
	if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
		worker->started = false;
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
