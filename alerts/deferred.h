/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts that are decided and leave a little later: what two taps saw is told
 * once neither of them can bring anything new for some seconds.
 *
 * An alert is kept with a copy of all that it borrows. Time is packet time.
 */
#ifndef ALERTS_DEFERRED_H
#define ALERTS_DEFERRED_H

#include "alerts/alert.h"

#define DEFERRED_DETAILS 8 /* of one alert */

struct deferred;

/* Memory comes from budget, which outlives it. NULL when out of memory. */
struct deferred *deferred_create(struct budget *budget, uint32_t capacity);

/* What still waits is dropped: see deferred_next(). NULL is allowed. */
void deferred_destroy(struct deferred *deferred);

/* False when there is no room: the alert has to leave at once. due_ns may not fall. */
bool deferred_add(struct deferred *deferred, const struct alert *alert, int64_t due_ns);

/* The next whose time has come by now_ns; NULL: none. Valid until the next call. */
struct alert *deferred_next(struct deferred *deferred, int64_t now_ns);

#endif
