#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What only several sessions together prove: sequences of sessions with known truth.

Each scenario below lays sessions on a timeline, says which alerts must come of it and
which must not, and is written as a capture (or one for each tap) and replayed. A
scenario that an attack raises has a quiet twin that differs in the attack alone.

    sequences.py [PROGRAM] [-k WORD] [-v]    all scenarios, or those with WORD in their name
    sequences.py --write DIR -k WORD         their captures, to look at
"""
import argparse
import ipaddress
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "property"))
import traffic  # noqa: E402
from traffic import CLIENT, SERVER, Conversation  # noqa: E402

START = 1_767_225_600  # 2026-01-01 00:00 UTC
MINUTE, HOUR, DAY = 60, 3600, 86400
# What the session alone proves; a scenario names the rules that it looks at besides these.
ALONE = {"plaintext-mail", "starttls-ignored", "tls-handshake-failed", "plaintext-credentials", "starttls-masked"}


def ip_packet(source, destination, protocol, payload):
	source, destination = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
	if len(source) == 16:
		head = struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + source + destination
		return b"\2\0\0\0\0\1\2\0\0\0\0\2\x86\xdd" + head + payload
	head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0) + source + destination
	head = head[:10] + struct.pack(">H", traffic.checksum(head)) + head[12:]
	return b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + head + payload


def transport_checksum(source, destination, protocol, payload, at):
	source, destination = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
	pseudo = source + destination + struct.pack(">II", len(payload), protocol)
	return payload[:at] + struct.pack(">H", traffic.checksum(pseudo + payload)) + payload[at + 2:]


class Tap:
	"""The packets of one capture."""

	def __init__(self):
		self.packets = []

	def tcp(self, time, source, destination, segment):
		ports = source[1], destination[1]
		if segment.side == SERVER:
			source, destination, ports = destination, source, ports[::-1]
		tcp = struct.pack(">HHIIBBHHH", *ports, segment.seq & 0xFFFFFFFF, segment.ack & 0xFFFFFFFF, 0x50,
			segment.flags, 65535, 0, 0) + segment.payload
		tcp = transport_checksum(source[0], destination[0], 6, tcp, 16)
		self.packets.append((time, ip_packet(source[0], destination[0], 6, tcp)))

	def udp(self, time, source, destination, payload):
		udp = struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
		udp = transport_checksum(source[0], destination[0], 17, udp, 6)
		self.packets.append((time, ip_packet(source[0], destination[0], 17, udp)))

	def write(self, path):
		with open(path, "wb") as out:
			out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
			for time, frame in sorted(self.packets, key=lambda p: p[0]):
				micros = round((START + time) * 1e6)
				out.write(struct.pack("<IIII", micros // 10**6, micros % 10**6, len(frame), len(frame)) + frame)


def dns_name(name):
	return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


A_RECORD, CNAME, MX_RECORD, TXT, AAAA, RRSIG, TLSA = 1, 5, 15, 16, 28, 46, 52


def dns_response(question, kind, records, authenticated=False, ttl=300, additional=()):
	"""records: (owner, type, data)."""
	out = struct.pack(">HHHHHH", 7, 0x81A0 if authenticated else 0x8180, 1, len(records), 0, len(additional))
	out += dns_name(question) + struct.pack(">HH", kind, 1)
	for owner, record_type, data in [*records, *additional]:
		out += dns_name(owner) + struct.pack(">HHIH", record_type, 1, ttl, len(data)) + data
	return out


def mail(c, domains="rcpt.example"):
	"""The domains of a mail's recipients, or a list of these: several mails."""
	for recipients in [domains] if isinstance(domains, str) else domains:
		c.client("MAIL FROM:<a@sender.example>").server("250 ok")
		for domain in recipients.split():
			c.client(f"RCPT TO:<b@{domain}>").server("250 ok")
		c.client("DATA").server("354 go").client("Subject: x", "", "text", ".").server("250 queued")


def hello(c, name, client_name, keywords):
	c.server(f"220 {name} ESMTP")
	c.client(f"EHLO {client_name}")
	c.server(*traffic.reply(250, name, "PIPELINING", *keywords, "8BITMIME"))


def handshake_fails(c, rng):
	c.client("STARTTLS").server("220 go")
	c.say(CLIENT, traffic.client_hello(rng))
	c.say(SERVER, b"\x15\x03\x03\x00\x02\x02\x28")
	c.end()


