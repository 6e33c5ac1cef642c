#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One baseline for several sensors, through a real Redis.

  baseline_redis.py [PROGRAM]
"""
import json
import os
import pathlib
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Cutter, Lab, free_port  # noqa: E402

CAPTURES = pathlib.Path(__file__).resolve().parents[2] / "pcaps"
PROGRAM = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ["STRIPWATCH"])
QUIET = CAPTURES / "sequences/quiet.pcap"  # six sessions with 198.51.100.25, STARTTLS offered
STRIPPED = CAPTURES / "strip-postfix.pcap"  # one with it, stripped
KEY = "stripwatch:baseline:server:198.51.100.25:25"
failures = 0


def expect(what, good, seen=""):
    global failures
    if not good:
        failures += 1
        print(f"FAIL  {what} {seen}")


def sensor(name, port, *words, status=0, share=True):
    """Replays as a sensor of this name; its alerts, and what it logged."""
    command = [PROGRAM, "replay", "--json", "--sensor", name]
    if share:
        command += ["--redis", f"redis://127.0.0.1:{port}", "--baseline-redis"]
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=100)
    allowed = status if isinstance(status, tuple) else (status,)
    expect(f"{name}: exit {status}", done.returncode in allowed, f"{done.returncode} {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def stripped(alerts):
    return [a["stripwatch"]["known"] for a in alerts if a["rule"]["id"] == "starttls-stripped"]


def fields(server, key=KEY):
    flat = server.call("HGETALL", key)
    return dict(zip(flat[::2], flat[1::2]))


def learns_from_another(server):
    expect("alone it knows nothing", not stripped(sensor("east", 0, STRIPPED, share=False)[0]))
    expect("nothing is shared yet", not stripped(sensor("east", server.port, STRIPPED, "--baseline-readonly")[0]))
    sensor("west", server.port, QUIET)
    expect("one field for one sensor", list(fields(server)) == ["west"], fields(server).keys())
    known = stripped(sensor("east", server.port, STRIPPED)[0])
    expect("what west knows counts for east", len(known) == 1 and known[0]["sessions"] == 6, known)
    expect("two fields for two sensors", sorted(fields(server)) == ["east", "west"], fields(server).keys())


def adds_up(server):
    sensor("north", server.port, QUIET)
    known = stripped(sensor("south", server.port, STRIPPED, "--baseline-readonly")[0])
    expect("west and north", known and known[0]["sessions"] == 12, known)
    before = fields(server)
    again = stripped(sensor("south", server.port, STRIPPED, "--baseline-readonly")[0])
    expect("reading changes nothing", again == known and fields(server) == before, again)


def writing_twice_changes_nothing(server, lab):
    path = lab.path("known.db")
    sensor("file", server.port, QUIET, "--baseline", path)
    once = fields(server)["file"]
    sensor("file", server.port, CAPTURES / "implicit-25.pcap", "--baseline", path)
    expect("a second run writes what it knows, not more", fields(server)["file"] == once, fields(server)["file"])
    sensor("west", server.port, QUIET)
    offers = json.loads(fields(server)["west"])["offers"]
    expect("a sensor without a file goes on from what it shared", offers == 12, offers)


def keys_are_those_promised(server):
    keys = server.call("KEYS", "*")
    wrong = [k for k in keys if not k.startswith("stripwatch:baseline:") and k not in ("stripwatch:alerts",) and not k.startswith("stripwatch:sensor:")]
    expect("no other keys", not wrong, wrong)
    for key in keys:
        if key.startswith("stripwatch:baseline:"):
            expect(f"{key} is a hash", server.call("TYPE", key) == "hash")
            expect(f"{key} expires", server.call("TTL", key) > 0)
    text = json.dumps([fields(server, k) for k in keys if k.startswith("stripwatch:baseline:")])
    expect("no secret, no account", "scanner" not in text)


def malformed_fields_do_no_harm(server):
    server.call("HSET", KEY, "liar", '{"version":1,"offers":-1,"networks":"x"}', "fool", "not JSON", "huge", "x" * 100000)
    server.call("HSET", "stripwatch:baseline:server:not-an-address:25", "x", "y")
    known, log = sensor("south", server.port, STRIPPED, "--baseline-readonly")
    expect("told", "could not be read" in log, log)
    expect("the others still count", stripped(known), known)
    server.call("HDEL", KEY, "liar", "fool", "huge")


def documented_rights_are_enough(server):
    """The ACL lines of the documentation, word for word."""
    deploy = CAPTURES.parent / "deploy"
    for page in ("DELIVERY.md", "BASELINE.md"):
        line = next(x for x in (deploy / page).read_text().splitlines() if "ACL SETUSER sensor" in x)
        server.call(*line.split())
    command = [PROGRAM, "replay", "--json", "--sensor", "guarded", "--baseline-redis", "--redis", f"redis://sensor:PASSWORD@127.0.0.1:{server.port}", STRIPPED]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100)
    expect("the documented rights are enough", done.returncode == 0 and not done.stderr, done.stderr)
    expect("and used", stripped([json.loads(line) for line in done.stdout.splitlines()]))


def redis_is_away(server, lab):
    port = free_port()
    path = lab.path("alone.db")
    sensor("alone", 0, QUIET, "--baseline", path, share=False)
    alerts, log = sensor("alone", port, STRIPPED, "--baseline", path, status=1)
    expect("goes on with what it knows itself", len(stripped(alerts)) == 1, alerts)
    expect("says that it is alone", "Redis" in log, log)


def broken_connections(server):
    """Cut after some bytes of each reply: what was not answered is done again."""
    cutter = Cutter(server.port, 200, 4000)
    sensor("cut", cutter.port, QUIET, status=(0, 1))
    cutter.healthy = True
    sensor("cut2", cutter.port, QUIET)
    expect("whole fields only", all(json.loads(v)["version"] == 1 for v in fields(server).values()))


def with_many_servers(path, count):
    """The first session of QUIET, once with each of so many servers."""
    data = QUIET.read_bytes()
    at, packets = 24, []
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        packets.append(data[at : at + 16 + size])
        at += 16 + size
    server = bytes((198, 51, 100, 25))
    addresses, ports = slice(42, 50), slice(50, 54)  # behind a record's header, Ethernet's and IP's
    client_port = packets[0][50:52]
    session = [p for p in packets if client_port in (p[ports][:2], p[ports][2:])]
    with open(path, "wb") as out:
        out.write(data[:24])
        for i in range(count):
            other = bytes((10, 0, i >> 8, i & 255))
            # The checksum of the first SYN is wrong, and so those of all: an offloading card's.
            out.writelines(p[:42] + p[addresses].replace(server, other) + p[50:] for p in session)


def more_servers_than_wait_at_once(server, lab):
    """A replay tells what it learnt of each, however many; the queue holds 2,048."""
    many = 5000
    path = lab.path("many.pcap")
    with_many_servers(path, many)
    sensor("wide", server.port, path)
    keys = [k for k in server.call("KEYS", "stripwatch:baseline:server:10.0.*")]
    expect("all servers are shared", len(keys) == many, len(keys))


def main():
    with Lab() as lab:
        server = lab.server("shared")
        learns_from_another(server)
        adds_up(server)
        writing_twice_changes_nothing(server, lab)
        keys_are_those_promised(server)
        malformed_fields_do_no_harm(server)
        documented_rights_are_enough(server)
        broken_connections(server)
        more_servers_than_wait_at_once(server, lab)
        redis_is_away(server, lab)
    print("shared baseline: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
