#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Live tests: run by run.sh inside namespaces of its own.

1. Some scenarios of pcaps/make are played again, recorded with tcpdump, and the
   recording is given to `stripwatch replay`: the rule of each vector must be there,
   and none for the same pair without the proxy.
2. `stripwatch watch` listens on the veth pair while a real client talks through the
   proxy: the alert must be written when the session ends, while watch still runs;
   what is open at SIGTERM must not be lost.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "pcaps", "make"))
sys.path.insert(0, os.path.join(HERE, "..", "golden"))

import check_manifest		# noqa: E402
import record				# noqa: E402
import scenarios			# noqa: E402

REPLAYED = ("straight-postfix-swaks", "straight-exim-postfix", "straight-ipv6", "proxy-none", "strip-swaks",
	"mask-cisco-postfix", "mask-command", "refuse-454-postfix", "refuse-502-swaks", "refuse-ehlo-swaks",
	"inject-rset", "inject-response-python", "replace-serverhello-python", "replace-appdata",
	"reset-clienthello-exim", "lower-version", "strip-auth", "close-starttls")


class Failure(Exception):
	pass


def check(condition, what):
	if not condition:
		raise Failure(what)


def json_lines(path):
	try:
		with open(path, encoding="utf-8") as file:
			return [json.loads(line) for line in file if line.endswith("\n")]
	except FileNotFoundError:
		return []


def wait_for(condition, seconds):
	end = time.monotonic() + seconds
	while time.monotonic() < end:
		if condition():
			return True
		time.sleep(0.1)
	return False


def replay_scenario(lab, program, scratch, scenario):
	for entry in record.play(lab, scenario, scratch):
		differences = list(check_manifest.check_capture(program, os.path.join(scratch, entry["file"]), entry))
		check(not differences, f"{entry['file']}: " + "; ".join(
			f"session {s}: {p}: expected {e}, got {g}" for s, p, e, g in differences))


class Watch:
	"""`stripwatch watch` in the client's namespace, on the wire between client and proxy."""

	def __init__(self, lab, program, scratch, name):
		self.alerts_path, self.sessions_path = f"{scratch}/{name}.alerts", f"{scratch}/{name}.sessions"
		self.log_path = f"{scratch}/{name}.log"
		with open(self.log_path, "wb") as log:
			self.process = subprocess.Popen(lab.net.command("client", None, [program, "watch", "-i", "c0",
				"--alerts", self.alerts_path, "--sessions", self.sessions_path]), stdin=subprocess.DEVNULL,
				stdout=log, stderr=subprocess.STDOUT)
		# Both outputs are opened at the start; a capture handle follows at once.
		check(wait_for(lambda: os.path.exists(self.sessions_path) and os.path.exists(self.alerts_path), 10),
			"watch did not start: " + self.log())
		time.sleep(1)

	def log(self):
		with open(self.log_path, encoding="utf-8", errors="replace") as log:
			return log.read()

	def rules(self):
		return {alert["rule"]["id"] for alert in json_lines(self.alerts_path)}

	def stop(self, sig=signal.SIGTERM):
		self.process.send_signal(sig)
		try:
			return self.process.wait(timeout=20)
		except subprocess.TimeoutExpired:
			self.process.kill()
			raise Failure("watch did not end on its signal") from None


def watch_vector(lab, program, scratch):
	"""The alert is there when the session ends, before anything stops the sensor."""
	lab.set_vector("refuse-454")
	watch = Watch(lab, program, scratch, "vector")
	try:
		scenarios.SENDERS["swaks"](lab)
		wanted = {"starttls-refused", "plaintext-fallback", "plaintext-mail"}
		check(wait_for(lambda: wanted <= watch.rules(), 10), f"alerts after the session: {sorted(watch.rules())}; {watch.log()}")
		check(wait_for(lambda: json_lines(watch.sessions_path), 10), "no session record after its FIN")
	finally:
		status = watch.stop()
	check(status == 0, f"exit status {status} on SIGTERM")
	check(len(json_lines(watch.sessions_path)) == 1, "one session, one record")
	for document in json_lines(watch.sessions_path) + json_lines(watch.alerts_path):
		observer = document["observer"]
		check(observer.get("ingress") == {"interface": {"name": "c0"}}, f"the interface: {observer}")
	check("drop" in watch.log().lower(), f"the closing summary does not speak of drops: {watch.log()!r}")


