/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/pipeline_state.h"

#include "sensor/memory_fetch.h"

void pipeline_fetch_behind(const struct flow *flow)
{
	const struct smtp_session *session = flow->session;

	/* Never at NULL: no translation of that page is ever found near. */
	if (flow->stream.cold != NULL)
		__builtin_prefetch(flow->stream.cold);
	if (flow->follows)
		__builtin_prefetch(flow->followed);
	if (session == NULL)
		return;
	__builtin_prefetch(&session->facts);
	__builtin_prefetch(&session->facts.milestones);
	__builtin_prefetch(&session->clear);
	__builtin_prefetch(&session->state);
	__builtin_prefetch(&session->side_seen);
}

void pipeline_fetch_place(const struct pipeline *pipeline, const struct followed_packet *packet)
{
	flow_fetch_bucket(pipeline->flows, packet->flow_hash);
}

void pipeline_fetch(const struct pipeline *pipeline, const struct followed_packet *packet)
{
	flow_fetch(pipeline->flows, packet->flow_hash);
}

void pipeline_fetch_session(const struct pipeline *pipeline, struct followed_packet *packet)
{
	const struct flow *flow = packet->seen =
	    flow_find_hashed(pipeline->flows, &packet->key, packet->flow_hash);
	if (flow == NULL || flow->over)
		return;
	/* What is skipped, or empty, is looked at no further: to fetch a page costs as much. */
	const struct span payload = packet->segment.payload;
	const uint64_t skip = flow->stream.side[side_of(flow, packet->src_end)].skip;
	if (packet->segment.payload_len <= skip)
		return;
	/* Behind what is skipped there is a header, and most often more to skip. */
	if (skip == 0)
		memory_fetch_bytes(payload.ptr, payload.len);
	else if (skip < payload.len)
		__builtin_prefetch(payload.ptr + skip);
	pipeline_fetch_behind(flow);
}
