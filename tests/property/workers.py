#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The number of workers changes no byte of what replay says.

	workers.py STRIPWATCH [--workers "N N ..."] [--seed S] [--conversations N] [--keep DIR]

Replays with 1 worker and with several, and compares everything that comes out: records, alerts,
summary, report, evidence, baseline, what is logged, the exit status. Inputs: all bundled
captures, as one timeline and each by itself; generated traffic with loss, reordering, copies,
fragments, tunnels, times that go backwards, idle and half-open connections, every kind of end;
the same spread over files; DNS answers. Then a replay with several workers is stopped by
SIGINT and SIGTERM.

For data races: cmake --preset tsan && cmake --build --preset tsan --target stripwatch &&
tests/property/workers.py build/tsan/stripwatch --workers 4 --conversations 400
"""
import argparse
import fcntl
import gzip
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import traffic  # noqa: E402

PCAPS = os.path.join(HERE, "..", "..", "pcaps")
START = 1_700_000_000


# ---- frames around what traffic.packet() makes: Ethernet, IPv4 or IPv6, TCP ----

def in_vxlan(frame, number):
	"""RFC 7348, from one of a few tunnel ends."""
	inner = struct.pack(">II", 0x08000000, 4242 << 8) + frame
	udp = struct.pack(">HHHH", 50000 + number % 1000, 4789, 8 + len(inner), 0) + inner
	ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0)
	ip += bytes([10, 9, 0, number % 5]) + bytes([10, 9, 1, 1])
	ip = ip[:10] + struct.pack(">H", traffic.checksum(ip)) + ip[12:]
	return b"\2\0\0\0\0\3\2\0\0\0\0\4\x08\0" + ip + udp


def in_fragments(frame, number, rng):
	"""The frame's IPv4 packet in two or three fragments, in any order."""
	if frame[12:14] != b"\x08\0":
		return [frame]
	header, payload = frame[14:34], frame[34:]
	cuts = sorted({8 * rng.randint(1, max(1, len(payload) // 8)) for _ in range(2)} | {0})
	out = []
	for at, end in zip(cuts, cuts[1:] + [len(payload)]):
		if at >= end:
			continue
		flags = (0x2000 if end < len(payload) else 0) | at // 8
		ip = bytearray(header)
		ip[2:8] = struct.pack(">HHH", 20 + end - at, number & 0xFFFF, flags)
		ip[10:12] = b"\0\0"
		ip[10:12] = struct.pack(">H", traffic.checksum(bytes(ip)))
		out.append(frame[:14] + bytes(ip) + payload[at:end])
	rng.shuffle(out)
	return out


def with_vlan(frame):
	return frame[:12] + b"\x81\0\0\x2a" + frame[12:]


def masked(frame):
	return frame.replace(b"STARTTLS\r\n", b"XXXXXXXX\r\n")


def dns_answer(number):
	"""example.net's mail goes to mx.example, which has the server's address."""
	question = b"\7example\3net\0\0\x0f\0\1"
	mx = b"\xc0\x0c\0\x0f\0\1" + struct.pack(">IHH", 300, 14, 10) + b"\2mx\7example\0"
	message = struct.pack(">HHHHHH", number & 0xFFFF, 0x8180, 1, 1, 0, 0) + question + mx
	udp = struct.pack(">HHHH", 53, 40000 + number % 1000, 8 + len(message), 0) + message
	ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes([9, 9, 9, 9, 10, 0, 0, 1])
	ip = ip[:10] + struct.pack(">H", traffic.checksum(ip)) + ip[12:]
	return b"\2\0\0\0\0\5\2\0\0\0\0\6\x08\0" + ip + udp


# ---- what happens to a conversation ----

def half_open(rng):
	c = traffic.Conversation(handshake=False)
	c._send(traffic.CLIENT, traffic.SYN)
	if rng.random() < 0.5:
		c._send(traffic.SERVER, traffic.SYN | traffic.ACK)
	return c.segments


def lose(segments, rng):
	return [s for s in segments if rng.random() > 0.06]


def conversation(rng):
	"""(segments, seconds after the first, by segment)"""
	if rng.random() < 0.1:
		segments = half_open(rng)
	else:
		segments, _ = traffic.dialogue(rng)
	for change, chance in ((traffic.cut, 0.3), (traffic.retransmit, 0.2), (traffic.swap, 0.3), (traffic.duplicate, 0.1), (lose, 0.3)):
		if rng.random() < chance:
			segments = change(segments, rng)
	if not segments:
		return [], []
	pause_at = rng.randrange(len(segments)) if rng.random() < 0.3 else -1
	at, times = 0.0, []
	for n in range(len(segments)):
		at += rng.choice((301, 299.5, 900, 3599, 3601, 4500)) if n == pause_at else rng.random() * 0.4
		times.append(at)
	return segments, times


def generate(count, rng):
	"""Frames with their times, as a list in the order of the capture."""
	frames, number = [], 0
	for i in range(count):
		segments, times = conversation(rng)
		begins = rng.random() * count / 4
		port = 10000 + i % 40000
		shape = rng.random()
		for segment, at in zip(segments, times):
			frame = traffic.packet(segment, port, v6=port % 7 == 0)
			number += 1
			group = [frame]
			if shape < 0.1:
				group = in_fragments(frame, number, rng)
			elif shape < 0.2:
				group = [in_vxlan(frame, i)]
			elif shape < 0.25:
				group = [with_vlan(frame)]
			frames += [(START + begins + at, len(frames) + k, f) for k, f in enumerate(group)]
		if i % 20 == 0:
			frames.append((START + begins, len(frames), dns_answer(i)))
	frames.sort()
	# Some come late into the capture: their time is behind the clock.
	for _ in range(len(frames) // 200):
		a = rng.randrange(len(frames) - 40)
		frames.insert(a + rng.randint(1, 39), frames.pop(a))
	return [(at, frame) for at, _, frame in frames]


def among_many(frames):
	"""Among connections that were only opened, and time out: too many for a cache, twice."""
	begin, crowd = min(at for at, _ in frames), []
	for number in range(20000):
		c = traffic.Conversation(handshake=False)
		c._send(traffic.CLIENT, traffic.SYN)
		at = begin + number % 10000 * 1e-4 + (450 if number >= 10000 else 0)
		crowd.append((at, traffic.packet(c.segments[0], 50000 + number % 10000, v6=number >= 10000)))
	return merge_by_time(frames, crowd)


def falling_silent(count, rng):
	"""Most are cut short; then one packet, hours later, with which all of these are over at once."""
	frames = []
	for i in range(count):
		segments, _ = traffic.dialogue(rng)
		if i > 0:
			segments = segments[:rng.randint(len(segments) // 2, len(segments) - 1)]
		begins = START + i * 0.01 if i > 0 else START + 20000
		for n, segment in enumerate(segments):
			frames.append((begins + n * 0.01, len(frames), traffic.packet(segment, 10000 + i, v6=i % 7 == 0)))
	frames.sort()
	return [(at, frame) for at, _, frame in frames]


def merge_by_time(frames, others):
	"""The frames in their order, which need not be that of time, with the others between them."""
	merged, i = [], 0
	for frame in frames:
		while i < len(others) and others[i][0] <= frame[0]:
			merged.append(others[i])
			i += 1
		merged.append(frame)
	return merged + others[i:]


def write(path, frames):
	with (gzip.open if path.endswith(".gz") else open)(path, "wb") as out:
		out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
		for at, frame in frames:
			micros = round(at * 1e6)
			out.write(struct.pack("<IIII", micros // 10**6, micros % 10**6, len(frame), len(frame)) + frame)


# ---- runs ----

def outputs(directory):
	found = {}
	for base, _, names in os.walk(directory):
		for name in names:
			path = os.path.join(base, name)
			with open(path, "rb") as data:
				found[os.path.relpath(path, directory)] = data.read()
	return found


class Run:
	def __init__(self, program, workers, keep):
		self.program, self.workers, self.keep, self.failures = os.path.realpath(program), workers, keep, 0

	def replay(self, workers, options, inputs, cwd, known=None, evidence=True):
		"""Everything that one run puts out, by name. known: the baseline it begins with."""
		directory = os.path.join(self.keep, "run")
		shutil.rmtree(directory, ignore_errors=True)
		os.makedirs(os.path.join(directory, "evidence"))
		if known:
			with open(os.path.join(directory, "baseline"), "wb") as file:
				file.write(known)
		# The same paths for all: they stand in alerts and in the report.
		command = [self.program, "replay", "--sensor", "test", "--workers", str(workers),
			"--sessions", f"{directory}/sessions", "--alerts", f"{directory}/alerts",
			"--report", f"{directory}/report.html", "--baseline", f"{directory}/baseline", *options, *inputs]
		if evidence:
			command[2:2] = ["--evidence", f"{directory}/evidence"]
		done = subprocess.run(command, capture_output=True, cwd=cwd, timeout=500)
		found = outputs(directory)
		found["standard output"] = done.stdout
		found["log"] = re.sub(rb"(?m)^\S+Z ", b"", done.stderr)
		found["exit status"] = str(done.returncode).encode()
		return found

	def check(self, what, options, inputs, cwd=None, known=None, evidence=True):
		expected = self.replay(1, options, inputs, cwd, known, evidence)
		records = expected.get("sessions", b"").count(b"\n")
		alerts = expected.get("alerts", b"").count(b"\n")
		print(f"{what}: {records} records, {alerts} alerts, {len(expected) - 7} captures of evidence, "
			f"exit status {expected['exit status'].decode()}")
		if records == 0 or expected["exit status"] not in (b"0", b"1", b"3"):
			self.failures += 1
			print("  nothing to compare:", expected["log"].decode(errors="replace")[-1500:])
		for n in self.workers:
			got = self.replay(n, options, inputs, cwd, known, evidence)
			for name in sorted(set(expected) | set(got)):
				if expected.get(name) == got.get(name):
					continue
				self.failures += 1
				print(f"  {n} workers: {name} differs")
				if self.failures <= 5:
					self.show(expected.get(name, b""), got.get(name, b""))
		return expected

	def show(self, expected, got):
		a, b = expected.split(b"\n"), got.split(b"\n")
		print(f"  {len(a)} and {len(b)} lines, {len(set(a) ^ set(b))} of them in one only; the first that differ:")
		for x, y in zip(a, b):
			if x != y:
				print("   ", x[:1200].decode(errors="replace"))
				print("   ", y[:1200].decode(errors="replace"))
				return

	def check_stop(self, path, number):
		"""What was read is told, whole, and the exit status is 1."""
		with open(path, "rb") as data:
			half = data.read(os.path.getsize(path) // 2)
		sessions = os.path.join(self.keep, "stopped")
		run = subprocess.Popen([self.program, "replay", "--quiet", "--workers", str(max(self.workers)),
			"--sessions", sessions, "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
		run.stdin.write(half)
		run.stdin.flush()
		waiting = b"\1"
		while any(waiting):  # until it has taken all of it; then it waits for more
			waiting = fcntl.ioctl(run.stdin, termios.FIONREAD, b"\0" * 4)
			time.sleep(0.02)
		run.send_signal(number)
		log = run.stderr.read().decode(errors="replace")
		status = run.wait(timeout=300)
		run.stdin.close()
		with open(sessions) as lines:
			records = [json.loads(line) for line in lines]
		open_ones = sum(r["stripwatch"]["closed_by"] == "eof" for r in records)
		print(f"stopped by {signal.Signals(number).name}: exit status {status}, {len(records)} records, {open_ones} of them open")
		if status != 1 or "stopped by a signal" not in log or not records or open_ones == 0:
			self.failures += 1
			print(" ", log)


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("program")
	parser.add_argument("--workers", default="2 3 4 8")
	parser.add_argument("--seed", type=int, default=None)
	parser.add_argument("--conversations", type=int, default=1200)
	parser.add_argument("--keep", default=None, help="where the captures are left (default: nowhere)")
	options = parser.parse_args()
	seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
	rng = random.Random(seed)
	print(f"seed {seed}")
	with tempfile.TemporaryDirectory() as scratch:
		keep = os.path.abspath(options.keep or scratch)
		os.makedirs(keep, exist_ok=True)
		run = Run(options.program, [int(n) for n in options.workers.split()], keep)
		run.check("captures as one timeline", ["--fail-on", "critical"], ["."], PCAPS)
		run.check("captures each by itself", ["--separate"], ["."], PCAPS)

		frames = generate(options.conversations, rng)
		whole = os.path.join(keep, "generated.pcap")
		write(whole, frames)
		print(f"generated: {len(frames)} frames over {frames[-1][0] - frames[0][0]:.0f} s")
		known = run.check("generated", [], [whole])["baseline"]
		run.check("generated, what is known from before", ["--alert-format", "eve"], [whole], known=known)
		crowded = os.path.join(keep, "crowded.pcap")
		write(crowded, among_many(frames))
		run.check("generated, among 10,000 half-open ones", ["--dns"], [crowded])
		silent = os.path.join(keep, "silent.pcap")
		write(silent, falling_silent(options.conversations, rng))
		run.check("generated, all over at once", [], [silent])
		# Packets that are kept as evidence are shared by a worker's sessions, lines are not.
		many = os.path.join(keep, "many.pcap")
		write(many, falling_silent(max(6000, 4 * options.conversations), rng))
		told = run.check("generated, more lines than are kept", [], [many], evidence=False)["alerts"]
		if b'"dialogue_evicted":true' not in told:
			run.failures += 1
			print("  no line gave way")
		run.check("generated, DNS, all ports", ["--dns", "--all-ports", "--suppression-window", "0"], [whole])
		spread = [os.path.join(keep, name) for name in ("a.pcap", "b.pcap.gz", "c.pcap")]
		parts = [[], [], []]
		for frame in frames:
			parts[rng.randrange(3)].append(frame)
		for path, part in zip(spread, parts):
			write(path, part)
		run.check("generated, spread over files", ["--filter", "not port 53"], spread)
		run.check("generated, as taps", ["--tap", f"x={spread[0]}", "--tap", f"y={spread[1]}"], [spread[2]])
		# Two taps of the same, between which some offers are overwritten. Few enough that the
		# evidence of all fits into what each of the workers may keep: at a cap they may differ.
		few = generate(options.conversations // 4, rng)
		outside, inside = os.path.join(keep, "outside.pcap"), os.path.join(keep, "inside.pcap")
		write(outside, few)
		write(inside, [(at + 0.001, masked(frame) if rng.random() < 0.3 else frame) for at, frame in few])
		run.check("generated, an attacker between two taps",
			["--tap", f"x={outside}", "--tap", f"y={inside}", "--dns", "--disable", "starttls-masked",
				"--severity", "tap-divergence=low", "--alert-format", "ocsf"], [])
		with open(os.path.join(keep, "cut.pcap"), "wb") as cut, open(whole, "rb") as data:
			cut.write(data.read(os.path.getsize(whole) * 2 // 3))
		run.check("generated, cut off", [], [cut.name])
		for number in (signal.SIGINT, signal.SIGTERM):
			run.check_stop(whole, number)
	print(f"{run.failures} differences, seed {seed}")
	return 1 if run.failures else 0


if __name__ == "__main__":
	sys.exit(main())
