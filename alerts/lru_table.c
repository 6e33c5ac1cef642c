/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/lru_table.h"

#include <stdalign.h>

#define NONE          UINT32_MAX
#define CHUNK_BITS    8
#define CHUNK_SIZE    (1U << CHUNK_BITS)

#define BUCKETS_FIRST 64U /* they double with the values, so that few values lie close together */

/* Stands before each value. */
struct lru_node {
	uint32_t index;        /* its own */
	uint32_t older, newer; /* in the order; of a free node: older is the next free one */
	uint32_t chain;        /* next in the bucket */
	uint8_t key[LRU_KEY_MAX];
};

struct lru_table {
	struct budget *budget;
	struct siphash_key hash_key;
	size_t key_size, value_size, node_size;
	uint32_t cap, count, used; /* used: nodes that were ever handed out */
	uint32_t oldest, newest, free;
	uint32_t latest; /* found last; NONE: none, or it is gone */
	bool has_missed; /* missed is a key that is not there */
	uint8_t missed[LRU_KEY_MAX];
	uint32_t bucket_count; /* a power of two */
	uint32_t *buckets;     /* first node of each chain */
	uint32_t chunk_cap;
	uint8_t **chunks; /* NULL: not taken yet */
};

static size_t align_up(size_t size)
{
	size_t unit = alignof(max_align_t);
	return (size + unit - 1) / unit * unit;
}

static size_t value_offset(void)
{
	return align_up(sizeof(struct lru_node));
}

static struct lru_node *node_at(const struct lru_table *table, uint32_t index)
{
	uint8_t *chunk = table->chunks[index >> CHUNK_BITS];
	void *node = chunk + (index & (CHUNK_SIZE - 1)) * table->node_size;
	return node;
}

static void *value_of(struct lru_node *node)
{
	void *bytes = node;
	return (uint8_t *)bytes + value_offset();
}

/* The node before a value. The table owns both, so that no const is lost on the way. */
static struct lru_node *node_of(const struct lru_table *table, const void *value)
{
	const void *found = (const uint8_t *)value - value_offset();
	const struct lru_node *node = found;
	return node_at(table, node->index);
}

static uint32_t *bucket_of(const struct lru_table *table, const uint8_t *key)
{
	uint64_t hash = siphash(&table->hash_key, span_of(key, table->key_size));
	return &table->buckets[hash & (table->bucket_count - 1)];
}

struct lru_table *lru_table_create(struct budget *budget, const struct siphash_key *hash_key,
				   size_t key_size, size_t value_size, uint32_t cap)
{
	if (key_size > LRU_KEY_MAX || cap == 0 || cap > NONE / 2 || value_size > 1U << 20)
		return NULL;
	struct lru_table *table = budget_calloc(budget, 1, sizeof *table);
	if (table == NULL)
		return NULL;
	table->budget = budget;
	table->hash_key = *hash_key;
	table->key_size = key_size;
	table->value_size = value_size;
	table->node_size = value_offset() + align_up(value_size);
	table->cap = cap;
	table->oldest = table->newest = table->free = table->latest = NONE;
	table->bucket_count = BUCKETS_FIRST;
	table->chunk_cap = (cap + CHUNK_SIZE - 1) / CHUNK_SIZE;
	table->buckets = budget_alloc(budget, table->bucket_count * sizeof table->buckets[0]);
	table->chunks = budget_calloc(budget, table->chunk_cap, sizeof table->chunks[0]);
	if (table->buckets == NULL || table->chunks == NULL) {
		lru_table_destroy(table);
		return NULL;
	}
	memset(table->buckets, 0xff, table->bucket_count * sizeof table->buckets[0]);
	return table;
}

/* Twice the buckets, if there is memory: without, the chains get longer. */
static void buckets_grow(struct lru_table *table)
{
	const uint32_t old_count = table->bucket_count, count = old_count * 2;
	uint32_t *buckets = budget_alloc(table->budget, count * sizeof buckets[0]);
	if (buckets == NULL)
		return;
	memset(buckets, 0xff, count * sizeof buckets[0]);
	budget_free(table->budget, table->buckets, old_count * sizeof buckets[0]);
	table->buckets = buckets;
	table->bucket_count = count;
	for (uint32_t i = table->oldest; i != NONE; i = node_at(table, i)->newer) {
		struct lru_node *node = node_at(table, i);
		uint32_t *bucket = bucket_of(table, node->key);
		node->chain = *bucket;
		*bucket = i;
	}
}

void lru_table_destroy(struct lru_table *table)
{
	if (table == NULL)
		return;
	for (uint32_t i = 0; table->chunks != NULL && i < table->chunk_cap; i++)
		budget_free(table->budget, table->chunks[i], CHUNK_SIZE * table->node_size);
	budget_free(table->budget, table->chunks, table->chunk_cap * sizeof table->chunks[0]);
	budget_free(table->budget, table->buckets, table->bucket_count * sizeof table->buckets[0]);
	budget_free(table->budget, table, sizeof *table);
}

