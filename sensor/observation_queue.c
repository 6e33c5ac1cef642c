/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/observation_queue.h"

#include <stddef.h>
#include <stdlib.h>

/* In front of each: what it borrows follows in the order text, dialogue, packets. */
struct message {
	_Alignas(max_align_t) uint32_t size; /* of all of it, to the next message */
	bool skip;                           /* nothing: the next one begins at the ring's start */
	bool is_dns;                         /* answers follow, and nothing else */
	struct observation observation;
};

#define ALIGNMENT 16U

static uint32_t aligned(size_t size)
{
	return (uint32_t)((size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
}

bool observation_queue_init(struct observation_queue *queue, size_t size, size_t max_message)
{
	/* A message lies in one piece: of half the ring's size it fits wherever the last ended. */
	while (size < 2 * (max_message + sizeof(struct message) + ALIGNMENT))
		size *= 2;
	*queue = (struct observation_queue){.size = size};
	queue->bytes = aligned_alloc(64, size);
	if (queue->bytes == NULL)
		return false;
	if (wake_init(&queue->room))
		return true;
	free(queue->bytes);
	queue->bytes = NULL;
	return false;
}

void observation_queue_free(struct observation_queue *queue)
{
	if (queue->bytes == NULL)
		return;
	while (observation_queue_first(queue) != NULL)
		observation_queue_pop(queue);
	wake_free(&queue->room);
	free(queue->bytes);
	queue->bytes = NULL;
}

static struct message *message_at(const struct observation_queue *queue, uint64_t position)
{
	/* Positions are multiples of ALIGNMENT: every message stands aligned. */
	return (struct message *)(void *)(queue->bytes + (position & (queue->size - 1)));
}

/* Whether size bytes are free behind position. */
static bool has_room(struct observation_queue *queue, uint64_t position, uint64_t size)
{
	if (position + size - queue->read_seen <= queue->size)
		return true;
	queue->read_seen = atomic_load_explicit(&queue->read, memory_order_acquire);
	queue->need = size;
	return position + size - queue->read_seen <= queue->size;
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(at, bytes, len);
	return at + len;
}

/* Room for a message of that size in one piece, not published yet. NULL: none now. */
static struct message *reserve(struct observation_queue *queue, uint32_t size, uint64_t *end)
{
	uint64_t position = atomic_load_explicit(&queue->written, memory_order_relaxed);
	uint64_t to_end = queue->size - (position & (queue->size - 1));

	if (to_end < size) {
		if (!has_room(queue, position, to_end + size))
			return NULL;
		struct message *skip = message_at(queue, position);
		skip->size = (uint32_t)to_end;
		skip->skip = true;
		position += to_end;
	} else if (!has_room(queue, position, size)) {
		return NULL;
	}
	struct message *message = message_at(queue, position);
	message->size = size;
	message->skip = false;
	*end = position + size;
	return message;
}

bool observation_queue_put(struct observation_queue *queue, const struct observation *observation)
{
	const struct session_text *text = &observation->facts.text;
	uint64_t end;
	struct message *message =
	    reserve(queue,
		    aligned(sizeof *message + text->len + observation->dialogue.len +
			    observation->packets.len),
		    &end);
	if (message == NULL)
		return false;
	message->is_dns = false;
	message->observation = *observation;
	message->observation.facts.text.cap = text->len; /* what follows is another's */
	uint8_t *at = (uint8_t *)(message + 1);
	at = append(at, text->bytes, text->len);
	at = append(at, observation->dialogue.ptr, observation->dialogue.len);
	(void)append(at, observation->packets.ptr, observation->packets.len);
	if (observation->certificate != NULL)
		certificate_hold(observation->certificate);
	/* Sequentially consistent, as wake.h asks: the reader may be about to sleep. */
	atomic_store(&queue->written, end);
	return true;
}

bool observation_queue_put_dns(struct observation_queue *queue, const struct dns_answers *answers,
			       int64_t time_ns, uint64_t ordinal)
{
	uint64_t end;
	struct message *message =
	    reserve(queue, aligned(sizeof *message + dns_answers_size(answers)), &end);
	if (message == NULL)
		return false;
	message->is_dns = true;
	message->observation = (struct observation){
	    .place = {.step = ordinal, .cause = CAUSE_DNS},
	    .time_ns = time_ns,
	};
	(void)append((uint8_t *)(message + 1), answers, dns_answers_size(answers));
	atomic_store(&queue->written, end);
	return true;
}

void observation_queue_wait(struct observation_queue *queue)
{
	uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed);
	/* At least half of the ring, so that waking is worth its while. */
	uint64_t free = queue->need > queue->size / 2 ? queue->need : queue->size / 2;
	uint64_t wanted = written + free - queue->size;
	wake_begin(&queue->room, wanted);
	while (atomic_load(&queue->read) < wanted)
		wake_sleep(&queue->room);
	wake_end(&queue->room);
}

bool observation_queue_fills(const struct observation_queue *queue)
{
	return atomic_load_explicit(&queue->written, memory_order_relaxed) -
		   atomic_load_explicit(&queue->read, memory_order_relaxed) >=
	       queue->size / 4;
}

/* The message at a position, what is skipped left behind. */
static struct message *at_first(const struct observation_queue *queue, uint64_t position)
{
	struct message *message = message_at(queue, position);
	/* A skip is published together with the message behind it. */
	return message->skip ? message_at(queue, position + message->size) : message;
}

const struct observation_place *observation_queue_first(struct observation_queue *queue)
{
	uint64_t position = atomic_load_explicit(&queue->read, memory_order_relaxed);
	if (position == atomic_load(&queue->written))
		return NULL;
	return &at_first(queue, position)->observation.place;
}

const struct observation *observation_queue_get(struct observation_queue *queue,
						const struct dns_answers **answers)
{
	struct message *message =
	    at_first(queue, atomic_load_explicit(&queue->read, memory_order_relaxed));
	struct observation *observation = &message->observation;
	uint8_t *at = (uint8_t *)(message + 1);

	*answers = message->is_dns ? (const struct dns_answers *)(const void *)at : NULL;
	if (message->is_dns)
		return observation;
	/* What it borrows was the worker's; here it is behind the message. */
	observation->facts.text.bytes = (char *)at;
	at += observation->facts.text.len;
	observation->dialogue.ptr = at;
	at += observation->dialogue.len;
	observation->packets.ptr = at;
	return observation;
}

void observation_queue_pop(struct observation_queue *queue)
{
	uint64_t position = atomic_load_explicit(&queue->read, memory_order_relaxed);
	const struct message *message = message_at(queue, position);
	if (message->skip) {
		position += message->size;
		message = message_at(queue, position);
	}
	certificate_release(message->observation.certificate);
	position += message->size;
	atomic_store(&queue->read, position);
	wake_reached(&queue->room, position);
}
