#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real sessions recorded on both sides of the man in the middle, given as two taps.

Each NAME.pcap with a NAME.server.pcap: what the proxy changed is one tap-divergence, and
where it passed everything on, or was not there, there is none. taps.py [PROGRAM]
"""
import glob
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CAPTURES = os.path.join(HERE, "..", "..", "pcaps")
UNCHANGED = {"proxy-none", "straight-postfix-swaks"}


def main():
	program = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("STRIPWATCH", os.path.join(HERE, "../../build/release/stripwatch"))
	wrong = count = 0
	for outside in sorted(glob.glob(os.path.join(CAPTURES, "*.server.pcap"))):
		inside = outside.replace(".server.pcap", ".pcap")
		name = os.path.basename(inside)[:-5]
		run = subprocess.run([program, "replay", "--json", "--sensor", "test", "--tap", f"inside={inside}",
			"--tap", f"outside={outside}"], capture_output=True, timeout=60, check=False)
		alerts = [json.loads(line) for line in run.stdout.splitlines()]
		found = [a for a in alerts if a["rule"]["id"] == "tap-divergence"]
		count += 1
		if run.returncode != 0 or len(found) != (name not in UNCHANGED):
			wrong += 1
			print(f"{name}: exit {run.returncode}, {[a['message'] for a in found]}")
	print(f"{count} pairs of taps, {wrong} wrong")
	return 1 if wrong or count < len(UNCHANGED) else 0


if __name__ == "__main__":
	sys.exit(main())