# Each kind of session: what is said on the connection, after the TCP handshake.
def say(c, kind, rng, name, client_name, domain):
	if kind == "upgraded":
		hello(c, name, client_name, ["STARTTLS"])
		c.client("STARTTLS").server("220 go")
		traffic.tls_session(c, rng, False)
		c.end()
	elif kind == "stripped":
		hello(c, name, client_name, [])
		mail(c, domain)
		c.client("QUIT").server("221 bye").end()
	elif kind == "stripped-quit":  # a strict client gives up
		hello(c, name, client_name, [])
		c.client("QUIT").server("221 bye").end()
	elif kind == "ignored":
		hello(c, name, client_name, ["STARTTLS"])
		mail(c, domain)
		c.client("QUIT").server("221 bye").end()
	elif kind == "offered-quit":
		hello(c, name, client_name, ["STARTTLS"])
		c.client("QUIT").server("221 bye").end()
	elif kind == "helo":
		c.server(f"220 {name} ESMTP").client(f"HELO {client_name}").server(f"250 {name}")
		mail(c, domain)
		c.client("QUIT").server("221 bye").end()
	elif kind == "ehlo-refused":
		c.server(f"220 {name} ESMTP").client(f"EHLO {client_name}").server("502 not implemented")
		c.client(f"HELO {client_name}").server(f"250 {name}")
		mail(c, domain)
		c.client("QUIT").server("221 bye").end()
	elif kind in ("refused-454", "refused-502"):
		hello(c, name, client_name, ["STARTTLS"])
		c.client("STARTTLS").server(f"{kind[-3:]} no TLS now")
		c.client("QUIT").server("221 bye").end()
	elif kind == "refused-454-mail":
		hello(c, name, client_name, ["STARTTLS"])
		c.client("STARTTLS").server("454 no TLS now")
		mail(c, domain)
		c.client("QUIT").server("221 bye").end()
	elif kind == "failed":
		hello(c, name, client_name, ["STARTTLS"])
		handshake_fails(c, rng)
	elif kind == "ehlo-twice":  # a refused STARTTLS, and another EHLO whose reply lacks it
		hello(c, name, client_name, ["STARTTLS"])
		c.client("STARTTLS").server("454 no TLS now")
		c.client(f"EHLO {client_name}").server(*traffic.reply(250, name, "PIPELINING", "8BITMIME"))
		c.client("QUIT").server("221 bye").end()
	elif kind == "decrypted":  # as a capture of what a TLS proxy decrypted reads
		hello(c, name, client_name, ["STARTTLS"])
		c.client("STARTTLS").server("220 go")
		c.client(f"EHLO {client_name}").server(*traffic.reply(250, name, "PIPELINING", "8BITMIME"))
		mail(c, domain)
		c.end()
	elif kind == "demands-tls":
		hello(c, name, client_name, ["STARTTLS"])
		c.client("MAIL FROM:<a@sender.example>").server("530 5.7.0 Must issue a STARTTLS command first")
		c.client("QUIT").server("221 bye").end()
	elif kind == "masked":
		hello(c, name, client_name, ["XXXXXXXA"])
		mail(c, domain)
		c.client("QUIT").server("221 bye").end()
	else:
		raise ValueError(kind)


class World:
	"""A timeline of sessions, and what must be raised."""

	def __init__(self):
		self.rng = random.Random(1)
		self.taps = {"": Tap()}
		self.next_port = 30000
		self.expected = []  # alerts: dicts of fields that must agree
		self.looked_at = None
		self.options = []
		self.files = {}  # name: text
		self.earlier = []  # taps of earlier runs

	def session(self, time, client, server, kind, name="mx.example", client_name="c.example",
			domain="rcpt.example", port=25, drop=None, tap="", client_port=None, isn=None):
		"""drop(segment): packets that the sensor did not see."""
		c = Conversation(isn=isn or (self.rng.randrange(2**31), self.rng.randrange(2**31)))
		say(c, kind, self.rng, name, client_name, domain)
		if client_port is None:
			client_port = self.next_port
			self.next_port += 1
		capture = self.taps.setdefault(tap, Tap())
		for segment in c.segments:
			if drop is None or not drop(segment):
				capture.tcp(time + segment.time, (client, client_port), (server, port), segment)
		return client_port

	def offers(self, count, clients, server, every=MINUTE, start=0, **how):
		"""count upgraded sessions, the clients in turn."""
		for i in range(count):
			self.session(start + i * every, clients[i % len(clients)], server, "upgraded", **how)
		return start + count * every

	def dns(self, time, question, kind, records, tcp=False, tap="", **how):
		"""An answer of the resolver to the client."""
		message = dns_response(question, kind, records, **how)
		capture = self.taps.setdefault(tap, Tap())
		if tcp:
			segment = traffic.Segment(SERVER, 1, 1, traffic.ACK, struct.pack(">H", len(message)) + message)
			capture.tcp(time, (A, 40053), ("192.0.2.53", 53), segment)
		else:
			capture.udp(time, ("192.0.2.53", 53), (A, 40053), message)

	def file(self, name, text):
		self.files[name] = text
		return "@" + name  # replaced by its path in options

	def next_run(self):
		"""What follows is another capture, judged with the baseline of those before."""
		self.earlier.append(self.taps)
		self.taps = {"": Tap()}

	def expect(self, rule, **fields):
		self.expected.append({"rule": rule, **fields})

	def look_at(self, *rules):
		"""Only these rules are compared; otherwise all but those that one session proves alone."""
		self.looked_at = set(rules)


SCENARIOS = []


def scenario(function):
	SCENARIOS.append(function)
	return function


A, B, C, D = "198.51.100.7", "203.0.113.9", "203.0.113.77", "198.18.0.4"
MX = "192.0.2.25"


# ---- starttls-stripped ----

