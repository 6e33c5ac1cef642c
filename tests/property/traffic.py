# SPDX-License-Identifier: Apache-2.0
"""SMTP conversations with known truth, as TCP packets, and what networks do to them.

A Conversation is a list of Segment in the order in which they were sent. The
transforms below (cut, duplicate, retransmit, swap) give another list that says
the same; write_pcap() puts many of them into one capture, each on a client port
of its own, so that one run of the sensor judges thousands of cases.
"""
import hashlib
import ipaddress
import os
import re
import struct
from dataclasses import dataclass, replace

CLIENT, SERVER = 0, 1
STRANGERS = 40000  # client ports from here on belong to other hosts
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Segment:
	side: int
	seq: int
	ack: int
	flags: int
	payload: bytes = b""
	time: float = 0.0  # seconds after the conversation began

	def end(self):
		return self.seq + len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)


class Conversation:
	"""Builds the segments of one connection, line by line."""

	def __init__(self, handshake=True, isn=(1000, 5000)):
		self.segments = []
		self.next = list(isn)
		self.now = 0.0
		if handshake:
			self._send(CLIENT, SYN)
			self._send(SERVER, SYN | ACK)
			self._send(CLIENT, ACK)

	def _send(self, side, flags, payload=b"", gap=0.01):
		segment = Segment(side, self.next[side], self.next[1 - side] if flags & ACK else 0, flags,
			payload, self.now)
		self.segments.append(segment)
		self.next[side] = segment.end()
		self.now += gap

	def say(self, side, payload):
		if isinstance(payload, str):
			payload = payload.encode()
		self._send(side, PSH | ACK, payload)
		return self

	def client(self, *lines):
		return self.say(CLIENT, "".join(line + "\r\n" for line in lines))

	def server(self, *lines):
		return self.say(SERVER, "".join(line + "\r\n" for line in lines))

	def acks(self, side):
		self._send(side, ACK)
		return self

	def end(self, how="fin", first=CLIENT):
		if how == "fin":
			self._send(first, FIN | ACK)
			self._send(1 - first, FIN | ACK)
			self._send(first, ACK)
		elif how == "rst":
			self._send(first, RST | ACK)
		return self


# ---- dialogues ----

GREETING = "220 mx.example ESMTP"
CAPABILITIES = ("PIPELINING", "SIZE 1000", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "XSTARTTLS",
	"STARTTLSX", "AUTH PLAIN LOGIN", "DSN")


def reply(code, *texts):
	return [f"{code}{'-' if i + 1 < len(texts) else ' '}{text}" for i, text in enumerate(texts)]


def hello(name, size=40):
	"""A TLS record of the handshake type holding opaque bytes of that size."""
	body = bytes((i * 7 + 3) & 255 for i in range(size))
	return bytes([name, 3, 3]) + struct.pack(">H", size) + body


def client_hello(rng, tls13=False):
	suites = [0x1301, 0x1302, 0xC02F, 0xC030, 0x009C]
	extensions = b""

	def extension(number, body):
		return struct.pack(">HH", number, len(body)) + body
	name = b"mx.example"
	extensions += extension(0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name)
	if tls13:
		extensions += extension(43, b"\x04\x03\x04\x03\x03")
	extensions += extension(10, b"\x00\x04\x00\x1d\x00\x17") + extension(11, b"\x01\x00")
	body = (b"\x03\x03" + rng.randbytes(32) + b"\x00" + struct.pack(">H", 2 * len(suites)) +
		b"".join(struct.pack(">H", s) for s in suites) + b"\x01\x00" +
		struct.pack(">H", len(extensions)) + extensions)
	message = b"\x01" + struct.pack(">I", len(body))[1:] + body
	return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def server_hello(rng, tls13=False):
	extensions = b"\x00\x2b\x00\x02\x03\x04" if tls13 else b"\xff\x01\x00\x01\x00"
	suite = 0x1301 if tls13 else 0xC02F
	body = (b"\x03\x03" + rng.randbytes(32) + b"\x00" + struct.pack(">H", suite) + b"\x00" +
		struct.pack(">H", len(extensions)) + extensions)
	message = b"\x02" + struct.pack(">I", len(body))[1:] + body
	return b"\x16\x03\x03" + struct.pack(">H", len(message)) + message


