#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Play the scenarios of scenarios.py and record each into a capture of its own.

	record.py --roots DIR --out DIR [--only GLOB]

Run by rebuild.sh inside namespaces of its own. Writes OUT/NAME.pcap (the tap on
the client's side), OUT/NAME.server.pcap (the server's side, where the scenario
states facts for it), and OUT/MANIFEST.json with the facts. What is expected is
stated in scenarios.py, from knowledge of what the programs and the proxy did; the
addresses and ports of the sessions are read from the SYNs of the capture.
"""

import argparse
import datetime
import fnmatch
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

import netlab
import scenarios
import servers

# Vectors of injector.py; all others are stripproxy.py's.
INJECTIONS = {"forge-ehlo": "ehlo", "forge-starttls": "starttls"}

HERE = os.path.dirname(os.path.abspath(__file__))

MESSAGE = (b"From: sender@example.test\nTo: rcpt@example.test\nSubject: laboratory\n\n"
	b"A body whose text shall change no fact:\n250-STARTTLS\n250 XXXXXXXA\nSTARTTLS\n"
	b"454 TLS not available\n.leading dot\nEnd.\n")


def connections(path):
	"""The connections of an Ethernet capture in the order of their SYNs:
	(client address, client port, server address, server port)."""
	out = []
	with open(path, "rb") as file:
		data = file.read()
	at = 24
	while at + 16 <= len(data):
		length = struct.unpack_from("<I", data, at + 8)[0]
		frame = data[at + 16:at + 16 + length]
		at += 16 + length
		kind = frame[12:14]
		if kind == b"\x08\x00":
			header = (frame[14] & 15) * 4
			source, destination = frame[26:30], frame[30:34]
			tcp = frame[14 + header:]
			text = lambda a: netlab.socket.inet_ntop(netlab.socket.AF_INET, a)
		elif kind == b"\x86\xdd":
			source, destination = frame[22:38], frame[38:54]
			tcp = frame[54:]
			text = lambda a: netlab.socket.inet_ntop(netlab.socket.AF_INET6, a)
		else:
			continue
		if tcp[13] & 0x12 == 0x02:
			sport, dport = struct.unpack_from("!HH", tcp)
			key = (text(source), sport, text(destination), dport)
			if key not in out:
				out.append(key)
	return out


class Lab:
	"""What a scenario may use."""

	def __init__(self, roots, work):
		self.roots, self.work = roots, work
		self.net = netlab.Network()
		self.proxy = None
		self.message = MESSAGE
		self.exim_variant = None
		self.exim = self.opensmtpd = self.postfix = self.postfix_client = None

	def root(self, name):
		return f"{self.roots}/{name}"

	def set_up(self):
		certificates = f"{self.root('clients')}/lab"
		shutil.rmtree(certificates, ignore_errors=True)
		os.makedirs(certificates)
		servers.make_certificates(self.root("clients"), certificates)
		shutil.copy(f"{HERE}/labclient.py", certificates)
		servers.write(f"{certificates}/msmtprc", f"""account default