@scenario
def stripped_for_one_client(w):
	end = w.offers(4, [A, B], MX)
	w.session(end, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients", severity=99)


@scenario
def stripped_for_a_strict_client(w):
	end = w.offers(4, [A, B], MX)
	w.session(end, A, MX, "stripped-quit")
	w.expect("starttls-stripped", client=A, scope="some-clients")


@scenario
def stripped_from_two_offers_is_quiet(w):
	end = w.offers(2, [A, B], MX)
	w.session(end, A, MX, "stripped")


@scenario
def stripped_with_exactly_three_offers(w):
	end = w.offers(3, [A], MX)
	w.session(end, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="all-clients", severity=73, confidence="low")


@scenario
def offers_that_are_not_taken_count_too(w):
	for i in range(3):
		w.session(i * MINUTE, B, MX, "offered-quit")
	w.session(10 * MINUTE, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients")


@scenario
def stripped_for_all_after_an_hour(w):
	end = w.offers(4, [A, B], MX)
	w.session(end + 2 * HOUR, A, MX, "stripped")
	w.session(end + 2 * HOUR + 400, B, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="all-clients", severity=73)
	w.expect("starttls-stripped", client=B, scope="all-clients", severity=73)


@scenario
def an_offer_59_minutes_ago_is_at_the_time(w):
	w.offers(4, [B], MX)
	w.session(3 * MINUTE + 3590, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients")


@scenario
def the_own_offer_an_hour_ago_is_no_other_client(w):
	w.offers(4, [B, A, A, A], MX)
	w.session(90 * MINUTE, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="all-clients")


@scenario
def another_port_is_another_server(w):
	end = w.offers(5, [A, B], MX)
	w.session(end, A, MX, "stripped", port=587)


@scenario
def a_server_without_tls_stays_quiet(w):
	for i in range(8):
		w.session(i * MINUTE, (A, B)[i % 2], MX, "stripped")


@scenario
def a_server_that_gains_tls_is_quiet(w):
	for i in range(4):
		w.session(i * MINUTE, A, MX, "stripped")
	w.offers(6, [A, B], MX, start=HOUR)


@scenario
def confidence_grows(w):
	for day in range(3):
		w.offers(5, [A, B, D], MX, start=day * DAY)
	w.session(3 * DAY, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="all-clients", confidence="high")


@scenario
def helo_only_is_quiet(w):
	end = w.offers(5, [A, B], MX)
	w.session(end, A, MX, "helo")


@scenario
def second_ehlo_is_quiet(w):
	w.look_at("starttls-stripped")
	end = w.offers(5, [A, B], MX)
	w.session(end, A, MX, "ehlo-twice")
	w.session(end + 400, B, MX, "decrypted")


@scenario
def masked_is_not_stripped_as_well(w):
	w.look_at("starttls-stripped", "starttls-masked")
	end = w.offers(5, [A, B], MX)
	w.session(end, A, MX, "masked")
	w.expect("starttls-masked", client=A)


@scenario
def an_ehlo_reply_with_a_hole_is_quiet(w):
	end = w.offers(5, [A, B], MX)
	w.session(end, A, MX, "stripped", drop=lambda s: s.side == SERVER and b"8BITMIME" in s.payload)


@scenario
def one_sided_sessions_do_not_teach(w):
	for i in range(5):
		w.session(i * MINUTE, B, MX, "upgraded", drop=lambda s: s.side == CLIENT)
	w.session(10 * MINUTE, A, MX, "stripped")


@scenario
def folded_and_summed_up(w):
	end = w.offers(4, [A, B], MX)
	for i in range(3):
		w.session(end + i * 60, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients", count=1)
	w.expect("starttls-stripped", client=A, count=3)


@scenario
def the_summary_tells_when_all_are_stripped(w):
	end = w.offers(4, [A, B], MX)
	w.session(end, A, MX, "stripped")
	w.session(end + 30, B, MX, "stripped")
	w.session(end + 60, A, MX, "stripped")
	w.session(end + 90, B, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients", severity=99, count=1)
	w.expect("starttls-stripped", client=B, count=1)
	w.expect("starttls-stripped", client=A, scope="all-clients", severity=73, count=2,
		message="by now the other clients are not offered it either")
	w.expect("starttls-stripped", client=B, scope="all-clients", severity=73, count=2)


@scenario
def a_pool_with_names_is_learnt(w):
	"""mx-b never offers, whoever asks; that is learnt, and mx-a stays watched."""
	w.look_at("starttls-stripped")
	time = w.offers(3, [A, B], MX, name="mx-a.example")
	for i in range(8):
		w.session(time + i * 600, (A, B)[i % 2], MX, "stripped", name="mx-b.example")
		w.session(time + i * 600 + 100, (A, B)[i % 2], MX, "upgraded", name="mx-a.example")
	w.options = ["--ignore-before", str(time + 4 * 600)]
	w.session(time + 5000, A, MX, "stripped", name="mx-a.example")
	w.expect("starttls-stripped", client=A, scope="some-clients")


@scenario
def a_pool_behind_one_name_is_learnt(w):
	w.look_at("starttls-stripped")
	time = w.offers(3, [A, B], MX)
	for i in range(16):
		client = (A, B, A, B, C)[i % 5]
		w.session(time + i * 900, client, MX, "stripped" if i % 2 else "upgraded")
		w.session(time + i * 900 + 60, client, MX, "upgraded" if i % 3 else "stripped")
	w.options = ["--ignore-before", str(time + 8 * 900)]


@scenario
def a_pool_learnt_in_an_earlier_run_is_quiet(w):
	time = w.offers(3, [A, B], MX, name="mx-a.example")
	for i in range(5):
		w.session(time + i * 600, (A, B)[i % 2], MX, "stripped", name="mx-b.example")
		w.session(time + i * 600 + 100, (B, A)[i % 2], MX, "upgraded", name="mx-a.example")
	w.next_run()
	w.options = ["--baseline-readonly"]
	w.session(DAY, A, MX, "stripped", name="mx-b.example")
	w.session(DAY + 600, B, MX, "stripped", name="MX-B.example")


@scenario
def one_client_of_many_is_never_a_pool(w):
	"""A is stripped each time, everybody else around it is not."""
	w.look_at("starttls-stripped")
	time = w.offers(6, [B, D], MX)
	for i in range(15):
		w.session(time + i * 1000, A, MX, "stripped")
		w.session(time + i * 1000 + 300, (B, C, D)[i % 3], MX, "upgraded")
		w.expect("starttls-stripped", client=A, scope="some-clients")


@scenario
def a_stripper_switched_on_and_off_is_no_pool(w):
	w.look_at("starttls-stripped")
	time = w.offers(6, [A, B], MX)
	for i in range(4):
		w.session(time + i * 1000, A, MX, "stripped")
		w.session(time + i * 1000 + 500, A, MX, "upgraded")
		w.session(time + i * 1000 + 600, B, MX, "upgraded")
		w.expect("starttls-stripped", client=A, scope="some-clients")


@scenario
def learnt_in_one_run_judged_in_another(w):
	end = w.offers(5, [A, B], MX)
	w.next_run()
	w.session(end + DAY, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="all-clients")


@scenario
def offered_to_others_in_an_earlier_run_within_the_hour(w):
	end = w.offers(5, [A, B], MX)
	w.next_run()
	w.options = ["--baseline-readonly"]
	w.session(end + 600, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients", severity=99)


@scenario
def readonly_judges_and_does_not_learn(w):
	w.offers(2, [A, B], MX)
	w.next_run()
	w.options = ["--baseline-readonly"]
	w.offers(4, [A, B], MX, start=DAY)
	w.session(2 * DAY, A, MX, "stripped")


@scenario
def a_known_server_is_stripped_in_a_readonly_run(w):
	w.offers(3, [A, B], MX)
	w.next_run()
	w.options = ["--baseline-readonly"]
	w.session(DAY, B, MX, "offered-quit")
	w.session(DAY + 60, A, MX, "stripped")
	w.expect("starttls-stripped", client=A, scope="some-clients")


# ---- plaintext-fallback ----

@scenario
def fallback_after_a_failed_handshake(w):
	w.session(0, A, MX, "failed")
	w.session(330, A, MX, "ignored")
	w.expect("plaintext-fallback", client=A, severity=73)


@scenario
def fallback_after_a_refusal(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "refused-454")
	w.session(3500, A, MX, "ignored")
	w.expect("plaintext-fallback", client=A, severity=73)


@scenario
def fallback_to_a_server_that_no_longer_offers(w):
	w.look_at("plaintext-fallback", "starttls-stripped")
	w.session(0, A, MX, "failed")
	w.session(60, A, MX, "stripped")
	w.expect("plaintext-fallback", client=A, severity=73)


@scenario
def stripped_covers_the_fallback(w):
	w.look_at("plaintext-fallback", "starttls-stripped")
	end = w.offers(4, [A, B], MX)
	w.session(end, A, MX, "failed")
	w.session(end + 60, A, MX, "stripped")
	w.expect("starttls-stripped", client=A)


@scenario
def fallback_by_helo(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(60, A, MX, "helo")
	w.expect("plaintext-fallback", client=A)


@scenario
def no_fallback_after_the_window(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(3700, A, MX, "ignored")


@scenario
def fallback_window_is_an_option(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(3700, A, MX, "ignored")
	w.options = ["--fallback-window", "4000"]
	w.expect("plaintext-fallback", client=A)


@scenario
def no_fallback_of_another_client_or_server(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(60, B, MX, "ignored")
	w.session(60, A, "192.0.2.26", "ignored")
	w.session(60, A, MX, "ignored", port=587)


@scenario
def no_fallback_without_delivery(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(60, A, MX, "offered-quit")
	w.session(90, A, MX, "upgraded")


@scenario
def no_fallback_before_the_failure(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "ignored")
	w.session(60, A, MX, "failed")


@scenario
def fallback_while_further_upgrades_fail(w):
	"""They began after it: it is the older failure that it follows."""
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(330, A, MX, "ehlo-refused")
	w.session(330.005, A, MX, "refused-454")
	w.session(330.008, A, MX, "refused-454")
	w.expect("plaintext-fallback", client=A, reason="later-session-failed")


@scenario
def no_fallback_when_only_later_upgrades_fail(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "failed")
	w.session(3700, A, MX, "ehlo-refused")
	w.session(3700.005, A, MX, "refused-454")
	w.session(3700.008, A, MX, "refused-454")


@scenario
def no_fallback_among_sessions_side_by_side(w):
	w.look_at("plaintext-fallback")
	w.session(0, A, MX, "refused-454")
	w.session(0.003, A, MX, "ehlo-refused")
	w.session(0.006, A, MX, "refused-454")


@scenario
def same_session_fallback_is_told_once(w):
	w.look_at("plaintext-fallback", "starttls-refused")
	w.session(0, A, MX, "refused-454-mail")
	w.expect("starttls-refused", client=A, severity=73)
	w.expect("plaintext-fallback", client=A, severity=73)


# ---- what is known of a server ----

@scenario
def a_refusal_known_for_all_is_medium(w):
	w.look_at("starttls-refused")
	for i, client in enumerate((A, B, D)):
		w.session(i * 600, client, MX, "refused-454")
		w.expect("starttls-refused", client=client, severity=73)
	w.session(3000, C, MX, "refused-454")
	w.expect("starttls-refused", client=C, severity=47)


@scenario
def a_refusal_to_one_client_stays_high(w):
	w.look_at("starttls-refused")
	w.offers(4, [B, D], MX)
	for i in range(5):
		w.session(HOUR + i * 600, A, MX, "refused-454")
		w.expect("starttls-refused", client=A, severity=73)


@scenario
def ehlo_refused_is_high_where_it_was_accepted(w):
	w.look_at("ehlo-refused")
	end = w.offers(3, [A, B], MX)
	w.session(end, A, MX, "ehlo-refused")
	w.expect("ehlo-refused", client=A, severity=73)


@scenario
def ehlo_refused_is_medium_where_nothing_is_known(w):
	w.look_at("ehlo-refused")
	w.session(0, A, MX, "ehlo-refused")
	w.expect("ehlo-refused", client=A, severity=47)


# ---- path-downgrade ----

def servers(count):
	return [f"192.0.2.{i + 1}" for i in range(count)]


@scenario
def a_path_loses_tls(w):
	"""20 servers known by 4 sessions each; then one client network is stripped at all of them."""
	w.look_at("path-downgrade", "starttls-stripped")
	mx = servers(20)
	for i, server in enumerate(mx):
		w.offers(4, [A, B], server, start=i * 5)
	for i, server in enumerate(mx):
		w.session(HOUR + i * 10, A, server, "stripped", name=f"mx{i}.example")
	w.options = ["--at-most", "starttls-stripped=8"]
	w.expect("path-downgrade", severity=99, count=6)
	w.expect("path-downgrade", severity=99, count=20)  # the summary


@scenario
def a_few_servers_without_tls_are_no_path(w):
	w.look_at("path-downgrade")
	mx = servers(20)
	for i, server in enumerate(mx):
		w.offers(4, [A, B], server, start=i * 5)
	for i, server in enumerate(mx):
		w.session(HOUR + i * 10, A, server, "stripped" if i % 7 == 0 else "upgraded")


@scenario
def one_server_that_drops_tls_is_no_path(w):
	w.look_at("path-downgrade")
	mx = servers(20)
	for i, server in enumerate(mx):
		w.offers(4, [A, B], server, start=i * 5)
	for i in range(60):
		w.session(HOUR + i * 10, (A, B)[i % 2], mx[0], "stripped")


@scenario
def a_path_is_stripped_from_its_first_session(w):
	"""The servers are known from an earlier run; of this client network nothing is."""
	w.look_at("path-downgrade")
	mx = servers(20)
	for i, server in enumerate(mx):
		w.offers(4, [B, D], server, start=i * 5)
	w.next_run()
	for i, server in enumerate(mx):
		w.session(DAY + i * 10, A, server, "stripped")
	w.expect("path-downgrade", reason="client-network", count=8)
	w.expect("path-downgrade", reason="client-network", count=20)  # the summary


@scenario
def a_client_that_cannot_do_tls_is_no_path(w):
	w.look_at("path-downgrade")
	mx = servers(20)
	for i, server in enumerate(mx):
		w.offers(4, [B, D], server, start=i * 5)
	for i, server in enumerate(mx):
		w.session(HOUR + i * 10, A, server, "failed")


@scenario
def everybody_loses_tls(w):
	w.look_at("path-downgrade")
	mx = servers(16)
	clients = [f"198.18.{i}.9" for i in range(16)]
	for i, server in enumerate(mx):
		w.offers(4, clients, server, start=i * 5)
	for i, server in enumerate(mx):
		w.session(HOUR + i * 10, clients[i], server, "stripped")
	w.expect("path-downgrade", reason="all-networks", count=6)
	w.expect("path-downgrade", reason="all-networks", count=16)  # the summary


# ---- taps ----

def both(w, time, client, server, inside, outside, skew=0.1, proxied=False, **how):
	"""A session as two taps see it: the same packets, or two connections with other numbers."""
	state = w.rng.getstate()
	port = w.session(time, client, server, inside, tap="inside", **how)
	w.rng.setstate(state)  # the same TLS bytes
	if proxied:
		how["isn"] = (77, 99)
		w.session(time + skew, "192.0.2.99", server, outside, tap="outside", **how)
	else:
		w.session(time + skew, client, server, outside, tap="outside", client_port=port, **how)


@scenario
def taps_see_the_same(w):
	w.look_at("tap-divergence")
	both(w, 0, A, MX, "upgraded", "upgraded", isn=(1, 2))
	both(w, 10, A, MX, "stripped", "stripped", isn=(1, 2))
	both(w, 20, B, MX, "upgraded", "upgraded", proxied=True)


@scenario
def stripped_between_the_taps(w):
	w.look_at("tap-divergence")
	both(w, 0, A, MX, "upgraded", "upgraded")
	both(w, 10, A, MX, "stripped", "ignored")
	w.session(100, B, MX, "offered-quit", tap="inside")
	w.expect("tap-divergence", severity=99, confidence="certain", reason="offer",
		message="outside saw STARTTLS offered, inside saw STARTTLS not offered")


@scenario
def proxied_and_stripped_between_the_taps(w):
	w.look_at("tap-divergence")
	both(w, 10, A, MX, "stripped", "ignored", proxied=True)
	w.expect("tap-divergence", severity=99, confidence="high", reason="offer")


@scenario
def taps_with_other_clocks(w):
	w.look_at("tap-divergence")
	both(w, 10, A, MX, "stripped", "ignored", skew=4)
	both(w, 40, A, MX, "upgraded", "upgraded", skew=-4, proxied=True)
	both(w, 60, B, MX, "stripped", "ignored", skew=-4, proxied=True)
	w.expect("tap-divergence", reason="offer")
	w.expect("tap-divergence", reason="offer")


@scenario
def tls_ends_between_the_taps(w):
	"""The hellos are of the same kind, but not the same: TLS 1.3 hides the certificate, not this."""
	w.look_at("tap-divergence")
	port = w.session(0, A, MX, "upgraded", tap="inside")
	w.session(0.1, A, MX, "upgraded", tap="outside", client_port=port)
	w.expect("tap-divergence", reason="tls-hello", confidence="certain")


@scenario
def only_one_tap_saw_it(w):
	w.look_at("tap-divergence")
	w.session(0, A, MX, "stripped", tap="inside")
	w.session(60, A, MX, "upgraded", tap="outside")
	w.session(120, B, MX, "stripped", tap="inside", client_name="b.example")
	w.session(121, B, MX, "upgraded", tap="outside", client_name="c.example")


@scenario
def refused_between_the_taps(w):
	w.look_at("tap-divergence")
	both(w, 0, A, MX, "refused-454-mail", "ignored")
	w.expect("tap-divergence", reason="command")


@scenario
def ehlo_refused_between_the_taps(w):
	w.look_at("tap-divergence")
	both(w, 0, A, MX, "ehlo-refused", "helo")
	w.expect("tap-divergence", reason="command")


@scenario
def masked_between_the_taps(w):
	w.look_at("tap-divergence")
	both(w, 0, A, MX, "masked", "ignored")
	w.expect("tap-divergence", reason="offer")


@scenario
def a_tap_with_holes_claims_nothing(w):
	w.look_at("tap-divergence")
	port = w.session(0, A, MX, "ignored", tap="outside")
	w.session(0.1, A, MX, "stripped", tap="inside", client_port=port,
		drop=lambda s: s.side == SERVER and b"8BITMIME" in s.payload)


@scenario
def many_sessions_at_once_through_a_proxy(w):
	"""Same names, same client, one after the other within the window; one kind each time."""
	w.look_at("tap-divergence")
	for i in range(20):
		both(w, i * 0.7, A, MX, "upgraded" if i % 3 else "offered-quit", "upgraded" if i % 3 else "offered-quit",
			proxied=True, skew=2.5)


# ---- policy and DNS ----

STS = "version: STSv1\r\nmode: enforce\r\nmx: *.example\r\nmax_age: 604800\r\n"


def sts_policy(w, text=STS):
	w.file("sts/rcpt.example.txt", text)
	w.options += ["--policy", w.file("policy.yaml", "mta-sts: sts\n")]
	w.look_at("policy-violation")


@scenario
def mta_sts_enforced(w):
	sts_policy(w)
	w.session(0, A, MX, "stripped")
	w.expect("policy-violation", client=A, severity=99, confidence="certain", reason="plaintext")


@scenario
def mta_sts_of_another_domain(w):
	sts_policy(w)
	w.session(0, A, MX, "stripped", domain="other.example")
	w.session(0, B, MX, "upgraded")


@scenario
def mta_sts_of_the_seventeenth_domain(w):
	"""A record names sixteen; all are judged."""
	sts_policy(w)
	others = " ".join(f"d{i}.other.example" for i in range(60))
	w.session(0, A, MX, "stripped", domain=others + " rcpt.example")
	w.session(MINUTE, B, MX, "stripped", domain=others)
	w.expect("policy-violation", client=A, reason="plaintext", recipients=61)


@scenario
def mta_sts_of_a_later_recipient(w):
	"""Told when the server takes the recipient: nothing takes that back."""
	sts_policy(w)
	w.session(0, A, MX, "stripped", domain="other.example rcpt.example more.example")
	w.session(10, B, MX, "stripped", domain=["other.example", "other.example rcpt.example", "other.example"])
	w.expect("policy-violation", client=A, recipients=2, accepted=0)
	w.expect("policy-violation", client=B, recipients=3, accepted=1)


@scenario
def mta_sts_announced_of_a_later_recipient(w):
	w.look_at("policy-violation")
	w.options = ["--dns"]
	w.dns(0, "_mta-sts.rcpt.example", TXT, [("_mta-sts.rcpt.example", TXT, b"\x14v=STSv1; id=2026001;")])
	w.session(10, A, MX, "stripped", domain=["other.example", "rcpt.example", "other.example"])
	w.expect("policy-violation", client=A, reason="mta-sts-announced", recipients=2, accepted=1)


@scenario
def mta_sts_testing_and_none_demand_nothing(w):
	w.file("sts/none.example.txt", "version: STSv1\nmode: none\nmax_age: 86400\n")
	sts_policy(w, STS.replace("enforce", "testing"))
	w.session(0, A, MX, "stripped")
	w.session(0, A, MX, "stripped", domain="none.example")


@scenario
def mta_sts_announced_only(w):
	w.look_at("policy-violation")
	w.options = ["--dns"]
	w.dns(0, "_mta-sts.rcpt.example", TXT, [("_mta-sts.rcpt.example", TXT, b"\x14v=STSv1; id=2026001;")])
	w.session(10, A, MX, "stripped")
	w.session(400, B, MX, "upgraded")
	w.session(500, B, MX, "stripped", domain="other.example")
	w.expect("policy-violation", client=A, confidence="low", reason="mta-sts-announced")


@scenario
def mta_sts_announced_is_over_with_its_ttl(w):
	w.look_at("policy-violation")
	w.options = ["--dns"]
	w.dns(0, "_mta-sts.rcpt.example", TXT, [("_mta-sts.rcpt.example", TXT, b"\x14v=STSv1; id=2026001;")])
	w.session(310, A, MX, "stripped")


@scenario
def mta_sts_announced_and_known_to_be_testing(w):
	sts_policy(w, STS.replace("enforce", "testing"))
	w.options += ["--dns"]
	w.dns(0, "_mta-sts.rcpt.example", TXT, [("_mta-sts.rcpt.example", TXT, b"\x14v=STSv1; id=2026001;")])
	w.session(10, A, MX, "stripped")


def dane(w, **how):
	w.look_at("policy-violation")
	w.dns(0, "rcpt.example", MX_RECORD, [("rcpt.example", MX_RECORD, b"\0\x0a" + dns_name("mx1.rcpt.example"))])
	w.dns(1, "mx1.rcpt.example", A_RECORD, [("mx1.rcpt.example", A_RECORD, ipaddress.ip_address(MX).packed)])
	w.dns(2, "_25._tcp.mx1.rcpt.example", TLSA, [("_25._tcp.mx1.rcpt.example", TLSA, b"\3\1\1" + bytes(32))], **how)


@scenario
def dane_demands_tls(w):
	dane(w, authenticated=True)
	w.options = ["--dns"]
	w.session(10, A, MX, "stripped")
	w.expect("policy-violation", client=A, severity=99, confidence="high", reason="dane-plaintext")


@scenario
def dane_over_tcp(w):
	dane(w, authenticated=True, tcp=True)
	w.options = ["--dns"]
	w.session(10, A, MX, "refused-454-mail")
	w.expect("policy-violation", client=A, reason="dane-plaintext")


@scenario
def dane_without_dnssec_is_said_with_low_confidence(w):
	dane(w)
	w.options = ["--dns"]
	w.session(10, A, MX, "stripped")
	w.expect("policy-violation", client=A, confidence="low")


@scenario
def dane_is_kept(w):
	dane(w, authenticated=True)
	w.options = ["--dns"]
	w.session(10, A, MX, "upgraded")
	w.session(20, A, "192.0.2.26", "stripped")
	w.session(30, A, MX, "stripped-quit")


@scenario
def dns_counts_only_when_asked_for(w):
	dane(w, authenticated=True)
	w.session(10, A, MX, "stripped")


@scenario
def a_filter_does_not_hide_dns(w):
	dane(w, authenticated=True)
	w.options = ["--dns", "--filter", "tcp port 25"]
	w.session(10, A, MX, "stripped")
	w.expect("policy-violation", client=A)


@scenario
def policy_knows_servers_by_their_name_in_dns(w):
	w.look_at("policy-violation")
	w.options = ["--dns", "--policy", w.file("policy.yaml", "demands:\n  - name: partner\n    servers: [mx1.rcpt.example]\n")]
	w.dns(0, "mail.rcpt.example", A_RECORD, [("mail.rcpt.example", CNAME, dns_name("mx1.rcpt.example")),
		("mx1.rcpt.example", A_RECORD, ipaddress.ip_address(MX).packed)])
	w.session(10, A, MX, "stripped", domain="any.example")
	w.session(20, A, "192.0.2.26", "stripped", domain="any.example")
	w.expect("policy-violation", client=A, server=MX)


@scenario
def mail_that_was_turned_down_did_not_go_in_the_clear(w):
	w.look_at("policy-violation")
	w.options = ["--policy", w.file("policy.yaml", "demands:\n  - name: ours\n    servers: [192.0.2.0/24]\n")]
	w.session(0, A, MX, "demands-tls")
	w.session(10, B, MX, "stripped")
	w.expect("policy-violation", client=B)


def alert_fields(document):
	"""The fields that scenarios speak of."""
	return {
		"rule": document["rule"]["id"],
		"client": document.get("source", {}).get("ip"),
		"server": document.get("destination", {}).get("ip"),
		"severity": document["event"]["severity"],
		"scope": document["stripwatch"].get("scope"),
		"reason": document["stripwatch"].get("reason"),
		"count": document["stripwatch"].get("count"),
		"confidence": document["stripwatch"].get("confidence"),
		"recipients": document.get("smtp", {}).get("plaintext", {}).get("recipients"),
		"accepted": document.get("smtp", {}).get("plaintext", {}).get("accepted"),
		"time": document["@timestamp"],
		"message": document["message"],
	}


def agrees(wanted, seen):
	return all(wanted[key] in seen[key] if key == "message" else seen.get(key) == wanted[key] for key in wanted)


def play(program, function, directory, verbose):
	"""Complaints; none when all is as it must be."""
	w = World()
	function(w)
	options, before, at_most, i = [], None, {}, 0
	while i < len(w.options):
		if w.options[i] == "--ignore-before":
			before = float(w.options[i + 1])
			i += 1
		elif w.options[i] == "--at-most":
			rule, number = w.options[i + 1].split("=")
			at_most[rule] = int(number)
			i += 1
		else:
			options.append(w.options[i])
		i += 1
	for name, text in w.files.items():
		os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
		with open(os.path.join(directory, name), "w", encoding="ascii", newline="") as out:
			out.write(text)
	options = [os.path.join(directory, o[1:]) if o.startswith("@") else o for o in options]
	baseline = os.path.join(directory, function.__name__ + ".db")
	for number, taps in enumerate([*w.earlier, w.taps]):
		paths = []
		for tap, capture in taps.items():
			path = os.path.join(directory, f"{function.__name__}.{number}{tap}.pcap")
			if not capture.packets:
				continue
			capture.write(path)
			paths += ["--tap", f"{tap}={path}"] if tap else [path]
		last = number == len(w.earlier)
		keep = ["--baseline", baseline] if w.earlier else []
		run = subprocess.run([program, "replay", "--json", "--sensor", "test", *keep, *(options if last else []), *paths],
			capture_output=True, timeout=60, check=False)
		if run.returncode != 0:
			break
	if not w.earlier and run.returncode == 0:
		again = subprocess.run([program, "replay", "--json", "--sensor", "test", "--workers", "3", *options, *paths],
			capture_output=True, timeout=60, check=False)
		if again.stdout != run.stdout:
			return ["three workers say something else"]
	if run.returncode != 0:
		return [f"exit status {run.returncode}: {run.stderr.decode()}"]
	seen = [alert_fields(json.loads(line)) for line in run.stdout.splitlines()]
	if verbose:
		for alert in seen:
			print("   ", alert)
	seen = [a for a in seen if (a["rule"] in w.looked_at if w.looked_at else a["rule"] not in ALONE)]
	if before is not None:
		seen = [a for a in seen if seconds(a["time"]) >= before]
	complaints = []
	for rule, number in at_most.items():
		count = sum(a["rule"] == rule for a in seen)
		if count > number:
			complaints.append(f"{count} times {rule}")
		seen = [a for a in seen if a["rule"] != rule]
	for wanted in w.expected:
		found = next((a for a in seen if agrees(wanted, a)), None)
		if found is None:
			complaints.append(f"missing: {wanted}")
		else:
			seen.remove(found)
	return complaints + [f"too much: {a}" for a in seen]


def seconds(timestamp):
	"""Of the timeline."""
	import datetime
	return datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp() - START


def main():
	parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
	parser.add_argument("program", nargs="?", default=os.environ.get("STRIPWATCH", os.path.join(HERE, "../../build/release/stripwatch")))
	parser.add_argument("-k", dest="word", default="")
	parser.add_argument("-v", dest="verbose", action="store_true")
	parser.add_argument("--write")
	arguments = parser.parse_args()
	wrong, played = 0, 0
	with tempfile.TemporaryDirectory() as directory:
		for function in SCENARIOS:
			if arguments.word not in function.__name__:
				continue
			played += 1
			complaints = play(arguments.program, function, arguments.write or directory, arguments.verbose)
			if complaints:
				wrong += 1
				print(function.__name__)
				for complaint in complaints:
					print("  ", complaint)
	print(f"{played} sequences, {wrong} wrong")
	return 1 if wrong or not played else 0


if __name__ == "__main__":
	sys.exit(main())
