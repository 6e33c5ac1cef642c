#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds everything and runs every test there is:
#
#   unit      tests/unit/test_*.c, under the address, leak and undefined-behaviour sanitizers
#   property  whole connections with reasoned records; what generated traffic must not change;
#             the corpus of every fuzz target
#   faults    a whole replay with each call of the system failing; full disks, signals, clocks
#   checks    the laws of the architecture, documents against the lists they are made of
#   golden    every bundled capture against its stored output, its manifest, and tshark
#   live      real programs in network namespaces; need root
#
# A script among them is given the program to test. It passes with 0 and fails with anything
# else, or when it takes longer than ten minutes (thirty where every source is analysed); with 77
# it was skipped: the last line it
# printed is the reason. The last line here is "N passed, N failed, N skipped"; the exit
# status is 0 if nothing failed.
#
#   tests/run.sh          everything
#   tests/run.sh unit     one or more of the six
set -u
cd "$(dirname "$0")/.." || exit 1
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(unit property faults checks golden live)

passed=0
failed=0
limit=600 # seconds for a script
skips=()
failures=()
log=$(mktemp)
tidy= # the process of clang-tidy, while it runs beside the tests
tidy_log=$(mktemp)
trap '[ -z "$tidy" ] || kill "$tidy" 2>/dev/null; rm -f "$log" "$tidy_log"' EXIT

say() { printf '%s\n' "$*"; }

finish() {
	[ ${#failures[@]} -eq 0 ] || { say; say "Failed:"; printf '  %s\n' "${failures[@]}"; }
	[ ${#skips[@]} -eq 0 ] || { say; say "Skipped:"; printf '  %s\n' "${skips[@]}"; }
	say
	say "$passed passed, $failed failed, ${#skips[@]} skipped"
	[ "$failed" -eq 0 ]
	exit
}

fail() {
	failed=$((failed + 1))
	failures+=("$1")
}

# build PRESET TARGET...: configures and builds; a failure ends the run, as nothing else would
# tell more.
build() {
	say "== building ($1)"
	if ! { cmake --preset "$1" && cmake --build --preset "$1" --target "${@:2}"; } >"$log" 2>&1; then
		grep -E 'error|warning|FAILED' "$log" | head -n 40
		tail -n 20 "$log"
		fail "build $1"
		finish
	fi
}

# unit PROGRAM: every test in it counts.
unit() {
	local program=$1 name
	name=$(basename "$program")
	if tests/support/unit.sh "$program" >"$log" 2>&1; then
		say "ok    $name ($(grep -c '^ok' "$log"))"
	else
		say "FAIL  $name"
		grep -v '^ok' "$log"
	fi
	passed=$((passed + $(grep '^ok' "$log" | grep -vic '# skip')))
	while read -r line; do
		skips+=("${line#ok - }")
	done < <(grep -i '^ok.*# skip' "$log")
	while read -r line; do
		fail "$name: ${line#not ok - }"
	done < <(grep '^not ok' "$log")
}

# report NAME STATUS SECONDS: a script that ended; its output is in the log.
report() {
	local name=$1 status=$2 seconds=$3
	case $status in
	124)
		say "FAIL  $name: not done after $limit s"
		tail -n 60 "$log"
		fail "$name: not done after $limit s"
		;;
	0)
		passed=$((passed + 1))
		say "ok    $name ($seconds s)"
		;;
	77)
		skips+=("$name: $(tail -n 1 "$log")")
		say "skip  $name"
		;;
	*)
		say "FAIL  $name"
		tail -n 60 "$log"
		fail "$name"
		;;
	esac
}

# script NAME COMMAND...: the whole script counts as one.
script() {
	local name=$1 start=$SECONDS
	shift
	timeout "$limit" "$@" >"$log" 2>&1
	report "$name" $? $((SECONDS - start))
}

# clang-tidy takes longest, where nothing is noted yet, and most tests leave a core idle: it runs
# beside them, and gives way to them.
tidy_begin() {
	nice -n 19 timeout 1200 tests/checks/static_analysis tidy >"$tidy_log" 2>&1 &
	tidy=$!
}

tidy_end() {
	wait "$tidy"
	local status=$?
	tidy=
	cat "$tidy_log" >"$log"
	limit=1200 report "checks/static_analysis tidy" $status $SECONDS
}

deploy/bootstrap.sh --tests || { fail "packages"; finish; }
build release stripwatch alert_load
build asan all
export STRIPWATCH="$PWD/build/release/stripwatch"
export STRIPWATCH_ASAN="$PWD/build/asan/stripwatch"

case " ${kinds[*]} " in
*' checks '*) tidy_begin ;;
esac
for kind in "${kinds[@]}"; do
	say
	say "== $kind"
	case $kind in
	unit)
		for program in build/asan/tests/test_*; do
			[ -x "$program" ] && [ -f "$program" ] && unit "$program"
		done
		;;
	checks)
		script "checks/laws.py" tests/checks/laws.py --objects build/release
		script "checks/laws.py --self-test" tests/checks/laws.py --self-test
		script "checks/documents.py" tests/checks/documents.py
		script "checks/documents.py --self-test" tests/checks/documents.py --self-test
		for tool in cppcheck gcc; do
			limit=1200 script "checks/static_analysis $tool" tests/checks/static_analysis $tool
		done
		for file in tests/checks/*.sh tests/checks/schema.py; do
			[ -x "$file" ] && script "${file#tests/}" "$file"
		done
		;;
	faults)
		script "faults/injected.py" tests/faults/injected.py build/asan/tests/faults/faults
		script "faults/world.py" tests/faults/world.py "$STRIPWATCH_ASAN"
		;;
	property)
		script "cases/run.py" tests/cases/run.py "$STRIPWATCH_ASAN"
		script "property/losses.py" tests/property/losses.py "$STRIPWATCH"
		script "property/run.py, fixed seed" tests/property/run.py "$STRIPWATCH_ASAN" --cases 60 --seed 1
		script "property/run.py, fresh seed" tests/property/run.py "$STRIPWATCH_ASAN" --cases 60
		script "property/evasion.py" tests/property/evasion.py "$STRIPWATCH_ASAN"
		script "property/beside.py" tests/property/beside.py "$STRIPWATCH_ASAN"
		script "property/workers.py" tests/property/workers.py "$STRIPWATCH"
		script "property/floods.py" tests/property/floods.py "$STRIPWATCH"
		script "property/heap.py" tests/property/heap.py "$STRIPWATCH"
		for target in build/asan/tests/fuzz/fuzz_*; do
			[ -x "$target" ] && [ -f "$target" ] || continue
			corpus=tests/fuzz/corpus/${target##*/fuzz_}
			script "fuzz/${corpus##*/}, its corpus" "$target" "$corpus"
		done
		;;
	golden | live)
		[ "$kind" = live ] || script "differential/run.py" tests/differential/run.py "$STRIPWATCH"
		for file in tests/"$kind"/*; do
			[ -f "$file" ] && [ -x "$file" ] && script "${file#tests/}" "$file" "$STRIPWATCH"
		done
		;;
	*)
		fail "no such kind of test: $kind"
		;;
	esac
done
if [ -n "$tidy" ]; then
	tidy_end
fi
finish