def record(kind, size, rng):
	return bytes([kind, 3, 3]) + struct.pack(">H", size) + rng.randbytes(size)


CCS = b"\x14\x03\x03\x00\x01\x01"


def tls_session(c, rng, tls13):
	"""A handshake that comes up, and some protected records both ways."""
	c.say(CLIENT, client_hello(rng, tls13))
	if tls13:
		c.say(SERVER, server_hello(rng, True) + CCS + record(23, rng.randint(600, 3000), rng))
		c.say(CLIENT, CCS + record(23, 53, rng))
	else:
		done = b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00"
		c.say(SERVER, server_hello(rng) + done)
		exchange = b"\x16\x03\x03\x00\x25\x10\x00\x00\x21\x20" + rng.randbytes(32)
		c.say(CLIENT, exchange + CCS + record(22, 40, rng))
		c.say(SERVER, CCS + record(22, 40, rng))
	for _ in range(rng.randint(1, 4)):
		c.say(CLIENT, record(23, rng.randint(30, 900), rng))
		c.say(SERVER, record(23, rng.randint(30, 300), rng))


class Truth(dict):
	def __init__(self):
		super().__init__(offered=None, requested=False, code=None, established=False, mails=0, accepted=0,
			recipients=0, auth=None, masked=False, helo=False, ehlo_refused=False, answered=False)


def body_lines(rng):
	tempting = ["STARTTLS", "EHLO body.example", "MAIL FROM:<body@b.example>", "250-STARTTLS", "QUIT", "AUTH PLAIN AAAA",
		"..", ".. dot", "", "XXXXXXXX", "354 go", ". x", "DATA", "\x16\x03\x01"]
	return [rng.choice(tempting) if rng.random() < 0.7 else "w" * rng.randint(0, 300) for _ in range(rng.randint(0, 12))]


def transaction(c, rng, t, pipelining, chunking, server_ok=True):
	"""One mail, with or without pipelining, by DATA or BDAT."""
	recipients = [rng.random() < 0.8 for _ in range(rng.randint(1, 4))]
	mail_ok = server_ok and rng.random() < 0.9
	commands = ["MAIL FROM:<a@a.example>"] + [f"RCPT TO:<u{i}@d{i}.example>" for i in range(len(recipients))]
	answers = [["250 2.1.0 ok"] if mail_ok else reply(rng.choice((451, 530, 550)), "no")]
	for ok in recipients:
		answers.append((["250 2.1.5 ok"] if rng.random() < .5 else reply(250, "well", "ok")) if ok and mail_ok else ["550 no such user"])
	t["mails"] += 1
	good = mail_ok and any(recipients)
	if mail_ok:
		t["recipients"] += sum(recipients)
	if chunking and good:
		if pipelining:
			c.client(*commands)
			c.server(*[line for answer in answers for line in answer])
		else:
			for command, answer in zip(commands, answers):
				c.client(command)
				c.server(*answer)
		chunks = [("\r\n".join(body_lines(rng)) + "\r\n").encode() for _ in range(rng.randint(1, 3))]
		wire, accept = b"", rng.random() < 0.8
		back = []
		for i, chunk in enumerate(chunks):
			last = i + 1 == len(chunks)
			word = rng.choice((" LAST", " last")) if last else ""
			wire += f"BDAT {len(chunk)}{word}\r\n".encode() + chunk
			back.append("250 ok" if not last or accept else "554 spam")
		if rng.random() < 0.3:  # an empty last chunk
			wire = wire.replace(b" LAST\r\n", b"\r\n").replace(b" last\r\n", b"\r\n") + b"BDAT 0 LAST\r\n"
			back = ["250 ok"] * len(chunks) + ["250 ok" if accept else "554 spam"]
			# (a body may hold " LAST" nowhere else: body_lines() never says so)
		if pipelining:
			c.say(CLIENT, wire)
			c.server(*back)
		else:
			c.say(CLIENT, wire)
			for line in back:
				c.server(line)
		t["accepted"] += accept
		return
	data_ok = good
	if pipelining:
		c.client(*commands, "DATA")
		c.server(*[line for answer in answers for line in answer], "354 go" if data_ok else "503 no")
	else:
		for command, answer in zip(commands, answers):
			c.client(command)
			c.server(*answer)
		c.client("DATA")
		c.server("354 go" if data_ok else "554 no valid recipients")
	if data_ok:
		accept = rng.random() < 0.8
		lines = ["." + line if line.startswith(".") else line for line in body_lines(rng)]
		c.client("Subject: x", *lines, ".")
		c.server("250 2.0.0 queued" if accept else "554 spam")
		t["accepted"] += accept
	elif rng.random() < 0.7:
		c.client("RSET")
		c.server("250 flushed")


