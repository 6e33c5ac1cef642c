/* SPDX-License-Identifier: Apache-2.0 */
/* Text and numbers in an HTML page. */
#ifndef ALERTS_HTML_H
#define ALERTS_HTML_H

#include "alerts/buffer.h"

/* Any bytes as text, in an attribute's quotes as well: escaped, one line, no control character. */
void html_add(struct buffer *out, struct span text);
void html_add_string(struct buffer *out, const char *text);

/* Thousands apart: 1 234 567, with thin spaces. */
void html_add_count(struct buffer *out, uint64_t value);

/* In the largest unit that leaves at least 2, rounded, and then said to be so: "about 3 hours". */
void html_add_duration(struct buffer *out, uint64_t seconds);

#endif
