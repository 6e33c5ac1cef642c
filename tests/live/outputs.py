#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What the whole program tells and writes, against real receivers: the heartbeat in a real
Redis, from replay and from watch.

    outputs.py [build/release/stripwatch] [NAME ...]

Exit status: 0 passed, 1 failed, 77 could not run here, with the reason.
"""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Lab  # noqa: E402

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
    if os.geteuid() != 0:
        raise Skip("capturing needs root")
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


TESTS = [heartbeat_of_replay, heartbeat_of_watch]


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
    sys.exit(main())
