/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One alert, then counted: for each rule, client network, server and reason
 * the first alert goes out at once, those that follow within the window are
 * folded into it, and a summary alert tells at its end how many there were.
 *
 * Time is packet time. Windows open and close in the order of their alerts,
 * so the table is a queue; when it is full the oldest window closes early, with
 * its summary, and is counted. Nothing here hides the first alert of a kind.
 */
#ifndef ALERTS_THROTTLE_H
#define ALERTS_THROTTLE_H

#include "alerts/alert.h"
#include "decoders/siphash.h"

struct throttle_options {
	int64_t window_ns; /* 0: every alert goes out, none is folded */
	uint32_t capacity; /* windows that may be open at once, 1 .. 2^30; memory grows with them */
	unsigned prefix_ipv4; /* bits of a client's network: 24 */
	unsigned prefix_ipv6; /* 64 */
	struct siphash_key key;
};

struct throttle_counts {
	uint64_t passed;    /* alerts that went out at once */
	uint64_t folded;    /* alerts that were counted only */
	uint64_t summaries; /* summary alerts */
	uint64_t evicted;   /* windows closed early because the table was full, or memory */
};

struct throttle;

/* NULL when out of memory. The budget outlives it. */
struct throttle *throttle_create(struct budget *budget, const struct throttle_options *options);

/* NULL is allowed. Open windows are dropped: see throttle_close(). */
void throttle_destroy(struct throttle *throttle);

const struct throttle_counts *throttle_counts(const struct throttle *throttle);

/*
 * The next window whose end has come by now_ns (INT64_MAX: all) and that folded
 * something: its summary alert, not yet identified, without observation. Call
 * until false before each throttle_offer() and whenever time goes on; so
 * summaries come in the order of their windows.
 */
bool throttle_close(struct throttle *throttle, int64_t now_ns, struct alert *summary);

/*
 * Whether an alert goes out. True: send it; it opened a window. False: it was
 * folded. Where a window had to give way, *evicted says whether it folded
 * something and then *summary is its summary alert, to be sent first.
 */
bool throttle_offer(struct throttle *throttle, const struct alert *alert, struct alert *summary,
		    bool *evicted);

#endif
