#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What the whole program tells and writes, against real receivers: the heartbeat in a real
Redis from replay and from watch, what it says of one that takes nothing, files under logrotate and on a full disk, syslog with a
real rsyslog. logrotate and rsyslog are unpacked from Debian's packages, nothing is installed.
As root it runs in a network and a mount namespace of its own, and watches lo.

    outputs.py [build/release/stripwatch] [NAME ...]

Exit status: 0 passed, 1 failed, 77 could not run here, with the reason.
"""
import concurrent.futures
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Lab, free_port  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
PCAPS = os.path.join(HERE, "..", "..", "pcaps")
# What the test of a heartbeat cannot know beforehand.
HEARTBEAT_LIST = os.path.join(HERE, "..", "..", "alerts", "heartbeat.def")


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def until(condition, text, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise Failure(text)


def replay(*words, expect=0):
    done = subprocess.run([PROGRAM, "replay", *words], capture_output=True, text=True, timeout=120)
    check(done.returncode == expect, f"replay: exit {done.returncode}: {done.stderr[-400:]}")
    return done


def hash_of(server, key):
    flat = server.call("HGETALL", key)
    return dict(zip(flat[::2], flat[1::2]))


def heartbeat_names():
    names = set()
    with open(HEARTBEAT_LIST) as f:
        for line in f:
            if line.startswith("HEARTBEAT_"):
                names.add(line.split("(")[1].split(",")[0])
    return names


def heartbeat_of_replay(lab):
    server = lab.server("r")
    capture = os.path.join(PCAPS, "auth-clear-plain.pcap")
    done = replay("--json", "--sensor", "one", "--redis", f"redis://127.0.0.1:{server.port}",
                  "--outbox", lab.path("box"), capture)
    alerts = len(done.stdout.splitlines())
    told = hash_of(server, "stripwatch:sensor:one")
    check(alerts > 0 and told["alerts_raised"] == str(alerts), f"alerts_raised: {told}")
    check(told["alerts_delivered"] == str(alerts) and told["alerts_pending"] == "0", f"delivered: {told}")
    check(told["sessions"] == "1" and int(told["packets"]) > 5 and int(told["bytes"]) > 300, f"counters: {told}")
    check(set(told) == heartbeat_names(), f"fields: {sorted(set(told) ^ heartbeat_names())}")
    check(0 < server.call("TTL", "stripwatch:sensor:one") <= 30, "does not expire")
    return f"{len(told)} fields, {alerts} alerts"


def heartbeat_of_watch(lab):
    need_root()
    server = lab.server("r")
    key = "stripwatch:sensor:two"
    process = subprocess.Popen([PROGRAM, "watch", "-i", "lo", "--sensor", "two", "--quiet",
                                "--redis", f"redis://127.0.0.1:{server.port}"], stderr=subprocess.PIPE, text=True)
    try:
        told = until(lambda: hash_of(server, key), "no heartbeat")
        check("version" in told and "packets" in told, f"first heartbeat: {told}")
        # The second one comes after 10 s; the traffic with Redis itself is on this interface.
        until(lambda: int(hash_of(server, key)["packets"]) > 0, "packets are not counted")
        told = hash_of(server, key)
        check(int(told["capture:lo:received"]) > 0 and told["capture:lo:dropped_kernel"] == "0", f"capture: {told}")
        check(told["last_packet"] >= told["started"], f"times: {told}")
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    check(process.returncode == 0, f"watch: exit {process.returncode}: {err[-300:]}")
    return f"{told['packets']} packets, {told['capture:lo:received']} of the kernel"


def parrot():
    """The port of a server that knows no command and repeats what it was told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            client, _ = listener.accept()
            with client:
                words = client.recv(4096).decode().split("\r\n")
                client.sendall(f"-ERR unknown command '{words[2]}', with args beginning with: '{words[-2]}'\r\n".encode())

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def redis_says_why(lab):
    """A quiet sensor's last word names the cause, the whole of it, and no password."""
    d, tls = lab.certificates(), free_port()
    server = lab.server("r", f"tls-port {tls}", f"tls-cert-file {d}/server.pem", f"tls-key-file {d}/server.key",
                        f"tls-ca-cert-file {d}/ca.pem", "tls-auth-clients no")
    server.call("SET", "other:alerts", "no stream")
    listener = socket.create_server(("127.0.0.1", 0))
    closed = listener.getsockname()[1]
    listener.close()
    here = f"127.0.0.1:{server.port}"
    cases = [
        ("connection refused", f"redis://:s3cret@127.0.0.1:{closed}", [], "connect: Connection refused"),
        ("unknown host", "redis://:s3cret@no-such-host.invalid", [], "Name or service not known|name resolution"),
        ("a CA that nobody knows", f"rediss://127.0.0.1:{tls}", [], "TLS: .*certificate"),
        ("no such database", f"redis://{here}/99", [], "SELECT refused: ERR DB index is out of range"),
        ("wrong password", f"redis://who:s3cret@{here}", [],
         "AUTH refused: WRONGPASS invalid username-password pair or user is disabled."),
        ("wrong type", f"redis://{here}", ["--redis-prefix", "other:"],
         "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("a server that repeats AUTH", f"redis://:s3cret@127.0.0.1:{parrot()}", [], "AUTH refused: ERR$"),
    ]
    capture = os.path.join(PCAPS, "auth-clear-plain.pcap")

    def run(case):
        return replay("--quiet", "--redis", case[1], *case[2], capture, expect=1)

    # Each goes on trying for ten seconds: all at once.
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        runs = list(pool.map(run, cases))
    for (what, _, _, cause), done in zip(cases, runs):
        last = done.stderr.splitlines()[-1]
        check(re.search(f"error: Redis: not everything was delivered: .*({cause})", last), f"{what}: {done.stderr}")
        check("s3cret" not in done.stderr, f"{what}: the password was told")
    return f"{len(cases)} causes"


# ---- files ----

LOGROTATE = ("logrotate", "libpopt0")
RSYSLOG_PACKAGES = ("rsyslog", "libestr0", "libfastjson4", "liblognorm5")


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def unpacked(*packages):
    """A directory into which Debian's packages were unpacked, kept between runs."""
    root = os.path.join(os.environ.get("STRIPWATCH_LAB", "/var/tmp/stripwatch-lab"), "outputs-" + packages[0])
    if not os.path.exists(os.path.join(root, "complete")):
        os.makedirs(root, exist_ok=True)
        got = subprocess.run(["apt-get", "download", *packages], cwd=root, capture_output=True, text=True)
        if got.returncode != 0:
            raise Skip(f"{packages[0]} could not be fetched: {got.stderr.strip()[-200:]}")
        for deb in glob.glob(os.path.join(root, "*.deb")):
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        open(os.path.join(root, "complete"), "w").close()
    libraries = os.path.join(root, "usr/lib", os.uname().machine + "-linux-gnu")
    return root, {**os.environ, "LD_LIBRARY_PATH": libraries}


class MailServer:
    """Says what a server without TLS says; enough to raise plaintext-mail once a session."""

    REPLIES = {b"EHLO": b"250 mx.example.test\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 25))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()
        except OSError:
            pass  # closed

    def serve(self, client):
        with client, client.makefile("rb") as lines:
            client.sendall(b"220 mx.example.test\r\n")
            for line in lines:
                client.sendall(self.REPLIES.get(line[:4], b"250 ok\r\n"))

    def session(self):
        with socket.create_connection(("127.0.0.1", 25)) as s, s.makefile("rb") as lines:
            lines.readline()
            for line in (b"EHLO client.example.test", b"MAIL FROM:<a@example.test>", b"QUIT"):
                s.sendall(line + b"\r\n")
                lines.readline()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Watch:
    def __init__(self, *words):
        self.process = subprocess.Popen([PROGRAM, "watch", "-i", "lo", "--quiet", "--suppression-window", "0", *words],
                                        stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)

    def stop(self, expect=0):
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=30)
        check(self.process.returncode == expect, f"watch: exit {self.process.returncode}: {err[-400:]}")
        return err


def rotated_by_logrotate(lab):
    need_root()
    root, environment = unpacked(*LOGROTATE)
    directory = lab.path("log")
    os.makedirs(directory)
    path, conf = os.path.join(directory, "alerts.jsonl"), lab.path("logrotate.conf")
    mail, watch = MailServer(), Watch("--alerts", path)
    with open(conf, "w") as f:
        f.write(f"{path} {{\n\trotate 50\n\tcreate 0640 root root\n\tpostrotate\n"
                f"\t\tkill -HUP {watch.process.pid}\n\tendscript\n}}\n")
    turns = 5
    for i in range(turns * 20):
        mail.session()
        if i % 20 == 19:
            done = subprocess.run([os.path.join(root, "usr/sbin/logrotate"), "-f", "-s", lab.path("state"), conf],
                                  env=environment, capture_output=True, text=True)
            check(done.returncode == 0, f"logrotate: {done.stderr}")
    time.sleep(0.5)
    watch.stop()
    mail.close()
    files = glob.glob(path + "*")
    ids = [json.loads(line)["event"]["id"] for name in files for line in open(name)
           if json.loads(line)["rule"]["id"] == "plaintext-mail"]
    check(len(files) == turns + 1, f"files: {files}")
    check(len(ids) == len(set(ids)) == turns * 20, f"{len(set(ids))} of {turns * 20} alerts in {len(files)} files")
    return f"{len(ids)} alerts in {len(files)} files, none torn, none lost"


def full_disk(lab):
    need_root()
    where = lab.path("small")
    os.makedirs(where)
    everything = replay("--json", PCAPS).stdout.splitlines()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", where], check=True)
    try:
        path = os.path.join(where, "alerts.jsonl")
        done = replay("--quiet", "--alerts", path, PCAPS, expect=1)
        with open(path, "rb") as f:
            whole = f.read().split(b"\n")[:-1]
        lost = len(everything) - len(whole)
        check(0 < lost < len(everything), f"{lost} of {len(everything)} lost: choose another size")
        check([json.loads(w)["event"]["id"] for w in whole] ==
              [json.loads(e)["event"]["id"] for e in everything[:len(whole)]], "not the first alerts")
        check("No space left on device" in done.stderr and f"({lost} documents were lost)" in done.stderr,
              f"{lost} are missing; said: {done.stderr}")
    finally:
        subprocess.run(["umount", where], check=True)
    done = replay("--quiet", "--sessions", "/dev/full", os.path.join(PCAPS, "auth-clear-plain.pcap"), expect=1)
    check("/dev/full: cannot be written: No space left on device" in done.stderr, f"said: {done.stderr}")
    return f"{lost} of {len(everything)} alerts did not fit, and it says so"


def full_disk_while_watching(lab):
    need_root()
    where = lab.path("small")
    os.makedirs(where)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", where], check=True)
    try:
        path, ballast = os.path.join(where, "alerts.jsonl"), os.path.join(where, "ballast")
        with open(ballast, "wb") as f:
            f.write(b"x" * 8192)
        mail, watch = MailServer(), Watch("--alerts", path)
        for _ in range(20):
            mail.session()
        time.sleep(1.5)
        os.unlink(ballast)  # room again: the torn line must not take the next one with it
        mail.session()
        time.sleep(0.5)
        err = watch.stop(expect=1)
        mail.close()
        with open(path) as f:
            lines = f.read().splitlines()
        torn = []
        for i, line in enumerate(lines):
            try:
                json.loads(line)
            except ValueError:
                torn.append(i)
        check(len(torn) == 1 and torn[0] < len(lines) - 1, f"torn lines: {torn} of {len(lines)}")
        check(err.count("No space left on device") == 2, f"said while it happens and at the end: {err}")
    finally:
        subprocess.run(["umount", where], check=True)
    return f"{len(lines) - 1} whole alerts, one torn line, and the next one is whole"


# ---- syslog ----

RSYSLOG = """
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="%(socket)s")
template(name="parsed" type="string" string="%%programname%%|%%syslogfacility-text%%.%%syslogseverity-text%%|%%msg%%\\n")
action(type="omfile" file="%(out)s" template="parsed")
"""


class Rsyslog:
    def __init__(self, lab):
        root, self.environment = unpacked(*RSYSLOG_PACKAGES)
        self.socket, self.out, conf = lab.path("log.sock"), lab.path("messages"), lab.path("rsyslog.conf")
        with open(conf, "w") as f:
            f.write(RSYSLOG % {"socket": self.socket, "out": self.out})
        self.command = [os.path.join(root, "usr/sbin/rsyslogd"), "-n", "-f", conf, "-i", lab.path("rsyslog.pid"),
                        "-M", os.path.join(root, "usr/lib", os.uname().machine + "-linux-gnu", "rsyslog")]
        self.start()

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(self.command, env=self.environment, stderr=subprocess.PIPE, text=True)
        until(lambda: os.path.exists(self.socket), "rsyslog does not start")

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=20)

    def lines(self):
        if not os.path.exists(self.out):
            return []
        with open(self.out) as f:
            return f.read().splitlines()


