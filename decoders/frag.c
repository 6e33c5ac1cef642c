/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/frag.h"

enum {
	UNIT = 8, /* offsets count these */
	MAX_DATAGRAM = 65535,
	MAP_BYTES = (MAX_DATAGRAM / UNIT + 8) / 8, /* one bit a unit */
	FIRST_ROOM = 2048,                         /* holds what most hosts send in two pieces */
};

/*
 * How long a whole datagram stays to be compared with what comes behind it. Longer would
 * meet the next user of its identification, 16 bits that a busy host goes through in seconds.
 */
#define WHOLE_AGE_NS INT64_C(1000000000)

#define NO_ENTRY     UINT32_MAX

/* A datagram of which something is missing. Its block: the map of units held, then the bytes. */
struct frag_entry {
	struct frag_key key;
	uint32_t next; /* in its bucket, or free */
	uint32_t older, newer;
	int64_t first_ns;
	uint8_t *block;
	size_t room;    /* bytes of payload that block has place for */
	uint32_t end;   /* behind the last byte held */
	uint32_t total; /* length of the whole; 0: the last fragment has not come */
	uint32_t held;  /* bytes */
	uint8_t protocol;
	bool conflict;
	bool is_whole;    /* it was given out, and stays for a while to be compared */
	int64_t whole_ns; /* since when */
};

static size_t block_size(size_t room)
{
	return room == 0 ? 0 : MAP_BYTES + room;
}

bool frag_init(struct frag_table *table, const struct frag_limits *limits,
	       const struct siphash_key *key, struct budget *budget)
{
	uint32_t buckets = 1;
	while (buckets < limits->max_datagrams && buckets < 1U << 24)
		buckets *= 2;
	*table = (struct frag_table){
	    .limits = *limits,
	    .key = *key,
	    .budget = budget,
	    .entries = budget_calloc(budget, limits->max_datagrams, sizeof *table->entries),
	    .buckets = budget_calloc(budget, buckets, sizeof *table->buckets),
	    .bucket_mask = buckets - 1,
	    .oldest = NO_ENTRY,
	    .newest = NO_ENTRY,
	};
	if (table->entries == NULL || table->buckets == NULL) {
		frag_free(table);
		return false;
	}
	for (uint32_t i = 0; i < buckets; i++)
		table->buckets[i] = NO_ENTRY;
	for (uint32_t i = 0; i < limits->max_datagrams; i++)
		table->entries[i].next = i + 1 < limits->max_datagrams ? i + 1 : NO_ENTRY;
	return true;
}

void frag_free(struct frag_table *table)
{
	if (table->entries != NULL)
		for (uint32_t i = 0; i < table->limits.max_datagrams; i++)
			budget_free(table->budget, table->entries[i].block,
				    block_size(table->entries[i].room));
	budget_free(table->budget, table->done, table->done_size);
	budget_free(table->budget, table->entries,
		    table->limits.max_datagrams * sizeof *table->entries);
	budget_free(table->budget, table->buckets,
		    ((size_t)table->bucket_mask + 1) * sizeof *table->buckets);
	table->entries = NULL;
	table->buckets = NULL;
	table->done = NULL;
}

static uint32_t *bucket_of(struct frag_table *table, const struct frag_key *key)
{
	uint64_t hash = siphash(&table->key, span_of(key, sizeof *key));
	return &table->buckets[hash & table->bucket_mask];
}

/* Takes an entry out of bucket and age list and frees it; its block is the caller's. */
static void entry_remove(struct frag_table *table, uint32_t index)
{
	struct frag_entry *entry = &table->entries[index];
	uint32_t *link = bucket_of(table, &entry->key);
	while (*link != index)
		link = &table->entries[*link].next;
	*link = entry->next;

	*(entry->older != NO_ENTRY ? &table->entries[entry->older].newer : &table->oldest) =
	    entry->newer;
	*(entry->newer != NO_ENTRY ? &table->entries[entry->newer].older : &table->newest) =
	    entry->older;

	table->bytes -= block_size(entry->room);
	*entry = (struct frag_entry){.next = table->free_head};
	table->free_head = index;
}

static void entry_drop(struct frag_table *table, uint32_t index)
{
	struct frag_entry *entry = &table->entries[index];
	uint8_t *block = entry->block;
	size_t size = block_size(entry->room);
	for (unsigned i = 0; entry->is_whole && i < FRAG_WHOLE_MAX; i++)
		if (table->whole[i] == index + 1)
			table->whole[i] = 0;
	entry_remove(table, index);
	if (index + 1 == table->given) {
		/* The fragment under hand may lie in it: it goes when the call is over. */
		table->given = 0;
		table->done = block;
		table->done_size = size;
		return;
	}
	budget_free(table->budget, block, size);
}

