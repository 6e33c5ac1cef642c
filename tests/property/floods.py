#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Floods: what an attacker sends to exhaust a sensor, with one real session in the middle.

	floods.py STRIPWATCH [--scale N] [--keep DIR] [--only FLOOD]

Each flood is replayed alone. The sensor must end with status 0, within its memory, and still
tell the real session and its alert; where a cap was reached it must say so. Prints the peak
memory and the CPU time of each. --scale multiplies the sizes (1: what a test run can spend).
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import traffic  # noqa: E402
from traffic import ACK, PSH, SYN, Conversation  # noqa: E402

REAL_PORT = 20001
BASE = 1_700_000_000


def real_session():
	c = Conversation()
	c.server("220 mx.example ESMTP").client("EHLO c.example").server("250-mx.example", "250 STARTTLS")
	c.client("AUTH PLAIN AHVzZXIAcGFzcw==").server("235 ok")
	c.client("MAIL FROM:<a@a.example>").server("250 ok").client("RCPT TO:<b@b.example>").server("250 ok")
	c.client("DATA").server("354 go").client("Subject: x", "", "text", ".").server("250 queued")
	return c.client("QUIT").server("221 bye").end().segments


def is_real(line):
	return f'"ip":"198.51.100.7","port":{REAL_PORT}' in line


