/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/crew.h"

#include "sensor/lookahead.h"
#include "sensor/signals.h"

#include <stdlib.h>

struct crew {
	unsigned size;       /* of its pipelines */
	bool alone;          /* the calling thread does all: one worker, which has no thread */
	uint32_t near_flows; /* then: connections up to which no packet waits for others */
	struct judge *judge; /* borrowed */
	struct intake *intake;

	/* the reader */
	struct flow_hash parts;  /* a part is one worker's */
	struct lookahead *ahead; /* where the crew is alone */
	struct batch *batch;     /* where it is not: being filled; NULL: none */
	uint64_t end;            /* ordinal behind the last frame */
	int64_t beat;
	bool clock_started;
	unsigned latest_worker; /* whose the packet before was */
	uint64_t unread;
	bool finished;

	/* the workers */
	struct worker *workers;
	struct batch_ring batches;
	bool has_batches;

	/* the judge's thread */
	struct wake judge_wake;
	struct wake rest_wake;
	bool has_wakes;
	_Atomic uint64_t rest_asked, rest_done;
	_Atomic bool stop;
	pthread_t thread;
	bool judging;
};

/* ---- the judge's thread ---- */

struct choice {
	struct worker *worker; /* whose observation comes first beyond doubt; NULL: none */
	uint64_t wanted;       /* then: what the others have to reach, or WORKER_ANYTHING */
	bool empty;            /* nobody has told anything that was not heard */
};

static struct choice choose(struct crew *crew)
{
	struct choice choice = {.wanted = WORKER_ANYTHING, .empty = true};
	const struct observation_place *first = NULL;
	uint64_t reached_by_silent = UINT64_MAX;

	for (unsigned i = 0; i < crew->size; i++) {
		struct worker *worker = &crew->workers[i];
		/* In this order: an empty queue says that nothing was told before reached. */
		uint64_t reached = atomic_load(&worker->reached);
		const struct observation_place *place = observation_queue_first(&worker->told);
		if (place == NULL) {
			if (reached < reached_by_silent)
				reached_by_silent = reached;
		} else if (first == NULL || observation_before(place, first)) {
			first = place;
			choice.worker = worker;
			choice.empty = false;
		}
	}
	if (first != NULL && first->step >= reached_by_silent) {
		choice.worker = NULL;
		choice.wanted = first->step + 1;
	}
	return choice;
}

/* Whether the one who waits for this choice to change has something to do. */
static bool judge_is_needed(struct crew *crew, uint64_t wanted)
{
	struct choice choice = choose(crew);
	return choice.worker != NULL || choice.wanted != wanted || atomic_load(&crew->stop) ||
	       atomic_load(&crew->rest_asked) != atomic_load(&crew->rest_done);
}

static void *run_judge(void *argument)
{
	struct crew *crew = argument;

	while (!atomic_load(&crew->stop)) {
		/* What is asked for was told before: looked at first, it is not missed. */
		uint64_t asked = atomic_load(&crew->rest_asked);
		struct choice choice = choose(crew);
		if (choice.worker != NULL) {
			const struct dns_answers *answers;
			const struct observation *observation =
			    observation_queue_get(&choice.worker->told, &answers);
			if (answers != NULL)
				judge_dns(crew->judge, answers, observation->time_ns);
			else
				judge_observe(crew->judge, observation);
			observation_queue_pop(&choice.worker->told);
			continue;
		}
		if (choice.empty && asked != atomic_load(&crew->rest_done)) {
			atomic_store(&crew->rest_done, asked);
			wake_reached(&crew->rest_wake, asked);
			continue;
		}
		wake_begin(&crew->judge_wake, choice.wanted);
		while (!judge_is_needed(crew, choice.wanted))
			wake_sleep(&crew->judge_wake);
		wake_end(&crew->judge_wake);
	}
	return NULL;
}

/* ---- life ---- */

