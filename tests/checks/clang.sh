#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every source file through clang's front end with all our warnings as errors; the other
# builds are gcc's. Nothing is generated: `cmake --build --preset clang` does that.
set -eu
cd "$(dirname "$0")/../.."
command -v clang >/dev/null || {
	echo "needs clang"
	exit 77
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset clang >"$log" 2>&1 || {
	cat "$log"
	exit 1
}
exec python3 - build/clang/compile_commands.json <<'SCRIPT'
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys


def check(unit):
	words = shlex.split(unit["command"])
	if os.path.basename(words[0]) == "ccache":
		words = words[1:]
	return subprocess.run([*words, "-fsyntax-only"], cwd=unit["directory"], capture_output=True, text=True, check=False)


with open(sys.argv[1], encoding="utf-8") as file:
	units = json.load(file)
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
	results = list(pool.map(check, units))
for result in results:
	sys.stdout.write(result.stderr)
failed = sum(result.returncode != 0 for result in results)
print(f"{len(units)} files, {failed} refused")
sys.exit(1 if failed or not units else 0)
SCRIPT
