#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The program takes those configuration files that the published schema calls valid, and no others.

	tests/golden/config_files.py STRIPWATCH
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml
from jsonschema import Draft202012Validator

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAPTURE = ROOT / "pcaps" / "refuse-454-swaks.pcap"

VALID = [
	"quiet: true", "quiet: True", "quiet: TRUE", "quiet: false", "quiet: False", "quiet: FALSE",
	"ports: 25", "ports: [25, 26]", 'ports: "25,26"', "ports: 25,587,2525", "ports: []", 'ports: ["25,26", 587]',
	"severity: {tls-weak: low}", "severity: tls-weak=low", "severity: [tls-weak=low, plaintext-mail=high]",
	"disable: tls-weak", "disable: [tls-weak, plaintext-mail]", "allow: rule=tls-weak", "severity: []", "workers: 2", "fail-on: critical",
]
INVALID = [
	"quiet: maybe", "quiet: tRUE", "quiet: 1", "quiet: [true]",
	"ports: 0", "ports: 65536", 'ports: "25,"', 'ports: "25;26"', 'ports: "25,x"', "ports: {a: 25}",
	"severity: low", "severity: [tls-weak]", "severity: [no-rule=low]", "severity: {tls-weak: grave}", "workers: [2]",
	"disable: no-rule", "workers: 65", "fail-on: never", "no-such-key: 1", "allow: {rule: tls-weak}",
]


def main():
	program, failed = os.path.realpath(sys.argv[1]), 0
	schema = Draft202012Validator(json.loads((ROOT / "deploy/stripwatch.schema.json").read_text(encoding="utf-8")))
	with tempfile.TemporaryDirectory(prefix="stripwatch-config-") as folder:
		path = os.path.join(folder, "config.yaml")
		for text, good in [(text, True) for text in VALID] + [(text, False) for text in INVALID]:
			with open(path, "w", encoding="utf-8") as file:
				file.write(text + "\n")
			done = subprocess.run([program, "replay", "--config", path, CAPTURE], capture_output=True, text=True, check=False)
			taken, valid = done.returncode != 2, schema.is_valid(yaml.safe_load(text))
			if (taken, valid) != (good, good):
				failed += 1
				print(f"FAILED  {text}: {'taken' if taken else 'refused'}, {'valid' if valid else 'invalid'} {done.stderr.strip()}")
	print(f"{len(VALID) + len(INVALID)} files, {failed} failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
