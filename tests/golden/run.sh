#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every bundled capture by itself: what stripwatch says of it is compared byte
# for byte with what is stored beside this script, and with a second run.
#
#   run.sh [PROGRAM]            compare
#   run.sh --update [PROGRAM]   store what the program says now; read the diff before committing
#
# expected/<capture>.sessions.jsonl and .alerts.jsonl; a capture that may not be read to its
# end has its exit status in expected/<capture>.status.
set -u
here=$(cd "$(dirname "$0")" && pwd)
captures=$here/../../pcaps
expected=$here/expected
update=
if [ "${1:-}" = --update ]; then
	update=yes
	shift
fi
program=${1:-${STRIPWATCH:-$here/../../build/release/stripwatch}}
[ -x "$program" ] || { echo "no program: $program"; exit 1; }
program=$(realpath "$program")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The name of a file is in the output (observer), so it is given as from its folder.
cd "$captures" || exit 1

# replay DIRECTORY CAPTURE
replay() {
	timeout 60 "$program" replay --separate --quiet --sensor golden --sessions "$1/sessions.jsonl" \
		--alerts "$1/alerts.jsonl" "$2" 2>"$1/errors" </dev/null
	echo $? >"$1/status"
}

differ=0
count=0
complain() {
	echo "$1"
	differ=$((differ + 1))
}

while read -r capture; do
	count=$((count + 1))
	rm -rf "$work/a" "$work/b"
	mkdir "$work/a" "$work/b"
	replay "$work/a" "$capture"
	replay "$work/b" "$capture"
	diff -r "$work/a" "$work/b" >/dev/null || complain "$capture: two runs differ"
	if [ "$(cat "$work/a/status")" -gt 1 ]; then
		complain "$capture: exit status $(cat "$work/a/status")"
		cat "$work/a/errors"
	fi
	name=$expected/${capture#./}
	if [ -n "$update" ]; then
		mkdir -p "$(dirname "$name")"
		for output in sessions alerts; do
			rm -f "$name.$output.jsonl"
			[ ! -s "$work/a/$output.jsonl" ] || cp "$work/a/$output.jsonl" "$name.$output.jsonl"
		done
		rm -f "$name.status"
		[ "$(cat "$work/a/status")" = 0 ] || cp "$work/a/status" "$name.status"
		continue
	fi
	for output in sessions alerts; do
		stored=$name.$output.jsonl
		[ -e "$stored" ] || stored=/dev/null
		diff -u --label expected --label got "$stored" "$work/a/$output.jsonl" >"$work/diff" || {
			complain "$capture: $output differ"
			cut -c1-400 "$work/diff" | head -n 12
		}
	done
	stored=$name.status
	[ "$(cat "$work/a/status")" = "$(cat "$stored" 2>/dev/null || echo 0)" ] ||
		complain "$capture: exit status $(cat "$work/a/status")"
done < <(find . -type f \( -name '*.pcap' -o -name '*.pcapng' -o -name '*.pcap.gz' -o -name '*.pcap.zst' \) | LC_ALL=C sort)

# What is stored for a capture that is gone.
while read -r stored; do
	capture=${stored#"$expected"/}
	capture=${capture%.sessions.jsonl}
	capture=${capture%.alerts.jsonl}
	capture=${capture%.status}
	[ -e "$captures/$capture" ] || complain "$stored: there is no such capture"
done < <(find "$expected" -type f 2>/dev/null | LC_ALL=C sort)

if [ "$count" -eq 0 ]; then
	echo "there is no capture in $captures"
	exit 1
fi
# Every stored document fits its published schema.
find "$expected" -name '*.jsonl' -print0 | xargs -0 "$here/../checks/schema.py" >"$work/schema" ||
	{ complain "the schemas do not fit"; head -n 20 "$work/schema"; }
echo "$count captures, $differ differences"
[ "$differ" -eq 0 ]
