# SPDX-License-Identifier: Apache-2.0
"""The laboratory's network: three namespaces in a row.

	client 192.0.2.10 --- c0|pc  proxy  ps|s0 --- 198.51.100.25 server
	       2001:db8:1::10                         2001:db8:2::25

The proxy namespace routes. With `intercept()` the mail ports are delivered to it
instead, for a transparent proxy. Addresses are those set aside for documentation
(RFC 5737, RFC 3849); nothing leaves the namespaces, which have no other link.

Run as root inside namespaces of its own (rebuild.sh does it): the names of the
network namespaces then live on a private /run, and every process ends with the
PID namespace.
"""

import array
import fcntl
import os
import signal
import socket
import struct
import subprocess
import time

CLIENTS_V4 = ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
CLIENTS_V6 = ["2001:db8:1::10"]
SERVERS_V4 = [f"198.51.100.{host}" for host in range(25, 60)]
SERVERS_V6 = ["2001:db8:2::25"]

CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:0a", "02:00:00:00:00:19"

# Offloads leave half-done checksums and giant segments in a capture of a veth pair.
ETHTOOL_SETTERS = (0x15, 0x17, 0x19, 0x1f, 0x24, 0x2c)	# rx, tx, sg, tso, gso, gro
SIOCETHTOOL = 0x8946


def run(*command, **options):
	return subprocess.run(command, check=True, **options)


def offload_off(interface):
	"""To be called inside the interface's namespace (see `python3 netlab.py offload-off IF`)."""
	sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	for setter in ETHTOOL_SETTERS:
		value = array.array("B", struct.pack("II", setter, 0))
		request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
		try:
			fcntl.ioctl(sock, SIOCETHTOOL, request)
		except OSError:
			pass
	sock.close()


