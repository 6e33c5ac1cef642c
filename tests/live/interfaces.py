#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`stripwatch watch` on two interfaces: taps where each shows both directions, else one session.

	tests/live/interfaces.py path/to/stripwatch

Exit status: 0 passed, 1 failed, 77 could not run here, with the reason.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from held_bytes import Talk, wait_for		# noqa: E402


def sessions(path):
	try:
		with open(path, encoding="utf-8") as file:
			return [json.loads(line) for line in file if line.endswith("\n")]
	except FileNotFoundError:
		return []


def from_server(frame):
	return frame[34:36] == b"\0\x19"		# source port 25, behind Ethernet and IPv4


def run(program, scratch):
	for number in range(2):
		subprocess.run(f"ip link add in{number} type veth peer name out{number} && ip link set in{number} up && "
			f"ip link set out{number} up", shell=True, check=True)
	path, log = f"{scratch}/sessions", f"{scratch}/log"
	with open(log, "wb") as out:
		sensor = subprocess.Popen([program, "watch", "-i", "in0", "-i", "in1", "--sessions", path, "--alerts",
			f"{scratch}/alerts", "--quiet"], stdout=out, stderr=out)
	wires = []
	for number in range(2):
		wires.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
		wires[-1].bind((f"out{number}", 0))
	try:
		port = 30000

		def is_listening():
			nonlocal port
			port += 1
			for frame in Talk(port).whole():
				wires[0].send(frame)
				wires[1].send(frame)
			return wait_for(lambda: os.path.exists(f"{scratch}/alerts") and os.path.getsize(f"{scratch}/alerts"), 0.5)

		if not wait_for(is_listening, 15):
			return "watch did not start: " + open(log, encoding="utf-8", errors="replace").read()
		for frame in Talk(40001).whole():		# both interfaces show both directions
			wires[0].send(frame)
			time.sleep(0.01)
			wires[1].send(frame)
			time.sleep(0.01)
		for frame in Talk(40002).whole():		# each shows one
			wires[from_server(frame)].send(frame)
			time.sleep(0.01)
		for frame in Talk(40003).whole():		# one of them only
			wires[1].send(frame)
		time.sleep(0.5)
	finally:
		sensor.send_signal(signal.SIGTERM)
		status = sensor.wait(timeout=20)
	if status != 0:
		return f"exit status {status}"
	seen = {}
	for session in sessions(path):
		name = session["observer"].get("ingress", {}).get("interface", {}).get("name")
		seen.setdefault(session["source"]["port"], []).append((name, session["smtp"]["plaintext"]["mails"]))
	for of, wanted in ((40001, [("in0", 1), ("in1", 1)]), (40002, [(None, 1)]), (40003, [("in1", 1)])):
		if sorted(seen.get(of, []), key=str) != wanted:
			return f"port {of}: {seen.get(of)}, not {wanted}"
	return None


def main():
	program = os.path.realpath(sys.argv[1])
	if os.geteuid() != 0:
		print("needs root, for a namespace")
		return 77
	if "--inside" not in sys.argv:
		if not shutil.which("ip") or subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL,
				check=False).returncode:
			print("the kernel grants no network namespace here")
			return 77
		os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), program, "--inside"])
	with tempfile.TemporaryDirectory(prefix="stripwatch-interfaces-") as scratch:
		problem = run(program, scratch)
	print("ok" if problem is None else f"FAILED: {problem}")
	return 0 if problem is None else 1


if __name__ == "__main__":
	sys.exit(main())