def syslog_of_replay(lab):
    rsyslog = Rsyslog(lab)
    replay("--quiet", "--suppression-window", "0", "--syslog", rsyslog.socket, PCAPS)
    raised = [json.loads(line) for line in replay("--json", "--suppression-window", "0", PCAPS).stdout.splitlines()]
    lines = until(lambda: len(rsyslog.lines()) >= len(raised) and rsyslog.lines(), "not all alerts came", 10)
    rsyslog.stop()
    levels = {"low": "notice", "medium": "warning", "high": "err", "critical": "crit"}
    words = {21: "low", 47: "medium", 73: "high", 99: "critical"}
    for alert, line in zip(raised, lines):
        program, level, message = line.split("|", 2)
        check(program == "stripwatch" and level == "daemon." + levels[words[alert["event"]["severity"]]],
              f"{program} {level}")
        check(message.lstrip().startswith("CEF:0|stripwatch|stripwatch|"), message)
        check(f"|{alert['rule']['id']}|" in message and f" externalId={alert['event']['id']} " in message, message)
    check(len(lines) == len(raised), f"{len(lines)} lines, {len(raised)} alerts")
    return f"{len(lines)} alerts parsed by rsyslog"


def syslog_restarted(lab):
    need_root()
    rsyslog = Rsyslog(lab)
    mail, watch = MailServer(), Watch("--log-level", "info", "--syslog", rsyslog.socket)
    for i in range(40):
        if i == 10:
            rsyslog.stop()
        if i == 20:
            rsyslog.start()
        mail.session()
        time.sleep(0.05)
    until(lambda: sum("|plaintext-mail|" in line for line in rsyslog.lines()) == 40, "not all alerts came", 10)
    err = watch.stop()
    mail.close()
    rsyslog.stop()
    check("is gone" in err and "is there again" in err, f"said: {err}")
    return "40 alerts, 10 of them while no daemon was there"