def watch_quiet(lab, program, scratch):
	"""The same pair without the vector: a record, no alert."""
	lab.set_vector("none")
	watch = Watch(lab, program, scratch, "quiet")
	try:
		lab.swaks(scenarios.MX1, "-tls")
		check(wait_for(lambda: json_lines(watch.sessions_path), 10), "no session record")
	finally:
		status = watch.stop(signal.SIGINT)
	check(status == 0, f"exit status {status} on SIGINT")
	record_ = json_lines(watch.sessions_path)[0]
	check(record_["stripwatch"]["outcome"] == "upgraded", record_["stripwatch"]["outcome"])
	check(not watch.rules(), f"alerts: {sorted(watch.rules())}")


def watch_sigterm(lab, program, scratch):
	"""Twenty sessions, one of them still open in the middle of a mail: SIGTERM loses none."""
	lab.set_vector("strip")
	watch = Watch(lab, program, scratch, "sigterm")
	client = None
	try:
		for _ in range(19):
			lab.python(scenarios.MX1, "--tls", "try")
		client = subprocess.Popen(lab.net.command("client", lab.root("clients"), ["python3", "/lab/labclient.py",
			scenarios.MX1, "25", "--raw", r"<|EHLO open.example.test\r\n|<|MAIL FROM:<open@example.test>\r\n|<|sleep 30"]))
		time.sleep(2)
	finally:
		status = watch.stop()
		if client:
			client.kill()
			client.wait()
	check(status == 0, f"exit status {status}")
	records = json_lines(watch.sessions_path)
	check(len(records) == 20, f"{len(records)} records of 20 sessions")
	still_open = [r for r in records if r["smtp"].get("client_name") == "open.example.test"]
	check(len(still_open) == 1, "the open session has no record")
	check(still_open[0]["smtp"]["plaintext"]["mails"] == 1, "the open session's MAIL was lost")
	check(still_open[0]["stripwatch"]["closed_by"] == "eof", still_open[0]["stripwatch"]["closed_by"])
	check(all("plaintext-mail" in r["stripwatch"]["alerts"] for r in records), "a plaintext-mail was lost")


def main():
	roots, program = sys.argv[1], sys.argv[2]
	work = f"{roots}/.work"
	shutil.rmtree(work, ignore_errors=True)
	os.makedirs(work)
	scratch = tempfile.mkdtemp(prefix="stripwatch-live-")
	passed = failed = 0
	lab = record.Lab(roots, work)
	try:
		lab.set_up()
		tests = [(f"replay of {s.name}", lambda s=s: replay_scenario(lab, program, scratch, s))
			for s in scenarios.SCENARIOS if s.name in REPLAYED]
		check(len(tests) == len(REPLAYED), "a scenario of REPLAYED does not exist")
		tests += [(f.__doc__.splitlines()[0], lambda f=f: f(lab, program, scratch))
			for f in (watch_vector, watch_quiet, watch_sigterm)]
		for name, test in tests:
			try:
				test()
				passed += 1
				print(f"ok      {name}", flush=True)
			except (Failure, RuntimeError, OSError, ValueError, LookupError, subprocess.SubprocessError) as problem:
				failed += 1
				print(f"FAILED  {name}: {type(problem).__name__}: {problem}", flush=True)
	finally:
		lab.net.close()
		shutil.rmtree(scratch, ignore_errors=True)
	print(f"{passed} passed, {failed} failed")
	return 1 if failed or not passed else 0


if __name__ == "__main__":
	sys.exit(main())