host authtls.example.test
port 587
from sender@example.test
domain client.example.test
tls on
tls_starttls on
tls_trust_file /lab/ca.crt
auth plain
user {servers.ACCOUNT}
password {servers.PASSWORD}
""", 0o600)
		for name in ("postfix", "exim", "opensmtpd"):
			shutil.rmtree(f"{self.root(name)}/lab", ignore_errors=True)
			shutil.copytree(certificates, f"{self.root(name)}/lab")
		for name in ("clients", "postfix", "exim", "opensmtpd"):
			servers.write_hosts(self.root(name))
		self.postfix = servers.start_postfix(self.net, self.root("postfix"), self.work)
		self.postfix_client = servers.PostfixClient(self.net, self.root("postfix"), self.work)
		self.exim = servers.start_exim(self.net, self.root("exim"), self.work)
		self.opensmtpd = servers.start_opensmtpd(self.net, self.root("opensmtpd"), self.work)

	def set_vector(self, vector, tls12=False, only=None):
		if self.proxy:
			self.net.stop(self.proxy)
			self.proxy = None
		self.net.forward(True)
		if vector is None:
			self.net.intercept(False)
			return
		if vector in INJECTIONS:
			self.net.intercept(False)
			self.net.forward(False)
			self.proxy = self.net.start("proxy", None, ["python3", f"{HERE}/injector.py", "--inject", INJECTIONS[vector],
				"pc", netlab.CLIENT_MAC, "ps", netlab.SERVER_MAC], f"{self.work}/proxy.log", ready="ready")
			return
		self.net.intercept(True)
		arguments = ["python3", f"{HERE}/stripproxy.py", "--vector", vector, "--port", "25", "--port", "587",
			"--forged", f"{self.root('clients')}/lab/forged.pem"]
		if tls12:
			arguments.append("--tls12")
		for client in only or ():
			arguments += ["--only", client]
		self.proxy = self.net.start("proxy", None, arguments, f"{self.work}/proxy.log", ready="ready")

	def change_certificate(self, name, other):
		"""Give the servers with certificate `name` another one, as a renewal would: new
		file, reload."""
		shutil.copy(f"{self.root('clients')}/lab/{other}.pem", f"{self.root('postfix')}/lab/{name}.pem")
		pid = f"{self.root('postfix')}/var/spool/postfix-server/pid/master.pid"
		with open(pid, encoding="ascii") as file:
			os.kill(int(file.read()), signal.SIGHUP)
		time.sleep(1)

	# -- clients

	def client(self, *arguments, root="clients", timeout=60, stdin=b""):
		result = subprocess.run(self.net.command("client", self.root(root), arguments), input=stdin,
			capture_output=True, timeout=timeout, check=False)
		with open(f"{self.work}/clients.log", "ab") as log:
			log.write(f"\n== {' '.join(arguments)}: {result.returncode}\n".encode() + result.stdout + result.stderr)
		return result

	def swaks(self, host, *arguments, port=25):
		self.client("swaks", "--server", host, "--port", str(port), "--helo", "client.example.test",
			"--from", "sender@example.test", "--to", "rcpt@example.test", "--header", "Subject: laboratory",
			"--header-X-Mailer", "swaks", "--timeout", "20", "--body", "250-STARTTLS\\n.dot\\nEnd.", *arguments)

	def python(self, host, *arguments, port=25):
		self.client("python3", "/lab/labclient.py", host, str(port), *arguments)

	def raw(self, host, script, port=25):
		self.client("python3", "/lab/labclient.py", host, str(port), "--raw", script)

	def curl(self, url, *arguments):
		self.client("curl", "-sS", "-m", "20", "--url", url, "--mail-from", "sender@example.test",
			"--mail-rcpt", "rcpt@example.test", "-T", "-", *arguments, stdin=MESSAGE.replace(b"\n", b"\r\n"))

	def msmtp(self, host, *arguments, port=25):
		self.client("msmtp", f"--host={host}", f"--port={port}", "--from=sender@example.test",
			"--domain=client.example.test", *arguments, "rcpt@example.test", stdin=MESSAGE)

	def s_client(self, host, *arguments, port=25, script=b"QUIT\r\n", wait=1.0):
		"""openssl s_client; its input is held back until TLS should be up."""
		command = self.net.command("client", self.root("clients"), ["openssl", "s_client", "-connect",
			f"{host}:{port}", "-crlf", "-quiet", *arguments])
		with open(f"{self.work}/clients.log", "ab") as log:
			process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
			for line in script.replace(b"\r\n", b"\n").splitlines(keepends=True):
				time.sleep(wait)
				try:
					process.stdin.write(line)
					process.stdin.flush()
				except BrokenPipeError:
					break
			try:
				process.stdin.close()
			except BrokenPipeError:
				pass
			try:
				process.wait(timeout=15)
			except subprocess.TimeoutExpired:
				process.kill()
				process.wait()

	def send_postfix(self, recipient, **options):
		return self.postfix_client.send(recipient, MESSAGE, **options)

	def send_exim(self, octet, **options):
		servers.exim_send(self.net, self.root("exim"), self.work, octet, MESSAGE, **options)

	def exim_with(self, priorities):
		"""A second Exim on .29 with GnuTLS priorities of its own."""
		if self.exim_variant:
			self.net.stop(self.exim_variant)
			self.exim_variant = None
		if priorities:
			self.exim_variant = servers.start_exim(self.net, self.root("exim"), self.work, name="exim-variant", host=29,
				priorities=priorities)

	def s_server(self, *arguments, port=25):
		return servers.start_s_server(self.net, self.root("clients"), self.work, *arguments, port=port)

	def server_process(self, root, *arguments, port=25, octet=28):
		process = self.net.start("server", self.root(root), arguments, f"{self.work}/process.log")
		self.net.wait_listening("server", servers.address(octet), port)
		return process

	def versions(self):
		out = {}
		for name in ("postfix", "exim", "opensmtpd", "clients"):
			with open(f"{self.root(name)}/.versions", encoding="ascii") as lines:
				out.update(line.split() for line in lines)
		wanted = ("postfix", "exim4-daemon-heavy", "opensmtpd", "swaks", "curl", "msmtp", "openssl", "python3.11",
			"libssl3", "libgnutls30", "tcpdump")
		return {name: out[name] for name in wanted if name in out}


def nested(facts):
	out = {}
	for path, value in facts.items():
		at = out
		*parents, leaf = path.split(".")
		for parent in parents:
			at = at.setdefault(parent, {})
		at[leaf] = value
	return out


def entry(name, tap, scenario, path, expected):
	found = connections(path)
	if len(found) != len(expected):
		raise RuntimeError(f"{name} ({tap}): {len(found)} connections, {len(expected)} expected")
	sessions = []
	for (client, client_port, server, server_port), facts in zip(found, expected):
		session = {"source": {"ip": client, "port": client_port},
			"destination": {"ip": server, "port": server_port}}
		if facts is None:
			session["expect"] = None
		else:
			session["expect"] = nested({k: v for k, v in facts.items() if k not in ("why", "history")})
			session.update({k: facts[k] for k in ("why", "history") if k in facts})
		sessions.append(session)
	return {
		"file": scenario.name + (".pcap" if tap == "client" else ".server.pcap"),
		"origin": {
			"software": scenario.software,
			"vector": scenario.vector or "none",
			"tap": tap,
			"recorded": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
		},
		"what": scenario.what,
		"sessions": sessions,
	}


def play(lab, scenario, out):
	"""Play one scenario and record it below `out`; returns its manifest entries."""
	taps = {}
	if scenario.client_tap is not None:
		taps["client"] = ("client", "c0", f"{out}/{scenario.name}.pcap", scenario.client_tap)
	if scenario.server_tap is not None:
		taps["server"] = ("server", "s0", f"{out}/{scenario.name}.server.pcap", scenario.server_tap)
	os.makedirs(os.path.dirname(f"{out}/{scenario.name}"), exist_ok=True)
	lab.set_vector(scenario.vector, tls12=scenario.tls12)
	running = {tap: lab.net.capture(name, interface, path, lab.root("clients"))
		for tap, (name, interface, path, _) in taps.items()}
	try:
		scenario.play(lab)
		time.sleep(0.2)
	finally:
		for tap, (_, _, path, _) in taps.items():
			lab.net.end_capture(running[tap], path)
	return [entry(scenario.name, tap, scenario, path, expected) for tap, (_, _, path, expected) in taps.items()]


def main():
	parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
	parser.add_argument("--roots", required=True)
	parser.add_argument("--out", required=True)
	parser.add_argument("--only", default="*", help="names of the scenarios, with wildcards")
	options = parser.parse_args()
	roots, out = os.path.abspath(options.roots), os.path.abspath(options.out)
	os.makedirs(out, exist_ok=True)
	work = f"{roots}/.work"
	shutil.rmtree(work, ignore_errors=True)
	os.makedirs(work)
	lab = Lab(roots, work)
	entries, failed = [], []
	try:
		lab.set_up()
		for scenario in scenarios.SCENARIOS:
			if not fnmatch.fnmatch(scenario.name, options.only):
				continue
			try:
				entries += play(lab, scenario, out)
				print(f"ok      {scenario.name}", flush=True)
			except (RuntimeError, subprocess.SubprocessError) as problem:
				failed.append(scenario.name)
				print(f"FAILED  {scenario.name}: {problem}", flush=True)
		versions = lab.versions()
	finally:
		lab.net.close()
	manifest_path = f"{out}/MANIFEST.json"
	manifest = {"about": "Captures of real software with what is expected of each session; see README.md.",
		"captures": []}
	if options.only != "*" and os.path.exists(manifest_path):
		with open(manifest_path, encoding="ascii") as file:
			manifest = json.load(file)
	made = {e["file"] for e in entries}
	manifest["captures"] = sorted([e for e in manifest["captures"] if e["file"] not in made] + entries,
		key=lambda e: e["file"])
	manifest["versions"] = versions
	with open(manifest_path, "w", encoding="ascii") as file:
		json.dump(manifest, file, indent="\t")
		file.write("\n")
	print(f"{len(entries)} captures, {len(failed)} scenarios failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
