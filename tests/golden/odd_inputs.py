#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Captures written in every odd way that the formats allow: what is said of them never changes.

	tests/golden/odd_inputs.py STRIPWATCH [--tshark]

Takes one bundled capture, writes its packets as other tools and links would have written
them, and compares the session records (times included) with those of the original. With
--tshark, says in which of these files tshark does not find the same TCP payload.
"""

import gzip
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "pcaps", "make"))
import encapsulate as e		# noqa: E402

BASE = os.path.join(HERE, "..", "..", "pcaps", e.BASE_V4)
PACKETS = e.read_pcap(BASE)
MICROS = [(p.time // 1000 * 1000, p.frame) for p in PACKETS]
ETH = e.DLT_EN10MB


def pcap(packets=None, order="<", magic=0xa1b2c3d4, version=(2, 4), snaplen=262144, network=ETH, zone=0, tail=b"",
		swap_lengths=False, header=b""):
	out = struct.pack(order + "IHHiIII", magic, *version, zone, 0, snaplen, network)
	for time, data in packets or MICROS:
		fraction = time % 10**9 if magic == 0xa1b23c4d else time % 10**9 // 1000
		lengths = (len(data), len(data))
		if swap_lengths:
			lengths = (len(data) + 4, len(data))		# on the wire more than in the file
		out += struct.pack(order + "IIII", time // 10**9, fraction, *lengths) + header + data + tail
	return out


def enhanced(time, data, ticks_of, order="<", number=0, options=b"", original=None):
	ticks = ticks_of(time)
	return e.block(6, struct.pack(order + "IIIII", number, ticks >> 32 & 0xffffffff, ticks & 0xffffffff, len(data),
		original or len(data)) + data + b"\0" * (-len(data) % 4) + options, order)


def interface(order="<", options=b"", snaplen=262144, link_type=ETH):
	return e.block(1, struct.pack(order + "HHI", link_type, 0, snaplen) + options, order)


def pcapng(ticks_of=lambda t: t // 1000, order="<", options=b"", between=b"", packet_options=b"", snaplen=262144,
		packets=None, link_type=ETH, before=b""):
	blocks = [enhanced(t, d, ticks_of, order, options=packet_options) for t, d in packets or MICROS]
	return e.section(order) + before + interface(order, options, snaplen, link_type) + between.join([b"", *blocks, b""])


def resolution(value, order="<"):
	return e.option(9, bytes([value]), order)


def name_block(order="<"):
	record = struct.pack(order + "HH", 1, 4 + 5) + bytes((192, 0, 2, 1)) + b"host\0" + b"\0" * 3
	return e.block(4, record + struct.pack(order + "HH", 0, 0), order)


def statistics(order="<"):
	return e.block(5, struct.pack(order + "III", 0, 0, 0) + e.option(4, bytes(8), order) + e.option(0, b"", order), order)


def secrets(order="<"):
	return e.block(10, struct.pack(order + "II", 0x544c534b, 5) + b"a b c\0\0\0", order)


def custom(order="<"):
	return b"".join(e.block(kind, struct.pack(order + "I", 32473) + b"anything", order)
		for kind in (0x00000bad, 0x40000bad))


def strange(order="<"):
	"""Blocks that nobody defined, one of them with nothing in it, and one with a large body."""
	return e.block(0x00000bee, b"", order) + e.block(0x80000001, b"\xff" * 70000, order) + e.block(9, b"journal=1\n", order)


ALL_BLOCKS = {order: name_block(order) + statistics(order) + secrets(order) + custom(order) + strange(order)
	for order in "<>"}


def two_sections():
	half = len(MICROS) // 2
	parts = []
	for order, packets in (("<", MICROS[:half]), (">", MICROS[half:])):
		parts.append(e.section(order) + interface(order, resolution(9, order))
			+ b"".join(enhanced(t, d, lambda t: t, order) for t, d in packets))
	return b"".join(parts)


def section_with_length():
	body = interface() + b"".join(enhanced(t, d, lambda t: t // 1000) for t, d in MICROS)
	return e.block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, len(body))) + body


def late_interfaces():
	"""An interface is described right before its first packet; another one never has any."""
	out = e.section()
	for i, (time, data) in enumerate(MICROS):
		if i in (0, 5):
			out += interface(options=e.option(2, b"same"))
		out += enhanced(time, data, lambda t: t // 1000, number=0 if i < 5 else 1)
	return out


def fcs(frame):
	return frame + b"\xde\xad\xbe\xef"


def radiotap(frame, present, fields):
	return struct.pack("<BBHI", 0, 0, 8 + len(fields), present) + fields + frame


WIFI = {p.time: e.ieee80211_qos(p) for p in PACKETS}


def wifi_header(qos=True, flags=2, extra=b""):
	control = struct.pack("<BB", 0x88 if qos else 0x08, flags)
	addresses = e.MAC_A + e.MAC_AP + e.MAC_B
	return control + b"\0\0" + addresses + struct.pack("<H", 32) + extra


def llc(p):
	return b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", p.ethertype) + p.ip


def subframe(payload, last):
	body = e.MAC_A + e.MAC_B + struct.pack("!H", len(payload)) + payload
	return body if last else body + b"\0" * (-len(body) % 4)


def amsdu(packets, group):
	"""Neighbours in one direction ride in one aggregate, up to group of them."""
	out, i = [], 0
	while i < len(packets):
		riders = [packets[i]]
		while len(riders) < group and i + len(riders) < len(packets) and \
				packets[i + len(riders)].from_server == packets[i].from_server:
			riders.append(packets[i + len(riders)])
		body = b"".join(subframe(llc(p), p is riders[-1]) for p in riders)
		out.append((riders[0].time, wifi_header(extra=struct.pack("<H", 0x80)) + body))
		i += len(riders)
	return out


def each(function):
	return [(p.time // 1000 * 1000, function(p)) for p in PACKETS]


def gre_flags(p, flags, extra):
	return e.outer(e.ipv4(47, struct.pack("!HH", flags, p.ethertype) + extra + p.ip))


def ppp_in(p, address, protocol):
	return address + protocol + p.ip


def encapsulated():
	"""name, link type, packets; further ones are in pcaps/encapsulated."""
	yield "padded", ETH, each(lambda p: p.frame + bytes(max(0, 60 - len(p.frame))))
	yield "trailer", ETH, each(lambda p: p.frame + b"trailer that is no data")
	yield "QinQ 0x9100", ETH, each(lambda p: p.frame[:12] + struct.pack("!HHHH", 0x9100, 200, 0x9100, 100) + p.frame[12:])
	yield "MPLS pseudowire, control word", ETH, each(lambda p: e.ethernet(0x8847, struct.pack("!I", 16 << 12 | 0x140)
		+ bytes(4) + p.frame))
	yield "MPLS pseudowire, no control word", ETH, each(lambda p: e.ethernet(0x8847, struct.pack("!I", 16 << 12 | 0x140)
		+ p.frame))
	yield "MPLS, six labels", ETH, each(lambda p: e.ethernet(0x8847, b"".join(struct.pack("!I", (100 + i) << 12
		| (0x100 if i == 5 else 0) | 64) for i in range(6)) + p.ip))
	yield "PPP, address and control", e.DLT_PPP, each(lambda p: ppp_in(p, b"\xff\x03", b"\0\x21"))
	yield "PPP, compressed protocol", e.DLT_PPP, each(lambda p: ppp_in(p, b"", b"\x21"))
	yield "PPP, address, compressed protocol", e.DLT_PPP, each(lambda p: ppp_in(p, b"\xff\x03", b"\x21"))
	yield "PPPoE, compressed protocol", ETH, each(lambda p: e.ethernet(0x8864, struct.pack("!BBHH", 0x11, 0, 1,
		1 + len(p.ip)) + b"\x21" + p.ip))
	yield "PPPoE, padded", ETH, each(lambda p: e.pppoe(p) + bytes(8))
	yield "RAW 12", 12, each(e.raw)
	yield "RAW 14", 14, each(e.raw)
	yield "SLL2, LLC", e.DLT_LINUX_SLL2, each(lambda p: struct.pack("!HHIHBB8s", 4, 0, 3, 1, 0, 6, e.MAC_A + b"\0\0") + llc(p))
	yield "SLL, LLC", e.DLT_LINUX_SLL, each(lambda p: struct.pack("!HHH8sH", 0, 1, 6, e.MAC_A + b"\0\0", 4) + llc(p))
	yield "SLL2, VLAN", e.DLT_LINUX_SLL2, each(lambda p: struct.pack("!HHIHBB8sHH", 0x8100, 0, 3, 1, 0, 6,
		e.MAC_A + b"\0\0", 100, p.ethertype) + p.ip)
	yield "NULL, big-endian", 0, each(lambda p: struct.pack(">I", 2) + p.ip)
	yield "GRE, checksum", ETH, each(lambda p: gre_flags(p, 0x8000, bytes(4)))
	yield "GRE, all fields", ETH, each(lambda p: gre_flags(p, 0xb000, bytes(12)))
	yield "GRE, routing", ETH, each(lambda p: gre_flags(p, 0x4000, bytes(4) + struct.pack("!HBB4s", 0x800, 0, 4,
		b"\xcb\0\x71\1") + bytes(4)))
	yield "VXLAN, Linux port", ETH, each(lambda p: e.outer(e.udp(8472, struct.pack("!II", 0x08000000, 42 << 8) + p.frame)))
	yield "VXLAN, group policy", ETH, each(lambda p: e.outer(e.udp(4789, struct.pack("!II", 0x88000064, 42 << 8) + p.frame)))
	yield "VXLAN-GPE, IP", ETH, each(lambda p: e.outer(e.udp(4790, struct.pack("!II", 0x0c000001, 42 << 8) + p.ip)))
	yield "GENEVE, IP, no options", ETH, each(lambda p: e.outer(e.udp(6081, struct.pack("!BBHI", 0, 0, 0x800, 42 << 8)
		+ p.ip)))
	yield "4in6", ETH, each(lambda p: e.ethernet(0x86dd, struct.pack("!IHBB", 6 << 28, len(p.ip), 4, 64)
		+ bytes(15) + b"\1" + bytes(15) + b"\2" + p.ip))
	yield "GRE in VXLAN in GRE", ETH, each(lambda p: e.outer(e.ipv4(47, struct.pack("!HH", 0, 0x6558)
		+ e.outer(e.udp(4789, struct.pack("!II", 0x08000000, 42 << 8) + e.gre(p))))))
	yield "IPv4 options", ETH, each(lambda p: p.frame[:14] + bytes([0x47]) + p.frame[15:16]
		+ struct.pack("!H", len(p.ip) + 8) + p.frame[18:34] + b"\x01" * 8 + p.ip[20:])
	yield "802.11, no QoS", e.DLT_80211, each(lambda p: wifi_header(qos=False) + llc(p))
	yield "802.11, four addresses", e.DLT_80211, each(lambda p: wifi_header(flags=3, extra=e.MAC_B + b"\0\0") + llc(p))
	yield "802.11, HT control", e.DLT_80211, each(lambda p: wifi_header(flags=0x82, extra=bytes(6)) + llc(p))
	yield "802.11, retransmitted", e.DLT_80211, [f for p in PACKETS for f in 2 * [(p.time, e.ieee80211_qos(p))]]
	yield "radiotap, FCS", e.DLT_RADIOTAP, each(lambda p: radiotap(fcs(WIFI[p.time]), 1 << 1, b"\x10"))
	yield "radiotap, TSFT, padding", e.DLT_RADIOTAP, each(lambda p: radiotap(WIFI[p.time][:26] + b"\0\0" + WIFI[p.time][26:],
		1 << 0 | 1 << 1 | 1 << 2, bytes(8) + b"\x20\x02"))
	yield "radiotap, two words", e.DLT_RADIOTAP, each(lambda p: radiotap(fcs(WIFI[p.time]), 1 << 31 | 1 << 1,
		struct.pack("<I", 0) + b"\x10"))
	yield "prism", 119, each(lambda p: struct.pack("<II16s", 0x44, 144, b"wlan0") + bytes(120) + WIFI[p.time])
	yield "AVS", 163, each(lambda p: struct.pack(">II", 0x80211001, 64) + bytes(56) + WIFI[p.time])
	yield "A-MSDU of one", e.DLT_80211, amsdu(PACKETS, 1)
	yield "A-MSDU of two", e.DLT_80211, amsdu(PACKETS, 2)
	yield "A-MSDU of five", e.DLT_80211, amsdu(PACKETS, 5)


def formats():
	"""name, the file's bytes."""
	for order in "<>":
		word = "little" if order == "<" else "big"
		yield f"pcap, {word}-endian", pcap(order=order)
		yield f"pcap, ns, {word}-endian", pcap(order=order, magic=0xa1b23c4d)
		yield f"pcap, modified, {word}-endian", pcap(order=order, magic=0xa1b2cd34, header=struct.pack(order + "IHBB", 2, 8, 0, 0))
		yield f"pcapng, {word}-endian", pcapng(order=order)
		yield f"pcapng, ns, {word}-endian", pcapng(lambda t: t, order, resolution(9, order))
		yield f"pcapng, every block, {word}-endian", pcapng(order=order, between=ALL_BLOCKS[order])
		yield f"pcapng, 2^-30, {word}-endian", pcapng(lambda t: -(-(t << 30) // 10**9), order, resolution(0x9e, order))
		yield f"pcapng, offset, {word}-endian", pcapng(lambda t: t // 1000 - 1000 * 10**6, order,
			e.option(14, struct.pack(order + "q", 1000), order))
		yield f"pcapng, negative offset, {word}-endian", pcapng(lambda t: t // 1000 + 1000 * 10**6, order,
			e.option(14, struct.pack(order + "q", -1000), order))
		yield f"pcapng, trailing block, {word}-endian", pcapng(order=order) + e.block(0x7fffffff, bytes(range(64)), order)
	yield "pcap, snaplen 0", pcap(snaplen=0)
	yield "pcap, snaplen too small", pcap(snaplen=60)
	yield "pcap, snaplen huge", pcap(snaplen=0xffffffff)
	yield "pcap, version 2.3, lengths swapped", pcap(version=(2, 3), swap_lengths=True)
	yield "pcap, time zone", pcap(zone=3600)
	yield "pcap, FCS in the link type", pcap([(t, fcs(d)) for t, d in MICROS], network=ETH | 1 << 26 | 2 << 28)
	yield "pcap, many gzip members", b"".join(gzip.compress(pcap()[i:i + 700]) for i in range(0, len(pcap()), 700))
	yield "pcapng, another interface without packets", pcapng(before=interface())
	yield "pcapng, snaplen 0", pcapng(snaplen=0)
	yield "pcapng, FCS", pcapng(options=e.option(13, b"\4"), packets=[(t, fcs(d)) for t, d in MICROS])
	yield "pcapng, FCS in the packet's flags", pcapng(packet_options=e.option(2, struct.pack("<I", 4 << 5)),
		packets=[(t, fcs(d)) for t, d in MICROS])
	yield "pcapng, zero-length options", pcapng(options=e.option(2, b"") + e.option(3, b"") + e.option(0, b""),
		packet_options=e.option(1, b"") + e.option(0, b""))
	yield "pcapng, options without end", pcapng(options=e.option(2, b"eth0"), packet_options=e.option(1, b"c"))
	yield "pcapng, unknown options", pcapng(options=e.option(0x7777, b"12345") + e.option(2988, bytes(7)) + e.option(0, b""),
		packet_options=e.option(4, bytes(8)) + e.option(0x8000, b"z") + e.option(0, b""))
	yield "pcapng, milliseconds and a half", pcapng(lambda t: t // 100, options=resolution(7))
	yield "pcapng, sections of both byte orders", two_sections()
	yield "pcapng, section length given", section_with_length()
	yield "pcapng, interface described late", late_interfaces()
	yield "pcapng, old packet blocks", e.section() + interface() + b"".join(e.block(2, struct.pack("<HHIIII", 0, 3,
		t // 1000 >> 32, t // 1000 & 0xffffffff, len(d), len(d)) + d) for t, d in MICROS)
	for name, link_type, packets in encapsulated():
		yield name, pcap(packets, network=link_type)
		yield name + ", pcapng", pcapng(packets=[(t // 1000 * 1000, d) for t, d in packets], link_type=link_type)


def records(program, *paths, stdin=None, status=0):
	with tempfile.NamedTemporaryFile(suffix=".jsonl") as out:
		result = subprocess.run([program, "replay", "--quiet", "--sessions", out.name, *paths], input=stdin,
			capture_output=True, timeout=60, check=False)
		found = [json.loads(line) for line in out.read().splitlines()]
	problem = result.stderr.decode(errors="replace").strip()
	if result.returncode != status:
		raise AssertionError(f"exit status {result.returncode}: {problem}")
	for record in found:
		record["network"].pop("vlan", None)
		record["network"].pop("inner", None)
		record["observer"].pop("ingress", None)
	return found


def facts(record):
	"""Without what copies and aggregates change: packet counts."""
	record = json.loads(json.dumps(record))
	for side in ("source", "destination", "network"):
		record[side].pop("packets", None)
		record[side].pop("bytes", None)
	record.pop("@timestamp")
	for key in ("start", "end", "duration"):
		record["event"].pop(key, None)
	return record


def payload_of(path):
	"""All bytes that tshark takes for TCP payload, and the packets that hold any."""
	out = subprocess.run(["tshark", "-n", "-r", path, "-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields", "-e",
		"tcp.payload", "-Y", "tcp.len > 0"], capture_output=True, text=True, timeout=60, check=False)
	return out.stdout.split() if out.returncode == 0 else None


def timelines(scratch):
	"""One connection in several files: name, what is given, standard input, whether all facts are the same."""
	half = len(MICROS) // 2

	def write(name, packets):
		path = f"{scratch}/{name}.pcap"
		with open(path, "wb") as file:
			file.write(pcap(packets))
		return path

	first, second = write("part1", MICROS[:half]), write("part2", MICROS[half:])
	odd, even = write("odd", MICROS[1::2]), write("even", MICROS[::2])
	whole = write("whole", MICROS)
	later = write("overlap", MICROS[half // 2:])
	yield "rotated", [first, second], None, True
	yield "rotated, given last to first", [second, first], None, True
	yield "interleaved", [odd, even], None, True
	yield "the same file twice", [whole, whole], None, True
	yield "overlapping", [whole, later], None, True
	yield "overlapping, the later first", [later, whole], None, True
	yield "standard input and a file", ["-", second], pcap(MICROS[:half]), True
	yield "standard input, pcapng", ["-"], pcapng(), True
	yield "standard input, gzip", ["-"], gzip.compress(pcap()), True
	os.mkdir(f"{scratch}/tree")
	os.mkdir(f"{scratch}/tree/deeper")
	os.rename(write("tree/b", MICROS[:half]), f"{scratch}/tree/deeper/no-suffix")
	write("tree/a", MICROS[half:])
	with open(f"{scratch}/tree/readme.txt", "w", encoding="ascii") as file:
		file.write("no capture\n")
	yield "a directory", [f"{scratch}/tree"], None, True
	packets = MICROS[:]
	random.Random(1).shuffle(packets)
	yield "shuffled", [write("shuffled", packets)], None, False


def main():
	program = os.path.realpath(sys.argv[1])
	base = records(program, BASE)
	count = failed = 0

	def fail(name, why):
		nonlocal failed
		failed += 1
		print(f"FAILED  {name}: {why}")

	with tempfile.TemporaryDirectory(prefix="stripwatch-odd-") as scratch:
		wanted_payload = payload_of(BASE) if "--tshark" in sys.argv else None
		for name, data in formats():
			count += 1
			path = f"{scratch}/odd"
			with open(path, "wb") as file:
				file.write(data)
			try:
				found = records(program, path)
				same = [facts(r) for r in found] == [facts(r) for r in base]
				times = [r["event"] for r in found] == [r["event"] for r in base]
				if not same:
					fail(name, f"{[facts(r) for r in found]}"[:600])
				elif not times and "A-MSDU" not in name:
					fail(name, f"times {[r['event']['start'] for r in found]}")
				else:
					theirs = payload_of(path) if wanted_payload else None
					if theirs is not None and "".join(theirs) != "".join(wanted_payload) and "retransmitted" not in name:
						print(f"note    {name}: tshark finds {len(theirs)} of {len(wanted_payload)} payloads")
			except AssertionError as problem:
				fail(name, problem)
		for name, paths, stdin, exact in timelines(scratch):
			count += 1
			try:
				found = records(program, *paths, stdin=stdin)
				if exact and [facts(r) for r in found] != [facts(r) for r in base]:
					fail(name, f"{[facts(r) for r in found]}"[:600])
				elif len(found) != len(base) or any(r["stripwatch"]["outcome"] not in (b["stripwatch"]["outcome"], "unknown")
					for r, b in zip(found, base)):  # no order left to read: less may be said, nothing else
					fail(name, f"{[(r['stripwatch']['outcome'], r['stripwatch']['visibility']) for r in found]}")
			except AssertionError as problem:
				fail(name, problem)
	print(f"{count} inputs, {failed} failed")
	return 1 if failed or not count else 0


if __name__ == "__main__":
	sys.exit(main())