class Capture:
	"""Packets a microsecond apart, but for the real session, whose packets are spread over all of it."""

	def __init__(self, path, expected):
		self.out = open(path, "wb")
		self.out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
		self.now = 0
		self.real = [traffic.packet(s, REAL_PORT) for s in real_session()]
		self.every = max(expected // (len(self.real) + 2), 1)
		self.count = 0
		self.step = 1

	def put(self, frame):
		self.out.write(struct.pack("<IIII", BASE + self.now // 10**6, self.now % 10**6, len(frame), len(frame)) + frame)
		self.now += self.step

	def add(self, frame):
		self.count += 1
		if self.count % self.every == 0 and self.real:
			self.put(self.real.pop(0))
		self.put(frame)

	def close(self):
		for frame in self.real:
			self.put(frame)
		self.out.close()


ETHERNET = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"


def tcp_frame(src, dst, sport, dport, seq, ack, flags, payload=b""):
	"""Checksums are left out: the sensor does not insist on them."""
	tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0) + payload
	return ETHERNET + struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, src, dst) + tcp


def half_open(capture, n, rng):
	for i in range(n):
		capture.add(tcp_frame(0x0A000000 + i % 0xFFFFFF, 0xC0000219, 1024 + i % 60000, 25, rng.getrandbits(32), 0, SYN))


def data_without_handshake(capture, n, rng):
	for i in range(n):
		capture.add(tcp_frame(0x0A000000 + i, 0xC0000219, 1024 + i % 60000, 25, rng.getrandbits(32), 1, ACK | PSH, b"EHLO x\r\n"))


def same_bucket(capture, n, rng):
	"""Addresses and ports that collide in hashes made of sums or exclusive ors."""
	for i in range(n):
		x = rng.getrandbits(16)
		capture.add(tcp_frame(0x0A000000 | x, 0xC0000000 | (0x4219 ^ x), 1024 + x % 50000, 25, i, 0, SYN))


def fragments(capture, n, rng):
	for i in range(n):
		first = ETHERNET + struct.pack(">BBHHHBBHII", 0x45, 0, 20 + 1400, i & 0xFFFF, 0x2000 | (i % 40) * 175, 64, 6, 0,
			0x0A000000 + i // 64, 0xC0000219) + b"f" * 1400
		capture.add(first)


def out_of_order_bytes(capture, n, rng):
	"""One byte a segment, never the next one, in a few connections."""
	for i in range(n):
		port = 30000 + i % 50
		if i < 50:
			capture.add(tcp_frame(0x0A000001, 0xC0000219, port, 25, 100, 0, SYN))
		else:
			capture.add(tcp_frame(0x0A000001, 0xC0000219, port, 25, 103 + 2 * rng.randint(0, 400000), 1, ACK, b"x"))


def endless_lines(capture, n, rng):
	"""EHLO lines and replies that never end, in many connections."""
	sessions = 400
	chunk = b"E" * 1400
	state = {}
	for i in range(n):
		port = 30000 + i % sessions
		side = (i // sessions) % 2
		if port not in state:
			state[port] = [101, 201]
			capture.add(tcp_frame(0x0A000001, 0xC0000219, port, 25, 100, 0, SYN))
			capture.add(tcp_frame(0xC0000219, 0x0A000001, 25, port, 200, 101, SYN | ACK))
			continue
		s = state[port]
		data = chunk if s[side] > 300 else (b"EHLO " if side == 0 else b"250-mx" if s[1] == 201 else b"250-")
		ends = (0x0A000001, 0xC0000219, port, 25) if side == 0 else (0xC0000219, 0x0A000001, 25, port)
		capture.add(tcp_frame(*ends, s[side], s[1 - side], ACK, data))
		s[side] += len(data)


def capabilities_without_end(capture, n, rng):
	s = [101, 201]
	capture.add(tcp_frame(0x0A000001, 0xC0000219, 30000, 25, 100, 0, SYN))
	capture.add(tcp_frame(0xC0000219, 0x0A000001, 25, 30000, 200, 101, SYN | ACK))
	capture.add(tcp_frame(0xC0000219, 0x0A000001, 25, 30000, 201, 101, ACK, b"220 mx ESMTP\r\n"))
	s[1] += 14
	capture.add(tcp_frame(0x0A000001, 0xC0000219, 30000, 25, 101, s[1], ACK, b"EHLO x\r\n"))
	s[0] += 8
	for i in range(n):
		line = b"250-X%08d %s\r\n" % (i, b"y" * 40)
		capture.add(tcp_frame(0xC0000219, 0x0A000001, 25, 30000, s[1], s[0], ACK, line))
		s[1] += len(line)


def commands_without_replies(capture, n, rng):
	seq = 101
	capture.add(tcp_frame(0x0A000001, 0xC0000219, 30000, 25, 100, 0, SYN))
	capture.add(tcp_frame(0xC0000219, 0x0A000001, 25, 30000, 200, 101, SYN | ACK))
	for i in range(n):
		line = b"RCPT TO:<u%d@d%d.example>\r\n" % (i, i)
		capture.add(tcp_frame(0x0A000001, 0xC0000219, 30000, 25, seq, 201, ACK, line))
		seq += len(line)


def alerts(capture, n, rng):
	"""A password in the clear in every connection, each of another client network and server."""
	dialogue = ((1, b"220 mx ESMTP\r\n"), (0, b"EHLO x\r\n"), (1, b"250-mx\r\n250 STARTTLS\r\n"), (0, b"AUTH PLAIN AHUAcA==\r\n"),
		(1, b"235 ok\r\n"))
	for i in range(n // 8):
		client, server, port = 0x0A000000 + (i << 8 & 0xFFFFFF), 0xC0000000 + i, 2000 + i % 60000
		s = [101, 201]
		capture.add(tcp_frame(client, server, port, 25, 100, 0, SYN))
		capture.add(tcp_frame(server, client, 25, port, 200, 101, SYN | ACK))
		for side, text in dialogue:
			ends = (client, server, port, 25) if side == 0 else (server, client, 25, port)
			capture.add(tcp_frame(*ends, s[side], s[1 - side], ACK, text))
			s[side] += len(text)
		capture.add(tcp_frame(client, server, port, 25, s[0], s[1], 4 | ACK))


# Packets at scale 1.
FLOODS = {
	half_open: 200_000,
	data_without_handshake: 60_000,
	same_bucket: 100_000,
	fragments: 60_000,
	out_of_order_bytes: 100_000,
	endless_lines: 30_000,
	capabilities_without_end: 50_000,
	commands_without_replies: 50_000,
	alerts: 80_000,
}
# Where a cap is reached at that scale.
CAPPED = {fragments, out_of_order_bytes}
MEMORY = (1 << 30) + (256 << 20) + (64 << 20)  # a worker's cap, the judge's, the program itself


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("program")
	parser.add_argument("--scale", type=float, default=1)
	parser.add_argument("--keep", help="where the captures are left (default: nowhere)")
	parser.add_argument("--only", help="one flood")
	options = parser.parse_args()
	failed = 0
	print(f"{'flood':<26}{'packets':>10}{'bytes':>12}{'peak MiB':>10}{'CPU s':>8}")
	for flood, size in FLOODS.items():
		if options.only not in (None, flood.__name__):
			continue
		with tempfile.TemporaryDirectory() as scratch:
			path = os.path.join(options.keep or scratch, flood.__name__ + ".pcap")
			records = os.path.join(scratch, "s.jsonl")
			found = os.path.join(scratch, "a.jsonl")
			log = os.path.join(scratch, "log")
			n = int(size * options.scale)
			capture = Capture(path, n)
			flood(capture, n, random.Random(7))
			capture.close()
			with open(log, "wb") as errors:
				child = subprocess.Popen([options.program, "replay", "--sessions", records, "--alerts", found, path],
					stdout=subprocess.DEVNULL, stderr=errors)
				_, status, used = os.wait4(child.pid, 0)
			wrong = []
			if status != 0:
				wrong.append(f"status {os.waitstatus_to_exitcode(status)}")
			with open(records, encoding="utf-8") as file:
				real = [json.loads(line) for line in file if is_real(line)]
			if len(real) != 1 or real[0]["stripwatch"]["outcome"] != "not-used" or real[0]["smtp"]["plaintext"]["accepted"] != 1:
				wrong.append("the real session: " + json.dumps([r["stripwatch"]["outcome"] for r in real]))
			with open(found, encoding="utf-8") as file:
				if not any('"plaintext-credentials"' in line and is_real(line) for line in file):
					wrong.append("the real session's alert is not there")
			with open(log, encoding="utf-8") as file:
				said = "cap was reached" in file.read()
			if flood in CAPPED and not said:
				wrong.append("a cap was reached and nothing says so")
			if used.ru_maxrss * 1024 > MEMORY:
				wrong.append("more memory than the cap")
			print(f"{flood.__name__:<26}{capture.count:>10}{os.path.getsize(path):>12}{used.ru_maxrss / 1024:>10.0f}"
				f"{used.ru_utime + used.ru_stime:>8.1f}{'  caps reached' if said else ''}")
			for line in wrong:
				print("  " + line)
			failed += len(wrong)
	print(f"floods: {failed} failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
