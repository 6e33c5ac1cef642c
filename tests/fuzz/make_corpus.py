#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of tests/fuzz/corpus: make_corpus.py STRIPWATCH."""
import glob
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "property"))
import traffic  # noqa: E402


def seed(target, name, data):
	folder = os.path.join(HERE, "corpus", target)
	os.makedirs(folder, exist_ok=True)
	with open(os.path.join(folder, name), "wb") as out:
		out.write(data)


def cut(data, longest):
	return [data[i:i + longest] for i in range(0, len(data), longest)]


def from_dialogues(scratch):
	rng = random.Random(7)
	path = os.path.join(scratch, "seed.pcap")
	for i in range(12):
		segments, truth = traffic.dialogue(rng)
		traffic.write_pcap(path, [(10001 + i, segments)])
		with open(path, "rb") as capture:
			data = capture.read()
		if len(data) < 8000:
			seed("pipeline", f"{truth['outcome']}-{i}.pcap", data)
		session, tls = b"\x00", b""
		for s in segments:
			for piece in cut(s.payload, 255):
				session += bytes([s.side, len(piece)]) + piece
			if s.payload[:1] in (b"\x14", b"\x16", b"\x17"):
				tls += struct.pack(">BH", s.side, len(s.payload)) + s.payload
		if len(session) < 4000:
			seed("smtp_session", f"{truth['outcome']}-{i}", session)
		if tls and len(tls) < 6000:
			seed("tls_handshake", f"{truth['outcome']}-{i}", tls)
	steps = b"\0\0\0"
	for i in range(12):  # how, flags, sequence, acknowledgement, length
		steps += bytes([i & 1 | 2 | 4, 0x10, 0, 0, 20 + i])
	seed("stream", "in-order", steps)
	seed("stream", "hole", b"\0\0\0" + bytes([6, 0x12, 0, 0, 10, 6, 0x10, 20, 0, 10, 7, 0x10, 0, 30, 10, 6, 0x10, 236, 0, 10]))
	seed("stream", "conflict", b"\0\0\0" + bytes([6, 0x10, 0, 0, 50, 38, 0x10, 206, 0, 50, 6, 0x11, 0, 0, 0]))


def dns_name(name):
	return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def dns_answer(name, kind, data, flags=0x81A0, owner=b"\xc0\x0c"):
	return (struct.pack(">HHHHHH", 7, flags, 1, 1, 0, 0) + dns_name(name) + struct.pack(">HH", kind, 1) + owner +
		struct.pack(">HHIH", kind, 1, 300, len(data)) + data)


def from_dns():
	seed("dns", "a", dns_answer("mx.example.org", 1, bytes([192, 0, 2, 25])))
	seed("dns", "aaaa", dns_answer("mx.example.org", 28, bytes(15) + b"\1"))
	seed("dns", "mx", dns_answer("example.org", 15, b"\0\x0a\2mx\xc0\x0c"))
	seed("dns", "cname", dns_answer("mx.example.org", 5, dns_name("host.example")))
	seed("dns", "sts", dns_answer("_mta-sts.example.org", 16, b"\x11v=STSv1; id=2026;"))
	seed("dns", "tlsa", dns_answer("_25._tcp.mx.example.org", 52, b"\3\1\1" + bytes(32)))
	seed("dns", "rrsig", dns_answer("example.org", 46, b"\0\x0f" + bytes(30)))
	seed("dns", "pointer-to-itself", dns_answer("example.org", 15, b"\0\x0a\2mx\xc0\x25"))
	seed("dns", "query", struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + dns_name("example.org") + b"\0\x0f\0\1")


def from_bundled():
	"""The first frames of each encapsulation."""
	for path in sorted(glob.glob(os.path.join(ROOT, "pcaps", "encapsulated", "*.pcap"))):
		with open(path, "rb") as capture:
			data = capture.read()
		if data[:4] not in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"):
			continue
		order = "<" if data[0] in (0xD4, 0x4D) else ">"
		link = struct.unpack(order + "I", data[20:24])[0] & 0xFFFF
		at, out = 24, b""
		for _ in range(4):
			if at + 16 > len(data):
				break
			length = struct.unpack(order + "I", data[at + 8:at + 12])[0]
			frame = data[at + 16:at + 16 + length][:700]
			out += struct.pack(">HBH", link, 0, len(frame)) + frame
			at += 16 + length
		name = os.path.basename(path)[:-5]
		seed("packet_decode", name, out)
		seed("capture_format", name + ".pcap", data[:600])
	for path in sorted(glob.glob(os.path.join(ROOT, "pcaps", "encapsulated", "*.pcapng"))):
		with open(path, "rb") as capture:
			seed("capture_format", os.path.basename(path), capture.read()[:1200])


def certificates(scratch):
	key, out = os.path.join(scratch, "key"), os.path.join(scratch, "der")
	for name, how in (("ec", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]), ("ed25519", ["-newkey", "ed25519"]),
			("rsa", ["-newkey", "rsa:1024"])):
		subprocess.run(["openssl", "req", "-x509", *how, "-nodes", "-keyout", key, "-out", out, "-outform", "DER", "-subj",
			"/CN=mx.example/O=Example", "-addext", "subjectAltName=DNS:mx.example,DNS:*.example,IP:192.0.2.1"], check=True, capture_output=True)
		with open(out, "rb") as der:
			seed("certificate", name + ".der", der.read())


def outbox(program, scratch):
	"""What a sensor leaves on disk whose Redis is away."""
	folder = os.path.join(scratch, "outbox")
	capture = os.path.join(scratch, "seed.pcap")
	subprocess.run([program, "replay", "--quiet", "--redis", "redis://127.0.0.1:1", "--outbox", folder, capture], capture_output=True)
	for n, path in enumerate(sorted(glob.glob(os.path.join(folder, "**", "*"), recursive=True))):
		if os.path.isfile(path) and 0 < os.path.getsize(path) < 20000:
			with open(path, "rb") as data:
				seed("outbox_record", f"segment-{n}", data.read())


def main():
	with tempfile.TemporaryDirectory() as scratch:
		from_dialogues(scratch)
		from_bundled()
		from_dns()
		certificates(scratch)
		outbox(sys.argv[1], scratch)
	seed("outbox_record", "empty", b"\0")
	with open(os.path.join(ROOT, "deploy", "stripwatch.yaml"), "rb") as config:
		seed("config", "sample.yaml", config.read())
	seed("config", "small.yaml", b"ports: [25, 587]\nredis:\n  url: redis://localhost\n")
	for name, text in (("readonly", b"READONLY You can't write against a read only replica."), ("moved", b"MOVED 1 127.0.0.1:7001"),
			("url", b"rediss://user:p%40ss@[::1]:6380/3"), ("sentinel", b"redis-sentinel://a,b:26380/mymaster"), ("unix", b"unix:///run/redis.sock"),
			("json", b'{"rule":{"id":"plaintext-mail"},"event":{"severity":21,"x":[1,-2.5e3,true,null,"\\u00e9"]}}')):
		seed("text", name, text)


if __name__ == "__main__":
	main()
