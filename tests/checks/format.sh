#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every C file is as .clang-format says. To make it so: tests/checks/format.sh --fix
#
# Version 14, which Debian 12 has: others break some lines elsewhere.
set -eu
cd "$(dirname "$0")/../.."
command -v clang-format-14 >/dev/null || {
	echo "needs clang-format-14"
	exit 77
}

format() {
	find decoders alerts sensor tests -name '*.[ch]' -print0 | xargs -0 clang-format-14 "$@"
}

if [ "${1:-}" = --fix ]; then
	format -i
	exit
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
format --dry-run --Werror 2>"$log" || {
	grep -E 'error:' "$log" | cut -d: -f1 | sort -u
	echo "not formatted: tests/checks/format.sh --fix"
	exit 1
}
