/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stop_asked, reopen_asked;

static void note_signal(int number)
{
	if (number == SIGHUP)
		reopen_asked = 1;
	else
		stop_asked = 1;
}

void signals_catch(void)
{
	struct sigaction action = {.sa_handler = note_signal};
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);
	/* A file at its limit is then a write that fails, and said to be one. */
	(void)sigaction(SIGXFSZ, &action, NULL);
}

bool signals_stop_asked(void)
{
	return stop_asked != 0;
}

bool signals_take_reopen(void)
{
	bool asked = reopen_asked != 0;
	reopen_asked = 0;
	return asked;
}

void signals_hold(sigset_t *before)
{
	sigset_t all;
	(void)sigfillset(&all);
	/* What a thread does itself is its own: a fault that is held back ends the process. */
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGILL);
	(void)pthread_sigmask(SIG_SETMASK, &all, before);
}

void signals_let(const sigset_t *before)
{
	(void)pthread_sigmask(SIG_SETMASK, before, NULL);
}
