#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Every call of the system made to fail, one after the other, in a whole replay.

    injected.py FAULTS_PROGRAM [--every] [--scenario NAME] [--family NAME]

Each scenario runs once to count the calls of each family (memory, open, read, write, net) and
to keep what it says; then again for each call, which fails: that one alone ("once"), or it and all
behind it ("lasting"). Whatever fails, the run has to

  - end by itself, with 0, 1 or 2: no signal, no hang, no leak, no word of a sanitizer;
  - say something on standard error if its exit status is not 0, or if any output is not what
    the undisturbed run wrote: nothing that was decided is lost silently;
  - leave nothing broken: evidence under its final name is whole, lines are whole unless
    writing is what failed.

Without --every, a call is struck when its stack of callers is a new one, "lasting" at every
fourth of those; with it, all calls are struck in both ways.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from redis_lab import Client, Lab, RedisError, Server  # noqa: E402

FAMILIES = ("memory", "open", "read", "write", "net")
PCAPS = os.path.join(ROOT, "pcaps")
OUTPUTS = ["--sensor", "x", "--alerts", "alerts", "--sessions", "sessions", "--evidence", "evidence",
           "--report", "report.html", "--baseline", "baseline"]


def capture(*names):
    return [os.path.join(PCAPS, name) for name in names]


def make_inputs(directory):
    """A configuration that sets a bit of everything, and captures in other clothes."""
    config = os.path.join(directory, "config.yaml")
    with open(config, "w") as out:
        out.write("ports: [25, 587, 2525]\nallow: ['rule=tls-weak client=203.0.113.0/24', 'name=.never.example']\n"
                  "severity:\n  plaintext-mail: medium\nshow-accounts: true\n"
                  f"policy: {ROOT}/deploy/policy.yaml\n")
    tree = os.path.join(directory, "tree")
    os.mkdir(tree)
    for name in ("strip-swaks.pcap", "auth-clear-plain.pcap"):
        shutil.copy(os.path.join(PCAPS, name), tree)
    with open(os.path.join(tree, "README"), "w") as out:
        out.write("no capture\n")
    subprocess.run(["gzip", os.path.join(tree, "auth-clear-plain.pcap")], check=True)
    packed = os.path.join(directory, "packed.pcap.zst")
    subprocess.run(["zstd", "-q", "-o", packed, os.path.join(PCAPS, "refuse-454-swaks.pcap")], check=True)
    bundle = os.path.join(directory, "ca.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Some root", "-keyout",
                    "/dev/null", "-out", bundle], check=True, capture_output=True)
    return {
        "replay": ["replay", "--config", config, *OUTPUTS, "--ca-file", bundle, "--filter", "tcp or ip[6:2] & 0x1fff != 0",
                   packed, *capture("refuse-502-swaks.pcap", "tls12-postfix.pcap", "encapsulated/fragments.pcap",
                                    "encapsulated/pcapng-two-sections.pcapng", "sequences/stripped-some-clients.pcap")],
        "separate": ["replay", "--separate", *OUTPUTS, "--alert-format", "eve", tree,
                     *capture("cert-self-signed.pcap", "encapsulated/pcapng-mixed.pcapng")],
        "workers": ["replay", "--workers", "3", *OUTPUTS, *capture("refuse-502-swaks.pcap", "tls12-postfix.pcap",
                    "auth-clear-plain.pcap", "encapsulated/fragments.pcap")],
        "taps": ["replay", *OUTPUTS, "--alert-format", "ocsf", "--all-ports",
                 "--tap", f"inside={PCAPS}/mask-x-swaks.pcap", "--tap", f"outside={PCAPS}/mask-x-swaks.server.pcap"],
    }


