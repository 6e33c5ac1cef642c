/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/flow.h"

#include "sensor/memory_fetch.h"

#define SLOTS      4096U /* one a second: longer than the longest timeout, 3600 s */
#define SLOT_NS    1000000000LL
#define SLOT_NONE  SLOTS        /* flow->slot of a free one */
#define SLOT_DUE   (SLOTS + 1U) /* ... and of one whose time is over */
#define BLOCK_BITS 10U
#define BLOCK      (1U << BLOCK_BITS) /* flows are allocated in blocks, so that they never move */

_Static_assert(SLOT_DUE <= 0x7fff, "every place of a flow in the timer wheel fits flow->slot");

#define CACHE_LINE 64U

struct flow_block {
	uint8_t *memory;               /* as the budget gave it */
	struct flow *flows;            /* in it, on a cache line */
	struct evidence_trail *trails; /* by flow; NULL when none are kept */
};

#define BLOCK_MEMORY (BLOCK * sizeof(struct flow) + CACHE_LINE - 1)

struct flow_table {
	struct budget *budget;
	struct flow_limits limits;
	struct flow_counters counters;
	struct flow_hash hash;
	uint32_t *buckets;
	uint32_t bucket_mask;
	uint32_t count;
	struct flow_block *blocks;
	uint32_t block_count, block_cap;
	uint32_t used;      /* indices ever given out */
	uint32_t free_head; /* chain of indices given back */
	uint32_t slots[SLOTS];
	uint32_t due;       /* those whose time is over, in the order in which they are given out */
	int64_t clock_slot; /* the last slot that was worked off, as seconds */
	bool clock_started;
	int64_t quiet_until_ns; /* before this time there is nothing for flow_expired() */
};

static struct flow *flow_at(const struct flow_table *table, uint32_t index)
{
	return &table->blocks[index >> BLOCK_BITS].flows[index & (BLOCK - 1)];
}

struct flow_table *flow_table_create(struct budget *budget, const struct flow_limits *limits,
				     const struct siphash_key *key)
{
	struct flow_table *table = budget_calloc(budget, 1, sizeof *table);
	if (table == NULL)
		return NULL;
	table->budget = budget;
	table->limits = *limits;
	table->free_head = FLOW_NONE;
	table->due = FLOW_NONE;
	flow_hash_init(&table->hash, key);
	memset(table->slots, 0xff, sizeof table->slots);
	table->bucket_mask = 1023;
	table->buckets = budget_alloc(budget, (size_t)(table->bucket_mask + 1) * sizeof(uint32_t));
	if (table->buckets == NULL) {
		budget_free(budget, table, sizeof *table);
		return NULL;
	}
	memset(table->buckets, 0xff, (size_t)(table->bucket_mask + 1) * sizeof(uint32_t));
	return table;
}

static void block_free(struct flow_table *table, const struct flow_block *block)
{
	budget_free(table->budget, block->memory, BLOCK_MEMORY);
	budget_free(table->budget, block->trails, BLOCK * sizeof *block->trails);
}

void flow_table_destroy(struct flow_table *table)
{
	if (table == NULL)
		return;
	struct budget *budget = table->budget;
	for (uint32_t i = 0; i < table->block_count; i++)
		block_free(table, &table->blocks[i]);
	budget_free(budget, table->blocks, table->block_cap * sizeof(struct flow_block));
	budget_free(budget, table->buckets, (size_t)(table->bucket_mask + 1) * sizeof(uint32_t));
	budget_free(budget, table, sizeof *table);
}

uint32_t flow_count(const struct flow_table *table)
{
	return table->count;
}

const struct flow_counters *flow_table_counters(const struct flow_table *table)
{
	return &table->counters;
}

struct flow *flow_find_hashed(const struct flow_table *table, const struct flow_key *key,
			      uint32_t hash)
{
	for (uint32_t i = table->buckets[hash & table->bucket_mask]; i != FLOW_NONE;) {
		struct flow *flow = flow_at(table, i);
		/* Most often it is the one: its lines come together, not one after the other. */
		memory_fetch(flow, sizeof *flow);
		if (flow_key_equal(&flow->key, key))
			return flow;
		i = flow->chain;
	}
	return NULL;
}

struct flow *flow_find(const struct flow_table *table, const struct flow_key *key)
{
	return flow_find_hashed(table, key, flow_key_hash(&table->hash, key));
}

