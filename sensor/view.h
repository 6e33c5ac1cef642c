/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures with several interfaces: to which view of its connection a segment belongs.
 *
 * Two kinds of capture look alike at first. With a fibre tap each interface carries one
 * direction: both together are one session. Where interfaces stand at different places of
 * the path, each shows both directions: each is a tap with a session of its own, and what
 * differs between them was changed on the way. Which it is shows only as packets come in,
 * and no input is read twice, so it is decided for each connection:
 *
 *   - The first interface that shows a connection makes its first view. Another one that
 *     shows the direction that was missing joins it: a fibre tap.
 *   - An interface that shows a direction which the first view has from another one gets a
 *     view of its own, quiet at first: nothing is told of it. Once it has shown both
 *     directions it is a tap and speaks, of what it saw before as well. One that never does
 *     only held copies; it ends without a record.
 *   - While a view is quiet, its segments (but for SYNs, which may open another connection
 *     behind a proxy) go into the first view, too: what is the same there is a copy, what
 *     was missing there fills a hole.
 *   - A first view that has one direction beside a tap that has both is quiet in its turn.
 *
 * So where the TCP handshake was captured nothing of one tap ever enters the session of
 * another. Limits: where it was not, segments of a second tap are part of the first's
 * session until that tap has shown both directions, and a difference in them is a conflict
 * (tcp-injection) there. A view that was quiet until late tells then what it reached long
 * before. Interfaces are told apart by name, over all files; those of one file or section
 * that describes a single one are no taps, and neither are the interface indices of Linux
 * cooked captures (-i any): there a host shows its own packets on their way through bridges
 * and namespaces, so that copies are the rule.
 *
 * All views of a connection have to be in the same table.
 */
#ifndef SENSOR_VIEW_H
#define SENSOR_VIEW_H

#include "sensor/flow.h"

/* session_facts.tap of a session whose directions came by different interfaces. */
#define VIEW_TAP_PAIR 65535U

struct view_choice {
	struct flow *flow; /* takes the segment; NULL: to be made, with key */
	struct flow_key key;
	bool quiet;         /* with which quiet the flow is to be made */
	struct flow *first; /* takes it as well; NULL: no */
};

/*
 * Chooses for a segment that an interface (from 1) shows. key: of the connection, its view 0;
 * end: which of the key's endpoints sent it; opens: it is a SYN without RST. What the flows
 * found show is noted in them; for one that is made, view_note().
 */
struct view_choice view_choose(struct flow_table *table, const struct flow_key *key, unsigned end,
			       uint16_t interface, bool opens);

/* The interface shows what this end of the flow sends. */
void view_note(struct flow *flow, unsigned end, uint16_t interface);

/*
 * The tap that a flow's session is said to be seen at, as it is known when the session begins:
 * that of its first payload, if the other direction was not shown before.
 */
uint32_t view_tap(const struct flow *flow);

#endif
