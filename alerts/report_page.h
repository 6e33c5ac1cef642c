/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces that report_write() puts together. Nobody else calls them. */
#ifndef ALERTS_REPORT_PAGE_H
#define ALERTS_REPORT_PAGE_H

#include "alerts/report.h"

/* The style sheet, without its element. */
void report_write_style(struct buffer *out);

/* The charts, each in its section. */
void report_write_outcomes(const struct report *report, struct buffer *out);
void report_write_rules(const struct report *report, struct buffer *out);

/* Nothing where all sessions that it would show began in one second. */
void report_write_timeline(const struct report *report, struct buffer *out);

#endif
