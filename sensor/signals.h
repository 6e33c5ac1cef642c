/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signals ask for. A handler can reach nothing but variables of static
 * storage, so these two are here and nowhere else.
 */
#ifndef SENSOR_SIGNALS_H
#define SENSOR_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/*
 * SIGINT and SIGTERM ask to stop, SIGHUP to open the outputs anew; system
 * calls are interrupted. SIGPIPE and SIGXFSZ are ignored: writes report them.
 */
void signals_catch(void);

bool signals_stop_asked(void);

/* True once for each SIGHUP (several at a time count as one). */
bool signals_take_reopen(void);

/*
 * Around the start of a thread: it inherits that no signal is its own but for faults, so that they
 * interrupt the thread that reads the input.
 */
void signals_hold(sigset_t *before);
void signals_let(const sigset_t *before);

#endif
