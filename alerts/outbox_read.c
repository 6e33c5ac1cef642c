/* SPDX-License-Identifier: Apache-2.0 */
/* The reading side of the outbox: batches in the order of raising, and what is done with them. */
#include "alerts/outbox_state.h"

#include <stdlib.h>
#include <unistd.h>

bool outbox_batch_init(struct outbox_batch *batch, size_t capacity, size_t size)
{
	*batch = (struct outbox_batch){
	    .records = calloc(capacity, sizeof(*batch->records)),
	    .places = calloc(capacity, sizeof(*batch->places)),
	    .bytes = malloc(size),
	    .capacity = capacity,
	    .size = size,
	};
	if (batch->records != NULL && batch->places != NULL && batch->bytes != NULL)
		return true;
	outbox_batch_free(batch);
	return false;
}

void outbox_batch_free(struct outbox_batch *batch)
{
	free(batch->records);
	free(batch->places);
	free(batch->bytes);
	*batch = (struct outbox_batch){.count = 0};
}

static struct span batch_copy(struct outbox_batch *batch, struct span text)
{
	uint8_t *at = batch->bytes + batch->used;

	if (text.len > 0)
		memcpy(at, text.ptr, text.len);
	batch->used += text.len;
	return span_of(at, text.len);
}

/* Copies a record behind the others; false when the batch is full. */
static bool batch_add(struct outbox_batch *batch, const struct outbox_record *record,
		      const struct outbox_place *place)
{
	size_t need = record->id.len + record->rule.len + record->sensor.len + record->json.len;

	if (batch->count == batch->capacity || need > batch->size - batch->used)
		return false;
	struct outbox_record *copy = &batch->records[batch->count];
	*copy = *record;
	copy->id = batch_copy(batch, record->id);
	copy->rule = batch_copy(batch, record->rule);
	copy->sensor = batch_copy(batch, record->sensor);
	copy->json = batch_copy(batch, record->json);
	batch->places[batch->count++] = *place;
	return true;
}

/* The next record of each chain that is wanted, while a batch is put together. */
struct merge {
	uint64_t behind; /* records up to this sequence are not wanted */
	struct outbox_chain_reader readers[OUTBOX_SEVERITIES];
	struct outbox_record heads[OUTBOX_SEVERITIES];
	struct outbox_place places[OUTBOX_SEVERITIES];
	bool have[OUTBOX_SEVERITIES];
};

static void merge_advance(struct merge *merge, size_t i)
{
	do {
		merge->have[i] = outbox_chain_read(&merge->readers[i], &merge->heads[i],
						   &merge->places[i].behind);
	} while (merge->have[i] && merge->heads[i].sequence <= merge->behind);
	merge->places[i].on_disk = true;
}

/* Where the batch left off in the files of a severity, or NULL when it has none from there. */
static const struct outbox_position *left_off(const struct outbox_batch *batch, unsigned severity)
{
	for (size_t i = batch == NULL ? 0 : batch->count; i > 0; i--)
		if (batch->places[i - 1].on_disk && batch->records[i - 1].severity == severity)
			return &batch->places[i - 1].behind;
	return NULL;
}

/* Records of the files, merged by sequence. Returns false when the batch became full. */
static bool read_disk(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
		      const struct outbox_batch *after, uint64_t behind)
{
	struct merge merge;
	bool more = true;

	merge.behind = behind;
	for (unsigned i = 0; i < OUTBOX_SEVERITIES; i++) {
		outbox_chain_read_begin(&merge.readers[i], &outbox->chains[i], left_off(after, i),
					outbox->read_buffers[i], outbox->read_buffer_size);
		merge_advance(&merge, i);
	}
	for (;;) {
		size_t best = OUTBOX_SEVERITIES;
		for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
			if (merge.have[i] && (best == OUTBOX_SEVERITIES ||
					      merge.heads[i].sequence < merge.heads[best].sequence))
				best = i;
		if (best == OUTBOX_SEVERITIES)
			break;
		if (batch->count == limit ||
		    !batch_add(batch, &merge.heads[best], &merge.places[best])) {
			more = false;
			break;
		}
		merge_advance(&merge, best);
	}
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		outbox_chain_read_end(&merge.readers[i]);
	return more;
}