class Scenario:
    def __init__(self, program, name, arguments, directory, redis=None):
        self.program, self.name, self.arguments = program, name, arguments
        self.directory, self.redis = os.path.join(directory, name), redis
        os.makedirs(self.directory)
        self.environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1",
                                UBSAN_OPTIONS="print_stacktrace=1", TZ="UTC")

    def count(self, family):
        """(calls, the numbers of those with a new stack); what it wrote stays as the reference."""
        place = self.place(0)
        shutil.rmtree(place, ignore_errors=True)
        done = subprocess.run([self.program, "count", family, self.directory, "--", *self.arguments],
                              capture_output=True, text=True, env=self.environment, timeout=120)
        lines = done.stdout.splitlines()
        if done.returncode != 0 or not lines or not lines[0].startswith("0 "):
            raise SystemExit(f"{self.name}: the undisturbed run fails: {done.stdout}{done.stderr}"
                             f"{self.read(place, 'stderr')[-2000:]}")
        self.reference = self.outputs(0)
        self.reference_errors = self.read(place, "stderr")
        return int(lines[0].split()[1]), [int(line) for line in lines[1:]]

    def place(self, number):
        return os.path.join(self.directory, str(number))

    @staticmethod
    def read(place, name):
        try:
            with open(os.path.join(place, name), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def outputs(self, number):
        """Everything that a run says of the traffic, as text by name."""
        place = self.place(number)
        found = {name: self.read(place, name) for name in ("stdout", "alerts", "sessions", "report.html")}
        if os.path.exists(os.path.join(place, "baseline")):
            dump = subprocess.run(["sqlite3", os.path.join(place, "baseline"), ".dump"], capture_output=True, text=True)
            found["baseline"] = dump.stdout + dump.stderr
        folder = os.path.join(place, "evidence")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as file:
                found["evidence/" + name] = hashlib.sha256(file.read()).hexdigest()
        if self.redis is not None:
            client = Client(path=self.redis)
            try:
                rows = client("XRANGE", f"{number}:alerts", "-", "+") or []
                found["redis"] = "\n".join(dict(zip(f[::2], f[1::2]))["json"] for _, f in rows)
                client("DEL", f"{number}:alerts")
            finally:
                client.close()
        return found

    @staticmethod
    def is_whole(path):
        with open(path, "rb") as file:
            data = file.read()
        at = 24
        while at + 16 <= len(data):
            at += 16 + struct.unpack_from("<I", data, at + 8)[0]
        return len(data) > 24 and at == len(data)

    def struck_at(self, number):
        """The functions of ours on the stack of the call that failed, innermost first."""
        addresses = re.findall(r"\(\+(0x[0-9a-f]+)\)", self.read(self.place(number), "struck"))
        if not addresses:
            return ""
        told = subprocess.run(["addr2line", "-f", "-s", "-e", self.program, *addresses], capture_output=True, text=True)
        names = [f"{name} ({line})" for name, line in zip(*[iter(told.stdout.split("\n"))] * 2)]
        return "\n    " + "\n    ".join(name for name in names if "faults.c" not in name and "?" not in name)

    @staticmethod
    def lines_said(errors):
        """The log's lines without their times."""
        return collections.Counter(re.sub(r"^\S+Z ", "", line) for line in errors.splitlines())

    def judge(self, number, status, family):
        """What is wrong with this run; None: nothing."""
        place = self.place(number)
        errors = self.read(place, "stderr")
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return f"ended by {name}{' (it hung)' if name == 'SIGALRM' else ''}: {errors[-1500:]}"
        code = os.WEXITSTATUS(status)
        if "Sanitizer" in errors or "runtime error" in errors:
            return f"exit {code}: {errors[:3000]}"
        if code not in (0, 1, 2):
            return f"exit {code}: {errors[-1500:]}"
        found = self.outputs(number)
        changed = [name for name in sorted({*found, *self.reference}) if found.get(name) != self.reference.get(name)]
        said = self.lines_said(errors) - self.lines_said(self.reference_errors)
        if (code != 0 or changed) and not said:
            return f"exit {code}, {', '.join(changed) or 'nothing'} differs, and nothing was said"
        for name in found:
            if name.startswith("evidence/") and name.endswith(".pcap") and not self.is_whole(os.path.join(place, name)):
                return f"{name} is not whole: {errors}"
        if family != "write":
            for name in ("alerts", "sessions"):
                text = found.get(name, "")
                if text and not text.endswith("\n"):
                    return f"the last line of {name} is not whole: {errors}"
                for line in text.splitlines():
                    json.loads(line)
        return None

    def strike(self, family, mode, numbers, failures, tally):
        process = subprocess.Popen([self.program, "run", family, mode, self.directory, "--", *self.arguments],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)
        try:
            for number in numbers:
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
                line = process.stdout.readline().split()
                if len(line) != 3:
                    raise SystemExit(f"{self.name}: the program of the faults ended at {family} {number}")
                status, failed = int(line[1]), int(line[2])
                tally["struck" if failed else "not reached"] += 1
                if os.WIFEXITED(status):
                    tally[f"exit {os.WEXITSTATUS(status)}"] += 1
                try:
                    wrong = self.judge(number, status, family)
                except (ValueError, RedisError) as error:
                    wrong = f"an output is broken: {error}"
                if wrong:
                    failures.append(f"{self.name}, {family} {mode}, call {number}: {wrong}{self.struck_at(number)}")
                shutil.rmtree(self.place(number), ignore_errors=True)
        finally:
            process.stdin.close()
            process.wait()


def run_scenario(scenario, arguments, failures):
    total = collections.Counter()
    for family in FAMILIES:
        if arguments.family not in (None, family):
            continue
        calls, stacks = scenario.count(family)
        numbers = list(range(1, calls + 1)) if arguments.every else stacks
        tally = collections.Counter()
        for mode in ("once", "lasting") if numbers else ():
            step = 1 if arguments.every or mode == "once" else 4
            scenario.strike(family, mode, numbers[::step], failures, tally)
        total.update(tally)
        print(f"{scenario.name:9} {family:7} {calls:4} calls, {len(numbers):4} stacks struck: "
              + ", ".join(f"{count} {what}" for what, count in sorted(tally.items())), flush=True)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("--every", action="store_true", help="each call, not each new stack of callers")
    parser.add_argument("--scenario")
    parser.add_argument("--family", choices=FAMILIES)
    arguments = parser.parse_args()
    failures, total, scenarios = [], collections.Counter(), []

    with Lab() as lab:
        directory = lab.path("runs")
        os.mkdir(directory)
        wanted = make_inputs(directory)
        path = lab.path("redis.sock")
        Server(lab, "redis", f"unixsocket {path}")
        wanted["delivery"] = ["replay", "--sensor", "x", "--redis", f"unix://{path}", "--redis-prefix", "@:", "--outbox",
                              "outbox", "--redis-sessions", *capture("refuse-502-swaks.pcap", "auth-clear-plain.pcap")]
        for name, words in wanted.items():
            if arguments.scenario not in (None, name):
                continue
            scenario = Scenario(os.path.realpath(arguments.program), name, words, directory,
                                path if name == "delivery" else None)
            scenarios.append(scenario)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for tally in pool.map(lambda scenario: run_scenario(scenario, arguments, failures), scenarios):
                total.update(tally)
    print()
    for failure in failures[:30]:
        print(failure)
        print()
    print(f"{total['struck']} faults injected, {total['struck'] - len(failures)} survived, {len(failures)} not")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
