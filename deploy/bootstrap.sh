#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that stripwatch needs, and nothing that is there
# already. Run it as root, or as somebody who may use sudo.
#
#   deploy/bootstrap.sh          what building and running needs
#   deploy/bootstrap.sh --tests  what the tests need as well
set -eu

packages="build-essential cmake ninja-build pkg-config
	libpcap-dev libndpi-dev libhiredis-dev libssl-dev libyaml-dev libsqlite3-dev
	libjansson-dev libzstd-dev zlib1g-dev"
if [ "${1:-}" = --tests ]; then
	packages="$packages libcriterion-dev python3 python3-scapy python3-jsonschema python3-yaml python3-selenium chromium chromium-driver
	sqlite3 binutils clang clang-format clang-tidy gcovr tcpdump tshark iproute2 openssl redis-server redis-sentinel tmux jq zstd gzip git cppcheck mandoc"
elif [ $# -gt 0 ]; then
	echo "usage: $0 [--tests]" >&2
	exit 2
fi

missing=
for package in $packages; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "Packages are missing, and there is neither root nor sudo to install them. As root:" >&2
		echo "apt-get install --no-install-recommends$missing" | tr -s "[:space:]" " " >&2
		echo >&2
		exit 1
	}
	as_root=sudo
fi

echo "Installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A server that comes as a test's tool is not to be started on this machine.
policy=/usr/sbin/policy-rc.d
keep_quiet=
if [ ! -e "$policy" ]; then
	keep_quiet=yes
	printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
fi
# shellcheck disable=SC2086 # a list of words
{
	$as_root apt-get -q update &&
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install $missing
} >"$log" 2>&1 || failed=yes
[ -z "$keep_quiet" ] || $as_root rm -f "$policy"
if [ "${failed:-}" = yes ]; then
	tail -n 20 "$log" >&2
	echo "apt-get could not install:$missing" >&2
	exit 1
fi