class Network:
	NAMES = ("client", "proxy", "server")

	def __init__(self):
		self.processes = []
		for name in self.NAMES:
			run("ip", "netns", "add", name)
			self.ip(name, "link", "set", "lo", "up")
			self.sysctl(name, "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
				"net.ipv6.conf.all.accept_ra=0", "net.ipv4.conf.all.rp_filter=0",
				"net.ipv4.conf.default.rp_filter=0", "net.ipv4.tcp_timestamps=1")
		self.link("client", "c0", CLIENT_MAC, "proxy", "pc", "02:00:00:00:00:01")
		self.link("proxy", "ps", "02:00:00:00:00:02", "server", "s0", SERVER_MAC)
		for address in CLIENTS_V4:
			self.ip("client", "addr", "add", address + "/24", "dev", "c0")
		for address in CLIENTS_V6:
			self.ip("client", "addr", "add", address + "/64", "dev", "c0")
		for address in SERVERS_V4:
			self.ip("server", "addr", "add", address + "/24", "dev", "s0")
		for address in SERVERS_V6:
			self.ip("server", "addr", "add", address + "/64", "dev", "s0")
		self.ip("proxy", "addr", "add", "192.0.2.1/24", "dev", "pc")
		self.ip("proxy", "addr", "add", "2001:db8:1::1/64", "dev", "pc")
		self.ip("proxy", "addr", "add", "198.51.100.1/24", "dev", "ps")
		self.ip("proxy", "addr", "add", "2001:db8:2::1/64", "dev", "ps")
		self.ip("client", "route", "add", "default", "via", "192.0.2.1")
		self.ip("client", "-6", "route", "add", "default", "via", "2001:db8:1::1")
		self.ip("server", "route", "add", "default", "via", "198.51.100.1")
		self.ip("server", "-6", "route", "add", "default", "via", "2001:db8:2::1")
		self.forward(True)
		self.intercepting = False

	def ip(self, name, *arguments):
		run("ip", "-n", name, *arguments)

	def sysctl(self, name, *settings):
		# /proc/sys/net shows the namespace of the reading process.
		script = "".join(f"echo {v} >/proc/sys/{k.replace('.', '/')};"
			for k, v in (s.split("=") for s in settings))
		run("ip", "netns", "exec", name, "sh", "-c", script)

	def link(self, left, left_if, left_mac, right, right_if, right_mac):
		run("ip", "link", "add", left_if, "netns", left, "address", left_mac, "type", "veth",
			"peer", "name", right_if, "netns", right, "address", right_mac)
		for name, interface in ((left, left_if), (right, right_if)):
			self.ip(name, "link", "set", interface, "up")
			run("ip", "netns", "exec", name, "python3", __file__, "offload-off", interface)

	def forward(self, on):
		value = int(on)
		self.sysctl("proxy", f"net.ipv4.ip_forward={value}", f"net.ipv6.conf.all.forwarding={value}")

	def intercept(self, on):
		"""Deliver what crosses the proxy to local sockets (transparent ones), or route it."""
		if on == self.intercepting:
			return
		self.intercepting = on
		verb = "add" if on else "del"
		for family, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
			for interface, table in (("pc", "100"), ("ps", "101")):
				self.ip("proxy", family, "rule", verb, "iif", interface, "ipproto", "tcp", "lookup", table)
				self.ip("proxy", family, "route", verb, "local", everything, "dev", "lo", "table", table)

	# -- processes

	def command(self, name, root, arguments):
		out = ["ip", "netns", "exec", name]
		if root:
			out += ["chroot", root]
		return out + list(arguments)

	def start(self, name, root, arguments, log, ready=None, timeout=15, **options):
		"""Start a daemon in a namespace (and root); wait until `ready` is in its log."""
		with open(log, "wb") as output:
			options.setdefault("stdin", subprocess.DEVNULL)
			process = subprocess.Popen(self.command(name, root, arguments), stdout=output,
				stderr=subprocess.STDOUT, start_new_session=True, **options)
		self.processes.append(process)
		if ready:
			end = time.monotonic() + timeout
			while time.monotonic() < end:
				with open(log, "rb") as output:
					if ready.encode() in output.read():
						return process
				if process.poll() is not None:
					break
				time.sleep(0.02)
			with open(log, encoding="utf-8", errors="replace") as output:
				raise RuntimeError(f"{arguments[0]} did not come up:\n{output.read()}")
		return process

	def stop(self, process, sig=signal.SIGTERM):
		if process.poll() is None:
			os.killpg(process.pid, sig)
			try:
				process.wait(timeout=5)
			except subprocess.TimeoutExpired:
				os.killpg(process.pid, signal.SIGKILL)
				process.wait()
		if process in self.processes:
			self.processes.remove(process)

	def wait_listening(self, name, address, port, timeout=15):
		"""Wait until a listener shows in the namespace, without making a connection."""
		needle = f"{port:04X}"
		end = time.monotonic() + timeout
		while time.monotonic() < end:
			tables = subprocess.run(["ip", "netns", "exec", name, "cat", "/proc/net/tcp", "/proc/net/tcp6"],
				capture_output=True, text=True, check=True).stdout
			for row in tables.splitlines():
				fields = row.split()
				if len(fields) < 4 or fields[3] != "0A":
					continue
				host, _, local = fields[1].rpartition(":")
				if local != needle:
					continue
				if host in ("0" * 8, "0" * 32, socket.inet_aton(address)[::-1].hex().upper()):
					return
			time.sleep(0.05)
		raise RuntimeError(f"nothing listens on {address}:{port} in {name}")

	def capture(self, name, interface, path, root=None, link_type=None):
		"""tcpdump inside the namespace, writing to path; returns when it listens."""
		log = path + ".log"
		arguments = ["tcpdump", "-Z", "root", "-n", "-i", interface, "-U", "--immediate-mode", "-s", "262144", "-w", "-"]
		if link_type:
			arguments += ["-y", link_type]
		arguments += ["tcp or (ip6 and ip6[6] = 6)"]
		with open(path, "wb") as output, open(log, "wb") as errors:
			process = subprocess.Popen(self.command(name, root, arguments), stdin=subprocess.DEVNULL,
				stdout=output, stderr=errors, start_new_session=True)
		end = time.monotonic() + 10
		while time.monotonic() < end:
			with open(log, "rb") as errors:
				if b"listening on" in errors.read():
					# The file header is written just before that line.
					return process
			if process.poll() is not None:
				break
			time.sleep(0.01)
		with open(log, encoding="utf-8", errors="replace") as errors:
			raise RuntimeError("tcpdump: " + errors.read())

	def end_capture(self, process, path):
		time.sleep(0.15)
		self.stop(process)
		os.unlink(path + ".log")

	def close(self):
		for process in list(self.processes):
			self.stop(process)
		for name in self.NAMES:
			subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
	import sys
	if len(sys.argv) == 3 and sys.argv[1] == "offload-off":
		offload_off(sys.argv[2])
	else:
		sys.exit("usage: netlab.py offload-off INTERFACE")
