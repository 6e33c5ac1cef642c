#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole connections as text against the whole program: records, alerts and secrets.

    run.py STRIPWATCH [FILE...]

Where tests/transcripts/ runs the session tracker alone, a case here becomes packets, all cases
become one capture, and what the program says of each is compared: every field of the record that
the case names, and the exact set of rules that it raised. All cases run again with each packet
twice, as a mirror port of both ends delivers it: nothing may change. No word that holds "Secret"
(base64 of it included) may stand in any output or evidence, whatever their format; nor may one
that holds "Hidden", even where accounts and addresses may be shown.

    # a comment
    = stripwatch.outcome=refused smtp.starttls.offered=true    a field of the record, as JSON or as a word
    = alerts=plaintext-mail,starttls-refused                   the exact set; "none" for none
    = record=none                                              the connection has no record
    C EHLO client.example            a line of the client, its own segment; CRLF is added
    S 250 server.example
    C< bytes\\x16\\x03\\r\\n             bytes as they are
    C& RCPT TO:<a@b.example>         a line in the same segment as the client's one before (S& too)
    LOST C EHLO x                    a line that was sent and acknowledged, and not captured
    AGAIN C other bytes              the last segment of the client again, with these bytes
    TLS12, TLS13                     a handshake that comes up, and some records; SSL2HELLO, HELLO
    SIDES client|server              only that side's packets were captured
    MIDSTREAM                        the handshake of TCP was not captured
    SNAP 96                          packets were cut to so many bytes
    PORT 2525                        the server's port (25)
    VLAN 10 20                       tags of the client's and of the server's packets
    KEEPALIVE C                      one byte of garbage just before the next sequence number
    END fin|rst|eof|server-fin       how it ends (fin)
    OPTIONS --all-ports              of the program; cases with the same options share a run
