/* SPDX-License-Identifier: Apache-2.0 */
#include "decoders/certificate.h"

#include "decoders/certificate_chain.h"
#include "decoders/certificate_x509.h"
#include "decoders/digest_memo.h"

struct entry {
	struct certificate_info info; /* first: a block is an entry and its texts */
	atomic_uint holders;
	struct entry *next; /* in the bucket */
	size_t size;        /* of the block */
	bool recent;        /* used since the clock's hand passed */
};

struct chain_verdict {
	uint8_t sha256[DIGEST_SHA256_SIZE]; /* of the chain's DERs, one after the other */
	struct chain_judgement judgement;
	bool used;
};

struct certificate_cache {
	struct budget *budget;
	const struct certificate_anchors *anchors;
	struct digester *digester;
	struct digest_memo
	    *memo; /* of the digests that certificates are known by; made with the first */
	struct certificate_reader *reader;
	struct certificate_draft *draft; /* working room, too large for a stack */
	size_t cap, count, hand, buckets;
	struct entry **slots;           /* cap of them, for the clock; the first count are used */
	struct entry **table;           /* buckets of them */
	struct chain_verdict *verdicts; /* cap of them, direct-mapped; made with the first */
	uint32_t last_id;
	struct certificate_cache_counts counts;
};

struct certificate_cache *certificate_cache_create(struct budget *budget,
						   const struct certificate_anchors *anchors,
						   size_t cap)
{
	struct certificate_cache *cache = budget_calloc(budget, 1, sizeof *cache);
	if (cache == NULL)
		return NULL;
	cache->budget = budget;
	cache->anchors = anchors;
	cache->cap = cap > 0 ? cap : 1;
	cache->buckets = 1;
	while (cache->buckets < cache->cap && cache->buckets <= SIZE_MAX / 4)
		cache->buckets *= 2;
	cache->digester = digester_create();
	if (cache->digester != NULL)
		cache->reader = certificate_reader_create(cache->digester);
	cache->draft = budget_alloc(budget, sizeof *cache->draft);
	cache->slots = budget_calloc(budget, cache->cap, sizeof(struct entry *));
	cache->table = budget_calloc(budget, cache->buckets, sizeof(struct entry *));
	if (cache->reader == NULL || cache->draft == NULL || cache->slots == NULL ||
	    cache->table == NULL) {
		certificate_cache_destroy(cache);
		return NULL;
	}
	return cache;
}

void certificate_cache_destroy(struct certificate_cache *cache)
{
	if (cache == NULL)
		return;
	struct budget *budget = cache->budget;
	for (size_t i = 0; i < cache->count; i++)
		budget_free(budget, cache->slots[i], cache->slots[i]->size);
	certificate_reader_destroy(cache->reader);
	digest_memo_destroy(cache->memo);
	digester_destroy(cache->digester);
	budget_free(budget, cache->draft, sizeof *cache->draft);
	budget_free(budget, cache->slots, cache->cap * sizeof(struct entry *));
	budget_free(budget, cache->table, cache->buckets * sizeof(struct entry *));
	budget_free(budget, cache->verdicts, cache->cap * sizeof *cache->verdicts);
	budget_free(budget, cache, sizeof *cache);
}

const struct certificate_cache_counts *
certificate_cache_counts(const struct certificate_cache *cache)
{
	return &cache->counts;
}

void certificate_hold(const struct certificate_info *info)
{
	if (info != NULL)
		(void)atomic_fetch_add_explicit(info->holders, 1, memory_order_relaxed);
}

void certificate_release(const struct certificate_info *info)
{
	/* Release: what was read of it is read before the cache may free it. */
	if (info != NULL)
		(void)atomic_fetch_sub_explicit(info->holders, 1, memory_order_release);
}

/* Digests that fall together can be searched for; a bucket is never longer than the cap. */
static size_t digest_slot(const uint8_t sha256[DIGEST_SHA256_SIZE], size_t count)
{
	uint64_t prefix;
	memcpy(&prefix, sha256, sizeof prefix);
	return (size_t)(prefix % count);
}

