#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The sensor against real servers and clients: a real Postfix and a real Exim in
# private roots behind the stripping proxy, in network namespaces that end with
# this script. Nothing is installed or started on the system.
#
#	tests/live/run.sh path/to/stripwatch	(or $STRIPWATCH)
#
# STRIPWATCH_LAB: where the servers are unpacked (default /var/tmp/stripwatch-lab;
# filled on the first run). Exit status: 0 passed, 1 failed, 77 could not run here,
# with the reason. Closes with `N passed, N failed`.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
make=$here/../../pcaps/make
lab=${STRIPWATCH_LAB:-/var/tmp/stripwatch-lab}

skip() {
	echo "$1"
	exit 77
}

program=${1:-${STRIPWATCH:?the path of the program to test}}
program=$(realpath "$program")
[ -x "$program" ] || {
	echo "live: $program is not a program" >&2
	exit 1
}
[ "$(id -u)" -eq 0 ] || skip "needs root, for namespaces"
for tool in ip unshare dpkg-deb apt-get /usr/bin/python3; do
	command -v "$tool" >/dev/null || skip "needs $tool"
done
unshare --mount --net --uts --ipc --pid --fork --mount-proc sh -c '
	mount -t tmpfs none /run && ip link add probe0 type veth peer name probe1' 2>/dev/null ||
	skip "the kernel grants no namespaces or veth pairs here"
fetched=$(mktemp)
if ! "$make/fetch-servers.sh" "$lab" >"$fetched" 2>&1; then
	tail -3 "$fetched" >&2
	rm -f "$fetched"
	skip "the servers' packages could not be fetched"
fi
rm -f "$fetched"

exec 9>"$lab/.lock"
flock 9
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
exec unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc bash -euc '
	hostname lab
	mount -t tmpfs none /run
	mkdir /run/netns
	for root in postfix exim opensmtpd clients; do
		mountpoint -q "$1/$root/proc" || mount -t proc proc "$1/$root/proc"
	done
	exec /usr/bin/python3 "$0/live.py" "$1" "$2"
' "$here" "$(cd "$lab" && pwd)" "$program"