def say_auth(c, rng, t):
	secret = "AHVzZXIAcGFzcw=="
	kind = rng.choice(("plain-initial", "plain", "login", "login-initial", "cram", "cancel", "538", "504"))
	ok = ["235 2.7.0 ok"] if rng.random() < 0.7 else ["535 5.7.8 no"]
	t["auth"] = {"plain-initial": "PLAIN", "plain": "PLAIN", "login": "LOGIN", "login-initial": "LOGIN", "cram": "CRAM-MD5",
		"cancel": "LOGIN", "538": "PLAIN", "504": "GSSAPI"}[kind]
	t["credentials"] = kind not in ("cancel", "538", "504")
	verb = rng.choice(("AUTH", "auth", "Auth"))
	if kind == "plain-initial":
		c.client(f"{verb} PLAIN {secret}").server(*ok)
	elif kind == "plain":
		c.client(f"{verb} plain").server("334 ").client(secret).server(*ok)
	elif kind in ("login", "login-initial"):
		c.client(f"{verb} LOGIN" + (" dXNlcg==" if kind == "login-initial" else ""))
		if kind == "login":
			c.server("334 VXNlcm5hbWU6").client("STARTTLS")  # a user name that looks like a command
		c.server("334 UGFzc3dvcmQ6").client("QUIT").server(*ok)
	elif kind == "cram":
		c.client(f"{verb} CRAM-MD5").server("334 PDE+").client("dXNlciAw").server(*ok)
	elif kind == "cancel":
		c.client(f"{verb} LOGIN").server("334 VXNlcm5hbWU6").client("*").server("501 cancelled")
	elif kind == "538":
		c.client(f"{verb} PLAIN").server("538 5.7.11 encryption required")
	else:
		c.client(f"{verb} GSSAPI").server("504 no such mechanism")