/* Makes the workers; who hears them is the judge itself, or its thread. */
static bool make_workers(struct crew *crew, const struct crew_config *config)
{
	/* A worker that is the only one has nobody to be put in order with. */
	const bool calls_judge = config->workers <= 2;
	const struct worker_hearer hearer = {.judge = calls_judge ? crew->judge : NULL,
					     .judge_wake = calls_judge ? NULL : &crew->judge_wake};
	/* Packets that are kept are shared by all sessions of a worker, so it is shared out. */
	struct pipeline_config share = config->pipeline;
	share.evidence_ring /= crew->size;
	share.dialogue_on_request = calls_judge && share.evidence_ring == 0;

	crew->workers = aligned_alloc(64, crew->size * sizeof *crew->workers);
	if (crew->workers == NULL)
		return false;
	memset(crew->workers, 0, crew->size * sizeof *crew->workers);
	for (unsigned i = 0; i < crew->size; i++)
		if (!worker_init(&crew->workers[i], i, &share, hearer))
			return false;
	return true;
}

static bool start_threads(struct crew *crew, bool judging)
{
	crew->has_wakes = wake_init(&crew->judge_wake) && wake_init(&crew->rest_wake);
	crew->has_batches = crew->has_wakes && batch_ring_init(&crew->batches, crew->size);
	if (!crew->has_batches)
		return false;
	for (unsigned i = 0; i < crew->size; i++)
		if (!worker_start(&crew->workers[i], &crew->batches))
			return false;
	if (!judging)
		return true;
	sigset_t before;
	signals_hold(&before);
	crew->judging = pthread_create(&crew->thread, NULL, run_judge, crew) == 0;
	signals_let(&before);
	return crew->judging;
}

static bool make_lookahead(struct crew *crew)
{
	crew->ahead = aligned_alloc(MEMORY_LINE, sizeof *crew->ahead);
	if (crew->ahead == NULL)
		return false;
	*crew->ahead = (struct lookahead){.window = NULL};
	return true;
}

struct crew *crew_create(const struct crew_config *config, struct judge *judge)
{
	struct crew *crew = calloc(1, sizeof *crew);
	if (crew == NULL)
		return NULL;
	/* The reader is one of them, the judge's another where there are enough. */
	crew->size = config->workers <= 3 ? 1 : config->workers - 2;
	crew->alone = config->workers == 1;
	crew->near_flows = config->near_flows;
	crew->judge = judge;
	flow_parts_init(&crew->parts);
	crew->intake = intake_create(&config->intake);
	if (crew->intake != NULL && make_workers(crew, config) &&
	    (crew->alone ? make_lookahead(crew) : start_threads(crew, config->workers > 2)))
		return crew;
	crew_destroy(crew);
	return NULL;
}

static struct batch *open_batch(struct crew *crew)
{
	if (crew->batch != NULL)
		return crew->batch;
	crew->batch = batch_open(&crew->batches);
	return crew->batch;
}

static void seal(struct crew *crew)
{
	batch_seal(&crew->batches, crew->end);
	crew->batch = NULL;
}

/* The last batch; the workers' threads end behind it. */
static void dismiss(struct crew *crew, bool finish)
{
	struct batch *batch = open_batch(crew);
	batch->last = true;
	batch->finish = finish;
	batch->clock_ns = intake_clock(crew->intake);
	seal(crew);
	crew->finished = true;
}