void flow_fetch_bucket(const struct flow_table *table, uint32_t hash)
{
	memory_fetch(&table->buckets[hash & table->bucket_mask], 1);
}

void flow_fetch(const struct flow_table *table, uint32_t hash)
{
	uint32_t first = table->buckets[hash & table->bucket_mask];
	if (first != FLOW_NONE)
		memory_fetch(flow_at(table, first), sizeof(struct flow));
}

static uint32_t *bucket_of(const struct flow_table *table, const struct flow *flow)
{
	return &table->buckets[flow_key_hash(&table->hash, &flow->key) & table->bucket_mask];
}

static uint32_t flow_index(const struct flow_table *table, const struct flow *flow)
{
	/* The index stands in the flow's block: found by its bucket chain's neighbours. */
	for (uint32_t i = *bucket_of(table, flow); i != FLOW_NONE;) {
		const struct flow *candidate = flow_at(table, i);
		if (candidate == flow)
			return i;
		i = candidate->chain;
	}
	return FLOW_NONE;
}

static void buckets_grow(struct flow_table *table)
{
	/* At most half as many as buckets: of a second one in a chain nothing was fetched. */
	uint32_t old_size = table->bucket_mask + 1;
	if (table->count <= old_size / 2 || old_size >= 1U << 30)
		return;
	uint32_t size = old_size * 2;
	uint32_t *buckets = budget_alloc(table->budget, (size_t)size * sizeof(uint32_t));
	if (buckets == NULL)
		return; /* longer chains, nothing else */
	memset(buckets, 0xff, (size_t)size * sizeof(uint32_t));
	for (uint32_t b = 0; b < old_size; b++) {
		for (uint32_t i = table->buckets[b]; i != FLOW_NONE;) {
			struct flow *flow = flow_at(table, i);
			uint32_t next = flow->chain;
			uint32_t *bucket =
			    &buckets[flow_key_hash(&table->hash, &flow->key) & (size - 1)];
			flow->chain = *bucket;
			*bucket = i;
			i = next;
		}
	}
	budget_free(table->budget, table->buckets, (size_t)old_size * sizeof(uint32_t));
	table->buckets = buckets;
	table->bucket_mask = size - 1;
}

static bool block_add(struct flow_table *table)
{
	struct budget *budget = table->budget;
	if (table->block_count == table->block_cap) {
		uint32_t cap = table->block_cap == 0 ? 16 : table->block_cap * 2;
		struct flow_block *blocks = budget_resize(
		    budget, table->blocks, table->block_cap * sizeof *blocks, cap * sizeof *blocks);
		if (blocks == NULL)
			return false;
		table->blocks = blocks;
		table->block_cap = cap;
	}
	struct flow_block block = {.memory = budget_alloc(budget, BLOCK_MEMORY)};
	if (table->limits.trails)
		block.trails = budget_alloc(budget, BLOCK * sizeof *block.trails);
	if (block.memory == NULL || (table->limits.trails && block.trails == NULL)) {
		block_free(table, &block);
		return false;
	}
	size_t past = (uintptr_t)block.memory % CACHE_LINE;
	void *flows = block.memory + (past == 0 ? 0 : CACHE_LINE - past);
	block.flows = flows;
	table->blocks[table->block_count++] = block;
	return true;
}

struct evidence_trail *flow_trail(const struct flow_table *table, const struct flow *flow)
{
	uint32_t index = flow_index(table, flow);
	return &table->blocks[index >> BLOCK_BITS].trails[index & (BLOCK - 1)];
}

static uint32_t index_take(struct flow_table *table)
{
	if (table->free_head != FLOW_NONE) {
		uint32_t index = table->free_head;
		table->free_head = flow_at(table, index)->chain;
		return index;
	}
	if (table->used == table->block_count * BLOCK && !block_add(table))
		return FLOW_NONE;
	return table->used++;
}

static void slot_insert(struct flow_table *table, struct flow *flow, uint32_t index, int64_t due_ns)
{
	int64_t second = due_ns / SLOT_NS + 1;
	uint32_t slot = (uint32_t)((uint64_t)second % SLOTS);
	flow->slot = slot & 0x7fffU;
	flow->earlier = FLOW_NONE;
	flow->later = table->slots[slot];
	if (flow->later != FLOW_NONE)
		flow_at(table, flow->later)->earlier = index;
	table->slots[slot] = index;
}