static void read_memory(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
			uint64_t behind)
{
	struct outbox_queue_walk walk = outbox_queue_walk(&outbox->queue);
	const struct outbox_item *item;

	while (batch->count < limit && (item = outbox_queue_next(&walk)) != NULL) {
		struct outbox_record record;
		const struct outbox_place place = {.on_disk = false};
		size_t size;
		struct span bytes = span_of(item->bytes, item->size);
		if (item->sequence <= behind)
			continue;
		if (outbox_record_decode(bytes, &record, &size) != PARSE_DONE ||
		    !batch_add(batch, &record, &place))
			return;
	}
}

void outbox_read(struct outbox *outbox, struct outbox_batch *batch, size_t limit,
		 const struct outbox_batch *after)
{
	uint64_t ignored;

	/* Whoever puts from now on wakes the reader again. */
	pthread_mutex_lock(&outbox->queue_lock);
	outbox->woken = false;
	(void)!read(outbox->wake_fd, &ignored, sizeof(ignored));
	pthread_mutex_unlock(&outbox->queue_lock);
	batch->count = 0;
	batch->used = 0;
	pthread_mutex_lock(&outbox->files_lock);
	uint64_t behind = outbox->acknowledged;
	if (after != NULL && after->records[after->count - 1].sequence > behind)
		behind = after->records[after->count - 1].sequence;
	bool more =
	    outbox->config.directory == NULL || read_disk(outbox, batch, limit, after, behind);
	if (more) {
		pthread_mutex_lock(&outbox->queue_lock);
		if (outbox->config.directory == NULL || outbox->stats.degraded)
			read_memory(outbox, batch, limit, behind);
		pthread_mutex_unlock(&outbox->queue_lock);
	}
	pthread_mutex_unlock(&outbox->files_lock);
}

/* Removes from the queue what was sent from there. The writer's item is left to the writer. */
static void forget_sent(struct outbox *outbox, uint64_t sequence)
{
	const struct outbox_item *item;

	while ((item = outbox_queue_first(&outbox->queue)) != NULL && item->sequence <= sequence &&
	       item != outbox->queue.busy) {
		outbox_queue_remove_first(&outbox->queue);
		outbox->progress++;
	}
	pthread_cond_broadcast(&outbox->room);
}

void outbox_acknowledge(struct outbox *outbox, const struct outbox_batch *batch, size_t count)
{
	struct outbox_position behind[OUTBOX_SEVERITIES];
	uint64_t done[OUTBOX_SEVERITIES] = {0};

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (!batch->places[i].on_disk)
			continue;
		behind[batch->records[i].severity] = batch->places[i].behind;
		done[batch->records[i].severity]++;
	}
	pthread_mutex_lock(&outbox->files_lock);
	outbox->acknowledged = batch->records[count - 1].sequence;
	if (outbox->config.directory != NULL) {
		/* Before files go: their sequences must not be given out again after a crash. */
		(void)outbox_cursor_store(&outbox->cursor, outbox->acknowledged);
		outbox->cursor_dirty = true;
		pthread_cond_signal(&outbox->sync_work);
	}
	for (size_t i = 0; i < OUTBOX_SEVERITIES; i++)
		if (done[i] > 0)
			outbox_chain_done(&outbox->chains[i], behind[i], done[i]);
	pthread_mutex_lock(&outbox->queue_lock);
	forget_sent(outbox, outbox->acknowledged);
	outbox->stats.acknowledged += count;
	pthread_mutex_unlock(&outbox->queue_lock);
	if (outbox->config.directory != NULL)
		outbox_publish_stats(outbox);
	pthread_mutex_unlock(&outbox->files_lock);
}
