/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture filters, pcap-filter(7), on packets that were read from files.
 *
 * A file may mix link types, and a filter is compiled for one of them: this is
 * done when the first packet of each comes. Compiling looks up no names: host
 * and port names are those of /etc, and a name that is not there is an error.
 */
#ifndef SENSOR_FILTER_H
#define SENSOR_FILTER_H

#include "decoders/span.h"

#include <stdbool.h>

#define FILTER_ERROR_MAX 320

struct filter;

/*
 * NULL and one sentence if the expression fits no link type at all, or memory
 * is out.
 */
struct filter *filter_new(const char *expression, char error[FILTER_ERROR_MAX]);

/*
 * The expression with the packets of DNS added, which --dns needs whatever the user looks
 * for. They stand in front: "vlan" and its like change the meaning of what follows them.
 * To be freed; NULL when expression is, or out of memory.
 */
char *filter_with_dns(const char *expression);

void filter_free(struct filter *filter);

enum filter_verdict {
	FILTER_PASS,
	FILTER_DROP,
	FILTER_UNFIT, /* the expression has no meaning for this link type: nothing passes */
};

/*
 * link_type: LINKTYPE_ value; frame: what was captured of len bytes. UNFIT comes with
 * the reason in filter_problem().
 */
enum filter_verdict filter_match(struct filter *filter, uint32_t link_type, struct span frame,
				 uint32_t len);

/* Why the last UNFIT was given; "" if there was none. */
const char *filter_problem(const struct filter *filter);

#endif
