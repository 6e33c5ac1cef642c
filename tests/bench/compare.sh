#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures stripwatch beside a bare libpcap loop and whichever peers are installed.
#
#   tests/bench/compare.sh [--build DIR] [--rounds N] [--programs "NAME..."]
#                          [--small | --span | --capture FILE] [--filter EXPRESSION]
#   tests/bench/compare.sh [--build DIR] --instructions [--update]
#
# All programs read the same capture in turn, round after round, so that what else the machine
# does meets all of them. CPU is user and system time of the whole process, wall is what passed
# meanwhile; the ratios are those of the medians, and the spread goes from the least to the
# most. two_workers is stripwatch with --workers 2.
# --filter is a capture filter for those that take one: bare_loop, stripwatch, tcpdump, tcpflow.
# --instructions counts, by callgrind, what a fixed small capture takes for each packet and
# compares it with tests/bench/instructions.tsv: exact, where seconds are not, but for a program
# that was built once (-DSTRIPWATCH_PROFILE=OFF, --build DIR): by a profile, two builds of the
# same source differ by some percent, and take less than is written down.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$here/../../build/release
rounds=5
mode=mail
wanted='bare_loop stripwatch two_workers tcpdump libnids tcpflow ndpiReader suricata tshark' # the yardstick is first
capture=
filter=
update=false
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2; shift ;;
	--rounds) rounds=$2; shift ;;
	--programs) wanted=$2; shift ;;
	--capture) mode=file; capture=$2; shift ;;
	--small) mode=small ;;
	--span) mode=span ;;
	--instructions) mode=instructions ;;
	--filter) filter=$2; shift ;;
	--update) update=true ;;
	*) sed -n '3,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
	shift
done
stripwatch=$build/stripwatch
generate=$build/tests/bench_generate
bare=$build/tests/bench_bare_loop
scratch=$(mktemp -d "${TMPDIR:-/tmp}/stripwatch-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

instructions_of() { # PROGRAM ARGUMENT...: instructions of the whole process
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null |
		sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

if [ "$mode" = instructions ]; then
	# The difference of two sizes takes out what starting and ending cost.
	"$generate" --sessions 100 --concurrent 50 --certificates 16 "$scratch/one.pcap" 2>/dev/null
	"$generate" --sessions 400 --concurrent 50 --certificates 16 "$scratch/two.pcap" 2>/dev/null
	packets=$(($("$bare" "$scratch/two.pcap" | cut -d' ' -f1) -
		$("$bare" "$scratch/one.pcap" | cut -d' ' -f1)))
	measured=$scratch/instructions.tsv
	for what in bare_loop stripwatch; do
		for size in one two; do
			case $what in
			bare_loop) counted=$(instructions_of "$bare" "$scratch/$size.pcap") ;;
			# From standard input, which is never mapped: of a file some windows are,
			# by what that takes at the moment.
			stripwatch) counted=$(instructions_of "$stripwatch" replay --quiet \
				--sensor bench --alerts "$scratch/alerts" \
				--sessions "$scratch/sessions" - <"$scratch/$size.pcap") ;;
			esac
			eval "$size=$counted"
		done
		printf '%s\t%d\n' "$what" $(((two - one) / packets))
	done >"$measured"
	if $update; then
		cp "$measured" "$here/instructions.tsv"
	fi
	if grep -q '^STRIPWATCH_PROFILE:BOOL=ON' "$build/CMakeCache.txt" 2>/dev/null; then
		echo "built by a profile: not what is written down, see $0 --help"
	fi
	# More than a fiftieth above what is written down is a regression.
	join -t "$(printf '\t')" <(sort "$here/instructions.tsv") <(sort "$measured") |
		awk -F'\t' '{ printf "%-12s %6d instructions per packet, %6d written down (%+.1f %%)\n",
			$1, $3, $2, ($3 - $2) * 100 / $2; if ($3 > $2 * 1.02) worse = 1 }
			END { exit worse }'
	exit
fi

case $mode in
mail) capture=$scratch/mail.pcap; "$generate" "$capture" ;;
small) capture=$scratch/small.pcap; "$generate" --sessions 1000 "$capture" ;;
span) capture=$scratch/span.pcap; "$generate" --span --sessions 850 "$capture" ;;
esac

command_of() { # NAME: its command in the array command; false where it is not installed
	case $1 in
	bare_loop) command=("$bare" "$capture") ;;
	stripwatch) command=("$stripwatch" replay --quiet --alerts "$scratch/alerts"
		--sessions "$scratch/sessions" "$capture") ;;
	two_workers) command=("$stripwatch" replay --quiet --workers 2 --alerts "$scratch/alerts"
		--sessions "$scratch/sessions" "$capture") ;;
	libnids) command=("$build/tests/bench_nids_loop" "$capture") ;;
	tcpdump) command=(tcpdump -n -r "$capture" -w /dev/null) ;;
	ndpiReader) command=(ndpiReader -q -i "$capture") ;;
	tcpflow) command=(tcpflow -q -o "$scratch/flows" -r "$capture") ;;
	suricata) command=(suricata -r "$capture" -l "$scratch" --runmode single) ;;
	tshark) command=(tshark -r "$capture" -Y smtp -T fields -e smtp.req.command) ;;
	esac
	command -v "${command[0]}" >/dev/null
}

programs=()
for name in $wanted; do
	if command_of "$name"; then programs+=("$name"); fi
done
cat "$capture" >/dev/null # into the page cache
for ((round = 0; round < rounds; round++)); do
	for name in "${programs[@]}"; do
		command_of "$name"
		/usr/bin/time -o "$scratch/time" -f '%U %S %e %M' "${command[@]}" >/dev/null 2>&1 || true
		tail -n 1 "$scratch/time" | sed "s/^/$name /"
		# Each writes to files that are new: to empty the ones before is none of its work.
		rm -rf "$scratch/flows" "$scratch/alerts" "$scratch/sessions"
	done
done >"$scratch/times"

awk -v order="${programs[*]}" '
	{ n[$1]++; cpu[$1, n[$1]] = $2 + $3; wall[$1, n[$1]] = $4; if ($5 > peak[$1]) peak[$1] = $5 }
	function sorted(values, name,    i, j, t) {
		for (i = 1; i <= n[name]; i++) row[i] = values[name, i]
		for (i = 2; i <= n[name]; i++)
			for (j = i; j > 1 && row[j - 1] > row[j]; j--) {
				t = row[j]; row[j] = row[j - 1]; row[j - 1] = t
			}
		return row[int((n[name] + 1) / 2)]
	}
	END {
		printf "%-12s %7s %15s %7s %7s %15s %7s %9s\n", "", "CPU s", "least..most", "ratio",
			"wall s", "least..most", "ratio", "peak MB"
		count = split(order, names, " ")
		for (k = 1; k <= count; k++) {
			name = names[k]
			median = sorted(cpu, name)
			if (k == 1) base = median > 0 ? median : 0.01
			spread = sprintf("%.2f..%.2f", row[1], row[n[name]])
			passed = sorted(wall, name)
			if (k == 1) base_wall = passed > 0 ? passed : 0.01
			spread_wall = sprintf("%.2f..%.2f", row[1], row[n[name]])
			printf "%-12s %7.2f %15s %7.2f %7.2f %15s %7.2f %9.1f\n", name, median, spread,
				median / base, passed, spread_wall, passed / base_wall, peak[name] / 1024
		}
	}' "$scratch/times"
