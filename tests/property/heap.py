#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The heap is of huge pages, of which no more is there than is used, also where it grows.

	heap.py STRIPWATCH

Looks at the program (a build without sanitizers) while it waits for more of its input: after a
few sessions, and when it knows of many.
"""
import fcntl
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from floods import BASE, tcp_frame  # noqa: E402
from traffic import ACK, PSH  # noqa: E402

PCAPS = os.path.join(HERE, "..", "..", "pcaps")
STEP_KB = 64 * 1024  # LIMIT_HEAP_STEP
SMALL_KB = 1024      # with which it begins
USED_KB = 16 * 1024  # of few sessions; nDPI's tables take nine
SESSIONS = 100_000


def mappings(pid):
	"""(name, {field: KB}, flags) of each."""
	name, fields = None, {}
	with open(f"/proc/{pid}/smaps") as smaps:
		for line in smaps:
			words = line.split()
			if re.match(r"^[0-9a-f]+-[0-9a-f]+$", words[0]):
				name, fields = words[5] if len(words) > 5 else "", {}
			elif words[0] == "VmFlags:":
				yield name, fields, words[1:]
			elif words[-1] == "kB":
				fields[words[0].rstrip(":")] = int(words[1])


def wait_until_idle(process, pipe):
	"""All that was written was read, and it waits for more."""
	deadline = time.monotonic() + 60
	while time.monotonic() < deadline:
		waiting = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
		with open(f"/proc/{process.pid}/stat") as stat:
			state = stat.read().rsplit(")", 1)[1].split()[0]
		if waiting == 0 and state == "S":
			return
		if process.poll() is not None:
			sys.exit(f"it ended with {process.returncode}")
		time.sleep(0.01)
	sys.exit("it never waited for its input")


def heap(pid):
	"""The parts of the heap, from its beginning: (fields, whether of huge pages)."""
	return [(fields, "hg" in flags) for name, fields, flags in mappings(pid) if name == "[heap]"]


def bundled():
	"""Records of captures with TLS, so that all of nDPI is there; the first with its file header."""
	begun = False
	for name in sorted(os.listdir(PCAPS)):
		if not name.endswith(".pcap"):
			continue
		with open(os.path.join(PCAPS, name), "rb") as capture:
			data = capture.read()
		# One file on a pipe: of one kind, and the header of the first alone.
		if data[:4] != b"\xd4\xc3\xb2\xa1" or data[20:24] != b"\1\0\0\0":
			continue
		yield data[24:] if begun else data
		begun = True


def beginnings(count):
	"""Records of so many sessions that say one line."""
	for i in range(count):
		frame = tcp_frame(0x0A000000 + i, 0xC0000219, 40000, 25, i, 1, ACK | PSH, b"EHLO x\r\n")
		yield struct.pack("<IIII", BASE, 0, len(frame), len(frame)) + frame


def look(process):
	"""At what it has when all is read."""
	process.stdin.flush()
	wait_until_idle(process, process.stdin.fileno())
	return heap(process.pid)


def check_few(parts):
	size = sum(fields["Size"] for fields, huge in parts if huge)
	there = sum(fields["Rss"] for fields, huge in parts if huge)
	if size < STEP_KB:
		sys.exit(f"of huge pages are {size} KB, expected {STEP_KB}: {parts}")
	if not 0 < there <= USED_KB:
		sys.exit(f"{there} KB of them are there, expected some, at most {USED_KB}: {parts}")
	return size


def check_many(parts, before):
	size = sum(fields["Size"] for fields, huge in parts if huge)
	small = sum(fields["Size"] for fields, huge in parts if not huge)
	if size < before + STEP_KB:
		sys.exit(f"of huge pages are {size} KB, before {before}, no step more: {parts}")
	if small > SMALL_KB:
		sys.exit(f"{small} KB are not of huge pages: {parts}")
	return size


def main():
	if not os.path.exists("/sys/kernel/mm/transparent_hugepage/enabled"):
		print("this kernel has no huge pages to ask for")
		sys.exit(77)
	with tempfile.TemporaryDirectory() as folder:
		process = subprocess.Popen(
			[sys.argv[1], "replay", "--quiet", "--sessions", f"{folder}/sessions",
			 "--alerts", f"{folder}/alerts", "-"], stdin=subprocess.PIPE)
		try:
			for records in bundled():
				process.stdin.write(records)
			few = check_few(look(process))
			process.stdin.write(b"".join(beginnings(SESSIONS)))
			many = check_many(look(process), few)
		finally:
			process.stdin.close()
			status = process.wait()
		if status not in (0, 3):
			sys.exit(f"it ended with {status}")
	print(f"{few} KB, with {SESSIONS} sessions {many} KB")


if __name__ == "__main__":
	main()
