/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/file_mapping.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define FREE  0U /* of begin: nobody's */
#define TAKEN 1U /* ... somebody's, who has no addresses yet */

/* What the handler has to know of a mapping. */
struct guarded {
	_Atomic uintptr_t begin, end; /* addresses */
	_Atomic bool lost;
};

static struct guarded guarded[FILE_MAPPINGS];
static _Atomic uint64_t pages_lost;
static struct sigaction before; /* written once, before there are mappings */

/* The mapping that an address lies in, or NULL. */
static struct guarded *find(uintptr_t address)
{
	for (unsigned i = 0; i < FILE_MAPPINGS; i++) {
		const uintptr_t begin = atomic_load(&guarded[i].begin);
		const uintptr_t end = atomic_load(&guarded[i].end);
		/* Asked again: they are of one mapping then. */
		if (begin > TAKEN && address >= begin && address < end &&
		    atomic_load(&guarded[i].begin) == begin)
			return &guarded[i];
	}
	return NULL;
}

/* A page of zeros where the address is. False: there is none. */
static bool replace_page(uintptr_t address)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = (void *)(address - address % size);
	return mmap(page, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	       MAP_FAILED;
}

/* The thread that has the fault is in its own read of the page: the mapping stays until then. */
static void note_lost_page(int number, siginfo_t *info, void *context)
{
	const int error_number = errno;
	const uintptr_t address = (uintptr_t)info->si_addr;
	const bool sent = info->si_code <= 0; /* by somebody: no address comes with it */
	struct guarded *mapping = sent ? NULL : find(address);

	(void)context;
	if (mapping != NULL && replace_page(address)) {
		atomic_store(&mapping->lost, true);
		atomic_fetch_add(&pages_lost, 1);
	} else {
		/* A read is done again, and faults; what was sent is sent again. */
		(void)sigaction(number, &before, NULL);
		if (sent)
			(void)raise(number);
	}
	errno = error_number;
}

bool file_mapping_guard(void)
{
	struct sigaction action = {.sa_sigaction = note_lost_page, .sa_flags = SA_SIGINFO};
	(void)sigfillset(&action.sa_mask);
	return sigaction(SIGBUS, &action, &before) == 0;
}

/* FILE_MAPPINGS: none is free. */
static unsigned take_slot(void)
{
	for (unsigned i = 0; i < FILE_MAPPINGS; i++) {
		uintptr_t expected = FREE;
		if (atomic_compare_exchange_strong(&guarded[i].begin, &expected, TAKEN))
			return i;
	}
	return FILE_MAPPINGS;
}

/* Brings all of it in at once: a fault for every few pages costs more. */
static void populate(void *base, size_t size)
{
	(void)madvise(base, size, MADV_SEQUENTIAL);
#ifdef MADV_POPULATE_READ
	(void)madvise(base, size, MADV_POPULATE_READ);
#endif
}

bool file_mapping_open(struct file_mapping *mapping, int fd, uint64_t offset, size_t len)
{
	const unsigned slot = take_slot();
	if (slot == FILE_MAPPINGS) {
		errno = EMFILE;
		return false;
	}
	const size_t lead = (size_t)(offset % (uint64_t)sysconf(_SC_PAGESIZE));
	const size_t size = lead + len;
	void *base = size < len
			 ? MAP_FAILED
			 : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)(offset - lead));
	if (base == MAP_FAILED) {
		if (size < len)
			errno = EOVERFLOW;
		atomic_store(&guarded[slot].begin, FREE);
		return false;
	}
	atomic_store(&guarded[slot].lost, false);
	atomic_store(&guarded[slot].end, (uintptr_t)base + size);
	atomic_store(&guarded[slot].begin, (uintptr_t)base);
	populate(base, size);
	*mapping = (struct file_mapping){
	    .bytes = (const uint8_t *)base + lead,
	    .len = len,
	    .base = base,
	    .size = size,
	    .slot = slot,
	};
	return true;
}

void file_mapping_close(struct file_mapping *mapping)
{
	/* First: the addresses may be anybody's as soon as they are free. */
	atomic_store(&guarded[mapping->slot].begin, TAKEN);
	(void)munmap(mapping->base, mapping->size);
	atomic_store(&guarded[mapping->slot].begin, FREE);
}

bool file_mapping_whole(const struct file_mapping *mapping)
{
	return !atomic_load_explicit(&guarded[mapping->slot].lost, memory_order_relaxed);
}

uint64_t file_mapping_lost(void)
{
	return atomic_load(&pages_lost);
}
