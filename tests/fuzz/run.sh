#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target, or those named, for SECONDS each:  tests/fuzz/run.sh SECONDS [TARGET ...]
#
# Needs clang. What a run discovers is kept under build/fuzz/corpus; an input that
# crashes, hangs or leaks is left under build/fuzz/findings and is to be put into
# tests/fuzz/corpus/TARGET under the name of its bug.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET ...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		targets+=("${name#fuzz_}")
	done
fi
cmake --preset fuzz >/dev/null || exit 1
cmake --build build/fuzz -j"${JOBS:-$(nproc)}" $(printf -- '--target fuzz_%s ' "${targets[@]}") || exit 1
mkdir -p build/fuzz/findings
failed=0
for target in "${targets[@]}"; do
	mkdir -p "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target"
	dictionary=tests/fuzz/dictionaries/$target.dict
	log=build/fuzz/findings/$target.log
	options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
		-artifact_prefix="build/fuzz/findings/$target-")
	case $target in
	pipeline | certificate | packet_decode) options+=(-max_len=16384) ;;
	*) options+=(-max_len=8192) ;;
	esac
	[ -e "$dictionary" ] && options+=(-dict="$dictionary")
	if "build/fuzz/tests/fuzz/fuzz_$target" "${options[@]}" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
		verdict=clean
	else
		verdict="FOUND SOMETHING, see $log"
		failed=1
	fi
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
	coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
	printf '%-16s %10s runs %8s/s coverage %6s  %s\n' "$target" "${runs:-?}" "${speed:-?}" "${coverage:-?}" "$verdict"
done
exit $failed
