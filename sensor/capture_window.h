/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: the stretches of a capture that are in memory, shared by reference.
 *
 * A window is a block of bytes that was read from a file (or decompressed) and
 * in which packets lie. Whoever wants a packet beyond the reader's next step
 * retains its window and releases it when done, from any thread; the frame is
 * never copied.
 *
 * Windows are filled by read(2), not mapped. Measured over 1.36 million packets of which
 * only the headers are touched, reading 256 KiB at a time costs 0.13-0.14 s of CPU, mapping
 * 0.15-0.17 s: what was just copied is in the second-level cache when the parser comes, a
 * mapped page is not. And a file that is truncated or fails under a mapping raises SIGBUS,
 * where read(2) returns an error that can be named.
 *
 * The pool counts the windows that no file is filling any more and that
 * somebody still holds: at its cap a reader gets none and says so, instead of
 * memory growing with the slowest worker.
 */
#ifndef SENSOR_CAPTURE_WINDOW_H
#define SENSOR_CAPTURE_WINDOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture_window_pool;

struct capture_window {
	atomic_uint references;
	struct capture_window_pool *pool;
	struct capture_window *next_free;
	size_t capacity; /* of bytes */
	uint8_t bytes[];
};

/* max_in_flight: windows held by others at a time, at least 1. NULL when memory is out. */
struct capture_window_pool *capture_window_pool_new(uint32_t max_in_flight);

/* The pool itself goes with the last of its windows. */
void capture_window_pool_free(struct capture_window_pool *pool);

enum capture_window_result { WINDOW_ACQUIRED, WINDOW_BUSY, WINDOW_NO_MEMORY };

/* A window with room for capacity bytes, one reference, in the hands of a file. */
enum capture_window_result capture_window_acquire(struct capture_window_pool *pool, size_t capacity,
						  struct capture_window **window);

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
