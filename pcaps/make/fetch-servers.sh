#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Unpack the mail servers and clients that the captures are made with, each
# group into a root directory of its own, out of Debian's packages.
#
#	fetch-servers.sh DIR
#
# makes DIR/postfix, DIR/exim, DIR/opensmtpd and DIR/clients. Nothing is
# installed: apt is asked with an empty package database, so that it names the
# whole closure of dependencies, and dpkg-deb only unpacks. No maintainer script
# runs, no service is started, the system's own packages are not touched; the
# three servers, which conflict as packages, stand side by side.
#
# Needs: Debian 12, apt with its lists (apt-get update), dpkg-deb. Users and
# files that a maintainer script would have made are made here.

set -euo pipefail

if [ $# -ne 1 ]; then
	echo "usage: $0 DIR" >&2
	exit 2
fi
mkdir -p "$1"
top=$(cd "$1" && pwd)
archives=$top/.archives
mkdir -p "$archives/partial" "$top/.lists"
: >"$top/.lists/status"

# The packages that each root is asked for; their dependencies follow.
declare -A wanted=(
	[postfix]="postfix libsasl2-modules libsasl2-modules-db sasl2-bin openssl"
	[exim]="exim4-daemon-heavy exim4-base"
	[opensmtpd]="opensmtpd openssl"
	[clients]="swaks libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl
		libdigest-hmac-perl curl msmtp openssl python3 tcpdump libc-bin coreutils bash zstd"
)

# download ROOT: fetch the closure and print the file names, one a line.
download() {
	local apt=(apt-get -q -y --no-install-recommends
		-o "Dir::State::status=$top/.lists/status"
		-o "Dir::Cache::archives=$archives"
		-o "APT::Sandbox::User=root"
		-o "Debug::NoLocking=1")
	# shellcheck disable=SC2086 # a list of names
	"${apt[@]}" install --download-only ${wanted[$1]} >&2
	# shellcheck disable=SC2086
	"${apt[@]}" install --print-uris ${wanted[$1]} 2>/dev/null >"$top/.lists/$1.uris" || true
	# shellcheck disable=SC2086
	"${apt[@]}" install --simulate ${wanted[$1]} | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' |
		while read -r name version; do
			# apt writes the epoch's colon as %3a.
			ls "$archives/${name}_${version//:/%3a}_"*.deb
		done
}

# add_user ROOT NAME UID HOME: what adduser would have done in a postinst.
add_user() {
	grep -q "^$2:" "$top/$1/etc/passwd" ||
		echo "$2:x:$3:$3::$4:/usr/sbin/nologin" >>"$top/$1/etc/passwd"
	grep -q "^$2:" "$top/$1/etc/group" || echo "$2:x:$3:" >>"$top/$1/etc/group"
}

unpack() {
	local root=$top/$1 deb
	if [ -e "$root/.complete" ]; then
		echo "$root: already there"
		return
	fi
	rm -rf "$root"
	mkdir -p "$root"/usr/{bin,sbin,lib,lib32,lib64,libx32} "$root"/{dev,proc,tmp,etc,root,lab}
	chmod 1777 "$root/tmp"
	local d
	for d in bin sbin lib lib32 lib64 libx32; do
		ln -s "usr/$d" "$root/$d"
	done
	download "$1" >"$top/.lists/$1.debs"
	while read -r deb; do
		dpkg-deb -x "$deb" "$root"
		dpkg-deb -W --showformat='${Package} ${Version}\n' "$deb"
	done <"$top/.lists/$1.debs" >"$root/.versions"

	mkdir -p "$root"/{etc,var/{mail,spool,lib,log,tmp},run}
	[ -e "$root/var/run" ] || ln -s ../run "$root/var/run"
	mkdir -p "$root/home/user"
	chown 1000:1000 "$root/home/user"
	cat >"$root/etc/passwd" <<-'END'
		root:x:0:0:root:/root:/bin/sh
		daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
		mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
		user:x:1000:1000:A user:/home/user:/bin/sh
	END
	cat >"$root/etc/group" <<-'END'
		root:x:0:
		daemon:x:1:
		tty:x:5:
		mail:x:8:
		sasl:x:45:
		nogroup:x:65534:
		user:x:1000:
	END
	cat >"$root/etc/nsswitch.conf" <<-'END'
		passwd: files
		group: files
		hosts: files
		services: files
		protocols: files
	END
	# Nobody answers there: the laboratory has no name server.
	echo "nameserver 127.0.0.1" >"$root/etc/resolv.conf"
	printf '%s\n' "smtp 25/tcp" "submissions 465/tcp" "submission 587/tcp" >"$root/etc/services"
	[ -e "$root/bin/sh" ] || ln -s bash "$root/usr/bin/sh"
	local node
	for node in "null 3" "zero 5" "random 8" "urandom 9"; do
		# shellcheck disable=SC2086
		set -- "$1" $node
		[ -e "$root/dev/$2" ] || mknod -m 666 "$root/dev/$2" c 1 "$3"
	done
	ldconfig -r "$root"

	case $1 in
	postfix)
		add_user postfix postfix 101 /var/spool/postfix
		add_user postfix postdrop 102 /nonexistent
		;;
	exim)
		add_user exim Debian-exim 103 /var/spool/exim4
		;;
	opensmtpd)
		add_user opensmtpd opensmtpd 104 /var/lib/opensmtpd/empty
		add_user opensmtpd opensmtpq 105 /nonexistent
		mkdir -p "$root/var/lib/opensmtpd/empty"
		;;
	esac
	: >"$root/.complete"
	echo "$root: $(wc -l <"$root/.versions") packages"
}

for root in postfix exim opensmtpd clients; do
	unpack "$root"
done
