/* SPDX-License-Identifier: Apache-2.0 */
/* What the facts of a TLS conversation come to. */
#include "decoders/tls_internal.h"

bool tls_client_rejected(const struct tls_facts *facts)
{
	return facts->version == TLS_VERSION_1_3 && facts->protected_records[SIDE_CLIENT] == 1 &&
	       facts->first_protected_len[SIDE_CLIENT] <= TLS_ALERT_RECORD_LEN;
}

bool tls_rolled_back(const struct tls_facts *facts)
{
	for (unsigned side = SIDE_CLIENT; side <= SIDE_SERVER; side++)
		if (facts->alert_level[side] != 0 &&
		    facts->alert_description[side] == TLS_ALERT_INAPPROPRIATE_FALLBACK)
			return true;
	if (!facts->client_hello || !facts->server_hello)
		return false;
	switch ((enum tls_sentinel)facts->sentinel) {
	case TLS_SENTINEL_TO_1_2:
		return facts->version < TLS_VERSION_1_3 &&
		       facts->offered_version >= TLS_VERSION_1_3;
	case TLS_SENTINEL_TO_1_1:
		return facts->version < TLS_VERSION_1_2 &&
		       facts->offered_version >= TLS_VERSION_1_2;
	default:
		return false;
	}
}

/* What a server can have chosen of what the client offered. */
bool tls_may_be_1_3(const struct tls_facts *facts)
{
	return facts->offered_version >= TLS_VERSION_1_3 || facts->offered_draft;
}

/* Whether the side's own traffic shows that it holds the keys. */
static bool side_protected(const struct tls_facts *facts, enum side side)
{
	if (facts->version == 0) {
		/* The ServerHello was not seen: either version's proof will do. */
		if (facts->protected_after_ccs[side] > 0 && facts->offered_version != 0 &&
		    !tls_may_be_1_3(facts))
			return true;
		return facts->protected_records[side] > 1 ||
		       (facts->protected_records[side] == 1 &&
			facts->first_protected_len[side] > TLS_ALERT_RECORD_LEN);
	}
	if (facts->version != TLS_VERSION_1_3)
		return facts->protected_after_ccs[side] > 0;
	return facts->protected_records[side] > 0 &&
	       (side == SIDE_SERVER || !tls_client_rejected(facts));
}

enum tri tls_established(const struct tls_facts *facts, const struct tls_view *view)
{
	/* SSL 2.0 is not followed behind its hellos, so nothing proves it either way. */
	if (facts->version == TLS_VERSION_SSL2)
		return TRI_UNKNOWN;

	bool client = side_protected(facts, SIDE_CLIENT);
	bool server = side_protected(facts, SIDE_SERVER);
	bool client_lost = view->client_visible && facts->lost[SIDE_CLIENT];
	bool server_lost = view->server_visible && facts->lost[SIDE_SERVER];
	bool gone_clear = (facts->plaintext[SIDE_CLIENT] && !client) ||
			  (facts->plaintext[SIDE_SERVER] && !server);
	bool given_up = facts->fatal[SIDE_CLIENT] || facts->fatal[SIDE_SERVER];

	const struct {
		bool when;
		enum tri established;
	} table[] = {
	    /* Both keys were used, for what a ServerHello chose. */
	    {facts->server_hello && client && server, TRI_TRUE},
	    /* The one visible direction shows it: the server's own hello, or the client's
	       protected traffic, which it sends only after a ServerHello. */
	    {!view->client_visible && facts->server_hello && server, TRI_TRUE},
	    {!view->server_visible && facts->client_hello && client && !facts->early_data,
	     TRI_TRUE},
	    /* The ServerHello was missed, but both went on with keys that need it. */
	    {server_lost && (facts->client_hello || client_lost) && client && server &&
		 !facts->early_data,
	     TRI_TRUE},
	    /* Whatever else was missed may hold the proof. */
	    {client_lost || server_lost, TRI_UNKNOWN},
	    /* No way back to a handshake from here. */
	    {gone_clear || given_up, TRI_FALSE},
	    /* Over, all was seen, and the proof is not there. */
	    {view->closed, TRI_FALSE},
	    /* An end of capture is no end of a connection. */
	    {true, TRI_UNKNOWN},
	};
	size_t row = 0;
	while (!table[row].when)
		row++;
	return table[row].established;
}