"""
import base64
import codecs
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "property"))
import traffic  # noqa: E402

CLIENT, SERVER = traffic.CLIENT, traffic.SERVER
SIDES = {"C": CLIENT, "S": SERVER}


class Case:
	def __init__(self, path):
		self.path, self.name = path, path.stem
		self.expect, self.packets = {}, []
		self.options, self.port, self.snap, self.vlans, self.only = (), 25, 0, (None, None), None
		self.times = 0.0
		end, midstream, lines = "fin", False, []
		for number, line in enumerate(path.read_text().splitlines(), 1):
			word, _, rest = line.partition(" ")
			if not line or line.startswith("#"):
				continue
			if word == "=":
				self.expect.update(item.split("=", 1) for item in rest.split())
			elif word == "OPTIONS":
				self.options = tuple(rest.split())
			elif word == "PORT":
				self.port = int(rest)
			elif word == "SNAP":
				self.snap = int(rest)
			elif word == "VLAN":
				self.vlans = tuple(int(tag) for tag in rest.split())
			elif word == "SIDES":
				self.only = {"client": CLIENT, "server": SERVER}[rest]
			elif word == "MIDSTREAM":
				midstream = True
			elif word == "END":
				end = rest
			else:
				lines.append((number, word, rest))
		if not self.expect:
			sys.exit(f"{path}: expects nothing")
		self.build(lines, midstream, end)

	def build(self, lines, midstream, end):
		rng = random.Random(self.name)
		c = traffic.Conversation(handshake=not midstream)
		hidden, tail = set(), [None, None]
		for number, word, rest in lines:
			if word in ("C", "S", "C<", "S<", "LOST", "C&", "S&"):
				lost = word == "LOST"
				if lost:
					word, _, rest = rest.partition(" ")
				side = SIDES[word[0]]
				text = codecs.escape_decode(rest.encode())[0] if word.endswith("<") else rest.encode() + b"\r\n"
				if word.endswith("&"):
					last = c.segments.pop()
					assert last.side == side, f"{self.path}:{number}: nothing to add to"
					c.next[side], text = last.seq, last.payload + text
				c.say(side, text)
				if lost:
					hidden.add(id(c.segments[-1]))
					c.acks(1 - side)
			elif word == "AGAIN":
				word, _, rest = rest.partition(" ")
				last = [s for s in c.segments if s.side == SIDES[word] and s.payload][-1]
				text = codecs.escape_decode(rest.encode())[0]
				c.segments.append(traffic.replace(last, payload=text, time=c.now))
				c.now += 0.01
			elif word == "KEEPALIVE":
				side = SIDES[rest]
				c.segments.append(traffic.Segment(side, c.next[side] - 1, c.next[1 - side], traffic.ACK, b"\0", c.now))
				c.now += 0.01
				c.acks(1 - side)
			elif word in ("TLS12", "TLS13"):
				traffic.tls_session(c, rng, word == "TLS13")
			elif word == "HELLO":
				c.say(CLIENT, traffic.client_hello(rng))
			else:
				sys.exit(f"{self.path}:{number}: not understood: {word}")
		if end == "server-fin":
			c.end("fin", SERVER)
		elif end != "eof":
			c.end(end)
		self.segments = [s for s in c.segments if id(s) not in hidden and self.only in (None, s.side)]

	def frames(self, number):
		client, server = struct.pack(">I", 0x0A000000 + number), struct.pack(">I", 0xC6120000 + number)
		for segment in self.segments:
			yield segment.time, self.frame(segment, (client, server), 20000 + number)

	def frame(self, segment, addresses, client_port):
		ports = (client_port, self.port)
		src, dst = addresses[segment.side], addresses[1 - segment.side]
		tcp = struct.pack(">HHIIBBHHH", ports[segment.side], ports[1 - segment.side], segment.seq & 0xFFFFFFFF,
			segment.ack & 0xFFFFFFFF, 0x50, segment.flags, 0xFFFF, 0, 0)
		ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(segment.payload), 0, 0x4000, 64, 6, 0, src, dst)
		tag = self.vlans[segment.side]
		ether = b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" + (b"" if tag is None else struct.pack(">HH", 0x8100, tag)) + b"\x08\x00"
		return ether + ip + tcp + segment.payload


def write_capture(path, cases, twice):
	packets = []
	for number, case in enumerate(cases, 1):
		for time, frame in case.frames(number):
			packets.append((int((1e9 + number * 0.001 + time) * 1e6), case.snap, frame))
	packets.sort(key=lambda packet: packet[0])
	with open(path, "wb") as out:
		out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
		for time, snap, frame in packets:
			kept = frame[:snap] if snap else frame
			for _ in range(1 + twice):
				out.write(struct.pack("<IIII", time // 1000000, time % 1000000, len(kept), len(frame)) + kept)


def field(record, path):
	for key in path.split("."):
		record = record.get(key) if isinstance(record, dict) else None
	return record


def shown(value):
	return ",".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else json.dumps(value)


def spoken(case, marks):
	"""Words of the case that must not come out, as they are and as base64 shows them."""
	words = set()
	for segment in case.segments:
		for word in segment.payload.replace(b"\0", b" ").replace(b":", b" ").split():
			for part in (word, *decoded(word)):
				if any(mark in part for mark in marks):
					words.add(word)
					words.add(part)
	return words


def decoded(word):
	try:
		return re.split(rb"[\0\1 ,=]", base64.b64decode(word, validate=True))
	except ValueError:
		return ()


# How often all is run: each packet twice, options of the program, what may not come out.
WAYS = (
	(False, (), (b"Secret", b"Hidden")),
	(True, ("--alert-format", "eve"), (b"Secret", b"Hidden")),
	(False, ("--alert-format", "ocsf", "--log-level", "debug"), (b"Secret", b"Hidden")),
	(False, ("--show-accounts", "--show-addresses"), (b"Hidden",)),
)


def run(program, cases, options, way, directory):
	twice, more, marks = way
	capture = directory / "cases.pcap"
	write_capture(capture, cases, twice)
	evidence = directory / "evidence"
	evidence.mkdir(exist_ok=True)
	command = [program, "replay", "--sensor", "cases", "--sessions", directory / "sessions", "--alerts", directory / "alerts",
		"--report", directory / "report.html", "--evidence", evidence, *more, *options, capture]
	result = subprocess.run(command, capture_output=True, timeout=300)
	(directory / "stdout").write_bytes(result.stdout + result.stderr)
	if result.returncode != 0:
		return [f"exit status {result.returncode}: {result.stderr.decode()}"]
	failures, records = [], {}
	for line in open(directory / "sessions"):
		record = json.loads(line)
		records.setdefault(record["source"]["port"] - 20000, []).append(record)
	outputs = {path: path.read_bytes() for path in (*directory.iterdir(), *evidence.iterdir()) if path.is_file() and path != capture}
	for number, case in enumerate(cases, 1):
		failures += judge(case, records.get(number, []), " (every packet twice)" if twice else "")
		for word in spoken(case, marks):
			failures += [f"{case.name}: {word.decode(errors='replace')!r} is in {path.name} {' '.join(more)}"
				for path, text in outputs.items() if word in text]
	for path in evidence.iterdir():
		path.unlink()
	return failures


def judge(case, records, note):
	if case.expect.get("record") == "none":
		return [f"{case.name}{note}: has a record"] if records else []
	if len(records) != 1:
		return [f"{case.name}{note}: {len(records)} records"]
	failures = []
	for path, want in case.expect.items():
		if path == "alerts":
			have = ",".join(sorted(records[0]["stripwatch"]["alerts"])) or "none"
			want = ",".join(sorted(want.split(",")))
		else:
			have = shown(field(records[0], path))
		if have != want:
			failures.append(f"{case.name}{note}: {path} is {have}, not {want}")
	return failures


def main():
	program, names = sys.argv[1], sys.argv[2:]
	paths = [pathlib.Path(name) for name in names] or sorted((HERE / "cases").glob("*.case"))
	groups = {}
	for path in paths:
		case = Case(path)
		groups.setdefault(case.options, []).append(case)
	failures = []
	with tempfile.TemporaryDirectory() as directory:
		for options, cases in groups.items():
			for way in WAYS:
				failures += run(program, cases, options, way, pathlib.Path(directory))
	for failure in failures:
		print(failure)
	print(f"{len(paths)} cases, {len(failures)} differences")
	return 1 if failures else 0


if __name__ == "__main__":
	sys.exit(main())