TESTS = [heartbeat_of_replay, heartbeat_of_watch, redis_says_why, rotated_by_logrotate, full_disk, full_disk_while_watching,
         syslog_of_replay, syslog_restarted]


def main():
    passed = failed = skipped = 0
    for test in TESTS:
        if NAMES and test.__name__ not in NAMES:
            continue
        started = time.monotonic()
        with Lab() as lab:
            try:
                text = test(lab)
                passed += 1
                print(f"ok   {test.__name__}: {text} ({time.monotonic() - started:.1f} s)", flush=True)
            except Skip as e:
                skipped += 1
                print(f"skip {test.__name__}: {e}", flush=True)
            except Exception as e:  # whatever a test stumbles over is its failure
                failed += 1
                print(f"FAIL {test.__name__}: {type(e).__name__} {e}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


PROGRAM, NAMES = "build/release/stripwatch", sys.argv[1:]
if NAMES and os.access(NAMES[0], os.X_OK):
    PROGRAM = os.path.realpath(NAMES.pop(0))
if __name__ == "__main__":
    if os.geteuid() == 0 and "OUTPUTS_INSIDE" not in os.environ:
        os.environ["OUTPUTS_INSIDE"] = "1"
        for names in (LOGROTATE, RSYSLOG_PACKAGES):
            try:
                unpacked(*names)  # while there is a network
            except Skip:
                pass  # whoever needs it says so
        os.execvp("unshare", ["unshare", "--mount", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
                              sys.executable, os.path.realpath(__file__), *sys.argv[1:]])
    sys.exit(main())
