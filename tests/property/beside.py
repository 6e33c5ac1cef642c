#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two connections of the same addresses and ports at once are two sessions.

	beside.py STRIPWATCH

A proxy on the path that uses the client's address and port shows a span port both of its
connections. The bundled captures NAME.pcap (the client's side) and NAME.server.pcap (the server's)
are such a pair: replayed together, as one input, each has to have the record that it has alone,
but for what is told of packets: the handshake of the later one is at first the other's. Where no
proxy stood between them both show one connection, which is one session.
"""
import glob
import json
import os
import subprocess
import sys

PCAPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "pcaps")


def records(program, *paths):
	ran = subprocess.run([program, "replay", "--quiet", "--sessions", "-", *paths], capture_output=True, text=True)
	if ran.returncode != 0 or ran.stderr:
		sys.exit(f"{paths}: status {ran.returncode}\n{ran.stderr}")
	return [json.loads(line) for line in ran.stdout.splitlines()]


def initial(path):
	"""The sequence number of the first SYN: Ethernet, IPv4 or IPv6."""
	with open(path, "rb") as capture:
		data = capture.read()
	at = 24
	while at < len(data):
		length = int.from_bytes(data[at + 8:at + 12], "little")
		frame, at = data[at + 16:at + 16 + length], at + 16 + length
		tcp = frame[14 + 40:] if frame[12:14] == b"\x86\xdd" else frame[14 + frame[14] % 16 * 4:]
		if tcp[13] & 2:
			return tcp[4:8]
	raise ValueError(f"{path}: no SYN")


def said(record):
	"""All that was said in the session and raised by it, without when and in how many packets."""
	kept = {name: record.get(name) for name in ("smtp", "tls", "client", "server")}
	kept["stripwatch"] = record["stripwatch"]
	return json.dumps(kept, sort_keys=True)


def main():
	program, failures, pairs = sys.argv[1], [], 0
	for server in sorted(glob.glob(os.path.join(PCAPS, "*.server.pcap"))):
		client = server.replace(".server.pcap", ".pcap")
		if not os.path.exists(client) or initial(client) == initial(server):
			continue
		pairs += 1
		alone = records(program, client) + records(program, server)
		together = records(program, client, server)
		missing = sorted(said(r) for r in alone)
		for record in together:
			if said(record) in missing:
				missing.remove(said(record))
			else:
				failures.append(f"{client}: neither side alone has {said(record)}")
		failures += [f"{client}: no longer has {record}" for record in missing]
	for failure in failures:
		print(failure)
	print(f"beside: {pairs} pairs, {len(failures)} failures")
	sys.exit(1 if failures or pairs == 0 else 0)


if __name__ == "__main__":
	main()
