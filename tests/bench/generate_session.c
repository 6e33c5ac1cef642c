/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/generate.h"

#include <string.h>

static void session_send(struct generator *g, struct session *s, bool from_server, uint32_t seq,
			 uint8_t flags, const struct flight *flight, uint32_t at, uint32_t len)
{
	uint8_t frame[HEADERS + MSS];
	uint32_t client = 0x0a000000 + (uint32_t)(s->number / 20000 % 65536);
	uint32_t server = 0xc0000200 + host_of(g, s->number) * 7;
	uint16_t port = (uint16_t)(20000 + s->number % 40000);
	uint16_t mail = s->number % 10 == 0 ? 587 : 25;

	for (uint32_t done = 0; done < len;) {
		uint32_t period = flight->bytes == g->record ? RECORD_FRAME : RECORD / 78 * 78;
		uint32_t place = flight->repeats ? (at + done) % period : at + done;
		uint32_t part = len - done;
		if (flight->repeats && part > period - place)
			part = period - place;
		memcpy(frame + HEADERS + done, flight->bytes + place, part);
		done += part;
	}
	if (len > 0 && draw(g) % 10000 < g->settings.loss) {
		g->clock_ns += g->settings.packet_interval_ns;
		return;
	}
	uint32_t ack = (flags & 0x10) != 0 ? s->seq[from_server ? 0 : 1] : 0;
	uint64_t before = g->bytes;
	if (from_server)
		segment_write(g, frame, server, mail, client, port, seq, ack, flags, len);
	else
		segment_write(g, frame, client, port, server, mail, seq, ack, flags, len);
	g->mail_bytes += g->bytes - before;
}

void session_begin(struct generator *g, struct session *s, uint64_t number)
{
	uint64_t value = mix(number ^ 0xb0 ^ g->settings.seed);
	*s = (struct session){
	    .number = number,
	    .seq = {(uint32_t)mix(number), (uint32_t)mix(number + 1)},
	    .body = (uint32_t)(value % (2ULL * g->settings.body)) + 1024,
	};
}

bool session_step(struct generator *g, struct session *s)
{
	struct flight flight;

	if (s->stage < 3) {
		bool from_server = s->stage == 1;
		uint8_t flags = s->stage == 0 ? 0x02 : s->stage == 1 ? 0x12 : 0x10;
		session_send(g, s, from_server, s->seq[from_server ? 1 : 0], flags, NULL, 0, 0);
		if (s->stage < 2)
			s->seq[from_server ? 1 : 0]++;
		s->stage++;
		return true;
	}
	if (s->stage >= 100) {
		bool from_server = s->stage == 101;
		if (s->stage == 102) {
			session_send(g, s, false, s->seq[0], 0x10, NULL, 0, 0);
			return false;
		}
		session_send(g, s, from_server, s->seq[from_server ? 1 : 0], 0x11, NULL, 0, 0);
		s->seq[from_server ? 1 : 0]++;
		s->stage++;
		return true;
	}
	if (!flight_make(g, s, s->stage - 3U, &flight)) {
		s->stage = 100;
		return session_step(g, s);
	}
	unsigned sender = flight.from_server ? 1 : 0;
	if (s->swap) {
		uint32_t back = 2 * MSS;
		s->swap = false;
		session_send(g, s, flight.from_server, s->seq[sender] - back, 0x18, &flight,
			     s->at - back, MSS);
		return true;
	}
	if (s->unacked >= 2 || (s->at >= flight.len && flight.repeats && s->unacked > 0)) {
		session_send(g, s, sender == 0, s->seq[1 - sender], 0x10, NULL, 0, 0);
		s->unacked = 0;
		return true;
	}
	if (s->at >= flight.len) {
		s->at = 0;
		s->stage++;
		return session_step(g, s);
	}
	uint32_t len = flight.len - s->at < MSS ? flight.len - s->at : MSS;
	uint32_t base = s->seq[sender] - s->at, at = s->at;
	if (flight.len - at >= 2 * MSS && draw(g) % 10000 < g->settings.reorder) {
		at += MSS;
		len = MSS;
		s->swap = true;
	}
	session_send(g, s, flight.from_server, base + at, 0x18, &flight, at, len);
	s->at = at + len;
	s->seq[sender] = base + at + len;
	s->unacked += flight.repeats;
	return true;
}