/* For a newer one; a whole datagram is no loss. */
static void entry_evict(struct frag_table *table, uint32_t index)
{
	table->counters.evicted += !table->entries[index].is_whole;
	entry_drop(table, index);
}

static bool entry_aged(const struct frag_table *table, uint32_t index, int64_t now_ns)
{
	/* Unsigned: times from a hostile file may lie further apart than an int64_t. */
	int64_t first_ns = table->entries[index].first_ns;
	return now_ns > first_ns &&
	       (uint64_t)now_ns - (uint64_t)first_ns > (uint64_t)table->limits.max_age_ns;
}

static uint32_t entry_find(const struct frag_table *table, uint32_t head,
			   const struct frag_key *key)
{
	while (head != NO_ENTRY && memcmp(&table->entries[head].key, key, sizeof *key) != 0)
		head = table->entries[head].next;
	return head;
}

static uint32_t entry_add(struct frag_table *table, const struct fragment *fragment)
{
	if (table->free_head == NO_ENTRY) {
		entry_evict(table, table->oldest);
	}
	uint32_t index = table->free_head;
	struct frag_entry *entry = &table->entries[index];
	uint32_t *bucket = bucket_of(table, &fragment->key);
	table->free_head = entry->next;
	*entry = (struct frag_entry){
	    .key = fragment->key,
	    .next = *bucket,
	    .older = table->newest,
	    .newer = NO_ENTRY,
	    .first_ns = fragment->time_ns,
	    .protocol = fragment->protocol,
	};
	*bucket = index;
	*(table->newest != NO_ENTRY ? &table->entries[table->newest].newer : &table->oldest) =
	    index;
	table->newest = index;
	return index;
}

/* Makes place for end bytes in an entry. False: it had to go itself, or stays as it was. */
static bool entry_grow(struct frag_table *table, uint32_t index, size_t end)
{
	struct frag_entry *entry = &table->entries[index];
	size_t room = entry->room > 0 ? entry->room : FIRST_ROOM;
	if (end <= entry->room)
		return true;
	while (room < end)
		room *= 2;
	size_t more = block_size(room) - block_size(entry->room);
	while (table->bytes + more > table->limits.max_bytes) {
		uint32_t victim = table->oldest;
		entry_evict(table, victim);
		if (victim == index)
			return false;
	}
	uint8_t *block =
	    budget_resize(table->budget, entry->block, block_size(entry->room), block_size(room));
	if (block == NULL) {
		table->counters.no_memory++;
		if (entry->block == NULL)
			entry_drop(table, index);
		return false;
	}
	if (entry->block == NULL)
		memset(block, 0, MAP_BYTES);
	table->bytes += more;
	entry->block = block;
	entry->room = room;
	return true;
}

/* Copies the units that are not held yet; whether a held one differs. */
static bool entry_fill(struct frag_entry *entry, uint32_t offset, struct span bytes)
{
	uint8_t *map = entry->block;
	uint8_t *to = entry->block + MAP_BYTES + offset;
	bool conflict = false;
	for (size_t at = 0; at < bytes.len; at += UNIT) {
		size_t len = bytes.len - at < UNIT ? bytes.len - at : UNIT;
		size_t unit = (offset + at) / UNIT;
		uint8_t bit = (uint8_t)(1U << unit % 8);
		if ((map[unit / 8] & bit) != 0) {
			conflict |= memcmp(to + at, bytes.ptr + at, len) != 0;
			continue;
		}
		map[unit / 8] |= bit;
		memcpy(to + at, bytes.ptr + at, len);
		entry->held += (uint32_t)len;
	}
	return conflict;
}

/* Gives out a datagram that is whole. */
static void entry_give(struct frag_table *table, uint32_t index, struct frag_datagram *whole)
{
	const struct frag_entry *entry = &table->entries[index];
	*whole = (struct frag_datagram){
	    .bytes = span_of(entry->block + MAP_BYTES, entry->total),
	    .protocol = entry->protocol,
	    .conflict = entry->conflict,
	};
	table->given = index + 1;
}

/* The datagram is complete: it goes out, and stays in the place of the oldest such one. */
static void entry_finish(struct frag_table *table, uint32_t index, int64_t now_ns,
			 struct frag_datagram *whole)
{
	struct frag_entry *entry = &table->entries[index];
	uint32_t *place = &table->whole[table->whole_next++ % FRAG_WHOLE_MAX];
	if (*place != 0)
		entry_drop(table, *place - 1);
	*place = index + 1;
	entry->is_whole = true;
	entry->whole_ns = now_ns;
	table->counters.reassembled++;
	entry_give(table, index, whole);
}

