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


def from_words():
	"""What is typed, configured, answered."""
	for name, text in (
			("plain", "redis://user:secretsecret@mx.example:6380/3"), ("v6", "redis://[2001:db8::1]:6379"),
			("tls", "rediss://:secretsecret@127.0.0.1"), ("socket", "unix:///run/redis.sock?db=2"),
			("sentinel", "redis-sentinel://u:secretsecret@a,b:26380,[::1]/mymaster/2"),
			("cluster", "redis-cluster://a:7000,b:7001"), ("escaped", "redis://us%40er:pa%3Ass%2Fword@host"),
			("allow", "rule=plaintext-mail client=10.0.0.0/8 server=2001:db8::/32 port=25 name=.example.org")):
		seed("operands", name, text.encode())
	for name, text in (
			("status", "+OK\r\n"), ("errors", "-MOVED 3999 127.0.0.1:6381\r\n-ASK 3999 [::1]:1\r\n-LOADING x\r\n-NOAUTH y\r\n"),
			("numbers", ":-9223372036854775808\r\n:1\r\n"), ("strings", "$5\r\nhello\r\n$-1\r\n$0\r\n\r\n"),
			("stream", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$2\r\nid\r\n$4\r\nabcd\r\n"),
			("nothing", "*-1\r\n*0\r\n"), ("large", "$99999999999\r\n"), ("nested", "*1\r\n" * 12)):
		seed("redis_reply", name, text.encode())
	with open(os.path.join(ROOT, "deploy", "policy.yaml"), "rb") as policy:
		seed("policy", "sample", policy.read())
	seed("policy", "mta-sts", b"Mversion: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n")
	# A dialogue, then packets of text and TLS.
	text = b"C: EHLO a.example\nS: 250 STARTTLS"
	packets = b""
	for how, payload in ((0, b"EHLO a.example\r\n"), (1, b"250 STARTTLS\r\n"), (0, b"AUTH PLAIN c2VjcmV0\r\n"),
			(2, b"\x16\x03\x01\x00\x02\x01\x00\x17\x03\x03\x00\x03abc"), (7, b"\x17\x03\x03\x40\x00abc")):
		packets += bytes([how]) + struct.pack(">H", len(payload)) + payload
	seed("evidence", "text-and-tls", bytes([len(text)]) + text + packets)


def from_programmes():
	"""Dialogues for fuzz_traffic.c by the numbers of its lines, whole and mangled."""
	ways = {
		"upgraded": [0, 1, 2, 5, 6, 31, 32], "refused": [0, 1, 2, 5, 7, 26, 27], "stripped": [0, 1, 3, 11, 12, 13, 12, 14, 15, 16, 12, 26, 27],
		"masked": [0, 1, 4, 24, 8], "helo": [0, 1, 8, 9, 10, 11, 12, 13, 12, 17, 12], "auth": [0, 1, 3, 18, 22, 19, 20, 21, 20, 21, 23],
		"injected": [0, 1, 2, 29, 30, 31], "pix": [33, 1, 10, 25, 12, 28]}
	for name, steps in ways.items():
		for kind, how in (("whole", 0), ("bytes", 1), ("repeated", 0x13), ("reversed", 0x25), ("lost", 0x47), ("forged", 0x84)):
			seed("traffic", f"{name}-{kind}", bytes([0x20, 3]) + b"".join(bytes([step, how]) for step in steps))


def from_baseline(program, scratch):
	path = os.path.join(scratch, "baseline")
	subprocess.run([program, "replay", "--quiet", "--baseline", path,
			os.path.join(ROOT, "pcaps", "sequences", "quiet.pcap")], check=True)
	with open(path, "rb") as file:
		seed("baseline", "learnt", file.read())
	os.unlink(path)
	subprocess.run(["sqlite3", path, "CREATE TABLE servers (a, b); INSERT INTO servers VALUES (1, 2);"], check=True)
	with open(path, "rb") as file:
		seed("baseline", "foreign", file.read())


def main():
	with tempfile.TemporaryDirectory() as scratch:
		from_dialogues(scratch)
		from_bundled()
		from_dns()
		from_words()
		from_programmes()
		from_baseline(sys.argv[1], scratch)
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
