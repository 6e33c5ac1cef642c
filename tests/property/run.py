#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Properties of the sensor on generated traffic.

	run.py STRIPWATCH [--cases N] [--seed S] [--keep DIR]

Checks that the records say what was generated, and that segmentation,
reordering, duplication, retransmission, other flows and time shifts change
nothing of it; that losing one packet never makes a false claim; that every
prefix of a capture is handled. Prints the seed, so that a failure can be had
again.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import traffic  # noqa: E402

FIRST_PORT = 10000


def get(record, path):
	for key in path.split("."):
		record = record.get(key) if isinstance(record, dict) else None
	return record


def replay(program, path, *options):
	done = subprocess.run([program, "replay", "--sessions", "-", *options, path], capture_output=True)
	if done.returncode != 0:
		raise SystemExit(f"{path}: exit {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
	return [json.loads(line) for line in done.stdout.splitlines()]


FIELDS = {
	"outcome": "stripwatch.outcome",
	"closed_by": "stripwatch.closed_by",
	"visibility": "stripwatch.visibility",
	"offered": "smtp.starttls.offered",
	"requested": "smtp.starttls.requested",
	"code": "smtp.starttls.reply_code",
	"masked": "smtp.starttls.masked",
	"established": "tls.established",
	"mails": "smtp.plaintext.mails",
	"accepted": "smtp.plaintext.accepted",
	"recipients": "smtp.plaintext.recipients",
	"auth": "smtp.plaintext.auth",
	"alerts": "stripwatch.alerts",
}


def facts(record):
	return {name: get(record, path) for name, path in FIELDS.items()}


def truth_of(t):
	"""The fields that the generator knows, in the record's words."""
	alerts = set()
	if t["mails"]:
		alerts.add("plaintext-mail")
	if t.get("credentials"):
		alerts.add("plaintext-credentials")
	return dict(t, visibility="full"), alerts


OWN_ALERTS = {"plaintext-mail", "plaintext-credentials"}


def compare(t, record):
	expected, alerts = truth_of(t)
	got = facts(record)
	if got["outcome"] == "unknown" and not t["requested"]:
		got["established"] = t["established"]  # nobody asked for TLS: false and null are both true
	wrong = [f"{name}: {got[name]!r}, should be {expected[name]!r}" for name in FIELDS
		if name in expected and not (got[name] == expected[name] or (name == "masked" and not got[name] and not expected[name]))]
	if set(got["alerts"] or []) & OWN_ALERTS != alerts:
		wrong.append(f"alerts: {got['alerts']}, should have of its own {sorted(alerts)}")
	return wrong


def dialogue_text(segments):
	return "\n".join(f"  {'CS'[s.side]} {s.seq:>10} {s.flags:02x} {s.payload[:160]!r}" for s in segments)


class Run:
	def __init__(self, program, keep, show=8):
		self.program, self.keep, self.show, self.failures, self.cases = program, keep, show, 0, 0

	def records(self, name, cases, *options, **how):
		path = os.path.join(self.keep, name + ".pcap")
		traffic.write_pcap(path, cases, **how)
		by_port = {}
		for record in replay(self.program, path, *options):
			by_port.setdefault(get(record, "source.port"), []).append(record)
		return by_port

	def fail(self, what, segments, lines):
		self.failures += 1
		if self.failures <= self.show:
			print(f"{what}:", *lines, sep="\n  ")
			print(dialogue_text(segments))


def same_said(a, b):
	skip = {"event.start", "@timestamp"}
	return {k: v for k, v in facts(a).items() if k not in skip} == {k: v for k, v in facts(b).items() if k not in skip}


TRANSFORMS = {
	"cut": lambda s, rng: traffic.cut(s, rng),
	"bytes": lambda s, rng: traffic.cut(s, rng, 1),
	"duplicate": traffic.duplicate,
	"retransmit": traffic.retransmit,
	"swap": traffic.swap,
	"cut+swap": lambda s, rng: traffic.swap(traffic.cut(s, rng), rng),
	"everything": lambda s, rng: traffic.duplicate(traffic.swap(traffic.retransmit(traffic.cut(s, rng), rng), rng), rng),
}

# What a record may say once a packet is missing: the same, or that it cannot be told.
NEVER_INVENTED = ("offered", "requested", "established", "code", "auth")


def check_loss(run, rng, dialogues):
	cases, origin = [], {}
	for segments, t in dialogues:
		# Whose loss leaves a trace: later packets that build on it. Without one it is a prefix.
		lossy = [n for n, s in enumerate(segments) if s.payload and any(
			later.ack >= s.end() if later.side != s.side else later.seq >= s.end() for later in segments[n + 1:])]
		if not lossy:
			continue
		n = rng.choice(lossy)
		port = FIRST_PORT + len(cases)
		origin[port] = (segments, t, n)
		cases.append((port, segments[:n] + segments[n + 1:]))
	for port, records in run.records("loss", cases).items():
		segments, t, n = origin[port]
		run.cases += 1
		got = facts(records[0])
		if t["outcome"] == "unknown" and not t["requested"]:
			got["established"] = t["established"]
		wrong = [f"{name}: {got[name]!r}, truly {t[name]!r}" for name in NEVER_INVENTED if got[name] not in (None, t[name])]
		wrong += [f"{name}: {got[name]}, truly {t[name]}" for name in ("mails", "accepted", "recipients") if (got[name] or 0) > t[name]]
		if got["outcome"] not in ("unknown", t["outcome"]):
			wrong.append(f"outcome: {got['outcome']}, truly {t['outcome']}")
		if wrong:
			lost = segments[n]
			run.fail(f"loss of {'CS'[lost.side]} {lost.payload[:60]!r} (port {port}, visibility {got['visibility']})", segments, wrong)


def check_prefix(run, rng, dialogues):
	"""Whole conversations cut off after some packet: nothing is said that is not so."""
	cases = [(FIRST_PORT + i, s[:rng.randint(1, len(s))]) for i, (s, t) in enumerate(dialogues)]
	got = run.records("prefix", cases)
	for (port, prefix), (segments, t) in zip(cases, dialogues):
		run.cases += 1
		records = got.get(port, [])
		if not records and not any(s.payload for s in prefix):
			continue
		if len(records) != 1:
			run.fail(f"prefix, port {port}", prefix, [f"{len(records)} records"])
			continue
		said = facts(records[0])
		allowed = {"unknown", t["outcome"]}
		if t["requested"]:  # not yet
			allowed.add("masked" if t["masked"] else "not-used" if t["offered"] else "not-offered")
		wrong = [f"{n}: {said[n]!r}, truly {t[n]!r}" for n in ("offered", "code", "auth") if said[n] not in (None, t[n])]
		wrong += [f"{n}: {said[n]}, truly {t[n]}" for n in ("mails", "accepted", "recipients") if (said[n] or 0) > t[n]]
		if said["outcome"] not in allowed and len(prefix) < len(segments):
			wrong.append(f"outcome: {said['outcome']}, truly {t['outcome']}")
		if wrong:
			run.fail(f"prefix, port {port}", prefix, wrong)


def check_truncated(run, rng):
	"""Any prefix of the file itself: what could be read is told, exit 1, no crash."""
	with open(os.path.join(run.keep, "plain.pcap"), "rb") as whole:
		data = whole.read()
	path = os.path.join(run.keep, "truncated.pcap")
	for _ in range(8):
		run.cases += 1
		with open(path, "wb") as out:
			out.write(data[:rng.randint(0, min(len(data), 60000))])
		done = subprocess.run([run.program, "replay", "--quiet", "--sessions", "-", path], capture_output=True)
		if done.returncode not in (0, 1):
			run.fail(f"file of {os.path.getsize(path)} bytes", [], [done.stderr.decode(errors="replace")[-1500:]])


def check_shift(run, dialogues, plain):
	"""Another time, and other conversations between them: times alone change."""
	cases = [(FIRST_PORT + i, s) for i, (s, t) in enumerate(dialogues)]
	strangers = [(traffic.STRANGERS + i, s) for i, (s, t) in enumerate(reversed(dialogues[:len(dialogues) // 2]))]
	mixed = [case for pair in zip(strangers, cases) for case in pair] + cases[len(strangers):]
	for name, got in (("shifted", run.records("shifted", cases, start=1_234_567_890.25)), ("strangers", run.records("strangers", mixed))):
		for port, segments in cases:
			run.cases += 1
			a, b = plain.get(port, []), got.get(port, [])
			if len(a) != 1 or len(b) != 1 or not same_said(a[0], b[0]):
				run.fail(f"{name}, port {port}", segments, [str([facts(r) for r in a]), str([facts(r) for r in b])])


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("program")
	parser.add_argument("--cases", type=int, default=300)
	parser.add_argument("--seed", type=int, default=None)
	parser.add_argument("--keep", default=None, help="where the captures are left (default: nowhere)")
	options = parser.parse_args()
	seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
	rng = random.Random(seed)
	with tempfile.TemporaryDirectory() as scratch:
		keep = options.keep or scratch
		os.makedirs(keep, exist_ok=True)
		run = Run(options.program, keep)
		dialogues = [traffic.dialogue(rng) for _ in range(options.cases)]

		plain = run.records("plain", [(FIRST_PORT + i, s) for i, (s, t) in enumerate(dialogues)])
		for i, (segments, t) in enumerate(dialogues):
			run.cases += 1
			records = plain.get(FIRST_PORT + i, [])
			wrong = compare(t, records[0]) if len(records) == 1 else [f"{len(records)} records"]
			if wrong:
				run.fail(f"plain, port {FIRST_PORT + i}", segments, wrong)

		for name, transform in TRANSFORMS.items():
			changed = [(FIRST_PORT + i, transform(s, rng)) for i, (s, t) in enumerate(dialogues)]
			got = run.records(name, changed)
			for i, (segments, t) in enumerate(dialogues):
				run.cases += 1
				port = FIRST_PORT + i
				a, b = plain.get(port, []), got.get(port, [])
				if len(a) != 1 or len(b) != 1 or not same_said(a[0], b[0]):
					before = facts(a[0]) if a else {}
					after = facts(b[0]) if b else {}
					run.fail(f"{name}, port {port}", changed[i][1],
						[f"{len(a)} and {len(b)} records"] + [f"{k}: {before.get(k)!r} became {after.get(k)!r}"
							for k in FIELDS if before.get(k) != after.get(k)])
		check_loss(run, rng, dialogues)
		check_prefix(run, rng, dialogues)
		check_shift(run, dialogues, plain)
		check_truncated(run, rng)
		print(f"properties: {run.cases} cases, {run.failures} failed, seed {seed}")
		return 1 if run.failures else 0


if __name__ == "__main__":
	sys.exit(main())
