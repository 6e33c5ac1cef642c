/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/budget.h"

#include <stdlib.h>
#include <string.h>

void budget_init(struct budget *budget, size_t cap)
{
	*budget = (struct budget){.cap = cap};
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

void *budget_alloc(struct budget *budget, size_t size)
{
	if (size == 0 || !budget_admit(budget, size))
		return NULL;
	void *block = malloc(size);
	if (block == NULL) {
		budget->refused++;
		return NULL;
	}
	budget_charge(budget, size);
	return block;
}

void *budget_calloc(struct budget *budget, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size) {
		budget->refused++;
		return NULL;
	}
	void *block = budget_alloc(budget, count * size);
	if (block != NULL)
		memset(block, 0, count * size);
	return block;
}

void *budget_resize(struct budget *budget, void *block, size_t old_size, size_t new_size)
{
	if (block == NULL)
		return budget_alloc(budget, new_size);
	if (new_size == 0 || (new_size > old_size && !budget_admit(budget, new_size - old_size)))
		return NULL;
	void *grown = realloc(block, new_size);
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
	free(block);
}
