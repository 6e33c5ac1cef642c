#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stripwatch's session records against tshark's dissection of the same captures.

    run.py STRIPWATCH [--table] [FILE|DIRECTORY...]

Without files: every capture in pcaps/. tshark dissects packets, reassembles TCP and reads SMTP, TLS
and X.509 on its own; here its commands and replies are paired (RFC 5321: replies come in the order
of the commands) into the facts that a record has as well. A difference fails, unless explained.tsv
has it (capture, session, field, who is right, why; shell patterns in the first three); so does an
entry there that no longer occurs in a capture that was read. --table prints what was compared.
"""
import argparse
import collections
import fnmatch
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SUFFIXES = (".pcap", ".pcapng", ".cap", ".gz", ".zst")
STRINGS = ("uTF8String", "printableString", "teletexString", "bmpString", "universalString", "CountryName")
FIELDS = ("frame.protocols", "tcp.stream", "tcp.len", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
	"smtp.command_line", "smtp.response", "smtp.rsp.parameter", "smtp.eom", "tls.handshake.type", "tls.handshake.version",
	"tls.handshake.ciphersuite", "tls.handshake.extensions.supported_version", "tls.handshake.extensions_server_name",
	"tls.handshake.ja3", "tls.handshake.ja3s", "x509af.serialNumber", "x509af.utcTime", "x509af.generalizedTime",
	*("x509sat." + name for name in STRINGS))
PREFERENCES = ("tcp.desegment_tcp_streams:TRUE", "tcp.reassemble_out_of_order:TRUE", "smtp.desegment_lines:TRUE",
	"smtp.desegment_data:TRUE", "tls.desegment_ssl_records:TRUE", "tls.desegment_ssl_application_data:TRUE")
LIST, COLUMN = "\x1e", "\x1f"
VERSIONS = {0x0002: "2.0", 0x0300: "3.0", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}


def suite_names():
	text = (ROOT / "decoders/tls_suites.def").read_text()
	return {int(code, 16): name for code, name in re.findall(r"(0x[0-9A-Fa-f]{4}),\s*\"?(\w+)", text)}


# ---- tshark ----

def tshark(capture, ports, decode="smtp", only=None):
	"""Rows of FIELDS, one a frame with payload: dict of lists."""
	command = ["tshark", "-n", "-2", "-r", capture, "-T", "fields", "-E", "occurrence=a", "-E", f"aggregator={LIST}",
		"-E", f"separator={COLUMN}"]
	for preference in PREFERENCES:
		command += ["-o", preference]
	for port in ports:
		command += ["-d", f"tcp.port=={port},{decode}"]
	wanted = "tcp.len > 0" if only is None else f"tcp.stream in {{{','.join(map(str, sorted(only)))}}}"
	command += ["-Y", wanted]
	for name in FIELDS:
		command += ["-e", name]
	done = subprocess.run(command, capture_output=True, timeout=300)
	if done.returncode not in (0, 2):  # 2: the capture is cut short
		sys.exit(f"tshark: {done.stderr.decode()}")
	for line in done.stdout.decode(errors="replace").split("\n"):
		values = line.split(COLUMN)
		if len(values) == len(FIELDS):
			yield {name: [v for v in value.split(LIST) if v] for name, value in zip(FIELDS, values)}


def text(line):
	return line.replace("\\r\\n", "").replace("\\n", "")


class Dialogue:
	"""What tshark saw of one TCP stream, and what follows from it."""

	def __init__(self, client, server):
		self.client, self.server = client, server
		self.bytes = 0
		self.waiting = collections.deque()
		self.greeted = False
		self.facts = dict(greeting=None, offered=None, requested=False, reply=None, mails=0, recipients=0, accepted=0,
			auth=None, client_name=None, capabilities=None, sni=None, ja3=None, ja3s=None, version=None, cipher=None,
			serial=None, validity=None)
		self.names = set()

	def frame(self, row, from_client):
		self.bytes += int(row["tcp.len"][0])
		if from_client:
			for line in row["smtp.command_line"]:
				self.command(text(line))
			if row["smtp.eom"]:
				self.waiting.append(("EOM", ""))
		else:
			for code, lines in replies(row["smtp.response"], row["smtp.rsp.parameter"]):
				self.reply(code, lines)
		self.tls(row, from_client)

	def command(self, line):
		verb, _, argument = line.partition(" ")
		verb = verb.upper()
		facts = self.facts
		if verb in ("EHLO", "HELO", "LHLO"):
			facts["client_name"] = (argument.split() or [None])[0]
		elif verb in ("STARTTLS", "X-ANONYMOUSTLS"):
			facts["requested"] = True
		elif verb == "MAIL":
			facts["mails"] += 1
		elif verb == "AUTH" and argument:
			facts["auth"] = argument.split()[0].upper()
		self.waiting.append((verb, argument))

	def reply(self, code, lines):
		facts = self.facts
		if not self.greeted:
			self.greeted = True
			if code == 220 or not self.waiting:
				facts["greeting"] = code
				return
		verb, argument = self.waiting.popleft() if self.waiting else (None, "")
		good = 200 <= code < 300
		if verb in ("EHLO", "LHLO") and code == 250:
			keywords = [(line.split() or [""])[0] for line in lines[1:]]
			facts["capabilities"] = list(dict.fromkeys(word for word in keywords if word)) or None
			offered = any(word.upper() in ("STARTTLS", "X-ANONYMOUSTLS") for word in keywords)
			facts["offered"] = bool(facts["offered"] or offered)
		elif verb in ("STARTTLS", "X-ANONYMOUSTLS"):
			facts["reply"] = code
		elif verb == "RCPT" and good:
			facts["recipients"] += 1
		elif (verb == "EOM" or verb == "BDAT" and argument.upper().endswith("LAST")) and good:
			facts["accepted"] += 1

	def tls(self, row, from_client):
		facts, types = self.facts, row["tls.handshake.type"]
		version = (row["tls.handshake.version"] or [None])[0]
		if from_client and "1" in types:
			facts["sni"] = (row["tls.handshake.extensions_server_name"] or [None])[0]
			facts["ja3"] = (row["tls.handshake.ja3"] or [None])[0]
		if not from_client and "2" in types:
			chosen = int((row["tls.handshake.extensions.supported_version"] or [version])[0], 16)
			facts["version"] = VERSIONS.get(chosen, hex(chosen))
			facts["cipher"] = SUITES.get(int(row["tls.handshake.ciphersuite"][0], 16))
			facts["ja3s"] = (row["tls.handshake.ja3s"] or [None])[0]
		if not from_client and "11" in types and row["x509af.serialNumber"] and facts["serial"] is None:
			facts["serial"] = int(row["x509af.serialNumber"][0].removeprefix("0x"), 16)
			if not row["x509af.generalizedTime"] and len(row["x509af.utcTime"]) >= 2:
				facts["validity"] = [moment.replace(" (UTC)", "") for moment in row["x509af.utcTime"][:2]]
			for name in STRINGS:
				self.names.update(row["x509sat." + name])


def replies(firsts, parameters):
	"""(code, lines) of each reply; its first line is in firsts, the text of every line in parameters."""
	begins = [(int(first[:3]), text(first)[4:]) for first in firsts if first[:3].isdigit()]
	found = []
	for parameter in parameters:
		parameter = text(parameter)
		if begins and (not found or begins[0][1] == parameter):
			code, _ = begins.pop(0)
			found.append((code, [parameter]))
		elif found:
			found[-1][1].append(parameter)
	found += [(code, [""]) for code, _ in begins]
	return found


def addresses(row):
	layers = [layer for layer in row["frame.protocols"][0].split(":") if layer in ("ip", "ipv6")]
	src, dst = row[layers[-1] + ".src"], row[layers[-1] + ".dst"]  # the innermost of a tunnel
	return (src[-1], int(row["tcp.srcport"][0])), (dst[-1], int(row["tcp.dstport"][0]))


def dissect(capture, records):
	"""Dialogues in the order of their streams. The records say which end is the client."""
	clients = {(r["source"]["ip"], r["source"]["port"], r["destination"]["ip"], r["destination"]["port"]) for r in records}
	ports = sorted({r["destination"]["port"] for r in records} | {25, 587})
	rows = list(tshark(capture, ports))
	greeted = {row["tcp.stream"][0] for row in rows if re.match("(?i)(EHLO|HELO|LHLO) ", (row["smtp.command_line"] or [""])[0])}
	silent = {row["tcp.stream"][0] for row in rows} - greeted
	if silent:  # perhaps TLS from the first byte
		again = [row for row in tshark(capture, ports, "tls", silent) if row["tcp.len"] != ["0"]]
		begin = {}
		for row in again:
			begin.setdefault(row["tcp.stream"][0], row)
		hello = {stream for stream, row in begin.items() if "1" in row["tls.handshake.type"]}
		rows = [row for row in rows if row["tcp.stream"][0] not in hello]
		rows += [row for row in again if row["tcp.stream"][0] in hello]
	found = {}
	for row in rows:
		src, dst = addresses(row)
		stream = int(row["tcp.stream"][0])
		if stream not in found:
			forward = (*src, *dst) in clients or (*dst, *src) not in clients and dst[1] in ports
			found[stream] = Dialogue(*((src, dst) if forward else (dst, src)))
		found[stream].frame(row, src == found[stream].client)
	return [found[stream] for stream in sorted(found)]


# ---- stripwatch ----

def field(record, path):
	for key in path.split("."):
		record = record.get(key) if isinstance(record, dict) else None
	return record


def facts_of(record):
	serial = field(record, "tls.server.x509.serial_number")
	moments = [field(record, "tls.server.not_before"), field(record, "tls.server.not_after")]
	return dict(greeting=field(record, "smtp.greeting_code"), offered=field(record, "smtp.starttls.offered"),
		requested=field(record, "smtp.starttls.requested"), reply=field(record, "smtp.starttls.reply_code"),
		mails=field(record, "smtp.plaintext.mails"), recipients=field(record, "smtp.plaintext.recipients"),
		accepted=field(record, "smtp.plaintext.accepted"), auth=field(record, "smtp.plaintext.auth"),
		client_name=field(record, "smtp.client_name"), capabilities=field(record, "smtp.capabilities"),
		sni=field(record, "tls.client.server_name"), ja3=field(record, "tls.client.ja3"), ja3s=field(record, "tls.server.ja3s"),
		version=field(record, "tls.version"), cipher=field(record, "tls.cipher"),
		serial=None if serial is None else int(serial, 16),
		validity=None if moments[0] is None else [re.sub(r"\..*|Z", "", moment).replace("T", " ") for moment in moments])


def subject_values(record):
	subject = field(record, "tls.server.subject")
	return re.findall(r"(?:^|[,+/] ?)\w+=([^,+]*)", subject) if subject else []


def read_records(program, captures, directory):
	"""By capture, in the order in which the sessions began."""
	found = {}
	for number, capture in enumerate(captures):
		found[capture] = []
	output = directory / "sessions"
	for start in range(0, len(captures), 200):
		part = captures[start:start + 200]
		done = subprocess.run([program, "replay", "--quiet", "--separate", "--sensor", "differential", "--all-ports", "--sessions", output,
			*part], capture_output=True, timeout=600)
		if done.returncode not in (0, 1):
			sys.exit(f"{program}: {done.stderr.decode()}")
		for line in open(output):
			record = json.loads(line)
			found[pathlib.Path(record["observer"]["file"]["path"])].append(record)
	for records in found.values():
		records.sort(key=lambda record: record["event"]["start"])
	return found


# ---- the comparison ----

def groups_of(records):
	"""Captures that may be read in one go: no two of a group have a connection in common."""
	groups = []
	for capture, found in records.items():
		ends = {(r["source"]["ip"], r["source"]["port"], r["destination"]["ip"], r["destination"]["port"]) for r in found}
		for captures, taken in groups:
			if not ends & taken:
				captures.append(capture)
				taken |= ends
				break
		else:
			groups.append(([capture], set(ends)))
	return [captures for captures, _ in groups]


def name_of(record):
	return f"{record['source']['ip']}:{record['source']['port']}"


def compare(capture, record, dialogue):
	"""(field, ours, tshark's) of what differs; the number of fields compared."""
	ours, theirs = facts_of(record), dialogue.facts
	differing = [(name, ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]]
	values = subject_values(record)
	if not set(values) <= dialogue.names:
		differing.append(("subject", values, sorted(dialogue.names)))
	return differing, len(ours) + 1


def judge_group(captures, records, directory):
	merged = directory / "merged.pcapng"
	subprocess.run(["mergecap", "-a", "-w", merged, *captures], check=False, capture_output=True, timeout=120)
	everything = [record for capture in captures for record in records[capture]]
	dialogues = collections.defaultdict(collections.deque)
	for dialogue in dissect(merged, everything):
		dialogues[dialogue.client, dialogue.server].append(dialogue)
	compared, differences = 0, []
	for capture in captures:
		for record in records[capture]:
			ends = tuple((record[end]["ip"], record[end]["port"]) for end in ("source", "destination"))
			if not dialogues[ends]:
				differences.append((capture.name, name_of(record), "record", "a session", None))
				continue
			found, count = compare(capture, record, dialogues[ends].popleft())
			compared += count
			differences += [(capture.name, name_of(record), *difference) for difference in found]
	for left in dialogues.values():
		for dialogue in left:
			if dialogue.server[1] in (25, 587):
				differences.append(("?", f"{dialogue.client[0]}:{dialogue.client[1]}", "record", None, "a session"))
	return compared, differences


def read_explained():
	for number, line in enumerate(open(HERE / "explained.tsv"), 1):
		if line.startswith("#") or not line.strip():
			continue
		cells = line.rstrip("\n").split("\t")
		if len(cells) != 5 or cells[3] not in ("stripwatch", "tshark", "both"):
			sys.exit(f"explained.tsv:{number}: capture, session, field, stripwatch|tshark|both, why")
		yield (number, *cells)


def captures_in(path):
	if path.is_dir():
		return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
	return [path]


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("program")
	parser.add_argument("--table", action="store_true")
	parser.add_argument("paths", nargs="*", type=pathlib.Path)
	options = parser.parse_args()
	captures = [file for path in options.paths or [ROOT / "pcaps"] for file in captures_in(path)]
	explained = list(read_explained())
	used, failures, compared, accepted = set(), 0, 0, collections.Counter()
	with tempfile.TemporaryDirectory() as directory:
		directory = pathlib.Path(directory)
		records = read_records(options.program, captures, directory)
		for group in groups_of(records):
			count, differences = judge_group(group, records, directory)
			compared += count
			for difference in differences:
				match = [entry for entry in explained if all(fnmatch.fnmatchcase(have, want) for have, want in zip(difference, entry[1:4]))]
				used.update(entry[0] for entry in match)
				if match:
					accepted[match[0][4]] += 1
				else:
					failures += 1
					print("{}: {}: {}: stripwatch says {!r}, tshark {!r}".format(*difference))
	names = {capture.name for capture in captures}
	for number, capture, session, name, _, _ in explained:
		if number not in used and any(fnmatch.fnmatchcase(have, capture) for have in names):
			failures += 1
			print(f"explained.tsv:{number}: {capture}: {session}: {name}: does not occur any more")
	sessions = sum(map(len, records.values()))
	print(f"{len(captures)} captures, {sessions} sessions, {compared} facts compared, {sum(accepted.values())} explained differences, {failures} failures")
	if options.table:
		for who, number in sorted(accepted.items()):
			print(f"  {who} is right: {number}")
	return 1 if failures else 0


SUITES = suite_names()
if __name__ == "__main__":
	sys.exit(main())
