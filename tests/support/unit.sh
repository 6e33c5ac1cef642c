#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# unit.sh PROGRAM - runs one Criterion program and prints its TAP lines.
#
# Criterion takes the exit of a test's process for its result before the leak
# sanitizer has spoken: a test that leaks "passes". So the sanitizers write to
# files of their own, and any such file is a failure of the program.
set -u
program=$1
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
ASAN_OPTIONS="detect_leaks=1:log_path=$logs/asan:${ASAN_OPTIONS:-}" \
UBSAN_OPTIONS="print_stacktrace=1:log_path=$logs/ubsan:${UBSAN_OPTIONS:-}" \
	"$program" --tap="$logs/tap" >"$logs/output" 2>&1
status=$?
# Criterion writes "ok - suite::test (0.01s)", skipped ones with "# SKIP reason".
cat "$logs/tap" 2>/dev/null || echo "not ok - $(basename "$program") wrote no result"
if [ "$status" -ne 0 ]; then
	cat "$logs/output"
	grep -q '^not ok' "$logs/tap" 2>/dev/null || echo "not ok - $(basename "$program") ended with $status"
fi
for log in "$logs"/asan* "$logs"/ubsan*; do
	[ -e "$log" ] || continue
	cat "$log"
	echo "not ok - $(basename "$program"): a sanitizer spoke"
	status=1
done
exit "$status"
