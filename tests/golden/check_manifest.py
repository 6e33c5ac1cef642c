#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what stripwatch says of each bundled capture with what its manifest expects.

	check_manifest.py STRIPWATCH [PCAPS-DIR] [--only GLOB] [--secret TEXT ...]

Runs `stripwatch replay --separate --sessions - FILE` for each capture of
PCAPS-DIR/MANIFEST.json, finds each expected session by its addresses and ports, and
compares every path that the manifest states (an absent value and null are the same).
A session that the manifest does not name, or names as `expect: null` and that has
a record, is a difference too. Prints a table of differences and closes with
`N passed, N failed` (captures). Exit status 0 if none failed.

No secret of the laboratory may stand in any output: the made-up password, in clear and
in base64, and texts of the message bodies are looked for in the records and alerts.
"""

import argparse
import base64
import fnmatch
import json
import os
import subprocess
import sys

ACCOUNT = b"scanner@example.test"
PASSWORD = b"not-a-secret-Pa55"
SECRETS = [PASSWORD, base64.b64encode(PASSWORD).rstrip(b"="),
	base64.b64encode(b"\0" + ACCOUNT + b"\0" + PASSWORD)[:-4],
	base64.b64encode(ACCOUNT).rstrip(b"="),
	b"A body whose text shall change no fact", b".leading dot"]


def leaves(tree, path=()):
	"""Every (path, value) of a nested object."""
	for key, value in tree.items():
		if isinstance(value, dict):
			yield from leaves(value, path + (key,))
		else:
			yield path + (key,), value


def at(record, path):
	for key in path:
		if not isinstance(record, dict):
			return None
		record = record.get(key)
	return record


def session_key(session):
	return (session["source"]["ip"], session["source"]["port"],
		session["destination"]["ip"], session["destination"]["port"])


def replay(program, arguments):
	result = subprocess.run([program, "replay", "--separate", *arguments], capture_output=True,
		stdin=subprocess.DEVNULL, timeout=20, check=False)
	return result.returncode, result.stdout, result.stderr


def check_capture(program, path, capture):
	"""Yields (session, path, expected, got)."""
	status, out, err = replay(program, ["--sessions", "-", path])
	if status != 0:
		yield "-", "exit status", 0, f"{status}: {err.decode(errors='replace').strip()[-200:]}"
	records = {}
	try:
		for line in out.splitlines():
			record = json.loads(line)
			records.setdefault(session_key(record), []).append(record)
	except (ValueError, KeyError) as error:
		yield "-", "records", "JSON lines", repr(error)
		return
	for number, session in enumerate(capture["sessions"], 1):
		found = records.pop(session_key(session), [])
		name = f"{number} (:{session['source']['port']})"
		wanted = session["expect"]
		count = 0 if wanted is None else session.get("records", 1)
		if len(found) != count:
			yield name, "records", count, len(found)
			continue
		for record in found[:1]:
			for keys, value in leaves(wanted):
				got = at(record, keys)
				if keys == ("stripwatch", "alerts"):
					# What the memory of earlier sessions adds may be there.
					value = sorted(value or [])
					got = sorted(set(got or []) - (set(session.get("history", [])) - set(value)))
				if keys[-1] == "id" and value is not None and got is not None:
					value, got = str(value), str(got)	# a keyword or a number is the same
				if got != value:
					yield name, ".".join(keys), value, got
	for key in records:
		yield str(key), "records", 0, len(records[key])

	# Both outputs again, and what is printed for people, for secrets.
	everything = out + err
	for arguments in (["--alerts", "-", path], [path]):
		_, out, err = replay(program, arguments)
		everything += out + err
	for secret in SECRETS:
		if secret in everything:
			yield "-", "secret in an output", None, secret.decode()


def main():
	parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
	parser.add_argument("program")
	parser.add_argument("directory", nargs="?",
		default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "pcaps"))
	parser.add_argument("--only", default="*")
	options = parser.parse_args()
	with open(os.path.join(options.directory, "MANIFEST.json"), encoding="utf-8") as file:
		manifest = json.load(file)
	passed = failed = 0
	for capture in manifest["captures"]:
		if not fnmatch.fnmatch(capture["file"], options.only):
			continue
		try:
			differences = list(check_capture(options.program, os.path.join(options.directory, capture["file"]), capture))
		except (OSError, subprocess.SubprocessError) as error:
			differences = [("-", "run", "to run", str(error))]
		if not differences:
			passed += 1
			continue
		failed += 1
		print(capture["file"])
		for session, path, expected, got in differences:
			print(f"    session {session:<12} {path:<28} expected {json.dumps(expected)}  got {json.dumps(got)}")
	if passed + failed == 0:
		print("no capture was checked", file=sys.stderr)
		return 1
	print(f"{passed} passed, {failed} failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
