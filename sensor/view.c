/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/view.h"

#include "sensor/limits.h"

_Static_assert(LIMIT_TAPS < FLOW_VIEW_ASIDE, "no interface has the view of what is set aside");

static bool shows_both(const struct flow *flow)
{
	return flow->shown_by[0] != 0 && flow->shown_by[1] != 0;
}

void view_note(struct flow *flow, unsigned end, uint16_t interface)
{
	flow->shown_by[end] = interface;
	if (shows_both(flow))
		flow->quiet = false;
}

uint32_t view_tap(const struct flow *flow)
{
	uint16_t one = flow->shown_by[0], other = flow->shown_by[1];
	if (one == 0 && other == 0)
		return flow->key.tap;
	if (one != 0 && other != 0 && one != other)
		return VIEW_TAP_PAIR;
	return one != 0 ? one : other;
}

static struct view_choice choose_own(struct flow *own, struct flow *first, unsigned end,
				     uint16_t interface, bool opens)
{
	struct view_choice choice = {.flow = own, .key = own->key};
	view_note(own, end, interface);
	if (first == NULL)
		return choice;
	if (own->quiet && !opens && !first->over)
		choice.first = first;
	else if (!own->quiet && !shows_both(first))
		first->quiet = true;
	return choice;
}

struct view_choice view_choose(struct flow_table *table, const struct flow_key *key, unsigned end,
			       uint16_t interface, bool opens)
{
	struct flow *first = flow_find(table, key);
	struct view_choice choice = {.flow = first, .key = *key};
	if (first != NULL && first->shown_by[end] == interface)
		return choice;
	struct flow_key own_key = *key;
	own_key.view = interface;
	struct flow *own = flow_find(table, &own_key);
	if (own != NULL && !(own->over && opens))
		return choose_own(own, first, end, interface, opens);
	if (first == NULL || (first->over && !opens))
		return choice;
	bool joins = first->shown_by[end] == 0;
	/* It shows both: what the first view has of the other interface so far stays its own. */
	bool takes_over = first->shown_by[1 - end] == interface;
	if (!first->over && (joins || takes_over)) {
		view_note(first, end, interface);
		return choice;
	}
	choice.flow = own; /* over, if there is one: the SYN replaces it */
	choice.key = own_key;
	choice.quiet = true;
	if (!opens)
		choice.first = first;
	return choice;
}
