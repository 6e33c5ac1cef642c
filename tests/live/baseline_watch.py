#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The baseline of a running sensor: killed at any moment, read and edited meanwhile, shared.

  baseline_watch.py [PROGRAM]

Real connections over the loopback interface of a network namespace of its own. Needs root;
BASELINE_KILLS=N kills more than five times.
"""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Lab  # noqa: E402

PROGRAM = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ["STRIPWATCH"])
KILLS = int(os.environ.get("BASELINE_KILLS", "5"))
SAVE_S = 5  # LIMIT_BASELINE_SAVE_NS
failures = 0


def expect(what, good, seen=""):
    global failures
    if not good:
        failures += 1
        print(f"FAIL  {what} {seen}")


class MailServer:
    """Offers STARTTLS as long as it is told to."""

    def __init__(self, address):
        self.address, self.offers = address, True
        self.listener = socket.create_server((address, 25))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 mx.example ESMTP\r\n")
            for line in lines:
                if line.upper().startswith(b"EHLO"):
                    offer = b"250-STARTTLS\r\n" if self.offers else b""
                    connection.sendall(b"250-mx.example\r\n" + offer + b"250 8BITMIME\r\n")
                elif line.upper().startswith(b"AUTH"):
                    connection.sendall(b"235 ok\r\n")
                elif line.upper().startswith(b"QUIT"):
                    connection.sendall(b"221 bye\r\n")
                    return


def connect(server, client="127.0.0.1", login=False):
    with socket.create_connection((server, 25), source_address=(client, 0), timeout=10) as c, c.makefile("rb") as lines:
        lines.readline()
        auth = [(b"AUTH PLAIN AG1hZGUAdXA=\r\n", b"235 ")] if login else []
        for command, last in [(b"EHLO c.example\r\n", b"250 "), *auth, (b"QUIT\r\n", b"221 ")]:
            c.sendall(command)
            while not lines.readline().startswith(last):
                pass


class Traffic(threading.Thread):
    """Sessions without end, some ten a second."""

    def __init__(self, servers):
        super().__init__(daemon=True)
        self.servers, self.stop, self.done = servers, False, []

    def run(self):
        while not self.stop:
            connect(random.choice(self.servers))
            self.done.append(time.time())
            time.sleep(0.1)


def listening():
    """Packet sockets of this namespace."""
    return len(pathlib.Path("/proc/net/packet").read_text().splitlines())


def sensor(*words):
    """Started, and capturing."""
    before, deadline = listening(), time.time() + 30
    started = subprocess.Popen([PROGRAM, "watch", "-i", "lo", "--quiet", *map(str, words)], stderr=subprocess.PIPE, text=True)
    while listening() <= before and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(0.7)
    return started


def finish(started):
    started.send_signal(signal.SIGTERM)
    _, err = started.communicate(timeout=60)
    expect("an orderly end", started.returncode == 0, f"{started.returncode} {err}")
    return err


def rows(path):
    done = subprocess.run([PROGRAM, "baseline", "--json", path], capture_output=True, text=True, timeout=60)
    expect("it opens", done.returncode == 0, done.stderr)
    return {r["server"]["ip"]: r for r in map(json.loads, done.stdout.splitlines())}


def killed_at_any_moment(place, servers):
    path = place / "killed.db"
    traffic = Traffic(servers)
    traffic.start()
    kept = lost = worst = 0
    for number in range(KILLS):
        before = sum(r["offers"] for r in rows(path).values()) if path.exists() else 0
        began = len(traffic.done)
        watching = sensor("--baseline", path)
        time.sleep(random.uniform(0, 2.5 * SAVE_S))
        watching.kill()
        at = time.time()
        watching.communicate()
        known = sum(r["offers"] for r in rows(path).values()) if path.exists() else 0
        expect(f"kill {number}: nothing is forgotten", known >= before, f"{known} < {before}")
        old = [t for t in traffic.done[began:] if t < at - SAVE_S - 2.5]
        # The sensor needs up to a second to begin; what came before that it did not see.
        due = max(0, len(old) - 12)
        expect(f"kill {number}: all but the last seconds", known - before >= due, f"{known - before} of {due} due")
        gone = len(traffic.done) - began - (known - before)
        kept, lost, worst = kept + known - before, lost + gone, max(worst, gone)
    traffic.stop = True
    traffic.join()
    watching = sensor("--baseline", path)
    connect(servers[0])
    finish(watching)
    expect("and the next run goes on", sum(r["offers"] for r in rows(path).values()) >= kept + 1)
    expect("an orderly end leaves one file", [p.name for p in place.iterdir()] == ["killed.db"], list(place.iterdir()))
    print(f"{KILLS} kills at random moments: {kept} sessions kept, {lost} lost, {worst} by the worst kill, at ten a second")


def edited_while_it_runs(place, servers):
    path = place / "edited.db"
    watching = sensor("--baseline", path)
    for _ in range(4):
        connect(servers[0])
        connect(servers[1])
    deadline = time.time() + 20
    while time.time() < deadline and not (path.exists() and len(rows(path)) == 2):
        time.sleep(0.5)
    expect("read while it runs", len(rows(path)) == 2, rows(path))
    subprocess.run([PROGRAM, "baseline", path, "--forget", f"{servers[0]}:25", "--pin", f"{servers[2]}:25"], check=True, capture_output=True)
    time.sleep(SAVE_S + 2)
    connect(servers[0])
    finish(watching)
    known = rows(path)
    expect("forgotten while it ran", known[servers[0]]["offers"] == 1, known[servers[0]])
    expect("pinned while it ran", known[servers[2]]["pinned"], known)
    expect("the rest is kept", known[servers[1]]["offers"] == 4, known[servers[1]])


def summed_up_at_the_end(place, servers):
    path, alerts = place / "exposed.db", place / "alerts.jsonl"
    watching = sensor("--baseline", path, "--alerts", alerts)
    for server in (servers[0], servers[0], servers[1]):
        connect(server, login=True)
    finish(watching)
    text = alerts.read_text()
    days = [a for a in map(json.loads, text.splitlines()) if a["stripwatch"]["reason"] == "daily-summary"]
    expect("one summary", len(days) == 1 and days[0]["stripwatch"]["count"] == 3, days)
    expect("it names the client", days and days[0]["stripwatch"]["exposed"]["worst"][0]["client"]["ip"] == "127.0.0.1", days)
    done = subprocess.run([PROGRAM, "baseline", "--clients", "--json", path], capture_output=True, text=True, timeout=60)
    clients = [json.loads(line) for line in done.stdout.splitlines()]
    expect("the baseline lists it", len(clients) == 1 and clients[0]["mechanisms"] == ["PLAIN"] and clients[0]["sessions"] == 3, clients)
    expect("no secret anywhere", "AG1hZGUAdXA" not in text and b"made" not in path.read_bytes() and "made" not in text)


def shared_while_both_run(place, mail, lab):
    server = lab.server("shared")
    alerts = place / "alerts.jsonl"
    sharing = ["--redis", f"redis://127.0.0.1:{server.port}", "--baseline-redis"]
    # Both see the same loopback: west looks at everything, east only at one client.
    west = sensor("--sensor", "west", *sharing)
    east = sensor("--sensor", "east", *sharing, "--alerts", alerts, "--filter", "host 127.0.0.77")
    for _ in range(5):
        connect(mail.address)
    deadline = time.time() + 30
    while time.time() < deadline and not server.call("HGETALL", f"stripwatch:baseline:server:{mail.address}:25"):
        time.sleep(0.2)
    time.sleep(8)
    mail.offers = False
    connect(mail.address, client="127.0.0.77")
    time.sleep(2)
    finish(east)
    finish(west)
    found = [json.loads(line) for line in alerts.read_text().splitlines()]
    stripped = [a["stripwatch"] for a in found if a["rule"]["id"] == "starttls-stripped"]
    expect("east raises it by what west knows", len(stripped) == 1 and stripped[0]["known"]["sessions"] == 5, found)
    expect("and that others were offered it", stripped and stripped[0].get("scope") == "some-clients", stripped)
    mail.offers = True


def main():
    if os.geteuid() != 0:
        print("needs root, for a network namespace")
        return 77
    if "BASELINE_NETNS" not in os.environ:
        os.environ["BASELINE_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    mails = [MailServer(f"127.0.0.{octet}") for octet in (11, 12, 13, 14)]
    servers = [m.address for m in mails]
    with tempfile.TemporaryDirectory() as directory, Lab() as lab:
        for number, (test, arguments) in enumerate([(killed_at_any_moment, (servers,)), (edited_while_it_runs, (servers,)), (summed_up_at_the_end, (servers,)), (shared_while_both_run, (mails[3], lab))]):
            place = pathlib.Path(directory) / str(number)
            place.mkdir()
            test(place, *arguments)
    print("baseline of a running sensor: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
