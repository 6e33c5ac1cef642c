#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds stripwatch and judges the bundled captures: readable alerts and a
# summary on the terminal, JSON lines in out/. Needs no server and sends nothing.
set -eu
cd "$(dirname "$0")"

[ -w . ] || { echo "$0 builds in $PWD, which you may not write to" >&2; exit 1; }
deploy/bootstrap.sh
build=build/run
echo "Building in $build, twice: the second time by what the first one did (a minute or so)"
if ! { cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSTRIPWATCH_TESTS=OFF &&
	cmake --build "$build" --target stripwatch; } >build.log 2>&1; then
	tail -n 30 build.log >&2
	echo "The build failed; build.log has all of it." >&2
	exit 1
fi
rm -f build.log
mkdir -p out
status=0
"$build/stripwatch" replay --separate --alerts out/alerts.jsonl --sessions out/sessions.jsonl pcaps/ || status=$?
cat <<END

Written: out/alerts.jsonl ($(wc -l <out/alerts.jsonl) alerts), out/sessions.jsonl ($(wc -l <out/sessions.jsonl) sessions)
Your own capture:

    $build/stripwatch replay --alerts alerts.jsonl --sessions sessions.jsonl YOUR.pcap
END
exit "$status"