void crew_destroy(struct crew *crew)
{
	if (crew == NULL)
		return;
	if (crew->has_batches && crew->workers != NULL && !crew->finished)
		dismiss(crew, false);
	for (unsigned i = 0; crew->workers != NULL && i < crew->size; i++)
		worker_join(&crew->workers[i]);
	if (crew->judging) {
		atomic_store(&crew->stop, true);
		wake_up(&crew->judge_wake);
		(void)pthread_join(crew->thread, NULL);
	}
	for (unsigned i = 0; crew->workers != NULL && i < crew->size; i++)
		worker_free(&crew->workers[i]);
	free(crew->workers);
	if (crew->ahead != NULL)
		lookahead_drop(crew->ahead);
	free(crew->ahead);
	if (crew->has_batches)
		batch_ring_free(&crew->batches);
	if (crew->has_wakes) {
		wake_free(&crew->judge_wake);
		wake_free(&crew->rest_wake);
	}
	intake_destroy(crew->intake);
	free(crew);
}

/* ---- the reader ---- */

static unsigned worker_of(const struct crew *crew, const struct flow_key *key)
{
	if (crew->size == 1)
		return 0;
	return flow_part(&crew->parts, key) * crew->size / FLOW_PARTS;
}

/* The clock is at a frame that is owner's: all others learn of a new beat. */
static void deal_clock(struct crew *crew, unsigned owner, uint64_t ordinal)
{
	int64_t clock_ns = intake_clock(crew->intake);
	int64_t beat = pipeline_beat(clock_ns);
	if (crew->clock_started && beat == crew->beat)
		return;
	crew->clock_started = true;
	crew->beat = beat;
	for (unsigned i = 0; i < crew->size; i++)
		if (i != owner)
			batch_add_clock(open_batch(crew), i, clock_ns, ordinal);
}

/* Answers are heard in their place: behind the packets that wait. */
static void hear_dns(struct crew *crew, const struct capture_packet *captured)
{
	const struct dns_answers *dns = intake_dns(crew->intake);
	if (dns == NULL)
		return;
	lookahead_drain(crew->ahead, &crew->workers[0]);
	worker_dns(&crew->workers[0], dns, captured->time_ns, captured->ordinal);
}

/* The clock is at a frame of which no packet is followed: what waits before it has an older one. */
static void clock_alone(struct crew *crew, uint64_t ordinal)
{
	const int64_t clock_ns = intake_clock(crew->intake);

	if (!lookahead_empty(crew->ahead)) {
		const int64_t last_ns = lookahead_last(crew->ahead)->clock_ns;
		if (pipeline_beat(clock_ns) == pipeline_beat(last_ns))
			return;
		lookahead_drain(crew->ahead, &crew->workers[0]);
	}
	worker_clock(&crew->workers[0], clock_ns, ordinal);
}

/* A frame on its whole way. */
static void frame_at_once(struct crew *crew, const struct capture_packet *captured)
{
	struct worker *worker = &crew->workers[0];
	struct followed_packet *packet = lookahead_place(crew->ahead);

	if (intake_packet(crew->intake, captured, packet))
		worker_packet(worker, packet);
	else
		clock_alone(crew, captured->ordinal);
	hear_dns(crew, captured);
}

/*
 * Whether a frame's packet waits until memory is near: a file's pages that nobody has read yet are
 * not, nor are so many connections. What lies in no window does not last so long.
 */
static bool may_wait(const struct crew *crew, const struct capture_packet *captured)
{
	return captured->window != NULL &&
	       (captured->window->mapped ||
		pipeline_connections(crew->workers[0].pipeline) > crew->near_flows);
}

static void frame_waits(struct crew *crew, const struct capture_packet *captured)
{
	struct worker *worker = &crew->workers[0];
	struct lookahead *ahead = crew->ahead;
	struct followed_packet *packet = lookahead_place(ahead);

	if (captured->window != ahead->window) {
		lookahead_drain(ahead, worker);
		lookahead_hold(ahead, captured->window);
	}
	if (intake_packet(crew->intake, captured, packet)) {
		const bool lasts = followed_packet_in_frame(packet);
		lookahead_add(ahead, worker);
		if (!lasts)
			lookahead_drain(ahead, worker);
	} else {
		clock_alone(crew, captured->ordinal);
	}
	hear_dns(crew, captured);
}