static void unlink_entry(struct certificate_cache *cache, const struct entry *entry)
{
	struct entry **at = &cache->table[digest_slot(entry->info.sha256, cache->buckets)];
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

/* The slot for a new entry: an unused one, or that of the victim of the clock. */
static struct entry **make_room(struct certificate_cache *cache)
{
	if (cache->count < cache->cap)
		return &cache->slots[cache->count];
	/* Two rounds: the first takes the second chances away. */
	for (size_t step = 0; step < 2 * cache->cap; step++) {
		struct entry **slot = &cache->slots[cache->hand];
		struct entry *entry = *slot;
		cache->hand = (cache->hand + 1) % cache->cap;
		if (atomic_load_explicit(&entry->holders, memory_order_acquire) > 0)
			continue;
		if (entry->recent) {
			entry->recent = false;
			continue;
		}
		unlink_entry(cache, entry);
		budget_free(cache->budget, entry, entry->size);
		*slot = NULL;
		cache->counts.evicted++;
		return slot;
	}
	return NULL;
}

/* Copies a span of the draft's text into the entry's. */
static struct span moved(struct span text, const struct certificate_draft *draft, const uint8_t *to)
{
	return text.len == 0 ? text : span_of(to + (text.ptr - draft->text), text.len);
}

/* A block with the entry, the array of its names, and their texts behind one another. */
static struct entry *make_entry(struct certificate_cache *cache)
{
	const struct certificate_draft *draft = cache->draft;
	size_t names_size = draft->info.name_count * sizeof(struct span);
	size_t size = sizeof(struct entry) + names_size + draft->text_len;
	struct entry *entry = budget_alloc(cache->budget, size);
	if (entry == NULL)
		return NULL;
	*entry = (struct entry){.info = draft->info, .size = size};
	struct span *names = (struct span *)(void *)(entry + 1);
	uint8_t *text = (uint8_t *)(names + draft->info.name_count);
	memcpy(text, draft->text, draft->text_len);
	for (unsigned i = 0; i < draft->info.name_count; i++)
		names[i] = moved(draft->names[i], draft, text);
	entry->info.names = names;
	entry->info.subject = moved(draft->info.subject, draft, text);
	entry->info.issuer = moved(draft->info.issuer, draft, text);
	entry->info.common_name = moved(draft->info.common_name, draft, text);
	entry->info.serial = moved(draft->info.serial, draft, text);
	entry->info.holders = &entry->holders;
	atomic_init(&entry->holders, 0);
	return entry;
}

static struct entry *add_entry(struct certificate_cache *cache, struct span der,
			       const uint8_t sha256[DIGEST_SHA256_SIZE])
{
	struct certificate_draft *draft = cache->draft;
	if (!certificate_read(cache->reader, der, draft)) {
		cache->counts.malformed++;
		return NULL;
	}
	cache->counts.parsed++;
	memcpy(draft->info.sha256, sha256, DIGEST_SHA256_SIZE);
	struct entry *entry = make_entry(cache);
	struct entry **slot = entry != NULL ? make_room(cache) : NULL;
	if (slot == NULL) {
		if (entry != NULL)
			budget_free(cache->budget, entry, entry->size);
		cache->counts.refused++;
		return NULL;
	}
	if (slot == &cache->slots[cache->count])
		cache->count++;
	*slot = entry;
	entry->info.id = ++cache->last_id;
	struct entry **bucket = &cache->table[digest_slot(sha256, cache->buckets)];
	entry->next = *bucket;
	*bucket = entry;
	return entry;
}

/* Most sessions bring a certificate that was seen before: then no digest is taken. */
static void take_digest(struct certificate_cache *cache, struct span der,
			uint8_t sha256[DIGEST_SHA256_SIZE])
{
	const struct digest_memo_limits limits = {.texts = cache->cap,
						  .text_len = CERTIFICATE_DER_MAX};
	if (cache->memo == NULL)
		cache->memo =
		    digest_memo_create(cache->budget, cache->digester, DIGEST_SHA256, &limits);
	if (cache->memo != NULL)
		(void)digest_memo_bytes(cache->memo, der, sha256);
	else
		(void)digest_bytes(cache->digester, DIGEST_SHA256, der, sha256);
}

const struct certificate_info *certificate_cache_get(struct certificate_cache *cache,
						     struct span der,
						     uint8_t sha256[DIGEST_SHA256_SIZE])
{
	take_digest(cache, der, sha256);
	struct entry *entry = cache->table[digest_slot(sha256, cache->buckets)];
	while (entry != NULL && memcmp(entry->info.sha256, sha256, DIGEST_SHA256_SIZE) != 0)
		entry = entry->next;
	if (entry != NULL)
		cache->counts.hits++;
	else
		entry = add_entry(cache, der, sha256);
	if (entry == NULL)
		return NULL;
	entry->recent = true;
	certificate_hold(&entry->info);
	return &entry->info;
}

/* The digest of the whole chain, or false. */
static bool chain_digest(const struct digester *digester, const struct span *ders, size_t count,
			 uint8_t sha256[DIGEST_SHA256_SIZE])
{
	struct digest_stream *stream = digest_stream_create(digester, DIGEST_SHA256);
	bool ok = stream != NULL;
	/* DER carries its length, so that no two chains have the same bytes. */
	for (size_t i = 0; i < count && ok; i++)
		ok = digest_stream_update(stream, ders[i]);
	ok = ok && digest_stream_finish(stream, sha256);
	digest_stream_destroy(stream);
	return ok;
}

uint32_t certificate_cache_judge_chain(struct certificate_cache *cache, const struct span *ders,
				       size_t count, int64_t time_s, bool *judged)
{
	uint8_t sha256[DIGEST_SHA256_SIZE];
	struct chain_judgement judgement;
	*judged = false;
	if (cache->anchors == NULL || count == 0)
		return 0;
	if (count > CERTIFICATE_CHAIN_MAX)
		count = CERTIFICATE_CHAIN_MAX;
	bool keyed = chain_digest(cache->digester, ders, count, sha256);
	if (cache->verdicts == NULL)
		cache->verdicts = budget_calloc(cache->budget, cache->cap, sizeof *cache->verdicts);
	struct chain_verdict *verdict = keyed && cache->verdicts != NULL
					    ? &cache->verdicts[digest_slot(sha256, cache->cap)]
					    : NULL;
	if (verdict != NULL && verdict->used && time_s >= verdict->judgement.from &&
	    time_s < verdict->judgement.to && memcmp(verdict->sha256, sha256, sizeof sha256) == 0) {
		*judged = true;
		return verdict->judgement.problems;
	}
	if (!certificate_anchors_judge(cache->anchors, ders, count, time_s, &judgement))
		return 0;
	*judged = true;
	cache->counts.verified++;
	if (verdict != NULL) {
		*verdict = (struct chain_verdict){.judgement = judgement, .used = true};
		memcpy(verdict->sha256, sha256, sizeof sha256);
	}
	return judgement.problems;
}
