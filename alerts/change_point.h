/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequential test for a rise in the share of sessions that lose TLS.
 *
 * It is Page's test (E. S. Page, "Continuous Inspection Schemes", Biometrika
 * 41, 1954) on Bernoulli trials, the Bernoulli CUSUM (Reynolds and Stoumbos,
 * "A CUSUM Chart for Monitoring a Proportion When Inspecting Continuously",
 * Journal of Quality Technology 31, 1999): the sum of log-likelihood ratios of
 * "a share of p1 is lost" against "p0 is", held at zero from below; an alarm
 * when it reaches ln A. Lorden ("Procedures for Reacting to a Change in
 * Distribution", Annals of Mathematical Statistics 42, 1971) shows that then,
 * however the traffic goes on, quiet trials last A on average before a false
 * alarm: A is CHANGE_POINT_TRIALS here.
 *
 * p0 is the path's own: the least of a few levels that lies above 1.5 times
 * the share that the path lost while it was quiet. p1 = p0 + (1 - p0) / 4: a
 * quarter of the sessions that would have been protected no longer are.
 *
 * A new path has no share of its own. Its sessions are learnt from, except
 * those that lost what their server is known to offer: these are tested at
 * once, against the level of a path of which nothing is known. So a sensor that
 * knows the servers from an earlier run needs no quiet hour to see an attack.
 *
 * The trials must be independent, and sessions to one server are not: a server
 * that gives up TLS loses them all. The caller counts a server's losses once
 * in an excursion, so that an alarm always speaks of several servers.
 *
 * Arithmetic is on whole thousandths of a nat, rounded against the alarm.
 */
#ifndef ALERTS_CHANGE_POINT_H
#define ALERTS_CHANGE_POINT_H

#include <stdbool.h>
#include <stdint.h>

#define CHANGE_POINT_TRIALS 1000000 /* mean quiet trials until a false alarm, at least */
#define CHANGE_POINT_WARM   20      /* trials until the path's own share is believed */

struct change_point {
	uint32_t quiet_trials, quiet_lost; /* learnt while nothing rose; p0 comes of them */
	int32_t sum;                       /* thousandths of a nat, >= 0 */
	/* Of the present excursion, since sum was last 0. They join the quiet ones if it ends. */
	uint32_t trials, lost;
	bool alarm; /* sum reached the threshold; until the share recovered */
};

enum change_point_step {
	CHANGE_POINT_QUIET,     /* the sum is 0: no excursion */
	CHANGE_POINT_RISING,    /* an excursion, below the threshold */
	CHANGE_POINT_ALARM,     /* this trial reached the threshold */
	CHANGE_POINT_GOES_ON,   /* after an alarm */
	CHANGE_POINT_RECOVERED, /* this trial ended an alarm */
};

enum change_point_trial {
	TRIAL_UPGRADED,
	TRIAL_FAILED,   /* TLS did not come up, which the client may cause */
	TRIAL_STRIPPED, /* was not given what its server is known to give */
};

/* One trial: a session that lost its upgrade, or one that was upgraded. */
enum change_point_step change_point_trial(struct change_point *test, enum change_point_trial trial);

/* Ends an alarm or an excursion from outside: nothing of it is learnt. */
void change_point_reset(struct change_point *test);

/* p0 in percent as the test has it now; 0 while it has no share to lose. */
unsigned change_point_quiet_percent(const struct change_point *test);

#endif
