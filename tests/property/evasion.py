#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Insertion and evasion: what an attacker adds to a connection to blind or to fool a sensor.

	evasion.py STRIPWATCH [--list] [--only TRICK] [--keep DIR]

Every trick is played at every place of some conversations, from either side. The record must
then either say what it says of the conversation without the trick, or the session must be
reported as tampered with (REPORTS). Nothing else is allowed: a session that is lost, or
that is quietly told differently, is a failure. After Ptacek and Newsham, "Insertion, Evasion,
and Denial of Service: Eluding Network Intrusion Detection" (1998).
"""
import argparse
import os
import random
import struct
import sys
import tempfile
from dataclasses import dataclass, replace

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import traffic  # noqa: E402
from run import FIELDS, facts, get, replay  # noqa: E402
from traffic import ACK, CLIENT, FIN, PSH, RST, SERVER, SYN, Conversation  # noqa: E402

URG = 32


@dataclass(frozen=True)
class Packet(traffic.Segment):
	"""A segment with what an attacker may choose below it."""
	ttl: int = 64
	bad_checksum: bool = False
	urgent: int = 0
	options: bytes = b""
	ip_options: bytes = b""
	pieces: tuple = ()  # (offset, bytes) of IP fragments; (): not fragmented


def plain(s):
	return Packet(s.side, s.seq, s.ack, s.flags, s.payload)


def tcp_bytes(p, port):
	ports = (port, 25) if p.side == CLIENT else (25, port)
	options = p.options + b"\0" * (-len(p.options) % 4)
	head = struct.pack(">HHIIBBHHH", *ports, p.seq & 0xFFFFFFFF, p.ack & 0xFFFFFFFF, (5 + len(options) // 4) << 4,
		p.flags, 65535, 0, p.urgent) + options
	a, b = b"\xc6\x33" + struct.pack(">H", port), b"\xc0\0\2\x19"  # each case has a client of its own
	pair = a + b if p.side == CLIENT else b + a
	tcp = head + p.payload
	check = traffic.checksum(pair + struct.pack(">BBH", 0, 6, len(tcp)) + tcp)
	if p.bad_checksum:
		check ^= 0x5555
	return pair, tcp[:16] + struct.pack(">H", check) + tcp[18:]


def frames(p, port, number):
	pair, tcp = tcp_bytes(p, port)
	options = p.ip_options + b"\0" * (-len(p.ip_options) % 4)
	pieces = p.pieces(tcp) if callable(p.pieces) else ()
	for offset, part, more in pieces or ((0, tcp, False),):
		flags = (0x2000 if more else 0) | offset // 8 if pieces else 0x4000
		ip = struct.pack(">BBHHHBBH", 0x40 | (5 + len(options) // 4), 0, 20 + len(options) + len(part), number & 0xFFFF,
			flags, p.ttl, 6, 0) + pair + options
		ip = ip[:10] + struct.pack(">H", traffic.checksum(ip)) + ip[12:]
		yield b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + part


def write(path, cases):
	with open(path, "wb") as out:
		out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
		packets = []
		for i, (port, segments) in enumerate(cases):
			for n, p in enumerate(segments):
				packets.append((1_700_000_000.0 + i * 0.02 + n * 0.01, port, n, p))
		packets.sort(key=lambda p: p[0])
		number = 0
		for time, port, _, p in packets:
			number += 1
			micros = round(time * 1e6)
			for frame in frames(p, port, number):
				out.write(struct.pack("<IIII", micros // 10**6, micros % 10**6, len(frame), len(frame)) + frame)


# ---- conversations ----

def not_used():
	c = Conversation()
	c.server("220 mx.example ESMTP").client("EHLO c.example").server("250-mx.example", "250-SIZE 1000", "250 STARTTLS")
	c.client("MAIL FROM:<a@a.example>").server("250 ok").client("RCPT TO:<b@b.example>").server("250 ok")
	c.client("DATA").server("354 go").client("Subject: x", "", "text", ".").server("250 queued")
	return c.client("QUIT").server("221 bye").end().segments


def not_offered():
	c = Conversation()
	c.server("220 mx.example ESMTP").client("EHLO c.example").server("250-mx.example", "250-SIZE 1000", "250 HELP")
	c.client("MAIL FROM:<a@a.example>").server("250 ok").client("RCPT TO:<b@b.example>").server("250 ok")
	c.client("DATA").server("354 go").client("Subject: x", "", "text", ".").server("250 queued")
	return c.client("QUIT").server("221 bye").end().segments


def refused():
	c = Conversation()
	c.server("220 mx.example ESMTP").client("EHLO c.example").server("250-mx.example", "250 STARTTLS")
	c.client("STARTTLS").server("454 not now").client("MAIL FROM:<a@a.example>").server("250 ok")
	c.client("RSET").server("250 ok")
	return c.client("QUIT").server("221 bye").end().segments


def upgraded():
	rng = random.Random(3)
	c = Conversation()
	c.server("220 mx.example ESMTP").client("EHLO c.example").server("250-mx.example", "250 STARTTLS")
	c.client("STARTTLS").server("220 go")
	traffic.tls_session(c, rng, False)
	return c.end().segments


CONVERSATIONS = {"not-used": not_used, "not-offered": not_offered, "refused": refused, "upgraded": upgraded}


# ---- tricks: (packets, place) -> packets, or None where it does not apply ----

def other(payload, how=b"250 nothing here to be offered, and nothing to be seen\r\n"):
	"""As many bytes, but others."""
	forged = (how * (len(payload) // len(how) + 1))[:len(payload)]
	return bytes(b ^ 1 if a == b else a for a, b in zip(forged, payload))


def before(extra):
	return lambda ps, i: ps[:i] + extra(ps[i]) + ps[i:]


def behind(extra):
	return lambda ps, i: ps[:i + 1] + extra(ps[i]) + ps[i + 1:]


def with_payload(trick):
	return lambda ps, i: trick(ps, i) if ps[i].payload else None


def forged(p, **how):
	return [replace(p, payload=other(p.payload), **how)]


OLD_TIME = b"\1\1\x08\x0a\0\0\0\1\0\0\0\1"
NEW_TIME = b"\1\1\x08\x0a\x7f\0\0\1\0\0\0\1"


def split_at(n):
	def trick(ps, i):
		p = ps[i]
		if len(p.payload) <= n:
			return None
		# the tail, two versions of it, then the head
		tail = replace(p, seq=p.seq + n, payload=p.payload[n:], flags=ACK)
		lie = replace(tail, payload=other(tail.payload))
		return ps[:i] + [tail, lie, replace(p, payload=p.payload[:n], flags=ACK)] + ps[i + 1:]
	return trick


def lie_first(ps, i):
	"""The forged future bytes come first, the true ones fill the hole and repeat them."""
	p = ps[i]
	if len(p.payload) < 4:
		return None
	lie = replace(p, seq=p.seq + 2, payload=other(p.payload[2:]), flags=ACK)
	return ps[:i] + [lie] + ps[i:]


def overlap(a, b):
	"""Bytes a..b (as parts of the length) again, different, behind the segment."""
	def extra(p):
		n = len(p.payload)
		first, last = int(n * a), max(int(n * b), int(n * a) + 1)
		return [replace(p, seq=p.seq + first, payload=other(p.payload[first:last]), flags=ACK)]
	return with_payload(behind(extra))


def fragments(size, order=list, lie=False, twice=False):
	def cut(tcp):
		parts = [(at, tcp[at:at + size], at + size < len(tcp)) for at in range(0, len(tcp), size)]
		if len(parts) < 2:
			return ()
		if twice:
			parts = [part for part in parts for _ in (0, 1)]
		if lie:
			at, part, more = parts[-1]
			parts.insert(len(parts) - 1, (at, other(part), more))
		return order(parts)
	return lambda ps, i: ps[:i] + [replace(ps[i], pieces=cut)] + ps[i + 1:] if ps[i].payload else None


def lone_fragment(p):
	return [replace(p, pieces=lambda tcp: [(16, b"garbage!" * 3, True)])]


def zero_window_probe(ps, i):
	p = ps[i]
	return ps[:i] + [replace(p, seq=p.seq - 1, payload=b"\0", flags=ACK)] + ps[i:] if p.payload and p.seq not in (1001, 5001) else None


def acks_ahead(n):
	"""The other side seems to acknowledge bytes that nobody sent yet."""
	def extra(p):
		return [Packet(1 - p.side, p.ack, p.end() + n, ACK, ttl=2)]
	return with_payload(behind(extra))


def urgent(ps, i):
	p = ps[i]
	return ps[:i] + [replace(p, flags=p.flags | URG, urgent=1)] + ps[i + 1:] if p.payload else None


def reset(**how):
	return before(lambda p: [Packet(p.side, p.seq + how.get("ahead", 0), p.ack, RST | how.get("flags", 0), b"",
		**{k: v for k, v in how.items() if k in ("ttl", "bad_checksum")})])


def finish(**how):
	return before(lambda p: [Packet(p.side, p.seq, p.ack, FIN | ACK, b"", **how)])


def handshake(client, server):
	return [Packet(CLIENT, client, 0, SYN), Packet(SERVER, server, client + 1, SYN | ACK), Packet(CLIENT, client + 1, server + 1, ACK)]


def with_payload_said(trick):
	"""Once something was said: before, a SYN-ACK that answers is believed, whatever it says of itself."""
	return lambda ps, i: trick(ps, i) if any(p.payload for p in ps[:i]) else None


def handshake_at(p, client, server):
	"""So that what the two send next is the next of that one, too, or far from it."""
	here = (p.seq, p.ack) if p.side == CLIENT else (p.ack, p.seq)
	return handshake(here[0] - 1 + client, here[1] - 1 + server)


TRICKS = {
	"forged bytes, bad checksum, first": with_payload(before(lambda p: forged(p, bad_checksum=True))),
	"forged bytes, bad checksum, later": with_payload(behind(lambda p: forged(p, bad_checksum=True))),
	"forged bytes, low TTL, first": with_payload(before(lambda p: forged(p, ttl=1))),
	"forged bytes, low TTL, later": with_payload(behind(lambda p: forged(p, ttl=1))),
	"forged bytes, old timestamp, first": lambda ps, i: with_payload(before(lambda p: forged(p, options=OLD_TIME)))(
		[replace(p, options=NEW_TIME) for p in ps], i),
	"forged bytes without ACK, first": with_payload(before(lambda p: forged(p, flags=PSH))),
	"the same bytes with a bad checksum": with_payload(before(lambda p: [replace(p, bad_checksum=True)])),
	"overlap, head": overlap(0, .3),
	"overlap, tail": overlap(.7, 1),
	"overlap, middle": overlap(.3, .6),
	"overlap, whole": overlap(0, 1),
	"overlap, one byte": overlap(.5, .5),
	"two versions of a tail before its head": split_at(3),
	"forged tail before the segment": lie_first,
	"tiny IP fragments": fragments(8),
	"IP fragments, reversed": fragments(24, order=lambda parts: parts[::-1]),
	"IP fragments, twice": fragments(24, twice=True),
	"IP fragments, two versions of the last": fragments(24, lie=True),
	"a lone IP fragment": before(lone_fragment),
	"garbage of a zero window probe": zero_window_probe,
	"acknowledged ahead by 1": acks_ahead(1),
	"acknowledged ahead by 1000": acks_ahead(1000),
	"urgent pointer": urgent,
	"reset far off": reset(ahead=1 << 30),
	"reset inside the window, not exact": reset(ahead=700),
	"reset exact, bad checksum": reset(bad_checksum=True),
	"reset exact, low TTL": reset(ttl=1),
	"reset exact, with ACK": reset(flags=ACK),
	"FIN, bad checksum": finish(bad_checksum=True),
	"FIN, low TTL": finish(ttl=1),
	"SYN, other sequence number": before(lambda p: [Packet(CLIENT, 77777, 0, SYN)]),
	"SYN in the window": before(lambda p: [Packet(p.side, p.seq, 0, SYN)]),
	"SYN with data": before(lambda p: [Packet(p.side, p.seq, 0, SYN, b"XXXX\r\n")]),
	"another handshake": before(lambda p: handshake(77777, 99999)),
	"another handshake, far off": before(lambda p: handshake(3 << 30, 2 << 30)),
	"another handshake, where it stands": before(lambda p: handshake_at(p, 0, 0)),
	"another handshake, where the client stands": with_payload_said(before(lambda p: handshake_at(p, 0, 1 << 30))),
	"another handshake, where the server stands": with_payload_said(before(lambda p: handshake_at(p, 1 << 30, 0))),
	"a handshake before, and another": with_payload_said(lambda ps, i: handshake(3 << 30, 2 << 30)[:2] + ps[:i] + handshake(1 << 30, 7 << 29) + ps[i:]),
	"two other handshakes": before(lambda p: handshake(3 << 30, 2 << 30) + handshake(1 << 30, 7 << 29)),
	"SYN-ACK, other sequence number": before(lambda p: [Packet(SERVER, 99999, 12345, SYN | ACK)]),
	"no flags": before(lambda p: [Packet(p.side, p.seq, p.ack, 0, other(b"QUIT\r\n"))]),
	"all flags": before(lambda p: [Packet(p.side, p.seq, p.ack, 0x3F, other(b"QUIT\r\n"))]),
	"far beyond the window": before(lambda p: [Packet(p.side, p.seq + (1 << 28), p.ack, ACK, b"QUIT\r\n")]),
	"long before the window": before(lambda p: [Packet(p.side, p.seq - (1 << 28), p.ack, ACK, b"QUIT\r\n")]),
	"IP options": lambda ps, i: ps[:i] + [replace(ps[i], ip_options=b"\x94\x04\0\0" + b"\1" * 8)] + ps[i + 1:],
	"TCP options of garbage": lambda ps, i: ps[:i] + [replace(ps[i], options=b"\xfd\x04ab\xfe\x02\1\1")] + ps[i + 1:],
	"every packet twice": lambda ps, i: [p for p in ps for _ in (0, 1)] if i == 3 else None,
}

# Within the handshake: before its first packet, between its packets, and behind it. All before anything is said.
ANYWHERE = (500, 1 << 20, 3 << 30)
FAR = ANYWHERE[1:]  # none of the connection's own window


def syn(number, side=CLIENT):
	return Packet(side, number, 0, SYN, ttl=1)


def syn_ack(number, ack=1001, side=SERVER):
	return Packet(side, number, ack, SYN | ACK, ttl=1)


def at_once(*extra):
	return lambda ps, i: ps[:i] + list(extra) + ps[i:]


def from_place(first, trick, last=3):
	return lambda ps, i: trick(ps, i) if first <= i <= last else None


def speaks(p, payload):
	return [p, replace(p, seq=p.seq + 1, ack=p.ack or 5001, flags=PSH | ACK, payload=payload)]


HANDSHAKE_TRICKS = {
	**{f"another SYN, {n:x}": at_once(syn(n)) for n in ANYWHERE},
	**{f"another SYN twice, {n:x}": at_once(syn(n), syn(n)) for n in ANYWHERE},
	**{f"another SYN with a bad checksum, {n:x}": at_once(replace(syn(n), bad_checksum=True)) for n in ANYWHERE},
	**{f"another SYN and the true one again, {n:x}": from_place(1, at_once(syn(n), syn(1000))) for n in ANYWHERE},
	"two other SYNs": from_place(1, at_once(syn(1 << 20), syn(3 << 30))),
	**{f"another SYN-ACK, {n:x}": from_place(1, at_once(syn_ack(n))) for n in ANYWHERE},
	**{f"another SYN-ACK, which is answered, {n:x}": from_place(1, at_once(syn_ack(n), Packet(CLIENT, 1001, n + 1, ACK, ttl=1))) for n in ANYWHERE},
	**{f"a SYN-ACK for nobody, {n:x}": at_once(syn_ack(n, 12345)) for n in ANYWHERE},
	**{f"another SYN speaks, {n:x}": from_place(1, at_once(*speaks(syn(n), b"EHLO x\r\n")), 1) for n in FAR},
	**{f"another SYN-ACK speaks, {n:x}": from_place(2, at_once(*speaks(syn_ack(n), b"220 forged\r\n"))) for n in FAR},
	"a SYN of the server": at_once(syn(777, SERVER)),
	"a SYN of the server, and the client answers": at_once(syn(777, SERVER), syn_ack(888, 778, CLIENT)),
	"a SYN of the server and another of the client": at_once(syn(777, SERVER), syn(3 << 30)),
	"a SYN-ACK of the client": at_once(syn_ack(777, 888, CLIENT)),
	"a SYN-ACK of the client, and its ACK": at_once(syn_ack(777, 888, CLIENT), Packet(SERVER, 888, 778, ACK, ttl=1)),
	**{f"another handshake begun, {n:x}": at_once(syn(n), syn_ack(7 << 29, n + 1)) for n in ANYWHERE},
	**{f"another handshake, {n:x}": at_once(*handshake(n, 7 << 29)) for n in ANYWHERE},
}


def speaks_later(number):
	"""A SYN in front of all, and what is said behind it once the true client has spoken."""
	forged = Packet(CLIENT, number + 1, 5001, PSH | ACK, b"MAIL FROM:<x@x.example>\r\n", ttl=1)
	return lambda ps, i: [syn(number)] + ps[:i] + [forged] + ps[i:]


TRICKS.update({f"another SYN, which speaks later, {n:x}": speaks_later(n) for n in (999, 1001, 71_000, 1 << 20, 3 << 30)})


# Where one side alone is captured: whose, and what is added to it.
ONE_SIDED_TRICKS = {
	"another SYN, the client's side alone": (CLIENT, at_once(syn(3 << 30))),
	"another SYN-ACK, the server's side alone": (SERVER, at_once(syn_ack(3 << 30))),
}


def seen_as(told, true):
	return all(told[name] == true[name] for name in FIELDS if name != "visibility")


# What tells that someone interferes. Inside TLS, whose records cannot be forged, that is a broken handshake.
REPORTS = {"tcp-injection", "plaintext-in-tls", "tls-handshake-failed"}


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("program")
	parser.add_argument("--list", action="store_true", help="the tricks and what became of each")
	parser.add_argument("--only", help="one trick")
	parser.add_argument("--keep", help="where the captures are left (default: nowhere)")
	options = parser.parse_args()
	played = failed = 0
	with tempfile.TemporaryDirectory() as scratch:
		keep = options.keep or scratch
		os.makedirs(keep, exist_ok=True)

		def records(name, cases):
			path = os.path.join(keep, name + ".pcap")
			write(path, cases)
			got = {}
			for record in replay(options.program, path, "--disable", "starttls-stripped"):
				got.setdefault(get(record, "source.port"), []).append(record)
			return got

		tricks = [(trick, play, (CLIENT, SERVER), 3, None) for trick, play in TRICKS.items()]
		tricks += [(trick, play, (CLIENT, SERVER), 0, 4) for trick, play in HANDSHAKE_TRICKS.items()]
		tricks += [(trick, play, (side,), 1, None) for trick, (side, play) in ONE_SIDED_TRICKS.items()]
		for number, (trick, play, sides, first, last) in enumerate(tricks):
			if options.only not in (None, trick):
				continue
			cases, origin = [], {}
			for name, make in CONVERSATIONS.items():
				segments = [plain(s) for s in make() if s.side in sides]
				origin[20000 + len(cases)] = (name, -1)
				cases.append((20000 + len(cases), segments))
				for i in range(first, last or len(segments)):
					changed = play(segments, i)
					if changed is not None:
						origin[20000 + len(cases)] = (name, i)
						cases.append((20000 + len(cases), changed))
			got = records(f"trick-{number}", cases)
			same = reported = 0
			wrong = []
			base = {}
			for port, (name, i) in origin.items():
				found = got.get(port, [])
				if i < 0:
					base[name] = facts(found[0])
					continue
				# What somebody forged from the beginning may have a record of its own, before.
				true = next((n for n, record in enumerate(found) if seen_as(facts(record), base[name])), 0)
				told = facts(found[true]) if found else {}
				if trick.startswith(("reset", "all flags")) and told.get("closed_by") == "rst":
					told["closed_by"] = base[name]["closed_by"]  # that a reset was seen is so
				if trick.startswith(("another SYN speaks", "another SYN, which speaks")) and told.get("visibility") == "midstream":
					told["visibility"] = base[name]["visibility"]  # the greeting was heard by the forged client
				alerts = {rule for record in found for rule in get(record, "stripwatch.alerts") or []}
				# What follows a connection's end may begin another one; that one claims nothing.
				rest = {get(record, "stripwatch.outcome") for n, record in enumerate(found) if n != true}
				if told == base[name] and rest <= {"no-dialogue", "unknown"}:
					same += 1
				elif (alerts - set(base[name]["alerts"] or [])) & REPORTS:
					reported += 1
				else:
					wrong.append(f"{name} at {i}: {len(found)} records; " + "; ".join(
						f"{k}: {base[name][k]!r} became {told.get(k)!r}" for k in FIELDS if base[name][k] != told.get(k)))
			played += same + reported + len(wrong)
			failed += len(wrong)
			if options.list or wrong:
				print(f"{trick}: {same} as without it, {reported} reported, {len(wrong)} wrong")
			for line in wrong[:6]:
				print("  " + line)
	print(f"evasion: {played} cases of {len(tricks)} tricks, {failed} failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
