#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real sessions recorded on both sides of the man in the middle, given as two taps.

Each NAME.pcap with a NAME.server.pcap: what the proxy changed is one tap-divergence, and
where it passed everything on, or was not there, there is none. The same again in IP fragments,
of which both taps show those of the same datagrams. taps.py [PROGRAM]
"""
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CAPTURES = os.path.join(HERE, "..", "..", "pcaps")
UNCHANGED = {"proxy-none", "straight-postfix-swaks"}


PIECE = 24  # bytes of a fragment, a multiple of eight


def fragments(frame, ident):
	"""The frame of an IPv4 datagram as those of its fragments."""
	if frame[12:14] != b"\x08\x00" or frame[14] != 0x45:
		return [frame]
	length, = struct.unpack(">H", frame[16:18])
	payload = frame[34:14 + length]
	out = []
	for at in range(0, len(payload), PIECE):
		piece = payload[at:at + PIECE]
		more = 0x2000 if at + PIECE < len(payload) else 0
		out.append(frame[:16] + struct.pack(">HHH", 20 + len(piece), ident, more | at // 8) + frame[22:34] + piece)
	return out


def write_fragmented(capture, copy):
	with open(capture, "rb") as file:
		data = file.read()
	order = "<" if data[0] in (0xd4, 0x4d) else ">"
	with open(copy, "wb") as out:
		out.write(data[:24])
		at, ident = 24, 0
		while at < len(data):
			seconds, part, kept, _ = struct.unpack(order + "IIII", data[at:at + 16])
			for piece in fragments(data[at + 16:at + 16 + kept], ident):
				out.write(struct.pack(order + "IIII", seconds, part, len(piece), len(piece)) + piece)
			at += 16 + kept
			ident += 1


def check(program, inside, outside, name):
	"""Whether the two taps are told as they should be."""
	run = subprocess.run([program, "replay", "--json", "--sensor", "test", "--tap", f"inside={inside}",
		"--tap", f"outside={outside}"], capture_output=True, timeout=60, check=False)
	alerts = [json.loads(line) for line in run.stdout.splitlines()]
	found = [a for a in alerts if a["rule"]["id"] == "tap-divergence"]
	if run.returncode == 0 and len(found) == (name not in UNCHANGED):
		return True
	print(f"{name} ({inside}): exit {run.returncode}, {[a['message'] for a in found]}")
	return False


def main():
	program = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("STRIPWATCH", os.path.join(HERE, "../../build/release/stripwatch"))
	wrong = count = 0
	for outside in sorted(glob.glob(os.path.join(CAPTURES, "*.server.pcap"))):
		inside = outside.replace(".server.pcap", ".pcap")
		name = os.path.basename(inside)[:-5]
		count += 1
		wrong += not check(program, inside, outside, name)
		with tempfile.TemporaryDirectory() as work:
			copies = [os.path.join(work, part) for part in ("inside.pcap", "outside.pcap")]
			for capture, copy in zip((inside, outside), copies):
				write_fragmented(capture, copy)
			wrong += not check(program, *copies, name)
	print(f"{count} pairs of taps, {wrong} wrong")
	return 1 if wrong or count < len(UNCHANGED) else 0


if __name__ == "__main__":
	sys.exit(main())
