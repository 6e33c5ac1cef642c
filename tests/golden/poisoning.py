#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What forged sessions can teach, and what one path can make forgotten (deploy/BASELINE.md).

    poisoning.py [PROGRAM]
"""
import dataclasses
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import sequences  # noqa: E402
from sequences import A, B, C, D, DAY, HOUR, MINUTE, MX, World, traffic  # noqa: E402,F401
from traffic import ACK, CLIENT, SERVER, SYN, Conversation  # noqa: E402

SCENARIOS = []


def scenario(function):
	SCENARIOS.append(function)
	return function


def without_handshake(segment):
	return segment.flags & SYN


def forged(w, time, client, server, kind, change):
	"""A session each of whose segments is changed before it passes the sensor."""
	c = Conversation(isn=(w.rng.randrange(2**31), w.rng.randrange(2**31)))
	sequences.say(c, kind, w.rng, "mx.example", "c.example", "rcpt.example")
	w.next_port += 1
	for segment in map(change, c.segments):
		w.taps[""].tcp(time + segment.time, (client, w.next_port), (server, 25), segment)


def blind(side):
	"""Who does not see what the other side sends cannot acknowledge it."""
	def change(segment):
		if segment.side == side and segment.flags & ACK:
			return dataclasses.replace(segment, ack=segment.ack + 1_000_003)
		return segment
	return change


@scenario
def a_full_handshake_teaches(w):
	for i in range(6):
		w.session(i * MINUTE, C, MX, "offered-quit")
	w.session(HOUR, A, MX, "stripped")
	w.expect("starttls-stripped", client=A)


@scenario
def without_a_handshake_nothing_is_learnt(w):
	for i in range(20):
		w.session(i * MINUTE, C, MX, "offered-quit", drop=without_handshake)
	w.session(HOUR, A, MX, "stripped")


@scenario
def a_blind_client_teaches_nothing(w):
	for i in range(20):
		forged(w, i * MINUTE, C, MX, "offered-quit", blind(CLIENT))
	w.session(HOUR, A, MX, "stripped")


@scenario
def a_blind_server_teaches_nothing(w):
	for i in range(20):
		forged(w, i * MINUTE, C, MX, "offered-quit", blind(SERVER))
	w.session(HOUR, A, MX, "stripped")


@scenario
def one_side_alone_teaches_nothing(w):
	for i in range(20):
		w.session(i * MINUTE, C, MX, "offered-quit", drop=lambda segment: segment.side == CLIENT)
	w.session(HOUR, A, MX, "stripped")


@scenario
def forged_sessions_make_nothing_forgotten(w):
	end = w.offers(6, [A, B], MX)
	for i in range(150):
		w.session(end + i * 8 * HOUR, C, MX, "stripped", drop=without_handshake)
	w.options += ["--ignore-before", str(55 * DAY)]
	w.session(55 * DAY, A, MX, "stripped")
	w.expect("starttls-stripped", client=A)


@scenario
def one_path_cannot_make_it_forgotten_for_others(w):
	"""C's mail is stripped for two months; others get their offer once a week."""
	w.offers(6, [A, B], MX)
	for i in range(180):
		w.session(DAY + i * 8 * HOUR, C, MX, "stripped")
	for week in range(9):
		w.session(week * 7 * DAY + 2 * HOUR, B, MX, "upgraded")
	w.options += ["--ignore-before", str(62 * DAY)]
	w.session(62 * DAY, D, MX, "stripped")
	w.expect("starttls-stripped", client=D)


@scenario
def switching_on_and_off_on_one_path_makes_no_pool_of_it_for_others(w):
	end = w.offers(40, [A, B], MX)
	for i in range(6):
		w.session(end + i * 20 * MINUTE, C, MX, "stripped")
		w.session(end + i * 20 * MINUTE + 5 * MINUTE, C, MX, "upgraded")
	w.options += ["--ignore-before", str(end + 2.5 * HOUR)]
	w.session(end + 3 * HOUR, D, MX, "stripped")
	w.expect("starttls-stripped", client=D)


def main():
	program = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ["STRIPWATCH"])
	wrong = 0
	with tempfile.TemporaryDirectory() as directory:
		for function in SCENARIOS:
			complaints = sequences.play(program, function, directory, False)
			wrong += bool(complaints)
			for complaint in complaints:
				print(f"{function.__name__}: {complaint}")
	print(f"{len(SCENARIOS)} ways to poison, {wrong} wrong")
	return 1 if wrong else 0


if __name__ == "__main__":
	sys.exit(main())