bool lru_table_full(const struct lru_table *table)
{
	return table->count == table->cap;
}

void *lru_table_find(struct lru_table *table, const uint8_t *key)
{
	if (table->count == 0)
		return NULL;
	/* Questions come in groups about the same key: most cost no hash. */
	if (table->latest != NONE) {
		struct lru_node *node = node_at(table, table->latest);
		if (memcmp(node->key, key, table->key_size) == 0)
			return value_of(node);
	}
	if (table->has_missed && memcmp(table->missed, key, table->key_size) == 0)
		return NULL;
	uint32_t index = *bucket_of(table, key);
	while (index != NONE) {
		struct lru_node *node = node_at(table, index);
		if (memcmp(node->key, key, table->key_size) == 0) {
			table->latest = index;
			return value_of(node);
		}
		index = node->chain;
	}
	memcpy(table->missed, key, table->key_size);
	table->has_missed = true;
	return NULL;
}

static void order_leave(struct lru_table *table, struct lru_node *node)
{
	if (node->older == NONE)
		table->oldest = node->newer;
	else
		node_at(table, node->older)->newer = node->newer;
	if (node->newer == NONE)
		table->newest = node->older;
	else
		node_at(table, node->newer)->older = node->older;
}

static void order_enter(struct lru_table *table, struct lru_node *node)
{
	node->older = table->newest;
	node->newer = NONE;
	if (table->newest == NONE)
		table->oldest = node->index;
	else
		node_at(table, table->newest)->newer = node->index;
	table->newest = node->index;
}

void lru_table_touch(struct lru_table *table, void *value)
{
	struct lru_node *node = node_of(table, value);
	if (table->newest == node->index)
		return;
	order_leave(table, node);
	order_enter(table, node);
}

/* A node that holds nothing, or NULL when out of memory. */
static struct lru_node *node_take(struct lru_table *table)
{
	if (table->free != NONE) {
		struct lru_node *node = node_at(table, table->free);
		table->free = node->older;
		return node;
	}
	uint8_t **chunk = &table->chunks[table->used >> CHUNK_BITS];
	if (*chunk == NULL)
		*chunk = budget_alloc(table->budget, CHUNK_SIZE * table->node_size);
	if (*chunk == NULL)
		return NULL;
	struct lru_node *node = node_at(table, table->used);
	node->index = table->used++;
	return node;
}

void *lru_table_add(struct lru_table *table, const uint8_t *key)
{
	if (lru_table_full(table))
		return NULL;
	struct lru_node *node = node_take(table);
	if (node == NULL)
		return NULL;
	if (table->count >= table->bucket_count && table->bucket_count < NONE / 4)
		buckets_grow(table);
	uint32_t *bucket = bucket_of(table, key);
	table->has_missed = false;
	memcpy(node->key, key, table->key_size);
	node->chain = *bucket;
	*bucket = node->index;
	order_enter(table, node);
	table->count++;
	void *value = value_of(node);
	memset(value, 0, table->value_size);
	return value;
}

void lru_table_remove(struct lru_table *table, void *value)
{
	struct lru_node *node = node_of(table, value);
	uint32_t *link = bucket_of(table, node->key);
	while (*link != node->index)
		link = &node_at(table, *link)->chain;
	*link = node->chain;
	order_leave(table, node);
	if (table->latest == node->index)
		table->latest = NONE;
	node->older = table->free;
	table->free = node->index;
	table->count--;
}

void *lru_table_get(struct lru_table *table, const uint8_t *key, uint64_t *evicted)
{
	void *value = lru_table_find(table, key);
	if (value != NULL) {
		lru_table_touch(table, value);
		return value;
	}
	if (lru_table_full(table)) {
		lru_table_remove(table, lru_table_oldest(table));
		(*evicted)++;
	}
	return lru_table_add(table, key);
}

void *lru_table_oldest(const struct lru_table *table)
{
	return table->oldest == NONE ? NULL : value_of(node_at(table, table->oldest));
}

void *lru_table_newer(const struct lru_table *table, const void *value)
{
	uint32_t newer = node_of(table, value)->newer;
	return newer == NONE ? NULL : value_of(node_at(table, newer));
}

void *lru_table_newest(const struct lru_table *table)
{
	return table->newest == NONE ? NULL : value_of(node_at(table, table->newest));
}

void *lru_table_older(const struct lru_table *table, const void *value)
{
	uint32_t older = node_of(table, value)->older;
	return older == NONE ? NULL : value_of(node_at(table, older));
}