def dialogue(rng):
	"""One random conversation: (segments, truth by the session record's words)."""
	c, t = Conversation(isn=(rng.choice((7, 2**32 - 30, 2**31 - 100)), rng.choice((9, 2**32 - 60, 12345)))), Truth()
	ending = rng.choice(("fin", "fin", "fin", "rst", "none"))
	t["closed_by"] = "eof" if ending == "none" else ending
	concluded = ending != "none"
	if rng.random() < 0.03:  # TLS from the first byte
		tls_session(c, rng, rng.random() < 0.5)
		t.update(outcome="implicit-tls", established=True)
		c.end(ending)
		return c.segments, t
	greeting = rng.choice(([GREETING], reply(220, "mx.example ESMTP", "no UBE", "STARTTLS"), ["554 go away"] if rng.random() < .1 else [GREETING]))
	c.server(*greeting)
	if greeting[0].startswith("554") or rng.random() < 0.03:
		if rng.random() < 0.5:
			c.client("QUIT")
			c.server("221 bye")
		t["outcome"] = "no-dialogue" if concluded else "unknown"
		if not concluded:
			t["established"] = None
		c.end(ending, rng.choice((CLIENT, SERVER)))
		return c.segments, t
	offered = rng.random() < 0.6
	masked = not offered and rng.random() < 0.3
	mode = rng.random()
	went_on = False
	if mode < 0.12:  # EHLO refused
		c.client("EHLO c.example")
		c.server(*reply(rng.choice((500, 502, 550)), "what?"))
		c.client("HELO c.example")
		c.server("250 mx.example")
		outcome, offered, masked = "helo-only", None, False
	elif mode < 0.2:
		c.client("HELO c.example")
		c.server("250 mx.example")
		outcome, offered, masked = "helo-only", None, False
	else:
		keywords = rng.sample(CAPABILITIES, rng.randint(0, 6))
		if offered:
			keywords.insert(rng.randint(0, len(keywords)), rng.choice(("STARTTLS", "starttls", "StartTLS", "X-ANONYMOUSTLS")))
		if masked:
			keywords.insert(rng.randint(0, len(keywords)), rng.choice(("XXXXXXXA", "XXXXXXXX", "********", "XXXXXXXB")))
		c.client(rng.choice(("EHLO", "ehlo")) + " c.example")
		c.server(*reply(250, "mx.example STARTTLS at your service", *keywords))
		outcome = "masked" if masked else "not-used" if offered else "not-offered"
		t["masked"] = masked
	t["offered"] = offered
	if offered is not None and rng.random() < 0.15:
		c.client("NOOP")
		c.server("250 ok")
	if rng.random() < 0.15:
		c.client("XXXX" if rng.random() < .5 else "STARTTLSX")
		c.server("500 what?")
	stop = False
	if offered is not None and (offered or rng.random() < 0.1) and rng.random() < 0.6:
		t["requested"] = True
		c.client(rng.choice(("STARTTLS", "starttls", "StArTtLs", "STARTTLS ")))
		kind = rng.random()
		if kind < 0.45:
			c.server("220 2.0.0 ready")
			tls_session(c, rng, rng.random() < 0.5)
			t.update(code=220, established=True)
			outcome, stop = "upgraded", True
		elif kind < 0.6:
			c.server("220 2.0.0 ready")
			t["code"] = 220
			how = rng.randint(0, 3)
			if how >= 1:
				c.say(CLIENT, client_hello(rng))
			if how == 2:
				c.say(SERVER, server_hello(rng))
			if how == 3:
				c.say(SERVER, b"\x15\x03\x03\x00\x02\x02\x28")
			outcome, stop = "upgrade-failed", True
			t["established"] = False
			if not concluded and how < 3:
				outcome, t["established"] = "unknown", None
		elif kind < 0.65:
			outcome, stop = "upgrade-failed", True
			if not concluded:
				outcome, t["established"] = "unknown", None
		else:
			code = rng.choice((454, 501, 502, 503, 500, 421, 250))
			c.server(*reply(code, "no", "really no"))
			t["code"] = code
			outcome = "refused"
			stop = code in (421, 250)
	if not stop:
		pipelining = rng.random() < 0.5
		if rng.random() < 0.25:
			say_auth(c, rng, t)
			went_on = True
		for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
			transaction(c, rng, t, pipelining, rng.random() < 0.3)
			went_on = True
		if rng.random() < 0.8:
			c.client("QUIT")
			went_on = True
			if rng.random() < 0.9:
				c.server("221 bye")
		elif rng.random() < 0.3:
			c.server("421 timeout")
	t["outcome"] = outcome
	if outcome == "not-used" and not concluded and not went_on:
		t["outcome"], t["established"] = "unknown", None
	c.end(ending, rng.choice((CLIENT, SERVER)))
	return c.segments, t


# ---- what networks do, without changing what was said ----

def cut(segments, rng, longest=60):
	"""Every segment in pieces; the flags that end it stay on the last one."""
	out = []
	for s in segments:
		rest, seq = s.payload, s.seq
		while len(rest) > 1 and rng.random() < 0.8:
			n = rng.randint(1, min(len(rest) - 1, longest))
			out.append(replace(s, seq=seq, payload=rest[:n], flags=s.flags & ~(FIN | PSH)))
			rest, seq = rest[n:], seq + n
		out.append(replace(s, seq=seq, payload=rest))
	return out


