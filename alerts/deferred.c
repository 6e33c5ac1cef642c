/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/deferred.h"

struct entry {
	int64_t due_ns;
	struct alert alert;
	struct observation observation;
	struct alert_detail details[DEFERRED_DETAILS];
	uint8_t *bytes; /* texts, dialogue, packets and details, one behind the other */
	size_t size;
};

struct deferred {
	struct budget *budget;
	uint32_t capacity, first, count;
	struct entry *ring;
	struct entry out; /* the one given last */
};

struct deferred *deferred_create(struct budget *budget, uint32_t capacity)
{
	struct deferred *deferred = budget_calloc(budget, 1, sizeof *deferred);
	if (deferred == NULL)
		return NULL;
	deferred->budget = budget;
	deferred->capacity = capacity;
	deferred->ring = budget_calloc(budget, capacity, sizeof *deferred->ring);
	if (deferred->ring == NULL) {
		budget_free(budget, deferred, sizeof *deferred);
		return NULL;
	}
	return deferred;
}

static void entry_free(struct deferred *deferred, struct entry *entry)
{
	if (entry->bytes == NULL)
		return;
	certificate_release(entry->observation.certificate);
	budget_free(deferred->budget, entry->bytes, entry->size);
	entry->bytes = NULL;
}

void deferred_destroy(struct deferred *deferred)
{
	if (deferred == NULL)
		return;
	entry_free(deferred, &deferred->out);
	for (uint32_t i = 0; i < deferred->count; i++)
		entry_free(deferred, &deferred->ring[(deferred->first + i) % deferred->capacity]);
	budget_free(deferred->budget, deferred->ring, deferred->capacity * sizeof *deferred->ring);
	budget_free(deferred->budget, deferred, sizeof *deferred);
}

/* Copies bytes behind those that are there. */
static struct span keep(struct entry *entry, size_t *at, struct span bytes)
{
	struct span kept = span_of(entry->bytes + *at, bytes.len);
	if (bytes.len > 0)
		memcpy(entry->bytes + *at, bytes.ptr, bytes.len);
	*at += bytes.len;
	return kept;
}

static bool entry_copy(struct deferred *deferred, struct entry *entry, const struct alert *alert)
{
	const struct observation *observation = alert->observation;
	const struct session_text *text = &observation->facts.text;
	size_t details =
	    alert->detail_count < DEFERRED_DETAILS ? alert->detail_count : DEFERRED_DETAILS;
	entry->size = 1U + text->len + observation->dialogue.len + observation->packets.len;
	for (size_t i = 0; i < details; i++)
		entry->size += alert->details[i].text.len;
	entry->bytes = budget_alloc(deferred->budget, entry->size);
	if (entry->bytes == NULL)
		return false;
	size_t at = 0;
	entry->alert = *alert;
	entry->observation = *observation;
	/* Of the block of texts what is used: behind it may be nothing (observation_queue.h). */
	entry->observation.facts.text.bytes = (char *)entry->bytes;
	entry->observation.facts.text.cap = text->len;
	(void)keep(entry, &at, span_of(text->bytes, text->len));
	entry->observation.dialogue = keep(entry, &at, observation->dialogue);
	entry->observation.packets = keep(entry, &at, observation->packets);
	for (size_t i = 0; i < details; i++) {
		entry->details[i] = alert->details[i];
		if (alert->details[i].text.ptr != NULL)
			entry->details[i].text = keep(entry, &at, alert->details[i].text);
	}
	entry->alert.detail_count = details;
	certificate_hold(observation->certificate);
	return true;
}

bool deferred_add(struct deferred *deferred, const struct alert *alert, int64_t due_ns)
{
	if (deferred->count == deferred->capacity || alert->observation == NULL)
		return false;
	struct entry *entry =
	    &deferred->ring[(deferred->first + deferred->count) % deferred->capacity];
	if (!entry_copy(deferred, entry, alert))
		return false;
	entry->due_ns = due_ns;
	deferred->count++;
	return true;
}

struct alert *deferred_next(struct deferred *deferred, int64_t now_ns)
{
	entry_free(deferred, &deferred->out);
	if (deferred->count == 0 || deferred->ring[deferred->first].due_ns > now_ns)
		return NULL;
	deferred->out = deferred->ring[deferred->first];
	deferred->ring[deferred->first].bytes = NULL;
	deferred->first = (deferred->first + 1) % deferred->capacity;
	deferred->count--;
	deferred->out.alert.observation = &deferred->out.observation;
	deferred->out.alert.details = deferred->out.details;
	return &deferred->out.alert;
}
