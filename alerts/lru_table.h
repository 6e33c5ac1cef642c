/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of at most cap values under keys of a fixed size, in the order
 * of their last use.
 *
 * A value is a block of a fixed size that stays where it is until it is
 * removed. Memory is taken by chunks as the table fills. The hash decides
 * nothing but speed: order is by use alone, so the same calls give the same
 * order under any key.
 */
#ifndef ALERTS_LRU_TABLE_H
#define ALERTS_LRU_TABLE_H

#include "decoders/budget.h"
#include "decoders/siphash.h"

#define LRU_KEY_MAX 40

struct lru_table;

/* key_size is at most LRU_KEY_MAX, cap at least 1. NULL when out of memory. */
struct lru_table *lru_table_create(struct budget *budget, const struct siphash_key *hash_key,
				   size_t key_size, size_t value_size, uint32_t cap);

/* What the values own must have been given back. NULL is allowed. */
void lru_table_destroy(struct lru_table *table);

bool lru_table_full(const struct lru_table *table);

/* The value under key, or NULL. Its place in the order is not changed. */
void *lru_table_find(struct lru_table *table, const uint8_t *key);

/* Makes a value the most recently used. */
void lru_table_touch(struct lru_table *table, void *value);

/*
 * A new value under a key that is not in the table, zeroed and most recently
 * used. NULL when the table is full or out of memory: the owner makes room by
 * removing lru_table_oldest(), whose memory only it knows.
 */
void *lru_table_add(struct lru_table *table, const uint8_t *key);

/*
 * The value under key, or a new one, in either case the most recently used; where there is
 * no room the least recently used one, which owns nothing, gives way and is counted. NULL
 * when out of memory.
 */
void *lru_table_get(struct lru_table *table, const uint8_t *key, uint64_t *evicted);

void lru_table_remove(struct lru_table *table, void *value);

/* The order, from the least recently used; NULL: none (further). */
void *lru_table_oldest(const struct lru_table *table);
void *lru_table_newer(const struct lru_table *table, const void *value);

/* The same from its other end. */
void *lru_table_newest(const struct lru_table *table);
void *lru_table_older(const struct lru_table *table, const void *value);

#endif
