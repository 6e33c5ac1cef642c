#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bundled captures with parts missing: what was missed may not turn a claim into a false one.

    losses.py STRIPWATCH [--every] [NAME...]

Each capture is judged whole, and again cut to a snapshot length, from one side alone, from its
n-th packet on, without its n-th packet, and without two, three or five in a row, here and there
(--every: everywhere). A record of such a remainder may say less than the whole one (null, unknown,
smaller counts, fewer alerts), and nothing else. NAME: these captures alone, without ending.
"""
import collections
import fnmatch
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

PCAPS = pathlib.Path(__file__).resolve().parents[2] / "pcaps"
SNAPLENS = (54, 60, 68, 80, 96, 128)
MAIL_PORTS = (24, 25, 465, 587)
BURSTS = (2, 3, 5)
MOST_PACKETS = 40  # of a capture; the longer ones say nothing new

# capture, remainder, what it says: why it may
ALLOWED = (
	("forge-*", "*", "*", "two wrote the same bytes: without the forged packet the server's own is seen"),
	("inject-*", "*", "*", "as above, for the packet in which the attacker added something"),
	("opensmtpd-failing-*", "side-server", "*", "from the server's side alone a client's rejection under TLS 1.3 is not seen"),
	("reject-curl", "side-server", "*", "as above"),
	("reject-tls13", "side-server", "*", "as above"),
	("reset-clienthello-exim", "without-*-to-*", "*", "two connections: the first one's end is in the burst, and nothing shows it"),
	("refuse-354-swaks", "*", "*", "354 says that a message comes, to whoever missed that it answers STARTTLS"),
)

# field of the record: it may be absent in a remainder, but not another
SAME = {
	"offered": "smtp.starttls.offered", "masked": "smtp.starttls.masked", "requested": "smtp.starttls.requested",
	"reply": "smtp.starttls.reply_code", "auth": "smtp.plaintext.auth", "client": "smtp.client_name", "established": "tls.established",
	"version": "tls.version", "cipher": "tls.cipher", "ja3": "tls.client.ja3", "ja3s": "tls.server.ja3s",
}
COUNTS = {"mails": "smtp.plaintext.mails", "accepted": "smtp.plaintext.accepted", "recipients": "smtp.plaintext.recipients"}


def field(record, path):
	for key in path.split("."):
		record = record.get(key) if isinstance(record, dict) else None
	return record


def read(path):
	"""(header, packets) of a little-endian microsecond capture of Ethernet, else None."""
	data = path.read_bytes()
	if data[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack("<I", data[20:24]) != (1,):
		return None
	packets, at = [], 24
	while at + 16 <= len(data):
		seconds, micros, captured, length = struct.unpack("<IIII", data[at:at + 16])
		packets.append((seconds, micros, length, data[at + 16:at + 16 + captured]))
		at += 16 + captured
	return data[:24], packets


def write(path, header, packets):
	with open(path, "wb") as out:
		out.write(header)
		for seconds, micros, length, frame in packets:
			out.write(struct.pack("<IIII", seconds, micros, len(frame), length) + frame)


def is_client(frame):
	at = 14 + 4 * (frame[14] & 15) if frame[12:14] == b"\x08\x00" else 54
	return struct.unpack(">H", frame[at + 2:at + 4])[0] in MAIL_PORTS


def remainders(packets, every):
	for length in SNAPLENS:
		yield f"snap-{length}", [(*rest, frame[:length]) for *rest, frame in packets]
	for name, client in (("side-client", True), ("side-server", False)):
		yield name, [packet for packet in packets if is_client(packet[3]) == client]
	for i in range(len(packets)):
		if i > 0:
			yield f"from-{i}", packets[i:]
		yield f"without-{i}", packets[:i] + packets[i + 1:]
		# A burst; one that takes all to the end leaves nothing by which it could be known.
		for n in BURSTS if every else BURSTS[i // 2 % len(BURSTS):][:1] if i % 2 else ():
			if i + n < len(packets):
				yield f"without-{i}-to-{i + n - 1}", packets[:i] + packets[i + n:]


def ends(record):
	return frozenset((record[end]["ip"], record[end]["port"]) for end in ("source", "destination"))


def claims(whole, part):
	"""What the remainder says that the whole refutes."""
	if part["source"] | {"bytes": 0, "packets": 0} != whole["source"] | {"bytes": 0, "packets": 0}:
		yield "another client"
	outcomes = [field(record, "stripwatch.outcome") for record in (whole, part)]
	if outcomes[1] not in (outcomes[0], "unknown"):
		yield f"outcome {outcomes[1]}, not {outcomes[0]}"
	for name, path in SAME.items():
		was, now = field(whole, path), field(part, path)
		if now is not None and now != was:
			yield f"{name} {now}, not {was}"
	for name, path in COUNTS.items():
		was, now = field(whole, path), field(part, path)
		if now is not None and was is not None and (now > was or now == 0 < was):
			yield f"{name} {now}, not {was}"
	for rule in set(field(part, "stripwatch.alerts")) - set(field(whole, "stripwatch.alerts")):
		yield f"alert {rule}"


def main():
	words = [word for word in sys.argv[1:] if word != "--every"]
	program, names, every = words[0], words[1:], "--every" in sys.argv
	made = 0
	with tempfile.TemporaryDirectory() as directory:
		directory = pathlib.Path(directory)
		for path in sorted(PCAPS.glob("*.pcap")):
			capture = read(path)
			if capture is None or len(capture[1]) > MOST_PACKETS or names and path.stem not in names:
				continue
			if path.stem.endswith(".server") and not names:  # the other end of the same session
				continue
			write(directory / f"{path.stem}@whole.pcap", *capture)
			for name, packets in remainders(capture[1], every):
				if packets:
					write(directory / f"{path.stem}@{name}.pcap", capture[0], packets)
					made += 1
		output = directory / "sessions"
		done = subprocess.run([program, "replay", "--quiet", "--separate", "--sensor", "losses", "--sessions", output, directory],
			capture_output=True, timeout=500)
		if done.returncode not in (0, 1):
			sys.exit(done.stderr.decode())
		records = collections.defaultdict(list)
		for line in open(output):
			record = json.loads(line)
			records[pathlib.Path(record["observer"]["file"]["path"]).stem].append(record)
	failures, allowed, judged = 0, 0, 0
	for name, parts in sorted(records.items()):
		capture, _, remainder = name.partition("@")
		wholes = {ends(record): record for record in records[f"{capture}@whole"]}
		for part in parts if remainder != "whole" else ():
			judged += 1
			for claim in claims(wholes[ends(part)], part) if ends(part) in wholes else ("a session of its own",):
				if any(fnmatch.fnmatchcase(capture, c) and fnmatch.fnmatchcase(remainder, r) and fnmatch.fnmatchcase(claim, s)
						for c, r, s, _ in ALLOWED):
					allowed += 1
				else:
					failures += 1
					print(f"{capture}, {remainder}: {claim}")
	print(f"losses: {made} remainders, {judged} records, {allowed} allowed differences, {failures} failures")
	return 1 if failures or not judged else 0


if __name__ == "__main__":
	sys.exit(main())
