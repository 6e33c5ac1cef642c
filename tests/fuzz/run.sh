#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target, or those named, one after the other:
#
#   run.sh SECONDS [TARGET ...]           libFuzzer, so many seconds each; prints a table
#   run.sh --afl SECONDS [TARGET ...]     the same entry points under AFL++
#   run.sh --minimise [TARGET ...]        adds to tests/fuzz/corpus what a run discovered and
#                                         reaches something new, nothing else
#
# Needs clang, AFL++ the package afl++. What a run discovers is kept under build/fuzz/corpus (AFL++:
# build/afl/out); an input that crashes, hangs or leaks is left under build/fuzz/findings and is to be
# put into tests/fuzz/corpus/TARGET under the name of its bug. Exit status 1 when there is one.
set -u
cd "$(dirname "$0")/../.." || exit 1
mode=libfuzzer
case ${1:-} in
--afl) mode=afl ;;
--minimise) mode=minimise ;;
esac
[ "$mode" = libfuzzer ] || shift
seconds=0
if [ "$mode" != minimise ]; then
	seconds=${1:?usage: tests/fuzz/run.sh [--afl] SECONDS [TARGET ...] or --minimise [TARGET ...]}
	shift
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		targets+=("${name#fuzz_}")
	done
fi
build=build/fuzz
if [ "$mode" = afl ]; then
	build=build/afl
	command -v afl-clang-fast >/dev/null && command -v afl-fuzz >/dev/null || {
		echo "afl-clang-fast and afl-fuzz are missing: apt-get install afl++"
		exit 1
	}
	cmake -G Ninja -B build/afl -DCMAKE_C_COMPILER=afl-clang-fast -DCMAKE_BUILD_TYPE=RelWithDebInfo \
		-DSTRIPWATCH_SANITIZE=ON -DSTRIPWATCH_AFL=ON >/dev/null || exit 1
else
	command -v clang >/dev/null || {
		echo "clang is missing: apt-get install clang"
		exit 1
	}
	cmake --preset fuzz >/dev/null || exit 1
fi
# shellcheck disable=SC2046 # words
cmake --build "$build" -j"${JOBS:-2}" $(printf -- '--target fuzz_%s ' "${targets[@]}") >build/fuzz.log 2>&1 || {
	grep -E 'error|FAILED' build/fuzz.log
	exit 1
}
mkdir -p "$build/findings"

# options TARGET: those of libFuzzer that a target wants.
options() {
	local longest=8192
	case $1 in
	pipeline | certificate | packet_decode) longest=16384 ;;
	baseline) longest=65536 ;;
	traffic) longest=512 ;; # a step is two bytes
	esac
	echo "-max_len=$longest -timeout=20 -rss_limit_mb=2048"
	[ ! -e "tests/fuzz/dictionaries/$1.dict" ] || echo "-dict=tests/fuzz/dictionaries/$1.dict"
}

libfuzzer() {
	local target=$1 log=build/fuzz/findings/$1.log found verdict=0
	mkdir -p "build/fuzz/corpus/$target"
	# shellcheck disable=SC2046 # words
	"build/fuzz/tests/fuzz/fuzz_$target" $(options "$target") -max_total_time="$seconds" -print_final_stats=1 \
		-artifact_prefix="build/fuzz/findings/$target-" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1 || verdict=1
	found=$(find build/fuzz/findings -name "$target-*" ! -name '*.log' | wc -l)
	# shellcheck disable=SC2046 # words
	printf '%-16s %8s %12s %8s %7s %9s %7s %8s\n' "$target" "$seconds" \
		"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
		"$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" \
		$(sed -n 's/^#.* cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1 \2 \3/p' "$log" | tail -n 1) "$found"
	[ $verdict -eq 0 ] || tail -n 30 "$log"
	return $verdict
}

afl() {
	local target=$1 out=build/afl/out/$1 stats found words=()
	[ ! -e "tests/fuzz/dictionaries/$1.dict" ] || words=(-x "tests/fuzz/dictionaries/$1.dict")
	rm -rf "$out"
	mkdir -p build/afl/out
	AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_NO_UI=1 \
		timeout $((seconds + 120)) afl-fuzz -V "$seconds" -m none -t 5000 "${words[@]}" -i "tests/fuzz/corpus/$target" -o "$out" \
		-- "build/afl/tests/fuzz/fuzz_$target" >"build/afl/findings/$target.log" 2>&1 ||
		{ tail -n 20 "build/afl/findings/$target.log"; return 1; }
	stats=$out/default/fuzzer_stats
	stat() { sed -n "s/^$1 *: //p" "$stats"; }
	found=$(($(stat saved_crashes) + $(stat saved_hangs)))
	printf '%-16s %8s %12s %8s %7s %9s %7s %8s\n' "$target" "$seconds" "$(stat execs_done)" \
		"$(stat execs_per_sec)" "$(stat edges_found)" - "$(stat corpus_count)" "$found"
	[ "$found" -eq 0 ]
}

minimise() {
	local target=$1 before
	mkdir -p "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target"
	before=$(find "tests/fuzz/corpus/$target" -type f | wc -l)
	# shellcheck disable=SC2046 # words
	"build/fuzz/tests/fuzz/fuzz_$target" $(options "$target") -merge=1 "tests/fuzz/corpus/$target" \
		"build/fuzz/corpus/$target" >build/fuzz/findings/merge.log 2>&1 || { tail -n 20 build/fuzz/findings/merge.log; return 1; }
	echo "$target: $before inputs, now $(find "tests/fuzz/corpus/$target" -type f | wc -l)"
}

[ "$mode" = minimise ] || printf '%-16s %8s %12s %8s %7s %9s %7s %8s\n' target seconds executions exec/s edges features corpus findings
failed=0
for target in "${targets[@]}"; do
	"$mode" "$target" || failed=1
done
exit $failed
