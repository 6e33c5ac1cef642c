#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Proves that a leak makes the run of the unit tests fail, although Criterion
# itself reports the leaking test as passed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -g -fsanitize=address "$here/leaking_test.c" -o "$work/leaking" -lcriterion
sed '/lost = NULL/s/.*/\tfree(lost);/' "$here/leaking_test.c" >"$work/tidy.c"
cc -g -fsanitize=address "$work/tidy.c" -o "$work/tidy" -lcriterion
if "$here/../support/unit.sh" "$work/leaking" >"$work/output"; then
	echo "a test that leaks passed the gate"
	exit 1
fi
grep -q 'LeakSanitizer: detected memory leaks' "$work/output" || {
	echo "the gate failed for another reason:"
	cat "$work/output"
	exit 1
}
"$here/../support/unit.sh" "$work/tidy" >"$work/output" || {
	echo "a test that does not leak was refused:"
	cat "$work/output"
	exit 1
}