/* What a held entry has of the fragment's bytes, and whether those differ. */
static bool entry_contradicts(const struct frag_entry *entry, const struct fragment *fragment)
{
	uint32_t end = fragment->offset + fragment->bytes_len;
	return end > entry->total || (!fragment->more && end != entry->total) ||
	       memcmp(entry->block + MAP_BYTES + fragment->offset, fragment->bytes.ptr,
		      fragment->bytes_len) != 0;
}

/*
 * A fragment of a datagram that was whole already: a copy, or another version. That is told
 * with the datagram once more, as it was given out, marked.
 */
static enum parse_result add_to_whole(struct frag_table *table, uint32_t index,
				      const struct fragment *fragment, struct frag_datagram *whole)
{
	struct frag_entry *entry = &table->entries[index];
	if (!entry_contradicts(entry, fragment)) {
		table->counters.duplicates++;
		return PARSE_MORE;
	}
	table->counters.conflicts++;
	entry->conflict = true;
	entry_give(table, index, whole);
	return PARSE_DONE;
}

static bool whole_aged(const struct frag_entry *entry, int64_t now_ns)
{
	return entry->is_whole && (now_ns < entry->whole_ns ||
				   (uint64_t)now_ns - (uint64_t)entry->whole_ns > WHOLE_AGE_NS);
}

/* Puts one fragment, whose lengths are sound, to its datagram. */
static enum parse_result add_sound(struct frag_table *table, const struct fragment *fragment,
				   struct frag_datagram *whole)
{
	uint32_t end = fragment->offset + fragment->bytes_len;
	while (table->oldest != NO_ENTRY && entry_aged(table, table->oldest, fragment->time_ns)) {
		table->counters.expired += !table->entries[table->oldest].is_whole;
		entry_drop(table, table->oldest);
	}
	uint32_t index = entry_find(table, *bucket_of(table, &fragment->key), &fragment->key);
	if (index != NO_ENTRY && (entry_aged(table, index, fragment->time_ns) ||
				  whole_aged(&table->entries[index], fragment->time_ns))) {
		table->counters.expired += !table->entries[index].is_whole;
		entry_drop(table, index);
		index = NO_ENTRY;
	}
	if (index != NO_ENTRY && table->entries[index].is_whole)
		return add_to_whole(table, index, fragment, whole);
	if (index == NO_ENTRY)
		index = entry_add(table, fragment);
	if (!entry_grow(table, index, end))
		return PARSE_MORE;

	struct frag_entry *entry = &table->entries[index];
	/* Two ends, or bytes behind the end: what came first stands, this one is left out. */
	bool beyond = (entry->total != 0 && end > entry->total) ||
		      (!fragment->more && end < (entry->total != 0 ? entry->total : entry->end));
	if (beyond) {
		table->counters.conflicts++;
		entry->conflict = true;
		return PARSE_MORE;
	}
	uint32_t before = entry->held;
	if (entry_fill(entry, fragment->offset, fragment->bytes)) {
		table->counters.conflicts++;
		entry->conflict = true;
	} else if (entry->held == before) {
		table->counters.duplicates++;
	}
	if (fragment->offset == 0 && before != entry->held)
		entry->protocol = fragment->protocol;
	if (end > entry->end)
		entry->end = end;
	if (!fragment->more)
		entry->total = end;
	if (entry->total == 0 || entry->held < entry->total)
		return PARSE_MORE;
	entry_finish(table, index, fragment->time_ns, whole);
	return PARSE_DONE;
}

enum parse_result frag_add(struct frag_table *table, const struct fragment *fragment,
			   struct frag_datagram *whole)
{
	table->counters.fragments++;
	if (fragment->bytes_len == 0 || (fragment->more && fragment->bytes_len % UNIT != 0) ||
	    fragment->bytes_len > MAX_DATAGRAM ||
	    fragment->offset > MAX_DATAGRAM - fragment->bytes_len) {
		table->counters.malformed++;
		return PARSE_MALFORMED;
	}
	if (fragment->bytes.len < fragment->bytes_len) {
		table->counters.cut++;
		return PARSE_MORE;
	}
	enum parse_result result = add_sound(table, fragment, whole);
	budget_free(table->budget, table->done, table->done_size);
	table->done = NULL;
	table->done_size = 0;
	return result;
}
