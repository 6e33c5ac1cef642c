#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""stripwatch baseline on what the bundled captures teach: lists, filters, pins, forgets, refuses.

  baseline_command.py [PROGRAM]
"""
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CAPTURES = HERE.parents[1] / "pcaps"
PROGRAM = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ["STRIPWATCH"])
TEACHERS = ["sequences/quiet.pcap", "auth-clear-plain.pcap", "auth-clear-login.pcap", "clear-notls.pcap"]
failures = 0


def expect(what, good, seen=""):
    global failures
    if not good:
        failures += 1
        print(f"FAIL  {what} {seen}")


def run(*words):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def baseline(*words):
    return run("baseline", *words)


def rows(*words):
    status, out, err = baseline("--json", *words)
    expect(f"{words} exit", status == 0, err)
    return [json.loads(line) for line in out.splitlines()]


def alerts(path, capture, *options):
    _, out, _ = run("replay", "--baseline", path, "--baseline-readonly", "--sensor", "test", "--json", *options, CAPTURES / capture)
    return [json.loads(line) for line in out.splitlines()]


def check_listing(path):
    known = {(r["server"]["ip"], r["server"]["port"]): r for r in rows(path)}
    expect("several servers", len(known) >= 3, known.keys())
    quiet = known[("198.51.100.25", 25)]
    expect("known", quiet["known_to_offer"] and quiet["offers"] >= 3, quiet)
    expect("a network of clients", quiet["client_networks"][0]["network"] == "192.0.2.0", quiet)
    never = rows(path, "--never")
    expect("--never", never and all(r["offers"] == 0 for r in never), never)
    offered = rows(path, "--offered")
    expect("--offered", len(offered) + len(never) == len(known))
    expect("--server ADDR:PORT", len(rows(path, "--server", "198.51.100.25:25")) == 1)
    expect("--server ADDR/LEN", len(rows(path, "--server", "198.51.100.0/24")) == len(known))
    expect("--name", all("auth" in r["server"]["name"] for r in rows(path, "--name", "AUTH*")))
    expect("--network", len(rows(path, "--network", "192.0.2.0/24")) == len(known))
    expect("--network of nobody", not rows(path, "--network", "203.0.113.0/24"))
    expect("--since", len(rows(path, "--since", "2026-01-01")) == len(known))
    expect("--stale", not rows(path, "--stale", "2026-01-01"))
    status, out, _ = baseline(path)
    expect("the table", status == 0 and "198.51.100.25:25" in out and f"{len(known)} servers" in out, out)
    clients = rows(path, "--clients")
    expect("one client", len(clients) == 1 and clients[0]["client"]["ip"] == "192.0.2.10", clients)
    expect("its mechanisms", set(clients[0]["mechanisms"]) >= {"PLAIN", "LOGIN"}, clients)
    expect("how often", clients[0]["sessions"] >= 2, clients)
    expect("no account", "accounts" not in clients[0] and b"scanner" not in path.read_bytes(), clients)


def check_decisions(path):
    place = "198.51.100.26:25"
    status, out, err = baseline(path, "--pin", place)
    expect("--pin", status == 0 and "must offer" in out, out + err)
    pinned = rows(path, "--pinned")
    expect("--pinned", [r["server"]["port"] for r in pinned] == [25] and pinned[0]["known_to_offer"], pinned)
    expect("--unpin", baseline(path, "--unpin", place)[0] == 0 and not rows(path, "--pinned"))
    status, _, err = baseline(path, "--unpin", place)
    expect("--unpin twice", status == 1 and "was not pinned" in err, err)
    # A server that is never seen with an offer: only the pin says that this is an attack.
    clear = rows(path, "--never")[0]["server"]
    place = f"{clear['ip']}:{clear['port']}"
    expect("without a pin", not [a for a in alerts(path, "clear-notls.pcap") if a["rule"]["id"] == "starttls-stripped"])
    baseline(path, "--pin", place)
    found = [a for a in alerts(path, "clear-notls.pcap") if a["rule"]["id"] == "starttls-stripped"]
    expect("with a pin", len(found) == 1, found)
    if found:
        expect("the alert names the pin", "pinned" in found[0]["message"], found[0]["message"])
        expect("it is sure", found[0]["stripwatch"]["confidence"] == "high", found[0]["stripwatch"])
    baseline(path, "--unpin", place)
    before = len(rows(path))
    status, out, _ = baseline(path, "--forget", "198.51.100.25:25")
    expect("--forget", status == 0 and "is forgotten" in out and len(rows(path)) == before - 1, out)
    status, _, err = baseline(path, "--forget", "198.51.100.25:25")
    expect("--forget twice", status == 1 and "is not in the baseline" in err, err)


def check_beside_a_writer(path):
    """A sensor in the middle of a save holds nobody up."""
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE server SET sessions = 4000000000")
    listed = rows(path)
    expect("beside a writer", listed and all(r["sessions"] < 4000000000 for r in listed))
    writer.execute("ROLLBACK")
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.close()


def check_refusals(path, place):
    good = path.read_bytes()
    cases = {
        "text": (b"Dear sir or madam, " * 20, "is no baseline"),
        "empty": (b"", "is no baseline"),
        "foreign": (good[:68] + b"\0\0\0\7" + good[72:], "is no baseline"),
        "newer": (good[:60] + b"\0\0\0\x63" + good[64:], "newer version"),
        "damaged": (good[:4096] + b"\xff" * 4096 + good[8192:], ""),
        "cut": (good[:5000], ""),
    }
    for name, (content, reason) in cases.items():
        bad = place / f"{name}.db"
        bad.write_bytes(content)
        for words in ([bad], [bad, "--clients"], [bad, "--forget", "192.0.2.1:25"]):
            status, out, err = baseline(*words)
            expect(f"{name} {words[1:]}", status == 1 and not out and str(bad) in err and reason in err, (status, err))
        if name != "empty":
            status, _, err = run("replay", "--quiet", "--baseline", bad, CAPTURES / "clear-notls.pcap")
            expect(f"{name}, replay", status == 2 and str(bad) in err, (status, err))
        expect(f"{name} is left", bad.read_bytes() == content)
    missing = place / "missing.db"
    status, _, err = baseline(missing)
    expect("missing", status == 1 and "No such file" in err and not missing.exists(), err)
    expect("missing, --pin", baseline(missing, "--pin", "192.0.2.1:25")[0] == 1 and not missing.exists())
    expect("no server", baseline(path, "--pin", "mx.example.org")[0] == 2)
    expect("no time", baseline(path, "--since", "yesterday")[0] == 2)
    expect("nothing stands beside", sorted(p.name for p in place.iterdir()) == sorted([path.name] + [f"{n}.db" for n in cases]))


def main():
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        path = place / "known.db"
        for name in TEACHERS:
            status, _, err = run("replay", "--quiet", "--baseline", path, CAPTURES / name)
            expect(f"learning from {name}", status == 0, err)
        check_listing(path)
        check_decisions(path)
        check_beside_a_writer(path)
        check_refusals(path, place)
    print("baseline command: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
