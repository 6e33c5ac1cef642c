/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary header that a load balancer puts in front of the client's bytes, for the server's
 * eyes: PROXY protocol, version 2 (HAProxy's proxy-protocol.txt, 2.2). Nothing answers it, and read
 * as SMTP it is empty lines, a QUIT and garbage. A server that takes it waits for it, so there is
 * none behind a greeting: else whoever wants could hide a session in one. Version 1 is a line of
 * text (smtp_is_proxy_line()).
 */
#include "decoders/session_internal.h"

#define PROXY_SIGNATURE_LEN 12U
#define PROXY_REST_MAX      2048U /* bytes behind the header: addresses, and what TLS was like */

/* Whether an address family and transport are known, and len bytes have room for the addresses. */
static bool is_proxy_family(uint8_t family, size_t len)
{
	switch (family) {
	case 0x00:
		return true;
	case 0x11:
	case 0x12:
		return len >= 12;
	case 0x21:
	case 0x22:
		return len >= 36;
	case 0x31:
	case 0x32:
		return len >= 216;
	default:
		return false;
	}
}

/* Whether a connection that begins with these bytes, at most a header, may begin with one. */
static bool may_be_proxy_header(struct span first)
{
	static const uint8_t signature[PROXY_SIGNATURE_LEN] = {'\r', '\n', '\r', '\n', '\0', '\r',
							       '\n', 'Q',  'U',  'I',  'T',  '\n'};
	const size_t len = first.len < PROXY_SIGNATURE_LEN ? first.len : PROXY_SIGNATURE_LEN;
	if (len == 0 || memcmp(first.ptr, signature, len) != 0)
		return false;
	if (first.len > 12 && first.ptr[12] != 0x20 && first.ptr[12] != 0x21)
		return false;
	if (first.len < SMTP_PROXY_HEADER)
		return true;
	const size_t rest = bytes_u16(first.ptr + 14);
	return rest <= PROXY_REST_MAX &&
	       (first.ptr[12] == 0x20 || is_proxy_family(first.ptr[13], rest));
}

/* There is no header: what was kept back of it is the client's own. */
static void proxy_release(struct smtp_session *s, const struct smtp_context *context)
{
	uint8_t withheld[SMTP_PROXY_HEADER];
	const size_t len = s->clear->proxy_at;
	memcpy(withheld, s->clear->proxy, len);
	s->clear->proxy_over = true;
	session_client_bytes(s, context, span_of(withheld, len));
}

bool session_proxy_header(struct smtp_session *s, const struct smtp_context *context,
			  struct span *bytes)
{
	struct smtp_clear *clear = s->clear;
	const size_t at = clear->proxy_at;
	if (clear->proxy_over || !s->from_start[SIDE_CLIENT])
		return false;
	if (at == 0 && (s->started[SIDE_SERVER] || s->greeting_done || s->doubt.server_hole)) {
		clear->proxy_over = true;
		return false;
	}
	if (at < SMTP_PROXY_HEADER) {
		const struct span more = span_head(*bytes, SMTP_PROXY_HEADER - at);
		memcpy(clear->proxy + at, more.ptr, more.len);
		if (!may_be_proxy_header(span_of(clear->proxy, at + more.len))) {
			proxy_release(s, context);
			return at > 0;
		}
		clear->proxy_at += (uint32_t)more.len;
		*bytes = span_skip(*bytes, more.len);
		if (clear->proxy_at < SMTP_PROXY_HEADER)
			return true;
	}
	const size_t len = SMTP_PROXY_HEADER + (size_t)bytes_u16(clear->proxy + 14);
	const struct span rest = span_head(*bytes, len - clear->proxy_at);
	clear->proxy_at += (uint32_t)rest.len;
	*bytes = span_skip(*bytes, rest.len);
	if (clear->proxy_at == len) {
		clear->proxy_over = true;
		dialogue_note(context->dialogues, &s->dialogue, SIDE_CLIENT,
			      span_of("(PROXY header)", 14));
	}
	return true;
}

void session_proxy_answered(struct smtp_session *s, const struct smtp_context *context)
{
	if (s->clear->proxy_over || s->clear->proxy_at == 0)
		return;
	if (s->clear->proxy_at < SMTP_PROXY_HEADER) {
		proxy_release(s, context);
		return;
	}
	session_hole(s, SIDE_CLIENT); /* what was taken for addresses had commands in it */
	session_push_pending(s, context, SMTP_PENDING_UNSEEN, SMTP_VERB_UNKNOWN, 0, no_bytes);
}