static void frame_alone(struct crew *crew, const struct capture_packet *captured)
{
	if (may_wait(crew, captured)) {
		frame_waits(crew, captured);
		return;
	}
	lookahead_drain(crew->ahead, &crew->workers[0]);
	frame_at_once(crew, captured);
}

static void frame_deal(struct crew *crew, const struct capture_packet *captured)
{
	struct batch *batch = open_batch(crew);
	/* Read straight to where it most often belongs: packets come in trains. */
	struct followed_packet *packet = batch_place(batch, crew->latest_worker);
	unsigned owner = crew->size; /* nobody */

	if (intake_packet(crew->intake, captured, packet)) {
		owner = worker_of(crew, &packet->key);
		if (owner != crew->latest_worker)
			*batch_place(batch, owner) = *packet;
		crew->latest_worker = owner;
	}
	deal_clock(crew, owner, captured->ordinal);
	if (owner != crew->size && !batch_add_packet(batch, owner, captured->window))
		crew->unread++;
	/* Answers go through a worker, any, so that the judge hears them in their place. */
	const struct dns_answers *dns = intake_dns(crew->intake);
	if (dns != NULL && !batch_add_dns(batch, 0, dns, captured->time_ns, captured->ordinal))
		crew->unread++;
	crew->end = captured->ordinal + 1;
	if (batch->full)
		seal(crew);
}

void crew_frame(struct crew *crew, const struct capture_packet *captured)
{
	if (crew->alone)
		frame_alone(crew, captured);
	else
		frame_deal(crew, captured);
}

void crew_clock(struct crew *crew, int64_t time_ns, uint64_t ordinal)
{
	intake_time(crew->intake, time_ns);
	if (crew->alone) {
		clock_alone(crew, ordinal);
		return;
	}
	deal_clock(crew, crew->size, ordinal);
	crew->end = ordinal + 1;
	if (crew->batch != NULL && crew->batch->full)
		seal(crew);
}

bool crew_relieve(struct crew *crew)
{
	if (crew->alone) {
		const bool holds = crew->ahead->window != NULL;
		lookahead_drain(crew->ahead, &crew->workers[0]);
		return holds;
	}
	if (crew->batch != NULL)
		seal(crew);
	return batch_relieve(&crew->batches);
}

/* Waits until the workers have passed everything and the judge has heard it. */
static void await_rest(struct crew *crew)
{
	if (crew->alone)
		return;
	batch_drain(&crew->batches);
	if (!crew->judging)
		return;
	uint64_t asked = atomic_load(&crew->rest_asked) + 1;
	atomic_store(&crew->rest_asked, asked);
	wake_up(&crew->judge_wake);
	wake_begin(&crew->rest_wake, asked);
	while (atomic_load(&crew->rest_done) < asked)
		wake_sleep(&crew->rest_wake);
	wake_end(&crew->rest_wake);
}

void crew_rest(struct crew *crew)
{
	if (crew->finished)
		return;
	if (crew->alone)
		lookahead_drain(crew->ahead, &crew->workers[0]);
	if (crew->batch != NULL)
		seal(crew);
	await_rest(crew);
}

void crew_finish(struct crew *crew, uint64_t ordinal)
{
	if (crew->alone) {
		lookahead_drain(crew->ahead, &crew->workers[0]);
		worker_finish(&crew->workers[0], intake_clock(crew->intake), ordinal);
		crew->finished = true;
		return;
	}
	crew->end = ordinal;
	dismiss(crew, true);
	await_rest(crew);
}

const struct intake *crew_intake(const struct crew *crew)
{
	return crew->intake;
}

unsigned crew_size(const struct crew *crew)
{
	return crew->size;
}

const struct pipeline *crew_pipeline(const struct crew *crew, unsigned worker)
{
	return crew->workers[worker].pipeline;
}

uint64_t crew_unread(const struct crew *crew)
{
	return crew->unread;
}
