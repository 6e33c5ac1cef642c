/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory with a cap: the only allocator that the decoders may use.
 *
 * A budget is a number of bytes. What is taken from it is counted until it is
 * given back; a request that would pass the cap, or that the system refuses,
 * yields NULL and is counted in refused. Nothing here ever aborts.
 *
 * Blocks that were given back may be kept for the next request of about their size, which most
 * requests are: a session takes some ten when it begins and gives them back when it ends.
 *
 * Not thread-safe: each worker has budgets of its own.
 */
#ifndef DECODERS_BUDGET_H
#define DECODERS_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_SIZES 64U /* of blocks that are kept: 8 bytes, 24, 40 ... 1016 */

struct budget_kept;

struct budget {
	size_t cap;       /* bytes that may be out at once */
	size_t used;      /* bytes that are out, as asked for */
	size_t peak;      /* the highest used ever */
	uint64_t refused; /* requests that got NULL */
	/* Of the cap: only for who has to take some to give back more. 0 after budget_init(). */
	size_t reserve;
	bool reserve_open;
	/* Fault injection for tests: when not 0, the request that counts it down to 0 is refused.
	 */
	uint64_t fail_at;
	/* Given back and not to the system: not in used. */
	uint32_t keep; /* so many of each size at most; 0 after budget_init() */
	struct {
		struct budget_kept *first;
		uint32_t count;
	} kept[BUDGET_SIZES];
};

void budget_init(struct budget *budget, size_t cap);

/*
 * To be called before the first request. Up to count blocks of each size are kept for the next
 * request instead of being given back: at most 32 KiB for each one of count. AddressSanitizer does
 * not find the use of a block that was given back and is kept.
 */
void budget_keep(struct budget *budget, uint32_t count);

/* Gives what is kept back to the system. */
void budget_release(struct budget *budget);

/* From now on, or no longer, requests may take what is in reserve as well. */
void budget_reserve_open(struct budget *budget, bool open);

/* size bytes, uninitialised, or NULL. size 0 yields NULL and is no refusal. */
void *budget_alloc(struct budget *budget, size_t size);

/* count * size zeroed bytes, or NULL, also on overflow of the product. */
void *budget_calloc(struct budget *budget, size_t count, size_t size);

/*
 * Grows or shrinks a block that was old_size bytes. On NULL the old block is
 * untouched and still owned by the caller.
 */
void *budget_resize(struct budget *budget, void *block, size_t old_size, size_t new_size);

/* Gives back a block of size bytes. NULL is allowed. */
void budget_free(struct budget *budget, void *block, size_t size);

#endif
