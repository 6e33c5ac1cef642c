#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What waits behind bytes that the capture lost is told when its hold (1 s) is over.

A client's MAIL acknowledges a reply that nobody captured; then the connection is silent.

1. `stripwatch watch`: the alert is written while no packet comes any more.
2. `stripwatch replay`: it is told before what other connections say a second later.

    tests/live/held_bytes.py path/to/stripwatch

Exit status: 0 passed, 1 failed, 77 could not run here, with the reason.
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ETHERNET = bytes.fromhex("020000000001" "020000000002" "0800")
CLIENT, SERVER = bytes((192, 0, 2, 1)), bytes((198, 51, 100, 25))


class Talk:
	"""One connection; frame() gives the next one, whether or not it is captured."""

	def __init__(self, port):
		self.port, self.next = port, {CLIENT: 1000, SERVER: 5000}

	def frame(self, sender, text, flags=0x18):
		receiver = SERVER if sender is CLIENT else CLIENT
		ports = (self.port, 25) if sender is CLIENT else (25, self.port)
		ack = self.next[receiver] if flags & 0x10 else 0
		tcp = struct.pack(">HHIIBBHHH", *ports, self.next[sender], ack, 0x50, flags, 65000, 0, 0) + text
		self.next[sender] += len(text) + (flags & 3 != 0)
		ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, sender, receiver)
		return ETHERNET + ip + tcp

	def opening(self):
		return [self.frame(CLIENT, b"", 2), self.frame(SERVER, b"", 0x12),
			self.frame(SERVER, b"220 mx.example.test ESMTP\r\n"), self.frame(CLIENT, b"EHLO a.example.test\r\n")]

	def with_hole(self):
		frames = self.opening()
		self.frame(SERVER, b"250 mx.example.test\r\n")	# lost
		return frames + [self.frame(CLIENT, b"MAIL FROM:<a@example.test>\r\n")]

	def whole(self):
		return self.opening() + [self.frame(SERVER, b"250 mx.example.test\r\n"),
			self.frame(CLIENT, b"MAIL FROM:<a@example.test>\r\n")]


def alerts(path):
	"""Who was told of: (rule, client port)."""
	try:
		with open(path, encoding="utf-8") as file:
			lines = [json.loads(line) for line in file if line.endswith("\n")]
	except FileNotFoundError:
		return []
	return [(line["rule"]["id"], line["source"]["port"]) for line in lines]


def wait_for(condition, seconds):
	end = time.monotonic() + seconds
	while time.monotonic() < end:
		if condition():
			return True
		time.sleep(0.05)
	return False


def watch(program, scratch):
	subprocess.run("ip link add w0 type veth peer name w1 && ip link set w0 up && ip link set w1 up",
		shell=True, check=True)
	path, log = f"{scratch}/watch.jsonl", f"{scratch}/watch.log"
	with open(log, "wb") as out:
		sensor = subprocess.Popen([program, "watch", "-i", "w0", "--alerts", path, "--quiet"], stdout=out, stderr=out)
	try:
		sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		sender.bind(("w1", 0))
		# Until it listens: whole dialogues, each on a port of its own.
		port = 30000

		def is_listening():
			nonlocal port
			port += 1
			for frame in Talk(port).whole():
				sender.send(frame)
			return wait_for(lambda: alerts(path), 0.5)

		if not wait_for(is_listening, 15):
			return "watch did not start: " + open(log, encoding="utf-8", errors="replace").read()
		for frame in Talk(40001).with_hole():
			sender.send(frame)
		if not wait_for(lambda: ("plaintext-mail", 40001) in alerts(path), 15):
			return f"nothing was told of the silent connection: {alerts(path)}"
		if sensor.poll() is not None:
			return "watch ended by itself"
	finally:
		sensor.send_signal(signal.SIGTERM)
		status = sensor.wait(timeout=20)
	return None if status == 0 else f"exit status {status}"


def replay(program, scratch):
	packets = [(10.0, frame) for frame in Talk(40001).with_hole()]
	packets += [(10.9, frame) for frame in Talk(40002).whole()]
	packets += [(11.1, frame) for frame in Talk(40003).whole()]
	with open(f"{scratch}/held.pcap", "wb") as file:
		file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
		for when, frame in packets:
			file.write(struct.pack("<IIII", int(when), int(when % 1 * 1000000), len(frame), len(frame)) + frame)
	path = f"{scratch}/replay.jsonl"
	subprocess.run([program, "replay", "--suppression-window", "0", "--alerts", path, "--quiet",
		f"{scratch}/held.pcap"], check=True)
	told = [port for rule, port in alerts(path) if rule == "plaintext-mail"]
	return None if told == [40002, 40001, 40003] else f"told in the order {told}"


def main():
	program = os.path.realpath(sys.argv[1])
	if os.geteuid() != 0:
		print("needs root, for a namespace")
		return 77
	if "--inside" not in sys.argv:
		if not shutil.which("ip") or subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode:
			print("the kernel grants no network namespace here")
			return 77
		os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), program, "--inside"])
	failed = 0
	with tempfile.TemporaryDirectory(prefix="stripwatch-held-") as scratch:
		for test in (watch, replay):
			problem = test(program, scratch)
			failed += problem is not None
			print(f"{'ok' if problem is None else 'FAILED'}\t{test.__name__}" + (f": {problem}" if problem else ""))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