static void slot_unlink(struct flow_table *table, struct flow *flow)
{
	if (flow->earlier != FLOW_NONE)
		flow_at(table, flow->earlier)->later = flow->later;
	else
		table->slots[flow->slot] = flow->later;
	if (flow->later != FLOW_NONE)
		flow_at(table, flow->later)->earlier = flow->earlier;
}

int64_t flow_due(const struct flow_table *table, const struct flow *flow)
{
	bool alive = (flow->session != NULL || flow->follows) && !flow->over;
	return flow->last_ns + flow->lag_ms * INT64_C(1000000) +
	       (alive ? table->limits.idle_ns : table->limits.half_open_ns);
}

/* Rounded up, so that a connection is never over too early. */
static uint32_t lag_ms(int64_t time_ns, int64_t clock_ns)
{
	if (clock_ns <= time_ns)
		return 0;
	uint64_t ms = ((uint64_t)clock_ns - (uint64_t)time_ns + 999999) / 1000000;
	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void bucket_enter(struct flow_table *table, struct flow *flow, uint32_t index)
{
	uint32_t *bucket = bucket_of(table, flow);
	flow->chain = *bucket;
	*bucket = index;
}

struct flow *flow_add(struct flow_table *table, const struct flow_key *key, int64_t time_ns,
		      int64_t clock_ns)
{
	if (table->count >= table->limits.max_flows)
		return NULL;
	uint32_t index = index_take(table);
	if (index == FLOW_NONE)
		return NULL;
	struct flow *flow = flow_at(table, index);
	*flow = (struct flow){
	    .key = *key,
	    .start_ns = time_ns,
	    .last_ns = time_ns,
	    .lag_ms = lag_ms(time_ns, clock_ns),
	    .vlan_outer = VLAN_NONE,
	    .vlan_inner = VLAN_NONE,
	};
	stream_init(&flow->stream);
	table->count++;
	table->counters.created++;
	if (table->count > table->counters.peak)
		table->counters.peak = table->count;
	buckets_grow(table);
	bucket_enter(table, flow, index);
	if (table->limits.trails)
		*flow_trail(table, flow) = (struct evidence_trail){.last = 0};
	slot_insert(table, flow, index, flow_due(table, flow));
	return flow;
}

/* Returns its index. */
static uint32_t bucket_leave(struct flow_table *table, struct flow *flow)
{
	uint32_t index = flow_index(table, flow);
	uint32_t *link = bucket_of(table, flow);
	while (*link != index)
		link = &flow_at(table, *link)->chain;
	*link = flow->chain;
	return index;
}

struct flow *flow_aside(const struct flow_table *table, const struct flow_key *key)
{
	struct flow_key aside = *key;
	aside.view = FLOW_VIEW_ASIDE;
	return flow_find(table, &aside);
}

bool flow_set_aside(struct flow_table *table, struct flow *flow)
{
	if (flow->key.view == FLOW_VIEW_ASIDE || flow_aside(table, &flow->key) != NULL)
		return false;
	uint32_t index = bucket_leave(table, flow);
	flow->key.view = FLOW_VIEW_ASIDE;
	bucket_enter(table, flow, index);
	return true;
}

void flow_remove(struct flow_table *table, struct flow *flow)
{
	uint32_t index = bucket_leave(table, flow);
	if (flow->slot != SLOT_DUE)
		slot_unlink(table, flow);
	flow->chain = table->free_head;
	flow->slot = SLOT_NONE;
	flow->key.version = 0; /* no key's: flow_find_seen() may still look here */
	table->free_head = index;
	table->count--;
}

struct flow *flow_oldest(struct flow_table *table)
{
	if (table->count == 0)
		return NULL;
	for (uint32_t i = 1; i <= SLOTS; i++) {
		uint32_t index =
		    table->slots[(uint32_t)((uint64_t)(table->clock_slot + i) % SLOTS)];
		if (index != FLOW_NONE) {
			table->counters.evicted++;
			return flow_at(table, index);
		}
	}
	return NULL;
}

/* Moves on a connection that was used since it was put into its slot. */
static bool still_alive(struct flow_table *table, uint32_t index, int64_t now_ns)
{
	struct flow *flow = flow_at(table, index);
	int64_t due = flow_due(table, flow);
	if (due <= now_ns)
		return false;
	slot_unlink(table, flow);
	slot_insert(table, flow, index, due);
	return true;
}

/* ---- the order of those whose time is over: a merge sort of lists, without memory ---- */

/* Lists of 2^i flows, merged as a binary counter carries. */
#define RUNS 32

struct runs {
	uint32_t head[RUNS];
	bool by_time; /* else by first packet alone */
};

static bool due_before(const struct flow_table *table, const struct flow *a, const struct flow *b,
		       bool by_time)
{
	if (by_time) {
		int64_t due_a = flow_due(table, a), due_b = flow_due(table, b);
		if (due_a != due_b)
			return due_a < due_b;
	}
	return a->first_ordinal < b->first_ordinal;
}

static uint32_t runs_merge(const struct flow_table *table, uint32_t a, uint32_t b, bool by_time)
{
	uint32_t head = FLOW_NONE;
	uint32_t *link = &head;
	while (a != FLOW_NONE && b != FLOW_NONE) {
		uint32_t *first =
		    due_before(table, flow_at(table, b), flow_at(table, a), by_time) ? &b : &a;
		*link = *first;
		link = &flow_at(table, *first)->later;
		*first = *link;
	}
	*link = a != FLOW_NONE ? a : b;
	return head;
}

static void runs_add(struct flow_table *table, struct runs *runs, uint32_t index)
{
	struct flow *flow = flow_at(table, index);
	uint32_t carry = index;
	size_t i = 0;

	slot_unlink(table, flow);
	flow->slot = SLOT_DUE;
	flow->later = FLOW_NONE;
	for (; i < RUNS - 1 && runs->head[i] != FLOW_NONE; i++) {
		carry = runs_merge(table, runs->head[i], carry, runs->by_time);
		runs->head[i] = FLOW_NONE;
	}
	runs->head[i] = carry;
}

static void runs_end(struct flow_table *table, const struct runs *runs)
{
	for (size_t i = 0; i < RUNS; i++)
		table->due = runs_merge(table, runs->head[i], table->due, runs->by_time);
}

static struct flow *due_take(struct flow_table *table)
{
	if (table->due == FLOW_NONE)
		return NULL;
	struct flow *flow = flow_at(table, table->due);
	table->due = flow->later;
	return flow;
}

/* Works off the slots up to now_ns. */
static void slots_pass(struct flow_table *table, int64_t now_ns)
{
	struct runs runs = {.by_time = true};
	int64_t second = now_ns / SLOT_NS;

	memset(runs.head, 0xff, sizeof runs.head);
	if (!table->clock_started) {
		table->clock_started = true;
		table->clock_slot = second;
	}
	if (second - table->clock_slot > SLOTS)
		table->clock_slot = second - SLOTS; /* every slot once is enough */
	for (; table->clock_slot < second; table->clock_slot++) {
		uint32_t slot = (uint32_t)((uint64_t)(table->clock_slot + 1) % SLOTS);
		for (uint32_t index = table->slots[slot]; index != FLOW_NONE;) {
			uint32_t next = flow_at(table, index)->later;
			if (!still_alive(table, index, now_ns)) {
				table->counters.timed_out++;
				runs_add(table, &runs, index);
			}
			index = next;
		}
	}
	runs_end(table, &runs);
	if (now_ns >= 0 && second < INT64_MAX / SLOT_NS)
		table->quiet_until_ns = (second + 1) * SLOT_NS;
}

struct flow *flow_expired(struct flow_table *table, int64_t now_ns)
{
	if (table->due == FLOW_NONE && now_ns >= table->quiet_until_ns)
		slots_pass(table, now_ns);
	return due_take(table);
}

void flow_finish(struct flow_table *table)
{
	struct runs runs = {.by_time = false};
	uint32_t position = 0;
	struct flow *flow;

	memset(runs.head, 0xff, sizeof runs.head);
	while ((flow = flow_next(table, &position)) != NULL)
		if (flow->slot != SLOT_DUE)
			runs_add(table, &runs, position - 1);
	runs_end(table, &runs);
	table->quiet_until_ns = INT64_MAX;
}

struct flow *flow_next(struct flow_table *table, uint32_t *position)
{
	while (*position < table->used) {
		struct flow *flow = flow_at(table, (*position)++);
		if (flow->slot != SLOT_NONE)
			return flow;
	}
	return NULL;
}
