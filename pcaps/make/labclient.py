#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of Python's standard library, and a few that misbehave on purpose.

	labclient.py HOST PORT [--tls no|try|must] [--ca FILE] [--tls12] [--auth MECH]
	             [--mails N] [--lmtp] [--raw FILE] ...
"""

import argparse
import smtplib
import socket
import ssl
import sys
import time

MESSAGE = (b"From: sender@example.test\r\nTo: rcpt@example.test\r\nSubject: laboratory\r\n\r\n"
	b"A body whose text shall change no fact:\r\n250-STARTTLS\r\n250 XXXXXXXA\r\nSTARTTLS\r\n"
	b"454 TLS not available\r\n.leading dot\r\nEnd.\r\n")


def context(options):
	made = ssl.create_default_context(cafile=options.ca)
	if not options.ca:
		made.check_hostname = False
		made.verify_mode = ssl.CERT_NONE
	if options.legacy:
		made.set_ciphers("ALL:@SECLEVEL=0")
		made.minimum_version = ssl.TLSVersion.TLSv1
	if options.tls12:
		made.maximum_version = ssl.TLSVersion.TLSv1_2
	return made


def smtp(options):
	"""smtplib as an application uses it; 'try' goes on in the clear when refused."""
	kind = smtplib.LMTP if options.lmtp else smtplib.SMTP
	arguments = {"local_hostname": "client.example.test"}
	if not options.lmtp:
		arguments["timeout"] = options.timeout
	if options.implicit:
		arguments["context"] = context(options)
		kind = smtplib.SMTP_SSL
	client = kind(options.host, options.port, **arguments)
	client.ehlo_or_helo_if_needed()
	if options.tls == "must" or options.tls == "try" and client.has_extn("starttls"):
		try:
			code, _ = client.starttls(context=context(options))
			if code == 220:
				client.ehlo()
			elif options.tls == "must":
				client.quit()
				return
		except smtplib.SMTPResponseException:
			if options.tls == "must":
				raise
	if options.auth:
		client.user, client.password = options.account, options.password
		name = options.auth.lower().replace("-", "_")
		client.auth(options.auth, getattr(client, "auth_" + name))
	for _ in range(options.mails):
		client.sendmail("sender@example.test", ["rcpt@example.test"], MESSAGE)
	client.quit()


def raw(options):
	"""Send the lines of a script; '<' waits for a reply, '!' closes, 'sleep N'."""
	sock = socket.create_connection((options.host, options.port), timeout=options.timeout)
	sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
	stream = sock.makefile("rb")
	for line in options.raw.split("|"):
		if line == "<":
			while True:
				reply = stream.readline()
				if not reply or reply[3:4] != b"-":
					break
		elif line == "!":
			break
		elif line.startswith("sleep "):
			time.sleep(float(line[6:]))
		else:
			sock.sendall(line.encode("latin-1").decode("unicode_escape").encode("latin-1"))
	sock.close()


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("host")
	parser.add_argument("port", type=int)
	parser.add_argument("--tls", default="no", choices=("no", "try", "must"))
	parser.add_argument("--ca")
	parser.add_argument("--tls12", action="store_true")
	parser.add_argument("--legacy", action="store_true")
	parser.add_argument("--implicit", action="store_true")
	parser.add_argument("--lmtp", action="store_true")
	parser.add_argument("--auth")
	parser.add_argument("--account")
	parser.add_argument("--password")
	parser.add_argument("--mails", type=int, default=1)
	parser.add_argument("--timeout", type=float, default=20)
	parser.add_argument("--raw")
	options = parser.parse_args()
	try:
		if options.raw:
			raw(options)
		else:
			smtp(options)
	except (OSError, smtplib.SMTPException) as error:
		print(f"{type(error).__name__}: {error}", file=sys.stderr)
		return 1
	return 0


if __name__ == "__main__":
	sys.exit(main())
