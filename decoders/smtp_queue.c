/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/smtp_queue.h"

/* An entry: kind and flags, verb, length of the domain, the domain. */
#define ENTRY_FIXED 3U

static const uint8_t *queue_bytes(const struct smtp_queue *queue)
{
	return queue->grown != NULL ? queue->grown : queue->small;
}

static uint16_t queue_cap(const struct smtp_queue *queue)
{
	return queue->grown != NULL ? queue->cap : (uint16_t)SMTP_QUEUE_INLINE;
}

static bool queue_reserve(struct smtp_queue *queue, struct budget *budget, size_t need)
{
	if (queue_cap(queue) - queue->tail >= (int)need)
		return true;
	uint8_t *bytes = queue->grown != NULL ? queue->grown : queue->small;
	size_t used = (size_t)(queue->tail - queue->head);
	memmove(bytes, bytes + queue->head, used);
	queue->head = 0;
	queue->tail = (uint16_t)used;
	if (queue_cap(queue) - used >= need)
		return true;

	size_t cap = (size_t)queue_cap(queue) * 4;
	if (cap > SMTP_QUEUE_MAX)
		cap = SMTP_QUEUE_MAX;
	if (cap - used < need)
		return false;
	uint8_t *grown = budget_resize(budget, queue->grown, queue->cap, cap);
	if (grown == NULL)
		return false;
	if (queue->grown == NULL)
		memcpy(grown, queue->small, used);
	queue->grown = grown;
	queue->cap = (uint16_t)cap;
	return true;
}

bool smtp_queue_push(struct smtp_queue *queue, struct budget *budget,
		     const struct smtp_pending *pending)
{
	size_t domain_len = pending->domain.len <= 255 ? pending->domain.len : 255;
	if (!queue_reserve(queue, budget, ENTRY_FIXED + domain_len))
		return false;
	uint8_t *at = (queue->grown != NULL ? queue->grown : queue->small) + queue->tail;
	at[0] = (uint8_t)((unsigned)pending->kind | (unsigned)pending->flags << 4);
	at[1] = (uint8_t)pending->verb;
	at[2] = (uint8_t)domain_len;
	if (domain_len > 0)
		memcpy(at + ENTRY_FIXED, pending->domain.ptr, domain_len);
	queue->tail = (uint16_t)(queue->tail + ENTRY_FIXED + domain_len);
	return true;
}

bool smtp_queue_next(const struct smtp_queue *queue, uint16_t *position,
		     struct smtp_pending *pending)
{
	uint16_t at = (uint16_t)(queue->head + *position);
	if (at >= queue->tail)
		return false;
	const uint8_t *entry = queue_bytes(queue) + at;
	*pending = (struct smtp_pending){
	    .kind = (enum smtp_pending_kind)(entry[0] & 0x0f),
	    .flags = entry[0] >> 4,
	    .verb = (enum smtp_verb)entry[1],
	    .domain = span_of(entry + ENTRY_FIXED, entry[2]),
	};
	*position = (uint16_t)(*position + ENTRY_FIXED + entry[2]);
	return true;
}

bool smtp_queue_peek(const struct smtp_queue *queue, struct smtp_pending *pending)
{
	uint16_t position = 0;
	return smtp_queue_next(queue, &position, pending);
}

void smtp_queue_pop(struct smtp_queue *queue)
{
	if (smtp_queue_is_empty(queue))
		return;
	queue->head = (uint16_t)(queue->head + ENTRY_FIXED + queue_bytes(queue)[queue->head + 2]);
	if (queue->head == queue->tail)
		queue->head = queue->tail = 0;
}

bool smtp_queue_is_empty(const struct smtp_queue *queue)
{
	return queue->head == queue->tail;
}

void smtp_queue_clear(struct smtp_queue *queue)
{
	queue->head = queue->tail = 0;
}

void smtp_queue_free(struct smtp_queue *queue, struct budget *budget)
{
	budget_free(budget, queue->grown, queue->cap);
	*queue = (struct smtp_queue){.grown = NULL};
}
