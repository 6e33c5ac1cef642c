/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/crew.h"

#include "sensor/lookahead.h"
#include "sensor/signals.h"

#include <stdlib.h>

struct crew {
	unsigned size;       /* of its pipelines */
	unsigned threads;    /* of them, the first ones, that have a thread, to which is dealt */
	struct judge *judge; /* borrowed */
	struct intake *intake;

	/* the reader */
	struct flow_hash parts;  /* a part is one worker's */
	struct worker *own;      /* the last one, which the reader does itself; NULL: none */
	struct lookahead *ahead; /* in front of that */
	int64_t beat;
	bool clock_started;
	unsigned latest_worker; /* whose the packet before was */
	uint64_t unread;
	bool finished;

	/* the workers */
	struct worker *workers;
	struct batch_ring batches; /* where there are threads */
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
			worker_hear(choice.worker, crew->judge);
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

/* Who hears a worker: the judge itself, one that calls it, or its thread. */
static struct worker_hearer hearer_of(struct crew *crew, unsigned number, bool judging)
{
	struct worker *worker = &crew->workers[number];

	if (judging || (worker == crew->own && crew->threads > 0))
		return (struct worker_hearer){.judge_wake = &crew->judge_wake};
	return (struct worker_hearer){.judge = crew->judge,
				      .other = worker != crew->own ? crew->own : NULL};
}

static bool make_workers(struct crew *crew, const struct crew_config *config, bool judging)
{
	crew->workers = aligned_alloc(64, crew->size * sizeof *crew->workers);
	if (crew->workers == NULL)
		return false;
	memset(crew->workers, 0, crew->size * sizeof *crew->workers);
	crew->own = crew->size > crew->threads ? &crew->workers[crew->threads] : NULL;
	/*
	 * Packets that are kept are shared by all sessions of a worker, so it is shared out; but
	 * not to a reader that has a few: both then keep what one worker would.
	 */
	const unsigned shares = crew->own != NULL ? 1 : crew->size;
	for (unsigned i = 0; i < crew->size; i++) {
		const struct worker_hearer hearer = hearer_of(crew, i, judging);
		struct pipeline_config share = config->pipeline;
		share.evidence_ring /= shares;
		share.dialogue_on_request = hearer.judge != NULL && share.evidence_ring == 0;
		if (!worker_init(&crew->workers[i], i, &share, hearer))
			return false;
	}
	return true;
}

static bool make_lookahead(struct crew *crew, uint32_t near_flows)
{
	if (crew->own != NULL)
		crew->ahead = lookahead_create(crew->own, near_flows);
	return crew->own == NULL || crew->ahead != NULL;
}

static bool start_threads(struct crew *crew, bool judging)
{
	crew->has_wakes = wake_init(&crew->judge_wake) && wake_init(&crew->rest_wake);
	crew->has_batches = crew->has_wakes && batch_ring_init(&crew->batches, crew->threads);
	if (!crew->has_batches)
		return false;
	if (crew->own != NULL)
		crew->own->batches = &crew->batches;
	for (unsigned i = 0; i < crew->threads; i++)
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

struct crew *crew_create(const struct crew_config *config, struct judge *judge)
{
	struct crew *crew = calloc(1, sizeof *crew);
	if (crew == NULL)
		return NULL;
	/* From three on, the reader does nothing else, and the judge has a thread. */
	const bool judging = config->workers > 2;
	crew->size = judging ? config->workers - 2 : config->workers;
	crew->threads = judging ? crew->size : crew->size - 1;
	crew->judge = judge;
	flow_parts_init(&crew->parts);
	crew->intake = intake_create(&config->intake);
	if (crew->intake != NULL && make_workers(crew, config, judging) &&
	    make_lookahead(crew, config->near_flows) &&
	    (crew->threads == 0 || start_threads(crew, judging)))
		return crew;
	crew_destroy(crew);
	return NULL;
}

/*
 * The reader's own worker does what waits, so that others need not wait for it: before a batch is
 * handed out, and before the reader waits for anybody.
 */
static void settle_own(struct crew *crew)
{
	if (crew->own == NULL)
		return;
	lookahead_drain(crew->ahead);
	if (crew->threads > 0)
		worker_reached(crew->own, crew->batches.end);
}

static struct batch *open_batch(struct crew *crew)
{
	if (batch_has_no_place(&crew->batches))
		settle_own(crew);
	return batch_open(&crew->batches);
}

static void seal(struct crew *crew)
{
	settle_own(crew);
	batch_seal(&crew->batches);
}

static void seal_if_full(struct crew *crew)
{
	if (crew->batches.open != NULL && crew->batches.open->full)
		seal(crew);
}

/* The last batch; the workers' threads end behind it. */
static void dismiss(struct crew *crew, bool finish)
{
	const int64_t clock_ns = intake_clock(crew->intake);
	const uint64_t end = crew->batches.end;

	settle_own(crew);
	struct batch *batch = open_batch(crew);
	batch->last = true;
	batch->finish = finish;
	batch->clock_ns = clock_ns;
	batch_seal(&crew->batches);
	if (crew->own != NULL && finish)
		worker_finish(crew->own, clock_ns, end);
	if (crew->own != NULL)
		worker_reached(crew->own, end + 1);
	crew->finished = true;
}

void crew_destroy(struct crew *crew)
{
	if (crew == NULL)
		return;
	if (crew->has_batches && !crew->finished)
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
	lookahead_destroy(crew->ahead);
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

/* Parts of the reader's own worker, beside another one: to read and to deal is work as well. */
#define OWN_PARTS (FLOW_PARTS / 4)

static unsigned worker_of(const struct crew *crew, const struct flow_key *key)
{
	if (crew->size == 1)
		return 0;
	const unsigned part = flow_part(&crew->parts, key);
	if (crew->own != NULL)
		return part < OWN_PARTS ? crew->threads : 0;
	return part * crew->size / FLOW_PARTS;
}

/* A frame on its whole way. */
static void frame_alone(struct crew *crew, const struct capture_packet *captured)
{
	if (intake_packet(crew->intake, captured, lookahead_place(crew->ahead)))
		lookahead_packet(crew->ahead, captured);
	else
		lookahead_clock(crew->ahead, intake_clock(crew->intake), captured->ordinal);
	/* Answers are heard in their place: behind the packets that wait. */
	const struct dns_answers *dns = intake_dns(crew->intake);
	if (dns == NULL)
		return;
	lookahead_drain(crew->ahead);
	worker_dns(crew->own, dns, captured->time_ns, captured->ordinal);
}

/* ---- dealing ---- */

/* Whether the clock is in another beat. */
static bool begins_beat(struct crew *crew)
{
	const int64_t beat = pipeline_beat(intake_clock(crew->intake));
	if (crew->clock_started && beat == crew->beat)
		return false;
	crew->clock_started = true;
	crew->beat = beat;
	return true;
}

/* All but the owner, whose packet says it, learn of a new beat. */
static void deal_clock(struct crew *crew, unsigned owner, uint64_t ordinal)
{
	for (unsigned i = 0; i < crew->threads; i++)
		if (i != owner)
			batch_add_clock(open_batch(crew), i, intake_clock(crew->intake), ordinal);
}

/* Where a worker's next packet is to be written. */
static struct followed_packet *place_of(struct crew *crew, unsigned worker)
{
	return worker == crew->threads ? lookahead_place(crew->ahead)
				       : batch_place(open_batch(crew), worker);
}

/* All that others have to know of a frame comes before its packet in the reader's own worker. */
static void frame_deal(struct crew *crew, const struct capture_packet *captured)
{
	/* Read straight to where it most often belongs: packets come in trains. */
	struct followed_packet *packet = place_of(crew, crew->latest_worker);
	unsigned owner = crew->size; /* nobody */

	if (intake_packet(crew->intake, captured, packet)) {
		owner = worker_of(crew, &packet->key);
		if (owner != crew->latest_worker)
			*place_of(crew, owner) = *packet;
		crew->latest_worker = owner;
	}
	const bool beats = begins_beat(crew);
	if (beats)
		deal_clock(crew, owner, captured->ordinal);
	if (owner < crew->threads && !batch_add_packet(open_batch(crew), owner, captured->window))
		crew->unread++;
	/* Answers go through a worker, any, so that the judge hears them in their place. */
	const struct dns_answers *dns = intake_dns(crew->intake);
	if (dns != NULL &&
	    !batch_add_dns(open_batch(crew), 0, dns, captured->time_ns, captured->ordinal))
		crew->unread++;
	crew->batches.end = captured->ordinal + 1;
	if (crew->own != NULL) {
		if (&crew->workers[owner] == crew->own)
			lookahead_packet(crew->ahead, captured);
		else if (beats)
			lookahead_clock(crew->ahead, intake_clock(crew->intake), captured->ordinal);
	}
	seal_if_full(crew);
}

void crew_frame(struct crew *crew, const struct capture_packet *captured)
{
	if (crew->threads == 0)
		frame_alone(crew, captured);
	else
		frame_deal(crew, captured);
}

void crew_clock(struct crew *crew, int64_t time_ns, uint64_t ordinal)
{
	intake_time(crew->intake, time_ns);
	if (crew->threads == 0) {
		lookahead_clock(crew->ahead, intake_clock(crew->intake), ordinal);
		return;
	}
	const bool beats = begins_beat(crew);
	if (beats)
		deal_clock(crew, crew->size, ordinal);
	crew->batches.end = ordinal + 1;
	if (beats && crew->own != NULL)
		lookahead_clock(crew->ahead, intake_clock(crew->intake), ordinal);
	seal_if_full(crew);
}

bool crew_relieve(struct crew *crew)
{
	const bool holds = crew->own != NULL && crew->ahead->window != NULL;

	if (crew->threads == 0) {
		settle_own(crew);
		return holds;
	}
	seal(crew);
	return batch_relieve(&crew->batches) || holds;
}

/* Waits until the workers have passed everything and the judge has heard it. */
static void await_rest(struct crew *crew)
{
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
	settle_own(crew);
	if (crew->threads == 0)
		return;
	/* Even an empty batch: at its end what the reader's own worker told is heard. */
	if (crew->own != NULL)
		(void)open_batch(crew);
	seal(crew);
	await_rest(crew);
}

void crew_finish(struct crew *crew, uint64_t ordinal)
{
	if (crew->threads == 0) {
		settle_own(crew);
		worker_finish(crew->own, intake_clock(crew->intake), ordinal);
		crew->finished = true;
		return;
	}
	crew->batches.end = ordinal;
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
