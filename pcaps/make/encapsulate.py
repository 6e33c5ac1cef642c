#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Put recorded captures into other link types, tunnels and file formats.

	encapsulate.py PCAPS-DIR [--zstd COMMAND ...]

reads plain Ethernet captures that record.py made and writes PCAPS-DIR/encapsulated/,
one file for each way in which a span port, a cloud mirror or another tool would
have delivered the same packets. The facts of each session are those of the
original; they are added to PCAPS-DIR/MANIFEST.json under the new names.
"""

import argparse
import copy
import gzip
import json
import os
import struct
import subprocess
import sys

DLT_NULL, DLT_EN10MB, DLT_PPP, DLT_PPP_HDLC, DLT_RAW, DLT_80211, DLT_LOOP = 0, 1, 9, 50, 101, 105, 108
DLT_LINUX_SLL, DLT_RADIOTAP, DLT_IPV4, DLT_IPV6, DLT_LINUX_SLL2 = 113, 127, 228, 229, 276

OUTER_SOURCE, OUTER_DESTINATION = bytes([203, 0, 113, 1]), bytes([203, 0, 113, 2])	# RFC 5737
MAC_A, MAC_B, MAC_AP = (bytes.fromhex(t) for t in ("020000000001", "020000000002", "020000000003"))

BASE_V4 = "refuse-454-swaks.pcap"
BASE_V4_TLS = "straight-postfix-swaks.pcap"
BASE_V6 = "strip-ipv6.pcap"
BASE_CLEAR = "clear-swaks.pcap"


class Packet:
	"""One Ethernet frame with its time in nanoseconds."""

	def __init__(self, time, frame):
		self.time, self.frame = time, frame

	@property
	def ethertype(self):
		return struct.unpack_from("!H", self.frame, 12)[0]

	@property
	def ip(self):
		data = self.frame[14:]
		if self.ethertype == 0x0800:
			return data[:struct.unpack_from("!H", data, 2)[0]]		# without Ethernet's padding
		return data[:40 + struct.unpack_from("!H", data, 4)[0]]

	@property
	def from_server(self):
		ip = self.ip
		at = (ip[0] & 15) * 4 if ip[0] >> 4 == 4 else 40
		return struct.unpack_from("!H", ip, at)[0] in (25, 587)


def read_pcap(path):
	with open(path, "rb") as file:
		data = file.read()
	packets, at = [], 24
	while at + 16 <= len(data):
		seconds, micros, length, _ = struct.unpack_from("<IIII", data, at)
		packets.append(Packet(seconds * 10**9 + micros * 1000, data[at + 16:at + 16 + length]))
		at += 16 + length
	return packets


def pcap(packets, link_type=DLT_EN10MB, order="<", nanoseconds=False):
	"""packets: (time, bytes) pairs."""
	magic = 0xa1b23c4d if nanoseconds else 0xa1b2c3d4
	out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)
	for time, data in packets:
		fraction = time % 10**9 if nanoseconds else time % 10**9 // 1000
		out += struct.pack(order + "IIII", time // 10**9, fraction, len(data), len(data)) + data
	return out


# -- pcapng blocks

def block(kind, body, order="<"):
	body += b"\0" * (-len(body) % 4)
	return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def option(code, value, order="<"):
	return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order="<"):
	comment = option(1, b"made by encapsulate.py", order) + option(0, b"", order)
	return block(0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1) + comment, order)


def interface(link_type, name, nanoseconds=False, order="<"):
	options = option(2, name.encode(), order)
	if nanoseconds:
		options += option(9, b"\x09", order)
	return block(1, struct.pack(order + "HHI", link_type, 0, 262144) + options + option(0, b"", order), order)


def enhanced(number, time, data, nanoseconds=False, order="<"):
	ticks = time if nanoseconds else time // 1000
	padded = data + b"\0" * (-len(data) % 4)
	return block(6, struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xffffffff, len(data), len(data))
		+ padded + option(1, b"a packet's comment", order) + option(0, b"", order), order)


def old_packet(number, time, data):
	ticks = time // 1000
	return block(2, struct.pack("<HHIIII", number, 0xffff, ticks >> 32, ticks & 0xffffffff, len(data), len(data)) + data)


def simple_packet(data):
	return block(3, struct.pack("<I", len(data)) + data)


# -- encapsulations: from a Packet to the bytes of the new one

def checksum(data):
	if len(data) % 2:
		data += b"\0"
	total = sum(struct.unpack(f"!{len(data) // 2}H", data))
	while total >> 16:
		total = (total & 0xffff) + (total >> 16)
	return ~total & 0xffff


def ipv4(protocol, payload):
	header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + OUTER_SOURCE + OUTER_DESTINATION
	return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(port, payload):
	return ipv4(17, struct.pack("!HHHH", 49152, port, 8 + len(payload), 0) + payload)


def ethernet(ethertype, payload):
	return MAC_B + MAC_A + struct.pack("!H", ethertype) + payload


def outer(ip):
	return ethernet(0x0800, ip)


def vlan(p):
	return p.frame[:12] + struct.pack("!HH", 0x8100, 100) + p.frame[12:]


def qinq(p):
	return p.frame[:12] + struct.pack("!HHHH", 0x88a8, 200, 0x8100, 100) + p.frame[12:]


def mpls(p):
	labels = struct.pack("!II", 16 << 12 | 64, 17 << 12 | 1 << 8 | 64)
	return ethernet(0x8847, labels + p.ip)


def ppp_protocol(p):
	return struct.pack("!H", 0x0021 if p.ethertype == 0x0800 else 0x0057)


def pppoe(p):
	return ethernet(0x8864, struct.pack("!BBHH", 0x11, 0, 1, 2 + len(p.ip)) + ppp_protocol(p) + p.ip)


def llc_snap(p):
	payload = b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", p.ethertype) + p.ip
	return MAC_B + MAC_A + struct.pack("!H", len(payload)) + payload


def gre(p):
	return outer(ipv4(47, struct.pack("!HH", 0, p.ethertype) + p.ip))


def gre_key_sequence(p):
	return outer(ipv4(47, struct.pack("!HHII", 0x3000, p.ethertype, 7, 1) + p.ip))


def gre_ethernet(p):
	return outer(ipv4(47, struct.pack("!HH", 0, 0x6558) + p.frame))


def erspan_1(p):
	return outer(ipv4(47, struct.pack("!HH", 0, 0x88be) + p.frame))


def erspan_2(p):
	header = struct.pack("!II", 1 << 28 | 100 << 16 | 5, 0)
	return outer(ipv4(47, struct.pack("!HHI", 0x1000, 0x88be, 1) + header + p.frame))


def erspan_3(p):
	header = struct.pack("!III", 2 << 28 | 100 << 16 | 5, 0x12345678, 0)
	return outer(ipv4(47, struct.pack("!HHI", 0x1000, 0x22eb, 1) + header + p.frame))


def erspan_3_subheader(p):
	header = struct.pack("!III", 2 << 28 | 100 << 16 | 5, 0x12345678, 1) + bytes(8)		# the O bit
	return outer(ipv4(47, struct.pack("!HHI", 0x1000, 0x22eb, 1) + header + p.frame))


def vxlan(p):
	return outer(udp(4789, struct.pack("!II", 0x08000000, 42 << 8) + p.frame))


def geneve(p):
	tlv = struct.pack("!HBBI", 0x0102, 0x80, 1, 0xdeadbeef)
	return outer(udp(6081, struct.pack("!BBHI", len(tlv) // 4, 0, 0x6558, 42 << 8) + tlv + p.frame))


def ip_in_ip(p):
	return outer(ipv4(4 if p.ethertype == 0x0800 else 41, p.ip))


def vxlan_of_vlan(p):
	return outer(udp(4789, struct.pack("!II", 0x08000000, 42 << 8) + vlan(p)))


def raw(p):
	return p.ip


def ppp(p):
	return ppp_protocol(p) + p.ip


def ppp_hdlc(p):
	return b"\xff\x03" + ppp_protocol(p) + p.ip


def null(p):
	return struct.pack("<I", 2 if p.ethertype == 0x0800 else 30) + p.ip


def loop(p):
	return struct.pack("!I", 2 if p.ethertype == 0x0800 else 24) + p.ip


def sll(p):
	return struct.pack("!HHH8sH", 0, 1, 6, MAC_A + b"\0\0", p.ethertype) + p.ip


def sll_vlan(p):
	return struct.pack("!HHH8sHHH", 0, 1, 6, MAC_A + b"\0\0", 0x8100, 100, p.ethertype) + p.ip


def sll2(p):
	return struct.pack("!HHIHBB8s", p.ethertype, 0, 3, 1, 0, 6, MAC_A + b"\0\0") + p.ip


def ieee80211(p):
	to_access_point = struct.pack("<HH", 0x0108, 0) + MAC_AP + MAC_A + MAC_B + struct.pack("<H", 16)
	return to_access_point + b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", p.ethertype) + p.ip


def ieee80211_qos(p):
	from_access_point = struct.pack("<HH", 0x0288, 0) + MAC_A + MAC_AP + MAC_B + struct.pack("<HH", 32, 0)
	return from_access_point + b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", p.ethertype) + p.ip


def radiotap(p):
	# Flags present (bit 1), none set: no FCS at the end.
	return struct.pack("<BBHIB", 0, 0, 9, 1 << 1, 0) + ieee80211_qos(p)


def fragments_v4(p, size=64, reverse=False):
	ip = p.ip
	payload = ip[20:]
	out = []
	for at in range(0, len(payload), size):
		piece = payload[at:at + size]
		flags = at // 8 | (0x2000 if at + size < len(payload) else 0)
		header = bytearray(ip[:20])
		struct.pack_into("!HHH", header, 2, 20 + len(piece), p.time // 1000 & 0xffff, flags)
		struct.pack_into("!H", header, 10, 0)
		struct.pack_into("!H", header, 10, checksum(bytes(header)))
		out.append(p.frame[:14] + bytes(header) + piece)
	return out[::-1] if reverse else out


def fragments_v6(p, size=64):
	ip = p.ip
	payload = ip[40:]
	out = []
	for at in range(0, len(payload), size):
		piece = payload[at:at + size]
		more = int(at + size < len(payload))
		header = struct.pack("!BBHI", ip[6], 0, at | more, p.time // 1000 & 0xffffffff)
		fixed = ip[:4] + struct.pack("!HB", 8 + len(piece), 44) + ip[7:40]
		out.append(p.frame[:14] + fixed + header + piece)
	return out


def extension_headers(p):
	ip = p.ip
	options = struct.pack("!BB", 60, 0) + b"\x01\x04\0\0\0\0"		# hop by hop: PadN
	destination = struct.pack("!BB", ip[6], 0) + b"\x01\x04\0\0\0\0"
	fixed = ip[:4] + struct.pack("!HB", len(ip) - 40 + 16, 0) + ip[7:40]
	return p.frame[:14] + fixed + options + destination + ip[40:]


# name, base, encapsulation, link type, further facts
ONE_TO_ONE = [
	("vlan", BASE_V4, vlan, DLT_EN10MB, {"network": {"vlan": {"id": "100"}}}),
	("qinq", BASE_V4, qinq, DLT_EN10MB, {"network": {"vlan": {"id": "200"}, "inner": {"vlan": {"id": "100"}}}}),
	("mpls", BASE_V4, mpls, DLT_EN10MB, {}),
	("mpls-ipv6", BASE_V6, mpls, DLT_EN10MB, {}),
	("pppoe", BASE_V4, pppoe, DLT_EN10MB, {}),
	("pppoe-ipv6", BASE_V6, pppoe, DLT_EN10MB, {}),
	("llc-snap", BASE_V4, llc_snap, DLT_EN10MB, {}),
	("gre", BASE_V4, gre, DLT_EN10MB, {}),
	("gre-ipv6", BASE_V6, gre, DLT_EN10MB, {}),
	("gre-key-sequence", BASE_V4, gre_key_sequence, DLT_EN10MB, {}),
	("gre-ethernet", BASE_V4, gre_ethernet, DLT_EN10MB, {}),
	("erspan-1", BASE_V4, erspan_1, DLT_EN10MB, {}),
	("erspan-2", BASE_V4, erspan_2, DLT_EN10MB, {}),
	("erspan-3", BASE_V4, erspan_3, DLT_EN10MB, {}),
	("erspan-3-subheader", BASE_V4, erspan_3_subheader, DLT_EN10MB, {}),
	("vxlan", BASE_V4_TLS, vxlan, DLT_EN10MB, {}),
	("vxlan-vlan", BASE_V4, vxlan_of_vlan, DLT_EN10MB, {}),
	("geneve", BASE_V4, geneve, DLT_EN10MB, {}),
	("ip-in-ip", BASE_V4, ip_in_ip, DLT_EN10MB, {}),
	("6in4", BASE_V6, ip_in_ip, DLT_EN10MB, {}),
	("raw", BASE_V4, raw, DLT_RAW, {}),
	("raw-ipv6", BASE_V6, raw, DLT_RAW, {}),
	("linktype-ipv4", BASE_V4, raw, DLT_IPV4, {}),
	("linktype-ipv6", BASE_V6, raw, DLT_IPV6, {}),
	("ppp", BASE_V4, ppp, DLT_PPP, {}),
	("ppp-hdlc", BASE_V4, ppp_hdlc, DLT_PPP_HDLC, {}),
	("null", BASE_V4, null, DLT_NULL, {}),
	("null-ipv6", BASE_V6, null, DLT_NULL, {}),
	("loop", BASE_V4, loop, DLT_LOOP, {}),
	("loop-ipv6", BASE_V6, loop, DLT_LOOP, {}),
	("sll", BASE_V4, sll, DLT_LINUX_SLL, {}),
	("sll-vlan", BASE_V4, sll_vlan, DLT_LINUX_SLL, {"network": {"vlan": {"id": "100"}}}),
	("sll2", BASE_V4, sll2, DLT_LINUX_SLL2, {}),
	("80211", BASE_V4, ieee80211, DLT_80211, {}),
	("80211-radiotap", BASE_V4, radiotap, DLT_RADIOTAP, {}),
	("ipv6-extension-headers", BASE_V6, extension_headers, DLT_EN10MB, {}),
]


def merge(into, more):
	for key, value in more.items():
		if isinstance(value, dict):
			merge(into.setdefault(key, {}), value)
		else:
			into[key] = value


def forget(tree, path):
	for key in path[:-1]:
		tree = tree[key]
	tree.pop(path[-1], None)


def masked(frame):
	"""The frame as a middlebox passes it on: the offer overwritten at its own length."""
	return frame.replace(b"-STARTTLS\r\n", b"-XXXXXXXA\r\n")


def compress_zstd(command, data):
	return subprocess.run([*command, "-q", "-19", "-c"], input=data, capture_output=True, check=True).stdout


def main():
	parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
	parser.add_argument("directory")
	parser.add_argument("--zstd", default="zstd", help="the zstd command (several words are allowed)")
	options = parser.parse_args()
	manifest_path = os.path.join(options.directory, "MANIFEST.json")
	with open(manifest_path, encoding="ascii") as file:
		manifest = json.load(file)
	entries = {e["file"]: e for e in manifest["captures"] if not e["file"].startswith("encapsulated/")}
	os.makedirs(os.path.join(options.directory, "encapsulated"), exist_ok=True)
	made = []

	def write(name, what, data, bases, facts=None, suffix=".pcap", records=1, unsaid=()):
		path = f"encapsulated/{name}{suffix}"
		with open(os.path.join(options.directory, path), "wb") as file:
			file.write(data)
		sessions = [s for base in bases for s in copy.deepcopy(entries[base]["sessions"])]
		for session in sessions:
			if facts and session["expect"] is not None:
				merge(session["expect"], facts)
			if records > 1:
				session["records"] = records
			for fact in unsaid:		# differs from record to record
				forget(session["expect"], fact.split("."))
		origin = copy.deepcopy(entries[bases[0]]["origin"])
		origin["made from"] = bases
		made.append({"file": path, "origin": origin, "what": what, "sessions": sessions})

	base = {name: read_pcap(os.path.join(options.directory, name)) for name in (BASE_V4, BASE_V4_TLS, BASE_V6, BASE_CLEAR)}
	for name, source, encapsulate, link_type, facts in ONE_TO_ONE:
		write(name, f"{source} as {name}", pcap([(p.time, encapsulate(p)) for p in base[source]], link_type),
			[source], facts)

	plain = [(p.time, p.frame) for p in base[BASE_V4]]
	for name, what, packets, source in (
			("fragments", "every packet in IPv4 fragments of 64 bytes",
				[(p.time, f) for p in base[BASE_V4] for f in fragments_v4(p)], BASE_V4),
			("fragments-reversed", "the fragments of each packet last to first",
				[(p.time, f) for p in base[BASE_V4_TLS] for f in fragments_v4(p, 256, True)], BASE_V4_TLS),
			("fragments-ipv6", "every packet in IPv6 fragments of 64 bytes",
				[(p.time, f) for p in base[BASE_V6] for f in fragments_v6(p)], BASE_V6),
			("fragments-in-gre", "a GRE packet whose outer IP is fragmented",
				[(p.time, f) for p in base[BASE_V4] for f in fragments_v4(Packet(p.time, gre(p)))], BASE_V4)):
		write(name, what, pcap(packets), [source])

	write("nanoseconds", "pcap with nanoseconds", pcap(plain, nanoseconds=True), [BASE_V4])
	write("big-endian", "big-endian pcap", pcap(plain, order=">"), [BASE_V4])
	write("big-endian-nanoseconds", "big-endian pcap with nanoseconds", pcap(plain, order=">", nanoseconds=True), [BASE_V4])
	write("gzip", "pcap in gzip", gzip.compress(pcap(plain), mtime=0), [BASE_V4], suffix=".pcap.gz")
	write("zstd", "pcap in zstd", compress_zstd(options.zstd.split(), pcap(plain)), [BASE_V4], suffix=".pcap.zst")

	mixed = section() + interface(DLT_EN10MB, "eth0") + interface(DLT_LINUX_SLL2, "any", nanoseconds=True)
	for packet in base[BASE_V4]:
		mixed += enhanced(0, packet.time, packet.frame)
	for packet in base[BASE_V6]:
		mixed += enhanced(1, packet.time, sll2(packet), nanoseconds=True)
	write("pcapng-mixed", "pcapng: two interfaces of different link type and resolution, comments", mixed,
		[BASE_V4, BASE_V6], suffix=".pcapng")
	fibre = section() + interface(DLT_EN10MB, "to-server") + interface(DLT_EN10MB, "to-client")
	for packet in base[BASE_V4]:
		fibre += enhanced(int(packet.from_server), packet.time, packet.frame)
	write("pcapng-fibre-tap", "pcapng: each interface carries one direction; one session", fibre, [BASE_V4],
		suffix=".pcapng")
	taps = section() + interface(DLT_EN10MB, "inside") + interface(DLT_EN10MB, "outside")
	for packet in base[BASE_V4_TLS]:
		first = int(packet.from_server)
		taps += enhanced(first, packet.time, packet.frame) + enhanced(1 - first, packet.time + 20000, packet.frame)
	write("pcapng-two-taps", "pcapng: each interface shows both directions; a record for each", taps, [BASE_V4_TLS],
		suffix=".pcapng", records=2)
	taps = section() + interface(DLT_EN10MB, "inside") + interface(DLT_EN10MB, "outside")
	for packet in base[BASE_CLEAR]:
		first = int(packet.from_server)
		frames = (packet.frame, masked(packet.frame)) if first else (packet.frame, packet.frame)
		taps += enhanced(first, packet.time, frames[0]) + enhanced(1 - first, packet.time + 20000, frames[1])
	write("pcapng-taps-differ", "pcapng: the offer is overwritten between two interfaces", taps, [BASE_CLEAR],
		suffix=".pcapng", records=2, unsaid=("stripwatch.outcome", "stripwatch.alerts", "smtp.starttls.offered",
			"smtp.starttls.masked"))
	copies = section() + interface(DLT_EN10MB, "span") + interface(DLT_EN10MB, "to-client")
	for packet in base[BASE_V4]:
		if packet.from_server:
			copies += enhanced(1, packet.time - 3000, packet.frame)
		copies += enhanced(0, packet.time, packet.frame)
	write("pcapng-tap-and-copies", "pcapng: one interface shows both directions, another one of them; one session",
		copies, [BASE_V4], suffix=".pcapng")
	write("pcapng-big-endian", "big-endian pcapng", section(">") + interface(DLT_EN10MB, "eth0", order=">")
		+ b"".join(enhanced(0, t, d, order=">") for t, d in plain), [BASE_V4], suffix=".pcapng")
	write("pcapng-two-sections", "pcapng: a little-endian section, then a big-endian one",
		section() + interface(DLT_EN10MB, "eth0") + b"".join(enhanced(0, t, d) for t, d in plain)
		+ section(">") + interface(DLT_EN10MB, "eth0", order=">")
		+ b"".join(enhanced(0, p.time, p.frame, order=">") for p in base[BASE_V6]), [BASE_V4, BASE_V6], suffix=".pcapng")
	write("pcapng-old-blocks", "pcapng: obsolete packet blocks", section() + interface(DLT_EN10MB, "eth0")
		+ b"".join(old_packet(0, t, d) for t, d in plain), [BASE_V4], suffix=".pcapng")
	write("pcapng-simple-blocks", "pcapng: simple packet blocks, without times", section() + interface(DLT_EN10MB, "eth0")
		+ b"".join(simple_packet(d) for _, d in plain), [BASE_V4], suffix=".pcapng")

	manifest["captures"] = sorted(list(entries.values()) + made, key=lambda e: e["file"])
	with open(manifest_path, "w", encoding="ascii") as file:
		json.dump(manifest, file, indent="\t")
		file.write("\n")
	print(f"{len(made)} captures encapsulated")
	return 0


if __name__ == "__main__":
	sys.exit(main())
