#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The heap begins with a stretch of huge pages, of which no more is there than is used.

	heap.py STRIPWATCH

Looks at the program (a build without sanitizers) while it waits for more of its input.
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
PCAPS = os.path.join(HERE, "..", "..", "pcaps")
STRETCH_KB = 20 * 1024  # of the 24 MB (LIMIT_HEAP): what lies between whole huge pages
USED_KB = 16 * 1024     # nDPI's tables take nine


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


def main():
	if not os.path.exists("/sys/kernel/mm/transparent_hugepage/enabled"):
		print("this kernel has no huge pages to ask for")
		sys.exit(77)
	# With TLS in it, so that all of nDPI is there; the other captures add sessions.
	captures = sorted(name for name in os.listdir(PCAPS) if name.endswith(".pcap"))
	with tempfile.TemporaryDirectory() as folder:
		process = subprocess.Popen(
			[sys.argv[1], "replay", "--quiet", "--sessions", f"{folder}/sessions",
			 "--alerts", f"{folder}/alerts", "-"], stdin=subprocess.PIPE)
		try:
			begun = False
			for name in captures:
				with open(os.path.join(PCAPS, name), "rb") as capture:
					data = capture.read()
				# One file on a pipe: of one kind, and the header of the first alone.
				if data[:4] != b"\xd4\xc3\xb2\xa1" or data[20:24] != b"\1\0\0\0":
					continue
				process.stdin.write(data[24:] if begun else data)
				begun = True
			process.stdin.flush()
			wait_until_idle(process, process.stdin.fileno())
			marked = [fields for name, fields, flags in mappings(process.pid) if "hg" in flags]
			stretch = max(marked, key=lambda fields: fields["Size"], default=None)
			if stretch is None or stretch["Size"] < STRETCH_KB:
				sys.exit(f"no stretch of huge pages of {STRETCH_KB} KB: {marked}")
			if not 0 < stretch["Rss"] <= USED_KB:
				sys.exit(f"of the stretch {stretch['Rss']} KB are there, expected some, "
				         f"at most {USED_KB}")
		finally:
			process.stdin.close()
			status = process.wait()
		if status not in (0, 3):
			sys.exit(f"it ended with {status}")
	print(f"{stretch['Size']} KB, of which {stretch['Rss']} are there")


if __name__ == "__main__":
	main()
