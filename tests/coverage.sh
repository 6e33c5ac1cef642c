#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# How much of decoders/ and alerts/ the tests reach: lines and branches of each file and in
# total, by gcov. Exit status 1 below 95 % of the lines or 85 % of the branches.
#
#   coverage.sh [--keep] [KIND ...]    kinds: unit cases property fuzz golden faults redis live (all)
#
# --keep adds to what earlier runs counted. Lines that are left out carry a GCOVR_EXCL mark with
# its reason. Branches that only the compiler knows (of no line of ours) are not counted.
set -u
cd "$(dirname "$0")/.." || exit 1
keep=
if [ "${1:-}" = --keep ]; then
	keep=yes
	shift
fi
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(unit cases property fuzz golden faults redis live)
build=build/coverage
cmake --preset coverage >/dev/null && cmake --build "$build" -j"${JOBS:-2}" >build/coverage.log 2>&1 || {
	grep -E 'error|FAILED' build/coverage.log
	exit 1
}
[ -n "$keep" ] || find "$build" -name '*.gcda' -delete
program=$PWD/$build/stripwatch

run() {
	timeout 900 "$@" >>build/coverage.log 2>&1 || echo "not passed, counted all the same: $*"
}

for kind in "${kinds[@]}"; do
	start=$SECONDS
	case $kind in
	unit)
		for test in "$build"/tests/test_*; do
			[ -x "$test" ] && [ -f "$test" ] && run "$test"
		done
		;;
	cases) run tests/cases/run.py "$program" ;;
	property)
		run tests/property/run.py "$program" --cases 40 --seed 1
		run tests/property/workers.py "$program"
		;;
	fuzz)
		for target in "$build"/tests/fuzz/fuzz_*; do
			[ -x "$target" ] && [ -f "$target" ] && run "$target" "tests/fuzz/corpus/${target##*/fuzz_}"
		done
		;;
	golden)
		for test in tests/golden/*; do
			[ -f "$test" ] && [ -x "$test" ] && run "$test" "$program"
		done
		;;
	faults) run tests/faults/injected.py "$build/tests/faults/faults" ;;
	redis)
		run tests/live/redis_delivery.py --load "$build/tests/alert_load" --stripwatch "$program"
		run tests/live/baseline_redis.py "$program"
		;;
	live)
		for test in outputs people tail; do
			run "tests/live/$test.py" "$program"
		done
		;;
	*)
		echo "no such kind: $kind"
		exit 1
		;;
	esac
	echo "$kind: $((SECONDS - start)) s"
done
# Of the libraries alone: the tests expand the lists of alerts/ too, with branches of their own.
gcovr --root . "$build/CMakeFiles" --filter 'decoders/' --filter 'alerts/' --exclude-unreachable-branches \
	--exclude-throw-branches --csv 2>>build/coverage.log | python3 -c '
import csv, sys
rows = list(csv.DictReader(sys.stdin))
print()
def show(name, rows):
	lines, seen = (sum(int(r[k]) for r in rows) for k in ("line_total", "line_covered"))
	branches, taken = (sum(int(r[k]) for r in rows) for k in ("branch_total", "branch_covered"))
	l, b = 100 * seen / max(lines, 1), 100 * taken / max(branches, 1)
	print(f"{name:36} {l:6.1f} % of {lines:5} {b:6.1f} % of {branches:5}")
	return l >= 95 and b >= 85
for row in rows:
	show(row["filename"], [row])
print()
for room in ("decoders/", "alerts/"):
	show(room, [r for r in rows if r["filename"].startswith(room)])
sys.exit(not show("both", rows))
'
