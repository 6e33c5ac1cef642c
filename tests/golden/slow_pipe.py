#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is piped in slowly is told as it comes.

	tests/golden/slow_pipe.py STRIPWATCH

A session in which a password is sent in the clear is piped in but for its last packet, and the
pipe stays open: its alert has to be in the file and on standard output all the same, with any
number of workers, behind a compressor, while so many connections are followed that packets are
dealt with by the batch, and while other packets of the same time keep coming. Then comes the rest:
the alerts have to be those of a replay of the file.
"""
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "property"))
import traffic  # noqa: E402

CAPTURE = os.path.join(HERE, "..", "..", "pcaps", "auth-clear-login.pcap")
ALERT = b"plaintext-credentials"
PATIENCE = 120  # seconds; it comes within a second, or never


def crowd(begin, count):
	"""Connections that were only opened, all at the time of the capture's first packet."""
	out = b""
	for number in range(count):
		c = traffic.Conversation(handshake=False)
		c._send(traffic.CLIENT, traffic.SYN)
		frame = traffic.packet(c.segments[0], 30000 + number % 30000)
		out += begin + struct.pack("<II", len(frame), len(frame)) + frame
	return out


def other(begin):
	"""A datagram to the discard port."""
	udp = struct.pack(">HHHH", 40000, 9, 8, 0)
	ip = struct.pack(">BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
	frame = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip[:10] + struct.pack(">H", traffic.checksum(ip)) + ip[12:] + udp
	return begin + struct.pack("<II", len(frame), len(frame)) + frame


def last_packet(data):
	at = 24
	while True:
		step = 16 + struct.unpack_from("<I", data, at + 8)[0]
		if at + step >= len(data):
			return at
		at += step


def holds(path):
	with open(path, "rb") as file:
		return ALERT in file.read()


def piped(program, directory, workers, parts, meanwhile):
	"""The alerts that replay writes; None: not before the rest came."""
	alerts, said = os.path.join(directory, "alerts"), os.path.join(directory, "said")
	for path in (alerts, said):
		open(path, "wb").close()
	with open(said, "wb") as out:
		run = subprocess.Popen([program, "replay", "--sensor", "test", "--workers", str(workers), "--alerts", alerts, "-"],
			stdin=subprocess.PIPE, stdout=out)
	run.stdin.write(parts[0])
	run.stdin.flush()
	until = time.monotonic() + PATIENCE
	while not (holds(alerts) and holds(said)) and time.monotonic() < until and run.poll() is None:
		run.stdin.write(meanwhile)
		run.stdin.flush()
		time.sleep(0.01)
	early = holds(alerts) and holds(said)
	run.stdin.write(parts[1])
	run.stdin.close()
	if run.wait(timeout=PATIENCE) != 0 or not early:
		return None
	with open(alerts, "rb") as file:
		return file.read()


def whole(program, directory, data):
	path, alerts = os.path.join(directory, "whole"), os.path.join(directory, "alerts")
	with open(path, "wb") as file:
		file.write(data)
	with open(path, "rb") as file:
		subprocess.run([program, "replay", "--sensor", "test", "--quiet", "--alerts", alerts, "--workers", "1", "-"],
			stdin=file, check=True)
	with open(alerts, "rb") as file:
		return file.read()


def main():
	program, failed = sys.argv[1], 0
	with open(CAPTURE, "rb") as file:
		plain = file.read()
	crowded = plain[:24] + crowd(plain[24:32], 20000) + plain[24:]
	with tempfile.TemporaryDirectory() as directory:
		for name, data, packed, meanwhile in (("alone", plain, False, b""), ("compressed", plain, True, b""),
				("in a crowd", crowded, False, b""), ("in a crowd, among others", crowded, False, other(plain[24:32]))):
			expected = whole(program, directory, data)
			at = last_packet(data)
			parts = [data[:at], data[at:]]
			if packed:
				packer = zlib.compressobj(wbits=31)
				parts = [packer.compress(parts[0]) + packer.flush(zlib.Z_SYNC_FLUSH), packer.compress(parts[1]) + packer.flush()]
			for workers in (1, 2, 4):
				found = piped(program, directory, workers, parts, meanwhile)
				if found == expected:
					continue
				failed += 1
				print(f"{name}, {workers} workers: " + ("nothing is told before the end" if found is None else "other alerts"))
	print(f"{failed} failures")
	return failed != 0


if __name__ == "__main__":
	sys.exit(main())
