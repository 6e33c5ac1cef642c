/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/budget.h"

#include <stdlib.h>
#include <string.h>

void budget_init(struct budget *budget, size_t cap)
{
	*budget = (struct budget){.cap = cap};
}

struct budget_kept {
	struct budget_kept *next;
};

#define STEP     16U
#define SMALLEST 8U /* so that the system's own header (glibc's has eight bytes) fills the step */

_Static_assert(sizeof(struct budget_kept) <= SMALLEST, "the smallest block holds it");

void budget_keep(struct budget *budget, uint32_t count)
{
	budget->keep = count;
}

void budget_release(struct budget *budget)
{
	for (size_t i = 0; i < BUDGET_SIZES; i++) {
		while (budget->kept[i].first != NULL) {
			struct budget_kept *block = budget->kept[i].first;
			budget->kept[i].first = block->next;
			free(block);
		}
		budget->kept[i].count = 0;
	}
}

/* Of the size that such a request is rounded up to. BUDGET_SIZES and more: not kept. */
static size_t size_index(size_t size)
{
	return size / STEP + (size % STEP > SMALLEST ? 1 : 0);
}

/* A block for size bytes, of those that are kept or from the system; NULL: there is none. */
static void *block_take(struct budget *budget, size_t size)
{
	const size_t index = size_index(size);
	if (budget->keep == 0 || index >= BUDGET_SIZES)
		return malloc(size);
	struct budget_kept *block = budget->kept[index].first;
	if (block == NULL)
		return malloc(index * STEP + SMALLEST);
	budget->kept[index].first = block->next;
	budget->kept[index].count--;
	return block;
}

static void block_give(struct budget *budget, void *block, size_t size)
{
	const size_t index = size_index(size);
	if (index >= BUDGET_SIZES || budget->kept[index].count >= budget->keep) {
		free(block);
		return;
	}
	struct budget_kept *kept = block;
	kept->next = budget->kept[index].first;
	budget->kept[index].first = kept;
	budget->kept[index].count++;
}

/* The block, grown or shrunk, in its place where it can be; NULL: as it was. */
static void *block_resize(struct budget *budget, void *block, size_t old_size, size_t new_size)
{
	const size_t from = size_index(old_size), to = size_index(new_size);
	if (budget->keep == 0 || (from >= BUDGET_SIZES && to >= BUDGET_SIZES))
		return realloc(block, new_size);
	if (from == to)
		return block;
	void *moved = block_take(budget, new_size);
	if (moved == NULL)
		return NULL;
	memcpy(moved, block, old_size < new_size ? old_size : new_size);
	block_give(budget, block, old_size);
	return moved;
}

void budget_reserve_open(struct budget *budget, bool open)
{
	budget->reserve_open = open;
}

/* Whether delta more bytes may go out; counts the refusal when not. */
static bool budget_admit(struct budget *budget, size_t delta)
{
	if (budget->fail_at != 0 && --budget->fail_at == 0) {
		budget->refused++;
		return false;
	}
	size_t cap = budget->reserve_open ? budget->cap : budget->cap - budget->reserve;
	if (delta > cap || budget->used > cap - delta) {
		budget->refused++;
		return false;
	}
	return true;
}

static void budget_charge(struct budget *budget, size_t delta)
{
	budget->used += delta;
	if (budget->used > budget->peak)
		budget->peak = budget->used;
}

/* What was found for a request that was admitted, NULL as well. */
static void *budget_taken(struct budget *budget, void *block, size_t size)
{
	if (block == NULL)
		budget->refused++;
	else
		budget_charge(budget, size);
	return block;
}

void *budget_alloc(struct budget *budget, size_t size)
{
	if (size == 0 || !budget_admit(budget, size))
		return NULL;
	return budget_taken(budget, block_take(budget, size), size);
}

void *budget_calloc(struct budget *budget, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size) {
		budget->refused++;
		return NULL;
	}
	size *= count;
	if (size == 0 || !budget_admit(budget, size))
		return NULL;
	/* A large table comes as pages that are not there before they are used. */
	if (size_index(size) >= BUDGET_SIZES)
		return budget_taken(budget, calloc(1, size), size);
	void *block = block_take(budget, size);
	if (block != NULL)
		memset(block, 0, size);
	return budget_taken(budget, block, size);
}

void *budget_resize(struct budget *budget, void *block, size_t old_size, size_t new_size)
{
	if (block == NULL)
		return budget_alloc(budget, new_size);
	if (new_size == 0 || (new_size > old_size && !budget_admit(budget, new_size - old_size)))
		return NULL;
	void *grown = block_resize(budget, block, old_size, new_size);
	if (grown == NULL) {
		budget->refused++;
		return NULL;
	}
	budget->used -= old_size;
	budget_charge(budget, new_size);
	return grown;
}

void budget_free(struct budget *budget, void *block, size_t size)
{
	if (block == NULL)
		return;
	budget->used -= size;
	block_give(budget, block, size);
}