def duplicate(segments, rng):
	"""The same packets again, at once: copies of a mirror port or retransmissions."""
	out = []
	for s in segments:
		out.append(s)
		if rng.random() < 0.3 and not s.flags & RST:
			out.append(s)
	return out


def retransmit(segments, rng):
	"""Bytes of a side sent again, cut otherwise, up to a few packets later."""
	out, sent = [], ([], [])
	for s in segments:
		out.append(s)
		if s.payload:
			sent[s.side].append(s)
		if s.flags & (FIN | RST | SYN) or rng.random() > 0.3:
			continue
		side = rng.randint(0, 1)
		if not sent[side] or sent[side][-1].flags & FIN:
			continue
		old = rng.choice(sent[side][-3:])
		a = rng.randint(0, len(old.payload) - 1)
		b = rng.randint(a + 1, len(old.payload))
		out.append(replace(old, seq=old.seq + a, payload=old.payload[a:b], flags=old.flags & ~FIN, time=s.time))
	return out


def swap(segments, rng):
	"""Neighbours in the other order: within a side, and the two queues of a tap."""
	out = list(segments)
	i = 3
	while i + 1 < len(out):
		a, b = out[i], out[i + 1]
		if rng.random() < 0.3 and not (a.flags | b.flags) & (SYN | FIN | RST):
			out[i], out[i + 1] = replace(b, time=a.time), replace(a, time=b.time)
			i += 1
		i += 1
	return out


# ---- the capture ----

def checksum(data):
	if len(data) % 2:
		data += b"\0"
	total = sum(struct.unpack(f">{len(data) // 2}H", data))
	while total >> 16:
		total = (total & 0xFFFF) + (total >> 16)
	return ~total & 0xFFFF


def packet(s, port, v6=False, server_port=25):
	ports = (port, server_port) if s.side == CLIENT else (server_port, port)
	if v6:
		addresses = [ipaddress.IPv6Address("2001:db8::1").packed, ipaddress.IPv6Address("2001:db8:1::2").packed]
	else:
		addresses = [bytes([198, 51, 100, 7]), bytes([192, 0, 2, 25])]
	if port >= STRANGERS:
		addresses = [a[:-1] + bytes([a[-1] + 100]) for a in addresses]
	if s.side == SERVER:
		addresses.reverse()
	tcp = struct.pack(">HHIIBBHHH", *ports, s.seq & 0xFFFFFFFF, s.ack & 0xFFFFFFFF, 0x50, s.flags, 65535, 0, 0) + s.payload
	if v6:
		pseudo = addresses[0] + addresses[1] + struct.pack(">II", len(tcp), 6)
	else:
		pseudo = addresses[0] + addresses[1] + struct.pack(">BBH", 0, 6, len(tcp))
	tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
	if v6:
		ip = struct.pack(">IHBB", 0x60000000, len(tcp), 6, 64) + addresses[0] + addresses[1]
		return b"\2\0\0\0\0\1\2\0\0\0\0\2\x86\xdd" + ip + tcp
	ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + addresses[0] + addresses[1]
	ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
	return b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + tcp


def write_pcap(path, cases, start=1_700_000_000.0):
	"""cases: (port, segments). Each runs in its own second, so none is idle for long."""
	with open(path, "wb") as out:
		out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
		packets = []
		for i, (port, segments) in enumerate(cases):
			step = 0.001 if len(segments) < 900 else 0.0001
			for n, s in enumerate(segments):
				packets.append((start + i * 0.5 + n * step, port, s))
		packets.sort(key=lambda p: p[0])
		for time, port, s in packets:
			frame = packet(s, port, v6=port % 5 == 0)
			micros = round(time * 1e6)
			out.write(struct.pack("<IIII", micros // 10**6, micros % 10**6, len(frame), len(frame)) + frame)
