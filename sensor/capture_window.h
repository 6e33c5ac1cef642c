/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: the stretches of a capture that are in memory, shared by reference.
 *
 * A window is a block of bytes in which packets lie: it was read from a file, or
 * decompressed, or it is the file itself, mapped. Whoever wants a packet beyond the
 * reader's next step retains its window and releases it when done, from any thread;
 * the frame is never copied.
 *
 * The pool counts the windows that no file is filling any more and that
 * somebody still holds: at its cap a reader gets none and says so, instead of
 * memory growing with the slowest worker.
 */
#ifndef SENSOR_CAPTURE_WINDOW_H
#define SENSOR_CAPTURE_WINDOW_H

#include "sensor/file_mapping.h"
#include "sensor/window_ways.h"

#include <stdatomic.h>

struct capture_window_pool;

struct capture_window {
	atomic_uint references;
	bool mapped; /* its bytes are the file's: not to be written */
	struct capture_window_pool *pool;
	struct capture_window *next_free;
	struct file_mapping mapping; /* of one that is mapped */
	size_t capacity;             /* of bytes */
	const uint8_t *bytes;
	uint8_t room[]; /* one that is not mapped has them here */
};

/* max_in_flight: windows held by others at a time, at least 1. NULL when memory is out. */
struct capture_window_pool *capture_window_pool_new(uint32_t max_in_flight);

/* The pool itself goes with the last of its windows. */
void capture_window_pool_free(struct capture_window_pool *pool);

enum capture_window_result { WINDOW_ACQUIRED, WINDOW_BUSY, WINDOW_NO_MEMORY };

/* A window with room for capacity bytes, one reference, in the hands of a file. */
enum capture_window_result capture_window_acquire(struct capture_window_pool *pool, size_t capacity,
						  struct capture_window **window);

/*
 * A window of what is mapped; the mapping is the window's from now on. Before that the caller asks
 * whether the pool is at its cap.
 */
enum capture_window_result capture_window_of_mapping(struct capture_window_pool *pool,
						     const struct file_mapping *mapping,
						     struct capture_window **window);

/* Whether so many windows are held by others that nobody gets one. */
bool capture_window_pool_busy(struct capture_window_pool *pool);

/* Whether its bytes are those of the file: false once a part of a mapping was lost. */
static inline bool capture_window_whole(const struct capture_window *window)
{
	return !window->mapped || file_mapping_whole(&window->mapping);
}

/* How windows come, of all files that have theirs from the pool. */
struct window_ways *capture_window_pool_ways(struct capture_window_pool *pool);

/* The file is done with the window: its reference is dropped. */
void capture_window_detach(struct capture_window *window);

/* Whether nobody but the file holds the window, so that it may be filled anew in place. */
bool capture_window_unshared(struct capture_window *window);

/* Waits until the pool is below its cap. */
void capture_window_pool_wait(struct capture_window_pool *pool);

/* The most bytes that all windows of the pool ever had at once, idle ones included. */
size_t capture_window_pool_peak(struct capture_window_pool *pool);

static inline void capture_window_retain(struct capture_window *window)
{
	(void)atomic_fetch_add_explicit(&window->references, 1, memory_order_relaxed);
}

void capture_window_release(struct capture_window *window);

#endif
