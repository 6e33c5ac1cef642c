#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Rebuild pcaps/ from nothing: unpack the servers and clients into private roots,
# lay the network, play every scenario, record it, re-encapsulate, write the manifest.
#
#	rebuild.sh [--roots DIR] [--out DIR] [--only 'GLOB']
#
# Needs Debian 12, root, iproute2, util-linux, python3, and the apt lists. Nothing
# is installed or started on the system: the roots are directories (default
# /var/tmp/stripwatch-lab), every process runs in namespaces that end with this
# script, and the network has no link to the outside.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
roots=/var/tmp/stripwatch-lab
out=$here/..
only='*'
while [ $# -gt 0 ]; do
	case $1 in
	--roots) roots=$2; shift 2 ;;
	--out) out=$2; shift 2 ;;
	--only) only=$2; shift 2 ;;
	*) sed -n '3,14s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done
if [ "$(id -u)" -ne 0 ]; then
	echo "$0: needs root, for namespaces" >&2
	exit 2
fi

"$here/fetch-servers.sh" "$roots"
mkdir -p "$out"
exec unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc bash -euc '
	hostname lab
	mount -t tmpfs none /run
	mkdir /run/netns
	for root in postfix exim opensmtpd clients; do
		mountpoint -q "$1/$root/proc" || mount -t proc proc "$1/$root/proc"
	done
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
	/usr/bin/python3 "$0/record.py" --roots "$1" --out "$2" --only "$3"
	if [ "$3" = "*" ]; then
		/usr/bin/python3 "$0/encapsulate.py" "$2" --zstd "chroot $1/clients zstd"
	fi
' "$here" "$(cd "$roots" && pwd)" "$(cd "$out" && pwd)" "$only"
