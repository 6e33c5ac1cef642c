/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the windows of a file come faster by mapping them or by a copy.
 *
 * To map a page costs the system as much as to copy it, or half of that; then its bytes have to
 * come from far away, where copied ones are near. Which is less depends on the machine: on an Intel
 * Xeon (family 6, model 167) mail was read in 0.88 times the CPU when it was mapped, on an AMD EPYC
 * (family 25), where a page's translation is dear, in 1.07 times. So both are tried in turn, over
 * some windows and again after many, and the rest comes as was faster. What is read does not depend
 * on it.
 */
#ifndef SENSOR_WINDOW_WAYS_H
#define SENSOR_WINDOW_WAYS_H

#include <stdbool.h>
#include <stdint.h>

enum window_way { WINDOW_MAPPED, WINDOW_COPIED, WINDOW_WAYS };

/* Of all files of a reader. Zero-initialised: nothing was tried. */
struct window_ways {
	uint64_t ns[WINDOW_WAYS], bytes[WINDOW_WAYS]; /* of the present trial */
	uint32_t tried;                               /* windows of it */
	uint32_t settled;                             /* windows until the next one */
	enum window_way faster;
};

/* How the next window is to come. */
enum window_way window_ways_next(const struct window_ways *ways);

/* Whether the time that it takes is asked for. */
bool window_ways_on_trial(const struct window_ways *ways);

/*
 * It came so, with so many bytes that are new; ns: what that took, of the thread's CPU time, while
 * on trial.
 */
void window_ways_came(struct window_ways *ways, enum window_way way, uint64_t ns, uint64_t bytes);

#endif
