#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the sensor says, and how it exits, when its inputs or options are not as they should be.

	tests/golden/wrong_use.py STRIPWATCH

Each row: arguments of replay, exit status, what has to stand on standard error; then the same
for watch, before it opens an interface. "< FILE" is standard input. With status 2 nothing
was processed: standard output is empty, and no file that was there is changed.
"""

import gzip
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD = os.path.realpath(os.path.join(HERE, "..", "..", "pcaps", "refuse-454-swaks.pcap"))

ROWS = [
	("good", 0, ""),
	("good --fail-on high", 3, ""),
	("good --fail-on critical", 0, ""),
	("good empty --fail-on high", 3, "empty: is empty"),
	("missing", 1, "missing: cannot open: No such file or directory"),
	("missing good", 1, "missing: cannot open"),
	("empty", 1, "empty: is empty"),
	("text", 1, "text: not a capture"),
	("text.gz", 1, "text.gz: not a capture"),
	("cut", 1, "cut: truncated in the middle of a packet or header (at byte"),
	("cut-header", 1, "cut-header: truncated"),
	("cut.gz", 1, "cut.gz: compressed data is truncated"),
	("corrupt", 1, "corrupt: captured length of a packet cannot be true"),
	("unknown-link", 1, "unknown-link: packets of link type 147 are not read"),
	("directory", 1, "directory: no captures in it"),
	("directory --separate", 1, "directory: holds no capture"),
	("directory --log-level debug", 1, "debug: directory/note: skipped: not a capture"),
	("directory --separate --log-level debug", 1, "debug: directory/note: skipped: not a capture"),
	("-", 1, "-: is empty"),
	("good --sessions /dev/full", 1, "/dev/full: cannot be written"),
	("", 2, "no capture given"),
	("- -", 2, "- is given twice"),
	("good --nonsense", 2, "unknown option --nonsense"),
	("good --alerts - --sessions -", 2, "two outputs on standard output"),
	("good --json --sessions -", 2, "two outputs on standard output"),
	("good --alerts no/such/file", 2, "no/such/file: cannot be opened"),
	("good --report no/such/file", 2, "no/such/file: cannot be opened"),
	("good --sessions out --report no/such/file", 2, "no/such/file: cannot be opened"),
	("good --alerts out --sessions no/such/file", 2, "no/such/file: cannot be opened"),
	("good --report out --sessions directory", 2, "directory: cannot be opened"),
	("good --alerts out --sessions out", 2, "--alerts and --sessions are one file: out"),
	("good --alerts new --report new", 2, "--alerts and --report are one file: new"),
	("good --alerts /dev/null --sessions /dev/null", 0, ""),
	("good --sessions good", 2, "--sessions is the capture to be read: good"),
	("new --alerts new", 2, "--alerts is the capture to be read: new"),
	("--tap a=good --alerts good", 2, "--alerts is the capture to be read: good"),
	("tree --alerts tree/deep/good", 2, "--alerts is the capture to be read: tree/deep/good"),
	("tree --separate --sessions tree/deep/good", 2, "--sessions is the capture to be read: tree/deep/good"),
	("tree --report linked", 2, "--report is the capture to be read: linked"),
	("good --tap a=tree --alerts linked", 2, "--alerts is the capture to be read: linked"),
	("tree --baseline tree/good.gz", 2, "--baseline is the capture to be read: tree/good.gz"),
	("tree --log-level error --alerts tree/alerts.jsonl", 0, ""),
	("tree --log-level error --alerts tree/new", 0, ""),
	("- --alerts good < good", 2, "--alerts is the capture to be read: good"),
	("--tap a=- --sessions linked < tree/deep/good", 2, "--sessions is the capture to be read: linked"),
	("- --alerts new < good", 0, ""),
	("good --config json.yaml --sessions json.yaml", 2, "--sessions is the file of --config: json.yaml"),
	("good --policy text --alerts text", 2, "--alerts is the file of --policy: text"),
	("good --ca-file text --report text", 2, "--report is the file of --ca-file: text"),
	("good --ca-file text --baseline text", 2, "--baseline is the file of --ca-file: text"),
	("good --redis unix:///no --redis-password-file text --alerts text", 2,
		"--alerts is the file of --redis-password-file: text"),
	("good --sessions out --filter nonsense!", 2, "--filter: "),
	("good --evidence out", 2, "--evidence: out: is not a directory"),
	("good --fail-on never", 2, "--fail-on"),
	("good --workers 0", 2, "--workers"),
	("good --ports 0", 2, "--ports"),
	("good --config missing", 2, "missing: No such file or directory"),
	("good --config text", 2, "text:1"),
	("good --config json.yaml --alerts new", 0, ""),
	("good --outbox directory", 2, "--outbox: needs --redis"),
	("good --redis-publish", 2, "--redis-publish: needs --redis"),
	("good --policy missing", 2, "missing"),
	("good --ca-file missing", 2, "missing"),
]

WATCH = [
	("", 2, "no interface"),
	("-i lo -i lo", 2, "--interface: \"lo\" is given twice"),
	("-i lo --alerts out --sessions out", 2, "--alerts and --sessions are one file: out"),
	("-i lo --baseline out --alerts out", 2, "--alerts and --baseline are one file: out"),
	("-i lo --alerts no/such/file", 2, "no/such/file: cannot be opened"),
	("-i lo --policy text --alerts text", 2, "--alerts is the file of --policy: text"),
]


def prepare(folder):
	with open(GOOD, "rb") as file:
		good = file.read()
	files = {"good": good, "empty": b"", "text": b"hello\n", "text.gz": gzip.compress(b"hello\n"), "cut": good[:2000],
		"cut-header": good[:20], "cut.gz": gzip.compress(good)[:1000], "corrupt": good[:1757] + b"\xff" * 100,
		"unknown-link": good[:20] + b"\x93\0\0\0" + good[24:], "out": b"was here before\n",
		"json.yaml": b"json: true\n"}
	for name, data in files.items():
		with open(os.path.join(folder, name), "wb") as file:
			file.write(data)
	os.mkdir(os.path.join(folder, "directory"))
	with open(os.path.join(folder, "directory", "note"), "wb") as file:
		file.write(b"no capture\n")
	tree = {"deep/good": good, "good.gz": gzip.compress(good), "alerts.jsonl": b"{}\n"}
	os.makedirs(os.path.join(folder, "tree", "deep"))
	for name, data in tree.items():
		with open(os.path.join(folder, "tree", name), "wb") as file:
			file.write(data)
	os.link(os.path.join(folder, "tree", "deep", "good"), os.path.join(folder, "linked"))


def contents(folder):
	found = {}
	for parent, _, names in os.walk(folder):
		for name in names:
			path = os.path.join(parent, name)
			with open(path, "rb") as file:
				found[path] = file.read()
	return found


def check(program, folder, command, arguments, status, said):
	before = contents(folder)
	arguments, _, given = arguments.partition(" < ")
	with open(os.path.join(folder, given) if given else os.devnull, "rb") as stdin:
		result = subprocess.run([program, command, *arguments.split()], cwd=folder, stdin=stdin,
			capture_output=True, text=True, timeout=60, check=False)
	if result.returncode != status:
		return f"exit status {result.returncode}, not {status}: {result.stderr.strip()}"
	if said not in result.stderr or (not said and result.stderr):
		return f"says {result.stderr.strip()!r}"
	if status == 2 and result.stdout:
		return "wrote to standard output"
	if status == 2 and contents(folder) != before:
		return "changed a file"
	return None


def main():
	program = os.path.realpath(sys.argv[1])
	failed = 0
	rows = [("replay", *row) for row in ROWS] + [("watch", *row) for row in WATCH]
	for command, arguments, status, said in rows:
		with tempfile.TemporaryDirectory(prefix="stripwatch-use-") as folder:
			prepare(folder)
			problem = check(program, folder, command, arguments, status, said)
		if problem:
			failed += 1
			print(f"FAILED  {command} {arguments}: {problem}")
	print(f"{len(rows)} uses, {failed} failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
